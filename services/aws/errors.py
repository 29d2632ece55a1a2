"""The one table of why a request fails, by which botocore's errors become ours.

`--check`, `--once` and the daemon all take their words from here.
"""

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PaginationError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from urllib3.util.ssl_match_hostname import CertificateError

from services.aws.connection import (
    CONNECT_TIMEOUT_SECONDS,
    READ_TIMEOUT_SECONDS,
    NoAuthoritiesError,
    PlainHttpError,
    Proxy,
    proxy_of,
)
from services.aws.outcomes import RedirectError, UnansweredError, error_code, is_transient
from utils.errors import ServiceError, TransientError

_Error = TypeVar("_Error", bound=BaseException)

# --- What the services say ------------------------------------------------------------------------

S3_ELSEWHERE = "Check LYVE_ENDPOINT, and what is between it and this machine"
CLOUDWATCH_ELSEWHERE = (
    "Check what answers in CloudWatch's place: a proxy, a gateway or a wrong endpoint"
)
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch_Logs_Log_Classes.html
LOG_CLASS_FIX = (
    "Create a log group of the class Standard, and name it in log_group: a group's class can't be "
    "changed"
)
_HEAD = "HeadObject"
_RESOURCE = re.compile(r"on resource: (\S{1,400})")
_RIGHT_REGION = re.compile(r"expecting '([A-Za-z0-9-]{1,63})'")
_OTHER_REGION = "Check LYVE_REGION: the bucket is in another one"
_UNKNOWN_KEY = "Check AWS_ACCESS: the key is active, and not exchanged with AWS_SECRET"
_EXCHANGED = "Check AWS_ACCESS and AWS_SECRET: they may be exchanged"

# What to do where the keys or the signature are not accepted.
_LYVE_KEY_HINTS = {
    "InvalidAccessKeyId": "Check LYVE_ACCESS: the key is active, and not exchanged with "
    "LYVE_SECRET",
    "SignatureDoesNotMatch": "Check LYVE_SECRET, and that it belongs to LYVE_ACCESS",
    # S3 has one code for the region and for a key with a slash in it.
    "AuthorizationHeaderMalformed": "Check LYVE_REGION, LYVE_ACCESS and LYVE_SECRET: the "
    "keys may be exchanged",
    "RequestTimeTooSkewed": "Set this machine's clock",
}
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
_AWS_KEY_HINTS = {
    "UnrecognizedClientException": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "IncompleteSignatureException": _EXCHANGED,
    "IncompleteSignature": _EXCHANGED,
    "InvalidSignatureException": "Check AWS_SECRET, AWS_REGION and this machine's clock",
    "SignatureDoesNotMatch": "Check AWS_SECRET, and this machine's clock",
    "MissingAuthenticationTokenException": "Set AWS_ACCESS and AWS_SECRET",
    "ExpiredTokenException": "Replace the expired AWS credentials",
    "ExpiredToken": "Replace the expired AWS credentials",
    "OptInRequired": "Check AWS_REGION: it is not enabled for the account",
}
_LYVE_HINTS = {
    **_LYVE_KEY_HINTS,
    "PermanentRedirect": _OTHER_REGION,
    "TemporaryRedirect": _OTHER_REGION,
    "InvalidObjectState": "Restore the object from its archive",
}
_AWS_HINTS = {**_AWS_KEY_HINTS, "InvalidOperationException": LOG_CLASS_FIX}
# STS denies it likewise where there is no such role:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_roles.html
_NOT_TRUSTED = (
    "Check AWS_ASSUME_ROLE_ARN and AWS_ASSUME_ROLE_EXTERNAL_ID. The role's trust policy has to "
    "name whom AWS_ACCESS belongs to, and that one's own policy to allow sts:AssumeRole on the role"
)
ROLE_HINTS = {
    "AccessDenied": _NOT_TRUSTED,
    "AccessDeniedException": _NOT_TRUSTED,
    "ValidationError": "Check AWS_ASSUME_ROLE_ARN and AWS_ASSUME_ROLE_EXTERNAL_ID",
    "RegionDisabledException": "Enable AWS_REGION in the account's settings of STS",
}
AUDIT_BUCKET_HINTS = {"NoSuchBucket": "Check bucket_name in {file}, and LYVE_REGION"}
OUTPUT_BUCKET_HINTS = {"NoSuchBucket": "Check output_bucket in {file}, and LYVE_REGION"}
_LYVE_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_AWS_DENIED = {"AccessDeniedException", "AccessDenied"}
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_S3_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
}


class Configuration:
    """The file of the configuration, which advice names; the program is given it once."""

    file_name = "config.json"


