"""The one table of outcomes: which failures pass, and which say that nothing was done.

It begins with botocore's own retry tables, which have no public names, and adds what services and
gateways answer besides:
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
"""

import re
from collections.abc import Mapping
from threading import Lock
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

_THROTTLED = frozenset(vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"])
_BOTOCORE_CODES = frozenset(vars(TransientRetryableChecker)["_TRANSIENT_ERROR_CODES"])
_BOTOCORE_STATUSES = frozenset(vars(TransientRetryableChecker)["_TRANSIENT_STATUS_CODES"])
# They say that something is under way, not that this request was turned away.
_UNDER_WAY = {"PriorRequestNotComplete", "TransactionInProgressException"}
_THROTTLED_BESIDES = {
    "RequestThrottled",
    "ServerBusy",
    "SlowDown",
    "SlowDownRead",  # MinIO's, as the next
    "SlowDownWrite",
    "TooManyRequests",
}
_TRANSIENT_BESIDES = {
    "Busy",
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "OperationAborted",
    "OperationAbortedException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "UnknownError",
    "XMinioServerNotInitialized",
}
# What a server can't do at all: S3's `NotImplemented`, and a version of HTTP.
_UNSUPPORTED_STATUSES = {501, 505}

# Whoever sends them.
_TRANSIENT_STATUSES = (
    _BOTOCORE_STATUSES | {408, 425, 429, *range(500, 600)}
) - _UNSUPPORTED_STATUSES

THROTTLING_CODES = (_THROTTLED | _THROTTLED_BESIDES) - _UNDER_WAY
"""Error codes of a request that was turned away before anything was done."""

_TRANSIENT_CODES = (
    THROTTLING_CODES
    | _BOTOCORE_CODES
    | _TRANSIENT_BESIDES
    | _UNDER_WAY
    # botocore's code for an answer without an error document of the service
    | {str(status) for status in _TRANSIENT_STATUSES}
)

_NAMED_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
MISSING_OBJECT = {"404", "NoSuchKey", "NotFound"}
_IDS_KEPT = 4_096
_MOST_TARGET_LETTERS = 200


class WrongAnswerError(Exception):
    """The answer is not one to what was asked."""


class UnansweredError(BotoCoreError):
    """A few times in a row no answer was one to what was asked."""

    fmt = "{reason}"


class RedirectError(BotoCoreError):
    """A service answers that it is elsewhere, which is not followed.

    Args:
        status: of HTTP.
        target: where it redirects to.
        code: the service's own, if it gives one.
        url: that was asked for.
    """

    fmt = "{reason} to {target}"

    def __init__(self, status: int, target: str, code: str, url: str) -> None:
        super().__init__(reason=code or f"HTTP {status}", target=target)
        self.code = code or str(status)
        self.target = target
        self.url = url


class RequestIds:
    """The ids of a service's last answers: an answer with one of them is not to a new request."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: dict[str, None] = {}

    def is_new(self, request_id: str) -> bool:
        """Notes an answer's id, empty for none; tells if it has one that no answer had before."""
        with self._lock:
            is_new = bool(request_id) and request_id not in self._seen
            self._seen[request_id] = None
            if len(self._seen) > _IDS_KEPT:
                del self._seen[next(iter(self._seen))]
        return is_new


_ids_of_services: dict[str, RequestIds] = {}


def request_ids(endpoint_url: str) -> RequestIds:
    """Returns the ids that all answers of one service are held against."""
    return _ids_of_services.setdefault(endpoint_url, RequestIds())


def is_transient(status: int, code: str) -> bool:
    """Tells if the same request may well be answered later; what was done is not known."""
    return status in _TRANSIENT_STATUSES or code in _TRANSIENT_CODES


def is_left_to_retry(error: ClientError) -> bool:
    """Tells if the refusal will pass, and botocore has not retried it."""
    metadata = error.response.get("ResponseMetadata", {})
    passes = is_transient(metadata.get("HTTPStatusCode", 0), error_code(error))
    return passes and not metadata.get("RetryAttempts")


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


def is_missing(error: ClientError) -> bool:
    """Tells if an object is not there, by what is answered; one answer does not prove it."""
    return error_code(error) in MISSING_OBJECT


def bare_code(code: str) -> str:
    """Returns an error's bare code: services also write `Code:http://...` and `namespace#Code`."""
    return code.partition(":")[0].rpartition("#")[2].strip()


def named_code(document: bytes) -> str:
    """Returns the code in S3's document of an error, "" if it names none."""
    found = _NAMED_CODE.search(document)
    return found[1].decode() if found else ""


def redirect_target(headers: Mapping[str, str]) -> str:
    """Returns where an answer redirects to, without keys or a query, which may hold secrets."""
    try:
        target = urlsplit(headers.get("Location", ""))
    except ValueError:
        return "an invalid address"
    host = target.netloc.rpartition("@")[2]
    named = f"{target.scheme}://{host}{target.path}" if host else target.path
    return named[:_MOST_TARGET_LETTERS] or "nowhere"
