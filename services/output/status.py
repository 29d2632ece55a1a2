"""Tells what happens: status lines, the last status, and why sources failed."""

import os
import select
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, TextIO
from uuid import uuid4

from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.output.objects import put_object, read_object
from utils.config.environment import is_json
from utils.model import Clock, Counts
from utils.report.failures import Failure, by_cause
from utils.report.latest import Outcome, Trail, decode_trail, encode_latest, latest_key
from utils.report.status import Pairs, json_line, status_key, status_line

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


# Enough to see what is wrong with thousands of damaged objects: the lines are held to the end.
MOST_OF_A_KIND = 100
MOST_OF_OBJECTS = 1000
# So long a reader of standard error may take, before what it is to read is lost.
_MOST_WAIT_SECONDS = 1.0
# So much later another source may fail by the same cause: each waits for other times between its
# tries.
_HELD_SECONDS = 10.0


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
    say(f"{erase_bar}{shown}\n")
    return line


class _StandardError:
    """Standard error, for which nothing waits long: a full pipe would hold all sources up."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wait_seconds = _MOST_WAIT_SECONDS

    def write(self, text: str) -> None:
        """Writes in one piece: other sources write at the same time.

        If it is closed, full or read by nobody, the text is lost, and all else goes on.
        """
        with self._lock, suppress(OSError, ValueError):
            if sys.stderr is not None:
                self._write(sys.stderr, text)

    def _write(self, stream: TextIO, text: str) -> None:
        try:
            descriptor = stream.fileno()
        except OSError:
            stream.write(text)
            stream.flush()
            return
        # Around the stream's buffer, which keeps what could not be written, grows, and is tried
        # once more at the end: https://docs.python.org/3/c-api/init.html#c.Py_FinalizeEx
        rest = text.encode(errors="backslashreplace")
        while rest:
            if not select.select([], [descriptor], [], self._wait_seconds)[1]:
                # Whoever has not read for so long is not waited for again.
                self._wait_seconds = 0.0
                return
            # A pipe that can be written to has room for so much, at least:
            # https://man7.org/linux/man-pages/man7/pipe.7.html
            rest = rest[os.write(descriptor, rest[: select.PIPE_BUF]) :]
        self._wait_seconds = _MOST_WAIT_SECONDS


say = _StandardError().write


def has_bar() -> bool:
    """Tells if a person watches, and is shown a bar."""
    with suppress(ValueError):
        return sys.stderr is not None and sys.stderr.isatty() and not is_json(os.environ)
    return False


class StatusLog:
    """The status lines of one iteration of one source, on standard error at once.

    `level` and `text` are those of its last line. Of lines about single objects, at most
    `MOST_OF_A_KIND` that differ only in the object are shown, and at most `MOST_OF_OBJECTS` in all;
    a line in front of the next other one counts the rest.
    """

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._lines: list[str] = []
        self._kinds: Counter[str] = Counter()
        self._left_out = 0
        self.level = self.text = ""

    def write(self, level: str, text: str, pairs: Pairs) -> None:
        """Writes a line on standard error and keeps it for the output bucket."""
        self.level, self.text = level, text
        if "object" not in pairs:
            self._tell_left_out()
        else:
            kind = f"{level} {text.replace(str(pairs['object']), '')}"
            if self._kinds[kind] >= MOST_OF_A_KIND or self._kinds.total() >= MOST_OF_OBJECTS:
                self._left_out += 1
                return
            self._kinds[kind] += 1
        self._tell(level, text, pairs)

    def outcome(self, began: datetime, counts: Counts) -> Outcome:
        """Returns what it came to by now: its last line and its figures."""
        return Outcome(self.level, self.text, began, self._clock.now(), counts)

    def keep(self, time: datetime, level: str, text: str, pairs: Pairs) -> None:
        """Keeps a line for the output bucket that is shown together with those of other sources."""
        self._tell_left_out()
        self.level, self.text = level, text
        named = {"source": self._source, **pairs}
        self._lines.append(status_line(time, level, text, named))

    def upload(self, client: "S3Client", bucket: str) -> None:
        """Puts the lines into the output bucket, under a key of their own.

        Raises:
            ServiceError: they can't be written.
        """
        self._tell_left_out()
        key = status_key(self._clock.now(), self._source, uuid4().hex[:8])
        content = "\n".join([*self._lines, ""]).encode()
        with lyve_errors(f"write the status lines into {bucket}", OUTPUT_BUCKET_HINTS):
            put_object(client, bucket, key, content, "text/plain; charset=utf-8")

    def _tell_left_out(self) -> None:
        number, self._left_out = self._left_out, 0
        if number:
            text = f"There were {number} more lines like these about other objects."
            self._tell("WARN", text, {"left_out": number})

    def _tell(self, level: str, text: str, pairs: Pairs) -> None:
        line = tell(self._clock.now(), level, text, {"source": self._source, **pairs})
        self._lines.append(line)


class LatestStatus:
    """The last status of one source, in the one object that is overwritten; `name` is its name."""

    def __init__(self, client: "S3Client", bucket: str, source: str) -> None:
        self._client = client
        self._bucket = bucket
        self._source = source
        self._key = latest_key(source)
        self.name = f"{bucket}/{self._key}"

    def trail(self) -> Trail:
        """Returns what the last iteration handed on, an empty one if there was none.

        Raises:
            ServiceError: it can't be read.
        """
        with lyve_errors(f"read the last status {self.name}", OUTPUT_BUCKET_HINTS):
            found = read_object(self._client, self._bucket, self._key)
        return decode_trail(found) if found else Trail()

    def save(self, outcome: Outcome, trail: Trail) -> None:
        """Writes the last status.

        Raises:
            ServiceError: it can't be written.
        """
        document = encode_latest(self._source, outcome, trail)
        with lyve_errors(f"write the last status {self.name}", OUTPUT_BUCKET_HINTS):
            put_object(self._client, self._bucket, self._key, document, "application/json")


class FailureLines:
    """Tells why sources failed, in one line for all that share a cause.

    It holds failures back for a while, as long as other sources may fail alike.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._held: list[Failure] = []
        self._since_seconds = 0.0

    def hold(self, failures: Iterable[Failure]) -> None:
        """Takes failures to be told."""
        with self._lock:
            if not self._held:
                self._since_seconds = self._clock.elapsed_seconds()
            self._held += failures

    def tell(self) -> None:
        """Tells all that are held."""
        with self._lock:
            held, self._held = self._held, []
        for time, text, pairs in by_cause(held):
            tell(time, "ERROR", text, pairs)

    def tell_if_late(self) -> None:
        """Tells them if the first of them has been held long enough."""
        if self._clock.elapsed_seconds() - self._since_seconds >= _HELD_SECONDS:
            self.tell()
