"""PutLogEvents and GetLogEvents.

Source: .../APIReference/API_PutLogEvents.html and API_GetLogEvents.html below
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/
"""

from collections.abc import Sequence
from time import monotonic
from typing import Annotated

from msgspec import Meta

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_pages import HEAD, filled, parsed, read_page
from tests.standin.cloudwatch_requests import (
    SEQUENCE_TOKEN,
    Answer,
    NextToken,
    StreamRequest,
)
from tests.standin.cloudwatch_rules import (
    MAXIMUM_TIMESTAMP_MS,
    InputLogEvent,
    RefusalError,
    RejectedLogEventsInfo,
    check_batch,
    invalid_parameter,
    verdict,
)
from tests.standin.cloudwatch_store import LogGroup, StoredEvent, between

Timestamp = Annotated[int, Meta(ge=0, le=MAXIMUM_TIMESTAMP_MS)]
EventsLimit = Annotated[int, Meta(ge=1, le=10_000)]


class PutLogEventsAnswer(Answer):
    """Says what was rejected, if anything."""

    next_sequence_token: str
    rejected_log_events_info: RejectedLogEventsInfo | None = None


class OutputLogEvent(Answer):
    """An event as GetLogEvents returns it."""

    timestamp: int
    message: str
    ingestion_time: int


class GetLogEventsAnswer(Answer):
    """A page of one stream; a token that equals the one sent says that there is no more."""

    events: Sequence[OutputLogEvent]
    next_forward_token: str
    next_backward_token: str


class PutLogEvents(StreamRequest):
    """Stores a batch of events."""

    log_events: list[InputLogEvent]
    sequence_token: NextToken | None = None
    entity: dict[str, dict[str, str]] | None = None

    def apply(self, account: Account) -> PutLogEventsAnswer:
        """Stores what is not rejected, removing no duplicates."""
        check_batch(self.log_events)
        group = account.group(self.log_group_name)
        stream = group.stream(self.log_stream_name)
        refused = account.settings.refuse_containing
        if refused and any(refused in event.message for event in self.log_events):
            raise invalid_parameter("A log event of the batch is not acceptable.")
        now_ms = account.now_ms()
        found = verdict(self.log_events, now_ms, group.retention_days)
        kept = self.log_events[found.start : found.end]
        stream.add(_stored(account, kept, now_ms))
        account.calls.events_rejected += len(self.log_events) - len(kept)
        return PutLogEventsAnswer(SEQUENCE_TOKEN, found.rejected)


class GetLogEvents(StreamRequest):
    """Reads one stream from its head; of its end only the last page."""

    start_time: Timestamp = 0
    end_time: Timestamp = MAXIMUM_TIMESTAMP_MS
    next_token: NextToken | None = None
    limit: EventsLimit = 10_000
    start_from_head: bool = False

    def apply(self, account: Account) -> GetLogEventsAnswer:
        """Returns a page from `start_time`, inclusive, to `end_time`, exclusive."""
        group = account.group(self.log_group_name)
        _check_class(group, "GetLogEvents")
        stream = group.stream(self.log_stream_name)
        events = between(stream.archive.ordered(), self.start_time, self.end_time)
        token = parsed(self.next_token) if self.next_token else HEAD
        if self.start_from_head:
            page, forward = read_page(events, token, self.limit, monotonic())
        elif self.next_token:
            raise invalid_parameter("A nextForwardToken needs startFromHead to be true.")
        else:
            page, forward = filled(reversed(events), self.limit, monotonic())[::-1], token
        if page and account.draws_empty_page():
            page, forward = [], token.rested()
        found = [OutputLogEvent(e.timestamp, e.message, e.ingestion_time) for e in page]
        return GetLogEventsAnswer(found, str(forward), f"b/{token}")


def _check_class(group: LogGroup, operation: str) -> None:
    """Refuses to read but for the class Standard; the sentence is the service's own.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch_Logs_Log_Classes.html
    """
    if group.log_class != "STANDARD":
        raise RefusalError(
            "InvalidOperationException",
            f"The log group {group.name} is of log-group-class {group.log_class}. {operation} is "
            "not supported for this log class.",
        )


def _stored(account: Account, events: Sequence[InputLogEvent], now_ms: int) -> list[StoredEvent]:
    visible_at = monotonic() + account.settings.visible_after_ms / 1000
    return [
        StoredEvent(event.timestamp, event.message, now_ms, account.next_number(), visible_at)
        for event in events
    ]
