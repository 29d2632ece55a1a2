"""What the tests of the stand-in call it with: boto3 without retries, and plain HTTP."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.standin.cloudwatch_process import CloudWatchStandin

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import (
        GetLogEventsResponseTypeDef,
        InputLogEventTypeDef,
        OutputLogEventTypeDef,
        PutLogEventsResponseTypeDef,
    )

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
STREAM = "lyve-cloud/audit/S3"
HOUR_MS = 3_600_000
PATIENCE_SECONDS = 10
UNSIGNED_HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Date": "20240229T120000Z",
    "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20240229/us-east-1/logs/"
    f"aws4_request, SignedHeaders=host;x-amz-date, Signature={64 * '0'}",
}

_numbers = count(1)


def now_ms() -> int:
    """Returns this machine's clock in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def until(condition: Callable[[], bool]) -> None:
    """Asks again and again until a condition holds; fails after 10 seconds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline


def events_at(
    timestamps_ms: Sequence[int], message: str = "a line"
) -> "list[InputLogEventTypeDef]":
    """Returns one event for each timestamp."""
    return [{"timestamp": timestamp_ms, "message": message} for timestamp_ms in timestamps_ms]


def logs_client(
    standin: CloudWatchStandin,
    secret_key: str = SECRET_KEY,
    region: str = "us-east-1",
    read_timeout_seconds: float = 60,
) -> "CloudWatchLogsClient":
    """Returns boto3's client without retries and without checks of its own."""
    session = boto3.session.Session(ACCESS_KEY, secret_key, region_name=region)
    config = Config(
        parameter_validation=False,
        read_timeout=read_timeout_seconds,
        retries={"total_max_attempts": 1},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", standin.endpoint_url)
        return session.client("logs", config=config)


def refusal(call: Callable[..., object], **parameters: object) -> tuple[str, str, int]:
    """Returns the name, the sentence and the HTTP status that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return error["Code"], error["Message"], status


class Desk:
    """A log group and a log stream of its own on a stand-in.

    Args:
        standin: a running one.
        client: of boto3, for that one.
    """

    def __init__(self, standin: CloudWatchStandin, client: "CloudWatchLogsClient") -> None:
        self.standin = standin
        self.client = client
        self.group = f"/lyve/audit-{next(_numbers)}"
        client.create_log_group(logGroupName=self.group)
        client.create_log_stream(logGroupName=self.group, logStreamName=STREAM)

    def put(self, events: "Sequence[InputLogEventTypeDef]") -> "PutLogEventsResponseTypeDef":
        """Puts one batch."""
        return self.client.put_log_events(
            logGroupName=self.group, logStreamName=STREAM, logEvents=events
        )

    def put_refusal(self, events: "Sequence[InputLogEventTypeDef]") -> tuple[str, str, int]:
        """Returns what one batch is refused with."""
        return refusal(self.put, events=events)

    def stored(self) -> list[int]:
        """Returns the timestamps of all stored events in the order of ingestion."""
        return [event.timestamp for event in self.standin.events(self.group, STREAM)]

    def get(self, **parameters: object) -> "GetLogEventsResponseTypeDef":
        """Returns one page of the stream."""
        return self.client.get_log_events(
            logGroupName=self.group,
            logStreamName=STREAM,
            **parameters,  # type: ignore[arg-type]
        )

    def pages(self, **parameters: object) -> "Iterator[Sequence[OutputLogEventTypeDef]]":
        """Yields pages of the stream from its head until the token repeats."""
        asked: dict[str, object] = {"startFromHead": True, **parameters}
        while (page := self.get(**asked))["nextForwardToken"] != asked.get("nextToken"):
            yield page["events"]
            asked["nextToken"] = page["nextForwardToken"]


@contextmanager
def desk_on(standin: CloudWatchStandin, client: "CloudWatchLogsClient") -> Iterator[Desk]:
    """Yields a new desk, and sets the stand-in back to what it was in the end."""
    before = standin.settings()
    yield Desk(standin, client)
    standin.control(**before)


def send(connection: HTTPConnection, operation: str, body: bytes, **headers: str) -> None:
    """Sends one call over plain HTTP, with `_` for `-` in the names of further headers."""
    target = {"X-Amz-Target": f"Logs_20140328.{operation}"}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", "/", body, UNSIGNED_HEADERS | target | more)


def posted(
    connection: HTTPConnection, operation: str, body: bytes, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Sends one call as `send` does and returns the status, the headers and the body."""
    send(connection, operation, body, **headers)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()
