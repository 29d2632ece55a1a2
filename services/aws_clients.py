"""Builds the boto3 clients and translates botocore's errors, in one place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
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

from services.boto3_session import boto3_session
from services.http_session import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from services.made_once import MadeOnce
from utils.errors import ServiceError, TransientError
from utils.settings import AwsAccess, LyveAccess

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client

_ATTEMPTS = 5

_LYVE_HINTS = {
    "InvalidAccessKeyId": "Check LYVE_ACCESS",
    "SignatureDoesNotMatch": "Check LYVE_SECRET, and that it belongs to LYVE_ACCESS",
    "AuthorizationHeaderMalformed": "Check LYVE_REGION",
    "PermanentRedirect": "Check LYVE_REGION: the bucket is in another one",
    "301": "Check LYVE_REGION: the bucket is in another one",
    "RequestTimeTooSkewed": "Set this machine's clock",
    "InvalidObjectState": "Restore the object from its archive",
}
_AWS_HINTS = {
    "UnrecognizedClientException": "Check AWS_ACCESS, and that the key is active",
    "InvalidClientTokenId": "Check AWS_ACCESS, and that the key is active",
    "InvalidSignatureException": "Check AWS_SECRET, AWS_REGION and this machine's clock",
    "SignatureDoesNotMatch": "Check AWS_SECRET, and this machine's clock",
    "MissingAuthenticationTokenException": "Set AWS_ACCESS and AWS_SECRET",
    "ExpiredTokenException": "Replace the expired AWS credentials",
    "OptInRequired": "Check AWS_REGION: it is not enabled for the account",
}
THROTTLED = {
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "LimitExceededException",
    "SlowDown",
}
_LYVE_DENIED = {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"}
_AWS_DENIED = {"AccessDeniedException", "AccessDenied"}


@MadeOnce
def s3_client(access: LyveAccess, attempts: int = _ATTEMPTS) -> "S3Client":
    """Returns the client for Lyve Cloud's S3.

    The checksums that boto3 adds by itself are off: S3-compatible stores may refuse them
    (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html).

    Args:
        access: keys, region and endpoint.
        attempts: how often a request is tried, at most.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
    )
    doing = "set up the connection to Lyve Cloud"
    with lyve_errors(doing, {}), endpoint_errors(doing, "LYVE_ENDPOINT"):
        return boto3_session().client(
            "s3",
            region_name=access.region,
            endpoint_url=access.endpoint_url,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            config=config,
        )


def aws_session(access: AwsAccess) -> boto3.Session:
    """Returns the session with the given keys, or with boto3's own credential chain.

    Args:
        access: keys and region.
    """
    with aws_errors("set up the connection to AWS", "logs:PutLogEvents", {}):
        return boto3_session(access)


@MadeOnce
def logs_client(session: boto3.Session, attempts: int = _ATTEMPTS) -> "CloudWatchLogsClient":
    """Returns the client for CloudWatch Logs, for all calls but PutLogEvents.

    Args:
        session: of `aws_session`.
        attempts: how often a request is tried, at most.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    doing = "set up the connection to AWS"
    variable = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS and AWS_REGION"
    with aws_errors(doing, "logs:PutLogEvents", {}), endpoint_errors(doing, variable):
        return session.client("logs", config=config)


def error_code(error: ClientError) -> str:
    """Returns the service's own code of an error, such as `NoSuchBucket`."""
    return error.response.get("Error", {}).get("Code", "unknown")


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
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or error_code(error) in THROTTLED


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
    except (NoCredentialsError, PartialCredentialsError) as exc:
        hint = "Set AWS_ACCESS and AWS_SECRET, or give the machine a role"
        raise ServiceError(message, "no AWS credentials", hint) from exc
    except SSLError as exc:
        hint = "Check the endpoint's certificate and this machine's clock"
        raise ServiceError(message, "TLS error", hint) from exc
    except (BotoConnectionError, HTTPClientError) as exc:
        raise TransientError(message, type(exc).__name__, network_hint) from exc
    except BotoCoreError as exc:
        hint = "Check boto3's own variables, such as AWS_PROFILE, and its files"
        raise ServiceError(message, type(exc).__name__, hint) from exc
