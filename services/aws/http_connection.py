"""Speaks HTTP/1.1 on urllib3's connections: a request, and its answer as it comes."""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from io import IOBase
from sys import maxsize
from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool
    from urllib3.util.retry import Retry

# What botocore hands over as a body.
Content = bytes | bytearray | str | IOBase

_WITH_BODY = {"POST", "PUT"}
_RECEIVE_BYTES = 64 * 1024
# Of a head, or of what stands behind the last chunk.
_MOST_BESIDES_BYTES = 256 * 1024
# With one of these, a line of the head would end early.
_LINE_END = re.compile(r"[\r\n\0]")


class Headers(dict[str, str]):
    """The headers of an answer, whose names ignore case."""

    def add(self, name: str, value: str) -> None:
        """Takes a line; those of one name are one list."""
        name = name.lower()
        before = super().get(name)
        self[name] = value if before is None else f"{before}, {value}"

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override] # of text alone
        """Returns the value of a name, or the default."""
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        """Returns the value of a name."""
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        """Tells if a name is there."""
        return super().__contains__(str(name).lower())


class Answer:
    """An answer, whose body is received when it is asked for.

    A body that breaks off before its `Content-Length` just ends: whoever reads it compares them.

    Args:
        connection: on which the request was sent.
        method: of the request.

    Raises:
        OSError, HTTPException: no answer came, or what came is none.
    """

    # What urllib3's pool writes into its log.
    version_string = "HTTP/1.1"
    length_remaining = None

    def __init__(self, connection: HTTPConnection, method: str) -> None:
        self._socket = connection.sock
        self._is_bodiless = method == "HEAD"
        self._parser = HttpResponseParser(self)
        self._body = bytearray()
        self._has_head = self._is_whole = self._may_stay_open = False
        self._break: HTTPError | None = None
        self.status = 0
        self.headers = Headers()
        # The pool sets these, and has the connection back once the body is read.
        self._pool: HTTPConnectionPool | None = None
        self._connection: HTTPConnection | None = None
        self.retries: Retry | None = None
        self._besides_bytes = 0
        while not self._has_head:
            self._receive()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Takes the beginning of an answer, unless this one has come to its end.

        Raises:
            ValueError: it has, and the parser goes no further.
        """
        if self._is_whole:
            raise ValueError("another answer follows")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a line of the head; one behind the body is not of it."""
        if not self._has_head:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1").rstrip())

    def on_headers_complete(self) -> None:
        """Takes the end of the head; an interim answer stands before the one that counts."""
        self.status = self._parser.get_status_code()
        if self.status < HTTPStatus.OK:
            self.headers.clear()
            return
        self._has_head = True
        self._may_stay_open = self._parser.should_keep_alive()
        self._is_whole = self._is_bodiless

    def on_body(self, piece: bytes) -> None:
        """Takes some of the body.

        Raises:
            ValueError: neither an interim answer nor the one to HEAD has a body.
        """
        if self._is_bodiless or not self._has_head:
            raise ValueError("a body where there is none")
        self._body += piece

    def on_message_complete(self) -> None:
        """Takes the end of the body."""
        self._is_whole = self._has_head

    # What botocore and we call.

    def read(self, most_bytes: int | None = None) -> bytes:
        """Returns the next bytes of the body, b"" at its end.

        Args:
            most_bytes: how many, at most; None for all.

        Raises:
            HTTPError: urllib3's, of a connection that breaks.
        """
        self.receive(1 if most_bytes else maxsize)
        if self._break and not (most_bytes and self._body):
            raise self._break
        taken = bytes(self._body[:most_bytes])
        del self._body[:most_bytes]
        return taken

    def receive(self, least_bytes: int) -> None:
        """Receives so much of the body, or all of it; what is not read is kept.

        If the connection breaks, that is raised once what came before is read.

        Args:
            least_bytes: how many bytes are to be there to be read.
        """
        try:
            while not (self._is_whole or self._break) and len(self._body) < least_bytes:
                self._receive()
        except TimeoutError:
            self._break = ReadTimeoutError(self._pool, "", "Read timed out.")  # type: ignore[arg-type] # it is set
        except (OSError, BadStatusLine, IncompleteRead) as exc:
            self._break = ProtocolError(f"Connection broken: {exc!r}", exc)
        if self._is_whole:
            self.release_conn()
        elif self._break:
            self.close()

    def stream(self) -> Iterator[bytes]:
        """Yields the body as it comes."""
        while piece := self.read(_RECEIVE_BYTES):
            yield piece

    def release_conn(self) -> None:
        """Gives the connection back; one that can't be used again is closed first."""
        connection, self._connection = self._connection, None
        if connection and self._pool:
            if not self._may_stay_open:
                connection.close()
            self._pool._put_conn(connection)  # noqa: SLF001 - as urllib3's own answers do

    def close(self) -> None:
        """Closes the connection, if the body is not read to its end."""
        if self._connection:
            self._may_stay_open = False
            self.release_conn()

    def _receive(self) -> None:
        received = self._socket.recv(_RECEIVE_BYTES)
        if not received:
            self._end_early()
        body_bytes = len(self._body)
        try:
            self._parser.feed_data(received)
        except (HttpParserError, HttpParserUpgrade) as exc:
            # What stands behind the end of an answer belongs to none.
            self._may_stay_open = False
            if not self._is_whole:
                raise BadStatusLine(str(exc)) from exc
        if self._is_whole:
            # They hold each other.
            del self._parser
        elif len(self._body) > body_bytes:
            self._besides_bytes = 0
        else:
            self._besides_bytes += len(received)
            if self._besides_bytes > _MOST_BESIDES_BYTES:
                raise BadStatusLine("its head or its trailer does not end")

    def _end_early(self) -> None:
        """Takes the end of the connection, which is the body's end where nothing else says it."""
        if not self._has_head:
            raise RemoteDisconnected("Remote end closed connection without response")
        if "Transfer-Encoding" in self.headers:
            raise IncompleteRead(b"")
        self._is_whole = True
        self._may_stay_open = False


