"""Puts objects into the output bucket, and believes that they are stored only on evidence."""

from hashlib import md5
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.aws.diagnosis import S3_ELSEWHERE
from services.aws.errors import MISSING_OBJECT
from services.aws.integrity import bare_etag, content_md5
from services.aws.list_request import is_left_to_retry
from services.aws.outcomes import error_code
from services.threads.backoff import pause_seconds
from utils.errors import ServiceError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_TRIES = 5


def put_object(
    client: "S3Client", bucket: str, key: str, content: bytes, content_type: str
) -> str | None:
    """Puts an object until it is seen to be stored; returns its ETag, None if there is none.

    botocore's client retries the failures that it knows to pass; others that pass, and answers that
    prove nothing, are tried again here.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        key: of the object.
        content: all of it.
        content_type: its media type.

    Raises:
        BotoCoreError: the connection failed.
        ClientError: the service refuses it.
        ServiceError: no answer proves that it is stored.
    """
    for number in range(_TRIES):
        if number:
            Event().wait(pause_seconds(number))
        try:
            etag = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=content_type,
                ContentMD5=content_md5(content),
            ).get("ETag")
        except ClientError as exc:
            if number == _TRIES - 1 or not is_left_to_retry(exc):
                raise
            continue
        # Any proxy can answer 200. Only a store that has the content can name its MD5.
        if bare_etag(etag).lower() == md5(content, usedforsecurity=False).hexdigest():
            return etag
        if _holds(client, bucket, key, content):
            return etag
    raise ServiceError(
        f"Can't write {key} into {bucket}",
        f"no answer shows that it is stored, {_TRIES} times in a row",
        S3_ELSEWHERE,
    )


def _holds(client: "S3Client", bucket: str, key: str, content: bytes) -> bool:
    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read() == content
    except ClientError as exc:
        if error_code(exc) in MISSING_OBJECT or is_left_to_retry(exc):
            return False
        raise
