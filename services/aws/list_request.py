"""Lists a bucket page by page, and believes only pages that are whole by their own account."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus
from xml.etree.ElementTree import Element, ParseError, XMLParser

import msgspec
from botocore import handlers
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from services.aws.integrity import bare_etag
from services.aws.outcomes import UnansweredError, WrongAnswerError, is_left_to_retry
from services.threads.backoff import pause_seconds
from utils.errors import StoppedError
from utils.model import LogObject, since_1970_ms

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2RequestTypeDef

_TRIES = 6
_NOT_WHOLE = "the answer is not a whole listing"
_FIRST_ELEMENT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
_ROOT = b"ListBucketResult"


class Listing(msgspec.Struct, frozen=True):
    """What is asked for: the keys of a bucket with a prefix, behind the key `after`.

    With a delimiter, keys are rolled up at it.
    """

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""


class Page(msgspec.Struct):
    """A page of a listing; what the store left out is None, and `date` empty.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    """

    name: str | None = None
    prefix: str | None = None
    delimiter: str | None = None
    key_count: int | None = None
    is_truncated: bool | None = None
    token: str | None = None
    next_token: str | None = None
    objects: list[LogObject] = msgspec.field(default_factory=list)
    folders: list[str] = msgspec.field(default_factory=list)
    date: str = ""


def answer_with_pages(client: "S3Client") -> None:
    """Lets a new client answer a listing with a `Page`, which `listed_pages` takes.

    botocore first looks for an error in each page, which takes four times as long as reading it,
    and takes what is not a listing for an empty one. A PUT that fails with the status 200 shows by
    its missing ETag.

    Source: https://botocore.amazonaws.com/v1/documentation/api/latest/topics/events.html
    """
    events = client.meta.events
    events.unregister("before-parse.s3.*", vars(handlers)["_handle_200_error"])
    events.register("before-parse.s3.ListObjectsV2", _take_page)


def listed_pages(client: "S3Client", listing: Listing, stop: Event) -> Iterator[Page]:
    """Yields the pages of a listing, each once it is seen to be an answer to what was asked.

    botocore's client retries the failures that it knows to pass. Wrong answers, and failures that
    it does not know to pass, are tried again here.

    Raises:
        BotoCoreError: the connection failed, or there is no whole answer.
        ClientError: the service refuses it.
        StoppedError: the process is to end.
    """
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
            last_key = _ascended(page, last_key)
        yield page
        if not (page.is_truncated and page.next_token):
            return
        asked["ContinuationToken"] = page.next_token
        followed.add(page.next_token)


def _page(
    client: "S3Client",
    asked: "ListObjectsV2RequestTypeDef",
    listing: Listing,
    followed: set[str],
    stop: Event,
) -> Page:
    reason = ""
    for number in range(_TRIES):
        try:
            page: Page = client.list_objects_v2(**asked)["Page"]  # type: ignore[typeddict-item] # ours
            _check_page(page, listing, followed)
        except WrongAnswerError as exc:
            reason = str(exc)
        except ClientError as exc:
            if number == _TRIES - 1 or not is_left_to_retry(exc):
                raise
        else:
            return page
        if number < _TRIES - 1 and stop.wait(pause_seconds(number)):
            raise StoppedError
    raise UnansweredError(reason=f"{_NOT_WHOLE}: {reason}, {_TRIES} times in a row")


def _check_page(page: Page, listing: Listing, followed: set[str]) -> None:
    """Makes sure that a page is the one that was asked for, and whole by its own account.

    What S3-compatible stores leave out is unknown, not wrong.

    Raises:
        WrongAnswerError: it is something else.
    """
    keys, folders = len(page.objects), len(page.folders)
    # Some stores encode the prefix without saying so; others say so and do not.
    prefix = listing.prefix if page.prefix is None else page.prefix
    prefixes = _decoded(prefix) & _decoded(listing.prefix)
    names = [*(one.key for one in page.objects), *page.folders]
    faults = {
        "it does not say whether it is truncated": page.is_truncated is None,
        "it is of another bucket": page.name not in {None, "", listing.bucket},
        "it is of another prefix": not prefixes,
        "it has keys of another prefix": not all(one.startswith(listing.prefix) for one in names),
        "it has another delimiter": page.delimiter not in {None, "", listing.delimiter},
        "it has folders in the place of keys": bool(folders) and not listing.delimiter,
        "it has keys in the place of folders": bool(listing.delimiter)
        and any(listing.delimiter in one.key[len(listing.prefix) :] for one in page.objects),
        # Ceph's counts the keys alone, AWS's the folders too.
        "it has another number of keys than it says": page.key_count
        not in {None, keys, keys + folders},
        "it is truncated and does not say where it goes on": page.is_truncated
        and not page.next_token,
        "it goes on where it did before": page.is_truncated and page.next_token in followed,
        "it is not the first page": len(followed) == 1 and page.token,
    }
    for fault, is_there in faults.items():
        if is_there:
            raise WrongAnswerError(fault)


def _decoded(prefix: str) -> set[str]:
    return {prefix, unquote(prefix), unquote_plus(prefix)}


def _ascended(page: Page, last_key: str) -> str:
    """Returns the page's last key; without an order of the keys, none of them marks a place."""
    for one in page.objects:
        if one.key <= last_key:
            raise UnansweredError(reason=f"{_NOT_WHOLE}: its keys are not in order")
        last_key = one.key
    return last_key


