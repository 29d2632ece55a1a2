"""Builds the boto3 clients, in one place."""

import re
from threading import Lock
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import NoCredentialsError

from services.aws.errors import RedirectError, aws_errors, endpoint_errors, lyve_errors
from services.aws.http_session import http_session
from services.aws.outcomes import redirect_target
from services.aws.session import botocore_session
from services.threads.made_once import MadeOnce
from utils.config.settings import AwsAccess, LyveAccess

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.client import BaseClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client

_ATTEMPTS = 5
_REDIRECTS = {300, 301, 302, 303, 307, 308}
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
# A session makes no two clients at the same time:
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html
_making = Lock()


@MadeOnce
def s3_client(access: LyveAccess, attempts: int = _ATTEMPTS) -> "S3Client":
    """Returns the client for Lyve Cloud's S3.

    The checksums that boto3 adds by itself are off: S3-compatible stores may refuse them
    (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html).

    Args:
        access: keys, region and endpoint.
        attempts: how often a request is tried, at most.
    """
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
    )
    doing = "set up the connection to Lyve Cloud"
    with lyve_errors(doing, {}), endpoint_errors(doing, "LYVE_ENDPOINT"), _making:
        client = botocore_session().create_client(
            "s3",
            region_name=access.region,
            endpoint_url=access.endpoint_url,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            config=config,
        )
        share_connections(client)
        return cast("S3Client", client)


@MadeOnce
def aws_credentials(access: AwsAccess) -> Credentials | None:
    """Returns the given keys, or what boto3's own credential chain finds, if anything.

    Args:
        access: keys and region.
    """
    if access.access_key and access.secret_key:
        return Credentials(access.access_key, access.secret_key, access.session_token)
    with aws_errors("set up the connection to AWS", "logs:PutLogEvents", {}):
        return botocore_session(access.region).get_credentials()


@MadeOnce
def logs_client(access: AwsAccess, attempts: int = _ATTEMPTS) -> "CloudWatchLogsClient":
    """Returns the client for CloudWatch Logs, for all calls but PutLogEvents.

    Args:
        access: keys and region.
        attempts: how often a request is tried, at most.
    """
    doing = "set up the connection to AWS"
    variable = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS and AWS_REGION"
    with aws_errors(doing, "logs:PutLogEvents", {}), endpoint_errors(doing, variable):
        if aws_credentials(access) is None:
            raise NoCredentialsError
        with _making:
            client = botocore_session(None if access.access_key else access.region).create_client(
                "logs",
                region_name=access.region,
                aws_access_key_id=access.access_key,
                aws_secret_access_key=access.secret_key,
                aws_session_token=access.session_token,
                config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
            )
        share_connections(client)
        return cast("CloudWatchLogsClient", client)


def share_connections(client: "BaseClient") -> None:
    """Lets a client use the connections that all have to its service.

    By itself each has its own, and certificates of 0.7 MB. No redirect is followed: boto3's S3
    client asks again for each, up to 161 times.

    Args:
        client: one of boto3's.
    """
    http = http_session(client.meta.endpoint_url)

    def send(request: "AWSPreparedRequest", **_: object) -> "AWSResponse":
        answer = http.send(request)
        if answer.status_code in _REDIRECTS:
            code = _CODE.search(answer.content)
            target = redirect_target(answer.headers)
            raise RedirectError(answer.status_code, target, code[1].decode() if code else "")
        return answer

    client.meta.events.register("before-send", send)  # type: ignore[arg-type] # its result counts
