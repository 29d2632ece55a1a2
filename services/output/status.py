"""Writes status lines and quarantined lines into the output bucket."""

import base64
import os
import sys
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec

from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from utils.config.log_format import is_json
from utils.model import LogObject, QuarantinedLine
from utils.report.status import Pairs, json_line, status_key, status_line

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


_writing = Lock()


class Clock(msgspec.Struct, frozen=True):
    """How the time is read: `now` for people, `elapsed_seconds` for durations."""

    now: Callable[[], datetime]
    elapsed_seconds: Callable[[], float]


def tell(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Writes a line on standard error, and returns it as text.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures and names.
    """
    line = status_line(now, level, text, pairs)
    shown = json_line(now, level, text, pairs) if is_json(os.environ) else line
    erase_bar = "\x1b[K" if has_bar() else ""
    # In one piece: other sources write at the same time.
    with _writing:
        sys.stderr.write(f"{erase_bar}{shown}\n")
        sys.stderr.flush()
    return line


def has_bar() -> bool:
    """Tells if a person watches, who is shown a bar."""
    return sys.stderr.isatty() and not is_json(os.environ)


class StatusLog:
    """The status lines of one iteration of one source, on standard error at once.

    `level` and `text` are those of its last line.

    Args:
        source: the source's name.
        clock: how the time is read.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lines: list[str] = []
        self.level = self.text = ""

    def write(self, level: str, text: str, pairs: Pairs) -> None:
        """Writes a line on standard error and keeps it for the output bucket.

        Args:
            level: INFO, WARN or ERROR.
            text: what happened, and for a failure what to do.
            pairs: figures and names, behind the source's.
        """
        line = tell(self._clock.now(), level, text, {"source": self._source, **pairs})
        self._lines.append(line)
        self.level, self.text = level, text

    def upload(self, client: "S3Client", bucket: str) -> None:
        """Puts the lines into the output bucket, under a key of their own.

        Args:
            client: of Lyve Cloud's S3.
            bucket: the output bucket.

        Raises:
            ServiceError: they can't be written.
        """
        key = status_key(self._clock.now(), self._source, uuid4().hex[:8])
        content = "\n".join([*self._lines, ""]).encode()
        with lyve_errors(f"write the status lines into {bucket}", OUTPUT_BUCKET_HINTS):
            client.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType="text/plain; charset=utf-8"
            )


class _QuarantineEntry(msgspec.Struct, omit_defaults=True):
    reason: str
    key: str
    etag: str
    line_number: int
    line: str | None = None
    line_base64: str | None = None


class Quarantine:
    """Keeps the lines that CloudWatch can't take, each in an object of its own.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        source: the source's name.
    """

    def __init__(self, client: "S3Client", bucket: str, source: str) -> None:
        self._client = client
        self._bucket = bucket
        self._source = source

    def keep(self, log_object: LogObject, line: QuarantinedLine) -> None:
        """Writes one line with its reason; the same line again is the same object.

        Args:
            log_object: the object that holds the line.
            line: the line.

        Raises:
            ServiceError: it can't be written.
        """
        entry = _QuarantineEntry(line.reason, log_object.key, log_object.etag, line.number)
        try:
            entry.line = line.content.decode()
        except UnicodeDecodeError:
            entry.line_base64 = base64.b64encode(line.content).decode()
        key = f"integration-quarantine/{self._source}/{log_object.key}/{line.number}.json"
        with lyve_errors(f"write a quarantined line into {self._bucket}", OUTPUT_BUCKET_HINTS):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=msgspec.json.encode(entry),
                ContentType="application/json",
            )
