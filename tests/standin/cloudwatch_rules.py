"""What PutLogEvents refuses as a whole, and which events it rejects while it succeeds.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
and .../API_RejectedLogEventsInfo.html. Sentences of refusals are the service's own where known.
"""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

MAXIMUM_EVENTS = 10_000
MAXIMUM_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MAXIMUM_SPAN_MS = DAY_MS
MAXIMUM_AGE_MS = 14 * DAY_MS
MAXIMUM_AHEAD_MS = 2 * HOUR_MS
MAXIMUM_TIMESTAMP_MS = 2**63 - 1


class RefusalError(Exception):
    """The service refuses a whole request.

    Args:
        name: the exception's name as the API reference has it.
        sentence: what the service says.
        status: the HTTP status.
    """

    def __init__(self, name: str, sentence: str, status: int = 400) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name = name
        self.sentence = sentence
        self.status = status


class InputLogEvent(Struct, gc=False, forbid_unknown_fields=True):
    """One event of a request: milliseconds since 1970 and the text."""

    timestamp: int
    message: str


class RejectedLogEventsInfo(Struct, rename="camel", omit_defaults=True, frozen=True):
    """Indices into the request's events: the ends are exclusive, the start is inclusive."""

    too_old_log_event_end_index: int | None = None
    expired_log_event_end_index: int | None = None
    too_new_log_event_start_index: int | None = None


class Verdict(Struct, frozen=True):
    """What becomes of a batch: events[start:end] are stored, the others are rejected."""

    start: int
    end: int
    rejected: RejectedLogEventsInfo | None


def invalid_parameter(sentence: str) -> RefusalError:
    """Returns the refusal of a wrong parameter."""
    return RefusalError("InvalidParameterException", sentence)


def event_bytes(message: str) -> int:
    """Returns what one event counts for: its UTF-8 bytes and 26."""
    size = len(message) if message.isascii() else len(message.encode())
    return size + EVENT_OVERHEAD_BYTES


def batch_bytes(events: Sequence[InputLogEvent]) -> int:
    """Returns what a batch counts for against the limit of 1,048,576 bytes."""
    return sum(event_bytes(event.message) for event in events)


def check_batch(events: Sequence[InputLogEvent]) -> None:
    """Checks the rules that no clock is needed for.

    Raises:
        RefusalError: the service would refuse the whole request.
    """
    _check_count(len(events))
    for index, event in enumerate(events, 1):
        _check_event(index, event)
    _check_size(batch_bytes(events))
    _check_order(events)


def verdict(events: Sequence[InputLogEvent], now_ms: int, retention_days: int | None) -> Verdict:
    """Decides which events of a checked batch are stored at `now_ms`.

    Args:
        events: in chronological order.
        now_ms: the service's clock.
        retention_days: of the log group, None for never.

    Raises:
        RefusalError: the events from 14 days back to 2 hours ahead span more than 24 hours.
    """
    too_old = _count_before(events, now_ms - MAXIMUM_AGE_MS)
    expired = 0
    if retention_days is not None:
        expired = _count_before(events, now_ms - retention_days * DAY_MS)
    end = _count_before(events, now_ms + MAXIMUM_AHEAD_MS + 1)
    # The reference defines "valid" for the span by 14 days and 2 hours only, not by the retention.
    _check_span(events[too_old:end])
    start = min(max(too_old, expired), end)
    rejected = RejectedLogEventsInfo(
        too_old_log_event_end_index=too_old or None,
        expired_log_event_end_index=expired or None,
        too_new_log_event_start_index=end if end < len(events) else None,
    )
    return Verdict(start, end, None if rejected == RejectedLogEventsInfo() else rejected)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAXIMUM_EVENTS:
        raise invalid_parameter(
            f"1 validation error detected: Value at 'logEvents' failed to satisfy constraint: "
            f"Member must have length between 1 and {MAXIMUM_EVENTS}, not {count}"
        )


def _check_event(index: int, event: InputLogEvent) -> None:
    if not event.message:
        raise invalid_parameter(
            f"1 validation error detected: Value '' at 'logEvents.{index}.member.message' failed "
            "to satisfy constraint: Member must have length greater than or equal to 1"
        )
    if not 0 <= event.timestamp <= MAXIMUM_TIMESTAMP_MS:
        raise invalid_parameter(
            f"1 validation error detected: Value '{event.timestamp}' at "
            f"'logEvents.{index}.member.timestamp' failed to satisfy constraint: "
            "Member must have value greater than or equal to 0"
        )
    size = event_bytes(event.message)
    if size > MAXIMUM_BATCH_BYTES:
        raise invalid_parameter(
            f"Log event too large: {size} bytes exceeds limit of {MAXIMUM_BATCH_BYTES}"
        )


def _check_size(size: int) -> None:
    if size > MAXIMUM_BATCH_BYTES:
        raise invalid_parameter(
            f"Upload too large: {size} bytes exceeds limit of {MAXIMUM_BATCH_BYTES}"
        )


def _check_order(events: Sequence[InputLogEvent]) -> None:
    if any(later.timestamp < earlier.timestamp for earlier, later in pairwise(events)):
        raise invalid_parameter(
            "Log events in a single PutLogEvents request must be in chronological order."
        )


def _check_span(events: Sequence[InputLogEvent]) -> None:
    if events and events[-1].timestamp - events[0].timestamp > MAXIMUM_SPAN_MS:
        raise invalid_parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than "
            "24 hours."
        )


def _count_before(events: Sequence[InputLogEvent], timestamp_ms: int) -> int:
    return sum(event.timestamp < timestamp_ms for event in events)
