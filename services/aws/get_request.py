"""Sends signed GetObject requests over pooled connections and hands out the bodies."""

import re
from http import HTTPStatus
from urllib.parse import quote

import msgspec
from botocore.awsrequest import AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.response import StreamingBody

from services.aws.http_session import Sent, http_session
from services.aws.integrity import bare_etag, differ
from services.aws.outcomes import WrongAnswerError, named_code
from services.aws.signature import Signer
from utils.config.settings import LyveAccess
from utils.model import LogObject

# More digits are of no object, and Python does not read thousands of them.
_RANGE = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(\d{1,20}|\*)")
_MOST_ERROR_BYTES = 64 * 1024


class OtherContentError(WrongAnswerError):
    """By its ETag, the answer has other content than the listed object."""


class ObjectBody(msgspec.Struct, frozen=True):
    """The bytes of an object from an offset on, and their ETag, "" where the answer has none."""

    body: StreamingBody
    etag: str = ""


class GetClient:
    """Asks for objects of one bucket, each request sent once: the caller retries.

    It signs each request and sends it over the shared connections, without the validation, the
    serialiser, the hooks and the parser of boto3's client.

    Args:
        access: keys, region and endpoint of Lyve Cloud.
        bucket: the bucket's name.
    """

    def __init__(self, access: LyveAccess, bucket: str) -> None:
        self._http = http_session(access.endpoint_url)
        self._bucket_url = f"{access.endpoint_url}/{bucket}/"
        credentials = Credentials(access.access_key, access.secret_key)
        self._signer = Signer(credentials, "s3", access.region, access.endpoint_url)

    def ask(self, log_object: LogObject, offset: int) -> "Asked":
        """Asks for the object's bytes from an offset on, if it is still as it was listed.

        Args:
            log_object: as it was listed; without an ETag, any content will do.
            offset: of the first byte.

        Raises:
            BotoCoreError: the connection failed.
        """
        url = self._bucket_url + quote(log_object.key, safe="/~")
        headers = {"If-Match": f'"{log_object.etag}"', "Range": f"bytes={offset}-"}
        if not log_object.etag:
            headers.pop("If-Match", None)
        request = self._signer.request("GET", url, headers)
        sent = self._http.begin(request, self._http.connection())
        return Asked(sent, log_object, offset)


class Asked:
    """An object that is asked for, and may have come.

    Args:
        sent: the request.
        log_object: as it was listed.
        offset: of the first byte that is asked for.
    """

    def __init__(self, sent: Sent, log_object: LogObject, offset: int) -> None:
        self._sent = sent
        self._log_object = log_object
        self._offset = offset

    def body(self) -> ObjectBody:
        """Returns the bytes.

        Raises:
            BotoCoreError: the connection failed, or the answer is a redirect.
            ClientError: the service refuses it.
            WrongAnswerError: the answer is not the part that was asked for.
        """
        answer = self._sent.answer()
        if answer.status_code not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise _refusal(answer)
        try:
            _check_part(answer, self._log_object, self._offset)
        except WrongAnswerError:
            answer.raw.close()
            raise
        return ObjectBody(_body(answer), bare_etag(answer.headers.get("ETag")))

    def close(self) -> None:
        """Lets go of what is not read."""
        self._sent.close()


def _check_part(answer: AWSResponse, asked: LogObject, offset: int) -> None:
    """Makes sure that the body is the part asked for: stores and proxies may answer otherwise."""
    if answer.status_code == HTTPStatus.OK:
        if offset:
            raise WrongAnswerError("it begins with the first byte")
    elif not _is_rest(answer.headers.get("Content-Range", ""), asked, offset):
        raise WrongAnswerError("it is another part")
    length = answer.headers.get("Content-Length")
    if length is not None and length.strip() != str(asked.size_bytes - offset):
        raise WrongAnswerError("its length is another one than the listed size")
    if differ(bare_etag(answer.headers.get("ETag")), asked.etag):
        raise OtherContentError("its ETag is another one than the listed one")


def _is_rest(content_range: str, asked: LogObject, offset: int) -> bool:
    found = _RANGE.fullmatch(content_range.strip())
    if found is None:
        return False
    size = asked.size_bytes
    is_total = found[3] in {"*", str(size)}
    return is_total and (int(found[1]), int(found[2])) == (offset, size - 1)


def _body(answer: AWSResponse) -> StreamingBody:
    size = answer.headers.get("Content-Length")
    return StreamingBody(answer.raw, size)  # type: ignore[arg-type] # or text, or None


def _refusal(answer: AWSResponse) -> ClientError:
    """Returns what botocore's client raises: with the status as the code where none is named."""
    try:
        code = named_code(_body(answer).read(_MOST_ERROR_BYTES))
    except (HTTPClientError, IncompleteReadError, OSError):
        code = ""
    answer.raw.close()
    return ClientError(
        {
            "Error": {"Code": code or str(answer.status_code), "Message": ""},
            "ResponseMetadata": {"HTTPStatusCode": answer.status_code},  # type: ignore[typeddict-item] # in part
        },
        "GetObject",
    )
