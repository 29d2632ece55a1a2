"""The validated settings of a source, as the daemon uses them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from utils.config.partitions import PARTITION_NAMES, Shard, owned_by, partition_of
from utils.model import Exclusion, LogObject, SourceIdentity

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
    """One type of audit log of one bucket, or a part of it, and where it goes.

    Attributes:
        name: names the checkpoint, the status lines and the quarantine.
        bucket_name: holds the audit logs, and is only read.
        output_bucket: takes status lines, checkpoints and quarantined lines.
        since_ms: where coverage begins, in ms since 1970; None for the start of the daemon.
        batch_size: events in one request, at most.
        concurrency: requests in flight, at most.
        settle_seconds: how long stored events may take until they can be read back.
        shard: which of the replicas that share it this process is, None if it is not shared.
        part: names the part with a checkpoint and a log stream of its own, such as `p07`; empty for
            all of the source.
        gap_hours: how long without a new object of the type is reported; None for never.
        prefix: what the keys of its objects begin with; empty for all of the bucket.
        until_ms: from when on written objects are left out, in ms since 1970; None for never.
        every_minutes: an iteration begins at each multiple of it in the hour; it divides 60.
        metrics_namespace: where CloudWatch counts its iterations; None for nowhere.
        exclude: what is read and not sent.
        shares_stream: whether another source is shipped into the same log stream.
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
    part: str = ""
    gap_hours: float | None = None
    prefix: str = ""
    until_ms: int | None = None
    every_minutes: int = 60
    metrics_namespace: str | None = None
    exclude: tuple[Exclusion, ...] = ()
    shares_stream: bool = False

    @property
    def until(self) -> datetime | None:
        """From when on written objects are left out."""
        return None if self.until_ms is None else datetime.fromtimestamp(self.until_ms / 1000, UTC)

    @property
    def state_name(self) -> str:
        """Names the checkpoint."""
        return f"{self.name}/{self.part}" if self.part else self.name

    @property
    def status_name(self) -> str:
        """Names the last status: each replica has its own."""
        return self.name + (self.shard.suffix if self.shard else "")

    def of_part(self, part: str) -> "Source":
        """Returns a part of the source, with the log stream that goes with it.

        Args:
            part: its name, empty for all of the source.
        """
        whole = self.log_stream.removesuffix(f"/{self.part}") if self.part else self.log_stream
        return replace(self, part=part, log_stream=f"{whole}/{part}" if part else whole)

    def parts(self) -> list[str]:
        """Returns the names of the parts that this process owns."""
        return [PARTITION_NAMES[one] for one in owned_by(self.shard)] if self.shard else [""]

    def part_with(self, key: str) -> str:
        """Returns the name of the part that an object falls into.

        Args:
            key: the object's key.
        """
        return PARTITION_NAMES[partition_of(key)] if self.shard else ""

    def is_of_type(self, listed: LogObject) -> bool:
        """Tells if an object below the prefix is an audit log of the type.

        The beginning of its base name tells that. Objects of the type `Access` are told by their
        prefix alone: only an empty one that stands for a folder is none.
        """
        if self.log_type == "Access":
            return bool(listed.size_bytes) or not listed.key.endswith("/")
        return listed.key.rpartition("/")[2].lower().startswith(f"{self.log_type.lower()}-")

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
