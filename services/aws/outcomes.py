"""The one table of outcomes: which answers pass by themselves, and which say: nothing was done.

It begins with botocore's own retry tables, which have no public names, and adds what services and
gateways answer besides:
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/CommonErrors.html
"""

from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

_THROTTLED = frozenset(vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"])
_TRANSIENT = frozenset(vars(TransientRetryableChecker)["_TRANSIENT_ERROR_CODES"])
_TRANSIENT_STATUSES = frozenset(vars(TransientRetryableChecker)["_TRANSIENT_STATUS_CODES"])
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
_NEVER_DONE = {501, 505}

PASSING_STATUSES = (_TRANSIENT_STATUSES | {408, 425, 429, *range(500, 600)}) - _NEVER_DONE
"""HTTP statuses, whoever sends them, after which the same request may well be answered."""

THROTTLING_CODES = (_THROTTLED | _THROTTLED_BESIDES) - _UNDER_WAY
"""Error codes of a request that was turned away before anything was done."""

PASSING_CODES = (
    THROTTLING_CODES
    | _TRANSIENT
    | _TRANSIENT_BESIDES
    | _UNDER_WAY
    # botocore's code for an answer without an error document of the service
    | {str(status) for status in PASSING_STATUSES}
)
"""Error codes after which the same request may well be answered; what was done is not known."""
