"""Reads back what a log stream holds."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from botocore.parsers import ResponseParserError

from services.aws.errors import CLOUDWATCH_ELSEWHERE, aws_errors
from services.aws.outcomes import request_ids
from services.threads.backoff import pauses
from utils.config.settings import Source
from utils.errors import ServiceError, StoppedError, TransientError
from utils.model import Gauge

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import GetLogEventsRequestTypeDef, OutputLogEventTypeDef

# CloudWatch may answer with an empty page and a token that leads on, where it has searched for a
# while: 1,000 of them in a row take 40 seconds at its quota of 25 requests a second.
_MOST_EMPTY_PAGES = 1_000
_MOST_WRONG_ANSWERS = 5


class ReadBack:
    """The events of one log stream, of answers that are whole and belong to what was asked.

    A page is asked for until it comes or the stop; an answer that can't be that page, a few times.

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
        self._request_ids = request_ids(client.meta.endpoint_url)
        self._source = source
        self._gauge = gauge
        self._stop = stop

    def of(self, source: Source) -> "ReadBack":
        """Returns the same for the log stream of another part of the source."""
        return ReadBack(self._client, source, self._gauge, self._stop)

    def stored(self, from_ms: int, end_ms: int) -> Iterator[tuple[int, str]]:
        """Yields time and message of the events that the stream holds in a range of time.

        Args:
            from_ms: the first time, in ms since 1970.
            end_ms: behind the last time.

        Raises:
            ServiceError: it can't be read back.
        """
        for events in self.pages(from_ms, end_ms):
            for event in events:
                yield event["timestamp"], event["message"]

    def pages(self, from_ms: int, end_ms: int) -> "Iterator[Sequence[OutputLogEventTypeDef]]":
        """Yields the same events page by page, each page when it is asked for.

        A stream that is not there holds nothing.

        Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html

        Args:
            from_ms: the first time, in ms since 1970.
            end_ms: behind the last time.

        Raises:
            ServiceError: it can't be read back.
        """
        request: GetLogEventsRequestTypeDef = {
            "logGroupName": self._source.log_group,
            "logStreamName": self._source.log_stream,
            "startTime": max(0, from_ms),
            "endTime": max(1, end_ms),
            "startFromHead": True,
        }
        seen: set[str] = set()
        empty = 0
        while True:
            page = self._page(request, seen)
            if page is None:
                return
            yield page["events"]
            if page["nextForwardToken"] == request.get("nextToken"):
                return
            empty = 0 if page["events"] else empty + 1
            if empty > _MOST_EMPTY_PAGES:
                raise self._error(f"{empty} pages without an event")
            seen.add(page["nextForwardToken"])
            request["nextToken"] = page["nextForwardToken"]

    def _page(
        self, request: "GetLogEventsRequestTypeDef", seen: Collection[str]
    ) -> Mapping[str, Any] | None:
        """Returns the next page, None if the log stream is not there.

        Args:
            request: for it.
            seen: the tokens of all pages before.

        Raises:
            ServiceError: it can't be read back.
        """
        doing = f"read back from the log group {self._source.log_group}"
        fruitless = 0
        for pause_seconds in pauses():
            try:
                with aws_errors(doing, "logs:GetLogEvents", {}):
                    page = self._answer(request)
                wrong = self._wrong(page, request, seen)
                if not wrong:
                    return page
                fruitless += 1
                if fruitless >= _MOST_WRONG_ANSWERS:
                    raise self._error(wrong)
                self._gauge.trouble = wrong
            except TransientError as exc:
                self._gauge.trouble = exc.detail
            except ServiceError as exc:
                if exc.code == "ResourceNotFoundException":
                    return None
                raise
            if self._stop.wait(pause_seconds):
                break
        raise StoppedError

    def _answer(self, request: "GetLogEventsRequestTypeDef") -> Mapping[str, Any]:
        try:
            return self._client.get_log_events(**request)
        except ResponseParserError:
            return {}

    def _wrong(
        self,
        answer: Mapping[str, Any],
        request: "GetLogEventsRequestTypeDef",
        seen: Collection[str],
    ) -> str:
        """Returns what keeps an answer from being the page that was asked for, if anything."""
        events, token = answer.get("events"), answer.get("nextForwardToken")
        if not isinstance(events, list) or not token or not isinstance(token, str):
            return "an answer that is no page of events"
        if not self._request_ids.is_new(answer.get("ResponseMetadata", {}).get("RequestId", "")):
            return "not an answer of CloudWatch to this request"
        if not all(_is_asked(event, request) for event in events):
            return "a page of other events"
        # At the end the token leads to itself, and nothing follows.
        is_end = token == request.get("nextToken")
        if (is_end and events) or (not is_end and token in seen):
            return "a page that was read before"
        return ""

    def _error(self, detail: str) -> ServiceError:
        return ServiceError(
            f"Can't read back from the log group {self._source.log_group}",
            detail,
            CLOUDWATCH_ELSEWHERE,
        )


def _is_asked(event: Mapping[str, Any], request: "GetLogEventsRequestTypeDef") -> bool:
    """Tells if it is an event of the time that was asked for."""
    timestamp_ms, message = event.get("timestamp"), event.get("message")
    if not isinstance(timestamp_ms, int) or not isinstance(message, str):
        return False
    return request["startTime"] <= timestamp_ms < request["endTime"]
