"""Opens HTTP sessions that trust, connect and wait as botocore's own clients do."""

import ssl
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from socket import IPPROTO_TCP, TCP_NODELAY, gaierror
from threading import Lock
from typing import TYPE_CHECKING

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.httpsession import (
    ProxyConfiguration,
    create_urllib3_context,
    get_cert_path,
    mask_proxy_url,
)
from botocore.utils import get_environ_proxies
from urllib3 import PoolManager, ProxyManager, exceptions
from urllib3.util.ssl_match_hostname import CertificateError

from services.aws.connection import (
    CONNECT_TIMEOUT_SECONDS,
    PLAIN_HTTP,
    READ_TIMEOUT_SECONDS,
    NoAuthoritiesError,
    PlainHttpError,
    authorities,
    host_of,
    proxy_of,
    target_of,
)
from services.aws.http_connection import Answer, Connections
from services.aws.outcomes import RedirectError, named_code, redirect_target
from services.threads.singleflight import Singleflight
from utils.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest
    from urllib3.connection import HTTPConnection

_counting = Lock()
_REDIRECTS = {300, 301, 302, 303, 307, 308}
# The first that fits counts.
_OF_BOTOCORE: tuple[tuple[tuple[type[Exception], ...], type[BotoCoreError]], ...] = (
    ((exceptions.SSLError, ssl.SSLError, CertificateError), SSLError),
    ((exceptions.NewConnectionError, gaierror), EndpointConnectionError),
    ((exceptions.ProxyError,), ProxyConnectionError),
    ((exceptions.ConnectTimeoutError,), ConnectTimeoutError),
    ((exceptions.ReadTimeoutError, TimeoutError), ReadTimeoutError),
    ((exceptions.ProtocolError, HTTPException, OSError), ConnectionClosedError),
)


class HttpSession:
    """Sends requests to one service, each once; `sent` counts them.

    botocore's own session looks for the proxy, the pool and the certificates at each request, and
    copies the headers of each answer: half of what a small request takes.

    Args:
        endpoint_url: of the service.
        authorities: the bundle of certificate authorities, True for botocore's own.

    Raises:
        NoAuthoritiesError: the bundle can't be read.
    """

    def __init__(self, endpoint_url: str, authorities: str | bool) -> None:
        self._endpoint_url = endpoint_url
        proxies = ProxyConfiguration(proxies=get_environ_proxies(endpoint_url))
        proxy_url: str | None = proxies.proxy_url_for(endpoint_url)
        self._proxy = mask_proxy_url(proxy_url) if proxy_url else ""
        # Through a tunnel a request looks as it does without a proxy.
        self._names_host = proxy_url is not None and endpoint_url.lower().startswith("http:")
        proxy_headers = proxies.proxy_headers_for(proxy_url) if proxy_url else {}
        context = _context(authorities, endpoint_url, proxy_url or "")
        manager: Callable[..., PoolManager] = PoolManager
        if proxy_url is not None:
            manager = partial(
                ProxyManager, proxy_url, proxy_headers=proxy_headers, proxy_ssl_context=context
            )
        pools = manager(
            timeout=CONNECT_TIMEOUT_SECONDS,
            ssl_context=context,
            cert_reqs="CERT_REQUIRED",
            # Else the end of a request waits until its beginning is acknowledged, which a server
            # may put off for 40 ms.
            socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)],
        )
        pool = pools.connection_from_url(endpoint_url)
        has_tunnel = proxy_url is not None and not self._names_host
        self._connections = Connections(pool, READ_TIMEOUT_SECONDS, has_tunnel=has_tunnel)
        self._headers = {
            "Host": host_of(endpoint_url),
            "User-Agent": f"logscollector/{VERSION}",
            "Accept-Encoding": "identity",
            **(proxy_headers if self._names_host else {}),
        }
        self.sent = 0

    def send(self, request: "AWSPreparedRequest") -> AWSResponse:
        """Sends a request on any connection, and returns the answer as `Sent.answer` does.

        Args:
            request: signed.

        Raises:
            BotoCoreError: there is no connection, it breaks, or the answer is a redirect.
        """
        return self.begin(request, self.connection()).answer()

    def connection(self) -> "HTTPConnection":
        """Returns an open connection, on which one request can be sent.

        Raises:
            BotoCoreError: there is none.
        """
        try:
            return self._connections.take()
        except Exception as exc:
            raise _of_botocore(exc, self._endpoint_url, self._proxy) from exc

    def begin(self, request: "AWSPreparedRequest", connection: "HTTPConnection") -> "Sent":
        """Sends a request; its answer is received later.

        Args:
            request: signed.
            connection: on which it is sent.

        Raises:
            BotoCoreError: the connection breaks.
        """
        with _counting:
            self.sent += 1
        url = str(request.url)
        target = url if self._names_host else target_of(url)
        headers = {**self._headers, **request.headers}
        try:
            answer = self._connections.send(
                connection,
                str(request.method),
                target,
                headers,
                request.body,  # type: ignore[arg-type] # bytes, text or nothing
            )
        except Exception as exc:
            connection.close()
            raise _of_botocore(exc, url) from exc
        return Sent(url, is_streamed=request.stream_output, raw=answer)


