"""A proxy that passes requests on, and answers some of them wrongly, as a test says.

It stands in front of an S3 server or of the stand-in for CloudWatch Logs. Gateways, caches and
proxies give such answers: an empty page, an answer to somebody else, a part, an older one.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from email.message import Message
from http.client import HTTPConnection, responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

# Requests are answered up to this number; then each connection is closed, so that a loop of the
# program without an end is found, and does no harm.
MOST_REQUESTS = 20_000
# No request takes this long, unless something hangs.
TIMEOUT_SECONDS = 30
HTML = b"<!DOCTYPE html>\n<html><head><title>502</title></head>\n<body>Bad gateway</body></html>\n"
_EARLIER = 100
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}
_OUTPUT_OBJECTS = {
    "integration-state/": "checkpoint",
    "integration-logs/latest-": "latest",
    "integration-logs/": "status",
    "integration-quarantine/": "quarantine",
}


class Answer(NamedTuple):
    """An answer over HTTP; `cut` is the number of bytes after which the connection breaks."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes = b""
    cut: int | None = None

    @property
    def head(self) -> bytes:
        """The status line and the headers, with the empty line behind them."""
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def header(self, name: str) -> str:
        """Returns the value of a header, empty where it is missing."""
        return next((value for one, value in self.headers if one.lower() == name.lower()), "")

    def with_header(self, name: str, value: str | None) -> "Answer":
        """Returns the answer with another value of a header, or without it."""
        kept = [one for one in self.headers if one[0].lower() != name.lower()]
        return self._replace(headers=kept if value is None else [*kept, (name, value)])

    def with_body(self, body: bytes) -> "Answer":
        """Returns the answer with another body, and its length."""
        return self._replace(body=body).with_header("Content-Length", str(len(body)))


class Earlier(NamedTuple):
    """A true answer of before, and the request that it is the answer to."""

    kind: str
    method: str
    target: str
    answer: Answer


class Exchange(NamedTuple):
    """A request, the way to its true answer, and the true answers up to now, the oldest first.

    `target` is the path with its query, for CloudWatch the operation.
    """

    kind: str
    method: str
    target: str
    headers: Message
    body: bytes
    send: Callable[[], Answer]
    earlier: Sequence[Earlier]


class NothingToTellError(Exception):
    """The lie can't be told yet, as there is no earlier answer: the next request gets it."""


# Returns what is answered, None to close the connection instead.
Lie = Callable[[Exchange], Answer | None]


class _Plan:
    """A lie that waits for its request."""

    def __init__(self, kind: str, lie: Lie, about: str, span: range) -> None:
        self.kind = kind
        self.lie = lie
        self.about = about
        self._span = span
        self._asked = 0

    def is_now(self, kind: str, target: str) -> bool:
        """Counts a request; tells if it is one that is lied to."""
        if kind != self.kind or self.about not in unquote(target):
            return False
        self._asked += 1
        return self._asked in self._span

    def put_off(self) -> None:
        """Leaves the lie for the next request."""
        self._span = range(self._span.start + 1, self._span.stop + 1)


