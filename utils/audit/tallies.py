"""Remembers in little memory what reading each object has shown."""

import zlib
from collections.abc import Iterator

import msgspec

from utils.model import FOREVER_MS, LogObject, Position

_BLOCK_OBJECTS = 1_000


class Tally(msgspec.Struct, array_like=True):
    """What reading an object has shown.

    `place` is its own among all. `unsendable` are lines that CloudWatch can't take; the last one is
    if it `is_cut_off`. `line_hash` is that of the last line that is not, and `sha256` that of all
    lines, each ended by a line end. `first_ms` and `last_ms` are the first and the last own time,
    in ms since 1970.
    """

    object: LogObject
    place: int = 0
    lines: int = 0
    blank: int = 0
    excluded: int = 0
    unsendable: int = 0
    line_hash: int = 0
    is_damaged: bool = False
    is_cut_off: bool = False
    has_untimed: bool = False
    first_ms: int = FOREVER_MS
    last_ms: int = -FOREVER_MS
    sha256: str = ""

    @property
    def due(self) -> int:
        """How many lines are to be in a log stream or in the quarantine."""
        return self.lines - self.blank - self.excluded

    @property
    def end(self) -> Position:
        """Behind its last whole line."""
        return Position(self.object, self.lines - self.is_cut_off, self.line_hash)

    def note(self, own_ms: int | None) -> None:
        """Takes a line's own time into account; None if it names none."""
        if own_ms is None:
            self.has_untimed = True
        else:
            self.first_ms = min(self.first_ms, own_ms)
            self.last_ms = max(self.last_ms, own_ms)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Tally]).decode


class Tallies:
    """The tallies of all objects, in the order in which they are added."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._last: list[Tally] = []

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._blocks) * _BLOCK_OBJECTS + len(self._last)

    def __iter__(self) -> Iterator[Tally]:
        """Yields each."""
        for block in self._blocks:
            yield from _decode(zlib.decompress(block))
        yield from self._last

    def add(self, tally: Tally) -> None:
        """Adds one that is complete, but for its hash: that can't be made any smaller."""
        tally.place, tally.sha256 = len(self), ""
        self._last.append(tally)
        if len(self._last) == _BLOCK_OBJECTS:
            self._blocks.append(zlib.compress(_encode(self._last), 1))
            self._last = []
