"""PutLogEvents, GetLogEvents and FilterLogEvents.

Source: .../APIReference/API_PutLogEvents.html, API_GetLogEvents.html and API_FilterLogEvents.html
below https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/
"""

from collections.abc import Sequence
from heapq import merge
from time import monotonic
from typing import Annotated

from msgspec import Meta

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_pages import (
    END,
    HEAD,
    Token,
    after,
    filled,
    parsed,
    position_of,
    read_page,
)
from tests.standin.cloudwatch_requests import (
    SEQUENCE_TOKEN,
    Answer,
    IdentifiedGroupRequest,
    NextToken,
    StreamName,
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
from tests.standin.cloudwatch_store import LogGroup, LogStream, StoredEvent, between

Timestamp = Annotated[int, Meta(ge=0, le=MAXIMUM_TIMESTAMP_MS)]
EventsLimit = Annotated[int, Meta(ge=1, le=10_000)]
StreamNames = Annotated[list[StreamName], Meta(min_length=1, max_length=100)]


class PutLogEventsAnswer(Answer):
    """Says what was rejected, if anything."""

    next_sequence_token: str
    rejected_log_events_info: RejectedLogEventsInfo | None = None


class OutputLogEvent(Answer):
    """An event as GetLogEvents returns it."""

    timestamp: int
    message: str
    ingestion_time: int


class FilteredLogEvent(OutputLogEvent):
    """An event as FilterLogEvents returns it."""

    log_stream_name: str
    event_id: str


class GetLogEventsAnswer(Answer):
    """A page of one stream; a token that equals the one sent says that there is no more."""

    events: Sequence[OutputLogEvent]
    next_forward_token: str
    next_backward_token: str


class FilterLogEventsAnswer(Answer):
    """A page of several streams; no token says that there is no more."""

    events: Sequence[FilteredLogEvent]
    searched_log_streams: Sequence[str]
    next_token: str | None = None


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
        stream.add(_stored(account, stream, kept, now_ms))
        account.calls.events_rejected += len(self.log_events) - len(kept)
        return PutLogEventsAnswer(SEQUENCE_TOKEN, found.rejected)


class GetLogEvents(IdentifiedGroupRequest, kw_only=True):
    """Reads one stream, from its head or from its end."""

    log_stream_name: StreamName
    start_time: Timestamp = 0
    end_time: Timestamp = MAXIMUM_TIMESTAMP_MS
    next_token: NextToken | None = None
    limit: EventsLimit = 10_000
    start_from_head: bool = False

    def apply(self, account: Account) -> GetLogEventsAnswer:
        """Returns a page from `start_time`, inclusive, to `end_time`, exclusive."""
        group = self.group(account)
        _check_class(group, "GetLogEvents")
        stream = group.stream(self.log_stream_name)
        events = between(stream.archive.ordered(), self.start_time, self.end_time)
        token = self._token()
        page = read_page(events, token, self.limit, monotonic())
        if page.events and account.draws_empty_page():
            page = page.rested(token)
        found = [OutputLogEvent(e.timestamp, e.message, e.ingestion_time) for e in page.events]
        return GetLogEventsAnswer(found, str(page.forward), str(page.backward))

    def _token(self) -> Token:
        if self.next_token is None:
            return HEAD if self.start_from_head else END
        token = parsed(self.next_token)
        if token.is_forward and not self.start_from_head:
            raise invalid_parameter("A nextForwardToken needs startFromHead to be true.")
        return token


class FilterLogEvents(IdentifiedGroupRequest):
    """Reads several streams of a group as one, oldest first."""

    log_stream_names: StreamNames | None = None
    log_stream_name_prefix: StreamName | None = None
    start_time: Timestamp = 0
    end_time: Timestamp = MAXIMUM_TIMESTAMP_MS
    next_token: NextToken | None = None
    limit: EventsLimit = 10_000
    interleaved: bool = True

    def apply(self, account: Account) -> FilterLogEventsAnswer:
        """Returns a page from `start_time` to `end_time`, both inclusive."""
        group = self.group(account)
        _check_class(group, "FilterLogEvents")
        token = parsed(self.next_token) if self.next_token else HEAD
        runs = [
            after(between(stream.archive.ordered(), self.start_time, self.end_time + 1), token)
            for stream in self._streams(group)
        ]
        page, more = filled(merge(*runs, key=position_of), self.limit, monotonic())
        if page and account.draws_empty_page():
            return FilterLogEventsAnswer([], [], str(token.rested()))
        next_token = str(Token("f", *page[-1].position)) if more else None
        return FilterLogEventsAnswer([_filtered(event) for event in page], [], next_token)

    def _streams(self, group: LogGroup) -> Sequence[LogStream]:
        if self.log_stream_names is not None and self.log_stream_name_prefix is not None:
            raise invalid_parameter("logStreamNames and logStreamNamePrefix exclude each other.")
        if self.log_stream_names is not None:
            return [group.stream(name) for name in sorted(set(self.log_stream_names))]
        prefix = self.log_stream_name_prefix or ""
        return [stream for stream in group.streams.values() if stream.name.startswith(prefix)]


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


def _filtered(event: StoredEvent) -> FilteredLogEvent:
    return FilteredLogEvent(
        event.timestamp,
        event.message,
        event.ingestion_time,
        event.stream_name,
        f"{event.timestamp:020d}{event.number:036d}",
    )


def _stored(
    account: Account, stream: LogStream, events: Sequence[InputLogEvent], now_ms: int
) -> list[StoredEvent]:
    visible_at = monotonic() + account.settings.visible_after_ms / 1000
    return [
        StoredEvent(
            event.timestamp, event.message, now_ms, account.next_number(), visible_at, stream.name
        )
        for event in events
    ]
