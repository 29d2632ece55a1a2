"""How far a comparison is, for a person who watches."""

from utils.model import Gauge, LogObject


class Progress(Gauge):
    """How far a comparison is: `lines` of the bucket, and events of the log streams."""

    lines: int = 0

    def read(self, one: LogObject, lines: int) -> None:
        """Takes an object into account that is read."""
        self.objects += 1
        self.bytes += one.size_bytes
        self.lines += lines

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1: one half is the bucket, the other the log streams."""
        bucket = self.bytes / self.bytes_total if self.bytes_total else 1.0
        # There are about as many events as lines, once all of these are read.
        streams = min(1.0, self.events / self.lines) if self.lines and bucket >= 1 else 0.0
        return (bucket + streams) / 2

    def amounts(self, _: float) -> str:
        """Returns how much was read of both sides, in words."""
        return f"{self.lines:,} lines, {self.events:,} events"
