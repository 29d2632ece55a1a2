"""Compares a source with its witnesses, and keeps the report in the output bucket."""

from datetime import UTC, date, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.audit.objects import AuditObjects, Range
from services.audit.streams import LogStreams, Pace
from services.audit.verification import NOTHING_MORE, AuditGauge, Need, Verification, Witnesses
from services.aws.clients import logs_client, s3_client
from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.aws.http_session import http_session
from services.output.metrics import put_soon
from services.output.objects import put_object
from services.output.quarantine import QuarantinedLines
from services.output.status import Clock
from services.pull_logs_service import AuditBucket
from utils.audit.audit import Audit, encoded, key_of
from utils.config.settings import Source
from utils.report.preview import span

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

_EPOCH = date(1970, 1, 1)
_DAY_MS = 24 * 60 * 60 * 1000
_HOUR_MS = 60 * 60 * 1000


class Days(msgspec.Struct, frozen=True):
    """Which days are asked for, both ends included; None for an open end."""

    first: date | None = None
    last: date | None = None


class Auditor:
    """Compares sources with their witnesses, one after the other.

    Args:
        days: which are asked for.
        per_second: how many requests to CloudWatch are to be sent in a second, at most.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, days: Days, per_second: float, clock: Clock, stop: Event) -> None:
        self._days = days
        # The quota is the account's, however many sources there are.
        self._pace = Pace(per_second, clock.elapsed_seconds, stop)
        self._clock = clock
        self._stop = stop
        self.progress = AuditGauge()

    def compare(self, source: Source, need: Need = NOTHING_MORE) -> Verification:
        """Compares a source with its witnesses, and returns all that this has shown.

        Args:
            source: what is shipped where.
            need: what a repair needs besides.

        Raises:
            ForwarderError: a witness can't be read.
            StoppedError: the process is to end.
        """
        self.progress = AuditGauge()
        began = self._clock.now()
        s3, logs = s3_client(source.lyve), logs_client(source.aws)
        sent = self._counted(source, logs)
        streams = LogStreams(logs, source, self._pace, self.progress)
        found = streams.find()
        made_ms = [one.created_ms for one in found if one.created_ms is not None]
        within, since = self._range(source, min(made_ms, default=_ms(began)), need.since_ms)
        witnesses = Witnesses(
            AuditObjects(AuditBucket(s3, source, self._stop), source),
            streams,
            lambda key: QuarantinedLines(s3, source.output_bucket, source.name, key),
        )
        verification = Verification(source, within, witnesses, self.progress, need)
        audit = verification.run(_ms(began))
        audit.from_day = self._days.first.isoformat() if self._days.first else None
        audit.to_day = self._days.last.isoformat() if self._days.last else None
        audit.since = since
        audit.began, audit.ended = began, self._clock.now()
        audit.lyve_requests, audit.cloudwatch_requests = (
            now - before for now, before in zip(self._counted(source, logs), sent, strict=True)
        )
        return verification

    def keep(self, source: Source, audit: Audit) -> str:
        """Puts the report into the output bucket and its figures into the metrics; returns its key.

        Raises:
            ServiceError: it can't be written.
        """
        key = key_of(audit)
        with lyve_errors(f"write the report into {source.output_bucket}", OUTPUT_BUCKET_HINTS):
            put_object(
                s3_client(source.lyve),
                source.output_bucket,
                key,
                encoded(audit),
                "application/json",
            )
        put_soon(source, audit.metrics, audit.ended)
        return key

    def _range(self, source: Source, made_ms: int, since_ms: int | None) -> tuple[Range, str]:
        """Returns which objects are compared, and in words since when.

        Args:
            source: what is shipped where.
            made_ms: when its first log stream was made, in ms since 1970.
            since_ms: where a checkpoint says that coverage begins, None without one.
        """
        first, last = self._days.first, self._days.last
        # A source of the mode lasthour begins an hour before its first start, which makes its
        # log stream.
        assumed_ms = made_ms - _HOUR_MS if since_ms is None else since_ms
        begun_ms = assumed_ms if source.since_ms is None else source.since_ms
        from_ms = begun_ms if first is None else _day_ms(first)
        ends = [source.until_ms, None if last is None else _day_ms(last + timedelta(days=1))]
        until_ms = min((end for end in ends if end is not None), default=None)
        return Range(from_ms, until_ms), span(from_ms, source.until_ms)

    @staticmethod
    def _counted(source: Source, logs: "CloudWatchLogsClient") -> tuple[int, int]:
        """Returns how many requests were sent so far to each witness."""
        urls = source.lyve.endpoint_url, logs.meta.endpoint_url
        return http_session(urls[0]).sent, http_session(urls[1]).sent


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)


def _day_ms(day: date) -> int:
    return (day - _EPOCH).days * _DAY_MS
