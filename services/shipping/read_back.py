"""Reads back what a log stream holds."""

from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING

from services.aws.errors import aws_errors
from services.threads.backoff import pauses
from utils.config.settings import Source
from utils.config.sharding import Shard
from utils.errors import StoppedError, TransientError
from utils.model import Gauge

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import (
        GetLogEventsRequestTypeDef,
        GetLogEventsResponseTypeDef,
    )


class ReadBack:
    """The events of one log stream; a page is asked for until it comes or the stop.

    Args:
        client: of CloudWatch Logs.
        source: names the log group and stream.
        gauge: shows why nothing comes, while that is so.
        stop: set when the process is to end.
    """

    def __init__(
        self, client: "CloudWatchLogsClient", source: Source, gauge: Gauge, stop: Event
    ) -> None:
        self._client = client
        self._source = source
        self._gauge = gauge
        self._stop = stop

    def of_shard(self, shard: Shard | None) -> "ReadBack":
        """Returns the same for the log stream of another replica."""
        source = self._source.of_shard(shard)
        return ReadBack(self._client, source, self._gauge, self._stop)

    def stored(self, from_ms: int, until_ms: int) -> Iterator[tuple[int, str]]:
        """Yields time and message of the events that the stream holds in a range of time.

        Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html

        Args:
            from_ms: the first time, in ms since 1970.
            until_ms: the last time, included.

        Raises:
            ServiceError: it can't be read back.
        """
        request: GetLogEventsRequestTypeDef = {
            "logGroupName": self._source.log_group,
            "logStreamName": self._source.log_stream,
            "startTime": max(0, from_ms),
            "endTime": max(0, until_ms) + 1,
            "startFromHead": True,
        }
        while True:
            page = self._page(request)
            for event in page["events"]:
                yield event["timestamp"], event["message"]
            if page["nextForwardToken"] == request.get("nextToken"):
                return
            request["nextToken"] = page["nextForwardToken"]

    def _page(self, request: "GetLogEventsRequestTypeDef") -> "GetLogEventsResponseTypeDef":
        doing = f"read back from the log group {self._source.log_group}"
        for pause_seconds in pauses():
            try:
                with aws_errors(doing, "logs:GetLogEvents", {}):
                    return self._client.get_log_events(**request)
            except TransientError as exc:
                self._gauge.trouble = exc.detail
            if self._stop.wait(pause_seconds):
                break
        raise StoppedError("Stopped before a batch in doubt was settled")
