"""Opens HTTP sessions that trust, connect and wait as botocore's own clients do."""

import os
from socket import IPPROTO_TCP, TCP_NODELAY
from threading import Lock
from typing import TYPE_CHECKING

from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from services.aws.session import botocore_session
from services.threads.made_once import MadeOnce

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 20
# As many puts as may be under way.
_MOST_KEPT_OPEN = 64
_counting = Lock()


class CountingSession(URLLib3Session):
    """A session that knows how many requests were sent."""

    sent = 0

    def send(self, request: "AWSRequest | AWSPreparedRequest") -> "AWSResponse":
        """Sends a request."""
        with _counting:
            self.sent += 1
        return super().send(request)


@MadeOnce  # one holds a megabyte of certificates
def http_session(endpoint_url: str) -> CountingSession:
    """Returns the session for requests to one service; it retries none.

    Args:
        endpoint_url: of the service.
    """
    return CountingSession(
        verify=_authorities(),  # type: ignore[arg-type] # or a path
        proxies=get_environ_proxies(endpoint_url),
        timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),  # type: ignore[arg-type] # or a pair
        max_pool_connections=_MOST_KEPT_OPEN,
        # The end of a request does not wait for an answer to its beginning, which a server may
        # hold back for 40 ms.
        socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)],  # type: ignore[list-item] # or triples
    )


def _authorities() -> str | bool:
    """Returns the bundle of certificate authorities that botocore's own clients trust."""
    named = botocore_session().get_config_variable("ca_bundle")
    return named or os.environ.get("REQUESTS_CA_BUNDLE") or True
