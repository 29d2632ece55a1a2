"""Lists audit-log objects and streams their lines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.aws.errors import AUDIT_BUCKET_HINTS, MISSING_OBJECT, lyve_errors
from services.aws.get_request import GetClient
from services.shipping.object_reader import ObjectReader
from utils.config.settings import Source
from utils.errors import ServiceError
from utils.json_extractor import NotJsonError, event_time_ms
from utils.lines.decompression import DamagedError, LineSplitter, decompressed
from utils.model import LogObject

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2RequestPaginateTypeDef, ObjectTypeDef

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class TopLevel(msgspec.Struct):
    """The top of a bucket: its folders, the objects beside them, and the store's own time."""

    folders: list[str] = msgspec.field(default_factory=list)
    objects: list[LogObject] = msgspec.field(default_factory=list)
    store_ms: int | None = None


class AuditBucket:
    """The bucket that Lyve Cloud writes audit logs into; it is only read.

    Args:
        client: of Lyve Cloud's S3.
        source: names the bucket and how it is reached.
        stop: set when the process is to end.
    """

    def __init__(self, client: "S3Client", source: Source, stop: Event) -> None:
        self._client = client
        self.name = source.bucket_name
        get_client = GetClient(source.lyve, self.name)
        self.reader = ObjectReader(get_client, stop)

    def top_level(self) -> TopLevel:
        """Lists the folders of the bucket."""
        top = TopLevel()
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Delimiter="/"
        )
        with lyve_errors(f"list the audit bucket {self.name}", AUDIT_BUCKET_HINTS):
            for page in pages:
                top.folders += [folder["Prefix"] for folder in page.get("CommonPrefixes", [])]
                top.objects += [_log_object(listed) for listed in page.get("Contents", [])]
                date = page["ResponseMetadata"]["HTTPHeaders"].get("date")
                top.store_ms = top.store_ms or _date_ms(date)
        return top

    def objects(self, folder: str, after: str = "") -> Iterator[LogObject]:
        """Yields the objects of a folder, page by page.

        Args:
            folder: with its slash.
            after: the key behind which they begin, if not with the first.
        """
        asked: ListObjectsV2RequestPaginateTypeDef = {"Bucket": self.name, "Prefix": folder}
        if after:
            asked["StartAfter"] = after
        pages = self._client.get_paginator("list_objects_v2").paginate(**asked)
        with lyve_errors(f"list the audit bucket {self.name}", AUDIT_BUCKET_HINTS):
            for page in pages:
                yield from (_log_object(listed) for listed in page.get("Contents", []))

    def current(self, known: LogObject) -> LogObject:
        """Returns the object as it is now, or as it was known if it is gone.

        Args:
            known: as it was listed.
        """
        try:
            with lyve_errors(f"read {known.key} in the audit bucket", AUDIT_BUCKET_HINTS):
                head = self._client.head_object(Bucket=self.name, Key=known.key)
        except ServiceError as exc:
            if exc.detail in MISSING_OBJECT:
                return known
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
            for block in decompressed(self.reader.pieces(log_object)):
                yield from splitter.lines(block)
        except DamagedError as exc:
            if _is_whole(splitter.rest):
                yield splitter.rest
            else:
                exc.rest = splitter.rest
            raise
        if splitter.rest:
            yield splitter.rest


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
