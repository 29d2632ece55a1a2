"""The way to a service: how long to wait, which proxy stands on it, and whom to trust."""

import os
import re
from urllib.parse import urlsplit

import msgspec
from botocore.exceptions import HTTPClientError, ProfileNotFound
from botocore.session import Session
from botocore.utils import get_environ_proxies

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 20
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
# Of Go, nginx and Apache, where TLS is spoken and was not.
PLAIN_HTTP = re.compile(
    rb"HTTP( request)?( was sent)? to an? (HTTPS|SSL)|HTTP request .*HTTPS port"
)


class PlainHttpError(HTTPClientError):
    """A server that speaks TLS was asked without it, and says so."""

    fmt = "{error}"


class NoAuthoritiesError(HTTPClientError):
    """The bundle of certificate authorities can't be read."""

    fmt = "{error}"


class Proxy(msgspec.Struct, frozen=True):
    """A proxy on the way to a service: who names it, where it is, and if it can be one at all."""

    variable: str
    place: str
    is_well_formed: bool


def proxy_of(url: str) -> Proxy | None:
    """Returns the proxy through which a URL is asked for, None if there is none."""
    scheme = urlsplit(url).scheme
    address = get_environ_proxies(url).get(scheme)
    if not address:
        return None
    # As urllib.request.getproxies_environment chooses among the forms of the name.
    name = f"{scheme}_proxy"
    forms = [form for form in os.environ if form.lower() == name and os.environ[form]]
    variable = name if name in forms else (forms or [name.upper()])[-1]
    place = address.rpartition("@")[2].partition("://")
    return Proxy(variable, (place[2] or place[0]).strip("/"), _is_address(address))


def host_of(url: str) -> str:
    """Returns the host as it stands in requests: without a port that goes without saying."""
    scheme, netloc = urlsplit(url)[:2]
    return netloc.rpartition("@")[2].lower().removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def target_of(url: str) -> str:
    """Returns what a request asks its host for: the path of the URL, with its query."""
    _, _, behind = url.partition("://")
    return behind[behind.find("/") :] if "/" in behind else "/"


def _is_address(address: str) -> bool:
    """Tells if it can be a proxy's; without a scheme botocore puts http:// before it."""
    try:
        url = urlsplit(address if "://" in address else f"http://{address}")
        return url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def authorities() -> str | bool:
    """Returns the bundle of certificate authorities that botocore's own clients trust."""
    named = profile_session().get_config_variable("ca_bundle")
    return named or os.environ.get("REQUESTS_CA_BUNDLE") or True


def profile_session() -> Session:
    """Returns a botocore session that a missing profile does not stop.

    A source with keys needs no profile: `AWS_PROFILE` may be left over from another program.
    """
    session = Session()
    try:
        session.get_scoped_config()
    except ProfileNotFound:
        return Session(session_vars={"profile": (None, None, None, None)})
    return session
