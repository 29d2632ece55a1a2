"""Keeps what the running program says of itself where the image's health check finds it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import msgspec

from utils.health import MOST_STANDSTILL_SECONDS, Sign, Work

# In memory, and there to be written also where a container's root is read-only.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - no name in it is taken over from anybody
_SAY_EVERY_SECONDS = 5.0

Progress = Callable[[], object]


class HealthSign:
    """What this process says of itself, said again and again.

    Args:
        elapsed_seconds: a clock that nobody sets.
    """

    def __init__(self, elapsed_seconds: Callable[[], float]) -> None:
        self._elapsed_seconds = elapsed_seconds
        self._path = _place() / f"{_prefix()}{os.getpid()}.json"
        self._lock = Lock()
        self._failures = 0
        self._idle_seconds: float | None = None
        self._said_seconds = float("-inf")
        self._working: dict[str, tuple[Progress, object, Work]] = {}

    def wait(self) -> None:
        """Notes that the program waits for its next iteration from now on."""
        self._idle_seconds = self._elapsed_seconds()

    def end(self, is_good: bool) -> None:
        """Notes the end of an iteration of all sources.

        Args:
            is_good: whether none failed.
        """
        self._failures = 0 if is_good else self._failures + 1
        if self._idle_seconds is not None:
            self.wait()

    @contextmanager
    def working(self, source: str, progress: Progress, settle_seconds: float) -> Iterator[None]:
        """Watches an iteration of one source for as long as the context lasts.

        Args:
            source: its name.
            progress: returns another value whenever it has come further.
            settle_seconds: how long it waits without coming further, where something is in doubt.
        """
        work = Work(self._elapsed_seconds(), MOST_STANDSTILL_SECONDS + settle_seconds)
        with self._lock:
            self._working[source] = progress, progress(), work
        try:
            yield
        finally:
            with self._lock:
                del self._working[source]

    def say(self) -> None:
        """Says how it is, if it is time to: called again and again by the thread that waits.

        Where nothing can be written nothing is said, and the health check will tell.
        """
        now_seconds = self._elapsed_seconds()
        if now_seconds - self._said_seconds < _SAY_EVERY_SECONDS:
            return
        self._said_seconds = now_seconds
        with self._lock:
            self._look(now_seconds)
            working = {source: work for source, (_, _, work) in self._working.items()}
        sign = Sign(now_seconds, self._idle_seconds, self._failures, working)
        draft = self._path.with_suffix(".draft")
        with suppress(OSError):
            draft.write_bytes(msgspec.json.encode(sign))
            draft.replace(self._path)

    def close(self) -> None:
        """Takes the sign away: the program ends."""
        with suppress(OSError):
            self._path.unlink()

    def _look(self, now_seconds: float) -> None:
        for source, (progress, known, work) in self._working.items():
            current = progress()
            if current != known:
                further = msgspec.structs.replace(work, progress_seconds=now_seconds)
                self._working[source] = progress, current, further


def signs() -> Iterator[Sign]:
    """Yields what each program in this container says of itself."""
    for path in _place().glob(f"{_prefix()}*.json"):
        with suppress(OSError, msgspec.DecodeError):
            yield msgspec.json.decode(path.read_bytes(), type=Sign)


def _place() -> Path:
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())


def _prefix() -> str:
    """Returns what the names of this container's files begin with: a pod's containers share them."""
    with suppress(OSError):
        return f"logscollector-{Path('/proc/self/ns/mnt').stat().st_ino}-"
    return "logscollector-"
