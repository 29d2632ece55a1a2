"""Sends one signed PutLogEvents request over a pooled connection and tells its outcome.

*Not stored* and *stored* have to be proven: by an answer that is CloudWatch's own, whole, and to
this request. What proves neither is unknown, and the caller reads back what is stored.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NoReturn

import msgspec
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
)

from services.aws.clients import aws_credentials
from services.aws.errors import AWS, failure
from services.aws.http_session import http_session
from services.aws.outcomes import (
    THROTTLING_CODES,
    RequestIds,
    bare_code,
    is_transient,
    request_ids,
)
from services.aws.signature import Signer
from utils.config.settings import Source
from utils.model import Batch

_HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "Logs_20140328.PutLogEvents",
}
# Fields of errors, and of the answers to the daemon's other requests.
_OF_OTHER_ANSWERS = {
    *("__type", "code", "Code", "error", "errors", "message", "Message"),
    *("events", "logGroups", "logStreams", "nextBackwardToken", "nextForwardToken", "nextToken"),
}


class NotStoredError(Exception):
    """The request was certainly not carried out, and may be sent again."""


class UnknownOutcomeError(Exception):
    """The request may have been carried out."""


class RefusedError(Exception):
    """The service refuses the batch as it is, in whole."""


class StreamMissingError(Exception):
    """The log stream or its group does not exist."""


class RejectedInfo(msgspec.Struct, rename="camel"):
    """The indices of events that were rejected while the call succeeded."""

    too_old_log_event_end_index: int = 0
    expired_log_event_end_index: int = 0
    too_new_log_event_start_index: int | None = None


class _InputLogEvent(msgspec.Struct, gc=False):
    timestamp: int
    message: str


class _Request(msgspec.Struct, rename="camel"):
    log_group_name: str
    log_stream_name: str
    log_events: list[_InputLogEvent]


class _Answer(msgspec.Struct):
    rejected: RejectedInfo | None = msgspec.field(default=None, name="rejectedLogEventsInfo")


class _Failure(msgspec.Struct):
    """The service's own document of an error; it writes some names in two ways."""

    type_: str = msgspec.field(default="", name="__type")
    code: str = ""
    message: str = ""
    capital_message: str = msgspec.field(default="", name="Message")


class PutClient:
    """Puts batches into one log stream, each request sent once: the caller retries.

    It signs each request with botocore's credentials and sends it over the shared connections,
    without the validation, the serialiser and the hooks of boto3's client.

    Args:
        endpoint_url: of CloudWatch Logs.
        source: names the log group and stream.
    """

    def __init__(self, endpoint_url: str, source: Source) -> None:
        self._endpoint_url = endpoint_url
        self._log_group = source.log_group
        self._log_stream = source.log_stream
        self._http = http_session(endpoint_url)
        self._request_ids = request_ids(endpoint_url)
        credentials = aws_credentials(source.aws)
        self._signer = (
            Signer(credentials, "logs", source.aws.region, endpoint_url) if credentials else None
        )

    def put(self, batch: Batch, may_send: Callable[[], bool]) -> RejectedInfo:
        """Sends a valid batch once.

        Args:
            batch: the events.
            may_send: asked right before the request is sent.

        Raises:
            NotStoredError, UnknownOutcomeError, RefusedError, StreamMissingError: as they say.
            ClientError: the service refuses the caller, as with wrong credentials.
        """
        if self._signer is None:
            raise NoCredentialsError
        request = self._signer.request("POST", self._endpoint_url, _HEADERS, self._body(batch))
        try:
            connection = self._http.connection()
        except BotoCoreError as exc:
            raise NotStoredError(_cause(exc)) from exc
        # Asked behind the connection: a name server or a proxy may take long.
        if not may_send():
            connection.close()
            raise NotStoredError("the checkpoint is not saved")
        try:
            answer = self._http.begin(request, connection).answer()
        except BotoCoreError as exc:
            raise UnknownOutcomeError(_cause(exc)) from exc
        return _outcome(answer, len(batch), self._request_ids)

    def _body(self, batch: Batch) -> bytes:
        events = [_InputLogEvent(event.timestamp_ms, event.message) for event in batch]
        return msgspec.json.encode(_Request(self._log_group, self._log_stream, events))


def _cause(error: BotoCoreError) -> str:
    return failure(error, "put events", AWS, "", {}).detail


# Made once, before any thread: msgspec can crash where several are the first to use a type.
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


def _outcome(answer: AWSResponse, events: int, seen: RequestIds) -> RejectedInfo:
    status, headers, content = answer.status_code, answer.headers, answer.content
    if not _is_whole(headers, content):
        raise UnknownOutcomeError(f"HTTP {status}, an incomplete answer")
    # Only the service gives each answer a new id; what a cache repeats has an old one.
    if not seen.is_new(headers.get("x-amzn-RequestId", "")):
        raise UnknownOutcomeError(f"HTTP {status}, not an answer of CloudWatch to this request")
    code = _code_in_header(headers)
    if status != HTTPStatus.OK:
        _raise_failure(status, code, content)
    if code:
        raise UnknownOutcomeError(f"HTTP {status} and {code}")
    return _rejected(content, events)


def _is_whole(headers: Mapping[str, str], content: bytes) -> bool:
    """Tells if nothing of the answer is missing.

    A body that breaks off before its `Content-Length` just ends. A chunked one that ends early, and
    a head that does, have raised already.
    """
    is_chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
    return is_chunked or headers.get("Content-Length", "") == str(len(content))


def _rejected(content: bytes, events: int) -> RejectedInfo:
    """Returns the indices in an answer, if it can be one to a request of so many events."""
    try:
        fields = _decode_members(content)
        rejected = _decode_answer(content).rejected or RejectedInfo()
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UnknownOutcomeError("HTTP 200, an unreadable answer") from exc
    if fields.keys() & _OF_OTHER_ANSWERS:
        raise UnknownOutcomeError("HTTP 200, the answer to something else")
    ends = (rejected.too_old_log_event_end_index, rejected.expired_log_event_end_index)
    start = rejected.too_new_log_event_start_index
    if not all(0 <= end <= events for end in ends) or not 0 <= (start or 0) < events:
        raise UnknownOutcomeError("HTTP 200, indices beyond the batch")
    return rejected


def _raise_failure(status: int, code_in_header: str, content: bytes) -> NoReturn:
    try:
        failure = _decode_failure(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # The code may be only in the header.
        failure = _Failure()
    code = code_in_header or bare_code(failure.type_ or failure.code)
    if not code or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnknownOutcomeError(f"HTTP {status}")
    if code in THROTTLING_CODES or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise NotStoredError(code)
    if is_transient(status, code):
        raise UnknownOutcomeError(code)
    if code == "InvalidParameterException":
        raise RefusedError(failure.message or failure.capital_message)
    if code == "ResourceNotFoundException":
        raise StreamMissingError
    raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutLogEvents")


def _code_in_header(headers: Mapping[str, str]) -> str:
    return bare_code(headers.get("x-amzn-ErrorType", ""))
