"""Sends one signed PutLogEvents request over a pooled connection and tells its outcome."""

from collections.abc import Callable
from http import HTTPStatus

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ProxyConnectionError,
)

from services.aws.clients import aws_credentials
from services.aws.http_session import http_session
from services.aws.outcomes import THROTTLING_CODES
from utils.config.settings import Source
from utils.model import Batch

_TARGET = "Logs_20140328.PutLogEvents"


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
    code: str = msgspec.field(default="", name="__type")
    message: str = ""


class PutClient:
    """Puts batches into one log stream, each request sent once: the caller retries.

    A signed request over botocore's own HTTP session, credentials and signer; the client's
    validation, serialiser and hooks are left out.

    Args:
        endpoint_url: of CloudWatch Logs.
        source: names the log group and stream.
    """

    def __init__(self, endpoint_url: str, source: Source) -> None:
        self._endpoint_url = endpoint_url
        self._log_group = source.log_group
        self._log_stream = source.log_stream
        self._http = http_session(endpoint_url)
        self._credentials = aws_credentials(source.aws)
        self._region = source.aws.region

    def put(self, batch: Batch, may_send: Callable[[], bool]) -> RejectedInfo:
        """Sends a valid batch once.

        Args:
            batch: the events.
            may_send: asked when nothing is left to do but to send.

        Raises:
            NotStoredError, UnknownOutcomeError, RefusedError, StreamMissingError: as they say.
            ClientError: the service refuses the caller, as with wrong credentials.
        """
        request = self._signed(self._body(batch)).prepare()
        if not may_send():
            raise NotStoredError("the checkpoint is not saved")
        try:
            answer = self._http.send(request)
        except (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError) as exc:
            raise NotStoredError(type(exc).__name__) from exc
        except BotoCoreError as exc:
            raise UnknownOutcomeError(type(exc).__name__) from exc
        return _outcome(answer)

    def _body(self, batch: Batch) -> bytes:
        events = [_InputLogEvent(event.timestamp_ms, event.message) for event in batch]
        return msgspec.json.encode(_Request(self._log_group, self._log_stream, events))

    def _signed(self, body: bytes) -> AWSRequest:
        if self._credentials is None:
            raise NoCredentialsError
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": _TARGET}
        request = AWSRequest("POST", self._endpoint_url, headers, body)
        keys = self._credentials.get_frozen_credentials()
        SigV4Auth(keys, "logs", self._region).add_auth(request)
        return request


def _outcome(answer: AWSResponse) -> RejectedInfo:
    content = answer.content
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnknownOutcomeError(f"HTTP {answer.status_code}")
    if len(content) != int(answer.headers.get("Content-Length", len(content))):
        raise UnknownOutcomeError("incomplete answer")
    if answer.status_code != HTTPStatus.OK:
        _raise_failure(answer.status_code, content)
    try:
        parsed = msgspec.json.decode(content or b"{}", type=_Answer)
    except msgspec.DecodeError as exc:
        raise UnknownOutcomeError("unreadable answer") from exc
    return parsed.rejected or RejectedInfo()


def _raise_failure(status: int, content: bytes) -> None:
    try:
        failure = msgspec.json.decode(content, type=_Failure)
    except msgspec.DecodeError:
        failure = _Failure()
    code = failure.code.rpartition("#")[2].partition(":")[0] or f"HTTP {status}"
    if code in THROTTLING_CODES or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise NotStoredError(code)
    if code == "InvalidParameterException":
        raise RefusedError(failure.message)
    if code == "ResourceNotFoundException":
        raise StreamMissingError
    raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutLogEvents")