class LyingProxy:
    """Passes requests on to a server, between `with` and its end.

    `asked` counts the requests by their kinds, such as `GET object`, `list folder` or
    `PutLogEvents`; `told` are the requests that were lied to.

    Args:
        endpoint_url: of the server.
    """

    def __init__(self, endpoint_url: str) -> None:
        address = urlsplit(endpoint_url)
        self._upstream = (str(address.hostname), address.port)
        self._lock = Lock()
        self.forget()

    def __enter__(self) -> Self:
        proxy: LyingProxy = self

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
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Begins anew: no lies, nothing told, no earlier answers."""
        with self._lock:
            self._plans: list[_Plan] = []
            self._earlier: deque[Earlier] = deque(maxlen=_EARLIER)
            self.asked: Counter[str] = Counter()
            self.told: list[str] = []

    def lie(self, kind: str, lie: Lie, first: int = 1, times: int = 1, about: str = "") -> None:
        """Lies to requests of a kind.

        Args:
            kind: of the requests.
            lie: what they are told.
            first: the number of the first one, counted from now on.
            times: how many are lied to in a row.
            about: stands in the paths of the requests that count.
        """
        with self._lock:
            self._plans.append(_Plan(kind, lie, about, range(first, first + times)))

    def be_well(self) -> None:
        """Tells the truth from now on."""
        with self._lock:
            self._plans.clear()

    def answer(self, exchange: Exchange) -> tuple[Answer | None, bool]:
        """Returns the answer to a request, and whether it is true."""
        with self._lock:
            self.asked[exchange.kind] += 1
            if self.asked.total() > MOST_REQUESTS:
                return None, False
            plans = [plan for plan in self._plans if plan.is_now(exchange.kind, exchange.target)]
            earlier = list(self._earlier)
        for plan in plans:
            try:
                answer = plan.lie(exchange._replace(earlier=earlier))
            except NothingToTellError:
                plan.put_off()
                continue
            self.told.append(f"{exchange.method} {exchange.target}")
            return answer, False
        answer = exchange.send()
        with self._lock:
            kind, method, target, *_ = exchange
            self._earlier.append(Earlier(kind, method, target, answer))
        return answer, True

    def send(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """Returns the server's own answer."""
        connection = HTTPConnection(*self._upstream, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() != "expect":
                    connection.putheader(name, value)
            connection.endheaders(body)
            with connection.getresponse() as response:
                content = response.read()
                named = response.headers.items()
                kept = [one for one in named if one[0].lower() not in _OF_THE_CONNECTION]
                answer = Answer(response.status, kept, content)
        finally:
            connection.close()
        has_length = method == "HEAD" or answer.status in {204, 304}
        return answer if has_length else answer.with_body(content)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_SECONDS
    # An answer must not wait until the beginning of it is acknowledged.
    disable_nagle_algorithm = True
    state: LyingProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        path, headers = self.path, self.headers
        exchange = Exchange(
            kind=operation or kind_of(self.command, path),
            method=self.command,
            target=operation or path,
            headers=headers,
            body=body,
            send=lambda: self.state.send(self.command, path, headers, body),
            earlier=(),
        )
        try:
            self._say(*self.state.answer(exchange))
        except OSError:
            # The client, or the server behind, has gone.
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _say(self, answer: Answer | None, is_true: bool) -> None:
        self.close_connection = not is_true or self.close_connection
        if answer is None:
            return
        if not is_true and answer.cut is None:
            answer = answer.with_header("Connection", "close")
        body = b"" if self.command == "HEAD" else answer.body
        self.wfile.write((answer.head + body)[: answer.cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


def kind_of(method: str, target: str) -> str:
    """Returns what an S3 request asks for, such as `list folder` or `PUT checkpoint`."""
    address = urlsplit(target)
    bucket, _, key = unquote(address.path).removeprefix("/").partition("/")
    is_output = bucket.endswith("-integration")
    if not key:
        prefix = parse_qs(address.query).get("prefix")
        return f"list {'output' if is_output else 'folder' if prefix else 'top'}"
    names = [name for folder, name in _OUTPUT_OBJECTS.items() if key.startswith(folder)]
    return f"{method} {names[0] if names else 'output' if is_output else 'object'}"


# The lies that any endpoint can tell.


def page(status: int, body: bytes = b"", kind: str = "text/html") -> Answer:
    """Returns an answer that no service of ours has made."""
    headers = [("Content-Type", kind)] if body else []
    return Answer(status, headers).with_body(body)


def instead(answer: Answer | None, is_forwarded: bool = False) -> Lie:
    """Answers something else, or closes the connection.

    Args:
        answer: what is answered; None closes the connection.
        is_forwarded: whether the service carries the request out.
    """

    def lie(exchange: Exchange) -> Answer | None:
        if is_forwarded:
            exchange.send()
        return answer

    return lie


def changed(change: Callable[[Answer], Answer]) -> Lie:
    """Changes the true answer."""
    return lambda exchange: change(exchange.send())


def cut_in_body(share: float) -> Lie:
    """Breaks off in the body of the true answer.

    Args:
        share: of the body that arrives, below 1.
    """
    return changed(lambda one: one._replace(cut=len(one.head) + int(share * len(one.body))))


def cut_in_head(share: float) -> Lie:
    """Breaks off in the status line or the headers of the true answer.

    Args:
        share: of them that arrives, below 1.
    """
    return changed(lambda one: one._replace(cut=1 + int(share * (len(one.head) - 2))))


def turned(share: float, bit: int) -> Lie:
    """Turns one bit of the body, or of the ETag where there is no body.

    Args:
        share: of the body before it, below 1.
        bit: its number in its byte.
    """

    def change(answer: Answer) -> Answer:
        if answer.body:
            return answer._replace(body=_turned(answer.body, share, bit))
        etag = answer.header("ETag").strip('"')
        if not etag:
            raise NothingToTellError
        # In a digit, so that it stays a header.
        at = int(share * len(etag))
        other = "0" if etag[at] != "0" else "1"
        return answer.with_header("ETag", f'"{etag[:at]}{other}{etag[at + 1 :]}"')

    return changed(change)


def _turned(body: bytes, share: float, bit: int) -> bytes:
    at = int(share * len(body))
    return body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]


def older(is_forwarded: bool = False) -> Lie:
    """Answers what the same request was answered before, if that was something else.

    Args:
        is_forwarded: whether the service carries the request out.
    """

    def lie(exchange: Exchange) -> Answer:
        asked = (exchange.method, exchange.target)
        found = [one.answer for one in exchange.earlier if (one.method, one.target) == asked]
        if not found:
            raise NothingToTellError
        if is_forwarded:
            exchange.send()
        return found[0]

    return lie


def of_another(is_forwarded: bool = False) -> Lie:
    """Answers what another request was answered, one of the kind if there was any.

    Args:
        is_forwarded: whether the service carries the request out.
    """

    def lie(exchange: Exchange) -> Answer:
        others = [one for one in exchange.earlier if one.target != exchange.target]
        found = [one for one in others if one.kind == exchange.kind]
        found = found or [one for one in others if one.method == exchange.method]
        if not found:
            raise NothingToTellError
        if is_forwarded:
            exchange.send()
        return found[-1].answer

    return lie