def group_hints(log_group: str, region: str) -> Mapping[str, str]:
    """Returns what to do where the log group is not found: it may be in another region."""
    missing = f"Create the log group {log_group} in {region}"
    missing += f", or correct log_group in {Configuration.file_name} or AWS_REGION"
    return {"ResourceNotFoundException": missing}


class Service(msgspec.Struct, frozen=True):
    """A service as a person knows it.

    Attributes:
        answers: whose answers are expected.
        hosts: how the names of its own hosts end, among which `region` chooses.
        region: the variables that do so.
        endpoints: the variables that name another host, the most special one first.
        hints: what to do, by error code.
        denied: the codes for a permission that is missing.
        elsewhere: what to do where something else answers.
    """

    answers: str
    hosts: str
    region: str
    endpoints: tuple[str, ...]
    hints: Mapping[str, str]
    denied: Set[str]
    elsewhere: str

    def variables(self, url: str) -> str:
        """Returns the variables that say that a request goes to this URL."""
        if (urlsplit(url).hostname or "").endswith(self.hosts):
            return self.region
        place = place_of(url)
        named = [name for name in self.endpoints if place in os.environ.get(name, "")]
        return (named or self.endpoints)[0]


LYVE_CLOUD = Service(
    answers="S3",
    hosts=".lyvecloud.seagate.com",
    region="LYVE_REGION and LYVE_ENDPOINT",
    endpoints=("LYVE_ENDPOINT",),
    hints=_LYVE_HINTS,
    denied=_LYVE_DENIED,
    elsewhere=S3_ELSEWHERE,
)
AWS = Service(
    answers="CloudWatch",
    hosts=".amazonaws.com",
    region="AWS_REGION",
    endpoints=(
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
        "AWS_ENDPOINT_URL_CLOUDWATCH",
        "AWS_ENDPOINT_URL",
    ),
    hints=_AWS_HINTS,
    denied=_AWS_DENIED,
    elsewhere=CLOUDWATCH_ELSEWHERE,
)

# --- What happens to a connection -----------------------------------------------------------------

