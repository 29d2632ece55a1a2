"""Reads the lines of an object as the daemon does."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from zlib import crc32

import msgspec

from utils.audit.tallies import Tally
from utils.lines.decompression import DamagedError, ReplacedError
from utils.lines.forms import LineForm
from utils.lines.runs import ObjectPart, Run
from utils.model import Position


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line that is to be sent, without its line end; `own_ms` is None if it names no time."""

    number: int
    content: bytes
    own_ms: int | None
    is_sendable: bool


def due_lines(
    tally: Tally,
    blocks: Iterable[list[bytes]],
    form: LineForm,
    own_time_ms: Callable[[bytes], int | None],
) -> Iterator[Line]:
    """Yields the lines of an object that are neither blank nor excluded.

    Args:
        tally: takes what is read, and is complete at the end.
        blocks: all lines of the object.
        form: tells what is excluded.
        own_time_ms: returns the time that a message names, in ms since 1970.

    Raises:
        ServiceError: it can't be read now.
        ReplacedError: it is no longer what was listed.
    """
    begin = Position(tally.object)
    # The daemon's own: what that takes for an event is one here.
    run, part = Run(form), ObjectPart(begin, begin)
    hashed, rest = sha256(), b""
    try:
        for block in blocks:
            first = part.counts.read + 1
            run.read(part, first, block)
            for event in run.events:
                content = block[event.line_number - first]
                is_untimed = event.timestamp_ms == begin.untimed_ms
                own_ms = own_time_ms(content) if is_untimed else event.timestamp_ms
                tally.note(own_ms)
                yield Line(event.line_number, content, own_ms, is_sendable=True)
            for line in part.quarantined:
                tally.note(None)
                yield Line(line.number, line.content, None, is_sendable=False)
            run.events.clear()
            part.quarantined.clear()
            if block:
                hashed.update(b"\n".join([*block, b""]))
                tally.line_hash = crc32(block[-1])
    except ReplacedError:
        raise
    except DamagedError as exc:
        tally.is_damaged, rest = True, exc.rest
    counts = part.counts
    if rest:
        tally.note(None)
        tally.is_cut_off = True
        yield Line(counts.read + 1, rest, None, is_sendable=False)
    tally.lines = counts.read + tally.is_cut_off
    tally.unsendable = counts.quarantined + tally.is_cut_off
    tally.blank, tally.excluded = counts.blank, counts.excluded
    tally.sha256 = hashed.hexdigest()
