"""One call from its request to its answer: who calls, what it asks, and what befalls it."""

from asyncio import StreamReader, sleep, wait_for
from collections.abc import Mapping
from typing import TypeVar

from msgspec import DecodeError, Struct, ValidationError, json

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_credentials import check_caller, denial
from tests.standin.cloudwatch_describe import DescribeLogGroups, DescribeLogStreams
from tests.standin.cloudwatch_events import GetLogEvents, PutLogEvents
from tests.standin.cloudwatch_http import HttpAnswer, HttpRequest
from tests.standin.cloudwatch_requests import (
    CreateLogGroup,
    CreateLogStream,
    DeleteLogGroup,
    DeleteLogStream,
    DeleteRetentionPolicy,
    PutRetentionPolicy,
    Request,
)
from tests.standin.cloudwatch_rules import RefusalError, batch_bytes, invalid_parameter
from tests.standin.cloudwatch_settings import Fault

CONTENT_TYPE = "application/x-amz-json-1.1"
TARGET_PREFIX = "Logs_20140328."
THROTTLING = RefusalError("ThrottlingException", "Rate exceeded")
UNAVAILABLE = RefusalError(
    "ServiceUnavailableException", "The service cannot complete the request.", 503
)
FAILURE = RefusalError("InternalFailure", "The request processing has failed.", 500)

INSTEAD_OF_STORING: Mapping[Fault, RefusalError | None] = {
    "throttled": THROTTLING,
    "unavailable_before": UNAVAILABLE,
    "dropped_before": None,
}
INSTEAD_OF_THE_ANSWER: Mapping[Fault, RefusalError | None] = {
    "unavailable_after": UNAVAILABLE,
    "failed_after": FAILURE,
    "dropped_after": None,
}
"""What is answered, None for a connection that breaks."""

DECODERS: Mapping[str, json.Decoder[Request]] = {
    request.__name__: json.Decoder(request)
    for request in (
        CreateLogGroup,
        DeleteLogGroup,
        PutRetentionPolicy,
        DeleteRetentionPolicy,
        DescribeLogGroups,
        CreateLogStream,
        DeleteLogStream,
        DescribeLogStreams,
        PutLogEvents,
        GetLogEvents,
    )
}

Decoded = TypeVar("Decoded")


class Names(Struct, rename="camel"):
    """What a permission is about."""

    log_group_name: str = ""
    log_stream_name: str = ""


async def answered(
    account: Account, request: HttpRequest, reader: StreamReader
) -> HttpAnswer | None:
    """Serves one call and counts it.

    Args:
        account: what the call works on.
        request: a POST of the AWS JSON 1.1 protocol.
        reader: of the connection, to notice that the client has gone.

    Returns:
        The answer, None where the connection breaks instead.
    """
    try:
        name = _operation(request)
    except RefusalError as refusal:
        return refused(refusal)
    account.calls.arrived(name)
    try:
        outcome, answer = await _outcome(account, name, request, reader)
        account.calls.ended(name, outcome)
        if account.is_troubled(name, _group_of(request)):
            await sleep(account.settings.latency_ms / 1000)
    finally:
        account.calls.left(name)
    return answer


def refused(refusal: RefusalError) -> HttpAnswer:
    """Returns the answer that carries a refusal."""
    body = json.encode({"__type": refusal.name, "message": refusal.sentence})
    return HttpAnswer(refusal.status, CONTENT_TYPE, body)


def _operation(request: HttpRequest) -> str:
    target = request.headers.get("x-amz-target", "")
    name = target.removeprefix(TARGET_PREFIX)
    if request.headers.get("content-type") != CONTENT_TYPE or name == target:
        raise RefusalError(
            "UnknownOperationException", "The request names no operation of the API."
        )
    if name not in DECODERS:
        raise RefusalError("UnknownOperationException", f"The stand-in has no operation {name!r}.")
    return name


async def _outcome(
    account: Account, name: str, request: HttpRequest, reader: StreamReader
) -> tuple[str, HttpAnswer | None]:
    try:
        asked = _admitted(account, name, request)
        fault = account.draw_fault(name, _group_of(request))
        hang_ms = account.settings.hang_ms
        if fault == "hung_before" and not await _client_waits(reader, hang_ms):
            return fault, None
        if fault in INSTEAD_OF_STORING:
            return fault, _broken(INSTEAD_OF_STORING[fault])
        result = asked.apply(account)
    except RefusalError as refusal:
        return refusal.name, refused(refusal)
    if fault == "hung_after" and not await _client_waits(reader, hang_ms):
        return fault, None
    if fault in INSTEAD_OF_THE_ANSWER:
        return fault, _broken(INSTEAD_OF_THE_ANSWER[fault])
    body = b"" if result is None else json.encode(result)
    return "accepted" if fault == "none" else fault, HttpAnswer(200, CONTENT_TYPE, body)


def _group_of(request: HttpRequest) -> str:
    try:
        return json.decode(request.body, type=Names).log_group_name
    except (DecodeError, UnicodeDecodeError):
        return ""


def _admitted(account: Account, name: str, request: HttpRequest) -> Request:
    settings = account.settings
    check_caller(settings, request.headers, request.body, account.now_ms())
    body = request.body
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise RefusalError(
            "SerializationException", f"Content-Encoding {encoding!r} is not accepted."
        )
    if name in settings.denied:
        names = _decoded(json.Decoder(Names), body)
        raise denial(name, account.stream_arn(names.log_group_name, names.log_stream_name))
    asked = _decoded(DECODERS[name], body)
    if isinstance(asked, PutLogEvents):
        account.calls.batch(len(asked.log_events), batch_bytes(asked.log_events))
    return asked


def _decoded(decoder: json.Decoder[Decoded], body: bytes) -> Decoded:
    try:
        return decoder.decode(body)
    except ValidationError as error:
        # A wrong type or an unknown member is no request of the API; the rest breaks a constraint.
        if ", got `" in str(error) or "unknown field" in str(error):
            raise RefusalError("SerializationException", str(error)) from error
        raise invalid_parameter(f"1 validation error detected: {error}") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise RefusalError("SerializationException", str(error)) from error


def _broken(refusal: RefusalError | None) -> HttpAnswer | None:
    return None if refusal is None else refused(refusal)


async def _client_waits(reader: StreamReader, hang_ms: int) -> bool:
    try:
        await wait_for(reader.read(1), hang_ms / 1000 or None)
    except TimeoutError:
        return True
    return False
