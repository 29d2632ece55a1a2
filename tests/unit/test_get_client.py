"""The get client asks as boto3's own client does, and what passes is tried again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import md5
from itertools import chain, repeat
from socket import socket
from threading import Barrier, Event
from unittest.mock import DEFAULT, Mock, call, patch

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from msgspec.structs import replace

from services.aws.clients import s3_client
from services.aws.get_request import GetClient
from services.reading.object_reader import ObjectReader
from tests.servers.installation import BUCKET, Installation
from tests.standin.fake_server import FakeServer, Reply, s3_refusal
from utils.config.settings import LyveAccess
from utils.errors import ServiceError, StoppedError, TransientError, UnreadableError
from utils.lines.decompression import DamagedError, DeletedError, ReplacedError
from utils.model import LogObject

BODY = b'{"number": 1}\n'
FOUND = Reply(206, BODY, {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"})
CONCURRENCY = 16
NAMES = ("ACCESS", "SECRET", "REGION", "ENDPOINT")
KEYS = [
    "May-2024/S3-ordinary-2024-05-01-10-00-00.gz",
    "a b/S3- c",
    "a+b=c&d?e#f/S3-'\"<>;@:$,!*().gz",
    "a//b///S3-",
    "100%/S3-%25",
    "~-._/S3-ü-日本",
    "a/./b/../S3-c",
]


class NoPause(Event):
    """A stop that is never asked for, and for which nothing waits."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return False


def access_to(server: FakeServer, path: str = "") -> LyveAccess:
    return LyveAccess("key", "secret", "us-east-1", server.url + path)


def listed(key: str = KEYS[0]) -> LogObject:
    return LogObject(0, key, "etag", len(BODY))


class Shown:
    """The other looks at an object: what HEAD and the listing show.

    Args:
        head: what HEAD shows.
        listed: what the listing shows.
    """

    def __init__(self, head: LogObject | None = None, listed: LogObject | None = None) -> None:
        self._shown = head, listed

    def head(self, key: str) -> LogObject | None:
        assert key
        return self._shown[0]

    def find(self, key: str) -> LogObject | None:
        assert key
        return self._shown[1]


def in_turn(replies: Sequence[Reply], asked: list[str]) -> Callable[[str, str], Reply]:
    """Returns the answers one after the other, the last one from then on."""
    left: Iterator[Reply] = chain(replies, repeat(replies[-1]))

    def answer(_method: str, path: str) -> Reply:
        asked.append(path)
        return next(left)

    return answer


@pytest.mark.parametrize("path", ["", "/behind/a/proxy", "/"])
@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_asked_for_as_boto3_does(key: str, path: str) -> None:
    asked: list[str] = []
    with FakeServer(in_turn([FOUND], asked)) as server:
        access = access_to(server, path)
        s3_client(access).get_object(Bucket="audit-logs", Key=key)["Body"].read()
        assert GetClient(access, "audit-logs").ask(listed(key), 0).body().body.read() == BODY
    assert asked[1] == asked[0]


def stored(installation: Installation) -> tuple[GetClient, LogObject]:
    """Writes an object into a real S3 server; returns a client for it, and it as it is listed."""
    environment = installation.environment
    access = LyveAccess(*(environment[f"LYVE_{name}"] for name in NAMES))
    installation.put(KEYS[1], BODY)
    etag = installation.s3.head_object(Bucket=BUCKET, Key=KEYS[1])["ETag"].strip('"')
    return GetClient(access, BUCKET), LogObject(0, KEYS[1], etag, len(BODY))


@pytest.mark.parametrize("offset", [0, 5, len(BODY) - 1])
def test_the_bytes_from_an_offset_on_are_read(installation: Installation, offset: int) -> None:
    client, log_object = stored(installation)
    assert client.ask(log_object, offset).body().body.read() == BODY[offset:]


def test_an_object_that_was_replaced_is_refused(installation: Installation) -> None:
    client, log_object = stored(installation)
    installation.put(KEYS[1], BODY.replace(b"1", b"2"))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.ask(log_object, 0).body()


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (s3_refusal("AccessDenied"), "AccessDenied"),
        (Reply(404), "404"),
        (Reply(503, b"<Error><Code>SlowDown</Code></Error>"), "SlowDown"),
    ],
)
def test_a_refusal_has_the_code_that_boto3_names(reply: Reply, code: str) -> None:
    with FakeServer(in_turn([reply], [])) as server:
        with pytest.raises(ClientError) as ours:
            GetClient(access_to(server), "audit-logs").ask(listed(), 0).body()
        with pytest.raises(ClientError) as theirs:
            s3_client(access_to(server), attempts=1).get_object(Bucket="audit-logs", Key="key")
    assert ours.value.response["Error"].get("Code") == code
    assert theirs.value.response["Error"].get("Code") == code


