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
        # A message may have been sent before its like was excluded.
        self._sent_form = form_of(source.log_type)

    def now_ms(self) -> int | None:
        """Returns the store's time in ms since 1970, None if it does not say."""
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
            if self._source.is_of_type(one) and within.includes(one.last_modified_ms):
                yield one

    def opened_ahead(self, objects: Iterator[LogObject]) -> Iterator[LogObject]:
        """Yields the same objects, and asks for the bodies of the next ones meanwhile.

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
        # It is the daemon's own: what that takes for an event is one here.
        run, part = Run(self._bucket.form), Part(Position(one), Position(one))
        try:
            for block in self._bucket.blocks(one):
                if block:
                    content.update(b"\n".join([*block, b""]))
                    last = block[-1]
                for line in self._taken(run, part, block):
                    tally.note(line.own_ms)
                    yield line
        except ReplacedError:
            raise
        except DamagedError as exc:
            tally.damage = exc.reason
            tally.cut_off = bool(exc.rest)
            if exc.rest:
                tally.note(None)
                yield Line(part.counts.read + 1, exc.rest, None, is_sendable=False)
        tally.lines = part.counts.read + tally.cut_off
        tally.unsendable = part.counts.quarantined + tally.cut_off
        tally.blank, tally.excluded = part.counts.blank, part.counts.excluded
        tally.content_hash = content.hexdigest()
        tally.line_hash = crc32(last) if part.counts.read else 0

    def _taken(self, run: Run, part: Part, block: list[bytes]) -> Iterator[Line]:
        first = part.counts.read + 1
        run.read(part, first, block)
        for event in run.events:
            content = block[event.line_number - first]
            is_untimed = event.timestamp_ms == part.begin.untimed_ms
            own_ms = self.own_time_ms(content) if is_untimed else event.timestamp_ms
            yield Line(event.line_number, content, own_ms, is_sendable=True)
        for line in part.quarantined:
            yield Line(line.number, line.content, None, is_sendable=False)
        run.events.clear()
        part.quarantined.clear()
