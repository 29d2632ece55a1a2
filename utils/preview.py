"""Says what an iteration would ship, and what that takes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from utils.batching import MAX_AGE_MS
from utils.model import LogObject

# Standard class in us-east-1: https://aws.amazon.com/cloudwatch/pricing/
PRICE_PER_GB = 0.50
# What 32 requests in flight of 100 events each reach at 160 ms a request.
EVENTS_PER_SECOND = 20_000
_GB = 10**9


class Sample(msgspec.Struct, frozen=True):
    """What reading the beginning of one object showed."""

    lines: int = 0
    content_bytes: int = 0
    object_bytes: int = 0


class Preview(msgspec.Struct):
    """The objects that are due, summed up. Times in ms since 1970."""

    now_ms: int
    objects: int = 0
    size_bytes: int = 0
    old_bytes: int = 0
    oldest_ms: int | None = None
    newest_ms: int = 0
    sample: Sample = Sample()

    def note(self, due: LogObject) -> None:
        """Takes an object into account."""
        self.objects += 1
        self.size_bytes += due.size_bytes
        if due.last_modified_ms < self.now_ms - MAX_AGE_MS:
            self.old_bytes += due.size_bytes
        known_ms = due.last_modified_ms if self.oldest_ms is None else self.oldest_ms
        self.oldest_ms = min(known_ms, due.last_modified_ms)
        self.newest_ms = max(self.newest_ms, due.last_modified_ms)

    def events(self) -> int:
        """Returns how many events there are, by the sample."""
        return round(self._share() * self.sample.lines)

    def content_bytes(self) -> float:
        """Returns what CloudWatch counts of them, by the sample."""
        return self._share() * self.sample.content_bytes

    def _share(self) -> float:
        return self.size_bytes / max(1, self.sample.object_bytes)


def rows(previews: Sequence[Preview]) -> list[tuple[str, str]]:
    """Returns the previews, summed up, as rows of a table: what, and how much."""
    due = [one for one in previews if one.oldest_ms is not None]
    if not due:
        return [("objects due", "0"), ("last modified", "-")]
    size_bytes = sum(one.size_bytes for one in due)
    events = sum(one.events() for one in due)
    content_gb = sum(one.content_bytes() for one in due) / _GB
    seconds = timedelta(seconds=round(events / EVENTS_PER_SECOND))
    old = sum(one.old_bytes for one in due) / max(1, size_bytes)
    oldest_ms = min(one.oldest_ms or 0 for one in due)
    newest_ms = max(one.newest_ms for one in due)
    sampled = sum(one.sample.lines for one in due)
    return [
        ("objects due", f"{sum(one.objects for one in due):,}"),
        ("size", f"{size_bytes:,} bytes as stored"),
        ("last modified", f"{_day(oldest_ms)} to {_day(newest_ms)}"),
        ("events", f"about {events:,}, by a sample of {sampled:,} lines"),
        ("past 14 days", f"about {old:.0%}: these get the time of their upload"),
        ("ingestion", f"about ${content_gb * PRICE_PER_GB:,.2f} at ${PRICE_PER_GB:.2f} a GB"),
        ("time", f"about {seconds} at {EVENTS_PER_SECOND:,} events a second"),
    ]


def _day(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M}"
