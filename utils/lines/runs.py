"""Cuts the lines of objects into runs, each acknowledged as a whole."""

import zlib
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
    WINDOW_BYTES,
    WINDOW_OBJECTS,
    Counts,
    LogEvent,
    LogObject,
    OtherFormError,
    Position,
    QuarantinedLine,
)

MAX_RUN_LINES = 10_000
# What a checkpoint can name before a run is sent: the objects, and the bytes that they take.
MAX_RUN_OBJECTS = WINDOW_OBJECTS // 2
MAX_RUN_POSITIONS_BYTES = WINDOW_BYTES // 2
# With so many completed objects, a run ends once its last batch is whole.
_ENOUGH_OBJECTS = MAX_RUN_OBJECTS * 3 // 4
_HEAD_BYTES = getsizeof("\U0001f642")
# Beside its bytes Python holds up to four for each of a line's characters.
_BYTES_A_BYTE = 5

Blocks = Iterable[Sequence[bytes]]


class ContentChangedError(Exception):
    """The object no longer begins with the lines that were shipped of it."""


class ObjectPart(msgspec.Struct):
    """The lines of one object in a run: those behind `begin`, up to and with `position`.

    `is_last` says that nothing more of the object is read, and `trouble` why that is before its
    end. `is_gone` says that it was deleted.
    """

    begin: Position
    position: Position
    quarantined: list[QuarantinedLine] = msgspec.field(default_factory=list)
    counts: Counts = msgspec.field(default_factory=Counts)
    is_last: bool = False
    is_gone: bool = False
    trouble: ForwarderError | None = None

    @property
    def is_owed(self) -> bool:
        """Tells if the object is left here without being wholly shipped."""
        return self.is_last and self.trouble is not None and not self.is_gone

    def quarantine(self, number: int, line: bytes, reason: str) -> None:
        """Keeps a line that can't be delivered.

        Args:
            number: of the line, from 1.
            line: the line without its line end.
            reason: why, for the person who looks at it.
        """
        self.counts.quarantined += 1
        self.quarantined.append(QuarantinedLine(number, reason, line))


