"""Reads and writes the objects of the output bucket; a write is believed only on evidence.

Whoever calls translates botocore's errors, for it knows what is read or written.
"""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from services.aws.integrity import bare_etag
from services.aws.list_request import Listing, listed_pages
from services.aws.outcomes import UnansweredError, is_left_to_retry, is_missing
from services.threads.backoff import pause_seconds

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_TRIES = 5


def put_object(
    client: "S3Client", bucket: str, key: str, content: bytes, content_type: str
) -> str | None:
    """Puts an object until it is seen to be stored; returns its ETag, None if there is none.

    botocore's client retries the failures that it knows to pass; others that pass, and answers that
    prove nothing, are tried again here.

    Raises:
        BotoCoreError: the connection failed, or no answer proves that it is stored.
        ClientError: the service refuses it.
    """
    digest = md5(content, usedforsecurity=False)
    for number in range(_TRIES):
        if number:
            # Not for the stop: what is stored last is stored when it is set.
            Event().wait(pause_seconds(number))
        try:
            etag = client.put_object(
                Bucket=bucket,
                Key=key,
                Body=content,
                ContentType=content_type,
                # Some buckets demand it.
                ContentMD5=b64encode(digest.digest()).decode(),
            ).get("ETag")
            # Any proxy can answer 200. Only a store that has the content can name its MD5.
            is_stored = bare_etag(etag).lower() == digest.hexdigest()
            if is_stored or read_object(client, bucket, key) == content:
                return etag
        except ClientError as exc:
            if number == _TRIES - 1 or not is_left_to_retry(exc):
                raise
    raise UnansweredError(reason=f"no answer shows that it is stored, {_TRIES} times in a row")


def read_object(client: "S3Client", bucket: str, key: str) -> bytes | None:
    """Returns an object's content, None if there is no object.

    botocore's client asks again for what passes until the content comes; if that breaks, this does.

    Raises:
        BotoCoreError: the connection failed, or the content breaks off each time.
        ClientError: the service refuses it.
    """
    failures = 0
    while True:
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise
        try:
            return body.read()
        except (HTTPClientError, IncompleteReadError):
            failures += 1
            if failures == _TRIES:
                raise
        Event().wait(pause_seconds(failures - 1))


def listed_keys(client: "S3Client", bucket: str, prefix: str) -> Iterator[str]:
    """Yields the keys of the objects whose keys begin so.

    Raises:
        BotoCoreError: the connection failed, or there is no whole listing.
        ClientError: the service refuses it.
    """
    for page in listed_pages(client, Listing(bucket, prefix), Event()):
        yield from (one.key for one in page.objects)
