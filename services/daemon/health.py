"""Keeps what the running program says of itself where the image's health check finds it."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from stat import S_ISREG

import msgspec

from utils.report.health import Heartbeat, Work

# In memory, and there to be written also where a container's root is read-only.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - no other program's file is written or trusted
_ELSEWHERE = Path("/tmp")  # noqa: S108 - likewise
_SAY_EVERY_SECONDS = 5.0
# Where a system has no such flag it has no links in its place.
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
# Hundreds of sources take less.
_LONGEST_HEARTBEAT = 2**20


class HeartbeatFile:
    """What this process says of itself, said again and again by its main thread.

    Args:
        elapsed_seconds: a clock that nobody sets.
    """

    def __init__(self, elapsed_seconds: Callable[[], float]) -> None:
        self._elapsed_seconds = elapsed_seconds
        self._path = heartbeat_path(os.getpid())
        self._failures: Mapping[str, int] = {}
        self._unproven: list[str] = []
        self._slot_seconds: float | None = None
        self._every_minutes = 60
        self._said_seconds = float("-inf")
        self._known: dict[str, tuple[object, float]] = {}

    def wait(self, every_minutes: int) -> None:
        """Notes that the program waits for its next iteration from now on.

        Args:
            every_minutes: the interval at which one begins.
        """
        self._slot_seconds = self._elapsed_seconds()
        self._every_minutes = every_minutes
        self._said_seconds = float("-inf")

    def say(
        self,
        working: Mapping[str, tuple[object, float]],
        failures: Mapping[str, int],
        unproven: Collection[str] = (),
    ) -> None:
        """Says how the program is, if it is time to: called at least twice a minute.

        Where nothing can be written nothing is said, which the health check tells.

        Args:
            working: for each source under way what is another value whenever it has come further,
                and for how many seconds it may wait for what is in doubt.
            failures: for each source how many of its iterations have failed in a row.
            unproven: the sources of which nothing has succeeded yet.
        """
        now_seconds = self._elapsed_seconds()
        is_new = working.keys() != self._known.keys() or failures != self._failures
        is_new |= sorted(unproven) != self._unproven
        if not is_new and now_seconds - self._said_seconds < _SAY_EVERY_SECONDS:
            return
        self._said_seconds, self._failures = now_seconds, failures
        self._unproven = sorted(unproven)
        works = {
            source: Work(self._progress_seconds(source, progress), settle_seconds)
            for source, (progress, settle_seconds) in working.items()
        }
        self._known = {source: self._known[source] for source in works}
        with suppress(OSError):
            heartbeat = Heartbeat(
                now_seconds,
                self._slot_seconds,
                dict(failures),
                works,
                self._unproven,
                self._every_minutes,
            )
            _write(self._path, msgspec.json.encode(heartbeat))

    def close(self) -> None:
        """Takes the heartbeat away: the program ends."""
        with suppress(OSError):
            self._path.unlink()

    def _progress_seconds(self, source: str, progress: object) -> float:
        """Returns when the source came to where it is now."""
        known, _ = self._known.get(source, (None, 0.0))
        if known != progress:
            self._known[source] = progress, self._said_seconds
        return self._known[source][1]


def heartbeat_path(pid: int) -> Path:
    """Returns where a program says how it is.

    Args:
        pid: of its process.
    """
    return _place() / f"{_prefix()}{pid}.json"


def heartbeats() -> Iterator[Heartbeat]:
    """Yields what each program in this container says of itself."""
    for path in _place().glob(f"{_prefix()}*.json"):
        with suppress(OSError, msgspec.DecodeError):
            yield msgspec.json.decode(_read(path), type=Heartbeat)


def _write(path: Path, content: bytes) -> None:
    """Puts a file in place as a whole, and never writes through what another has put there.

    Others may write into its folder too: a link with a name that they guess, to a file of this
    program's, must not be followed. The draft's name can't be guessed, it is made and not opened,
    and a rename replaces a link instead of its target.
    """
    draft = path.with_suffix(f".{token_hex(8)}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes:
    """Returns a file's beginning; of a link, a pipe or a device nothing is read."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | _NOFOLLOW), "rb") as file:
        return file.read(_LONGEST_HEARTBEAT) if S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def _place() -> Path:
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else _ELSEWHERE


def _prefix() -> str:
    """Returns what this container's names begin with: those of a pod share one memory."""
    with suppress(OSError):
        return f"logscollector-{Path('/proc/self/ns/mnt').stat().st_ino}-"
    return "logscollector-"
