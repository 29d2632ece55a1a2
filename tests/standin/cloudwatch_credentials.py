"""Who may call: access keys, AWS Signature Version 4, and the sentence of a denial.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from msgspec import Struct

from tests.standin.cloudwatch_rules import RefusalError
from tests.standin.cloudwatch_settings import Settings

USER_ARN = "arn:aws:iam::123456789012:user/forwarder"
MAXIMUM_SKEW_SECONDS = 300
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request, ?SignedHeaders=(?P<headers>[^,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)


class Authorization(Struct, frozen=True):
    """The parts of an Authorization header."""

    key: str
    date: str
    region: str
    service: str
    headers: str
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def check_caller(settings: Settings, headers: Mapping[str, str], body: bytes, now_ms: int) -> None:
    """Checks the access key, and the signature where the key's secret is set.

    Args:
        settings: what keys are known, and which of them have expired.
        headers: of a POST to `/` without a query, with names in lower case.
        body: as it was sent.
        now_ms: the service's clock.

    Raises:
        RefusalError: the service would not accept the caller.
    """
    authorization = _authorization(headers)
    if authorization.key in settings.expired:
        raise RefusalError(
            "ExpiredTokenException", "The security token included in the request is expired"
        )
    if settings.credentials and authorization.key not in settings.credentials:
        raise RefusalError(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        )
    secret = settings.credentials.get(authorization.key, "")
    if secret:
        _check_scope(authorization, settings.region)
        _check_time(headers["x-amz-date"], now_ms)
        _check_signature(authorization, secret, headers, body)


def denial(operation: str, resource: str) -> RefusalError:
    """Returns the refusal of a caller without the permission for an operation on a resource."""
    return RefusalError(
        "AccessDeniedException",
        f"User: {USER_ARN} is not authorized to perform: logs:{operation} on resource: "
        f"{resource} because no identity-based policy allows the logs:{operation} action",
    )


def _authorization(headers: Mapping[str, str]) -> Authorization:
    if "authorization" not in headers or "x-amz-date" not in headers:
        raise RefusalError("MissingAuthenticationTokenException", "Missing Authentication Token")
    parts = AUTHORIZATION.fullmatch(headers["authorization"])
    if parts is None:
        raise RefusalError(
            "IncompleteSignatureException", "The Authorization header is incomplete."
        )
    return Authorization(**parts.groupdict())


def _check_scope(authorization: Authorization, region: str) -> None:
    if (authorization.service, authorization.region) != ("logs", region):
        raise RefusalError(
            "InvalidSignatureException",
            "Credential should be scoped to a valid region and to the service 'logs'.",
        )


def _check_time(amz_date: str, now_ms: int) -> None:
    signed_at = datetime.strptime(amz_date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    if abs(signed_at - now_ms / 1000) > MAXIMUM_SKEW_SECONDS:
        raise RefusalError(
            "InvalidSignatureException",
            f"Signature expired or not yet current: {amz_date} is more than 5 min. away.",
        )


def _check_signature(
    authorization: Authorization, secret: str, headers: Mapping[str, str], body: bytes
) -> None:
    is_complete = _signs_what_it_must(authorization.headers.split(";"), headers)
    expected = _signature(authorization, secret, headers, body) if is_complete else ""
    if not hmac.compare_digest(expected, authorization.signature):
        raise RefusalError(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method.",
        )


def _signs_what_it_must(names: Sequence[str], headers: Mapping[str, str]) -> bool:
    needed = {name for name in headers if name == "host" or name.startswith("x-amz-")}
    return needed <= set(names) <= headers.keys() and list(names) == sorted(names)


def _signature(
    authorization: Authorization, secret: str, headers: Mapping[str, str], body: bytes
) -> str:
    names = authorization.headers.split(";")
    signed = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    payload = sha256(body).hexdigest()
    canonical = f"POST\n/\n\n{signed}\n{authorization.headers}\n{payload}"
    digest = sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{authorization.scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in authorization.scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()