def read(
    server: FakeServer, log_object: LogObject | None = None, shown: Shown | None = None
) -> bytes:
    """Returns an object's bytes, read with as many tries as it takes."""
    client = GetClient(access_to(server), "audit-logs")
    reader = ObjectReader(client, NoPause(), shown or Shown(), CONCURRENCY)
    return b"".join(reader.pieces(log_object or listed()))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Reply(500), id="a server's error"),
        pytest.param(Reply(503, b"<Error><Code>SlowDown</Code></Error>"), id="throttled"),
        pytest.param(Reply(0), id="closed without an answer"),
    ],
)
def test_what_passes_is_tried_again(fault: Reply) -> None:
    asked: list[str] = []
    with FakeServer(in_turn([fault] * 5 + [FOUND], asked)) as server:
        assert read(server) == BODY
    assert len(asked) == 6


def test_a_server_that_fails_for_good_is_named_with_its_code() -> None:
    asked: list[str] = []
    with (
        FakeServer(in_turn([Reply(503, b"<Error><Code>SlowDown</Code></Error>")], asked)) as server,
        pytest.raises(ServiceError, match=r"Can't read May-2024/S3-.* \(SlowDown\)"),
    ):
        read(server)
    assert len(asked) == 6


def test_the_connection_of_a_refusal_that_is_not_read_to_its_end_is_closed(
    opened: list[socket],
) -> None:
    refusal = s3_refusal("AccessDenied")
    long = refusal._replace(body=refusal.body.ljust(1024 * 1024))
    with FakeServer(in_turn([long], [])) as server, pytest.raises(ClientError) as refused:
        GetClient(access_to(server), "audit-logs").ask(listed(), 0).body()
    assert refused.value.response["Error"].get("Code") == "AccessDenied"
    assert [one.fileno() for one in opened] == [-1]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDenied", UnreadableError),
        ("InvalidObjectState", UnreadableError),
        ("SignatureDoesNotMatch", ServiceError),
        ("NoSuchKey", DeletedError),
        ("PreconditionFailed", DamagedError),
    ],
)
def test_a_refusal_is_not_tried_again(code: str, kind: type[Exception]) -> None:
    asked: list[str] = []
    with FakeServer(in_turn([s3_refusal(code)], asked)) as server, pytest.raises(kind):
        read(server)
    assert len(asked) == 1


LONG = bytes(range(1, 251)) * 1000
DIGEST = md5(LONG, usedforsecurity=False).hexdigest()
LISTED = LogObject(0, KEYS[0], DIGEST, len(LONG))
TURNED = bytes([LONG[0] ^ 1]) + LONG[1:]
TRIES = 6


