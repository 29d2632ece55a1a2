"""CloudWatch's side in memory: the stand-in's account, and the two clients of a process."""

from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import NamedTuple
from uuid import uuid4

from botocore.awsrequest import AWSPreparedRequest, HeadersDict
from botocore.exceptions import ClientError
from msgspec import Struct, json, to_builtins

from tests.standin.cloudwatch_account import Account
from tests.standin.cloudwatch_rules import RefusalError
from tests.standin.cloudwatch_service import DECODERS, refused
from tests.standin.cloudwatch_settings import Settings
from tests.standin.cloudwatch_store import KeptEvents
from tests.world.faults import Answered, Line, client_error
from tests.world.in_memory_time import VirtualTime

LOG_GROUP = "lyve-cloud-audit-logs"
LOG_STREAM = "lyve-cloud/audit-logs/S3"


class MemoryAccount(Account):
    """CloudWatch's side; see `tests.standin.cloudwatch_standin`.

    Args:
        time: the clock.
        settings: of the stand-in.
    """

    def __init__(self, time: VirtualTime, settings: Settings) -> None:
        super().__init__(settings, KeptEvents)
        self._time = time

    def now_ms(self) -> int:
        return self._time.now_ms + self.settings.clock_offset_ms

    def applied(self, operation: str, body: bytes) -> Struct | None:
        """Carries out an operation; returns the answer, None for an empty one.

        Raises:
            RefusalError: the service refuses the request.
        """
        if operation in self.settings.denied:
            raise RefusalError("AccessDeniedException", "not authorized")
        return DECODERS[operation].decode(body).apply(self)


class HttpResult(NamedTuple):
    """An answer as botocore's HTTP session returns it."""

    status_code: int
    content: bytes
    headers: Mapping[str, str]


class MemorySent(NamedTuple):
    """A request, which is carried out when its answer is taken."""

    answer: Callable[[], HttpResult]


class MemoryHttp:
    """The HTTP session that one process puts events through.

    Args:
        account: holds the log group.
        line: of the process.
    """

    def __init__(self, account: MemoryAccount, line: Line) -> None:
        self._account = account
        self._line = line

    def connection(self) -> SimpleNamespace:
        self._line.life.reach("connect")
        return SimpleNamespace(close=lambda: None)

    def begin(self, request: AWSPreparedRequest, _: SimpleNamespace) -> "MemorySent":
        body = request.body
        assert isinstance(body, bytes)
        return MemorySent(partial(self._answer, body))

    def _answer(self, body: bytes) -> HttpResult:
        try:
            result = self._line.call("put", lambda: self._account.applied("PutLogEvents", body))
        except Answered as answered:
            return _http_result(answered.status, answered.body)
        except RefusalError as refusal:
            answer = refused(refusal)
            return _http_result(answer.status, answer.body)
        return _http_result(200, json.encode(result))


class _Exceptions:
    class ResourceAlreadyExistsException(ClientError):  # noqa: N818 - as boto3 names it
        pass


class _Meta:
    endpoint_url = "http://cloudwatch.invalid"


class MemoryLogs:
    """The CloudWatch Logs client of one process.

    Args:
        account: holds the log group.
        line: of the process.
    """

    exceptions = _Exceptions
    meta = _Meta

    def __init__(self, account: MemoryAccount, line: Line) -> None:
        self._account = account
        self._line = line

    def create_log_stream(self, **parameters: object) -> dict[str, object]:
        return self._called("stream", "CreateLogStream", parameters)

    def get_log_events(self, **parameters: object) -> dict[str, object]:
        return self._called("look back", "GetLogEvents", parameters)

    def describe_log_streams(self, **parameters: object) -> dict[str, object]:
        return self._called("find", "DescribeLogStreams", parameters)

    def get_paginator(self, _operation: str) -> "MemoryLogs":
        return self

    def paginate(self, **parameters: object) -> list[dict[str, object]]:
        return [self._called("describe", "DescribeLogGroups", parameters)]

    def _called(self, kind: str, operation: str, parameters: object) -> dict[str, object]:
        body = json.encode(parameters)
        try:
            result = self._line.call(kind, lambda: self._account.applied(operation, body))
        except RefusalError as refusal:
            known = getattr(_Exceptions, refusal.name, ClientError)
            raise client_error(refusal.name, known) from refusal
        answer: dict[str, object] = to_builtins(result) or {}
        return {**answer, "ResponseMetadata": {"RequestId": str(uuid4())}}


def _http_result(status: int, body: bytes) -> HttpResult:
    headers = {"Content-Length": str(len(body)), "x-amzn-RequestId": str(uuid4())}
    return HttpResult(status, body, HeadersDict(headers))
