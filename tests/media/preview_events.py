"""Half a day of made-up audit logs, shipped hour by hour by the daemon, for the dashboards."""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import boto3

from tests.demo import (
    AWS_ACCESS,
    AWS_SECRET,
    BUCKET,
    LOG_GROUP,
    OPERATION,
    OUTPUT_BUCKET,
    REGION,
    AuditObject,
    DemoError,
    engine_variables,
    run_engine,
    stream_of,
)
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.stored_event import StoredEvent
from tests.world.audit_events import Period, audit_lines, gzip_lines, object_key

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HOURS = 12
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
# The type, the bucket that is logged, the events of a quiet hour.
HOURLY = (
    ("S3", "vm-backups", 130),
    ("S3", "media-archive", 80),
    ("S3", "web-assets", 50),
    ("IAM", "", 24),
    ("Console", "", 20),
    ("Access", "vm-backups", 120),
    ("Access", "web-assets", 60),
)
# Older than CloudWatch takes events at their own time.
OLD = timedelta(days=20)
OLD_EVENTS = 40
OLD_SEED = 10_000


class Shipping:
    """The daemon between two servers, an iteration for each hour.

    Args:
        lyve_cloud: the S3 server.
        cloudwatch: the stand-in, whose clock is set back to each hour.
        directory: for the configuration and what the daemon says.
    """

    def __init__(
        self, lyve_cloud: SeaweedFS, cloudwatch: CloudWatchStandin, directory: Path
    ) -> None:
        self._s3: S3Client = lyve_cloud.client()
        self._cloudwatch = cloudwatch
        self._directory = directory
        self._variables = engine_variables(lyve_cloud, cloudwatch.endpoint_url)

    def run(self, now: datetime) -> list[StoredEvent]:
        """Ships what Lyve Cloud would have written in the last hours; returns what is stored.

        Raises:
            DemoError: the daemon failed.
        """
        self._prepare()
        for hours_ago in range(HOURS - 1, -1, -1):
            self._cloudwatch.control(clock_offset_ms=-hours_ago * HOUR_MS)
            self._ship(hourly_objects(now - hours_ago * HOUR, hours_ago))
            print(f"  {HOURS - hours_ago} of {HOURS} hours are shipped", flush=True)
        self._ship(old_objects(now))
        return list(self._stored())

    def _ship(self, written: Iterable[AuditObject]) -> None:
        for one in written:
            self._s3.put_object(Bucket=BUCKET, Key=one.key, Body=gzip_lines(one.lines))
        if status := run_engine(self._directory, self._variables):
            said = (self._directory / "engine.log").read_text(errors="replace")
            raise DemoError(f"engine.py ended with status {status}. It said:\n{said[-2000:]}")

    def _prepare(self) -> None:
        for bucket in (BUCKET, OUTPUT_BUCKET):
            self._s3.create_bucket(Bucket=bucket)
        logs = boto3.client(
            "logs",
            endpoint_url=self._cloudwatch.endpoint_url,
            region_name=REGION,
            aws_access_key_id=AWS_ACCESS,
            aws_secret_access_key=AWS_SECRET,
        )
        logs.create_log_group(logGroupName=LOG_GROUP)

    def _stored(self) -> Iterator[StoredEvent]:
        for log_type in OPERATION:
            stream = stream_of(log_type)
            for one in self._cloudwatch.events(LOG_GROUP, stream):
                yield StoredEvent(one.timestamp, one.ingestion_time, stream, one.message)


def ship() -> list[StoredEvent]:
    """Starts the servers, ships, and returns what is stored.

    Raises:
        DemoError: the daemon failed.
    """
    with (
        TemporaryDirectory() as name,
        SeaweedFS(Path(name)) as lyve_cloud,
        CloudWatchStandin() as cloudwatch,
    ):
        return Shipping(lyve_cloud, cloudwatch, Path(name)).run(datetime.now(UTC))


def hourly_objects(until: datetime, hours_ago: int) -> Iterator[AuditObject]:
    """Yields what Lyve Cloud writes about the hour before a time.

    Args:
        until: when the hour ends.
        hours_ago: which hour it is: another one has other events, and more or fewer of them.
    """
    share = 1.2 + 0.8 * math.sin(2 * math.pi * (hours_ago + 1) / HOURS)
    for number, (log_type, bucket, count) in enumerate(HOURLY):
        period = Period((until - HOUR).replace(microsecond=0), HOUR)
        seed = hours_ago * len(HOURLY) + number
        lines = list(audit_lines(log_type, round(count * share), period, seed, bucket))
        yield AuditObject(log_type, object_key(log_type, until, bucket), lines)


def old_objects(now: datetime) -> Iterator[AuditObject]:
    """Yields audit logs that appear weeks late."""
    for number, log_type in enumerate(OPERATION):
        at = now - OLD - number * HOUR * 20
        lines = list(audit_lines(log_type, OLD_EVENTS, Period(at, 2 * HOUR), OLD_SEED + number))
        yield AuditObject(log_type, object_key(log_type, at + 2 * HOUR), lines)