class Sent:
    """A request that is under way.

    Args:
        url: that is asked for.
        is_streamed: whether the answer's body is left to be read.
        raw: the answer, of which nothing is received yet.
    """

    def __init__(self, url: str, *, is_streamed: bool, raw: Answer) -> None:
        self._url = url
        self._is_streamed = is_streamed
        self._raw = raw

    def answer(self) -> AWSResponse:
        """Returns the answer; one that is not streamed is read to its end.

        No redirect is followed: boto3's S3 client asks again for each, up to 161 times.

        Raises:
            BotoCoreError: what botocore's own session raises, or the answer is a redirect.
        """
        try:
            self._raw.receive_head()
            answer = _Answer(self._url, self._raw)
            is_redirect = answer.status_code in _REDIRECTS
            is_streamed = self._is_streamed and not is_redirect
            content = b"" if is_streamed else answer.content
        except Exception as exc:
            raise _of_botocore(exc, self._url) from exc
        if is_redirect:
            target = redirect_target(answer.headers)
            raise RedirectError(answer.status_code, target, named_code(content), self._url)
        if answer.status_code == HTTPStatus.BAD_REQUEST and PLAIN_HTTP.search(content):
            raise PlainHttpError(error="TLS is spoken there", endpoint_url=self._url)
        return answer

    def close(self) -> None:
        """Lets go of the answer, unless it is read to its end."""
        self._raw.close()


def _context(authorities: str | bool, endpoint_url: str, proxy_url: str) -> ssl.SSLContext:
    """Returns what all connections are secured with: urllib3 would read the bundle for each."""
    context: ssl.SSLContext = create_urllib3_context()
    if "https:" in {endpoint_url[:6].lower(), proxy_url[:6].lower()}:
        try:
            context.load_verify_locations(get_cert_path(authorities))  # type: ignore[arg-type] # or a path
        except OSError as exc:
            raise NoAuthoritiesError(error=exc, endpoint_url=endpoint_url) from exc
    return context


def _of_botocore(error: Exception, url: str, proxy: str = "") -> BotoCoreError:
    """Returns what botocore's own session raises in place of an error of urllib3's."""
    kinds = (own for theirs, own in _OF_BOTOCORE if isinstance(error, theirs))
    return next(kinds, HTTPClientError)(error=error, endpoint_url=url, proxy_url=proxy)


class _Answer(AWSResponse):
    """An answer with the headers of `http_connection`, whose names also ignore case."""

    def __init__(self, url: str, raw: Answer) -> None:
        self.url, self.raw = url, raw
        self.status_code = raw.status
        self.headers = raw.headers  # type: ignore[assignment] # as good
        self._content = None


@Singleflight  # one holds a megabyte of certificates
def http_session(endpoint_url: str) -> HttpSession:
    """Returns the session for requests to one service; it retries none.

    Args:
        endpoint_url: of the service.

    Raises:
        HTTPClientError: what the environment names as the proxy can't be one, or as the bundle of
            certificate authorities.
    """
    proxy = proxy_of(endpoint_url)
    if proxy and not proxy.is_well_formed:
        raise HTTPClientError(error=f"{proxy.variable} is malformed", endpoint_url=endpoint_url)
    return HttpSession(endpoint_url, authorities())
