"""A listing counts only if it answers what was asked, and is whole by its own words."""

from collections.abc import Callable
from itertools import count

import pytest

from services.aws.clients import s3_client
from services.pull_logs_service import AuditBucket
from tests.servers.installation import BUCKET
from tests.standin.fake_server import FakeServer, Reply, always, s3_refusal
from tests.unit.test_get_client import NoPause, access_to
from tests.world.in_memory import source_of
from utils.errors import ServiceError
from utils.model import LogObject

FOLDER = "May 2024/"
KEYS = [f"{FOLDER}S3-a", f"{FOLDER}S3-b"]
DATE = {"Date": "Thu, 29 Feb 2024 12:00:00 -0000"}
NOON_MS = 1_709_208_000_000


def entry(key: str, etag: str = "<ETag>&quot;e&quot;</ETag>") -> str:
    moment = "<LastModified>2024-02-29T12:00:00.000Z</LastModified>"
    return f"<Contents><Key>{key}</Key>{moment}{etag}<Size>3</Size></Contents>"


def page(*parts: str, truncated: str = "false", root: str = "ListBucketResult") -> Reply:
    text = f"<IsTruncated>{truncated}</IsTruncated>{''.join(parts)}"
    body = f"<?xml version='1.0'?><{root} xmlns='http://s3.amazonaws.com/x'>{text}</{root}>"
    return Reply(200, body.encode(), DATE)


NAME = f"<Name>{BUCKET}</Name>"
PREFIX = f"<Prefix>{FOLDER}</Prefix>"
RIGHT = page(NAME, PREFIX, *map(entry, KEYS), "<KeyCount>2</KeyCount>")
MORE = "<NextContinuationToken>more</NextContinuationToken>"
WRONG = {
    "empty": Reply(200),
    "no content": Reply(204),
    "HTML": Reply(200, b"<!DOCTYPE html><html><body>Please <br> wait</body></html>"),
    "a document type": Reply(
        200, b"<!DOCTYPE ListBucketResult [<!ENTITY e 'x'>]>" + RIGHT.body[21:]
    ),
    "a document type behind a comment": Reply(
        200,
        b"<!-- <ListBucketResult --><!DOCTYPE ListBucketResult [<!ENTITY e 'x'>]>"
        + RIGHT.body[21:],
    ),
    "a number that is none": page(NAME, PREFIX, "<KeyCount>many</KeyCount>"),
    "a time that is none": page(entry(KEYS[0]).replace("T12", "T99")),
    "neither true nor false": page(NAME, PREFIX, truncated="perhaps"),
    "XHTML": Reply(200, b"<html><body>Please wait</body></html>"),
    "cut": Reply(200, RIGHT.body[:-40]),
    "another answer": page(NAME, PREFIX, root="ListVersionsResult"),
    "an error with 200": Reply(200, b"<Error><Code>InternalError</Code></Error>"),
    "no word of its end": Reply(200, b"<ListBucketResult></ListBucketResult>"),
    "another bucket": page("<Name>other</Name>", PREFIX),
    "another prefix": page(NAME, "<Prefix>June-2024/</Prefix>"),
    "no prefix": page(NAME, "<Prefix></Prefix>"),
    "another prefix's keys": page(NAME, entry("June-2024/S3-a")),
    "folders": page(NAME, f"<CommonPrefixes><Prefix>{FOLDER}</Prefix></CommonPrefixes>"),
    "fewer keys than it says": page(NAME, PREFIX, entry(KEYS[0]), "<KeyCount>2</KeyCount>"),
    "truncated without a token": page(NAME, PREFIX, entry(KEYS[0]), truncated="true"),
    "a key without a size": page(f"<Contents><Key>{KEYS[0]}</Key></Contents>"),
    "its second page": page(PREFIX, "<ContinuationToken>1</ContinuationToken>"),
    "too many requests": Reply(429),
    "a gateway's time-out": Reply(408, b"<html></html>"),
}


def listed(answer: Callable[[str, str], Reply], after: str = "", folder: str = FOLDER) -> list[str]:
    with FakeServer(answer) as server:
        client = s3_client(access_to(server), 1)
        bucket = AuditBucket(client, source_of(lyve=access_to(server)), NoPause())
        return [one.key for one in bucket.objects(folder, after)]


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_asked_for_again(wrong: Reply) -> None:
    """Else the objects that it leaves out are passed over for good."""
    numbers = count()
    assert listed(lambda *_: wrong if next(numbers) < 3 else RIGHT) == KEYS


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_for_good_is_an_error_after_six_tries(wrong: Reply) -> None:
    asked: list[str] = []

    def answer(_method: str, path: str) -> Reply:
        asked.append(path)
        return wrong

    with pytest.raises(ServiceError, match=f"Can't list the audit bucket {BUCKET}"):
        listed(answer)
    assert len(asked) == 6


