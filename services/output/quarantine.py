"""Keeps the lines that CloudWatch can't take, and looks them up again."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.output.objects import listed_keys, put_object, read_object
from utils.model import LogObject, QuarantinedLine
from utils.report.status import quarantine_key, quarantine_prefix

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# A name holds the number of the first line; an entry of version 1 has one line.
_ENDINGS = (".jsonl", ".json")
_DIGEST_BYTES = 16


class _Entry(msgspec.Struct, omit_defaults=True):
    reason: str
    key: str
    etag: str
    line_number: int
    line: str | None = None
    line_base64: str | None = None

    def content(self) -> bytes:
        return b64decode(self.line_base64 or "") if self.line is None else self.line.encode()


_decode_entry = msgspec.json.Decoder(_Entry).decode


class Quarantine:
    """Keeps the lines that CloudWatch can't take."""

    def __init__(self, client: "S3Client", bucket: str, source: str) -> None:
        self._client = client
        self._bucket = bucket
        self._source = source

    def keep(self, log_object: LogObject, lines: Sequence[QuarantinedLine]) -> None:
        """Writes lines with their reasons into one object, named by the first of them.

        The object's key and its number identify a line. It may be in two objects, if what is
        shipped together was cut elsewhere before a kill.

        Raises:
            ServiceError: they can't be written.
        """
        entries = {line.number: _entry(log_object, line) for line in lines}
        with lyve_errors(f"write quarantined lines into {self._bucket}", OUTPUT_BUCKET_HINTS):
            key = quarantine_key(self._source, log_object.key, min(entries))
            kept = sorted({**self._held(key), **entries}.items())
            content = b"".join(msgspec.json.encode(entry) + b"\n" for _, entry in kept)
            put_object(self._client, self._bucket, key, content, "application/x-ndjson")

    def _held(self, key: str) -> dict[int, _Entry]:  # noqa: ARG002 - of an `AddingQuarantine`
        """Returns what an object of it has that stays in it, by line number."""
        return {}


class AddingQuarantine(Quarantine):
    """The quarantine of a repair, which may send a part of what was shipped together."""

    def _held(self, key: str) -> dict[int, _Entry]:
        content = read_object(self._client, self._bucket, key) or b""
        return {entry.line_number: entry for entry in _entries(content.splitlines())}


class QuarantinedLines:
    """The quarantined lines of one object, which are asked for in the order of their numbers.

    What lies behind a line is read when its turn comes, and what lies before it is forgotten.
    """

    def __init__(self, client: "S3Client", bucket: str, source: str, key: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._prefix = quarantine_prefix(source, key)
        self._ahead: list[tuple[int, str]] | None = None
        self._known: dict[int, set[bytes]] = {}

    def holds(self, number: int, line: bytes) -> bool:
        """Tells if a line, without its line end, is in the quarantine.

        Raises:
            ServiceError: the output bucket can't be read.
        """
        if self._ahead is None:
            with lyve_errors(f"list the quarantine in {self._bucket}", OUTPUT_BUCKET_HINTS):
                self._ahead = sorted(self._names(), reverse=True)
        while self._ahead and self._ahead[-1][0] <= number:
            self._known = {one: known for one, known in self._known.items() if one >= number}
            self._read(self._ahead.pop()[1])
        return _digest(line) in self._known.get(number, ())

    def _names(self) -> Iterator[tuple[int, str]]:
        """Yields the number of the first line and the name of each object of the quarantine."""
        for key in listed_keys(self._client, self._bucket, self._prefix):
            number, dot, ending = key.rpartition("/")[2].partition(".")
            if dot + ending in _ENDINGS and number.isdecimal():
                yield int(number), key

    def _read(self, name: str) -> None:
        with lyve_errors(f"read {name} in {self._bucket}", OUTPUT_BUCKET_HINTS):
            content = self._client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
        for entry in _entries(content.splitlines() if name.endswith(".jsonl") else [content]):
            if entry.key == self._key:
                self._known.setdefault(entry.line_number, set()).add(_digest(entry.content()))


def _entries(lines: Sequence[bytes]) -> Iterator[_Entry]:
    """Yields the entries among lines: anything else proves nothing."""
    for line in lines:
        try:
            entry = _decode_entry(line)
            entry.content()
        except ValueError:
            continue
        yield entry


def _entry(log_object: LogObject, line: QuarantinedLine) -> _Entry:
    entry = _Entry(line.reason, log_object.key, log_object.etag, line.number)
    try:
        entry.line = line.content.decode()
    except UnicodeDecodeError:
        entry.line_base64 = b64encode(line.content).decode()
    return entry


def _digest(line: bytes) -> bytes:
    return blake2b(line, digest_size=_DIGEST_BYTES).digest()
