"""Delivers batches into one log stream, several in flight."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from services.aws.clients import logs_client
from services.aws.errors import CLOUDWATCH_ELSEWHERE, aws_errors, group_hints
from services.aws.outcomes import error_code
from services.aws.put_request import (
    NotStoredError,
    PutClient,
    RefusedError,
    RejectedInfo,
    StreamMissingError,
    UnknownOutcomeError,
)
from services.reading.read_back import ReadBack
from services.threads.backoff import pauses
from utils.config.settings import Source
from utils.errors import ForwarderError, ServiceError, StoppedError, TransientError
from utils.lines.batching import MAX_AHEAD_MS, restamped, split_rejected
from utils.lines.delivery import Delivery
from utils.model import Batch, Gauge

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

# botocore does not retry what it does not know to pass, such as OperationAborted.
_TRIES = 5
# The caller may not read it, or groups of its class can't be read.
_NOTHING_TO_READ = {"AccessDeniedException", "InvalidOperationException"}

Result = TypeVar("Result")


class LogStream:
    """The log stream that a source is shipped into.

    Puts are retried only here, and only when they were certainly not carried out.

    Args:
        source: names the log group, which must exist, and the stream, which is made if missing.
        gauge: shows why nothing is taken, while that is so.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, gauge: Gauge, stop: Event) -> None:
        self._client = logs_client(source.aws)
        self._put_client = PutClient(self._client.meta.endpoint_url, source)
        self.log_group = source.log_group
        self.log_stream = source.log_stream
        self._gauge = gauge
        self._stop = stop
        self._is_closed = False
        self._last_unknown = ""
        self.read_back = ReadBack(self._client, source, gauge, stop)
        self._hints = group_hints(source.log_group, source.aws.region)

    def prepare(self) -> int | None:
        """Makes the stream where it is missing; returns the group's retention in days, if any.

        Raises:
            ServiceError: the group is missing or can't be used.
        """
        self._tried(self._create_stream)
        try:
            return self._tried(self._retention_days)
        except ServiceError as exc:
            # Without this permission the answers to the puts tell what is too old.
            if exc.code == "AccessDeniedException":
                return None
            raise

    def holds_events(self, now_ms: int) -> bool:
        """Tells if the log stream holds any event; False if it can never be read back.

        Args:
            now_ms: the time, in ms since 1970.

        Raises:
            ServiceError: it can't be told now.
        """
        try:
            stored = self.read_back.stored(0, now_ms + MAX_AHEAD_MS)
            return next(stored, None) is not None
        except ServiceError as exc:
            if exc.code in _NOTHING_TO_READ:
                return False
            raise

    def close(self) -> None:
        """Makes sure that nothing is sent from now on: what waits for a retry is given up."""
        self._is_closed = True

    def deliver(self, batch: Batch, may_send: Callable[[], bool]) -> Delivery:
        """Puts a valid batch until it is done or in doubt; a wait holds its thread.

        Args:
            batch: the events; those that are rejected for their time are sent at upload times.
            may_send: asked right before each put. If it says no, nothing is sent, and the put is
                tried again after a pause; it may raise instead.
        """
        try:
            info = self._put_until_answered(batch, may_send)
        except UnknownOutcomeError as exc:
            self._last_unknown = self._gauge.trouble = str(exc)
            return Delivery(uncertain=[batch])
        except RefusedError as exc:
            if len(batch) == 1:
                return Delivery(refused=[(batch[0], f"refused by CloudWatch: {exc}")])
            # It is halved until the bad event is alone.
            middle = len(batch) // 2
            first = self.deliver(batch[:middle], may_send)
            return first.add(self.deliver(batch[middle:], may_send))
        except ForwarderError as exc:
            return Delivery(error=exc)
        accepted, rejected = split_rejected(
            batch,
            info.too_old_log_event_end_index,
            info.expired_log_event_end_index,
            info.too_new_log_event_start_index,
        )
        delivery = Delivery(accepted=list(accepted))
        if any(event.restamped for event in rejected):
            delivery.error = ServiceError(
                f"CloudWatch rejects events at their time of upload in {self.log_group}",
                "rejectedLogEventsInfo",
                "Set this machine's clock, and give the log group a retention of a day or more",
            )
        elif rejected:
            delivery.add(self.deliver(restamped(rejected), may_send))
        return delivery

    def unknown_error(self) -> ServiceError:
        """Returns the error of puts whose outcome stays unknown, however often they are sent."""
        return ServiceError(
            f"Can't put events into the log group {self.log_group}",
            self._last_unknown,
            CLOUDWATCH_ELSEWHERE,
        )

    def _put_until_answered(self, batch: Batch, may_send: Callable[[], bool]) -> RejectedInfo:
        missing = 0
        for pause_seconds in pauses():
            if self._is_closed:
                break
            try:
                with self._errors("put events into", "logs:PutLogEvents"):
                    info = self._put_client.put(batch, may_send)
                    self._gauge.trouble = ""
                    return info
            except StreamMissingError:
                missing += 1
                if missing > _TRIES:
                    raise ServiceError(
                        f"Can't put events into the log group {self.log_group}",
                        "ResourceNotFoundException",
                        f"See who deletes the log stream {self.log_stream}: it was just made",
                    ) from None
                self._tried(self._create_stream)
            except NotStoredError as exc:
                self._gauge.trouble = str(exc)
            if self._stop.wait(pause_seconds):
                break
        raise StoppedError

    def _tried(self, work: Callable[[], Result]) -> Result:
        """Returns the result of a request; what passes by itself is tried again."""
        for pause_seconds in islice(pauses(), _TRIES - 1):
            try:
                return work()
            except TransientError as exc:
                self._gauge.trouble = exc.detail
            if self._stop.wait(pause_seconds):
                break
        return work()

    def _create_stream(self) -> None:
        with self._errors("create a log stream in", "logs:CreateLogStream"):
            try:
                self._client.create_log_stream(
                    logGroupName=self.log_group, logStreamName=self.log_stream
                )
            except ClientError as exc:
                if error_code(exc) != "ResourceAlreadyExistsException":
                    raise

    def _retention_days(self) -> int | None:
        with self._errors("describe", "logs:DescribeLogGroups"):
            return retention_days(self._client, self.log_group)

    def _errors(self, doing: str, permission: str) -> AbstractContextManager[None]:
        return aws_errors(f"{doing} the log group {self.log_group}", permission, self._hints)


def retention_days(client: "CloudWatchLogsClient", log_group: str) -> int | None:
    """Returns the retention of a log group in days, None if its events never expire.

    Args:
        client: of CloudWatch Logs.
        log_group: its name.
    """
    pages = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=log_group)
    for page in pages:
        # An answer without groups says nothing: then the puts tell what is too old.
        for group in page.get("logGroups", []):
            if group.get("logGroupName") == log_group:
                days = group.get("retentionInDays")
                return days if isinstance(days, int) else None
    return None
