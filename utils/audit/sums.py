"""Sums up lines and events by short intervals of their own time, in memory that does not grow."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from utils.model import Interval, union

# The length of an interval; whenever there are too many, each takes in its neighbour.
_STEP_MS = 60_000
MOST_CELLS = 32_768
# For lines that name no time, by their hashes alone.
_UNTIMED_CELLS = 1_024
# So much is compared line by line at once.
MOST_COMPARED = 100_000
# Times closer than this are read in one go.
_GAP_MS = 60 * 60 * 1000
_DIGEST_BYTES = 16


class Digests:
    """Hashes messages with a key that nobody knows beforehand, so nobody can make sums agree.

    Args:
        key: 16 to 64 random bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=_DIGEST_BYTES)

    def of(self, message: bytes) -> int:
        """Returns the hash of a message; its own time is a part of it."""
        keyed = self._keyed.copy()
        keyed.update(message)
        return int.from_bytes(keyed.digest(), "big")


class Cell(msgspec.Struct, gc=False):
    """What both sides hold of one interval.

    `difference` is the sum of the lines' hashes less that of the events'. `from_ms` and `until_ms`
    are the first and the last time at which events may stand that do not stand at their own.
    """

    lines: int = 0
    events: int = 0
    difference: int = 0
    from_ms: int | None = None
    until_ms: int = 0
    restamped: int = 0
    wrong_time: int = 0
    quarantined: int = 0

    def add_line(self, digest: int) -> None:
        """Takes a line of the bucket into account."""
        self.lines += 1
        self.difference += digest

    def add_event(self, digest: int) -> None:
        """Takes an event of a log stream into account."""
        self.events += 1
        self.difference -= digest

    def stands_at(self, stored_ms: int) -> None:
        """Notes that one of its events may stand at another time than its own.

        Args:
            stored_ms: that time, in ms since 1970.
        """
        self.until_ms = max(self.until_ms, stored_ms)
        self.from_ms = stored_ms if self.from_ms is None else min(self.from_ms, stored_ms)

    def add(self, other: "Cell") -> None:
        """Takes another interval in."""
        self.lines += other.lines
        self.events += other.events
        self.difference += other.difference
        self.restamped += other.restamped
        self.wrong_time += other.wrong_time
        self.quarantined += other.quarantined
        if other.from_ms is not None:
            self.stands_at(other.from_ms)
            self.stands_at(other.until_ms)

    @property
    def differs(self) -> bool:
        """Tells if the two sides do not hold the same."""
        return self.difference != 0 or self.lines != self.events


class Group(msgspec.Struct, frozen=True):
    """Intervals that differ, few enough to be compared at once: of too large ones a part.

    `spans` are the ranges of time at which their events stand, both ends included, in ms since
    1970.
    """

    cells: frozenset[int]
    step_ms: int | None
    spans: list[Interval]
    part: int = 0
    parts: int = 1

    def holds(self, own_ms: int | None, digest: int) -> bool:
        """Tells if a line or an event is one of these.

        Args:
            own_ms: the time that it names, in ms since 1970, None if it names none.
            digest: of its message.
        """
        if (own_ms is None) != (self.step_ms is None):
            return False
        cell = digest % _UNTIMED_CELLS if own_ms is None else own_ms // (self.step_ms or 1)
        return cell in self.cells and (digest >> 64) % self.parts == self.part

    @property
    def own_times(self) -> Interval | None:
        """The first and the last own time in them, in ms since 1970; None for lines without one."""
        if self.step_ms is None:
            return None
        return min(self.cells) * self.step_ms, (max(self.cells) + 1) * self.step_ms - 1


class Sums:
    """What the bucket and the log streams hold, reduced to a cell for each interval of time.

    Args:
        most_cells: how many intervals are told apart, at most; two are the least.
    """

    def __init__(self, most_cells: int = MOST_CELLS) -> None:
        self._most_cells = most_cells
        self.step_ms = _STEP_MS
        self._timed: dict[int, Cell] = {}
        self._untimed: dict[int, Cell] = {}

    def cell(self, own_ms: int | None, digest: int) -> Cell:
        """Returns the cell of a line or an event, a new one where there is none.

        Args:
            own_ms: the time that it names, in ms since 1970, None if it names none.
            digest: of its message.
        """
        if own_ms is None:
            return self._untimed.setdefault(digest % _UNTIMED_CELLS, Cell())
        found = self._timed.get(own_ms // self.step_ms)
        while found is None and len(self._timed) >= self._most_cells:
            self._widen()
            found = self._timed.get(own_ms // self.step_ms)
        return found or self._timed.setdefault(own_ms // self.step_ms, Cell())

    def known_cell(self, own_ms: int | None, digest: int) -> Cell | None:
        """Returns the cell of an event, None where there is none."""
        if own_ms is None:
            return self._untimed.get(digest % _UNTIMED_CELLS)
        return self._timed.get(own_ms // self.step_ms)

    def spans(self) -> list[Interval]:
        """Returns the ranges of the own times, both ends included, in ms since 1970."""
        return _merged(self._own_span(cell) for cell in self._timed)

    def alike(self) -> Iterator[Cell]:
        """Yields the cells in which both sides hold the same."""
        for cells in (self._timed, self._untimed):
            yield from (cell for cell in cells.values() if not cell.differs)

    def groups(self, most: int = MOST_COMPARED) -> Iterator[Group]:
        """Yields what differs, in order, in parts that can be compared line by line.

        Args:
            most: how many lines and events together a part is to have.
        """
        for cells, step_ms in ((self._timed, self.step_ms), (self._untimed, None)):
            numbers: list[int] = []
            size = 0
            for number in sorted(number for number, cell in cells.items() if cell.differs):
                held = cells[number].lines + cells[number].events
                if numbers and size + held > most:
                    yield from self._parts(cells, numbers, step_ms, -(-size // most))
                    numbers, size = [], 0
                numbers.append(number)
                size += held
            if numbers:
                yield from self._parts(cells, numbers, step_ms, -(-size // most))

    def _parts(
        self, cells: dict[int, Cell], numbers: list[int], step_ms: int | None, parts: int
    ) -> Iterator[Group]:
        elsewhere = [
            (one.from_ms, one.until_ms)
            for one in (cells[number] for number in numbers)
            if one.from_ms is not None
        ]
        own = [self._own_span(number) for number in numbers] if step_ms else []
        spans = _merged([*own, *elsewhere])
        for part in range(parts):
            yield Group(frozenset(numbers), step_ms, spans, part, parts)

    def _own_span(self, number: int) -> Interval:
        return number * self.step_ms, (number + 1) * self.step_ms - 1

    def _widen(self) -> None:
        self.step_ms *= 2
        cells, self._timed = self._timed, {}
        for number, cell in cells.items():
            known = self._timed.setdefault(number // 2, cell)
            if known is not cell:
                known.add(cell)


def _merged(spans: Iterable[Interval]) -> list[Interval]:
    """Returns ranges with both ends included as fewer, without the gaps that are not worth it."""
    wide = union((first, last + 1 + _GAP_MS) for first, last in spans)
    return [(first, end - _GAP_MS - 1) for first, end in wide]
