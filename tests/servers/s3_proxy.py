"""A proxy before the S3 server: it records requests, holds them back, and dates objects.

An S3 server sets `LastModified` itself, so an object that is days old, or that appears late, can't
be made; here the listing says what a test wants it to say.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
KEY = re.compile(rb"<Key>(.*?)</Key>")
LAST_MODIFIED = re.compile(rb"<LastModified>.*?</LastModified>")
OF_THE_CONNECTION = {"connection", "content-length", "date", "keep-alive", "server"}


class S3Proxy:
    """Passes requests on to an S3 server, between `with` and its end.

    `requests` are the request lines so far, such as `GET /bucket/key`; `dates` the LastModified of
    objects by key, UTC, in place of the server's; `ahead` how far its clock seems to be ahead;
    `replies` the bodies of answers, by request line, in place of the server's.

    Args:
        endpoint_url: of the server.
    """

    def __init__(self, endpoint_url: str) -> None:
        address = urlsplit(endpoint_url)
        self.upstream = (str(address.hostname), address.port)
        self.requests: list[str] = []
        self.dates: dict[str, datetime] = {}
        self.ahead = timedelta(0)
        self.replies: dict[str, bytes] = {}
        self.hold_text = ""
        self.held = Event()
        self.released = Event()

    def __enter__(self) -> Self:
        proxy: S3Proxy = self

        class Handler(_Handler):
            state = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, text: str) -> None:
        """Holds back each request whose line contains the text until `release`.

        `held` is set as soon as there is one.
        """
        self.held.clear()
        self.released.clear()
        self.hold_text = text

    def release(self) -> None:
        """Lets all requests go on."""
        self.hold_text = ""
        self.released.set()

    def asked(self, text: str) -> list[str]:
        """Returns the request lines that contain the text."""
        return [line for line in self.requests if text in line]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is two packets, and the second must not wait until the first is acknowledged.
    disable_nagle_algorithm = True
    state: S3Proxy

    def _pass_on(self) -> None:
        line = f"{self.command} {self.path}"
        self.state.requests.append(line)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.state.hold_text and self.state.hold_text in line:
            self.state.held.set()
            self.state.released.wait()
        if line in self.state.replies:
            self._reply(self.state.replies[line])
            return
        connection = HTTPConnection(*self.state.upstream)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        # A client that was held back may have gone.
        with connection.getresponse() as response, suppress(ConnectionError):
            self._answer(response)
        connection.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815 - http.server's names

    def _reply(self, content: bytes) -> None:
        self.send_response_only(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, response: HTTPResponse) -> None:
        content = _dated(response.read(), self.state.dates)
        length = response.headers.get("Content-Length", "0")
        self.send_response_only(response.status, response.reason)
        for name, value in response.headers.items():
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, self._dated_header(name, value))
        now = parsedate_to_datetime(response.headers["Date"]) + self.state.ahead
        self.send_header("Date", format_datetime(now, usegmt=True))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _dated_header(self, name: str, value: str) -> str:
        key = unquote(urlsplit(self.path).path).split("/", 2)[-1]
        if name.lower() == "last-modified" and key in self.state.dates:
            return format_datetime(self.state.dates[key], usegmt=True)
        return value

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


def _dated(content: bytes, dates: Mapping[str, datetime]) -> bytes:
    if not dates or b"<ListBucketResult" not in content[:200]:
        return content
    return CONTENTS.sub(lambda found: _dated_entry(found[0], dates), content)


def _dated_entry(entry: bytes, dates: Mapping[str, datetime]) -> bytes:
    key = KEY.search(entry)
    assert key
    date = dates.get(unquote(key[1].decode()))
    if date is None:
        return entry
    shown = f"<LastModified>{date:%Y-%m-%dT%H:%M:%SZ}</LastModified>"
    return LAST_MODIFIED.sub(shown.encode(), entry)
