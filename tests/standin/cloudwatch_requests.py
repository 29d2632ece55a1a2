"""The shape of a request, and the operations on log groups and log streams.

Each request is a structure with the service's own members that knows how to apply itself.
Members that the stand-in doesn't know are refused, so that none is silently ignored.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_Operations.html
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_rules import RefusalError, invalid_parameter
from tests.standin.cloudwatch_store import LogGroup, LogStream

GroupName = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"\A[.\-_/#A-Za-z0-9]+\Z")]
StreamName = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"\A[^:*]*\Z")]
LogClass = Literal["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"]
NextToken = Annotated[str, Meta(min_length=1)]
DescribeLimit = Annotated[int, Meta(ge=1, le=50)]
# fmt: off
RETENTION_DAYS = frozenset((
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545,
    731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
))
# fmt: on
"""https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html"""

SEQUENCE_TOKEN = "49590302938579301293847561029384756102938475610293847561"
"""Deprecated and ignored by the service, and the same for every stream here."""


class Request(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A request of one operation."""

    def apply(self, account: Account) -> Struct | None:
        """Does the work and returns the answer, None for an empty one.

        Raises:
            RefusalError: the service would refuse the request.
        """
        raise NotImplementedError


class Answer(Struct, rename="camel", omit_defaults=True, gc=False):
    """An answer or a part of one; members that have their default are left out."""


class GroupRequest(Request):
    """A request about one log group by its name."""

    log_group_name: GroupName


class StreamRequest(GroupRequest):
    """A request about one log stream by its name."""

    log_stream_name: StreamName


class CreateLogGroup(GroupRequest):
    """Makes a log group."""

    log_group_class: LogClass = "STANDARD"
    tags: dict[str, str] | None = None

    def apply(self, account: Account) -> None:
        """Makes the group unless there is one of its name."""
        name = self.log_group_name
        if name.startswith("aws/"):
            raise invalid_parameter("Log groups starting with aws/ are reserved for AWS.")
        if name in account.groups:
            raise RefusalError(
                "ResourceAlreadyExistsException", "The specified log group already exists"
            )
        account.groups[name] = LogGroup(name, account.now_ms(), self.log_group_class)


class DeleteLogGroup(GroupRequest):
    """Deletes a log group with all its events."""

    def apply(self, account: Account) -> None:
        """Deletes the group."""
        del account.groups[account.group(self.log_group_name).name]


class PutRetentionPolicy(GroupRequest):
    """Sets the retention of a log group."""

    retention_in_days: int

    def apply(self, account: Account) -> None:
        """Sets the days, which must be one of the documented values."""
        if self.retention_in_days not in RETENTION_DAYS:
            raise invalid_parameter(
                f"1 validation error detected: Value '{self.retention_in_days}' at "
                "'retentionInDays' failed to satisfy constraint: Member must satisfy enum value "
                f"set: {sorted(RETENTION_DAYS)}"
            )
        account.group(self.log_group_name).retention_days = self.retention_in_days


class DeleteRetentionPolicy(GroupRequest):
    """Lets the events of a log group never expire."""

    def apply(self, account: Account) -> None:
        """Takes the retention away."""
        account.group(self.log_group_name).retention_days = None


class CreateLogStream(StreamRequest):
    """Makes a log stream."""

    def apply(self, account: Account) -> None:
        """Makes the stream unless there is one of its name."""
        group = account.group(self.log_group_name)
        if self.log_stream_name in group.streams:
            raise RefusalError(
                "ResourceAlreadyExistsException", "The specified log stream already exists"
            )
        stream = LogStream(self.log_stream_name, account.now_ms(), account.archive())
        group.streams[stream.name] = stream


class DeleteLogStream(StreamRequest):
    """Deletes a log stream with all its events."""

    def apply(self, account: Account) -> None:
        """Deletes the stream."""
        group = account.group(self.log_group_name)
        del group.streams[group.stream(self.log_stream_name).name]
