"""Cuts the lines of an object into chunks, each acknowledged as a whole."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from sys import getsizeof

import msgspec
from msgspec.structs import replace

from utils.errors import ForwarderError, UnreadableError, WrongContentError
from utils.lines.batching import EVENT_OVERHEAD_BYTES, MAX_BATCH_BYTES, MAX_MESSAGE_BYTES
from utils.lines.decompression import LONGEST_LINE_BYTES, DamagedError, DeletedError, ReplacedError
from utils.lines.exclusion import ExcludedError
from utils.lines.forms import JSON, LineForm
from utils.model import (
    Counts,
    LogEvent,
    LogObject,
    OtherFormError,
    Position,
    QuarantinedLine,
)

MAX_CHUNK_LINES = 10_000


class ContentChangedError(Exception):
    """The object no longer begins with the lines that were shipped of it."""


class Chunk(msgspec.Struct):
    """Consecutive lines of one object that are acknowledged together.

    `position` is behind the last line, and `form` what the lines are; `is_last` says that nothing
    more of the object is read, and `trouble` why that is before its end. `is_gone` says that it was
    deleted. `size_bytes` is what it takes in memory, `request_bytes` in requests.
    """

    position: Position
    form: LineForm = JSON
    events: list[LogEvent] = msgspec.field(default_factory=list)
    quarantined: list[QuarantinedLine] = msgspec.field(default_factory=list)
    counts: Counts = msgspec.field(default_factory=Counts)
    size_bytes: int = 0
    request_bytes: int = 0
    is_last: bool = False
    is_gone: bool = False
    trouble: ForwarderError | None = None

    @property
    def begin(self) -> Position:
        """Where it begins; the hash is not that of the line before."""
        return replace(self.position, lines=self.position.lines - self.counts.read)

    def is_full(self, batch_size: int, full_bytes: int) -> bool:
        """Tells if the next line belongs to the next chunk; whole batches are preferred.

        Args:
            batch_size: events in a batch.
            full_bytes: the memory to reach; twice as much is never exceeded by more than a line.
        """
        if self.counts.read >= MAX_CHUNK_LINES or self.size_bytes >= 2 * full_bytes:
            return True
        if self.size_bytes < full_bytes:
            return False
        are_cut_by_bytes = batch_size * self.request_bytes > MAX_BATCH_BYTES * self.counts.read
        return are_cut_by_bytes or len(self.events) % batch_size == 0

    def add(self, number: int, line: bytes) -> None:
        """Takes the object's next line.

        Args:
            number: of the line, from 1.
            line: the line without its line end.
        """
        self.counts.read += 1
        if not line.strip():
            self.counts.blank += 1
            return
        self.request_bytes += len(line) + EVENT_OVERHEAD_BYTES
        self.size_bytes += len(line) + EVENT_OVERHEAD_BYTES
        event = self._event(number, line)
        if event:
            self.events.append(event)

    def skip_to(self, lines: int) -> None:
        """Counts the lines behind the last one as blank.

        Args:
            lines: how many the chunk has with them.
        """
        self.counts.blank += lines - self.counts.read
        self.counts.read = lines

    def quarantine(self, number: int, line: bytes, reason: str) -> None:
        """Keeps a line that can't be delivered.

        Args:
            number: of the line, from 1.
            line: the line without its line end.
            reason: why, for the person who looks at it.
        """
        self.counts.quarantined += 1
        self.quarantined.append(QuarantinedLine(number, reason, line))

    def _event(self, number: int, line: bytes) -> LogEvent | None:
        if len(line) > MAX_MESSAGE_BYTES:
            reason = f"longer than the {MAX_MESSAGE_BYTES} bytes of an event"
            cut = f", and cut to {len(line)} bytes" if len(line) == LONGEST_LINE_BYTES else ""
            self.quarantine(number, line, reason + cut)
            return None
        try:
            message = line.decode()
        except UnicodeDecodeError as exc:
            self.quarantine(number, line, f"not UTF-8 at byte {exc.start}")
            return None
        if len(message) != len(line):
            # Held in up to four bytes a character, and once it is sent in UTF-8 too.
            self.size_bytes += getsizeof(message)
        try:
            own_ms = self.form.time_ms(line)
        except ExcludedError:
            self.counts.excluded += 1
            return None
        except OtherFormError:
            own_ms = None
            setattr(self.counts, self.form.others, getattr(self.counts, self.form.others) + 1)
        timestamp_ms = self.position.untimed_ms if own_ms is None else own_ms
        upload_times = self.position.upload_times(number)
        return LogEvent(timestamp_ms, message, len(line), number, upload_times=upload_times)


def chunks(
    begin: Position,
    lines: Iterable[bytes],
    batch_size: int,
    full_bytes: Callable[[], int],
    form: LineForm = JSON,
) -> Iterator[Chunk]:
    """Yields the chunks of an object behind a position.

    Args:
        begin: where shipping of the object begins.
        lines: all lines of the object, from its first.
        batch_size: events in a batch.
        full_bytes: returns the size at which a chunk is full, as of now.
        form: of the lines.

    Raises:
        ContentChangedError: before the first chunk, if the shipped lines are not there.
    """
    number = first = begin.lines
    chunk, most_bytes = Chunk(begin, form), full_bytes()
    last_line: bytes | None = None
    trouble: UnreadableError | DamagedError | None = None
    try:
        for line in lines_behind(begin, lines):
            # Of blank lines nothing is kept. A kilobyte of gzip can hold a million of them, so they
            # are only counted here.
            if not line and number < first + MAX_CHUNK_LINES:
                number += 1
                last_line = line
                continue
            chunk.skip_to(number - first)
            if chunk.is_full(batch_size, most_bytes):
                chunk.position = _behind(begin, number, last_line)
                yield chunk
                chunk, most_bytes, first = Chunk(begin, form), full_bytes(), number
            number += 1
            last_line = line
            chunk.add(number, line)
    except (UnreadableError, DamagedError) as exc:
        trouble = exc
    if isinstance(trouble, WrongContentError):
        # Nothing that was read since the last chunk is to be sent, and all before is in doubt.
        chunk = Chunk(replace(begin, in_doubt=begin.in_doubt or first > begin.lines), form)
    else:
        chunk.skip_to(number - first)
        chunk.position = _behind(begin, number, last_line)
    _end(chunk, trouble, is_known=begin.earlier_ms is not None and number == begin.lines)
    yield chunk


def _end(chunk: Chunk, trouble: UnreadableError | DamagedError | None, *, is_known: bool) -> None:
    """Makes the chunk the object's last one.

    What is owed is read again in each iteration: of what `is_known`, the rest is in the quarantine
    already.
    """
    chunk.counts.objects = 1
    chunk.is_last = True
    if isinstance(trouble, UnreadableError):
        chunk.trouble = trouble
    elif trouble:
        chunk.trouble = _ends_early(chunk.position.object, trouble)
        chunk.counts.damaged = 1
        if trouble.rest and not is_known:
            chunk.counts.read += 1
            number = chunk.position.lines + 1
            chunk.quarantine(number, trouble.rest, f"cut off, because {trouble.reason}")
    if isinstance(trouble, ReplacedError):
        chunk.is_gone = isinstance(trouble, DeletedError)
        chunk.position = chunk.position.as_replaced()


def _ends_early(damaged: LogObject, error: DamagedError) -> ForwarderError:
    return ForwarderError(
        f"The object {damaged.key} ends early: {error.reason}",
        hint="What it holds is sent; once it is put back whole, the rest is sent too",
    )


def lines_behind(begin: Position, lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the lines behind a position, once those before it are seen to be the shipped ones.

    Args:
        begin: how far the object is shipped.
        lines: all lines of the object, from its first.

    Raises:
        ContentChangedError: the last shipped line is not there.
    """
    number = 0
    rest = iter(lines)
    try:
        for line in islice(rest, begin.lines):
            number += 1
            if number == begin.lines and zlib.crc32(line) != begin.line_hash:
                raise ContentChangedError
    except DamagedError as exc:
        # The line that is cut off here was shipped whole before.
        exc.rest = b""
        raise
    if number < begin.lines:
        raise ContentChangedError
    yield from rest


def events_behind(
    begin: Position, lines: Iterable[bytes], form: LineForm = JSON
) -> Iterator[tuple[int, LogEvent | None]]:
    """Yields the number of each line behind a position, and its event, if it is one.

    Args:
        begin: how far the object is shipped.
        lines: all lines of the object, from its first.
        form: what the lines are.

    Raises:
        ContentChangedError: the last shipped line is not there.
    """
    chunk = Chunk(begin, form)
    for number, line in enumerate(lines_behind(begin, lines), start=begin.lines + 1):
        chunk.add(number, line)
        yield number, chunk.events.pop() if chunk.events else None
        chunk.quarantined.clear()


def _behind(begin: Position, number: int, last_line: bytes | None) -> Position:
    line_hash = begin.line_hash if last_line is None else zlib.crc32(last_line)
    return replace(begin, lines=number, line_hash=line_hash)
