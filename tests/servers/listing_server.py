"""An S3 server with more objects than a test could write: the old ones exist in its listing only.

Its clock and each `LastModified` are what a test says, so that hours and days pass at once. What it
answers: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from hashlib import md5
from heapq import merge
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from threading import Thread
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

KEYS_A_PAGE = 1_000


class Entry(NamedTuple):
    """An object as it is listed."""

    key: str
    modified: datetime
    etag: str
    size: int

    def xml(self) -> str:
        """Returns it as a part of a page."""
        return (
            f"<Contents><Key>{quote(self.key)}</Key>"
            f"<LastModified>{self.modified:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>&quot;{self.etag}&quot;</ETag><Size>{self.size}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


class Folder(NamedTuple):
    """A folder as it is listed."""

    key: str

    def xml(self) -> str:
        """Returns it as a part of a page."""
        return f"<CommonPrefixes><Prefix>{quote(self.key)}</Prefix></CommonPrefixes>"


Listed = Entry | Folder


class OldObjects(NamedTuple):
    """Objects of one folder that are listed, a minute apart, and can't be read."""

    folder: str
    total: int
    newest: datetime

    def entries(self) -> Iterator[Entry]:
        """Yields them in the order of their keys."""
        for number in range(self.total):
            modified = self.newest - timedelta(minutes=self.total - 1 - number)
            key = f"{self.folder}S3-media-archive-{number:08d}.gz"
            yield Entry(key, modified, f"{number:032x}", 1_000)


class StoredObject(NamedTuple):
    """An object with its content."""

    content: bytes
    modified: datetime

    def entry(self, key: str) -> Entry:
        """Returns it as it is listed."""
        etag = md5(self.content).hexdigest()  # noqa: S324 - as S3 makes it
        return Entry(key, self.modified, etag, len(self.content))


class Page(NamedTuple):
    """A request for a page of a listing."""

    prefix: str
    offset: int


class ListingServer:
    """Serves buckets from memory, between `with` and its end.

    `now` is its clock; `pages` are those of the bucket with the old objects that were asked for, in
    their order; `stored` holds the objects that have a content, by bucket and key.

    Args:
        bucket: with the old objects; any other one is there when it is written to.
        old: the old objects.
        now: its clock to begin with, UTC.
    """

    def __init__(self, bucket: str, old: Sequence[OldObjects], now: datetime) -> None:
        self._bucket = bucket
        self._old = {objects.folder: objects for objects in old}
        self.now = now
        self.pages: list[Page] = []
        self.stored: dict[tuple[str, str], StoredObject] = {}
        # Of the listing that was begun last: its later pages go on in what the first one saw.
        self._listing: tuple[tuple[str, str, str], list[Listed]] | None = None

    def __enter__(self) -> Self:
        served: ListingServer = self

        class Handler(_Handler):
            buckets = served

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint_url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, key: str, content: bytes) -> None:
        """Writes an audit object, now."""
        self.stored[self._bucket, key] = StoredObject(content, self.now)

    def listed(self, bucket: str, query: Mapping[str, str]) -> str:
        """Returns a page of a listing."""
        page = Page(query.get("prefix", ""), int(query.get("continuation-token", 0)))
        if bucket == self._bucket:
            self.pages.append(page)
        about = (bucket, page.prefix, query.get("delimiter", ""))
        if page.offset == 0 or self._listing is None or self._listing[0] != about:
            self._listing = about, list(self._listed(*about))
        found = self._listing[1][page.offset : page.offset + KEYS_A_PAGE]
        is_last = page.offset + KEYS_A_PAGE >= len(self._listing[1])
        return _document(
            [one.xml() for one in found], "" if is_last else f"{page.offset + KEYS_A_PAGE}"
        )

    def _listed(self, bucket: str, prefix: str, delimiter: str) -> "Iterator[Listed]":
        """Yields what is listed: with a delimiter the folders of the top level."""
        old = self._old if bucket == self._bucket else {}
        stored = sorted(
            one.entry(key)
            for (its_bucket, key), one in self.stored.items()
            if its_bucket == bucket and key.startswith(prefix)
        )
        if delimiter:
            folders = {one.key.partition("/")[0] + "/" for one in stored}
            yield from map(Folder, sorted(folders | old.keys()))
        else:
            within = (old[folder] for folder in sorted(old) if folder.startswith(prefix))
            yield from merge(chain.from_iterable(one.entries() for one in within), stored)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is two packets, and the second must not wait until the first is acknowledged.
    disable_nagle_algorithm = True
    buckets: ListingServer

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        bucket, _, key = unquote(target.path).removeprefix("/").partition("/")
        if not key:
            page = self.buckets.listed(bucket, dict(parse_qsl(target.query)))
            self._answer(200, {"Content-Type": "application/xml"}, page.encode())
            return
        stored = self.buckets.stored.get((bucket, key))
        if stored is None:
            error = b"<Error><Code>NoSuchKey</Code></Error>"
            self._answer(404, {}, b"" if self.command == "HEAD" else error)
            return
        offset = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        headers = {
            "ETag": f'"{stored.entry(key).etag}"',
            "Last-Modified": format_datetime(stored.modified, usegmt=True),
        }
        self._answer(206 if offset else 200, headers, stored.content[offset:])

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def do_PUT(self) -> None:
        bucket, _, key = unquote(self.path).removeprefix("/").partition("/")
        content = self.rfile.read(int(self.headers["Content-Length"]))
        stored = StoredObject(content, self.buckets.now)
        self.buckets.stored[bucket, key] = stored
        self._answer(200, {"ETag": f'"{stored.entry(key).etag}"'}, b"")

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Returns the Date header: the server's clock is the test's."""
        del timestamp
        return format_datetime(self.buckets.now, usegmt=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


def _document(parts: Iterable[str], next_token: str) -> str:
    token = f"<NextContinuationToken>{next_token}</NextContinuationToken>" if next_token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType><IsTruncated>{str(bool(next_token)).lower()}</IsTruncated>"
        f"{token}{''.join(parts)}</ListBucketResult>"
    )
