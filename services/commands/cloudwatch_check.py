"""Tries what the daemon does with CloudWatch Logs."""

from contextlib import AbstractContextManager, suppress
from functools import cached_property
from typing import TYPE_CHECKING

from botocore.exceptions import NoCredentialsError
from botocore.parsers import ResponseParserError

from services.aws.clients import aws_credentials, logs_client
from services.aws.errors import AWS, CLOUDWATCH_ELSEWHERE, LOG_CLASS_FIX, aws_errors, group_hints
from services.aws.put_request import (
    NotStoredError,
    PutClient,
    RefusedError,
    StreamMissingError,
    UnknownOutcomeError,
)
from services.commands.tries import FirstAnswer, Try
from utils.config.settings import Source
from utils.errors import ServiceError
from utils.model import LogEvent
from utils.report.findings import Finding, failed, lacking, passed, warning

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
        self._longer_name = ""
        self._has_stream = False
        self._hints = group_hints(source.log_group, source.aws.region)

    def tries(self) -> list[Try]:
        """Returns what to try, in order."""
        access = self._source.aws
        group = (access, self._source.log_group)
        stream = (*group, self._source.log_stream)
        blind = {_DENIED: lambda exc: _less(exc, "the puts alone tell what is too old")}
        unknown = {_DENIED: lambda _: lacking("logs:DescribeLogGroups")}
        unread = dict.fromkeys(
            (_DENIED, _WRONG_CLASS), lambda exc: _less(exc, "events in doubt are sent again")
        )
        gone = {_MISSING: lambda _: self._missing()}
        describe, get = "DescribeLogGroups", "GetLogEvents"
        return [
            Try(_CREDENTIALS, "AssumeRole", access, self._find_credentials),
            Try(_CONNECT, describe, access, self._connect, _CREDENTIALS),
            Try(_SIGN_IN, describe, access, self._sign_in, _CONNECT),
            Try(_GROUP, describe, group, self._find_group, _SIGN_IN, blind),
            Try("know its retention", describe, group, self._know_retention, _GROUP, unknown),
            Try("know its class", describe, group, self._know_class, _GROUP, unknown),
            Try(_STREAM, "CreateLogStream", stream, self._make_stream, _GROUP),
            Try("put events", "PutLogEvents", stream, self._put, _GROUP),
            Try("read events back", get, stream, self._read_back, _GROUP, unread | gone),
        ]

    @cached_property
    def _client(self) -> "CloudWatchLogsClient":
        return logs_client(self._source.aws, attempts=1)

    @cached_property
    def _answer(self) -> "FirstAnswer[LogGroupTypeDef]":
        return FirstAnswer(self._look_up_group)

    def _look_up_group(self) -> "LogGroupTypeDef":
        """Returns the group of exactly this name among all that begin with it; empty for none."""
        name = self._source.log_group
        with self._errors("describe", "logs:DescribeLogGroups"):
            pages = self._client.get_paginator("describe_log_groups")
            for page in pages.paginate(logGroupNamePrefix=name):
                if "logGroups" not in page:
                    raise ResponseParserError("no log groups in it")
                for group in page["logGroups"]:
                    if group.get("logGroupName") == name:
                        return group
                    self._longer_name = group.get("logGroupName", "")
        return {}

    def _find_credentials(self) -> Finding:
        access = self._source.aws
        with aws_errors("set up the connection to AWS", "logs:PutLogEvents", {}):
            found = aws_credentials(access)
            if found is None:
                raise NoCredentialsError
            found.get_frozen_credentials()  # those of a role are asked for here
        if access.role_arn:
            return passed(f"the role {access.role_arn}")
        return passed("AWS_ACCESS" if access.access_key else f"boto3's own, by {found.method}")

    def _connect(self) -> Finding:
        return self._answer.reached(self._client.meta.endpoint_url, AWS)

    def _sign_in(self) -> Finding:
        return self._answer.signed_in(f"in {self._source.aws.region}")

    def _find_group(self) -> Finding:
        if self._answer.content():
            return passed(self._source.log_group)
        detail = f"{self._source.log_group} is not in {self._source.aws.region}"
        if self._longer_name:
            detail += f"; {self._longer_name} is another one"
        return failed(detail, self._hints[_MISSING])

    def _know_retention(self) -> Finding:
        days = self._answer.content().get("retentionInDays")
        if not days:
            return passed("events are kept for ever")
        return passed(f"{days} days; older events get the time of their upload")

    def _know_class(self) -> Finding:
        name = self._answer.content().get("logGroupClass", "STANDARD")
        if name == "STANDARD":
            return passed(name)
        if name == "DELIVERY":
            return failed(f"{name}: it keeps events for a day, and can't be queried", LOG_CLASS_FIX)
        detail = f"{name}: the dashboards and reading back need the class Standard"
        return warning(detail, LOG_CLASS_FIX)

    def _make_stream(self) -> Finding:
        known = suppress(self._client.exceptions.ResourceAlreadyExistsException)
        with self._errors("create a log stream in", "logs:CreateLogStream"), known:
            self._client.create_log_stream(
                logGroupName=self._source.log_group, logStreamName=self._source.log_stream
            )
        self._has_stream = True
        return passed(self._source.log_stream)

    def _put(self) -> Finding:
        put_client = PutClient(self._client.meta.endpoint_url, self._source)
        try:
            with self._errors("put events into", "logs:PutLogEvents"):
                info = put_client.put([_EVENT_OF_1970], lambda: True)
        except StreamMissingError:
            return self._missing()
        except RefusedError as exc:
            return failed(f"refused: {exc}", "Check log_group and log_stream")
        except (NotStoredError, UnknownOutcomeError) as exc:
            return failed(str(exc), f"Try again in a while. {CLOUDWATCH_ELSEWHERE}")
        if info.too_old_log_event_end_index != 1:
            return failed("an event of 1970 was not rejected as too old", CLOUDWATCH_ELSEWHERE)
        return passed("an event of 1970 is rejected as too old, as it should be")

    def _read_back(self) -> Finding:
        with self._errors("read back from", "logs:GetLogEvents"):
            self._client.get_log_events(
                logGroupName=self._source.log_group,
                logStreamName=self._source.log_stream,
                limit=1,
            )
        return passed(self._source.log_stream)

    def _missing(self) -> Finding:
        return failed(_MISSING, self._hints[_MISSING]) if self._has_stream else lacking(_STREAM)

    def _errors(self, doing: str, permission: str) -> AbstractContextManager[None]:
        return aws_errors(
            f"{doing} the log group {self._source.log_group}", permission, self._hints
        )


def _less(refusal: ServiceError, without: str) -> Finding:
    """Returns that the daemon does without something, and how."""
    return warning(refusal.detail, f"{refusal.hint}. Without it {without}")
