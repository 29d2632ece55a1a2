"""The validated settings of a source, as the daemon uses them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from utils.config.sharding import Shard, shard_of
from utils.model import Exclusion, SourceIdentity

# Of metrics whose setting is true.
METRICS_NAMESPACE = "LyveCloudLogs"
LogType = Literal["S3", "IAM", "Console", "Access"]


@dataclass(frozen=True, slots=True)
class LyveAccess:
    """How one tenant's buckets are reached. Its repr shows neither key."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str
    endpoint_url: str


@dataclass(frozen=True, slots=True)
class AwsAccess:
    """How CloudWatch is reached; without keys by boto3's own credential chain.

    A temporary key has a session token. With `role_arn` these credentials only assume that role,
    with `external_id` if its trust policy asks for one.
    """

    access_key: str | None = field(repr=False)
    secret_key: str | None = field(repr=False)
    region: str
    session_token: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    external_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One type of audit log of one bucket, or a replica's part of it, and where it goes.

    Attributes:
        name: names the checkpoint, the status lines and the quarantine.
        bucket_name: holds the audit logs, and is only read.
        output_bucket: takes status lines, checkpoints and quarantined lines.
        since_ms: where coverage begins, in ms since 1970; None for the start of the daemon.
        batch_size: events in one request, at most.
        concurrency: requests in flight, at most.
        settle_seconds: how long stored events may take until they can be read back.
        shard: which part of the objects is shipped, None for all of them.
        gap_hours: how long without a new object of the type is reported; None for never.
        prefix: what the keys of its objects begin with; empty for all of the bucket.
        until_ms: from when on written objects are left out, in ms since 1970; None for never.
        every_minutes: an iteration begins at each multiple of it in the hour; it divides 60.
        metrics_namespace: where CloudWatch counts its iterations; None for nowhere.
        exclude: what is read and not sent.
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
    shard: Shard | None = None
    gap_hours: float | None = None
    prefix: str = ""
    until_ms: int | None = None
    every_minutes: int = 60
    metrics_namespace: str | None = None
    exclude: tuple[Exclusion, ...] = ()

    @property
    def until(self) -> datetime | None:
        """From when on written objects are left out."""
        return None if self.until_ms is None else datetime.fromtimestamp(self.until_ms / 1000, UTC)

    @property
    def state_name(self) -> str:
        """Names the checkpoint: each replica has its own."""
        return self.name + _suffix(self.shard)

    def owns(self, key: str) -> bool:
        """Tells if the object with this key is in the part that is shipped."""
        return self.shard is None or shard_of(key, self.shard.count) == self.shard

    def of_shard(self, shard: Shard | None) -> "Source":
        """Returns the source as another replica ships it, with its own log stream."""
        base = self.log_stream.removesuffix(_suffix(self.shard))
        return replace(self, shard=shard, log_stream=base + _suffix(shard))

    @property
    def identity(self) -> SourceIdentity:
        """What its checkpoint is for."""
        return SourceIdentity(
            bucket_name=self.bucket_name,
            log_type=self.log_type,
            aws_region=self.aws.region,
            log_group=self.log_group,
            log_stream=self.log_stream,
            prefix=self.prefix,
        )


def _suffix(shard: Shard | None) -> str:
    return shard.suffix if shard else ""
