"""Sums up lines and events by short intervals of their own time, in memory that does not grow."""

from collections.abc import Iterable, Iterator

import msgspec

from utils.model import FOREVER_MS, READ_GAP_MS, Interval, union

# The length of an interval; whenever there are too many, each takes in its neighbour.
_STEP_MS = 60_000
MOST_CELLS = 32_768
# Lines that name no time have one by their hashes, long before all others.
_UNTIMED_CELLS = 1_024
_UNTIMED_MS = -(2**60)
_UNTIMED_END_MS = _UNTIMED_MS + _UNTIMED_CELLS * _STEP_MS
# So much is compared line by line at once.
MOST_COMPARED = 100_000


class Cell(msgspec.Struct, gc=False):
    """What both sides hold of one interval.

    `difference` is the sum of the lines' hashes less that of the events'. Events that do not stand
    at their own time may stand from `from_ms` to `until_ms`, both included.
    """

    lines: int = 0
    events: int = 0
    difference: int = 0
    from_ms: int = FOREVER_MS
    until_ms: int = -1
    restamped: int = 0
    wrong_time: int = 0

    def add_line(self, digest: int) -> None:
        """Takes a line of the bucket into account."""
        self.lines += 1
        self.difference += digest

    def add_event(self, digest: int) -> None:
        """Takes an event of a log stream into account."""
        self.events += 1
        self.difference -= digest

    def stands_at(self, stored_ms: int) -> None:
        """Notes at which time an event may stand that does not stand at its own."""
        self.from_ms = min(self.from_ms, stored_ms)
        self.until_ms = max(self.until_ms, stored_ms)

    def add(self, other: "Cell") -> None:
        """Takes another interval in."""
        self.lines += other.lines
        self.events += other.events
        self.difference += other.difference
        self.restamped += other.restamped
        self.wrong_time += other.wrong_time
        self.from_ms = min(self.from_ms, other.from_ms)
        self.until_ms = max(self.until_ms, other.until_ms)

    @property
    def differs(self) -> bool:
        """Tells if the two sides do not hold the same."""
        return self.difference != 0 or self.lines != self.events


class Group(msgspec.Struct, frozen=True):
    """Intervals that differ, few enough to be compared at once: of too large ones a part.

    `own_times` are about the ranges of their own times, `spans` those at which their events stand.
    """

    cells: frozenset[int]
    step_ms: int
    own_times: list[Interval]
    spans: list[Interval]
    part: int
    parts: int

    def holds(self, own_ms: int | None, digest: int) -> bool:
        """Tells if a line or an event is one of these."""
        cell = _time_ms(own_ms, digest) // self.step_ms
        return cell in self.cells and (digest >> 64) % self.parts == self.part

    def may_hold(self, first_ms: int, last_ms: int, *, has_untimed: bool) -> bool:
        """Tells if lines may be among these, by the first and the last time that they name."""
        if has_untimed and self.own_times[0][0] < _UNTIMED_END_MS:
            return True
        return any(first <= last_ms and first_ms < end for first, end in self.own_times)


class Sums:
    """What the bucket and the log streams hold, reduced to a cell for each interval of time.

    At most `most_cells` of them are told apart; two are the least.
    """

    def __init__(self, most_cells: int = MOST_CELLS) -> None:
        self._most_cells = most_cells
        self._step_ms = _STEP_MS
        self._cells: dict[int, Cell] = {}

    def cell(self, own_ms: int | None, digest: int) -> Cell:
        """Returns the cell of a line or an event, a new one where there is none.

        Args:
            own_ms: the time that it names, in ms since 1970, None if it names none.
            digest: of its message.
        """
        time_ms = _time_ms(own_ms, digest)
        while (found := self._cells.get(time_ms // self._step_ms)) is None:
            if len(self._cells) < self._most_cells:
                return self._cells.setdefault(time_ms // self._step_ms, Cell())
            self._widen()
        return found

    def known_cell(self, own_ms: int | None, digest: int) -> Cell | None:
        """Returns the cell of an event, None where there is none."""
        return self._cells.get(_time_ms(own_ms, digest) // self._step_ms)

    def spans(self) -> list[Interval]:
        """Returns about the ranges of the own times."""
        return self._own_times(self._cells)

    def alike(self) -> list[Cell]:
        """Returns the cells in which both sides hold the same."""
        return [cell for cell in self._cells.values() if not cell.differs]

    def groups(self) -> Iterator[Group]:
        """Yields what differs, in order, in parts that can be compared line by line."""
        near: list[int] = []
        size = 0
        for number in sorted(number for number, cell in self._cells.items() if cell.differs):
            held = self._cells[number].lines + self._cells[number].events
            if near and size + held > MOST_COMPARED:
                yield from self._parts(near, size)
                near, size = [], 0
            near.append(number)
            size += held
        if near:
            yield from self._parts(near, size)

    def _parts(self, numbers: list[int], size: int) -> Iterator[Group]:
        own_times = self._own_times(numbers)
        elsewhere = (
            (cell.from_ms, cell.until_ms + 1) for cell in map(self._cells.__getitem__, numbers)
        )
        spans = union([*own_times, *elsewhere], READ_GAP_MS)
        parts = -(-size // MOST_COMPARED)
        for part in range(parts):
            yield Group(frozenset(numbers), self._step_ms, own_times, spans, part, parts)

    def _own_times(self, numbers: Iterable[int]) -> list[Interval]:
        step_ms = self._step_ms
        return union(
            ((number * step_ms, (number + 1) * step_ms) for number in numbers), READ_GAP_MS
        )

    def _widen(self) -> None:
        self._step_ms *= 2
        cells, self._cells = self._cells, {}
        for number, cell in cells.items():
            known = self._cells.setdefault(number // 2, cell)
            if known is not cell:
                known.add(cell)


def _time_ms(own_ms: int | None, digest: int) -> int:
    return _UNTIMED_MS + digest % _UNTIMED_CELLS * _STEP_MS if own_ms is None else own_ms
