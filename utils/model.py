"""The value types that pass between the modules."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec.structs import replace

# The window: so many lines may be stored beyond the saved checkpoint, of so many objects that it
# names in so many bytes.
WINDOW_LINES = 40_000
WINDOW_OBJECTS = 200
WINDOW_BYTES = 120_000
# So many lines of an object share an upload time: few events are then read back at one time.
LINES_AN_UPLOAD_TIME = 10_000
# Stands for a last line that equals none.
_NO_LINE_HASH = 0xFFFFFFFF


class LogObject(msgspec.Struct, frozen=True, gc=False):
    """An audit-log object as the bucket lists it."""

    last_modified_ms: int
    key: str
    etag: str
    size_bytes: int

    def folder(self, prefix: str) -> str:
        """Returns the key up to the first slash behind the prefix, such as `March-2024/`.

        The prefix need not end in a slash.
        """
        head, slash, _ = self.key[len(prefix) :].partition("/")
        return prefix + head + slash if slash else ""


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far an object is shipped: its first `lines` lines, of which the last has `line_hash`.

    `uploads_ms` are the upload times given to it, each for its first lines: the last one for what
    is to be sent, those before for what was sent when they were new. If another content was shipped
    under its key, `earlier_ms` is that one's `LastModified`. `in_doubt` says that the log stream
    may hold any line behind the position, so each is looked up before it is sent; `is_cut` that the
    line that is cut off behind it is in the quarantine.
    """

    object: LogObject
    lines: int = 0
    line_hash: int = 0
    uploads_ms: tuple[int, ...] = ()
    earlier_ms: int | None = None
    in_doubt: bool = False
    is_cut: bool = False

    @property
    def untimed_ms(self) -> int:
        """The time of a line that names none, in ms since 1970: as it was sent, if it was."""
        if self.in_doubt and self.earlier_ms is not None:
            return self.earlier_ms
        return self.object.last_modified_ms

    def begun_anew(self) -> "Position":
        """Returns the beginning of an object that no longer begins with what was shipped of it."""
        return replace(self, lines=0, line_hash=0, in_doubt=True, is_cut=False)

    def as_left(self) -> "Position":
        """Returns what is remembered of an object that is left here.

        The last line shipped of what was once in doubt is not known: if the object changes, it is
        in doubt again.
        """
        if not self.in_doubt:
            return self
        return replace(self, lines=max(1, self.lines), line_hash=_NO_LINE_HASH)

    def as_replaced(self) -> "Position":
        """Returns one that is due whatever the object holds when it is listed again."""
        return replace(self, object=replace(self.object, etag=""))


@lru_cache(maxsize=256)
def _upload_times(uploads_ms: tuple[int, ...], block: int) -> tuple[int, ...]:
    return tuple(begin_ms + block for begin_ms in uploads_ms)


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as CloudWatch takes it. `size_bytes` counts the message's UTF-8 bytes alone.

    `line_number` is that of its line in the object, and `uploads_ms` the object's upload times.
    """

    timestamp_ms: int
    message: str
    size_bytes: int
    line_number: int
    object_key: str = ""
    uploads_ms: tuple[int, ...] = ()
    restamped: bool = False

    @property
    def upload_times(self) -> tuple[int, ...]:
        """The times that it can be stored at instead of its own, in ms since 1970.

        The last one is for one that is sent now.
        """
        return _upload_times(self.uploads_ms, (self.line_number - 1) // LINES_AN_UPLOAD_TIME)


Batch = Sequence[LogEvent]


class Exclusion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lines in which `field`, a dotted path, has one of `values` are read and not sent."""

    field: Annotated[str, msgspec.Meta(pattern=r"^[^.]+(\.[^.]+)*\Z")]
    values: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class QuarantinedLine(msgspec.Struct, frozen=True):
    """A line that CloudWatch can't take; `number` counts the object's lines from 1."""

    number: int
    reason: str
    content: bytes


