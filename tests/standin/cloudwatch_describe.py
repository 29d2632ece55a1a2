"""DescribeLogGroups and DescribeLogStreams: both search by prefix, page by page.

Source: .../APIReference/API_DescribeLogGroups.html and .../API_DescribeLogStreams.html below
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_requests import (
    SEQUENCE_TOKEN,
    Answer,
    DescribeLimit,
    GroupName,
    GroupRequest,
    LogClass,
    NextToken,
    Request,
    StreamName,
)
from tests.standin.cloudwatch_rules import invalid_parameter
from tests.standin.cloudwatch_store import LogGroup, LogStream

Entry = TypeVar("Entry")


class LogGroupEntry(Answer, kw_only=True):
    """A log group as DescribeLogGroups shows it."""

    log_group_name: str
    creation_time: int
    retention_in_days: int | None = None
    metric_filter_count: int
    arn: str
    log_group_arn: str
    stored_bytes: int
    log_group_class: str


class LogStreamEntry(Answer, kw_only=True):
    """A log stream as DescribeLogStreams shows it."""

    log_stream_name: str
    creation_time: int
    first_event_timestamp: int | None = None
    last_event_timestamp: int | None = None
    last_ingestion_time: int | None = None
    upload_sequence_token: str
    arn: str
    stored_bytes: int


class LogGroups(Answer):
    """A page of log groups."""

    log_groups: Sequence[LogGroupEntry]
    next_token: str | None = None


class LogStreams(Answer):
    """A page of log streams."""

    log_streams: Sequence[LogStreamEntry]
    next_token: str | None = None


class DescribeLogGroups(Request):
    """Lists log groups by name."""

    log_group_name_prefix: GroupName = ""
    log_group_class: LogClass | None = None
    limit: DescribeLimit = 50
    next_token: NextToken | None = None

    def apply(self, account: Account) -> LogGroups:
        """Returns a page of the groups whose names begin with the prefix."""
        found = [
            account.groups[name]
            for name in sorted(account.groups)
            if name.startswith(self.log_group_name_prefix)
            and self.log_group_class in (None, account.groups[name].log_class)
        ]
        page, token = paged(found, self.next_token, self.limit, lambda group: group.name)
        return LogGroups([_group_entry(account, group) for group in page], token)


class DescribeLogStreams(GroupRequest):
    """Lists the log streams of a group."""

    log_stream_name_prefix: StreamName | None = None
    limit: DescribeLimit = 50
    next_token: NextToken | None = None

    def apply(self, account: Account) -> LogStreams:
        """Returns a page of the streams whose names begin with the prefix."""
        group = account.group(self.log_group_name)
        prefix = self.log_stream_name_prefix or ""
        found = [stream for stream in group.streams.values() if stream.name.startswith(prefix)]
        found.sort(key=lambda stream: stream.name)
        page, token = paged(found, self.next_token, self.limit, lambda stream: stream.name)
        return LogStreams([_stream_entry(account, group, stream) for stream in page], token)


def paged(
    found: Sequence[Entry], token: str | None, limit: int, name: Callable[[Entry], str]
) -> tuple[Sequence[Entry], str | None]:
    """Returns the page after the entry that a token names, and the token of the next page.

    Raises:
        RefusalError: the token names none of the entries.
    """
    names = [name(entry) for entry in found]
    if token is not None and token not in names:
        raise invalid_parameter("The specified nextToken is invalid.")
    start = 0 if token is None else names.index(token) + 1
    end = start + limit
    return found[start:end], names[end - 1] if end < len(names) else None


def _group_entry(account: Account, group: LogGroup) -> LogGroupEntry:
    arn = account.group_arn(group.name)
    return LogGroupEntry(
        log_group_name=group.name,
        creation_time=group.created_ms,
        retention_in_days=group.retention_days,
        metric_filter_count=0,
        arn=f"{arn}:*",
        log_group_arn=arn,
        stored_bytes=0,
        log_group_class=group.log_class,
    )


def _stream_entry(account: Account, group: LogGroup, stream: LogStream) -> LogStreamEntry:
    return LogStreamEntry(
        log_stream_name=stream.name,
        creation_time=stream.created_ms,
        first_event_timestamp=stream.first_ms,
        last_event_timestamp=stream.last_ms,
        last_ingestion_time=stream.ingested_ms,
        upload_sequence_token=SEQUENCE_TOKEN,
        arn=account.stream_arn(group.name, stream.name),
        stored_bytes=0,
    )
