"""The put client does as botocore's own clients do: whom it trusts, and how it sends."""

from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, create_server, socket
from threading import Thread

import pytest
from botocore.exceptions import ClientError

from services.aws.clients import s3_client
from services.aws.http_session import http_session
from services.aws.outcomes import RequestIds
from services.aws.put_request import (
    NotStoredError,
    PutClient,
    RefusedError,
    RejectedInfo,
    StreamMissingError,
    UnknownOutcomeError,
)
from services.daemon.iterations import forget_clients
from tests.standin.fake_server import Authority, FakeServer, Reply, always
from tests.world.in_memory import source_of
from utils.config.settings import LyveAccess
from utils.errors import ServiceError
from utils.model import LogEvent

BATCH = [LogEvent(1, "{}", 2, 1)]
_numbers = count(1)


def answered(body: bytes, status: int = 200, **headers: str) -> Reply:
    """Returns an answer as CloudWatch gives it, with headers in which `_` stands for `-`."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, body, {"x-amzn-RequestId": f"unit-{next(_numbers)}", **more})


def stored(*_: str) -> Reply:
    return answered(b"{}")


def put_to(answer: Callable[[str, str], Reply]) -> RejectedInfo:
    """Puts one event where a function answers."""
    with FakeServer(answer) as server:
        return PutClient(server.url, source_of()).put(BATCH, lambda: True)


def put_and_get(answer: bytes) -> RejectedInfo:
    """Puts one event where these bytes are the answer, and the end of the connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            return PutClient(url, source_of()).put(BATCH, lambda: True)
        finally:
            thread.join()


def test_a_companys_own_authority_is_trusted_where_boto3_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everything works but the puts, and each of them is tried again and again."""
    authority = Authority(tmp_path)
    with FakeServer(stored, authority.context()) as server:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
        found = PutClient(server.url, source_of()).put(BATCH, lambda: True)
        assert (found.too_old_log_event_end_index, found.expired_log_event_end_index) == (0, 0)
        assert isinstance(found, RejectedInfo)
        monkeypatch.delenv("AWS_CA_BUNDLE")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        forget_clients()
        with pytest.raises(NotStoredError):
            PutClient(server.url, source_of()).put(BATCH, lambda: True)


def test_the_end_of_a_request_does_not_wait_for_an_answer(opened: list[socket]) -> None:
    """Else each small put takes 40 ms longer, where the server acknowledges late."""
    with FakeServer(stored) as server:
        client = PutClient(server.url, source_of())
        client.put(BATCH, lambda: True)
        assert [one.getsockopt(IPPROTO_TCP, TCP_NODELAY) for one in opened] == [1]


def test_the_authorities_are_read_once_for_all_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[socket]
) -> None:
    """To read botocore's own takes 17 ms of CPU, a connection 1 ms."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    with FakeServer(stored, authority.context()) as server:
        http = http_session(server.url)
        authority.path.unlink()
        for connection in [http.connection() for _ in range(3)]:
            connection.close()
    assert len(opened) == 3


