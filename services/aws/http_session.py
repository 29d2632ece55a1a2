"""Opens HTTP sessions that trust, connect and wait as botocore's own clients do."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from socket import IPPROTO_TCP, TCP_NODELAY, gaierror
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
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
from urllib3 import PoolManager, ProxyManager, Timeout, exceptions
from urllib3.util.retry import Retry

from services.aws.connection import (
    CONNECT_TIMEOUT_SECONDS,
    PLAIN_HTTP,
    READ_TIMEOUT_SECONDS,
    PlainHttpError,
    authorities,
    proxy_of,
)
from services.aws.http_connection import speak_on
from services.aws.outcomes import RedirectError, redirect_target
from services.aws.signature import host_of
from services.threads.singleflight import Singleflight
from utils.version import VERSION

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from urllib3 import BaseHTTPResponse

# As many puts as may be under way.
_MOST_KEPT_OPEN = 64
_counting = Lock()
_NO_RETRIES = Retry(False)
_REDIRECTS = {300, 301, 302, 303, 307, 308}
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class HttpSession:
    """Sends requests to one service, each once; `sent` counts them.

    botocore's own session looks for the proxy, the pool and the certificates at each request, and
    copies the headers of each answer: half of what a small request takes.

    Args:
        endpoint_url: of the service.
        authorities: the bundle of certificate authorities, True for botocore's own.
    """

    def __init__(self, endpoint_url: str, authorities: str | bool) -> None:
        proxies = ProxyConfiguration(proxies=get_environ_proxies(endpoint_url))
        proxy_url: str | None = proxies.proxy_url_for(endpoint_url)
        self._proxy = mask_proxy_url(proxy_url) if proxy_url else ""
        # Through a tunnel a request looks as it does without a proxy.
        self._names_host = proxy_url is not None and endpoint_url.lower().startswith("http:")
        timeout = Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS)
        manager: Callable[..., PoolManager] = PoolManager
        if proxy_url is not None:
            headers = proxies.proxy_headers_for(proxy_url)
            manager = partial(ProxyManager, proxy_url, proxy_headers=headers)
        pools = manager(
            timeout=timeout,
            maxsize=_MOST_KEPT_OPEN,
            ssl_context=create_urllib3_context(),
            cert_reqs="CERT_REQUIRED",
            ca_certs=get_cert_path(authorities),  # type: ignore[arg-type] # or a path
            # Else the end of a request waits until its beginning is acknowledged, which a server
            # may put off for 40 ms.
            socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)],
        )
        self._pool = pools.connection_from_url(endpoint_url)
        speak_on(self._pool)
        self._headers = {
            "Host": host_of(*urlsplit(endpoint_url)[:2]),
            "User-Agent": f"logscollector/{VERSION}",
            "Accept-Encoding": "identity",
        }
        self.sent = 0

    def send(self, request: "AWSPreparedRequest", ahead_bytes: int = 1) -> AWSResponse:
        """Sends a request; the answer to one that is not streamed is read to its end.

        No redirect is followed: boto3's S3 client asks again for each, up to 161 times.

        Args:
            request: signed.
            ahead_bytes: so much of an answer that is streamed is received here.

        Raises:
            BotoCoreError: what botocore's own session raises, or the answer is a redirect.
        """
        with _counting:
            self.sent += 1
        url = str(request.url)
        with _errors(url, self._proxy, request):
            answer = _Answer(
                url,
                self._pool.urlopen(
                    method=str(request.method),
                    url=url if self._names_host else _target(url),
                    body=request.body,  # type: ignore[arg-type] # bytes, text or nothing
                    headers={**self._headers, **request.headers},
                    retries=_NO_RETRIES,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                    enforce_content_length=False,
                ),
            )
            is_redirect = answer.status_code in _REDIRECTS
            is_streamed = request.stream_output and not is_redirect
            if is_streamed:
                answer.raw.receive(ahead_bytes)
            content = b"" if is_streamed else answer.content
        if is_redirect:
            found = _CODE.search(content)
            code = found[1].decode() if found else ""
            raise RedirectError(answer.status_code, redirect_target(answer.headers), code, url)
        if answer.status_code == HTTPStatus.BAD_REQUEST and PLAIN_HTTP.search(content):
            raise PlainHttpError(error="TLS is spoken there", endpoint_url=url)
        return answer


def _target(url: str) -> str:
    """Returns the path of an address, with its query."""
    _, _, behind = url.partition("://")
    return behind[behind.find("/") :] if "/" in behind else "/"


@contextmanager
def _errors(url: str, proxy: str, request: "AWSPreparedRequest") -> Iterator[None]:
    """Turns urllib3's errors into those of botocore's own session."""
    try:
        yield
    except exceptions.SSLError as exc:
        raise SSLError(endpoint_url=url, error=exc) from exc
    except (exceptions.NewConnectionError, gaierror) as exc:
        raise EndpointConnectionError(endpoint_url=url, error=exc) from exc
    except exceptions.ProxyError as exc:
        raise ProxyConnectionError(proxy_url=proxy, error=exc, endpoint_url=url) from exc
    except exceptions.ConnectTimeoutError as exc:
        raise ConnectTimeoutError(endpoint_url=url, error=exc) from exc
    except exceptions.ReadTimeoutError as exc:
        raise ReadTimeoutError(endpoint_url=url, error=exc) from exc
    except exceptions.ProtocolError as exc:
        raise ConnectionClosedError(error=exc, request=request, endpoint_url=url) from exc
    except Exception as exc:
        raise HTTPClientError(error=exc, endpoint_url=url) from exc


class _Answer(AWSResponse):
    """An answer with the headers of `http_connection`, whose names also ignore case."""

    def __init__(self, url: str, raw: "BaseHTTPResponse") -> None:
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
        HTTPClientError: what the environment names as the proxy can't be one.
    """
    proxy = proxy_of(endpoint_url)
    if proxy and not proxy.is_well_formed:
        raise HTTPClientError(error=f"{proxy.variable} is malformed", endpoint_url=endpoint_url)
    return HttpSession(endpoint_url, authorities())
