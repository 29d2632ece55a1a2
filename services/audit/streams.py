"""Reads the log streams of a source, and leaves a part of the account's quota to others."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from services.aws.errors import CLOUDWATCH_ELSEWHERE, aws_errors, group_hints
from services.aws.outcomes import THROTTLING_CODES, request_ids
from services.reading.read_back import ReadBack
from services.threads.backoff import pauses
from services.threads.executor import read_ahead
from utils.config.partitions import is_stream_of
from utils.config.settings import Source
from utils.errors import ServiceError, StoppedError, TransientError
from utils.model import Gauge, Interval

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import (
        DescribeLogStreamsRequestTypeDef,
        DescribeLogStreamsResponseTypeDef,
    )

_PAGES_READ_AHEAD = 3
_TRIES = 5

_Answer = TypeVar("_Answer")

StoredEvent = tuple[int, int, bytes]
"""When it is stored in the stream's time, when it was ingested, both in ms since 1970; message."""


class Pace:
    """How fast CloudWatch is asked, at most: requests that were late are not caught up on."""

    def __init__(
        self, per_second: float, elapsed_seconds: Callable[[], float], stop: Event
    ) -> None:
        self._interval_seconds = 1 / per_second
        self._elapsed_seconds = elapsed_seconds
        self._next_seconds = float("-inf")
        self.stop = stop

    def keep(self) -> None:
        """Waits until the next request may be sent.

        Raises:
            StoppedError: the process is to end.
        """
        now_seconds = self._elapsed_seconds()
        at_seconds = max(now_seconds, self._next_seconds)
        self._next_seconds = at_seconds + self._interval_seconds
        self.wait(at_seconds - now_seconds)

    def wait(self, seconds: float) -> None:
        """Waits.

        Raises:
            StoppedError: the process is to end.
        """
        if self.stop.wait(seconds):
            raise StoppedError


class LogStreams:
    """The log streams that may hold events of a source: its own, its partitions', older replicas'.

    `gauge` shows why nothing comes, while that is so; `retention` asks for the log group's.
    """

    def __init__(
        self,
        client: "CloudWatchLogsClient",
        source: Source,
        pace: Pace,
        gauge: Gauge,
        retention: Callable[[], int | None],
    ) -> None:
        self._client = client
        self._source = source
        self.pace = pace
        self._gauge = gauge
        self._retention = retention
        self._request_ids = request_ids(client.meta.endpoint_url)
        self._hints = group_hints(source.log_group, source.aws.region)
        # Its own is read whatever the listing says: it takes two answers to say that it does not
        # exist.
        self.names = [source.log_stream]

    def find(self) -> int | None:
        """Finds the log streams; returns when the first was made, in ms since 1970, if it is known.

        Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html

        Raises:
            ServiceError: they can't be listed.
        """
        own = self._source.log_stream
        request: DescribeLogStreamsRequestTypeDef = {
            "logGroupName": self._source.log_group,
            "logStreamNamePrefix": own,
        }
        made_ms: list[int] = []
        followed: set[str] = set()
        while True:
            answer = self._listing(request, followed)
            found = [one for one in answer["logStreams"] if is_stream_of(own, one["logStreamName"])]
            self.names = [*dict.fromkeys([*self.names, *(one["logStreamName"] for one in found)])]
            made_ms += (one["creationTime"] for one in found if "creationTime" in one)
            token = answer.get("nextToken")
            if not token:
                return min(made_ms, default=None)
            followed.add(token)
            request["nextToken"] = token

    def _listing(
        self, request: "DescribeLogStreamsRequestTypeDef", followed: Collection[str]
    ) -> "DescribeLogStreamsResponseTypeDef":
        """Returns the next page, which leads to none of those before it."""
        doing = f"list the log streams of the log group {self._source.log_group}"

        def ask() -> "DescribeLogStreamsResponseTypeDef":
            with aws_errors(doing, "logs:DescribeLogStreams", self._hints):
                return self._client.describe_log_streams(**request)

        for _ in range(_TRIES):
            answer = self._in_time(ask)
            request_id = answer.get("ResponseMetadata", {}).get("RequestId", "")
            is_whole = isinstance(answer.get("logStreams"), list)
            leads_on = answer.get("nextToken") not in followed
            if self._request_ids.is_new(request_id) and is_whole and leads_on:
                return answer
        raise ServiceError(
            f"Can't {doing}",
            f"not an answer of CloudWatch to this request, {_TRIES} times in a row",
            CLOUDWATCH_ELSEWHERE,
        )

    def retention_days(self) -> int | None:
        """Returns the log group's retention in days, None if its events never expire.

        Raises:
            ServiceError: the log group can't be described.
        """

        def ask() -> int | None:
            doing = f"describe the log group {self._source.log_group}"
            with aws_errors(doing, "logs:DescribeLogGroups", self._hints):
                return self._retention()

        return self._in_time(ask)

    def _in_time(self, ask: Callable[[], _Answer]) -> _Answer:
        """Returns an answer, asking again as long as CloudWatch throttles."""
        waits_seconds = pauses()
        while True:
            self.pace.keep()
            try:
                answer = ask()
            except TransientError as exc:
                if exc.detail not in THROTTLING_CODES:
                    raise
                self._gauge.trouble = exc.detail
                self.pace.wait(next(waits_seconds))
            else:
                self._gauge.trouble = ""
                return answer

    def events(self, spans: Iterable[Interval]) -> Iterator[StoredEvent]:
        """Yields the events of all streams in ranges of time.

        Raises:
            ServiceError: they can't be read.
            StoppedError: the process is to end.
        """
        for events in read_ahead(self._pages([*spans]), _PAGES_READ_AHEAD, self.pace.stop):
            yield from events

    def _pages(self, spans: list[Interval]) -> Iterator[list[StoredEvent]]:
        for name in self.names:
            source = replace(self._source, log_stream=name)
            read_back = ReadBack(self._client, source, self._gauge, self.pace.stop)
            for from_ms, end_ms in spans:
                self.pace.keep()
                for page in read_back.pages(from_ms, end_ms):
                    self._gauge.trouble = ""
                    yield [
                        (one["timestamp"], one.get("ingestionTime", 0), one["message"].encode())
                        for one in page
                    ]
                    self.pace.keep()
