"""Cuts the lines of an object into chunks, each acknowledged as a whole."""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
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
_HEAD_BYTES = getsizeof("\U0001f642")


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

    def room(self, lines: Sequence[bytes], batch_size: int, full_bytes: int) -> int:
        """Returns how many of the next lines it takes, 0 if it is full.

        Whole batches are preferred.

        Args:
            lines: the object's next lines.
            batch_size: events in a batch.
            full_bytes: the memory to reach; twice as much is never exceeded by more than a line.
        """
        near = lines[: MAX_CHUNK_LINES - self.counts.read]
        if not any(near):
            # Of blank lines nothing is kept, and a kilobyte of gzip can hold a million of them.
            return len(near)
        most_bytes = full_bytes - self.size_bytes
        if most_bytes <= 0:
            most_bytes += full_bytes
            begun = len(self.events) % batch_size
            are_cut_by_bytes = batch_size * self.request_bytes > MAX_BATCH_BYTES * self.counts.read
            if most_bytes <= 0 or not begun or are_cut_by_bytes:
                return 0
            near = near[: batch_size - begun]
        ends = list(accumulate(map(_most_bytes_of, near)))
        return min(len(near), 1 + bisect_left(ends, most_bytes))

    def take(self, number: int, lines: Sequence[bytes]) -> None:
        """Takes the object's next lines.

        Args:
            number: of the first one, from 1.
            lines: the lines without their line ends.
        """
        self.counts.read += len(lines)
        if not any(lines):
            self.counts.blank += len(lines)
            return
        time_ms, untimed_ms = self.form.time_ms, self.position.untimed_ms
        upload_times = self.position.upload_times
        taken_bytes = kept_bytes = 0
        for at, line in enumerate(lines, number):
            if not line or line.isspace():
                self.counts.blank += 1
                continue
            size_bytes = len(line)
            taken_bytes += size_bytes + EVENT_OVERHEAD_BYTES
            try:
                message = line.decode() if size_bytes <= MAX_MESSAGE_BYTES else _too_long(line)
            except ValueError as exc:
                self.quarantine(at, line, _why_not(exc))
                continue
            if len(message) != size_bytes:
                # Held in up to four bytes a character, and once it is sent in UTF-8 too.
                kept_bytes += getsizeof(message)
            try:
                own_ms = time_ms(line)
            except ExcludedError:
                self.counts.excluded += 1
                continue
            except OtherFormError:
                own_ms = None
                setattr(self.counts, self.form.others, getattr(self.counts, self.form.others) + 1)
            timestamp_ms = untimed_ms if own_ms is None else own_ms
            self.events.append(
                LogEvent(timestamp_ms, message, size_bytes, at, upload_times=upload_times(at))
            )
        self.request_bytes += taken_bytes
        self.size_bytes += taken_bytes + kept_bytes

    def quarantine(self, number: int, line: bytes, reason: str) -> None:
        """Keeps a line that can't be delivered.

        Args:
            number: of the line, from 1.
            line: the line without its line end.
            reason: why, for the person who looks at it.
        """
        self.counts.quarantined += 1
        self.quarantined.append(QuarantinedLine(number, reason, line))


def _most_bytes_of(line: bytes) -> int:
    """Returns the most that a line takes in memory: exactly so of ASCII."""
    if not line:
        return 0
    # Beside its bytes Python holds up to four for each sign, and a head.
    return EVENT_OVERHEAD_BYTES + (len(line) if line.isascii() else 5 * len(line) + _HEAD_BYTES)


def _too_long(line: bytes) -> str:
    cut = f", and cut to {len(line)} bytes" if len(line) == LONGEST_LINE_BYTES else ""
    raise ValueError(f"longer than the {MAX_MESSAGE_BYTES} bytes of an event{cut}")


def _why_not(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def chunks(
    begin: Position,
    blocks: Iterable[Sequence[bytes]],
    batch_size: int,
    full_bytes: Callable[[], int],
    form: LineForm = JSON,
) -> Iterator[Chunk]:
    """Yields the chunks of an object behind a position.

    Args:
        begin: where shipping of the object begins.
        blocks: all lines of the object, from its first, in blocks.
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
        for block in blocks_behind(begin, blocks):
            left = block
            while left:
                room = chunk.room(left, batch_size, most_bytes)
                if not room:
                    chunk.position = _behind(begin, number, last_line)
                    yield chunk
                    chunk, most_bytes, first = Chunk(begin, form), full_bytes(), number
                    continue
                chunk.take(number + 1, left[:room])
                number, last_line, left = number + room, left[room - 1], left[room:]
    except (UnreadableError, DamagedError) as exc:
        trouble = exc
    if isinstance(trouble, WrongContentError):
        # Nothing that was read since the last chunk is to be sent, and all before is in doubt.
        chunk = Chunk(replace(begin, in_doubt=begin.in_doubt or first > begin.lines), form)
    else:
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


def blocks_behind(begin: Position, blocks: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
    """Yields the lines behind a position, once those before it are seen to be the shipped ones.

    Args:
        begin: how far the object is shipped.
        blocks: all lines of the object, from its first, in blocks.

    Raises:
        ContentChangedError: the last shipped line is not there.
    """
    left = begin.lines
    rest = iter(blocks)
    try:
        while left:
            block = next(rest, None)
            if block is None:
                raise ContentChangedError
            if len(block) >= left:
                if zlib.crc32(block[left - 1]) != begin.line_hash:
                    raise ContentChangedError
                rest = chain([block[left:]], rest)
            left = max(0, left - len(block))
    except DamagedError as exc:
        # The line that is cut off here was shipped whole before.
        exc.rest = b""
        raise
    yield from rest


def events_behind(
    begin: Position, blocks: Iterable[Sequence[bytes]], form: LineForm = JSON
) -> Iterator[tuple[int, LogEvent | None]]:
    """Yields the number of each line behind a position, and its event, if it is one.

    Args:
        begin: how far the object is shipped.
        blocks: all lines of the object, from its first, in blocks.
        form: what the lines are.

    Raises:
        ContentChangedError: the last shipped line is not there.
    """
    chunk = Chunk(begin, form)
    lines = chain.from_iterable(blocks_behind(begin, blocks))
    for number, line in enumerate(lines, start=begin.lines + 1):
        chunk.take(number, [line])
        yield number, chunk.events.pop() if chunk.events else None
        chunk.quarantined.clear()


def _behind(begin: Position, number: int, last_line: bytes | None) -> Position:
    line_hash = begin.line_hash if last_line is None else zlib.crc32(last_line)
    return replace(begin, lines=number, line_hash=line_hash)
