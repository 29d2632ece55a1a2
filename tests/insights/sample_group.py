"""A log group as the daemon fills it, with everything in it that a query can stumble over."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count

from tests.standin.stored_event import StoredEvent
from tests.world.audit_events import Period, audit_lines
from tests.world.in_memory import source_of
from utils.lines.forms import FORMS
from utils.report.metrics import STREAM, Figures, encode_metrics

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp()) * 1000
HOUR_MS = 3_600_000
BUCKETS = ("vm-backups", "media-archive", "web-assets")
# The type of audit log, the bucket that is logged, the events of an hour.
HOURLY = (
    *(("S3", bucket, 90) for bucket in BUCKETS),
    ("IAM", "", 40),
    ("Console", "", 40),
    *(("Access", bucket, 80) for bucket in BUCKETS[:2]),
)
HOURS = 5
OLD_DAYS = (20, 21, 40)
OLD_SEED = 1000
# Each of so many events is stored twice.
TWICE_OF = 9
ODD_MESSAGE = "no JSON at all"


@cache
def sample_group() -> tuple[StoredEvent, ...]:
    """Returns the events: some hours of all types, old ones restamped, some stored twice.

    And a heartbeat of each hour and type, which is no audit event and is to count in no result.
    """
    recent = [event for hours_ago in range(HOURS, 0, -1) for event in _hour(hours_ago)]
    old = [event for days in OLD_DAYS for event in _restamped(days)]
    odd = StoredEvent(NOW_MS - HOUR_MS, NOW_MS, _stream("S3"), ODD_MESSAGE)
    return (*recent, *old, odd, *recent[::TWICE_OF], *_heartbeats())


def _hour(hours_ago: int) -> Iterator[StoredEvent]:
    """Yields the events of an hour, which arrive some minutes after it."""
    start = NOW - timedelta(hours=hours_ago)
    for number, (log_type, bucket, events) in enumerate(HOURLY):
        period = Period(start, timedelta(hours=1))
        seed = hours_ago * len(HOURLY) + number
        lines = audit_lines(log_type, events, period, seed, bucket)
        arrives_ms = NOW_MS - (hours_ago - 1) * HOUR_MS + number * 60_000
        for place, line in enumerate(lines):
            time_ms = FORMS[log_type].time_ms(line)
            assert time_ms is not None
            yield StoredEvent(time_ms, arrives_ms + place, _stream(log_type), line.decode())


def _heartbeats() -> Iterator[StoredEvent]:
    for hours_ago in range(HOURS, 0, -1):
        moment = NOW - timedelta(hours=hours_ago - 1, minutes=-7)
        for log_type in ("S3", "IAM", "Console"):
            source = source_of(log_type=log_type, metrics_namespace="LyveCloudLogs")
            figures = Figures(iterations=1, accepted=90, lag=7.5, duration=7.5, bytes=9000)
            at_ms = int(moment.timestamp() * 1000)
            message = encode_metrics(source, figures, moment)
            yield StoredEvent(at_ms, at_ms + 400, f"{_stream(log_type)}/{STREAM}", message)


def _restamped(days: int) -> Iterator[StoredEvent]:
    period = Period(NOW - timedelta(days=days), timedelta(hours=30))
    milliseconds = count(NOW_MS + 1000 * OLD_DAYS.index(days))
    for log_type in FORMS:
        for line in audit_lines(log_type, 25, period, OLD_SEED + days, BUCKETS[0]):
            at_ms = next(milliseconds)
            yield StoredEvent(at_ms, at_ms + 400, _stream(log_type), line.decode())


def _stream(log_type: str) -> str:
    return f"lyve-cloud/audit-logs/{log_type}"
