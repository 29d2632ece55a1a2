"""Translates botocore's errors, in one place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from services.aws.outcomes import PASSING_CODES, PASSING_STATUSES, bare_code
from utils.errors import ServiceError, TransientError

_LYVE_HINTS = {
    "InvalidAccessKeyId": "Check LYVE_ACCESS",
    "SignatureDoesNotMatch": "Check LYVE_SECRET, and that it belongs to LYVE_ACCESS",
    # S3 has one code for the region and for a key with a slash in it.
    "AuthorizationHeaderMalformed": "Check LYVE_REGION, LYVE_ACCESS and LYVE_SECRET: the "
    "keys may be exchanged",
    "PermanentRedirect": "Check LYVE_REGION: the bucket is in another one",
    "301": "Check LYVE_REGION: the bucket is in another one",
    "RequestTimeTooSkewed": "Set this machine's clock",
    "InvalidObjectState": "Restore the object from its archive",
}
_AWS_HINTS = {
    "UnrecognizedClientException": "Check AWS_ACCESS, and that the key is active",
    "InvalidClientTokenId": "Check AWS_ACCESS, and that the key is active",
    "IncompleteSignatureException": "Check AWS_ACCESS and AWS_SECRET: they may be exchanged",
    "IncompleteSignature": "Check AWS_ACCESS and AWS_SECRET: they may be exchanged",
    "InvalidSignatureException": "Check AWS_SECRET, AWS_REGION and this machine's clock",
    "SignatureDoesNotMatch": "Check AWS_SECRET, and this machine's clock",
    "MissingAuthenticationTokenException": "Set AWS_ACCESS and AWS_SECRET",
    "ExpiredTokenException": "Replace the expired AWS credentials",
    "ExpiredToken": "Replace the expired AWS credentials",
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch_Logs_Log_Classes.html
    "InvalidOperationException": "Create a log group of the class Standard for log_group: a "
    "group's class can't be changed",
    "OptInRequired": "Check AWS_REGION: it is not enabled for the account",
}
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
MISSING_OBJECT = {"404", "NoSuchKey", "NotFound"}
AUDIT_BUCKET_HINTS = {"NoSuchBucket": "Check bucket_name in config.json, and LYVE_REGION"}
OUTPUT_BUCKET_HINTS = {"NoSuchBucket": "Check output_bucket in config.json, and LYVE_REGION"}
_LYVE_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_AWS_DENIED = {"AccessDeniedException", "AccessDenied"}

_REDIRECT_HINT = "Name that endpoint, if it is the right one: no redirect is followed"


class RedirectError(BotoCoreError):
    """A service answers that it is elsewhere, which is not followed.

    Args:
        status: of HTTP.
        target: where it redirects to.
        code: the service's own, if it gives one.
    """

    fmt = "{reason} to {target}"

    def __init__(self, status: int, target: str, code: str) -> None:
        super().__init__(reason=code or f"HTTP {status}", target=target)
        self.code = code or str(status)


def error_code(error: ClientError) -> str:
    """Returns the service's own code of an error, such as `NoSuchBucket`.

    It may stand in a header alone, which botocore does not read for CloudWatch Logs.
    """
    metadata = error.response.get("ResponseMetadata", {})
    # A page of a gateway has an empty one.
    status = str(metadata.get("HTTPStatusCode", "unknown"))
    code = error.response.get("Error", {}).get("Code", "") or status
    headers = metadata.get("HTTPHeaders", {})
    in_header = bare_code(headers.get("x-amzn-errortype", ""))
    return in_header if in_header and not code.isalpha() else code


@contextmanager
def lyve_errors(doing: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of Lyve Cloud requests into a ServiceError.

    Args:
        doing: what is done, as `list the audit bucket x`.
        hints: what to do, by error code; before the general ones.
    """
    denied = f"Give the service account of LYVE_ACCESS the permission to {doing}"
    known = {**_LYVE_HINTS, **dict.fromkeys(_LYVE_DENIED, denied), **hints}
    with _translated(doing, known, "Check LYVE_ENDPOINT, LYVE_REGION and the network"):
        yield


@contextmanager
def aws_errors(doing: str, permission: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of AWS requests into a ServiceError.

    Args:
        doing: what is done, as `put events into the log group x`.
        permission: the IAM action that it needs.
        hints: what to do, by error code; before the general ones.
    """
    denied = f"Allow {permission} in the IAM policy of AWS_ACCESS"
    known = {**_AWS_HINTS, **dict.fromkeys(_AWS_DENIED, denied), **hints}
    with _translated(doing, known, "Check AWS_REGION and the network"):
        yield


@contextmanager
def endpoint_errors(doing: str, variable: str) -> Iterator[None]:
    """Names the variable at fault: botocore raises a plain ValueError for a malformed endpoint."""
    try:
        yield
    except ValueError as exc:
        raise ServiceError(f"Can't {doing}", "invalid endpoint", f"Check {variable}") from exc


def _is_transient(error: ClientError) -> bool:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status in PASSING_STATUSES or error_code(error) in PASSING_CODES


@contextmanager
def _translated(doing: str, hints: Mapping[str, str], network_hint: str) -> Iterator[None]:
    message = f"Can't {doing}"
    try:
        yield
    except ClientError as exc:
        code = error_code(exc)
        hint = hints.get(code, f"Look {code} up in the documentation of the service")
        kind = TransientError if _is_transient(exc) else ServiceError
        raise kind(message, code, hint) from exc
    except RedirectError as exc:
        hint = hints.get(exc.code, _REDIRECT_HINT)
        raise ServiceError(message, str(exc), hint) from exc
    except (NoCredentialsError, PartialCredentialsError) as exc:
        hint = "Set AWS_ACCESS and AWS_SECRET, or give the machine a role"
        raise ServiceError(message, "no AWS credentials", hint) from exc
    except SSLError as exc:
        hint = "Check the endpoint's certificate and this machine's clock"
        raise ServiceError(message, "TLS error", hint) from exc
    except (BotoConnectionError, HTTPClientError) as exc:
        raise TransientError(message, type(exc).__name__, network_hint) from exc
    except ResponseParserError as exc:
        raise TransientError(message, "an unreadable answer", network_hint) from exc
    except BotoCoreError as exc:
        hint = "Check boto3's own variables, such as AWS_PROFILE, and its files"
        raise ServiceError(message, type(exc).__name__, hint) from exc
