"""A server that answers as a test says, over HTTP or HTTPS, and the certificates for it."""

import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Reply(NamedTuple):
    """An answer over HTTP; without a status the connection is closed instead."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


class FakeServer:
    """A server that answers each request as a function says, between `with` and its end.

    Args:
        answer: from the method and the path to the answer.
        tls: for HTTPS.
    """

    def __init__(
        self, answer: Callable[[str, str], Reply], tls: ssl.SSLContext | None = None
    ) -> None:
        class Handler(_Handler):
            make = staticmethod(answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
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


class _Handler(BaseHTTPRequestHandler):
    # With 1.0 an "Expect: 100-continue" stays unanswered, and the client waits for a second.
    protocol_version = "HTTP/1.1"
    make: Callable[[str, str], Reply]

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.make(self.command, self.path)
        if not reply.status:
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        is_chunked = "Transfer-Encoding" in reply.headers
        length = {} if is_chunked else {"Content-Length": str(len(reply.body))}
        for name, value in {**length, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_HEAD = do_PUT = do_POST = _answer  # noqa: N815 - http.server's names

    def handle(self) -> None:
        """Says nothing of a client that refuses the certificate."""
        try:
            super().handle()
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


def always(reply: Reply) -> Callable[[str, str], Reply]:
    """Returns the same answer to everything."""
    return lambda *_: reply


def s3_refusal(code: str) -> Reply:
    """Returns a refusal as S3 writes it."""
    body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Reply(403, body, {"Content-Type": "application/xml", "Date": now})


class Authority:
    """A certificate authority of the test's own.

    Args:
        directory: an existing one, for its certificate and those it issues.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority")])
        limits = x509.BasicConstraints(ca=True, path_length=None)
        itself = self._draft(self._name, self._key, timedelta(1)).add_extension(limits, True)
        self._write("authority", itself.sign(self._key, hashes.SHA256()), self._key)
        self.path = directory / "authority.pem"

    def context(self, host: str = "127.0.0.1", days_left: int = 1) -> ssl.SSLContext:
        """Returns a server's context with a certificate for the host."""
        key = ec.generate_private_key(ec.SECP256R1())
        is_address = host[0].isdigit()
        name = x509.IPAddress(ip_address(host)) if is_address else x509.DNSName(host)
        names = x509.SubjectAlternativeName([name])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        draft = self._draft(subject, key, timedelta(days_left)).add_extension(names, False)
        return self._write("server", draft.sign(self._key, hashes.SHA256()), key)

    def self_signed_context(self) -> ssl.SSLContext:
        """Returns a server's context with the authority's own certificate."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.path)
        return tls

    def _draft(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, left: timedelta
    ) -> x509.CertificateBuilder:
        ends = datetime.now(UTC) + left
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(ends - timedelta(30))
            .not_valid_after(ends)
        )

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> ssl.SSLContext:
        path = self._directory / f"{name}.pem"
        pem = serialization.Encoding.PEM
        form = serialization.PrivateFormat.PKCS8
        private = key.private_bytes(pem, form, serialization.NoEncryption())
        path.write_bytes(private + certificate.public_bytes(pem))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(path)
        return tls