# https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_OUT_OF_TIME = {9, 10}
_OF_ANOTHER_HOST = {62, 64}
# What OpenSSL says where the other side speaks no TLS at all.
_NO_TLS = {"HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "WRONG_VERSION_NUMBER"}
_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
_TUNNEL = re.compile(r"Tunnel connection failed: (.{1,80})")


class _Failure:
    """A request that got no answer: what its error comes from, and the words to tell it with.

    Args:
        error: as botocore raises it.
        service: that was asked.
    """

    def __init__(self, error: BotoCoreError, service: Service) -> None:
        self._causes = list(_causes(error))
        self.error = error
        url = str(error.kwargs.get("endpoint_url", ""))
        self.proxy = proxy_of(url) or Proxy("HTTPS_PROXY", "", is_well_formed=True)
        self.certificate = self.of(ssl.SSLCertVerificationError)
        self.tls = self.of(ssl.SSLError)
        # `http.client` has no type for it.
        tunnels = (_TUNNEL.match(str(cause)) for cause in self._causes)
        self.tunnel = next((found[1] for found in tunnels if found), "")
        self.unreachable = next(
            (one for one in self._causes if getattr(one, "errno", None) in _UNREACHABLE), None
        )
        self.words = {
            # urllib3 compares the names itself, and raises no error of `ssl`.
            "certificate": getattr(
                self.certificate, "verify_message", "its certificate is of another host"
            ),
            "host": urlsplit(url).hostname or "",
            "kind": type(error).__name__,
            "place": place_of(url),
            "proxy": self.proxy.place,
            "proxy_variable": self.proxy.variable,
            "reason": getattr(self.unreachable, "strerror", ""),
            "tls": str(self.tls.reason).lower().replace("_", " ") if self.tls else "",
            "tunnel": self.tunnel,
            "variables": service.variables(url),
        }

    def of(self, kind: type[_Error]) -> _Error | None:
        """Returns the first of its causes that is of a kind."""
        return next((one for one in self._causes if isinstance(one, kind)), None)

    def has_certificate(self, codes: Set[int]) -> bool:
        """Tells if the certificate is refused for one of these reasons of OpenSSL."""
        return self.certificate is not None and self.certificate.verify_code in codes


class _Row(NamedTuple):
    """What is seen, the words for it, what to do, and whether it may go away by itself."""

    is_seen: Callable[[_Failure], object]
    detail: str
    fix: str
    passes: bool = True


_CHECK = "Check {variables}"
CONNECTION = (
    _Row(
        lambda found: not found.proxy.is_well_formed,
        "the proxy's address in {proxy_variable} is malformed",
        "Write it like http://proxy.example.com:3128",
        passes=False,
    ),
    _Row(
        lambda found: found.of(NoAuthoritiesError),
        "the bundle of certificate authorities can't be read",
        "Set AWS_CA_BUNDLE to the path of a file with certificates. REQUESTS_CA_BUNDLE and "
        "ca_bundle in boto3's own file name it, too",
        passes=False,
    ),
    _Row(
        lambda found: found.tunnel,
        "the proxy {proxy} opens no tunnel to {host}: {tunnel}",
        "Have the proxy let {host} through, check the user in {proxy_variable}, or add {host} to "
        "NO_PROXY",
    ),
    _Row(
        lambda found: (
            found.of(ProxyConnectionError) and (found.certificate or found.of(CertificateError))
        ),
        "TLS with the proxy {proxy}: {certificate}",
        "Check {proxy_variable}. If the proxy has an authority of its own, set AWS_CA_BUNDLE to "
        "the path of its certificate",
        passes=False,
    ),
    _Row(
        lambda found: found.of(ProxyConnectionError) and found.tls,
        "the proxy {proxy} does not speak TLS",
        "Write http:// in {proxy_variable}",
        passes=False,
    ),
    _Row(
        lambda found: found.of(ProxyConnectionError),
        "the proxy {proxy} does not answer",
        "Check {proxy_variable}, or add {host} to NO_PROXY",
    ),
    _Row(
        lambda found: found.has_certificate(_OUT_OF_TIME),
        "TLS: {certificate}",
        "Have the certificate of {host} renewed, or set this machine's clock",
        passes=False,
    ),
    _Row(
        lambda found: found.certificate and not found.has_certificate(_OF_ANOTHER_HOST),
        "TLS: {certificate}",
        _CHECK + ". If {host} has an authority of its own, set AWS_CA_BUNDLE to the path of its "
        "certificate",
        passes=False,
    ),
    _Row(
        lambda found: found.tls and found.tls.reason in _NO_TLS,
        "{place} does not speak TLS",
        "Write http:// in {variables}, or name the port at which it speaks TLS",
        passes=False,
    ),
    _Row(
        lambda found: found.tls and not found.certificate and found.tls.reason,
        "TLS: {tls}",
        _CHECK + ": its server has to speak TLS 1.2 or newer",
        passes=False,
    ),
    _Row(
        lambda found: found.of(SSLError) and not (found.tls and not found.certificate),
        "TLS: the certificate is not for {host}",
        _CHECK,
        passes=False,
    ),
    _Row(
        lambda found: found.of(PlainHttpError),
        "{place} speaks TLS, and was asked without it",
        "Write https:// in {variables}",
        passes=False,
    ),
    _Row(
        lambda found: found.of(socket.gaierror),
        "the name {host} does not resolve",
        _CHECK + ", and this machine's name resolution",
    ),
    _Row(
        lambda found: found.of(ConnectionRefusedError),
        "{place} refuses the connection",
        _CHECK + ", and that the service runs there",
    ),
    _Row(
        lambda found: found.unreachable,
        "{place} can't be reached: {reason}",
        "Check this machine's network, and {variables}",
    ),
    _Row(
        lambda found: found.of(ConnectTimeoutError),
        f"{{place}} can't be reached within {CONNECT_TIMEOUT_SECONDS} s",
        _CHECK + ", and firewalls",
    ),
    _Row(
        lambda found: found.of(ReadTimeoutError),
        f"{{place}} gives no answer within {READ_TIMEOUT_SECONDS} s",
        _CHECK + ": https or http, and that the service there is well",
    ),
    _Row(
        lambda found: isinstance(found.error, ConnectionClosedError | SSLError),
        "{place} closes the connection without an answer",
        _CHECK + ": https or http",
    ),
    _Row(lambda _: True, "{kind}", _CHECK + " and the network"),
)

# --- The errors -----------------------------------------------------------------------------------

_FOREIGN = (BotoCoreError, ClientError, ResponseParserError)


@contextmanager
def lyve_errors(doing: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of Lyve Cloud requests into a ServiceError.

    Args:
        doing: what is done, as `list the audit bucket x`.
        hints: what to do, by error code; before the general ones.
    """
    denied = f"Give the service account of LYVE_ACCESS the permission to {doing}{{action}}"
    try:
        yield
    except _FOREIGN as exc:
        raise failure(exc, doing, LYVE_CLOUD, denied, hints) from exc


@contextmanager
def aws_errors(doing: str, permission: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of AWS requests, which need an IAM action, into a ServiceError."""
    denied = f"Allow {permission}{{resource}} in the IAM policy of AWS_ACCESS"
    try:
        yield
    except _FOREIGN as exc:
        raise failure(exc, doing, AWS, denied, hints) from exc


@contextmanager
def endpoint_errors(doing: str, variable: str) -> Iterator[None]:
    """Names the variable at fault: botocore raises a plain ValueError for a malformed endpoint."""
    try:
        yield
    except ValueError as exc:
        raise ServiceError(f"Can't {doing}", "invalid endpoint", f"Check {variable}") from exc


def failure(
    error: Exception, doing: str, service: Service, denied: str, hints: Mapping[str, str]
) -> ServiceError:
    """Returns why a request failed, and what to do about it; a TransientError if it may pass.

    Args:
        error: of botocore.
        doing: what is done.
        service: that was asked.
        denied: what to do where the permission is missing; `{action}` and `{resource}` in it are
            what the service says of them.
        hints: what to do, by error code; before the service's own. `{file}` in them is the
            configuration's.
    """
    hints = {**service.hints, **hints}
    code, passes = "", False
    match error:
        case ClientError():
            detail, fix, code, passes = _refusal(error, service, denied, hints)
        case RedirectError():
            detail, code = str(error), error.code
            fix = hints.get(code) or _redirect_fix(error, service)
        case UnansweredError():
            detail, fix = str(error), service.elsewhere
        case NoCredentialsError() | PartialCredentialsError():
            detail = "no AWS credentials"
            fix = "Set AWS_ACCESS and AWS_SECRET, or give the machine a role"
        case HTTPClientError() | BotoConnectionError():
            found = _Failure(error, service)
            row = next(row for row in CONNECTION if row.is_seen(found))
            detail, fix = row.detail.format(**found.words), row.fix.format(**found.words)
            passes = row.passes
        # What is asked for with what an answer holds, the next page, botocore itself refuses.
        case ResponseParserError() | PaginationError() | ParamValidationError():
            detail, fix, passes = f"not an answer from {service.answers}", service.elsewhere, True
        case IncompleteReadError():
            detail, fix, passes = "the answer ends early", service.elsewhere, True
        case _:
            detail = type(error).__name__
            fix = "Check boto3's own variables, such as AWS_PROFILE, and its files"
    return (TransientError if passes else ServiceError)(f"Can't {doing}", detail, fix, code)


def is_reached(error: ServiceError) -> bool:
    """Tells if the service itself has answered: by a code in words."""
    return bool(error.code) and not error.code.isdigit() and "Redirect" not in error.code


def is_of_the_keys(error: ServiceError) -> bool:
    """Tells if the service does not accept the keys or the signature."""
    return error.code in _LYVE_KEY_HINTS | _AWS_KEY_HINTS


def place_of(url: str) -> str:
    """Returns the host and the port of a URL; what stands before an @ may be a password."""
    return re.split("[/?#]", re.sub(".*@|^[a-z]+://", "", url, flags=re.IGNORECASE))[0]


def _refusal(
    error: ClientError, service: Service, denied: str, hints: Mapping[str, str]
) -> tuple[str, str, str, bool]:
    """Returns the cause, what to do, the code, and whether it passes."""
    code = error_code(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    words = str(error.response.get("Error", {}).get("Message", ""))
    passes = is_transient(status, code)
    detail = code
    right_region, resource = _RIGHT_REGION.search(words), _RESOURCE.search(words)
    # An answer to HEAD has no body, and so no code of the service.
    if code.isdigit() and error.operation_name != _HEAD:
        # botocore makes a 500 of a page that is no XML.
        status_words = "" if code == "500" else f"HTTP {code}, "
        detail, fix = f"{status_words}not an answer from {service.answers}", service.elsewhere
    elif code in service.denied and code not in hints:
        action = _S3_ACTIONS.get(error.operation_name)
        fix = denied.replace("{action}", f" ({action})" if action else "")
        fix = fix.replace("{resource}", f" on {resource[1]}" if resource else "")
    elif code == "InvalidSignatureException" and "valid region" in words:
        detail, fix = f"{code}: signed for another region", "Check AWS_REGION"
    elif code == "AuthorizationHeaderMalformed" and right_region:
        fix = f"Set LYVE_REGION to {right_region[1]}"
    else:
        unknown = f"look {code} up in the documentation of the service"
        passing = f"It may pass by itself; if it stays, {unknown}"
        fix = hints.get(code, passing if passes else f"L{unknown[1:]}")
        fix = fix.replace("{file}", Configuration.file_name)
    return detail, fix, code, passes


def _redirect_fix(error: RedirectError, service: Service) -> str:
    asked, target = urlsplit(error.url), urlsplit(error.target)
    if (asked.scheme, target.scheme) == ("http", "https") and asked.hostname == target.hostname:
        return f"Write https:// in {service.variables(error.url)}"
    return "Name that endpoint, if it is the right one: no redirect is followed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error, the one that it came from, and so on, each once.

    One that is raised again, from what it led to, comes from itself.
    """
    seen = set[int]()
    while error and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
