"""Behind a forward proxy a put counts as not stored only if no connection, no tunnel came about."""

from contextlib import ExitStack, suppress
from pathlib import Path
from socket import SHUT_RDWR, create_connection, create_server, socket
from ssl import SSLContext
from threading import Thread
from typing import Self
from uuid import uuid4

import pytest

from services.aws.put_request import NotStoredError, PutClient, RejectedInfo, UnknownOutcomeError
from tests.standin.fake_server import Authority, FakeServer, Reply, always
from tests.world.in_memory import source_of
from utils.model import LogEvent

BATCH = [LogEvent(1, "{}", 2, 1)]


class Proxy:
    """A forward proxy, with and without CONNECT.

    Args:
        refuses: whether it makes no tunnel.
        tls: for one that is spoken to with TLS.
    """

    def __init__(self, refuses: bool = False, tls: SSLContext | None = None) -> None:
        self._refuses = refuses
        self._tls = tls
        self._listener = create_server(("127.0.0.1", 0))
        place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http{'s' if tls else ''}://{place}"
        self.requests: list[str] = []
        self.heads: list[bytes] = []

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(SHUT_RDWR)
        self._listener.close()

    def place_of(self, host: str, port: int) -> tuple[str, int]:
        """Returns where a host is found."""
        return host, port

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket) -> None:
        if self._tls:
            try:
                client = self._tls.wrap_socket(client, server_side=True)
            except OSError:  # its certificate is refused
                return
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        method, target, _ = head.split(b" ", 2)
        self.requests.append(method.decode())
        self.heads.append(head)
        is_tunnel = method == b"CONNECT"
        with client:
            if is_tunnel and self._refuses:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            place = target.removeprefix(b"http://").partition(b"/")[0].decode()
            host, _, port = place.partition(":")
            with create_connection(self.place_of(host, int(port))) as server:
                if is_tunnel:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head)
                back = Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()


def _copy(source: socket, target: socket) -> None:
    with suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(SHUT_RDWR)


class Service:
    """CloudWatch that stores each put, and answers as many of them as it is to.

    Args:
        answers: how many it answers; it closes the connection after the others.
    """

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self.puts = 0

    def answer(self, *_: str) -> Reply:
        self.puts += 1
        if self.puts > self._answers:
            return Reply(0)
        return Reply(200, b"{}", {"x-amzn-RequestId": str(uuid4())})


@pytest.fixture(params=["http", "https"])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SSLContext | None:
    """Sets whether the service speaks TLS: a proxy is then asked for a tunnel."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "http":
        return None
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    return authority.context()


def use(proxy_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names the proxy as users do."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy_url)


@pytest.mark.parametrize("answers", [0, 1], ids=["a new connection", "a kept one"])
def test_a_break_after_storing_is_unknown(
    answers: int, tls: SSLContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for "no connection could be made" it is sent again, and stands there twice."""
    service = Service(answers)
    with FakeServer(service.answer, tls) as server, Proxy() as proxy:
        use(proxy.url, monkeypatch)
        client = PutClient(server.url, source_of())
        for _ in range(answers):
            assert client.put(BATCH, lambda: True) == RejectedInfo()
        with pytest.raises(UnknownOutcomeError):
            client.put(BATCH, lambda: True)
    assert service.puts == answers + 1
    assert proxy.requests[0] == ("CONNECT" if tls else "POST")


@pytest.mark.parametrize("is_secure", [False, True], ids=["an http proxy", "an https proxy"])
def test_a_proxy_is_asked_for_a_tunnel_to_https_alone_and_told_who_asks(
    is_secure: bool, tls: SSLContext | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    own = authority.context() if is_secure else None
    # The service's certificate is of the same authority.
    tls = authority.context() if tls else None
    with FakeServer(Service(2).answer, tls) as server, Proxy(tls=own) as proxy:
        use(proxy.url.replace("://", "://user:word@"), monkeypatch)
        client = PutClient(server.url, source_of())
        assert [client.put(BATCH, lambda: True) for _ in range(2)] == [RejectedInfo()] * 2
    assert proxy.requests == ["CONNECT" if tls else "POST"]
    assert b"\r\nProxy-Authorization: Basic dXNlcjp3b3Jk\r\n" in proxy.heads[0]


def test_no_proxy_that_answers_is_not_stored(
    tls: SSLContext | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_server(("127.0.0.1", 0)) as gone:
        use(f"http://127.0.0.1:{gone.getsockname()[1]}", monkeypatch)
    url = f"http{'s' if tls else ''}://127.0.0.1:9"
    with pytest.raises(NotStoredError, match=r"the proxy .* does not answer"):
        PutClient(url, source_of()).put(BATCH, lambda: True)


def test_a_proxy_that_is_not_trusted_is_told_from_one_without_tls(
    tls: SSLContext | None,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = Authority(tmp_path)
    unknown = Authority(tmp_path_factory.mktemp("unknown")).context()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
    with ExitStack() as stack:
        untrusted = stack.enter_context(Proxy(tls=unknown))
        other = stack.enter_context(Proxy(tls=authority.context("localhost")))
        plain = stack.enter_context(FakeServer(always(Reply(400))))
        for port, (url, words) in enumerate(
            (
                (untrusted.url, r"TLS with the proxy .*: certificate signature failure"),
                (other.url, r"TLS with the proxy .*: its certificate is of another"),
                (plain.url.replace("http:", "https:"), r"the proxy .* does not speak TLS"),
            ),
            9,
        ):
            use(url, monkeypatch)
            with pytest.raises(NotStoredError, match=words):
                PutClient(f"http{'s' if tls else ''}://127.0.0.1:{port}", source_of()).put(
                    BATCH, lambda: True
                )


def test_no_tunnel_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    with Proxy(refuses=True) as proxy:
        use(proxy.url, monkeypatch)
        with pytest.raises(NotStoredError, match=r"no tunnel to 127\.0\.0\.1: 502 Bad Gateway"):
            PutClient("https://127.0.0.1:9", source_of()).put(BATCH, lambda: True)


def test_no_connection_without_a_proxy_is_not_stored() -> None:
    with create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    with pytest.raises(NotStoredError, match="refuses the connection"):
        PutClient(url, source_of()).put(BATCH, lambda: True)


def test_a_name_that_is_not_found_is_not_stored() -> None:
    with pytest.raises(NotStoredError, match=r"the name nowhere\.invalid does not resolve"):
        PutClient("http://nowhere.invalid", source_of()).put(BATCH, lambda: True)
