"""What becomes of batches."""

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