class Run(msgspec.Struct):
    """Consecutive lines in their order, across objects, that are acknowledged together.

    `parts` are those of its objects, by their keys. `size_bytes` is what it takes in memory,
    `request_bytes` in requests, `positions_bytes` its objects in a checkpoint.

    Attributes:
        form: what the lines are.
        batch_size: events in a batch.
        full_bytes: the memory to reach; twice as much is never exceeded by more than a line.
    """

    form: LineForm = JSON
    batch_size: int = 1
    full_bytes: int = 0
    parts: dict[str, ObjectPart] = msgspec.field(default_factory=dict)
    events: list[LogEvent] = msgspec.field(default_factory=list)
    lines: int = 0
    size_bytes: int = 0
    request_bytes: int = 0
    positions_bytes: int = 0

    @property
    def ends_in_trouble(self) -> bool:
        """Tells if its last object is not read to its end."""
        return bool(self.parts) and next(reversed(self.parts.values())).trouble is not None

    def has_place(self, begin: Position) -> bool:
        """Tells if one more object can be begun in it: none behind one with trouble.

        Args:
            begin: where the object's lines begin.
        """
        if not self.parts:
            return True
        if self.ends_in_trouble:
            return False
        taken_bytes = self.positions_bytes + _bytes_of(begin)
        is_in_window = taken_bytes <= MAX_RUN_POSITIONS_BYTES and len(self.parts) < MAX_RUN_OBJECTS
        return is_in_window and begin.object.key not in self.parts

    def room(self, lines: Sequence[bytes]) -> int:
        """Returns how many of the next lines it takes, 0 if it is full.

        Whole batches are preferred.

        Args:
            lines: the next ones of an object.
        """
        near = lines[: MAX_RUN_LINES - self.lines]
        if not any(near):
            # Nothing is kept of blank lines, and a kilobyte of gzip can hold a million of them.
            return len(near)
        most_bytes = self.full_bytes - self.size_bytes
        if most_bytes <= 0 or len(self.parts) > _ENOUGH_OBJECTS:
            most_bytes += self.full_bytes
            begun = len(self.events) % self.batch_size
            are_cut_by_bytes = self.batch_size * self.request_bytes > MAX_BATCH_BYTES * self.lines
            if most_bytes <= 0 or not begun or are_cut_by_bytes:
                return 0
            near = near[: self.batch_size - begun]
        if (
            sum(map(len, near)) * _BYTES_A_BYTE + len(near) * (EVENT_OVERHEAD_BYTES + _HEAD_BYTES)
            <= most_bytes
        ):
            return len(near)
        ends = list(accumulate(map(_most_bytes_of, near)))
        return min(len(near), 1 + bisect_left(ends, most_bytes))

    def take(self, part: ObjectPart, lines: Sequence[bytes]) -> None:
        """Takes the next lines of an object.

        Args:
            part: of the object.
            lines: the lines without their line ends.
        """
        number = part.position.lines
        line_hash = zlib.crc32(lines[-1])
        end = number + len(lines)
        part.position = replace(part.position, lines=end, line_hash=line_hash, is_cut=False)
        self._add(part)
        self.lines += len(lines)
        self.read(part, number + 1, lines)

    def read(self, part: ObjectPart, number: int, lines: Sequence[bytes]) -> None:
        """Makes events of lines, or counts what else they are.

        Args:
            part: of their object.
            number: of the first one, from 1.
            lines: the lines without their line ends.
        """
        counts = part.counts
        counts.read += len(lines)
        if not any(lines):
            counts.blank += len(lines)
            return
        time_ms, key, uploads_ms = self.form.time_ms, part.begin.object.key, part.begin.uploads_ms
        untimed_ms = part.begin.untimed_ms
        taken_bytes = kept_bytes = 0
        for at, line in enumerate(lines, number):
            if not line or line.isspace():
                counts.blank += 1
                continue
            size_bytes = len(line)
            taken_bytes += size_bytes + EVENT_OVERHEAD_BYTES
            try:
                message = line.decode() if size_bytes <= MAX_MESSAGE_BYTES else _too_long(line)
            except ValueError as exc:
                part.quarantine(at, line, _why_not(exc))
                continue
            if len(message) != size_bytes:
                # Held in up to four bytes a character, and again in UTF-8 once it is sent.
                kept_bytes += getsizeof(message)
            try:
                own_ms = time_ms(line)
            except ExcludedError:
                counts.excluded += 1
                continue
            except OtherFormError:
                own_ms = None
                setattr(counts, self.form.others, getattr(counts, self.form.others) + 1)
            timestamp_ms = untimed_ms if own_ms is None else own_ms
            self.events.append(LogEvent(timestamp_ms, message, size_bytes, at, key, uploads_ms))
        self.request_bytes += taken_bytes
        self.size_bytes += taken_bytes + kept_bytes

    def end(self, part: ObjectPart) -> None:
        """Takes the end of an object.

        Args:
            part: of the object.
        """
        part.is_last = True
        part.counts.objects = 1
        self._add(part)

    def drop(self, part: ObjectPart) -> None:
        """Forgets what it holds of an object.

        Args:
            part: of the object.
        """
        key = part.begin.object.key
        if self.parts.pop(key, None):
            self.events = [event for event in self.events if event.object_key != key]
            self.lines -= part.counts.read

    def _add(self, part: ObjectPart) -> None:
        if part.begin.object.key not in self.parts:
            self.parts[part.begin.object.key] = part
            self.positions_bytes += _bytes_of(part.begin)


def _bytes_of(position: Position) -> int:
    """Returns about how many bytes a position takes in a checkpoint."""
    return len(msgspec.json.encode(position))


def _most_bytes_of(line: bytes) -> int:
    """Returns the most that a line takes in memory: exactly so of ASCII."""
    if not line:
        return 0
    return EVENT_OVERHEAD_BYTES + (
        len(line) if line.isascii() else _BYTES_A_BYTE * len(line) + _HEAD_BYTES
    )


def _too_long(line: bytes) -> str:
    cut = f", and cut to {len(line)} bytes" if len(line) == LONGEST_LINE_BYTES else ""
    raise ValueError(f"longer than the {MAX_MESSAGE_BYTES} bytes of an event{cut}")


def _why_not(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)


