"""The stand-in as a process and as an HTTP server."""

import json
import socket
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection

import pytest

from tests.standin.cloudwatch_client import HOUR_MS, PATIENCE_SECONDS, now_ms, posted, send, until
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.cloudwatch_standin import READ_AHEAD_BYTES

DESCRIBE = b"{}"


@pytest.fixture
def standin() -> Iterator[CloudWatchStandin]:
    with CloudWatchStandin() as running:
        yield running


@pytest.fixture
def connection(standin: CloudWatchStandin) -> Iterator[HTTPConnection]:
    opened = HTTPConnection("127.0.0.1", standin.port)
    yield opened
    opened.close()


def conversation(standin: CloudWatchStandin, sent: bytes) -> bytes:
    """Returns everything that the server says until it closes the connection."""
    with socket.create_connection(("127.0.0.1", standin.port), PATIENCE_SECONDS) as opened:
        opened.sendall(sent)
        opened.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: opened.recv(65_536), b""))


def error_of(answer: tuple[int, object, bytes]) -> tuple[int, str]:
    status, _, body = answer
    return status, json.loads(body)["__type"]


def test_one_connection_serves_many_calls(connection: HTTPConnection) -> None:
    connection.connect()
    first = connection.sock
    for _ in range(3):
        status, headers, body = posted(connection, "DescribeLogGroups", DESCRIBE)
        assert (status, body) == (200, b'{"logGroups":[]}')
        assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert connection.sock is first


def test_connection_is_closed_on_request(connection: HTTPConnection) -> None:
    posted(connection, "DescribeLogGroups", DESCRIBE, Connection="close")
    assert connection.sock is not None
    assert connection.sock.recv(1) == b""


@pytest.mark.parametrize("offset_ms", [0, -30 * HOUR_MS, 50 * HOUR_MS])
def test_date_header_follows_the_clock(
    standin: CloudWatchStandin, connection: HTTPConnection, offset_ms: int
) -> None:
    standin.control(clock_offset_ms=offset_ms)
    _, headers, _ = posted(connection, "DescribeLogGroups", DESCRIBE)
    shown_ms = parsedate_to_datetime(headers["Date"]).timestamp() * 1000
    assert abs(shown_ms - now_ms() - offset_ms) < HOUR_MS


@pytest.mark.parametrize(
    ("operation", "body", "headers", "expected"),
    [
        ("DescribeLogGroups", b"{", {}, "SerializationException"),
        ("DescribeLogGroups", b"[]", {}, "SerializationException"),
        ("DescribeLogGroups", b'{"logGroupNamePrefix":"\xff"}', {}, "SerializationException"),
        ("DescribeLogGroups", b'{"limit":"5"}', {}, "SerializationException"),
        ("DescribeLogGroups", b'{"includeLinkedAccounts":true}', {}, "SerializationException"),
        ("DescribeLogGroups", b'{"limit":51}', {}, "InvalidParameterException"),
        ("DescribeLogGroups", b'{"nextToken":"x"}', {}, "InvalidParameterException"),
        ("DescribeLogGroups", DESCRIBE, {"Content_Encoding": "gzip"}, "SerializationException"),
        ("CreateLogGroup", b"{}", {}, "InvalidParameterException"),
        ("CreateLogGroup", b'{"logGroupName":"a b"}', {}, "InvalidParameterException"),
        ("CreateLogGroup", b'{"logGroupName":"aws/x"}', {}, "InvalidParameterException"),
        ("CreateLogGroups", DESCRIBE, {}, "UnknownOperationException"),
        ("DescribeLogGroups", DESCRIBE, {"Content_Type": "application/json"}, "UnknownOperation"),
        ("DescribeLogGroups", DESCRIBE, {"X_Amz_Target": "Logs.X"}, "UnknownOperationException"),
    ],
)
def test_wrong_calls_are_refused(
    connection: HTTPConnection,
    operation: str,
    body: bytes,
    headers: dict[str, str],
    expected: str,
) -> None:
    status, name = error_of(posted(connection, operation, body, **headers))
    assert status == 400
    assert name.startswith(expected)


def test_client_that_expects_it_is_told_to_continue(standin: CloudWatchStandin) -> None:
    head = (
        b"POST /_control HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", standin.port), PATIENCE_SECONDS) as opened:
        opened.sendall(head)
        assert opened.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(b"{}")
        assert opened.recv(1024).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST / HTTP/1.0\r\nHost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\n no colon\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n{}",
            411,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413),
        (bytes(READ_AHEAD_BYTES + 4), 431),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_what_is_no_request_is_answered_and_closed(
    standin: CloudWatchStandin, sent: bytes, status: int
) -> None:
    assert conversation(standin, sent).startswith(b"HTTP/1.1 %d " % status)


def test_client_that_goes_in_the_middle_of_a_body_has_sent_nothing(
    standin: CloudWatchStandin,
) -> None:
    sent = b"POST /_control HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + b'{"seed": 5}'
    assert conversation(standin, sent) == b""
    assert standin.settings()["seed"] == 0


def test_process_ends_at_once_while_a_call_hangs() -> None:
    """A clean status says that SIGTERM did it, before stop() would have killed the process."""
    with CloudWatchStandin(
        fail_next=["hung_after"], fault_operations=["DescribeLogGroups"]
    ) as standin:
        connection = HTTPConnection("127.0.0.1", standin.port)
        send(connection, "DescribeLogGroups", DESCRIBE)
        until(lambda: bool(standin.calls().operations))
        assert standin.stop() == 0
        assert standin.stop() == 0
        connection.close()


def test_ready_line_names_the_process() -> None:
    with CloudWatchStandin() as one, CloudWatchStandin() as other:
        assert one.pid != other.pid
        assert one.port != other.port
