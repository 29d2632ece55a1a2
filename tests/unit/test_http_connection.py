"""What is taken for an answer, however it comes in, and what is not."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import RemoteDisconnected
from itertools import pairwise
from socket import socketpair
from threading import Thread
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from services.aws import http_connection
from services.aws.http_connection import Answer, Connections

CONTENT = b"{}"
SIZED = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 2\r\n\r\n" + CONTENT
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nETag: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
)
ENDED = b"HTTP/1.1 200 OK\r\nETag: x\r\nConnection: close\r\n\r\n" + CONTENT
INTERIM = b"HTTP/1.1 100 Continue\r\nETag: y\r\n\r\n" + SIZED
TIMEOUT_SECONDS = 0.01


@contextmanager
def answer_to(
    *pieces: bytes, method: str = "GET", is_cut: bool = True
) -> Iterator[tuple[Answer, Mock]]:
    """Yields the answer that comes in pieces, and what its connection is given back to."""
    near, far = socketpair()
    near.settimeout(TIMEOUT_SECONDS if not is_cut else None)

    def send() -> None:
        with suppress(OSError):  # what is no answer is not read to its end
            for piece in pieces:
                far.sendall(piece)
        if is_cut:
            far.close()

    connection = Mock(sock=near)
    sender = Thread(target=send)
    sender.start()
    try:
        answer = Answer(connection, method, connection.give_back)
        answer.receive_head()
        yield answer, connection
    finally:
        near.close()
        sender.join()
        far.close()


def is_kept(connection: Mock) -> bool:
    """Tells what became of a connection: it is either given back or closed, once."""
    assert connection.give_back.call_count + connection.close.call_count == 1
    return bool(connection.give_back.called)


@given(st.sampled_from([SIZED, CHUNKED, ENDED, INTERIM]), st.lists(st.integers(1, 90)))
def test_answer_is_the_same_however_it_is_cut(sent: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted({cut for cut in cuts if cut < len(sent)}), len(sent)]
    pieces = [sent[start:end] for start, end in pairwise(ends)]
    with answer_to(*pieces) as (answer, connection):
        assert (answer.status, answer.headers["etag"]) == (200, "x")
        assert b"".join(answer.stream()) == CONTENT
        assert is_kept(connection) is (sent is not ENDED)


@given(st.integers(0, SIZED.index(CONTENT) - 1))
def test_head_that_breaks_off_is_no_answer(end: int) -> None:
    """As if it were whole, an answer without its length would pass for one without a body."""
    with pytest.raises(ProtocolError) as error, answer_to(SIZED[:end]):
        pass
    assert isinstance(error.value.__cause__, RemoteDisconnected)


def test_body_that_breaks_off_is_short() -> None:
    with answer_to(SIZED[:-1]) as (answer, connection):
        assert answer.read() == CONTENT[:-1]
        assert not is_kept(connection)


@pytest.mark.parametrize("end", range(CHUNKED.index(b"1\r\n{"), len(CHUNKED)))
def test_chunked_body_that_breaks_off_is_none(end: int) -> None:
    with answer_to(CHUNKED[:end]) as (answer, _), pytest.raises(ProtocolError):
        answer.read()


@pytest.mark.parametrize("rest", [b"", b"no chunk\r\n"])
def test_what_came_before_a_break_is_read(rest: bytes) -> None:
    """The break may come with it, in one piece."""
    with answer_to(CHUNKED[: -len(b"0\r\n\r\n")] + rest) as (answer, connection):
        assert answer.read(1) + answer.read(2) == CONTENT
        with pytest.raises(ProtocolError):
            answer.read(1)
        assert not is_kept(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: nothing\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nx: " + bytes([65]) * 300_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 12_000,
        b"HTTP/1.1 110 OK\r\nContent-Length: 2\r\n\r\n[]" + SIZED,
        b"HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + SIZED,
    ],
)
def test_what_is_no_answer(sent: bytes) -> None:
    with pytest.raises(ProtocolError), answer_to(sent):
        pass


@pytest.mark.parametrize("surplus", [SIZED, b"\r\nx", b"more"])
def test_what_follows_an_answer_is_of_no_other_request(surplus: bytes) -> None:
    with answer_to(SIZED + surplus) as (answer, connection):
        assert (answer.read(), dict(answer.headers)) == (
            CONTENT,
            {"etag": "x", "content-length": "2"},
        )
        assert not is_kept(connection)


@pytest.mark.parametrize(("sent", "is_open"), [(SIZED[:-2], True), (SIZED, False)])
def test_answer_to_head_has_no_body(sent: bytes, *, is_open: bool) -> None:
    with answer_to(sent, method="HEAD", is_cut=False) as (answer, connection):
        assert answer.read() == b""
        assert answer.headers["Content-Length"] == "2"
        assert is_kept(connection) is is_open


def test_body_that_does_not_come_is_waited_for_no_longer_than_the_timeout() -> None:
    with answer_to(SIZED[:-1], is_cut=False) as (answer, _), pytest.raises(ReadTimeoutError):
        answer.read()


def test_answer_that_is_not_read_is_closed() -> None:
    with answer_to(SIZED[:-1], is_cut=False) as (answer, connection):
        answer.close()
        assert not is_kept(connection)


def test_lines_of_one_name_are_a_list() -> None:
    sent = SIZED.replace(b"ETag: x", b"Via: a\r\nvia: b")
    with answer_to(sent) as (answer, _):
        assert (answer.headers.get("VIA"), "Via" in answer.headers) == ("a, b", True)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", b"a\rb", "a\0"])
def test_end_of_a_line_in_a_header_is_refused(value: str | bytes) -> None:
    connections, connection = Connections(HTTPConnectionPool("127.0.0.1", 9), 1.0), Mock()
    with pytest.raises(ValueError, match="end of a line"):
        connections.send(connection, "GET", "/", {"name": value}, None)
    assert not connection.sock.sendall.called


def test_what_stands_behind_the_last_chunk_is_not_of_the_head() -> None:
    sent = CHUNKED[:-2] + b"ETag: y\r\nTransfer-Encoding: gzip\r\n\r\n"
    with answer_to(sent) as (answer, connection):
        assert answer.read() == CONTENT
        assert dict(answer.headers) == {"etag": "x", "transfer-encoding": "chunked"}
        assert is_kept(connection)


def test_what_stands_behind_the_last_chunk_has_an_end() -> None:
    endless = pytest.raises(ProtocolError, match="does not end")
    with answer_to(CHUNKED[:-2] + b"x: " + bytes([65]) * 400_000) as (answer, _), endless:
        answer.read()


def test_blanks_behind_a_value_are_not_of_it() -> None:
    with answer_to(SIZED.replace(b"2\r", b" 2 \t\r")) as (answer, _):
        assert answer.headers["Content-Length"] == "2"


def test_answer_without_end_takes_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "_MOST_UNREAD_BYTES", 100_000)
    long = ENDED + bytes(400_000)
    endless = pytest.raises(ProtocolError)
    with answer_to(long) as (answer, connection), endless:
        answer.read()
    assert not is_kept(connection)
    with answer_to(long) as (answer, _):
        assert sum(map(len, answer.stream())) == len(CONTENT) + 400_000