def _take_page(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Reads a page in place of botocore's parser, which still reads refusals."""
    status = response_dict["status_code"]
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return
    if status != HTTPStatus.OK:
        raise WrongAnswerError(f"its status is {status}")
    date = response_dict["headers"].get("date", "")
    customized_response_dict["Page"] = _read_page(response_dict["body"], date)
    response_dict["body"] = b""


def _read_page(body: bytes, date: str) -> Page:
    """Returns what a page says.

    Raises:
        WrongAnswerError: it is not a listing, or not all of one.
    """
    first = _FIRST_ELEMENT.search(body)
    # No listing has a document type, whose entities can make gigabytes of a page; in a key its
    # bracket would be escaped.
    if first is None or first[1] != _ROOT or b"<!DOCTYPE" in body:
        raise WrongAnswerError("it is not a listing" if body else "it is empty")
    parser = XMLParser()  # noqa: S314 - see above
    try:
        parser.feed(body)
        root = parser.close()
    except ParseError as exc:
        raise WrongAnswerError("it is not XML") from exc
    names = _LocalNames()
    parts = [(names[part.tag], part) for part in root]
    said = {name: part.text or "" for name, part in parts}
    decode = _decode if said.get("EncodingType") == "url" else str
    try:
        return Page(
            name=said.get("Name"),
            prefix=decode(said["Prefix"]) if "Prefix" in said else None,
            delimiter=decode(said["Delimiter"]) if "Delimiter" in said else None,
            key_count=int(said["KeyCount"]) if "KeyCount" in said else None,
            is_truncated={"true": True, "false": False}.get(said.get("IsTruncated", "").lower()),
            token=said.get("ContinuationToken"),
            next_token=said.get("NextContinuationToken"),
            objects=[_object(part, names, decode) for name, part in parts if name == "Contents"],
            folders=[
                decode(one.text or "")
                for name, part in parts
                if name == "CommonPrefixes"
                for one in part
                if names[one.tag] == "Prefix"
            ],
            date=date,
        )
    except (KeyError, ValueError) as exc:
        raise WrongAnswerError("it has keys without a time or a size") from exc


class _LocalNames(dict[str, str]):
    """The names of elements without their namespace, each found out once a page."""

    def __missing__(self, tag: str) -> str:
        name = self[tag] = tag.rpartition("}")[2]
        return name


def _object(contents: Element, names: _LocalNames, decode: Callable[[str], str]) -> LogObject:
    said = {names[part.tag]: part.text or "" for part in contents}
    modified_ms = since_1970_ms(moment(said["LastModified"]))
    etag = bare_etag(said.get("ETag"))
    return LogObject(modified_ms, decode(said["Key"]), etag, int(said["Size"]))


def _decode(name: str) -> str:
    return unquote_plus(name) if "%" in name or "+" in name else name


def moment(written: str) -> datetime:
    """Reads a time as botocore does, RFC 3339 as in listings at a tenth of the cost."""
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        return parse_timestamp(written)
    return read if read.tzinfo else parse_timestamp(written)
