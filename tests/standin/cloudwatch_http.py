"""As much of an HTTP/1.1 server as the stand-in needs: one request, one answer."""

from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

MAXIMUM_BODY_BYTES = 16 * 1_048_576
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BadRequestError(Exception):
    """A request that is no HTTP the stand-in speaks; the connection ends after the answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class HttpRequest(Struct):
    """A request with its whole body; the names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> Mapping[str, str]:
        """The last value of each field of the query."""
        fields = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[-1] for name, values in fields.items()}

    @property
    def closes(self) -> bool:
        """Whether the client wants no other request on this connection."""
        return self.headers.get("connection", "").lower() == "close"


class HttpAnswer(Struct, frozen=True):
    """A whole answer."""

    status: int
    content_type: str
    body: bytes


async def read_request(reader: StreamReader, writer: StreamWriter) -> HttpRequest | None:
    """Reads one request, None at the end of the connection.

    Raises:
        BadRequestError: what came is not acceptable as HTTP.
        ConnectionError: the client went in the middle of a request.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except IncompleteReadError:
        return None
    except LimitOverrunError:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    method, target, headers = _parsed(head.decode("latin-1"))
    length = _body_length(method, headers)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(CONTINUE)
    try:
        body = await reader.readexactly(length)
    except IncompleteReadError as error:
        raise ConnectionError("the client went while it sent a body") from error
    return HttpRequest(method, target, headers, body)


def answer_head(
    status: int, content_type: str, now_ms: int, more: Iterable[tuple[str, str]]
) -> bytes:
    """Returns the status line and the headers of an answer.

    Args:
        status: the HTTP status.
        content_type: of the body.
        now_ms: the clock that the Date header shows.
        more: further headers.
    """
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Date: {formatdate(now_ms / 1000, usegmt=True)}",
        f"Content-Type: {content_type}",
        *(f"{name}: {value}" for name, value in more),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(part: bytes) -> bytes:
    """Returns a part of a body in the chunked transfer coding; an empty part ends the body."""
    return b"%x\r\n%s\r\n" % (len(part), part)


def _parsed(head: str) -> tuple[str, str, dict[str, str]]:
    request_line, *lines = head.rstrip("\r\n").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        headers[name.lower()] = value.strip()
    if "host" not in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    return words[0], words[1], headers


def _body_length(method: str, headers: Mapping[str, str]) -> int:
    length = headers.get("content-length", "0" if method == "GET" else "")
    if "transfer-encoding" in headers or not length.isdecimal():
        raise BadRequestError(HTTPStatus.LENGTH_REQUIRED)
    if int(length) > MAXIMUM_BODY_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(length)
