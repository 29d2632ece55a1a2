"""Lists a bucket page by page, and believes only a page that is whole by its own words."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

import msgspec
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from services.aws.errors import error_code
from services.aws.outcomes import PASSING_CODES, PASSING_STATUSES
from utils.errors import ServiceError, StoppedError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef, ListObjectsV2RequestTypeDef

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2
_FIRST_ELEMENT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_ROOT = b"ListBucketResult"


class WrongAnswerError(Exception):
    """An answer that is none to what was asked."""


class Listing(msgspec.Struct, frozen=True):
    """What is asked for: the keys of a bucket with a prefix, behind the key `after`.

    With a delimiter, keys are rolled up at it. `doing` names it for an error, as `list the audit
    bucket x`.
    """

    doing: str
    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""


def listed_pages(
    client: "S3Client", listing: Listing, stop: Event
) -> Iterator["ListObjectsV2OutputTypeDef"]:
    """Yields the pages of a listing, each once it is seen to be an answer to what was asked.

    botocore's client retries what it knows; a wrong answer, and what passes that it does not know,
    are tried again here.

    Args:
        client: of Lyve Cloud's S3.
        listing: what is asked for.
        stop: set when the process is to end.

    Raises:
        BotoCoreError: the connection failed.
        ClientError: the service refuses it.
        ServiceError: there is no whole answer.
        StoppedError: the process is to end.
    """
    # botocore does not look what the answer's root is, and takes an empty one for an empty page.
    client.meta.events.register(
        "before-parse.s3.ListObjectsV2", _check_root, unique_id="the root of a listing"
    )
    asked: ListObjectsV2RequestTypeDef = {"Bucket": listing.bucket}
    if listing.prefix:
        asked["Prefix"] = listing.prefix
    if listing.delimiter:
        asked["Delimiter"] = listing.delimiter
    if listing.after:
        asked["StartAfter"] = listing.after
    followed = {""}
    last_key = ""
    while True:
        page = _page(client, asked, listing, followed, stop)
        if listing.after:
            last_key = _ascended(page, last_key, listing)
        yield page
        if not page["IsTruncated"]:
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]
        followed.add(page["NextContinuationToken"])


def _page(
    client: "S3Client",
    asked: "ListObjectsV2RequestTypeDef",
    listing: Listing,
    followed: set[str],
    stop: Event,
) -> "ListObjectsV2OutputTypeDef":
    reason = ""
    for number in range(_TRIES):
        try:
            page = client.list_objects_v2(**asked)
            check_page(page, listing)
            _check_token(page, followed)
        except (WrongAnswerError, ResponseParserError) as exc:
            reason = str(exc) if isinstance(exc, WrongAnswerError) else "it is no XML"
        except ClientError as exc:
            if number == _TRIES - 1 or not is_left_to_retry(exc):
                raise
        else:
            return page
        if number < _TRIES - 1 and stop.wait(_FIRST_PAUSE_SECONDS * 2**number):
            raise StoppedError("Stopped before a listing was whole")
    raise _wrong(listing, f"{reason}, {_TRIES} times in a row")


def is_left_to_retry(error: ClientError) -> bool:
    """Tells if the refusal passes, and botocore does not know that.

    Args:
        error: as botocore's client raises it.
    """
    metadata = error.response.get("ResponseMetadata", {})
    passes = (
        metadata.get("HTTPStatusCode") in PASSING_STATUSES or error_code(error) in PASSING_CODES
    )
    return passes and not metadata.get("RetryAttempts")


def check_page(page: "ListObjectsV2OutputTypeDef", listing: Listing) -> None:
    """Makes sure that a page is of the bucket and the prefix, and whole by its own words.

    What S3-compatible stores leave out is unknown, not wrong.

    Args:
        page: as botocore's client returns it.
        listing: what was asked for.

    Raises:
        WrongAnswerError: it is something else.
    """
    entries = page.get("Contents", [])
    keys = [entry.get("Key") for entry in entries]
    folders = [folder.get("Prefix") for folder in page.get("CommonPrefixes", [])]
    # Some stores encode it without saying so, others say so and do not, and botocore decodes it.
    prefix = page.get("Prefix", listing.prefix)
    prefixes = _decoded(prefix) & _decoded(listing.prefix)
    # Ceph's counts the keys alone, AWS's the folders too.
    counts = {None, len(keys), len(keys) + len(folders)}
    faults = {
        "it does not say whether it is truncated": not isinstance(page.get("IsTruncated"), bool),
        "it is of another bucket": page.get("Name") not in {None, "", listing.bucket},
        "it is of another prefix": not prefixes,
        "it has keys of another prefix": not all(
            one is not None and one.startswith(listing.prefix) for one in (*keys, *folders)
        ),
        "it has another delimiter": page.get("Delimiter") not in {None, "", listing.delimiter},
        "it has folders in the place of keys": bool(folders) and not listing.delimiter,
        "it has another number of keys than it says": page.get("KeyCount") not in counts,
        "it has keys without a time or a size": not all(
            "LastModified" in entry and "Size" in entry for entry in entries
        ),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise WrongAnswerError(fault)


def _decoded(prefix: str) -> set[str]:
    return {prefix, unquote(prefix), unquote_plus(prefix)}


def _check_token(page: "ListObjectsV2OutputTypeDef", followed: set[str]) -> None:
    if page["IsTruncated"] and not page.get("NextContinuationToken"):
        raise WrongAnswerError("it is truncated and does not say where it goes on")
    if page["IsTruncated"] and page["NextContinuationToken"] in followed:
        raise WrongAnswerError("it goes on where it did before")
    if len(followed) == 1 and page.get("ContinuationToken"):
        raise WrongAnswerError("it is not the first page")


def _ascended(page: "ListObjectsV2OutputTypeDef", last_key: str, listing: Listing) -> str:
    """Returns the page's last key: behind a key nothing can be told from a store without order."""
    for entry in page.get("Contents", []):
        if entry["Key"] <= last_key:
            raise _wrong(listing, "its keys are not in order")
        last_key = entry["Key"]
    return last_key


def _check_root(response_dict: dict[str, object], **_: object) -> None:
    body, status = response_dict["body"], response_dict["status_code"]
    if (
        not isinstance(status, int)
        or status >= HTTPStatus.MULTIPLE_CHOICES
        or not isinstance(body, bytes)
    ):
        return
    if status != HTTPStatus.OK:
        raise WrongAnswerError(f"its status is {status}")
    first = _FIRST_ELEMENT.search(body)
    if first is None or first[1] != _ROOT:
        raise WrongAnswerError("it is no listing" if body else "it is empty")


def _wrong(listing: Listing, reason: str) -> ServiceError:
    return ServiceError(
        f"Can't {listing.doing}",
        f"the answer is not a whole listing: {reason}",
        "Check LYVE_ENDPOINT, and what stands between it and this machine",
    )
