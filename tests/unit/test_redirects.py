"""A redirect is named and not followed: boto3's S3 client asked 161 times, and then it broke."""

from collections.abc import Callable

import pytest

from services.aws.clients import logs_client, s3_client
from services.aws.errors import aws_errors, lyve_errors
from tests.standin.fake_server import FakeServer, Reply
from utils.config.settings import AwsAccess, LyveAccess
from utils.errors import ServiceError, TransientError

LOCATION = "https://user:secret@elsewhere.invalid/path?token=secret"
STATUSES = [301, 302, 307, 308]
S3_DOCUMENT = b"<Error><Code>PermanentRedirect</Code><Message>No.</Message></Error>"


class Redirecting:
    """Redirects each request, and counts them.

    Args:
        status: of the answers.
        body: of the answers.
    """

    def __init__(self, status: int, body: bytes = b"<html>Moved</html>") -> None:
        self._reply = Reply(status, body, {"Location": LOCATION})
        self.asked = 0

    def __call__(self, *_: str) -> Reply:
        self.asked += 1
        return self._reply


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    assert not isinstance(caught.value, TransientError)
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_of_cloudwatch_is_named(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Redirecting(status)
    with FakeServer(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", server.url)
        client = logs_client(AwsAccess("key", "secret", "us-east-1"))

        def make() -> None:
            with aws_errors("create a log stream", "logs:CreateLogStream", {}):
                client.create_log_stream(logGroupName="group", logStreamName="stream")

        said = refusal(make)
    assert f"(HTTP {status} to https://elsewhere.invalid/path)" in said
    assert "no redirect is followed" in said
    assert answer.asked == 1


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_of_the_store_is_named(status: int) -> None:
    answer = Redirecting(status)
    with FakeServer(answer) as server:
        client = s3_client(LyveAccess("key", "secret", "us-east-1", server.url))

        def look() -> None:
            with lyve_errors("list the audit bucket", {}):
                client.list_objects_v2(Bucket="audit")

        said = refusal(look)
    assert "to https://elsewhere.invalid/path)" in said
    assert answer.asked == 1


def test_the_stores_own_code_keeps_its_hint() -> None:
    answer = Redirecting(301, S3_DOCUMENT)
    with FakeServer(answer) as server:
        client = s3_client(LyveAccess("key", "secret", "us-east-1", server.url))

        def look() -> None:
            with lyve_errors("list the audit bucket", {}):
                client.list_objects_v2(Bucket="audit")

        said = refusal(look)
    assert "(PermanentRedirect to https://elsewhere.invalid/path)" in said
    assert "Check LYVE_REGION: the bucket is in another one" in said
    assert answer.asked == 1
