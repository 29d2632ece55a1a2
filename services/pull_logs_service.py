"""Lists audit-log objects and streams their lines, resuming a broken body."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import HTTPClientError, IncompleteReadError

from services.aws_clients import lyve_errors
from utils.decompression import CorruptError, DamagedError, LineSplitter, decompressed
from utils.errors import ServiceError, StoppedError
from utils.json_extractor import NotJsonError, event_time_ms
from utils.model import LogObject

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef

_PIECE_BYTES = 128 * 1024
_RESUMES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class TopLevel(msgspec.Struct):
    """The top of a bucket: its folders, the objects beside them, and the store's own time."""

    folders: list[str] = msgspec.field(default_factory=list)
    objects: list[LogObject] = msgspec.field(default_factory=list)
    store_ms: int | None = None


class AuditBucket:
    """The bucket that Lyve Cloud writes audit logs into; it is only read.

    botocore tries a request up to five times; a body that breaks is resumed here, five times
    without progress.

    Args:
        client: of Lyve Cloud's S3.
        name: the bucket's name.
        stop: set when the process is to end.
    """

    def __init__(self, client: "S3Client", name: str, stop: Event) -> None:
        self._client = client
        self.name = name
        self._stop = stop
        self.bytes_read = 0
        self._hints = {"NoSuchBucket": "Check bucket_name in config.json, and LYVE_REGION"}

    def top_level(self) -> TopLevel:
        """Lists the folders of the bucket."""
        top = TopLevel()
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Delimiter="/"
        )
        with lyve_errors(f"list the audit bucket {self.name}", self._hints):
            for page in pages:
                top.folders += [folder["Prefix"] for folder in page.get("CommonPrefixes", [])]
                top.objects += [_log_object(listed) for listed in page.get("Contents", [])]
                date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
                top.store_ms = top.store_ms or _date_ms(date)
        return top

    def objects(self, folder: str) -> Iterator[LogObject]:
        """Yields the objects of a folder, page by page."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=folder
        )
        with lyve_errors(f"list the audit bucket {self.name}", self._hints):
            for page in pages:
                yield from (_log_object(listed) for listed in page.get("Contents", []))

    def current(self, known: LogObject) -> LogObject | None:
        """Returns the object as it is now, None if it is gone.

        Args:
            known: as it was listed.
        """
        try:
            with lyve_errors(f"read {known.key} in the audit bucket", self._hints):
                head = self._client.head_object(Bucket=self.name, Key=known.key)
        except ServiceError as exc:
            if exc.detail in {"404", "NoSuchKey", "NotFound"}:
                return None
            raise
        etag = head["ETag"].strip('"')
        if (etag, head["ContentLength"]) == (known.etag, known.size_bytes):
            return known
        return LogObject(_ms(head["LastModified"]), known.key, etag, head["ContentLength"])

    def lines(self, log_object: LogObject) -> Iterator[bytes]:
        """Yields the object's lines without their line ends.

        Raises:
            DamagedError: behind the last good line; `rest` holds what follows it.
            ServiceError: it can't be read now.
        """
        splitter = LineSplitter()
        try:
            for block in self._content(log_object):
                yield from splitter.lines(block)
        except DamagedError as exc:
            if _is_whole(splitter.rest):
                yield splitter.rest
            else:
                exc.rest = splitter.rest
            raise
        if splitter.rest:
            yield splitter.rest

    def _content(self, log_object: LogObject) -> Iterator[bytes]:
        """Reads a corrupt object again: damage on the way is not damage in the bucket."""
        try:
            yield from decompressed(self._pieces(log_object))
        except CorruptError as exc:
            yield from decompressed(self._pieces(log_object), exc.output_bytes)

    def _pieces(self, log_object: LogObject) -> Iterator[bytes]:
        offset = failures = 0
        while offset < log_object.size_bytes:
            try:
                for piece in self._body(log_object, offset).iter_chunks(_PIECE_BYTES):
                    offset += len(piece)
                    self.bytes_read += len(piece)
                    failures = 0
                    yield piece
            except (HTTPClientError, IncompleteReadError, OSError) as exc:
                failures += 1
                self._pause_after(failures, log_object, exc)

    def _pause_after(self, failures: int, log_object: LogObject, exc: Exception) -> None:
        if failures > _RESUMES:
            raise ServiceError(
                f"Can't read {log_object.key} in the audit bucket",
                f"{type(exc).__name__}, {failures} times in a row",
                "Check the network; the next iteration goes on here",
            ) from exc
        if self._stop.wait(0.1 * 2**failures):
            raise StoppedError("Stopped while an object was read")

    def _body(self, log_object: LogObject, offset: int) -> "StreamingBody":
        etag = f'"{log_object.etag}"'
        try:
            with lyve_errors(f"read {log_object.key} in the audit bucket", self._hints):
                answer = self._client.get_object(
                    Bucket=self.name,
                    Key=log_object.key,
                    IfMatch=etag,
                    Range=f"bytes={offset}-",
                )
        except ServiceError as exc:
            _raise_if_ended(exc)
            raise
        return answer["Body"]


def _raise_if_ended(error: ServiceError) -> None:
    """Tells an object that changed from one that can't be read."""
    if error.detail in {"PreconditionFailed", "412"}:
        raise DamagedError("it was replaced while being read") from error
    if error.detail in {"NoSuchKey", "404"}:
        raise DamagedError("it was deleted before it was read") from error


def _is_whole(rest: bytes) -> bool:
    """Tells if a last line without its end is complete: no beginning of a JSON object is one."""
    try:
        event_time_ms(rest)
    except NotJsonError:
        return False
    return rest.lstrip().startswith(b"{")


def _log_object(listed: "ObjectTypeDef") -> LogObject:
    return LogObject(
        _ms(listed["LastModified"]), listed["Key"], listed["ETag"].strip('"'), listed["Size"]
    )


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def _date_ms(date: str | None) -> int | None:
    try:
        return _ms(parsedate_to_datetime(date)) if date else None
    except ValueError:
        return None
