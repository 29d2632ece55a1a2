"""Speaks HTTP/1.1 on urllib3's connections: a request, and its answer as it comes."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected
from io import IOBase
from ssl import SSLError as BrokenTlsError
from sys import maxsize
from typing import TYPE_CHECKING, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, ProtocolError, ProxyError, ReadTimeoutError, SSLError

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool

# What botocore hands over as a body.
Content = bytes | bytearray | str | IOBase

_WITH_BODY = {"POST", "PUT"}
_RECEIVE_BYTES = 64 * 1024
# As many as puts may be under way.
_MOST_FREE = 64
# Of a head, or of what stands behind the last chunk.
_MOST_BESIDES_BYTES = 256 * 1024
# A page of a listing or of a log stream has a few MB, and so has a checkpoint; an object is read as
# it comes.
_MOST_UNREAD_BYTES = 32 * 1024 * 1024
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
    """An answer, whose head and body are received when they are asked for.

    A body that breaks off before its `Content-Length` just ends: whoever reads it compares them.

    Args:
        connection: on which the request was sent.
        method: of the request.
        give_back: takes the connection once it can be used again.
    """

    def __init__(
        self,
        connection: HTTPConnection,
        method: str,
        give_back: Callable[[HTTPConnection], object],
    ) -> None:
        self._connection: HTTPConnection | None = connection
        self._socket = connection.sock
        self._give_back = give_back
        self._is_bodiless = method == "HEAD"
        self._parser = HttpResponseParser(self)
        self._body = bytearray()
        self._has_head = self._is_whole = self._may_stay_open = False
        self._break: HTTPError | None = None
        self._besides_bytes = 0
        self.status = 0
        self.headers = Headers()

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
            ValueError: an interim answer has a body, or one to HEAD, or it has no end.
        """
        if self._is_bodiless or not self._has_head:
            raise ValueError("a body where there is none")
        if len(self._body) > _MOST_UNREAD_BYTES:
            raise ValueError("more than any answer has that is read as a whole")
        self._body += piece

    def on_message_complete(self) -> None:
        """Takes the end of the body."""
        self._is_whole = self._has_head

    # What botocore and we call.

    def receive_head(self) -> None:
        """Receives the head, and what of the body comes with it.

        Raises:
            HTTPError: urllib3's: no answer came, or what came is none.
        """
        self._receive_while(lambda: not self._has_head)
        if self._break and not self._has_head:
            raise self._break

    def read(self, most_bytes: int | None = None) -> bytes:
        """Returns the next bytes of the body, b"" at its end.

        Args:
            most_bytes: how many, at most; None for all.

        Raises:
            HTTPError: urllib3's, of a connection that breaks.
        """
        least_bytes = 1 if most_bytes else maxsize
        self._receive_while(lambda: not self._is_whole and len(self._body) < least_bytes)
        if self._break and not (most_bytes and self._body):
            raise self._break
        taken = bytes(self._body[:most_bytes])
        del self._body[:most_bytes]
        return taken

    def stream(self) -> Iterator[bytes]:
        """Yields the body as it comes."""
        while piece := self.read(_RECEIVE_BYTES):
            yield piece

    def close(self) -> None:
        """Closes the connection, if the body is not read to its end."""
        self._may_stay_open = False
        self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection and self._may_stay_open:
            self._give_back(connection)
        elif connection:
            connection.close()

    def _receive_while(self, is_wanted: Callable[[], bool]) -> None:
        """Receives what is wanted; a break is raised once what came before it is read."""
        try:
            while not self._break and is_wanted():
                self._receive()
        except (OSError, BadStatusLine, IncompleteRead) as exc:
            self._break = self._break_of(exc)
            self._break.__cause__ = exc
        if self._is_whole:
            self._let_go()
        elif self._break:
            self.close()

    def _break_of(self, error: Exception) -> HTTPError:
        if isinstance(error, TimeoutError):
            return ReadTimeoutError(None, "", "Read timed out.")  # type: ignore[arg-type] # no pool
        # With TLS 1.3 a server refuses the handshake where the answer is awaited.
        if isinstance(error, BrokenTlsError) and not self._has_head:
            return SSLError(error)
        return ProtocolError(f"Connection broken: {error!r}", error)

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


class Connections:
    """The connections to one service: urllib3 opens them, and here they are spoken on.

    `http.client`, with which urllib3 speaks, takes five times as long for a small answer, most of
    it as if its head were that of an e-mail; and it takes a connection that ends within the head
    for the head's end.

    Args:
        pool: knows the way to the service. What it keeps itself is not used.
        timeout_seconds: how long to wait each time that something is sent or received.
        has_tunnel: whether a proxy is asked for a tunnel to the service.
    """

    def __init__(
        self, pool: "HTTPConnectionPool", timeout_seconds: float, *, has_tunnel: bool = False
    ) -> None:
        self._pool = pool
        self._timeout_seconds = timeout_seconds
        self._has_tunnel = has_tunnel
        self._free: deque[HTTPConnection] = deque()

    def take(self) -> HTTPConnection:
        """Returns one that is open.

        Raises:
            ProxyError: the proxy is not reached, or makes no tunnel.
            Exception: what urllib3 raises otherwise.
        """
        with suppress(IndexError):  # no other is free
            while True:
                connection = self._free.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        connection = cast("HTTPConnection", self._pool._new_conn())  # noqa: SLF001 - not its `urlopen`
        try:
            if self._has_tunnel:
                self._pool._prepare_proxy(connection)  # noqa: SLF001 - as its `urlopen` does
            else:
                connection.connect()
            connection.sock.settimeout(self._timeout_seconds)
        except Exception as exc:
            is_reached = connection.has_connected_to_proxy or not connection.proxy
            connection.close()
            if is_reached:
                raise
            raise ProxyError("the proxy is not reached", exc) from exc
        return connection

    def send(
        self,
        connection: HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str | bytes],
        body: Content | None,
    ) -> Answer:
        """Sends a request, and returns the answer, of which nothing is received.

        Args:
            connection: that was taken.
            method: of HTTP.
            target: as it stands in the first line.
            headers: all but `Content-Length`.
            body: all of it.

        Raises:
            OSError: it breaks.
            ValueError: a line of the head has the end of a line in it.
        """
        content = _bytes_of(body)
        head = [f"{method} {target} HTTP/1.1", f"Content-Length: {len(content)}"]
        if not content and method not in _WITH_BODY:
            head.pop()
        for name, value in headers.items():
            if name != "Content-Length":
                text = value if isinstance(value, str) else value.decode("latin-1")
                head.append(f"{name}: {text}")
        if any(map(_LINE_END.search, head)):
            raise ValueError("a line of the request's head has the end of a line in it")
        # The server may have answered before, and say that it reads no further.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sock.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + content)
        return Answer(connection, method, self._give_back)

    def _give_back(self, connection: HTTPConnection) -> None:
        if len(self._free) < _MOST_FREE:
            self._free.append(connection)
        else:
            connection.close()


def _bytes_of(body: Content | None) -> bytes:
    content = body.read() if isinstance(body, IOBase) else body
    return content.encode() if isinstance(content, str) else bytes(content or b"")
