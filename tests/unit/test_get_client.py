"""The get client asks as boto3's own client does, and what passes is tried again."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from threading import Event

import pytest
from botocore.exceptions import ClientError

from services.aws.clients import s3_client
from services.aws.get_request import GetClient
from services.shipping.object_reader import ObjectReader
from tests.servers.installation import BUCKET, Installation
from tests.standin.fake_server import FakeServer, Reply, s3_refusal
from utils.config.settings import LyveAccess
from utils.errors import ServiceError, UnreadableError
from utils.lines.decompression import DamagedError, DeletedError
from utils.model import LogObject

BODY = b'{"number": 1}\n'
FOUND = Reply(206, BODY, {"Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"})
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
        assert GetClient(access, "audit-logs").get(listed(key), 0).body.read() == BODY
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
    assert client.get(log_object, offset).body.read() == BODY[offset:]


def test_an_object_that_was_replaced_is_refused(installation: Installation) -> None:
    client, log_object = stored(installation)
    installation.put(KEYS[1], BODY.replace(b"1", b"2"))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.get(log_object, 0)


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
            GetClient(access_to(server), "audit-logs").get(listed(), 0)
        with pytest.raises(ClientError) as theirs:
            s3_client(access_to(server), attempts=1).get_object(Bucket="audit-logs", Key="key")
    assert ours.value.response["Error"].get("Code") == code
    assert theirs.value.response["Error"].get("Code") == code


def read(
    server: FakeServer, log_object: LogObject | None = None, shown: Shown | None = None
) -> bytes:
    """Returns an object's bytes, read with as many tries as it takes."""
    client = GetClient(access_to(server), "audit-logs")
    reader = ObjectReader(client, NoPause(), shown or Shown())
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
BROKEN_AT = 70_000


def part(first: int, offset: int) -> Reply:
    """Returns an answer that says it begins at `first`, with the bytes from `offset` on."""
    headers = {"Content-Range": f"bytes {first}-{len(LONG) - 1}/{len(LONG)}"}
    return Reply(206, LONG[offset:], headers)


@pytest.mark.parametrize(
    "resumed",
    [
        pytest.param(Reply(200, LONG), id="from the first byte on"),
        pytest.param(part(3, 3), id="from another offset on"),
        pytest.param(Reply(206, LONG[BROKEN_AT:]), id="from nobody says where"),
    ],
)
def test_an_answer_that_is_not_the_asked_part_is_thrown_away(resumed: Reply) -> None:
    asked: list[str] = []
    length = {"Content-Length": str(len(LONG)), "Connection": "close"}
    whole = part(0, 0)
    broken = Reply(206, LONG[:BROKEN_AT], {**whole.headers, **length})
    replies = [broken, resumed, part(BROKEN_AT, BROKEN_AT)]
    with FakeServer(in_turn(replies, asked)) as server:
        assert read(server, LogObject(0, KEYS[0], "etag", len(LONG))) == LONG
    assert len(asked) == 3