def runs(
    positions: Iterable[Position],
    blocks_of: Callable[[LogObject], Blocks],
    batch_size: int,
    full_bytes: Callable[[], int],
    form: LineForm = JSON,
) -> Iterator[Run]:
    """Yields the lines of objects behind positions, in runs.

    An object that can't be read to its end, or is damaged, ends there; the others go on.

    Args:
        positions: where shipping of each object begins.
        blocks_of: returns all lines of an object, from its first, in blocks.
        batch_size: events in a batch.
        full_bytes: returns the size at which a run is full, as of now.
        form: of the lines.

    Raises:
        ForwarderError: nothing can be read now; what was read before is yielded first.
    """

    def begun() -> Run:
        return Run(form, batch_size, full_bytes())

    run = begun()
    for position in positions:
        if not run.has_place(position):
            yield run
            run = begun()
        try:
            run = yield from _of_object(position, blocks_of(position.object), run, begun)
        except ContentChangedError:
            anew = position.begun_anew()
            run = yield from _of_object(anew, blocks_of(anew.object), run, begun)
    if run.parts:
        yield run


def _of_object(
    begin: Position, blocks: Blocks, run: Run, begun: Callable[[], Run]
) -> Generator[Run, None, Run]:
    """Takes an object into a run; yields each run that is full, and returns the last one.

    Raises:
        ContentChangedError: before anything is taken, if the shipped lines are not there.
        ForwarderError: nothing can be read now.
    """
    part = ObjectPart(begin, begin)
    trouble: UnreadableError | DamagedError | None = None
    try:
        for block in blocks_behind(begin, blocks):
            left = block
            while left:
                room = run.room(left)
                if not room:
                    yield run
                    run, part = begun(), ObjectPart(part.position, part.position)
                    continue
                run.take(part, left[:room])
                left = left[room:]
    except (UnreadableError, DamagedError) as exc:
        trouble = exc
    except ForwarderError:
        if run.parts:
            yield run
        raise
    _end(run, part, begin, trouble)
    return run


def _end(
    run: Run, part: ObjectPart, begin: Position, trouble: UnreadableError | DamagedError | None
) -> None:
    """Takes the end of an object into a run.

    Args:
        run: holds what was read of the object since the last run.
        part: these lines.
        begin: where shipping of the object began.
        trouble: why it is not read to its end, if it is not.
    """
    if isinstance(trouble, WrongContentError):
        # None of these lines is to be sent, and all before them are in doubt.
        run.drop(part)
        in_doubt = begin.in_doubt or part.begin.lines > begin.lines
        part = ObjectPart(part.begin, replace(begin, in_doubt=in_doubt))
    if isinstance(trouble, UnreadableError):
        part.trouble = trouble
    elif trouble:
        part.trouble = _ends_early(begin.object, trouble)
        part.counts.damaged = 1
        # What is owed is read again in each iteration.
        if trouble.rest and not part.position.is_cut:
            part.counts.read += 1
            number = part.position.lines + 1
            part.quarantine(number, trouble.rest, f"cut off, because {trouble.reason}")
            part.position = replace(part.position, is_cut=True)
    if isinstance(trouble, ReplacedError):
        part.is_gone = isinstance(trouble, DeletedError)
        part.position = part.position.as_replaced()
    run.end(part)


def _ends_early(damaged: LogObject, error: DamagedError) -> ForwarderError:
    return ForwarderError(
        f"The object {damaged.key} ends early: {error.reason}",
        hint="What it holds is sent; once it is put back whole, the rest is sent too",
    )


def blocks_behind(begin: Position, blocks: Blocks) -> Iterator[Sequence[bytes]]:
    """Yields the lines behind a position, once those before it prove to be the shipped ones.

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
        # The line that is cut off here had been shipped whole.
        exc.rest = b""
        raise
    yield from rest


def events_behind(
    begin: Position, blocks: Blocks, form: LineForm = JSON
) -> Iterator[tuple[int, LogEvent | None]]:
    """Yields the number of each line behind a position, and its event, if it is one.

    Args:
        begin: how far the object is shipped.
        blocks: all lines of the object, from its first, in blocks.
        form: what the lines are.

    Raises:
        ContentChangedError: the last shipped line is not there.
    """
    run, part = Run(form), ObjectPart(begin, begin)
    lines = chain.from_iterable(blocks_behind(begin, blocks))
    for number, line in enumerate(lines, start=begin.lines + 1):
        run.read(part, number, [line])
        yield number, run.events.pop() if run.events else None
        part.quarantined.clear()
