"""What documentation/lyve-cloud.md says of the two platforms, against client and program."""

import json
import re
from io import BytesIO
from xml.etree import ElementTree as ET

import boto3
from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from urllib3 import HTTPResponse

from tests.servers.installation import REPOSITORY
from tests.unit.test_config import ENVIRONMENT
from utils.access_log import FIELDS
from utils.config.sources import parse_sources

DOCUMENT = (REPOSITORY / "documentation" / "lyve-cloud.md").read_text()
QUERIES = (REPOSITORY / "documentation" / "queries.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_the_request_that_switches_logging_on_is_what_the_client_sends() -> None:
    (written,) = blocks("xml")
    (status,) = (block for block in blocks("json") if "LoggingEnabled" in block)
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}),
    )
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), HTTPResponse(BytesIO()))

    events = client.meta.events
    events.register("before-send.s3.PutBucketLogging", answer)  # type: ignore[arg-type]
    client.put_bucket_logging(Bucket="vm-backups", BucketLoggingStatus=json.loads(status))
    (request,) = sent
    assert request.url.endswith("/vm-backups?logging")
    assert isinstance(request.body, bytes)
    assert ET.canonicalize(request.body.decode(), strip_text=True) == ET.canonicalize(
        written, strip_text=True
    )


def test_the_configuration_for_both_platforms_is_one() -> None:
    (document,) = (block for block in blocks("json") if "sources" in block)
    newer = {"NEWER_LYVE_ACCESS": "key-of-the-newer", "NEWER_LYVE_SECRET": "secret-of-the-newer"}
    newer["NEWER_LYVE_ENDPOINT"] = "https://s3.example.account.lyve.seagate.com"
    assert all(name in DOCUMENT for name in newer)
    sources = parse_sources(document.encode(), {**ENVIRONMENT, **newer}, str)
    assert [(one.log_type, one.prefix) for one in sources] == [
        ("S3", ""),
        ("IAM", ""),
        ("Console", ""),
        ("Access", "access/"),
    ]
    assert sources[-1].lyve.endpoint_url == newer["NEWER_LYVE_ENDPOINT"]


def test_the_fields_are_named_in_their_order() -> None:
    assert ", ".join(FIELDS) in QUERIES
