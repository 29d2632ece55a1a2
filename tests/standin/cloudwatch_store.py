"""What the stand-in holds: log groups, their streams, and the events of each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Protocol

from msgspec import Struct

from tests.standin.cloudwatch_rules import RefusalError

DIGEST_BYTES = 16
BUCKETS = 256

Position = tuple[int, int]
"""An event's place in a stream's order: its timestamp and its number of ingestion."""


class StoredEvent(Struct, gc=False, frozen=True):
    """An accepted event; `visible_at` is in seconds of the monotonic clock."""

    timestamp: int
    message: str
    ingestion_time: int
    number: int
    visible_at: float

    @property
    def position(self) -> Position:
        """The place in the stream's order."""
        return self.timestamp, self.number


class Archive(Protocol):
    """What keeps the events of one stream."""

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Keeps events in their order of ingestion."""

    def count(self) -> int:
        """Returns how many events were kept."""

    def distinct(self) -> int:
        """Returns how many different pairs of timestamp and message were kept."""

    def ingested(self) -> Sequence[StoredEvent]:
        """Returns all events in their order of ingestion."""

    def ordered(self) -> Sequence[StoredEvent]:
        """Returns all events by timestamp, those of one millisecond by ingestion."""

    def rewrite(self, events: Sequence[StoredEvent]) -> None:
        """Keeps other events instead, in their order of ingestion."""


class KeptEvents:
    """Keeps whole events."""

    def __init__(self) -> None:
        self._ingested: list[StoredEvent] = []
        self._ordered: list[StoredEvent] = []

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Keeps events in their order of ingestion."""
        self._ingested.extend(events)

    def count(self) -> int:
        """Returns how many events were kept."""
        return len(self._ingested)

    def distinct(self) -> int:
        """Returns how many different pairs of timestamp and message were kept."""
        return len({(event.timestamp, event.message) for event in self._ingested})

    def ingested(self) -> Sequence[StoredEvent]:
        """Returns all events in their order of ingestion."""
        return self._ingested

    def ordered(self) -> Sequence[StoredEvent]:
        """Returns all events by timestamp, those of one millisecond by ingestion."""
        if len(self._ordered) < len(self._ingested):
            self._ordered.extend(self._ingested[len(self._ordered) :])
            self._ordered.sort(key=attrgetter("timestamp"))
        return self._ordered

    def rewrite(self, events: Sequence[StoredEvent]) -> None:
        """Keeps other events instead, in their order of ingestion."""
        self._ingested, self._ordered = [*events], []


class DigestedEvents:
    """Keeps 16 bytes of each event, in buckets so that counting takes little memory."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(BUCKETS)]

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Keeps the digests of events."""
        for event in events:
            text = f"{event.timestamp} {event.message}"
            digest = blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
            self._buckets[digest[0]] += digest

    def count(self) -> int:
        """Returns how many events were kept."""
        return sum(map(len, self._buckets)) // DIGEST_BYTES

    def distinct(self) -> int:
        """Returns how many different pairs of timestamp and message were kept."""
        return sum(len(set(_digests(bucket))) for bucket in self._buckets)

    def ingested(self) -> Sequence[StoredEvent]:
        """Refuses: the events are gone."""
        raise RefusalError(
            "InvalidOperationException", "The stand-in was told to discard messages."
        )

    def ordered(self) -> Sequence[StoredEvent]:
        """Refuses: the events are gone."""
        return self.ingested()

    def rewrite(self, events: Sequence[StoredEvent]) -> None:
        """Keeps other events instead."""
        self._buckets = [bytearray() for _ in range(BUCKETS)]
        self.add(events)


class LogStream:
    """A log stream and its events.

    Args:
        name: within its group.
        created_ms: the service's clock at creation.
        archive: keeps the events.
    """

    def __init__(self, name: str, created_ms: int, archive: Archive) -> None:
        self.name = name
        self.created_ms = created_ms
        self.archive = archive
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self.ingested_ms: int | None = None

    def add(self, events: Sequence[StoredEvent]) -> None:
        """Stores events that stand in chronological order."""
        if not events:
            return
        first, last = events[0].timestamp, events[-1].timestamp
        self.first_ms = first if self.first_ms is None else min(first, self.first_ms)
        self.last_ms = last if self.last_ms is None else max(last, self.last_ms)
        self.ingested_ms = events[0].ingestion_time
        self.archive.add(events)


class LogGroup:
    """A log group and its streams.

    Args:
        name: within the account and region.
        created_ms: the service's clock at creation.
        log_class: STANDARD or another log class.
    """

    def __init__(self, name: str, created_ms: int, log_class: str) -> None:
        self.name = name
        self.created_ms = created_ms
        self.log_class = log_class
        self.retention_days: int | None = None
        self.streams: dict[str, LogStream] = {}

    def stream(self, name: str) -> LogStream:
        """Returns a stream.

        Raises:
            RefusalError: there is none of this name.
        """
        if name not in self.streams:
            raise RefusalError(
                "ResourceNotFoundException", "The specified log stream does not exist."
            )
        return self.streams[name]


def between(events: Sequence[StoredEvent], start_ms: int, end_ms: int) -> Sequence[StoredEvent]:
    """Returns the ordered events from a start, inclusive, to an end, exclusive."""
    timestamp = attrgetter("timestamp")
    low = bisect_left(events, start_ms, key=timestamp)
    return events[low : bisect_left(events, end_ms, key=timestamp)]


def _digests(bucket: bytearray) -> Iterator[bytes]:
    kept = bytes(bucket)
    return (kept[at : at + DIGEST_BYTES] for at in range(0, len(kept), DIGEST_BYTES))
