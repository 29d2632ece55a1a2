"""Cuts events into batches that CloudWatch accepts."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import attrgetter

import msgspec
from msgspec.structs import replace

from utils.model import DAY_MS, HOUR_MS, Batch, LogEvent

# The limits of one request and one event:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_BATCH_EVENTS = 10_000
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
MAX_MESSAGE_BYTES = MAX_BATCH_BYTES - EVENT_OVERHEAD_BYTES
MAX_BATCH_SPAN_MS = DAY_MS
MAX_AGE_MS = 14 * DAY_MS
MAX_AHEAD_MS = 2 * HOUR_MS

_timestamp = attrgetter("timestamp_ms")


class Acceptance(msgspec.Struct, frozen=True):
    """The times of events that CloudWatch accepts, both ends included, in ms since 1970."""

    oldest_ms: int
    newest_ms: int

    def includes(self, timestamp_ms: int) -> bool:
        """Tells if an event of this time is accepted."""
        return self.oldest_ms <= timestamp_ms <= self.newest_ms


def acceptance(now_ms: int, retention_days: int | None) -> Acceptance:
    """Returns what CloudWatch accepts now.

    Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html

    Args:
        now_ms: the time, in ms since 1970.
        retention_days: the log group's retention, None if it never expires.
    """
    return Acceptance(now_ms - oldest_age_ms(retention_days), now_ms + MAX_AHEAD_MS)


def oldest_age_ms(retention_days: int | None) -> int:
    """Returns how old an event may be when it is put.

    Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html

    Args:
        retention_days: the log group's retention, None if it never expires.
    """
    return MAX_AGE_MS if retention_days is None else min(MAX_AGE_MS, retention_days * DAY_MS)


def restamped(events: Iterable[LogEvent]) -> list[LogEvent]:
    """Returns the events with their upload times in place of their own, in the order of these.

    Args:
        events: what CloudWatch would reject for its time.
    """
    stamped = (
        replace(event, timestamp_ms=event.upload_times[-1], restamped=True) for event in events
    )
    return sorted(stamped, key=_timestamp)


def batches(events: list[LogEvent], accepted: Acceptance, batch_size: int) -> Iterator[Batch]:
    """Yields the events in chronological order in valid batches.

    Events that CloudWatch would reject have batches of their own, still with their own time.

    Args:
        events: in any order.
        accepted: the times that CloudWatch accepts.
        batch_size: the most events of a batch, at most `MAX_BATCH_EVENTS`.
    """
    in_order = sorted(events, key=_timestamp)
    oldest = bisect_left(in_order, accepted.oldest_ms, key=_timestamp)
    newest = bisect_right(in_order, accepted.newest_ms, key=_timestamp)
    yield from _cut(in_order[oldest:newest], batch_size, MAX_BATCH_SPAN_MS)
    if newest - oldest < len(events):
        out_of_time = [event for event in events if not accepted.includes(event.timestamp_ms)]
        yield from _cut(out_of_time, batch_size, None)


def _cut(events: list[LogEvent], batch_size: int, span_ms: int | None) -> Iterator[Batch]:
    sizes = (event.size_bytes + EVENT_OVERHEAD_BYTES for event in events)
    bytes_before = list(accumulate(sizes, initial=0))
    start = 0
    while start < len(events):
        end = bisect_right(bytes_before, bytes_before[start] + MAX_BATCH_BYTES) - 1
        if span_ms is not None:
            behind_ms = events[start].timestamp_ms + span_ms
            end = bisect_left(events, behind_ms, start, end, key=_timestamp)
        end = max(start + 1, min(end, start + batch_size))
        yield events[start:end]
        start = end


def split_rejected(
    batch: Batch, too_old_end: int, expired_end: int, too_new_start: int | None
) -> tuple[Batch, Batch]:
    """Returns the accepted and the rejected events of a batch, from the answer's indices.

    Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_RejectedLogEventsInfo.html

    Args:
        batch: as it was sent.
        too_old_end: the index behind the last event that is too old, 0 for none.
        expired_end: the index behind the last event older than the retention, 0 for none.
        too_new_start: the index of the first event too far ahead, None for none.
    """
    first = max(too_old_end, expired_end)
    end = len(batch) if too_new_start is None else max(first, too_new_start)
    return batch[first:end], [*batch[:first], *batch[end:]]