class OtherFormError(ValueError):
    """The line is not of the form that the lines of its type have."""


class Counts(msgspec.Struct):
    """What became of the lines of an iteration.

    `read = accepted + quarantined + blank + excluded`.
    """

    objects: int = 0
    read: int = 0
    accepted: int = 0
    quarantined: int = 0
    blank: int = 0
    excluded: int = 0
    not_json: int = 0
    not_access: int = 0
    restamped: int = 0
    damaged: int = 0
    owed: int = 0
    possibly_duplicated: int = 0

    def add(self, other: "Counts") -> None:
        """Adds the other counts to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def imbalance(self) -> int:
        """Lines that were read and neither accepted, nor quarantined, nor blank, nor excluded."""
        return self.read - self.accepted - self.quarantined - self.blank - self.excluded


class Clock(msgspec.Struct, frozen=True):
    """How the time is read: `now` for people, `elapsed_seconds` for durations."""

    now: Callable[[], datetime]
    elapsed_seconds: Callable[[], float]


class Start(msgspec.Struct, frozen=True):
    """When and as whom an iteration runs.

    `now_ms` is the time by this machine's clock, in ms since 1970; `since_ago_ms` how long ago
    coverage begins for a source of the mode lasthour that has no checkpoint: an hour, or since the
    daemon's start; `process_ago_ms` how long ago the process began.
    """

    owner: str
    now_ms: int
    since_ago_ms: int
    process_ago_ms: int = 0


class Gauge(msgspec.Struct):
    """How far an iteration is, for a person who watches; `trouble` is why nothing is taken now."""

    objects: int = 0
    objects_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    events: int = 0
    trouble: str = ""

    def expect(self, planned: Iterable[LogObject]) -> None:
        """Adds planned objects to the totals."""
        for one in planned:
            self.objects_total += 1
            self.bytes_total += one.size_bytes

    def note(self, counts: Counts, bytes_read: int) -> None:
        """Takes acknowledged lines into account; `bytes_read` are those of all so far."""
        self.objects += counts.objects
        self.events += counts.accepted
        self.bytes = bytes_read

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1."""
        return min(1.0, self.bytes / self.bytes_total) if self.bytes_total else 0.0

    def amounts(self, elapsed_seconds: float) -> str:
        """Returns how much that was, in words."""
        rate = self.events / elapsed_seconds if elapsed_seconds else 0.0
        return f"{self.events:,} events, {rate:,.0f} events/s"


def total(gauges: Iterable[Gauge]) -> Gauge:
    """Returns the sum of gauges, with the first trouble that one of them shows."""
    summed = Gauge()
    for gauge in gauges:
        for name in ("objects", "objects_total", "bytes", "bytes_total", "events"):
            setattr(summed, name, getattr(summed, name) + getattr(gauge, name))
        summed.trouble = summed.trouble or gauge.trouble
    return summed


class SourceIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a checkpoint is for; it serves no other combination.

    Without a prefix it is written as by versions that knew none.
    """

    bucket_name: str
    log_type: str
    aws_region: str
    log_group: str
    log_stream: str
    prefix: str = ""


HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def since_1970_ms(moment: datetime) -> int:
    """Returns a time in ms since 1970, cut off."""
    return (moment - _EPOCH) // _MILLISECOND


def midnight_ms(day: date) -> int:
    """Returns the beginning of a day in UTC, in ms since 1970."""
    return (day - _EPOCH.date()).days * DAY_MS


# A range of time in ms since 1970; its end is not included.
Interval = tuple[int, int]
# Times of events closer than this are read back in one go.
READ_GAP_MS = HOUR_MS
# Behind all times.
FOREVER_MS = 2**62


def union(intervals: Iterable[Interval], gap_ms: int = 0) -> list[Interval]:
    """Returns the same ranges without overlap, in order; empty ones vanish.

    Args:
        intervals: in any order.
        gap_ms: ranges so close together are joined.
    """
    merged: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if merged and start <= merged[-1][1] + gap_ms:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
