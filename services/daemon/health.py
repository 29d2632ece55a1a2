"""The heartbeat: a file whose time says that the program lives, and its content what is wrong."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from tempfile import NamedTemporaryFile

# In memory, and writable even if a container's root is read-only.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - no other program's file is written or trusted
_ELSEWHERE = Path("/tmp")  # noqa: S108 - likewise
_BEAT_SECONDS = 5.0
# The main thread beats at least every half minute, while it waits and while it works.
MOST_SILENCE_SECONDS = 5 * 60
# A request with all its retries takes a small part of this.
MOST_STANDSTILL_SECONDS = 30 * 60
MOST_FAILURES = 3


class HeartbeatFile:
    """What is wrong with this process, said again and again by its main thread.

    Args:
        elapsed_seconds: the monotonic clock.
    """

    def __init__(self, elapsed_seconds: Callable[[], float]) -> None:
        self._elapsed_seconds = elapsed_seconds
        self._path = heartbeat_path(os.getpid())
        self._progress: dict[str, tuple[object, float]] = {}
        self._said = ""
        self._said_seconds = float("-inf")

    def say(
        self,
        working: Mapping[str, tuple[object, float]],
        failures: Mapping[str, int],
        unproven: Collection[str] = (),
    ) -> None:
        """Says what is wrong, if that has changed or it is time to.

        If nothing can be written, the health check reports the silence.

        Args:
            working: for each source under way a value that changes whenever it makes progress, and
                for how many seconds it may wait for what is in doubt.
            failures: for each source how many of its iterations have failed in a row.
            unproven: the sources of which nothing has succeeded yet.
        """
        now_seconds = self._elapsed_seconds()
        said = " ".join([*self._standstills(working), *_failed(failures, unproven)])
        if said == self._said and now_seconds - self._said_seconds < _BEAT_SECONDS:
            return
        self._said, self._said_seconds = said, now_seconds
        # Others may write into the folder too: a link with the file's name, to another file, is
        # replaced and not followed. The draft is made with a name that nobody guesses, and is gone
        # when it is to be removed.
        with suppress(OSError), NamedTemporaryFile(dir=self._path.parent) as draft:
            draft.write(said.encode(errors="backslashreplace"))
            draft.flush()
            Path(draft.name).replace(self._path)

    def close(self) -> None:
        """Takes the file away: the program ends."""
        with suppress(OSError):
            self._path.unlink()

    def _standstills(self, working: Mapping[str, tuple[object, float]]) -> Iterator[str]:
        now_seconds, known = self._elapsed_seconds(), self._progress
        self._progress = {}
        for source, (progress, settle_seconds) in working.items():
            seen, since_seconds = known.get(source, (None, now_seconds))
            if seen != progress:
                since_seconds = now_seconds
            self._progress[source] = progress, since_seconds
            standstill_seconds = now_seconds - since_seconds
            if standstill_seconds > MOST_STANDSTILL_SECONDS + settle_seconds:
                yield f"{source} has made no progress for {_minutes(standstill_seconds)}."


def ailments(now_seconds: float) -> list[str]:
    """Returns what is wrong with the programs that run in this container, nothing if all are well.

    One whose file is old has ended, or it hangs; one of the future is of another clock.

    Args:
        now_seconds: the time, in seconds since 1970.
    """
    heard = []
    for path in _folder().glob(f"{_prefix()}*"):
        with suppress(OSError):
            status = path.lstat()
            # Of a link, a pipe or a device nothing is read.
            is_fresh = 0 <= now_seconds - status.st_mtime <= MOST_SILENCE_SECONDS
            if S_ISREG(status.st_mode) and is_fresh:
                heard.append(path.read_text("utf-8", "replace"))
    if not heard:
        return [f"No sign of life for {_minutes(MOST_SILENCE_SECONDS)}."]
    return [text for text in heard if text]


def heartbeat_path(pid: int) -> Path:
    """Returns where a program says how it is.

    Args:
        pid: of its process.
    """
    return _folder() / f"{_prefix()}{pid}"


def _failed(failures: Mapping[str, int], unproven: Collection[str]) -> Iterator[str]:
    for source, count in failures.items():
        if count >= MOST_FAILURES:
            yield f"The last {count} iterations of {source} failed."
        elif count and source in unproven:
            yield f"{source} has failed since the start."


def _folder() -> Path:
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else _ELSEWHERE


def _prefix() -> str:
    """Returns what this container's names begin with: those of a pod share one memory."""
    with suppress(OSError):
        return f"logscollector-{Path('/proc/self/ns/mnt').stat().st_ino}-"
    return "logscollector-"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} minutes"
