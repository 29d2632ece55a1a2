"""The table of outcomes knows what botocore knows, and what says for certain: nothing was done."""

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from services.aws.clients import logs_client, s3_client
from services.aws.errors import aws_errors, lyve_errors
from services.aws.outcomes import THROTTLING_CODES, is_transient
from services.output.objects import read_object
from tests.servers.installation import try_again_soon
from tests.standin.fake_server import FakeServer, Reply, always
from utils.config.settings import AwsAccess, LyveAccess
from utils.errors import TransientError


def test_what_botocore_tries_again_passes() -> None:
    """Its tables are no public names: this fails when they move."""
    for checker, table in (
        (ThrottledRetryableChecker, "_THROTTLED_ERROR_CODES"),
        (TransientRetryableChecker, "_TRANSIENT_ERROR_CODES"),
    ):
        assert all(is_transient(400, code) for code in vars(checker)[table])
    statuses = vars(TransientRetryableChecker)["_TRANSIENT_STATUS_CODES"]
    assert all(is_transient(status, "") for status in statuses)


@pytest.mark.parametrize(
    "code",
    ["RequestTimeout", "SlowDown", "ServiceUnavailable", "OperationAbortedException", "429", "408"],
)
def test_what_gateways_and_stores_answer_passes(code: str) -> None:
    assert is_transient(400, code)


@pytest.mark.parametrize("code", ["ServiceUnavailable", "InternalFailure", "RequestTimeout", "503"])
def test_what_passes_need_not_say_that_nothing_was_done(code: str) -> None:
    """A put that is answered so may be stored: to send it again would double it."""
    assert code not in THROTTLING_CODES


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey", "404", "501", "NotImplemented"])
def test_what_a_person_must_mend_does_not_pass(code: str) -> None:
    assert not is_transient(400, code)


@pytest.mark.parametrize(
    "said", ["RequestThrottled:http://internal/", "com.amazonaws#RequestThrottled"]
)
def test_a_code_in_the_header_counts_for_boto3s_clients_too(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Botocore reads it from the body of CloudWatch's answers alone."""
    reply = Reply(400, b"{}", {"x-amzn-ErrorType": said})
    with FakeServer(always(reply)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", server.url)
        client = logs_client(AwsAccess("key", "secret", "us-east-1"), attempts=1)
        refused = pytest.raises(TransientError, match=r"\(RequestThrottled\)")
        with refused, aws_errors("do", "logs:DescribeLogGroups", {}):
            client.describe_log_groups()


CUT = Reply(200, b"{}", {"Content-Length": "9", "Connection": "close"})


def test_a_document_that_ends_early_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that breaks off once would keep its source waiting for an hour."""
    try_again_soon(monkeypatch)
    replies = iter([CUT, CUT, Reply(200, b"{}")])
    with FakeServer(lambda *_: next(replies)) as server:
        client = s3_client(LyveAccess("key", "secret", "us-east-1", server.url), attempts=1)
        assert read_object(client, "bucket", "key") == b"{}"


def test_a_document_that_ends_early_names_what_is_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try_again_soon(monkeypatch)
    with FakeServer(always(CUT)) as server:
        client = s3_client(LyveAccess("key", "secret", "us-east-1", server.url), attempts=1)
        passes = pytest.raises(TransientError, match=r"\(the answer ends early\).*LYVE_ENDPOINT")
        with passes, lyve_errors("do", {}):
            read_object(client, "bucket", "key")
