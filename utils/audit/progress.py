"""How far a comparison is, for a person who watches."""

from datetime import timedelta

from utils.model import Gauge, LogObject
from utils.wording import printable

_BAR_WIDTH = 20
# The most that a duration can show.
_LONGEST_SECONDS = 10**9


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

    def text(self, elapsed_seconds: float) -> str:
        """Returns how far it is in words.

        Args:
            elapsed_seconds: since it began.
        """
        left = "unknown"
        if self.share:
            seconds = elapsed_seconds * (1 - self.share) / self.share
            left = f"about {timedelta(seconds=min(round(seconds), _LONGEST_SECONDS))}"
        objects = f"{self.objects:,} of {self.objects_total:,} objects"
        text = f"{objects}, {self.lines:,} lines, {self.events:,} events, {left} left"
        trouble = printable(self.trouble)
        return f"{text}, nothing comes now ({trouble})" if trouble else text

    def bar(self, elapsed_seconds: float) -> str:
        """Returns the same behind a bar.

        Args:
            elapsed_seconds: since it began.
        """
        filled = round(self.share * _BAR_WIDTH)
        bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
        return f"[{bar}] {self.text(elapsed_seconds)}\x1b[K"
