"""Sends one signed GetObject request over a pooled connection and hands out the body."""

import re
from http import HTTPStatus
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ResponseStreamingError
from botocore.response import StreamingBody

from services.aws.http_session import http_session
from utils.config.settings import LyveAccess
from utils.model import LogObject

_CODE = re.compile(rb"<Code>([^<]+)</Code>")
_MOST_ERROR_BYTES = 64 * 1024


class GetClient:
    """Asks for objects of one bucket, each request sent once: the caller retries.

    A signed request over botocore's own HTTP session and signer; the client's validation,
    serialiser, hooks and parser are left out.

    Args:
        access: keys, region and endpoint of Lyve Cloud.
        bucket: the bucket's name.
    """

    def __init__(self, access: LyveAccess, bucket: str) -> None:
        self._http = http_session(access.endpoint_url)
        self._bucket_url = f"{access.endpoint_url}/{bucket}/"
        self._credentials = Credentials(access.access_key, access.secret_key)
        self._region = access.region

    def get(self, log_object: LogObject, offset: int) -> StreamingBody:
        """Returns the object's bytes from an offset on, if it is still as it was listed.

        Raises:
            ClientError: the service refuses it.
            BotoCoreError: the connection failed.
        """
        url = self._bucket_url + quote(log_object.key, safe="/~")
        headers = {"If-Match": f'"{log_object.etag}"', "Range": f"bytes={offset}-"}
        request = AWSRequest("GET", url, headers, stream_output=True)
        S3SigV4Auth(self._credentials, "s3", self._region).add_auth(request)
        answer = self._http.send(request.prepare())
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise _refusal(answer)
        if not _begins_at(answer, offset):
            answer.raw.close()
            raise ResponseStreamingError(error="the answer is not the part that was asked for")
        return _body(answer)


def _begins_at(answer: AWSResponse, offset: int) -> bool:
    """Tells if the body is the asked part: a store or a proxy may ignore Range, or take another."""
    if answer.status_code == HTTPStatus.OK:
        return offset == 0
    written = answer.headers.get("Content-Range", "")
    return bool(re.match(rf"bytes {offset}-", written))


def _body(answer: AWSResponse) -> StreamingBody:
    size = answer.headers.get("Content-Length")
    return StreamingBody(answer.raw, size)  # type: ignore[arg-type] # or text, or None


def _refusal(answer: AWSResponse) -> ClientError:
    """Returns what botocore's client raises: with the status as the code where none is named."""
    named = _CODE.search(_body(answer).read(_MOST_ERROR_BYTES))
    code = named[1].decode(errors="replace") if named else str(answer.status_code)
    return ClientError(
        {
            "Error": {"Code": code, "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": answer.status_code},  # type: ignore[typeddict-item] # in part
        },
        "GetObject",
    )