@pytest.mark.parametrize("bundle", ["nowhere.pem", "no_certificates.pem", ""])
def test_authorities_that_can_not_be_read_are_told(
    bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They passed for a certificate of another host."""
    (tmp_path / "no_certificates.pem").write_text("none")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / bundle))
    with pytest.raises(ServiceError, match=r"authorities can't be read\). Set AWS_CA_BUNDLE"):
        s3_client(LyveAccess("key", "secret", "us-east-1", "https://127.0.0.1:9"))


def test_nothing_is_sent_while_it_may_not() -> None:
    asked: list[str] = []

    def answer(*request: str) -> Reply:
        asked.append(" ".join(request))
        return stored()

    with FakeServer(answer) as server:
        client = PutClient(server.url, source_of())
        with pytest.raises(NotStoredError):
            client.put(BATCH, lambda: False)
        assert asked == []
        client.put(BATCH, lambda: True)
    assert asked == ["POST /"]


def test_what_may_not_be_sent_any_more_when_there_is_a_connection_is_not_sent(
    opened: list[socket],
) -> None:
    """Another daemon may have taken over meanwhile, and sends it too."""
    asked: list[str] = []

    def answer(*request: str) -> Reply:
        asked.append(" ".join(request))
        return stored()

    with FakeServer(answer) as server, pytest.raises(NotStoredError):
        PutClient(server.url, source_of()).put(BATCH, lambda: not opened)
    assert [one.fileno() for one in opened] == [-1]
    assert asked == []


@pytest.mark.parametrize(
    "reply",
    [
        answered(b"{}"),
        answered(b'{"nextSequenceToken": "1"}'),
        answered(b'{"rejectedLogEventsInfo": null, "nextSequenceToken": null}'),
        answered(b'{"rejectedEntityInfo": {"errorType": "InvalidEntity"}}'),
    ],
)
def test_cloudwatchs_own_answer_says_that_it_is_stored(reply: Reply) -> None:
    assert put_to(always(reply)) == RejectedInfo()


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_chunked_answer_is_whole_by_its_last_chunk(is_whole: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: unit\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"2\r\n{}\r\n" + (b"0\r\n\r\n" if is_whole else b"")
    expected = nullcontext() if is_whole else pytest.raises(UnknownOutcomeError)
    with expected:
        assert put_and_get(head + body) == RejectedInfo()


NO_ANSWERS = {
    "no request id": Reply(200, b"{}"),
    "an empty body": answered(b""),
    "a body that is no object": answered(b"[]"),
    "an HTML page": answered(b"<html>Welcome</html>"),
    "half of a body": answered(b'{"rejectedLogEventsInfo": {', 200),
    "an error as 200": answered(b'{"__type": "InternalFailure"}'),
    "an error as 200 in the header": answered(b"{}", x_amzn_ErrorType="InternalFailure"),
    "another operation's answer": answered(b'{"events": [], "nextForwardToken": "f/1"}'),
    "an index of another batch": answered(
        b'{"rejectedLogEventsInfo": {"tooOldLogEventEndIndex": 2}}'
    ),
    "a start behind the batch": answered(
        b'{"rejectedLogEventsInfo": {"tooNewLogEventStartIndex": 1}}'
    ),
    "an index below zero": answered(b'{"rejectedLogEventsInfo": {"expiredLogEventEndIndex": -1}}'),
    "204": answered(b"", 204),
    "206": answered(b"{}", 206),
    "a redirect": answered(b"", 301, Location="https://elsewhere.invalid/"),
    "304": answered(b"", 304),
    "a gateway's 400": Reply(400, b"<html>Bad Request</html>"),
    "a gateway's 403": Reply(403, b"<html>Forbidden</html>"),
    "a gateway's 408": Reply(408, b"<html>Request Timeout</html>"),
    "a gateway's 429": Reply(429, b"<html>Slow down</html>"),
    "a gateway's 413 as JSON": Reply(413, b'{"message": "too large"}'),
    "a document without a request id": Reply(400, b'{"__type": "ThrottlingException"}'),
    "408": answered(b'{"__type": "RequestTimeoutException"}', 408),
    "ServiceUnavailable as 400": answered(b'{"__type": "ServiceUnavailable"}', 400),
    "OperationAborted": answered(b'{"__type": "OperationAbortedException"}', 400),
    "500": answered(b'{"__type": "InternalFailure"}', 500),
    "503": answered(b'{"__type": "ThrottlingException"}', 503),
    "no answer": Reply(0),
}


@pytest.mark.parametrize("reply", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_what_proves_nothing_is_unknown(reply: Reply) -> None:
    """Taken for stored it loses the batch, taken for not stored it doubles it."""
    with pytest.raises(UnknownOutcomeError):
        put_to(always(reply))


def test_every_status_without_the_services_own_document_is_unknown() -> None:
    replies = [answered(b"", status) for status in range(200, 600)]
    rest = iter(replies)
    with FakeServer(lambda *_: next(rest)) as server:
        client = PutClient(server.url, source_of())
        for _ in replies:
            with pytest.raises(UnknownOutcomeError):
                client.put(BATCH, lambda: True)


@pytest.mark.parametrize("cut_behind", [b"Content-", b"Content-Length: 2", b"x-amzn-RequestId: 1"])
def test_an_answer_that_ends_within_its_headers_is_unknown(cut_behind: bytes) -> None:
    """`http.client` would take the end for the end of the headers, and read an empty body."""
    with pytest.raises(UnknownOutcomeError):
        put_and_get(b"HTTP/1.1 200 OK\r\n" + cut_behind)


def test_an_older_answer_again_is_unknown() -> None:
    """A cache gives the same answer twice: the second request may never have been carried out."""
    old = answered(b"{}")
    with FakeServer(always(old)) as server:
        client = PutClient(server.url, source_of())
        client.put(BATCH, lambda: True)
        with pytest.raises(UnknownOutcomeError):
            client.put(BATCH, lambda: True)
        with pytest.raises(UnknownOutcomeError):
            PutClient(server.url, source_of()).put(BATCH, lambda: True)


def test_the_ids_that_are_kept_are_bounded() -> None:
    ids = RequestIds()
    assert all(ids.is_new(str(number)) for number in range(10_000))
    assert ids.is_new("0")
    assert not ids.is_new("9999")


@pytest.mark.parametrize(
    "reply",
    [
        answered(b'{"__type": "ThrottlingException", "message": "Rate exceeded"}', 400),
        answered(b'{"__type": "com.amazonaws#ThrottlingException"}', 400),
        answered(b'{"code": "RequestThrottled"}', 400),
        answered(b"{}", 400, x_amzn_ErrorType="ThrottlingException:http://internal.amazon.com/"),
        answered(b"", 400, x_amzn_ErrorType="com.amazonaws#RequestThrottledException"),
        answered(b'{"__type": "TooManyRequestsException"}', 429),
    ],
)
def test_what_the_service_says_it_turned_away_is_not_stored(reply: Reply) -> None:
    with pytest.raises(NotStoredError):
        put_to(always(reply))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidParameterException", RefusedError),
        ("ResourceNotFoundException", StreamMissingError),
        ("AccessDeniedException", ClientError),
    ],
)
def test_a_refusal_of_the_services_own_counts_in_the_header_too(
    code: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        put_to(always(answered(b'{"message": "No."}', 400, x_amzn_ErrorType=code)))
    with pytest.raises(error):
        put_to(always(answered(b'{"__type": "' + code.encode() + b'"}', 400)))


def test_a_redirect_is_named_without_its_secrets() -> None:
    location = "https://user:secret@elsewhere.invalid/path?token=secret"
    with pytest.raises(UnknownOutcomeError, match=r"HTTP 301 to https://elsewhere.invalid/path$"):
        put_to(always(answered(b"", 301, Location=location)))
