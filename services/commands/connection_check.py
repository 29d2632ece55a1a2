"""Makes the first request to a service, and says in words why it was not answered."""

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import msgspec
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)

from services.aws.http_session import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from utils.errors import ServiceError
from utils.report.findings import Finding, failed, passed, warning

# What a request raises that gets no answer, or one without what the service's answers have.
NO_ANSWER = (ServiceError, KeyError)
# The codes of both services for keys or signatures that they do not accept.
_UNKNOWN_SENDER = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "ExpiredTokenException",
    "OptInRequired",
}
# https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_OUT_OF_TIME = {9, 10}
# What an error is or comes from, and what a person can do: the first that fits.
_FAULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (ProxyConnectionError, "the proxy does not answer", "Check HTTPS_PROXY and NO_PROXY"),
    (ssl.SSLError, "{place} does not speak TLS", "Check {variables}: https or http"),
    # urllib3 compares the names itself, and raises no error of `ssl`.
    (SSLError, "TLS: the certificate is not for {host}", "Check {variables}"),
    (
        socket.gaierror,
        "the name {host} does not resolve",
        "Check {variables}, and this machine's name resolution",
    ),
    (
        ConnectionRefusedError,
        "{place} refuses the connection",
        "Check {variables}, and that the service runs there",
    ),
    (
        ConnectTimeoutError,
        f"{{place}} can't be reached within {CONNECT_TIMEOUT_SECONDS} s",
        "Check {variables}, and firewalls",
    ),
    (
        ReadTimeoutError,
        f"{{place}} gives no answer within {READ_TIMEOUT_SECONDS} s",
        "Check {variables}, and that the service there is well",
    ),
    (
        ConnectionClosedError,
        "{place} closes the connection without an answer",
        "Check {variables}: https or http",
    ),
)


class FirstAnswer(msgspec.Struct, frozen=True):
    """A service's answer: its own time, in seconds since 1970, and why it refused, if it did."""

    seconds: float | None
    refusal: ServiceError | None = None

    def sign_in(self, detail: str, variable: str) -> Finding:
        """Returns if the keys and the signature were accepted.

        Args:
            detail: what to show then.
            variable: names the region for which the request was signed.
        """
        if self.refusal is None or self.refusal.detail not in _UNKNOWN_SENDER:
            return passed(detail)
        if _is_for_another_region(self.refusal):
            return failed(f"{self.refusal.detail}: signed for another region", f"Check {variable}")
        return failed(self.refusal.detail, self.refusal.hint)


class Endpoint(msgspec.Struct, frozen=True):
    """Where a service is, and the variables that say so.

    Only `url` has all of it: boto3's own variable may have a password in it, before an @.
    """

    url: str
    variables: str

    @property
    def place(self) -> str:
        """Its host and port."""
        return re.split("[/?#]", re.sub(".*@|^[a-z]+://", "", self.url, flags=re.IGNORECASE))[0]

    @property
    def host(self) -> str:
        """Its host."""
        return urlsplit(f"//{self.place}").hostname or ""

    @property
    def shown(self) -> str:
        """Its scheme, host and port."""
        return f"{urlsplit(self.url).scheme}://{self.place}"


def reached(endpoint: Endpoint) -> Finding:
    """Returns that a service answers, with a warning where others can read what is sent.

    Args:
        endpoint: where it is.
    """
    url = urlsplit(endpoint.shown)
    host = url.hostname or ""
    is_local = host == "localhost" or host.startswith("127.") or host == "::1"
    if url.scheme != "http" or is_local:
        return passed(endpoint.shown)
    detail = f"{endpoint.shown}: without TLS, keys' signatures and logs travel readable"
    return warning(detail, f"Use https:// in {endpoint.variables}")


def first_answer(request: Callable[[], Mapping[str, object]]) -> FirstAnswer:
    """Returns what a service answers, though it be a refusal.

    Args:
        request: makes the request, and returns botocore's answer.

    Raises:
        NO_ANSWER: it does not answer, or as another service.
    """
    try:
        return FirstAnswer(_seconds(request()))
    except ServiceError as exc:
        if not isinstance(exc.__cause__, ClientError) or _is_of_another_service(exc):
            raise
        return FirstAnswer(_seconds(exc.__cause__.response), exc)


def unanswered(error: Exception, endpoint: Endpoint) -> Finding:
    """Returns why a service does not answer, and how to mend it.

    Args:
        error: with which the request failed.
        endpoint: to which it was sent.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate_fault(cause, endpoint)
    place = endpoint.place
    words = {"host": endpoint.host, "place": place, "variables": endpoint.variables}
    for kind, detail, mend in _FAULTS:
        if any(isinstance(cause, kind) for cause in causes):
            return failed(detail.format(**words), mend.format(**words))
    if _is_of_another_service(error):
        return failed(f"{place} answers, but as another service", f"Check {endpoint.variables}")
    if isinstance(error, ServiceError):
        return failed(f"{place}: {error.detail}", error.hint)
    return failed(f"{place}: {error}", "Try again in a while")


def _seconds(answer: Mapping[str, object]) -> float | None:
    metadata = answer.get("ResponseMetadata")
    headers = metadata.get("HTTPHeaders", {}) if isinstance(metadata, dict) else {}
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error, the one that it came from, and so on."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _is_of_another_service(error: Exception) -> bool:
    """Tells an answer of something else: where a service refuses, it has a code in words."""
    return isinstance(error, KeyError) or (
        isinstance(error, ServiceError) and error.detail.isdigit()
    )


def _is_for_another_region(refusal: ServiceError) -> bool:
    """Tells it by the service's words: a wrong key has the same code."""
    answer = refusal.__cause__.response if isinstance(refusal.__cause__, ClientError) else {}
    words = str(answer.get("Error", {}).get("Message", ""))
    return "valid region" in words


def _certificate_fault(error: ssl.SSLCertVerificationError, endpoint: Endpoint) -> Finding:
    host = endpoint.host
    if error.verify_code in _OUT_OF_TIME:
        mend = f"Have the certificate of {host} renewed, or set this machine's clock"
    else:
        mend = f"Check {endpoint.variables}. If {host} has an authority of its own, set "
        mend += "AWS_CA_BUNDLE to the path of its certificate"
    return failed(f"TLS: {error.verify_message.rstrip('.')}", mend)