def answered(body: bytes, size: int = len(LONG), **headers: str) -> Reply:
    """Returns an answer with all bytes of an object of a size."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(206, body, {"Content-Range": f"bytes 0-{size - 1}/{size}", **named})


RIGHT = answered(LONG, ETag=f'"{DIGEST}"')
WRONG = {
    "nothing, though 200": Reply(200),
    "HTML": Reply(200, b"<html>Please wait</html>"),
    "another object's": answered(LONG, ETag='"other"'),
    "a shorter object's": answered(LONG[:9], 9),
    "another total": Reply(
        206, LONG, {"Content-Range": f"bytes 0-{len(LONG) - 1}/{len(LONG) + 1}"}
    ),
    "a part of it": Reply(206, LONG[:9], {"Content-Range": f"bytes 0-8/{len(LONG)}"}),
    "a part without an end": Reply(206, LONG, {"Content-Range": f"bytes 0-{'9' * 5000}/*"}),
    "too many requests": Reply(429),
    "a gateway's time-out": Reply(408, b"<html></html>"),
    "an idle connection's end": Reply(400, b"<Error><Code>RequestTimeout</Code></Error>"),
    "not found": Reply(404),
    "replaced": Reply(412),
    "no such range": Reply(416),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_thrown_away(wrong: Reply) -> None:
    """HEAD and the listing show the object as it was, so nothing is booked as its own fault."""
    with FakeServer(in_turn([wrong, wrong, RIGHT], [])) as server:
        assert read(server, LISTED, Shown(LISTED, LISTED)) == LONG


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_for_good_leaves_the_object_unread(wrong: Reply) -> None:
    """Any loop ends: it is owed, and those behind it are shipped."""
    asked: list[str] = []
    with (
        FakeServer(in_turn([wrong], asked)) as server,
        pytest.raises(UnreadableError, match=r"Can't read May-2024/S3-"),
    ):
        read(server, LISTED, Shown(LISTED, LISTED))
    assert len(asked) == TRIES


@pytest.mark.parametrize(
    ("head", "in_listing", "kind"),
    [
        (None, None, DeletedError),
        (LISTED, None, UnreadableError),
        (None, LISTED, UnreadableError),
        (LISTED, LISTED, UnreadableError),
    ],
)
def test_an_object_is_gone_when_all_looks_agree(
    head: LogObject | None, in_listing: LogObject | None, kind: type[Exception]
) -> None:
    with FakeServer(in_turn([Reply(404)], [])) as server, pytest.raises(kind):
        read(server, LISTED, Shown(head, in_listing))


@pytest.mark.parametrize(
    "shown",
    [
        Shown(replace(LISTED, size_bytes=1), LISTED),
        Shown(LISTED, replace(LISTED, etag="other")),
        Shown(replace(LISTED, etag="other", last_modified_ms=9000), LISTED),
    ],
)
@pytest.mark.parametrize("answer", [Reply(412), answered(LONG, ETag='"other"')])
def test_an_object_is_replaced_when_another_look_says_so_too(answer: Reply, shown: Shown) -> None:
    with (
        FakeServer(in_turn([answer], [])) as server,
        pytest.raises(ReplacedError, match="replaced"),
    ):
        read(server, LISTED, shown)


def test_a_store_with_two_forms_of_an_etag_is_read() -> None:
    """It would never ship, and be called replaced in each iteration."""
    shown = Shown(replace(LISTED, etag="other-1", last_modified_ms=-999), LISTED)
    with FakeServer(in_turn([Reply(412), answered(LONG, ETag='"other-1"')], [])) as server:
        assert read(server, LISTED, shown) == LONG


@pytest.mark.parametrize("etag", ['"{}"', "{}", 'W/"{}"', ""])
def test_etags_are_compared_without_what_stands_around_them(etag: str) -> None:
    with FakeServer(in_turn([answered(LONG, ETag=etag.format(DIGEST))], [])) as server:
        assert read(server, LISTED) == LONG


def test_bytes_that_were_turned_on_the_way_are_read_again() -> None:
    asked: list[str] = []
    with FakeServer(in_turn([answered(TURNED), RIGHT], asked)) as server:
        assert read(server, LISTED) == LONG
    assert len(asked) == 2


def test_bytes_that_are_turned_each_time_otherwise_are_not_handed_out() -> None:
    turned = [answered(LONG[:at] + b"\0" + LONG[at + 1 :]) for at in range(3)]
    with (
        FakeServer(in_turn(turned, [])) as server,
        pytest.raises(UnreadableError, match="the MD5 of its bytes is not its ETag"),
    ):
        read(server, LISTED)


def test_an_etag_that_only_looks_like_an_md5_does_not_keep_an_object_from_being_shipped() -> None:
    """As of an object that the store encrypts: its bytes come twice alike."""
    with FakeServer(in_turn([answered(LONG)], [])) as server:
        assert read(server, replace(LISTED, etag="0" * 32)) == LONG


@pytest.fixture
def _streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.reading.object_reader.VERIFIED_BYTES", 0)


@pytest.mark.usefixtures("_streamed")
def test_a_large_object_that_was_turned_on_the_way_is_unreadable_at_its_end() -> None:
    with (
        FakeServer(in_turn([answered(TURNED), RIGHT], [])) as server,
        pytest.raises(UnreadableError, match="it was read twice, and its bytes differ"),
    ):
        read(server, LISTED)


@pytest.mark.usefixtures("_streamed")
def test_a_large_object_is_read_once() -> None:
    asked: list[str] = []
    with FakeServer(in_turn([RIGHT], asked)) as server:
        assert read(server, LISTED) == LONG
    assert len(asked) == 1


def chunked(body: bytes, *, is_whole: bool = True) -> Reply:
    """Returns an answer without a length, as of a store that undoes a Content-Encoding."""
    coded = b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if is_whole else b"")
    return Reply(200, coded, {"Transfer-Encoding": "chunked", "Connection": "close"})


@pytest.mark.parametrize("verified_bytes", [0, 10**6])
@pytest.mark.parametrize("is_whole", [True, False])
def test_more_bytes_than_are_listed_are_no_object(
    monkeypatch: pytest.MonkeyPatch, verified_bytes: int, *, is_whole: bool
) -> None:
    monkeypatch.setattr("services.reading.object_reader.VERIFIED_BYTES", verified_bytes)
    with (
        FakeServer(in_turn([chunked(LONG * 2, is_whole=is_whole)], [])) as server,
        pytest.raises(UnreadableError, match="more bytes came than are listed"),
    ):
        read(server, replace(LISTED, etag="multipart-2"))


def test_a_body_without_a_length_is_read() -> None:
    with FakeServer(in_turn([chunked(LONG)], [])) as server:
        assert read(server, LISTED) == LONG


def test_a_redirect_is_named_and_not_followed() -> None:
    asked: list[str] = []
    moved = Reply(301, b"", {"Location": "https://elsewhere.example:8443/x"})
    with (
        FakeServer(in_turn([moved], asked)) as server,
        pytest.raises(
            ServiceError, match=r"\(HTTP 301 to https://elsewhere\.example:8443/x"
        ) as error,
    ):
        read(server, LISTED)
    assert not isinstance(error.value, UnreadableError)
    assert len(asked) == 1


def test_a_store_that_is_down_is_not_told_of_each_object() -> None:
    with FakeServer(in_turn([Reply(503)], [])) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), NoPause(), Shown(), CONCURRENCY
        )
        for _ in range(2):
            with pytest.raises(UnreadableError):
                [*reader.pieces(LISTED)]
        with pytest.raises(TransientError):
            [*reader.pieces(LISTED)]


def test_a_body_that_breaks_again_and_again_is_resumed_where_it_broke() -> None:
    replies: list[Reply] = []
    last = len(BODY) - 1
    for offset in range(len(BODY)):
        reply = chunked(BODY[offset : offset + 1], is_whole=offset == last)
        place = {"Content-Range": f"bytes {offset}-{last}/{len(BODY)}"}
        replies.append(reply._replace(status=206, headers={**reply.headers, **place}))
    with FakeServer(in_turn(replies, [])) as server:
        assert read(server) == BODY


def small(count: int) -> list[LogObject]:
    return [listed(f"May-2024/S3-{number}.gz") for number in range(count)]


def read_all(reader: ObjectReader, objects: list[LogObject]) -> list[bytes]:
    return [b"".join(reader.pieces(one)) for one in reader.ahead(objects, lambda one: one)]


def test_small_objects_are_asked_for_before_those_ahead_of_them_are_read() -> None:
    """Each answer waits until a group of them is asked for."""
    together = Barrier(3)

    def answer(*_: str) -> Reply:
        together.wait(10)
        return FOUND

    with FakeServer(answer) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), Event(), Shown(), CONCURRENCY
        )
        assert read_all(reader, small(3)) == [BODY] * 3


@pytest.mark.parametrize("concurrency", range(1, 10))
def test_what_is_under_way_grows_to_what_may_be(concurrency: int) -> None:
    """Each opens a connection at first, and the first object to be read waits for few of them."""
    client = Mock()
    reader = ObjectReader(client, Event(), Shown(), concurrency)
    ahead = reader.ahead(small(100), lambda one: one)
    under_way = [client.ask.call_count - read for read, _ in enumerate(ahead)]
    assert under_way[0] == min(3, 2 * max(1, concurrency // 2))
    assert max(under_way) == max(2, concurrency - concurrency % 2)


def test_a_large_object_is_asked_for_when_it_is_read() -> None:
    """What is read before may take minutes, and a server does not keep an answer that long."""
    client = Mock()
    first, *objects = small(3)
    large = replace(first, size_bytes=10**7)
    reader = ObjectReader(client, Event(), Shown(), CONCURRENCY)
    for _ in reader.ahead([objects[0], large, objects[1]], lambda one: one):
        assert client.ask.call_args_list == [call(one, 0) for one in objects]


CLOSED = FOUND._replace(headers={**FOUND.headers, "Connection": "close"})


def are_closed(sockets: list[socket], count: int) -> bool:
    """Tells if there are so many connections, and each is closed."""
    return [one.fileno() for one in sockets] == [-1] * count


def test_what_was_asked_for_and_is_not_read_is_let_go(opened: list[socket]) -> None:
    with FakeServer(in_turn([FOUND], [])) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), Event(), Shown(), CONCURRENCY
        )
        ahead = reader.ahead(small(20), lambda one: one)
        next(ahead)
        reader.close()
        assert are_closed(opened, 3)
        del ahead


def test_what_was_asked_for_is_let_go_with_the_loop_that_would_read_it(
    opened: list[socket],
) -> None:
    with FakeServer(in_turn([FOUND], [])) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), Event(), Shown(), CONCURRENCY
        )
        for _ in reader.ahead(small(20), lambda one: one):
            break
        assert are_closed(opened, 3)


def test_an_object_that_comes_twice_is_read_twice_and_asked_for_no_more(
    opened: list[socket],
) -> None:
    asked: list[str] = []
    with FakeServer(in_turn([CLOSED], asked)) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), Event(), Shown(), CONCURRENCY
        )
        assert read_all(reader, small(3) * 2) == [BODY] * 6
        assert are_closed(opened, 6)
    assert len(asked) == 6


def test_what_is_being_read_is_not_closed_by_who_lets_go_of_the_rest() -> None:
    """That may be another thread, and the number of a closed socket is given to the next one."""
    closed: list[LogObject] = []
    taken: list[LogObject] = []

    def take(log_object: LogObject) -> None:
        taken.append(log_object)
        raise StoppedError

    def close(log_object: LogObject) -> None:
        closed.append(log_object)
        for other in {*objects} - {*closed, *taken}:
            with suppress(StoppedError):
                next(reader.pieces(other))

    def ask(log_object: LogObject, _: int) -> Mock:
        return Mock(body=partial(take, log_object), close=partial(close, log_object))

    objects = small(8)
    reader = ObjectReader(Mock(ask=ask), Event(), Shown(), CONCURRENCY)
    ahead = reader.ahead(objects, lambda one: one)
    next(ahead)
    reader.close()
    assert (len(closed), len(taken)) == (1, 7)
    del ahead


@pytest.mark.usefixtures("_streamed")
def test_a_body_that_breaks_is_resumed_though_the_object_is_asked_for_anew() -> None:
    half = len(LONG) // 2
    rest = answered(LONG[half:])._replace(
        headers={"Content-Range": f"bytes {half}-{len(LONG) - 1}/{len(LONG)}"}
    )
    broken = chunked(LONG[:half], is_whole=False)
    with FakeServer(in_turn([broken, RIGHT, rest], [])) as server:
        reader = ObjectReader(
            GetClient(access_to(server), "audit-logs"), NoPause(), Shown(), CONCURRENCY
        )
        pieces = reader.pieces(LISTED)
        first = next(pieces)
        ahead = reader.ahead([LISTED], lambda one: one)
        assert next(ahead) is LISTED
        assert first + b"".join(pieces) == LONG


@pytest.mark.usefixtures("_streamed")
def test_a_body_that_is_read_no_further_is_let_go(opened: list[socket]) -> None:
    with FakeServer(in_turn([RIGHT], [])) as server:
        pieces = ObjectReader(
            GetClient(access_to(server), "audit-logs"), NoPause(), Shown(), CONCURRENCY
        ).pieces(LISTED)
        next(pieces)
        del pieces
        assert are_closed(opened, 1)


def test_what_can_not_be_asked_for_ahead_is_asked_for_when_it_is_read() -> None:
    asked: list[str] = []
    with FakeServer(in_turn([FOUND], asked)) as server:
        client = GetClient(access_to(server), "audit-logs")
        reader = ObjectReader(client, NoPause(), Shown(), CONCURRENCY)
        unreachable = EndpointConnectionError(endpoint_url=server.url)
        ask = Mock(side_effect=[unreachable, unreachable, *repeat(DEFAULT, 20)], wraps=client.ask)
        with patch.object(client, "ask", ask):
            assert read_all(reader, small(4)) == [BODY] * 4
    assert len(asked) == 4
