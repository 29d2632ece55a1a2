"""Lyve Cloud's side in memory: buckets, and the S3 client of a process."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from email.utils import format_datetime
from hashlib import md5
from typing import NamedTuple, TypedDict, Unpack

from services.aws.list_request import Page
from tests.world.faults import Life, Line, client_error
from tests.world.in_memory_time import VirtualTime, moment
from utils.model import LogObject

BUCKET = "audit-logs"
OUTPUT_BUCKET = "audit-logs-integration"
_KEYS_A_PAGE = 3
_PIECE_BYTES = 200


class StoredObject(NamedTuple):
    """An object of a bucket."""

    content: bytes
    modified_ms: int

    @property
    def etag(self) -> str:
        return f'"{md5(self.content).hexdigest()}"'  # noqa: S324 - as S3 makes it


Bucket = dict[str, StoredObject]


class Listing(TypedDict, total=False):
    """What a listing is asked with, as boto3 names it."""

    Bucket: str
    Prefix: str
    Delimiter: str
    StartAfter: str
    ContinuationToken: str


class Asked(TypedDict, total=False):
    """What an object is asked for or written with, as boto3 names it."""

    Bucket: str
    Key: str
    IfMatch: str
    Range: str
    Body: bytes
    ContentType: str
    ContentMD5: str


class MemoryBody:
    """The body of an answer, in small pieces.

    Args:
        content: all of it.
        life: of the process that reads.
    """

    def __init__(self, content: bytes, life: Life) -> None:
        self._content = content
        self._life = life

    def read(self) -> bytes:
        return self._content

    def close(self) -> None:
        self._content = b""

    def iter_chunks(self, _size: int) -> Iterator[bytes]:
        for start in range(0, len(self._content), _PIECE_BYTES):
            self._life.reach("read")
            yield self._content[start : start + _PIECE_BYTES]


class MemoryPart(NamedTuple):
    """What the program's own client hands out."""

    body: object
    etag: str


class MemoryAsked:
    """An object that is asked for.

    Args:
        answer: or what is raised in its place.
    """

    def __init__(self, answer: MemoryPart | Exception) -> None:
        self._answer = answer

    def body(self) -> MemoryPart:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def close(self) -> None:
        """Needs nothing."""


class MemoryS3:
    """The S3 client of one process.

    Args:
        buckets: of the service.
        time: of the service.
        line: of the process.
    """

    def __init__(self, buckets: dict[str, Bucket], time: VirtualTime, line: Line) -> None:
        self._buckets = buckets
        self._time = time
        self._line = line

    def list_objects_v2(self, **listing: Unpack[Listing]) -> dict[str, object]:
        found = sorted(dict(self._buckets[listing["Bucket"]]).items())
        after, prefix = listing.get("StartAfter", ""), listing.get("Prefix", "")
        inside = [one for one in found if one[0].startswith(prefix) and one[0] > after]
        token = listing.get("ContinuationToken", "")
        rolled_up = _rolled_up(inside, prefix, listing.get("Delimiter", ""))
        entries = [one for one in rolled_up if _name(one) > token]
        now_ms = self._line.call("list", lambda: self._time.now_ms)
        date = format_datetime(moment(now_ms), usegmt=True)
        page = entries[:_KEYS_A_PAGE]
        is_truncated = len(page) < len(entries)
        objects = [_log_object(*one) for one in page if not isinstance(one, str)]
        read = Page(
            name=listing["Bucket"],
            prefix=prefix,
            key_count=len(page),
            is_truncated=is_truncated,
            next_token=_name(page[-1]) if is_truncated else None,
            objects=objects,
            folders=[one for one in page if isinstance(one, str)],
            date=date,
        )
        return {"Page": read}

    def get_object(self, **asked: Unpack[Asked]) -> dict[str, object]:
        def work() -> dict[str, object]:
            found = self._object(asked, "NoSuchKey")
            if asked.get("IfMatch", found.etag) != found.etag:
                raise client_error("PreconditionFailed")
            offset = int(asked.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            body = MemoryBody(found.content[offset:], self._line.life)
            return {"Body": body, "ETag": found.etag}

        kinds = {"integration-state": "load", "integration-logs": "recall"}
        return self._line.call(kinds.get(asked["Key"].partition("/")[0], "get"), work)

    def ask(self, log_object: LogObject, offset: int) -> "MemoryAsked":
        """Answers as the program's own client does, not boto3's."""
        asked = Asked(Bucket=BUCKET, Key=log_object.key, Range=f"bytes={offset}-")
        if log_object.etag:
            asked["IfMatch"] = f'"{log_object.etag}"'
        try:
            answer = self.get_object(**asked)
        except Exception as exc:  # noqa: BLE001 - raised when the answer is read
            return MemoryAsked(exc)
        return MemoryAsked(MemoryPart(answer["Body"], str(answer["ETag"]).strip('"')))

    def head_object(self, **asked: Unpack[Asked]) -> dict[str, object]:
        def work() -> dict[str, object]:
            found = self._object(asked, "404")
            return {
                "ETag": found.etag,
                "ContentLength": len(found.content),
                "LastModified": moment(found.modified_ms),
            }

        return self._line.call("look" if asked["Bucket"] == OUTPUT_BUCKET else "head", work)

    def put_object(self, **asked: Unpack[Asked]) -> dict[str, object]:
        assert asked["ContentType"]
        assert asked["Bucket"] == OUTPUT_BUCKET, "the audit bucket is only read"

        digest = md5(asked["Body"]).digest()  # noqa: S324 - as S3 checks it
        assert asked.get("ContentMD5") == b64encode(digest).decode()

        def work() -> dict[str, object]:
            stored = StoredObject(asked["Body"], self._time.now_ms)
            self._buckets[OUTPUT_BUCKET][asked["Key"]] = stored
            return {"ETag": stored.etag}

        kind = asked["Key"].partition("/")[0].replace("integration-state", "save")
        return self._line.call(kind, work)

    def _object(self, asked: Asked, missing: str) -> StoredObject:
        bucket = self._buckets[asked["Bucket"]]
        if asked["Key"] not in bucket:
            raise client_error(missing)
        return bucket[asked["Key"]]


def _rolled_up(
    found: Sequence[tuple[str, StoredObject]], prefix: str, delimiter: str
) -> list[str | tuple[str, StoredObject]]:
    """Returns a folder below the prefix once in the place of all the keys in it."""
    entries: list[str | tuple[str, StoredObject]] = []
    for key, one in found:
        head, slash, _ = key[len(prefix) :].partition(delimiter or "\0")
        folder = prefix + head + slash
        if not slash:
            entries.append((key, one))
        elif folder not in entries:
            entries.append(folder)
    return entries


def _name(entry: str | tuple[str, StoredObject]) -> str:
    return entry if isinstance(entry, str) else entry[0]


def _log_object(key: str, one: StoredObject) -> LogObject:
    return LogObject(one.modified_ms, key, one.etag.strip('"'), len(one.content))
