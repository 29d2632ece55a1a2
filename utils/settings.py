"""The validated settings of a source, as the daemon uses them."""

from dataclasses import dataclass, field
from typing import Literal

from utils.model import SourceIdentity

LogType = Literal["S3", "IAM", "Console"]


@dataclass(frozen=True, slots=True)
class LyveAccess:
    """How one tenant's buckets are reached. Its repr shows neither key."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str
    endpoint_url: str


@dataclass(frozen=True, slots=True)
class AwsAccess:
    """How CloudWatch is reached; without keys by boto3's own credential chain."""

    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One type of audit log of one bucket, and where it goes.

    Attributes:
        name: names the checkpoint, the status lines and the quarantine.
        bucket_name: holds the audit logs, and is only read.
        output_bucket: takes status lines, checkpoints and quarantined lines.
        since_ms: where coverage begins, in ms since 1970; None for the start of the daemon.
        batch_size: events in one request, at most.
        concurrency: requests in flight, at most.
        settle_seconds: how long stored events may take until they can be read back.
    """

    name: str
    bucket_name: str
    output_bucket: str
    log_type: LogType
    since_ms: int | None
    log_group: str
    log_stream: str
    batch_size: int
    concurrency: int
    settle_seconds: float
    lyve: LyveAccess
    aws: AwsAccess

    @property
    def identity(self) -> SourceIdentity:
        """What its checkpoint is for."""
        return SourceIdentity(
            self.bucket_name, self.log_type, self.aws.region, self.log_group, self.log_stream
        )
