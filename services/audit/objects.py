"""Reads the objects of a source as the daemon does, for a comparison."""

from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from zlib import crc32

import msgspec

from services.pull_logs_service import AuditBucket
from services.shipping.object_reader import OBJECTS_OPENED_AHEAD
from utils.audit.spans import Tally
from utils.config.settings import Source
from utils.lines.decompression import DamagedError, ReplacedError
from utils.lines.forms import form_of
from utils.lines.runs import Part, Run
from utils.model import LogObject, OtherFormError, Position


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line that is to be sent, without its line end; `own_ms` is None if it names no time."""

    number: int
    content: bytes
    own_ms: int | None
    is_sendable: bool


class Range(msgspec.Struct, frozen=True):
    """Which objects are compared, by `LastModified` in ms since 1970: `until_ms` is not included.

    None is an open end.
    """

    from_ms: int | None = None
    until_ms: int | None = None

    def includes(self, moment_ms: int) -> bool:
        """Tells if an object of this time is compared."""
        is_begun = self.from_ms is None or moment_ms >= self.from_ms
        return is_begun and (self.until_ms is None or moment_ms < self.until_ms)


class AuditObjects:
    """The objects of one source.

    Args:
        bucket: the audit bucket.
        source: says which objects are its own.
    """

    def __init__(self, bucket: AuditBucket, source: Source) -> None:
        self._bucket = bucket
        self._source = source
        # A message that was sent may be one that is excluded by now.
        self._sent_form = form_of(source.log_type)

    def now_ms(self) -> int | None:
        """Returns the store's time in ms since 1970, None if it does not tell it."""
        return self._bucket.top_level().store_ms

    def own_time_ms(self, message: bytes) -> int | None:
        """Returns the time that a message names, in ms since 1970, None if it names none."""
        try:
            return self._sent_form.time_ms(message)
        except OtherFormError:
            return None

    def listed(self, within: Range) -> Iterator[LogObject]:
        """Yields the objects of the source, in the order of their keys.

        Args:
            within: of their `LastModified`.
        """
        for one in self._bucket.objects(self._source.prefix):
            if self._bucket.is_of_type(one) and within.includes(one.last_modified_ms):
                yield one

    def opened_ahead(self, objects: Iterator[LogObject]) -> Iterator[LogObject]:
        """Yields the same objects, while the bodies of those behind are asked for.

        Args:
            objects: to be read in this order.
        """
        near: deque[LogObject] = deque()
        for one in objects:
            near.append(one)
            self._bucket.reader.open_ahead([one])
            if len(near) >= OBJECTS_OPENED_AHEAD:
                yield near.popleft()
        yield from near

    def lines(self, one: LogObject, tally: Tally) -> Iterator[Line]:
        """Yields the lines of an object that are neither blank nor excluded.

        Args:
            one: the object.
            tally: takes what is read, and is complete at the end.

        Raises:
            ServiceError: it can't be read now.
            ReplacedError: it is no longer what was listed.
        """
        content, last = sha256(), b""
        # It is the daemon's own, so that what it takes for an event is one here.
        run, part = Run(self._bucket.form), Part(Position(one), Position(one))
        try:
            for line in self._bucket.lines(one):
                tally.lines += 1
                last = line
                content.update(line)
                content.update(b"\n")
                if not line:
                    tally.blank += 1
                    continue
                found = self._line(run, part, tally.lines, line)
                if found is None:
                    tally.blank += part.counts.excluded == tally.excluded
                    tally.excluded = part.counts.excluded
                    continue
                tally.unsendable += not found.is_sendable
                tally.note(found.own_ms)
                yield found
        except ReplacedError:
            raise
        except DamagedError as exc:
            tally.damage = exc.reason
            tally.cut_off = bool(exc.rest)
            if exc.rest:
                tally.lines += 1
                tally.unsendable += 1
                tally.note(None)
                yield Line(tally.lines, exc.rest, None, is_sendable=False)
        tally.content_hash = content.hexdigest()
        tally.line_hash = crc32(last) if tally.lines > tally.cut_off else 0

    def _line(self, run: Run, part: Part, number: int, line: bytes) -> Line | None:
        run.read(part, number, [line])
        if part.quarantined:
            part.quarantined.clear()
            return Line(number, line, None, is_sendable=False)
        if not run.events:
            return None
        timestamp_ms = run.events.pop().timestamp_ms
        is_untimed = timestamp_ms == part.begin.untimed_ms
        return Line(
            number, line, self.own_time_ms(line) if is_untimed else timestamp_ms, is_sendable=True
        )
