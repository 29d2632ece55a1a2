"""Lists audit-log objects and streams their lines."""

from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.aws.errors import AUDIT_BUCKET_HINTS, S3_ELSEWHERE, lyve_errors
from services.aws.get_request import GetClient
from services.aws.integrity import bare_etag
from services.aws.list_request import Listing, Page, listed_pages
from services.aws.outcomes import MISSING_OBJECT
from services.reading.object_reader import ObjectReader, Reading, are_alike
from services.threads.backoff import pause_seconds
from utils.config.settings import Source
from utils.errors import ServiceError, StoppedError
from utils.lines.decompression import DamagedError, LineSplitter, ReplacedError, decompressed
from utils.lines.forms import form_of
from utils.model import LogObject, since_1970_ms

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# The objects beside the folders are kept for an iteration, unless there are more than this.
MOST_KEPT_OBJECTS = 10_000
_LOOKS = 4


class TopLevel(msgspec.Struct):
    """The top of a bucket: its folders, the objects beside them, and the store's own time.

    The objects are None if they are too many to keep.
    """

    folders: list[str] = msgspec.field(default_factory=list)
    objects: list[LogObject] | None = msgspec.field(default_factory=list)
    store_ms: int | None = None


class AuditBucket:
    """The bucket that Lyve Cloud writes audit logs into; it is only read.

    `form` says how the lines of the source's type are read.

    Args:
        client: of Lyve Cloud's S3.
        source: names the bucket, what its objects' keys begin with, and how it is reached.
        stop: set when the process is to end.
    """

    def __init__(self, client: "S3Client", source: Source, stop: Event) -> None:
        self._client = client
        self._stop = stop
        self._source = source
        self.name = source.bucket_name
        self.form = form_of(source.log_type, source.exclude)
        get_client = GetClient(source.lyve, self.name)
        self.reader = ObjectReader(get_client, stop, self, source.concurrency)

    def top_level(self) -> TopLevel:
        """Lists the folders below the source's prefix, and the objects beside them."""
        top = TopLevel()
        for page in self._pages(self._source.prefix, delimiter="/"):
            top.folders += page.folders
            if top.objects is not None:
                top.objects += page.objects
                if len(top.objects) > MOST_KEPT_OBJECTS:
                    top.objects = None
            top.store_ms = top.store_ms or _date_ms(page.date)
        return top

    def beside(self, top: TopLevel, after: str = "") -> Iterator[LogObject]:
        """Yields the objects beside the folders, listed again if they were too many to keep.

        Args:
            top: as it was listed.
            after: the key behind which they begin, if not with the first.
        """
        pages = self._pages(self._source.prefix, "/", after)
        listed = chain.from_iterable(page.objects for page in pages)
        yield from (
            one for one in (listed if top.objects is None else top.objects) if one.key > after
        )

    def objects(self, folder: str, after: str = "") -> Iterator[LogObject]:
        """Yields the objects of a folder, page by page.

        Args:
            folder: with its slash.
            after: the key behind which they begin, if not with the first.
        """
        for page in self._pages(folder, after=after):
            # Not every store knows StartAfter.
            yield from (one for one in page.objects if one.key > after)

    def find(self, key: str) -> LogObject | None:
        """Returns an object as the listing shows it, None if it does not.

        Args:
            key: the whole of it.
        """
        # It comes first of those that begin with it.
        return next((one for one in self.objects(key) if one.key == key), None)

    def head(self, key: str) -> LogObject | None:
        """Returns an object as HEAD shows it, None if it is not there.

        Args:
            key: the whole of it.

        Raises:
            ServiceError: it can't be told now.
            StoppedError: the process is to end.
        """
        doing = f"read {key} in the audit bucket"
        for number in range(_LOOKS):
            try:
                with lyve_errors(doing, AUDIT_BUCKET_HINTS):
                    head = self._client.head_object(Bucket=self.name, Key=key)
            except ServiceError as exc:
                if exc.code in MISSING_OBJECT:
                    return None
                raise
            # S3 dates every object: without it, something else answered.
            if {"LastModified", "ContentLength"} <= head.keys():
                etag = bare_etag(head.get("ETag"))
                return LogObject(
                    since_1970_ms(head["LastModified"]), key, etag, head["ContentLength"]
                )
            if self._stop.wait(pause_seconds(number)):
                raise StoppedError
        raise ServiceError(
            f"Can't {doing}",
            "the answer to HEAD has no date",
            S3_ELSEWHERE,
        )

    def current(self, known: LogObject) -> LogObject:
        """Returns the object as it is now, or as it was known if it is gone.

        Args:
            known: as it was listed.
        """
        now = self.head(known.key)
        if now is None or are_alike(now, known):
            return known
        # HEAD may show the same ETag in another form.
        listed = self.find(known.key) or now
        return known if are_alike(listed, known) else listed

    def _pages(self, prefix: str, delimiter: str = "", after: str = "") -> Iterator[Page]:
        listing = Listing(self.name, prefix, delimiter, after)
        with lyve_errors(f"list the audit bucket {self.name}", AUDIT_BUCKET_HINTS):
            yield from listed_pages(self._client, listing, self._stop)

    def lines(self, log_object: LogObject) -> Iterator[bytes]:
        """Yields the object's lines without their line ends; it raises as `blocks` does."""
        return chain.from_iterable(self.blocks(log_object))

    def blocks(self, log_object: LogObject) -> Iterator[list[bytes]]:
        """Yields the object's lines without their line ends, as many at once as are read.

        Raises:
            DamagedError: after the last good line, once a second look agrees; `rest` holds what
                follows it.
            UnreadableError: it alone can't be read now.
            ServiceError: nothing can be read now.
        """
        splitter = LineSplitter()
        reading = Reading(self.reader, log_object)
        try:
            for block in decompressed(reading.pieces()):
                yield splitter.lines(block)
        except DamagedError as exc:
            if not isinstance(exc, ReplacedError):
                reading.check_damage()
            if self.form.is_whole(splitter.rest):
                yield [splitter.rest]
            else:
                exc.rest = splitter.rest
            raise
        if splitter.rest:
            yield [splitter.rest]


def _date_ms(date: str | None) -> int | None:
    try:
        moment = parsedate_to_datetime(date) if date else None
    except ValueError:
        return None
    if moment is None:
        return None
    # A date of "-0000" is in UTC, and comes without a zone.
    return since_1970_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
