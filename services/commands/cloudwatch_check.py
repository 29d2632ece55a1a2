"""Tries what the daemon does with CloudWatch Logs."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import NoCredentialsError

from services.aws.clients import aws_credentials, logs_client
from services.aws.errors import aws_errors
from services.aws.put_request import (
    NotStoredError,
    PutClient,
    RefusedError,
    StreamMissingError,
    UnknownOutcomeError,
)
from services.commands.connection_check import (
    NO_ANSWER,
    Endpoint,
    FirstAnswer,
    first_answer,
    reached,
    unanswered,
)
from services.upload_cloudwatch_logs_service import missing_group_hints
from utils.config.settings import Source
from utils.errors import ServiceError
from utils.model import LogEvent
from utils.report.findings import Finding, Try, failed, lacking, passed, warning

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import LogGroupTypeDef

_CREDENTIALS = "find AWS credentials"
_CONNECT = "connect to CloudWatch"
_SIGN_IN = "sign in to CloudWatch"
_GROUP = "find the log group"
_STREAM = "make or find the stream"
_DENIED = "AccessDeniedException"
_MISSING = "ResourceNotFoundException"
_WRONG_CLASS = "InvalidOperationException"
_VARIABLES = "AWS_REGION and AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"
# CloudWatch takes the request, answers that the event is too old, and stores nothing:
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_RejectedLogEventsInfo.html
_EVENT_OF_1970 = LogEvent(0, "check", 5, 1)


class CloudWatchCheck:
    """Tries what the daemon does with the log group of one source.

    Each request is sent once: a person waits for what it shows.

    Args:
        source: what to ship where.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._answer = FirstAnswer(None)
        self._group: LogGroupTypeDef | None = None
        self._longer_name = ""
        self._has_stream = False
        self._create = missing_group_hints(source)[_MISSING]

    def tries(self) -> list[Try]:
        """Returns what to try, in order."""
        return [
            Try(_CREDENTIALS, self._find_credentials),
            Try(_CONNECT, self._connect, _CREDENTIALS),
            Try(_SIGN_IN, self._sign_in, _CONNECT),
            Try(_GROUP, self._find_group, _SIGN_IN),
            Try("know its retention", self._know_retention, _GROUP),
            Try("know its class", self._know_class, _GROUP),
            Try(_STREAM, self._make_stream, _GROUP),
            Try("put events", self._put, _GROUP),
            Try("read events back", self._read_back, _GROUP),
        ]

    @cached_property
    def _client(self) -> "CloudWatchLogsClient":
        return logs_client(self._source.aws, attempts=1)

    @cached_property
    def _endpoint(self) -> Endpoint:
        return Endpoint(self._client.meta.endpoint_url, _VARIABLES)

    def _find_credentials(self) -> Finding:
        with aws_errors("set up the connection to AWS", "logs:PutLogEvents", {}):
            found = aws_credentials(self._source.aws)
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()  # those of a role are asked for here
        access = self._source.aws
        if access.role_arn:
            return passed(f"the role {access.role_arn}")
        return passed("AWS_ACCESS" if access.access_key else f"boto3's own, by {found.method}")

    def _connect(self) -> Finding:
        endpoint = self._endpoint
        try:
            self._answer = first_answer(self._look_up_group)
        except NO_ANSWER as exc:
            return unanswered(exc, endpoint)
        return reached(Endpoint(endpoint.url, "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"))

    def _look_up_group(self) -> Mapping[str, object]:
        """Finds the group of exactly this name among all that begin with it."""
        name = self._source.log_group
        page: Mapping[str, object] = {}
        pages = self._client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
        with self._errors("describe", "logs:DescribeLogGroups"):
            for page in pages:
                for group in page["logGroups"]:
                    if group.get("logGroupName") == name:
                        self._group = group
                        return page
                    self._longer_name = group.get("logGroupName", "")
        return page

    def _sign_in(self) -> Finding:
        return self._answer.sign_in(f"in {self._source.aws.region}", "AWS_REGION")

    def _find_group(self) -> Finding:
        refusal = self._answer.refusal
        if refusal and refusal.detail == _DENIED:
            mend = f"{refusal.hint}. Without it the puts alone tell what is too old"
            return warning(_DENIED, mend)
        if refusal:
            raise refusal
        if self._group:
            return passed(self._source.log_group)
        detail = f"{self._source.log_group} is not in {self._source.aws.region}"
        if self._longer_name:
            detail += f"; {self._longer_name} is another one"
        return failed(detail, self._create)

    def _know_retention(self) -> Finding:
        if self._group is None:
            return lacking("logs:DescribeLogGroups")
        days = self._group.get("retentionInDays")
        if not days:
            return passed("events are kept for ever")
        return passed(f"{days} days; older events get the time of their upload")

    def _know_class(self) -> Finding:
        if self._group is None:
            return lacking("logs:DescribeLogGroups")
        name = self._group.get("logGroupClass", "STANDARD")
        if name == "STANDARD":
            return passed(name)
        mend = "Create a log group of the class Standard: a group's class can't be changed"
        if name == "DELIVERY":
            return failed(f"{name}: it keeps events for a day, and can't be queried", mend)
        return warning(f"{name}: the dashboards and reading back need the class Standard", mend)

    def _make_stream(self) -> Finding:
        known = suppress(self._client.exceptions.ResourceAlreadyExistsException)
        with self._errors("create a log stream in", "logs:CreateLogStream"), known:
            self._client.create_log_stream(
                logGroupName=self._source.log_group, logStreamName=self._source.log_stream
            )
        self._has_stream = True
        return passed(self._source.log_stream)

    def _put(self) -> Finding:
        put_client = PutClient(self._endpoint.url, self._source)
        try:
            with self._errors("put events into", "logs:PutLogEvents"):
                info = put_client.put([_EVENT_OF_1970], lambda: True)
        except StreamMissingError:
            return self._missing()
        except RefusedError as exc:
            return failed(f"refused: {exc}", "Check log_group and log_stream in config.json")
        except (NotStoredError, UnknownOutcomeError) as exc:
            return unanswered(exc, self._endpoint)
        if info.too_old_log_event_end_index != 1:
            mend = f"Check {_VARIABLES}: CloudWatch Logs rejects it"
            return failed("an event of 1970 was not rejected as too old", mend)
        return passed("an event of 1970 is rejected as too old, as it should be")

    def _read_back(self) -> Finding:
        try:
            with self._errors("read back from", "logs:GetLogEvents"):
                self._client.get_log_events(
                    logGroupName=self._source.log_group,
                    logStreamName=self._source.log_stream,
                    limit=1,
                )
        except ServiceError as exc:
            if exc.detail == _MISSING:
                return self._missing()
            if exc.detail not in {_DENIED, _WRONG_CLASS}:
                raise
            return warning(exc.detail, f"{exc.hint}. Without it events in doubt are sent again")
        return passed(self._source.log_stream)

    def _missing(self) -> Finding:
        return failed(_MISSING, self._create) if self._has_stream else lacking(_STREAM)

    def _errors(self, doing: str, permission: str) -> AbstractContextManager[None]:
        hints = {_MISSING: self._create}
        return aws_errors(f"{doing} the log group {self._source.log_group}", permission, hints)