@pytest.mark.parametrize(
    "right",
    [
        page(*map(entry, KEYS)),
        page(NAME, "<Prefix>May+2024%2F</Prefix>", *map(entry, KEYS)),
        page("<Name/>", PREFIX, *map(entry, KEYS), "<Delimiter/><KeyCount>2</KeyCount>"),
        page(*(entry(key, "") for key in KEYS)),
        page(*(entry(key, "<ETag>W/&quot;e&quot;</ETag>") for key in KEYS)),
    ],
    ids=["hardly anything", "encoded", "empty elements", "no ETag", "weak ETags"],
)
def test_what_a_store_leaves_out_is_not_wrong(right: Reply) -> None:
    assert listed(always(right)) == KEYS


def test_an_answer_of_before_that_lists_all_folders_is_none_to_what_is_asked() -> None:
    """It would hide what was written since."""
    all_folders = page(NAME, "<Prefix></Prefix>", *map(entry, KEYS), "<KeyCount>2</KeyCount>")
    with FakeServer(always(all_folders)) as server:
        client = s3_client(access_to(server), 1)
        bucket = AuditBucket(client, source_of(lyve=access_to(server)), NoPause())
        with pytest.raises(ServiceError, match="it has keys in the place of folders"):
            bucket.top_level()


def test_pages_that_go_round_are_an_error() -> None:
    with pytest.raises(ServiceError, match="it goes on where it did before"):
        listed(always(page(NAME, PREFIX, MORE, truncated="true")))


def test_a_page_that_fails_in_the_middle_leaves_nothing_out() -> None:
    pages = [page(entry(KEYS[0]), MORE, truncated="true"), Reply(200), page(entry(KEYS[1]))]
    turns = iter(pages)
    assert listed(lambda *_: next(turns)) == KEYS


def test_a_store_that_does_not_know_where_to_begin_gives_only_what_is_behind() -> None:
    assert listed(always(RIGHT), after=KEYS[0]) == KEYS[1:]


def test_behind_a_key_the_order_is_needed() -> None:
    """What comes out of order behind it may as well stand before it."""
    with pytest.raises(ServiceError, match="its keys are not in order"):
        listed(always(page(*map(entry, reversed(KEYS)))), after=f"{FOLDER}A")


def test_a_refusal_is_not_tried_again() -> None:
    numbers = count()

    def answer(*_: str) -> Reply:
        next(numbers)
        return s3_refusal("AccessDenied")

    with pytest.raises(ServiceError, match="AccessDenied"):
        listed(answer)
    assert next(numbers) == 1


def test_a_date_of_no_zone_is_the_stores_time() -> None:
    with FakeServer(always(page(NAME))) as server:
        client = s3_client(access_to(server), 1)
        bucket = AuditBucket(client, source_of(lyve=access_to(server)), NoPause())
        assert bucket.top_level().store_ms == NOON_MS


STORED = Reply(200, b"", {"Last-Modified": "Thu, 29 Feb 2024 12:00:00 GMT", "ETag": '"e"'})


def test_a_head_without_a_date_is_no_answer() -> None:
    """Something else answered, and would be taken for an object that was cut to nothing."""
    replies = iter([Reply(200), STORED, Reply(404)])
    with FakeServer(lambda *_: next(replies)) as server:
        client = s3_client(access_to(server), 1)
        bucket = AuditBucket(client, source_of(lyve=access_to(server)), NoPause())
        assert bucket.head(KEYS[0]) == LogObject(NOON_MS, KEYS[0], "e", 0)
        assert bucket.head(KEYS[0]) is None


@pytest.mark.parametrize("is_listed", [True, False])
def test_an_object_is_what_the_listing_shows_where_head_says_otherwise(*, is_listed: bool) -> None:
    """Coverage is by the ETag of the listing: with another one it would be shipped again."""
    known = LogObject(NOON_MS, KEYS[0], "listed", 3)
    entries = [entry(KEYS[0], "<ETag>listed</ETag>")] if is_listed else []
    with FakeServer(lambda method, _: STORED if method == "HEAD" else page(*entries)) as server:
        client = s3_client(access_to(server), 1)
        bucket = AuditBucket(client, source_of(lyve=access_to(server)), NoPause())
        assert (bucket.current(known) == known) == is_listed


def test_a_prefix_that_is_said_to_be_encoded_and_is_not() -> None:
    """SeaweedFS answers so: botocore makes a space of its plus."""
    folder = "1+1=2/"
    says = "<EncodingType>url</EncodingType>"
    answer = page(says, f"<Prefix>{folder}</Prefix>", entry("1%2B1%3D2/S3-a"))
    assert listed(always(answer), folder=folder) == ["1+1=2/S3-a"]
