"""Remembers in little memory what reading each object showed."""

from array import array
from collections.abc import Iterable

import msgspec

from utils.audit.sums import Group
from utils.config.partitions import key_hash
from utils.model import LogObject, Position


class Tally(msgspec.Struct):
    """What reading an object has shown.

    `unsendable` are lines that CloudWatch can't take; the last one is if it is `cut_off`.
    `line_hash` is that of the last line that is not. `first_ms` and `last_ms` are the first and the
    last own time, in ms since 1970; without one they are behind one another, so that they overlap
    with nothing.
    """

    lines: int = 0
    blank: int = 0
    excluded: int = 0
    unsendable: int = 0
    content_hash: str = ""
    line_hash: int = 0
    damage: str = ""
    cut_off: bool = False
    first_ms: int = 1
    last_ms: int = 0
    has_untimed: bool = False

    def note(self, own_ms: int | None) -> None:
        """Takes a line's own time into account; None if it names none."""
        if own_ms is None:
            self.has_untimed = True
        elif self.first_ms > self.last_ms:
            self.first_ms = self.last_ms = own_ms
        elif own_ms < self.first_ms:
            self.first_ms = own_ms
        elif own_ms > self.last_ms:
            self.last_ms = own_ms


class Known(msgspec.Struct, frozen=True):
    """Where an object ends, and whether it is damaged."""

    end: Position
    is_damaged: bool


class Spans:
    """How far each object goes, and its first and last own time, in the order of the listing."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._first_ms = array("q")
        self._last_ms = array("q")
        self._modified_ms = array("q")
        self._untimed = bytearray()
        self._lines = array("I")
        self._line_hashes = array("I")
        self._damaged = bytearray()
        self._at = 0

    def add(self, one: LogObject, tally: Tally) -> None:
        """Adds the next object, of which the tally is complete."""
        self._lines.append(tally.lines - tally.cut_off)
        self._line_hashes.append(tally.line_hash)
        self._damaged.append(bool(tally.damage))
        self._keys.append(key_hash(one.key))
        self._modified_ms.append(one.last_modified_ms)
        self._first_ms.append(tally.first_ms)
        self._last_ms.append(tally.last_ms)
        self._untimed.append(tally.has_untimed)

    def newest_beside(self, keys: Iterable[str]) -> int:
        """Returns the newest `LastModified` of the objects with lines, but for some, 0 without any.

        Args:
            keys: of those that do not count.
        """
        others = {key_hash(key) for key in keys}
        known = zip(
            self._keys, self._modified_ms, self._first_ms, self._last_ms, self._untimed, strict=True
        )
        return max(
            (
                ms
                for key, ms, first, last, untimed in known
                if key not in others and (untimed or first <= last)
            ),
            default=0,
        )

    def begin(self) -> None:
        """Begins with the first object again."""
        self._at = 0

    def may_hold(self, key: str, group: Group) -> bool:
        """Tells if an object may have lines in a group; it is asked in the listing's order.

        One that has not been added has none.

        Args:
            key: the object's.
            group: of intervals.
        """
        place = self._place(key)
        if place is None:
            return False
        own_times = group.own_times
        if own_times is None:
            return bool(self._untimed[place])
        return self._first_ms[place] <= own_times[1] and own_times[0] <= self._last_ms[place]

    def known(self, one: LogObject) -> Known | None:
        """Returns what is known of an object, None if it has not been added.

        It is asked in the listing's order.
        """
        place = self._place(one.key)
        if place is None or self._modified_ms[place] != one.last_modified_ms:
            return None
        end = Position(one, self._lines[place], self._line_hashes[place])
        return Known(end, bool(self._damaged[place]))

    def _place(self, key: str) -> int | None:
        try:
            place = self._keys.index(key_hash(key), self._at)
        except ValueError:
            return None
        self._at = place + 1
        return place
