"""Builds the boto3 clients, in one place."""

from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError
from botocore.session import Session

from services.aws.errors import ROLE_HINTS, aws_errors, endpoint_errors, lyve_errors
from services.aws.http_session import http_session
from services.aws.list_request import answer_with_pages
from services.aws.session import botocore_session
from services.threads.singleflight import Singleflight
from utils.config.settings import AwsAccess, LyveAccess

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.client import BaseClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client

_ATTEMPTS = 5
_SET_UP = "set up the connection to AWS"
# A session makes no two clients at the same time:
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html
_making = Lock()


class _Options(TypedDict, total=False):
    region_name: str
    endpoint_url: str
    aws_access_key_id: str | None
    aws_secret_access_key: str | None
    aws_session_token: str | None
    config: Config


@Singleflight
def s3_client(access: LyveAccess, attempts: int = _ATTEMPTS) -> "S3Client":
    """Returns the client for Lyve Cloud's S3.

    The checksums that boto3 adds by itself are off: S3-compatible stores may refuse them
    (https://docs.aws.amazon.com/sdkref/latest/guide/feature-dataintegrity.html).
    """
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": attempts},
        s3={"addressing_style": "path"},
    )
    doing = "set up the connection to Lyve Cloud"
    with lyve_errors(doing, {}), endpoint_errors(doing, "LYVE_ENDPOINT"):
        client = _client(
            botocore_session(),
            "s3",
            region_name=access.region,
            endpoint_url=access.endpoint_url,
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            config=config,
        )
    s3 = cast("S3Client", client)
    # Here, before several threads share it: botocore's registry is not made for that.
    answer_with_pages(s3)
    return s3


@Singleflight
def aws_credentials(access: AwsAccess) -> Credentials | None:
    """Returns the given keys, or what boto3's own credential chain finds, if anything.

    Where a role is to be assumed with them, its credentials are returned instead. They are asked
    for when they are first used, and again in time before they expire.
    """
    at_hand: Credentials | None
    if access.access_key and access.secret_key:
        at_hand = Credentials(access.access_key, access.secret_key, access.session_token)
    else:
        with aws_errors(_SET_UP, "logs:PutLogEvents", {}):
            at_hand = botocore_session(access.region).get_credentials()
    if at_hand is None or access.role_arn is None:
        return at_hand
    config = Config(retries={"mode": "standard", "total_max_attempts": _ATTEMPTS})
    external_id = {"ExternalId": access.external_id} if access.external_id else {}
    fetcher = AssumeRoleCredentialFetcher(
        partial(_client, botocore_session(), region_name=access.region, config=config),
        at_hand,
        access.role_arn,
        {"RoleSessionName": "logscollector", **external_id},
    )

    def fetch() -> Mapping[str, object]:
        doing = f"assume the role {access.role_arn}"
        errors = aws_errors(doing, "sts:AssumeRole", ROLE_HINTS)
        with errors, endpoint_errors(doing, "AWS_ENDPOINT_URL_STS and AWS_REGION"):
            return fetcher.fetch_credentials()

    return DeferredRefreshableCredentials(fetch, "assume-role")


def aws_client(service: str, access: AwsAccess, config: Config) -> "BaseClient":
    """Makes a client for one of AWS's services. Sessions take memory: clients with keys share one.

    Raises:
        NoCredentialsError: there are no credentials.
    """
    credentials = aws_credentials(access)
    if credentials is None:
        raise NoCredentialsError
    options = _Options(region_name=access.region, config=config)
    if access.role_arn or not access.access_key:
        return _client(botocore_session(access.region, credentials), service, **options)
    options["aws_access_key_id"] = access.access_key
    options["aws_secret_access_key"] = access.secret_key
    options["aws_session_token"] = access.session_token
    return _client(botocore_session(), service, **options)


@Singleflight
def logs_client(access: AwsAccess, attempts: int = _ATTEMPTS) -> "CloudWatchLogsClient":
    """Returns the client for CloudWatch Logs, for all calls but PutLogEvents."""
    variable = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS and AWS_REGION"
    config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
    with aws_errors(_SET_UP, "logs:PutLogEvents", {}), endpoint_errors(_SET_UP, variable):
        return cast("CloudWatchLogsClient", aws_client("logs", access, config))


def _client(session: Session, service: str, **options: Unpack[_Options]) -> "BaseClient":
    """Makes a client that uses the connections that all have to its service.

    By default each has its own, with 0.7 MB of certificates.
    """
    with _making:
        client = session.create_client(service, **options)
    http = http_session(client.meta.endpoint_url)

    def send(request: "AWSPreparedRequest", **_: object) -> "AWSResponse":
        return http.send(request)

    client.meta.events.register("before-send", send)  # type: ignore[arg-type] # its result counts
    return client
