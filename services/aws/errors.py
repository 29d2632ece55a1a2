"""Translates botocore's errors into ours, in one place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from services.aws.diagnosis import AWS, LYVE_CLOUD, Service, diagnosis
from utils.errors import ServiceError, TransientError

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
AUDIT_BUCKET_HINTS = {"NoSuchBucket": "Check bucket_name in {file}, and LYVE_REGION"}
OUTPUT_BUCKET_HINTS = {"NoSuchBucket": "Check output_bucket in {file}, and LYVE_REGION"}


@contextmanager
def lyve_errors(doing: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of Lyve Cloud requests into a ServiceError.

    Args:
        doing: what is done, as `list the audit bucket x`.
        hints: what to do, by error code; before the general ones.
    """
    denied = f"Give the service account of LYVE_ACCESS the permission to {doing}{{action}}"
    with _translated(doing, LYVE_CLOUD, denied, hints):
        yield


@contextmanager
def aws_errors(doing: str, permission: str, hints: Mapping[str, str]) -> Iterator[None]:
    """Turns botocore's errors of AWS requests into a ServiceError.

    Args:
        doing: what is done, as `put events into the log group x`.
        permission: the IAM action that it needs.
        hints: what to do, by error code; before the general ones.
    """
    denied = f"Allow {permission}{{resource}} in the IAM policy of AWS_ACCESS"
    with _translated(doing, AWS, denied, hints):
        yield


@contextmanager
def endpoint_errors(doing: str, variable: str) -> Iterator[None]:
    """Names the variable at fault: botocore raises a plain ValueError for a malformed endpoint."""
    try:
        yield
    except ValueError as exc:
        raise ServiceError(f"Can't {doing}", "invalid endpoint", f"Check {variable}") from exc


@contextmanager
def _translated(
    doing: str, service: Service, denied: str, hints: Mapping[str, str]
) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as exc:
        found = diagnosis(exc, service, denied, hints)
        kind = TransientError if found.passes else ServiceError
        raise kind(f"Can't {doing}", found.detail, found.fix, found.code) from exc