class _Plain(HTTPConnection):
    """A connection whose socket urllib3 makes and keeps, and on which we speak."""

    def request(  # type: ignore[override] # urllib3's has arguments that nothing here uses
        self,
        method: str,
        url: str,
        body: Content | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        **_: object,
    ) -> None:
        """Sends a request.

        Args:
            method: of HTTP.
            url: as it stands in the first line.
            body: all of it.
            headers: all but `Content-Length`.

        Raises:
            ValueError: one of these has the end of a line in it.
        """
        content = _bytes_of(body)
        head = [f"{method} {url} HTTP/1.1", f"Content-Length: {len(content)}"]
        if not content and method not in _WITH_BODY:
            head.pop()
        for name, value in (headers or {}).items():
            if name != "Content-Length":
                text = value if isinstance(value, str) else value.decode("latin-1")
                head.append(f"{name}: {text}")
        if any(map(_LINE_END.search, head)):
            raise ValueError("a line of the request's head has the end of a line in it")
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.timeout)
        self._method = method
        self.sock.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + content)

    def getresponse(self) -> Answer:  # type: ignore[override] # not urllib3's own
        """Returns the answer to the request that was sent last, once its head is there."""
        self.sock.settimeout(self.timeout)
        return Answer(self, self._method)


class _Secure(_Plain, HTTPSConnection):
    """The same with TLS."""


def speak_on(pool: "HTTPConnectionPool") -> None:
    """Lets a pool's connections speak as here.

    `http.client`, on which urllib3's are built, takes five times as long for a small answer, most
    of it as if its head were that of an e-mail; and it takes a connection that ends within the head
    for the head's end.

    Args:
        pool: of one service.
    """
    is_secure = issubclass(pool.ConnectionCls, HTTPSConnection)
    pool.ConnectionCls = _Secure if is_secure else _Plain  # type: ignore[assignment] # as good


def _bytes_of(body: Content | None) -> bytes:
    content = body.read() if isinstance(body, IOBase) else body
    return content.encode() if isinstance(content, str) else bytes(content or b"")
