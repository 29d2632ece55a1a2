"""What becomes of batches, and the times that are given to events at their upload."""

from threading import Lock

import msgspec

from utils.errors import ForwarderError
from utils.model import Batch, LogEvent


class Delivery(msgspec.Struct):
    """What became of the events of a batch; with an error, those in no list are not stored."""

    accepted: list[LogEvent] = msgspec.field(default_factory=list)
    refused: list[tuple[LogEvent, str]] = msgspec.field(default_factory=list)
    uncertain: list[Batch] = msgspec.field(default_factory=list)
    error: ForwarderError | None = None

    def add(self, other: "Delivery") -> "Delivery":
        """Adds the other delivery to this one."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.uncertain += other.uncertain
        self.error = self.error or other.error
        return self


class UploadTimes:
    """Hands out upload times, each once.

    Args:
        first_ms: the first of them, in ms since 1970.
    """

    def __init__(self, first_ms: int) -> None:
        self._lock = Lock()
        self.next_ms = first_ms

    def take(self) -> int:
        """Returns the next upload time in ms since 1970."""
        with self._lock:
            self.next_ms += 1
            return self.next_ms - 1
