"""Tells why sources failed, in one line for all that share a cause."""

from collections.abc import Iterable
from threading import Lock

from services.output.status import Clock, tell
from utils.report.failures import Failure, by_cause

# So much later another source may fail by the same cause: each waits for other times between its
# tries.
_HELD_SECONDS = 10.0


class FailureLines:
    """Holds failures back for a while, as long as other sources may fail alike."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._held: list[Failure] = []
        self._since_seconds = 0.0

    def hold(self, failures: Iterable[Failure]) -> None:
        """Takes failures to be told."""
        with self._lock:
            if not self._held:
                self._since_seconds = self._clock.elapsed_seconds()
            self._held += failures

    def tell(self) -> None:
        """Tells all that are held."""
        with self._lock:
            held, self._held = self._held, []
        for time, text, pairs in by_cause(held):
            tell(time, "ERROR", text, pairs)

    def tell_if_late(self) -> None:
        """Tells them if the first of them has been held long enough."""
        if self._clock.elapsed_seconds() - self._since_seconds >= _HELD_SECONDS:
            self.tell()
