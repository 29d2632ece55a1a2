"""Compares line by line, and gathers what the two sides do not have in common."""

from array import array
from collections import Counter
from collections.abc import Iterable
from typing import Literal, get_args

from utils.audit.audit import MOST_LINES, MOST_OBJECTS, Difference
from utils.audit.tallies import Tally
from utils.model import FOREVER_MS

Fate = Literal["missing", "quarantined", "expired"]


class Comparison:
    """The events of some intervals, of which each line claims one: both are multisets."""

    def __init__(self) -> None:
        self._left: Counter[int] = Counter()
        self._late: Counter[int] = Counter()
        self._surplus: dict[int, tuple[str, int]] = {}

    def observe(self, digest: int, *, is_late: bool) -> None:
        """Takes an event into account; it is late if it was stored after the bucket was listed."""
        self._left[digest] += 1
        if is_late:
            self._late[digest] += 1

    def claim(self, digest: int, key: str, number: int) -> bool:
        """Claims one event for a line of an object; returns whether there was one."""
        left = self._left.get(digest, 0)
        if not left:
            return False
        if left > 1:
            self._left[digest] = left - 1
            self._surplus[digest] = (key, number)
        else:
            del self._left[digest]
            self._surplus.pop(digest, None)
        return True

    def is_late(self, digest: int) -> bool:
        """Tells if an event of this message was late."""
        return digest in self._late

    @property
    def has_surplus(self) -> bool:
        """Tells if any line has more copies than there are lines."""
        return bool(self._surplus)

    def claim_beside(self, digest: int) -> None:
        """Claims one event for a line of an object that is not compared."""
        if digest in self._surplus:
            self._left[digest] -= 1
            if not self._left[digest]:
                del self._left[digest], self._surplus[digest]

    def doubled(self) -> list[tuple[str, int, int]]:
        """Returns the lines of which there are more copies: key, number, and how many more."""
        return sorted((*self._surplus[one], self._left[one]) for one in self._surplus)

    def foreign(self) -> int:
        """Returns how many events are of no line, except for objects written meanwhile."""
        return sum(
            max(0, copies - self._late[digest])
            for digest, copies in self._left.items()
            if digest not in self._surplus
        )


class Findings:
    """What one look has found; most of it is known once it is `conclude`d.

    `left_out` are missing lines that need not be there yet, `left_out_objects` the objects of them
    of which nothing is there; `young` are those of these that the last iteration did not know.
    `missing_lines` are the numbers of the others by the key of their object, and `newest_ms` is the
    newest `LastModified` of what is there.

    Args:
        objects: how many are compared.
        most_objects: of so many, at most, the numbers of missing lines are kept,
        most_lines: and so many of each.
    """

    def __init__(self, objects: int, most_objects: int, most_lines: int) -> None:
        self._most_objects, self._most_lines = most_objects, most_lines
        self._fates = {fate: array("i", bytes(4 * objects)) for fate in get_args(Fate)}
        self._numbers: dict[int, array[int]] = {}
        self._doubled: dict[str, Difference] = {}
        # The oldest `LastModified` of objects of which a line was stored after the bucket was
        # listed.
        self._arrived_ms = FOREVER_MS
        self.doubled = self.foreign = self.restamped = self.wrong_time = 0
        self.missing = self.left_out = self.left_out_objects = self.newest_ms = 0
        self.young: set[str] = set()
        self.missing_lines: dict[str, array[int]] = {}
        self._lacking: list[Tally] = []

    def note(self, place: int, number: int, fate: Fate, *, is_sendable: bool) -> None:
        """Notes a line that is in no log stream, by the place of its object and its number, from 1.

        One that CloudWatch can't take counted as quarantined before.
        """
        self._fates[fate][place] += 1
        self._fates["quarantined"][place] -= not is_sendable
        if fate != "missing":
            return
        numbers = self._numbers.get(place)
        if numbers is None and len(self._numbers) < self._most_objects:
            numbers = self._numbers[place] = array("I")
        if numbers is not None and len(numbers) < self._most_lines:
            numbers.append(number)

    def arrive(self, modified_ms: int) -> None:
        """Notes that a line of an object of that time was stored after the bucket was listed."""
        self._arrived_ms = min(self._arrived_ms, modified_ms)

    def add(self, comparison: Comparison) -> None:
        """Takes into account what is left once all lines of some intervals are compared."""
        self.foreign += comparison.foreign()
        for key, number, copies in comparison.doubled():
            self.doubled += copies
            if key in self._doubled or len(self._doubled) < MOST_OBJECTS:
                difference = self._doubled.setdefault(key, Difference(key, "doubled"))
                difference.count += copies
                if len(difference.lines) < MOST_LINES:
                    difference.lines.append(number)

    def conclude(self, tallies: Iterable[Tally], young_ms: int | None) -> None:
        """Tells what is missing from what need not be there yet, once all is compared.

        That is what an object lacks that is not older than one of which lines arrived meanwhile;
        and all of an object that was written since `young_ms`, if that is known, and after all
        objects with any line that is there.
        """
        there = (
            one.object.last_modified_ms
            for one in tallies
            if one.due and not self._may_be_young(one, young_ms)
        )
        self.newest_ms = max(there, default=0)
        for one in tallies:
            missing = self._fates["missing"][one.place]
            if not missing:
                continue
            key, modified_ms = one.object.key, one.object.last_modified_ms
            is_young = modified_ms > self.newest_ms and self._may_be_young(one, young_ms)
            if is_young:
                self.young.add(key)
            if is_young or modified_ms >= self._arrived_ms:
                self.left_out += missing
                self.left_out_objects += missing == one.due
                continue
            self.missing += missing
            if one.place in self._numbers:
                self.missing_lines[key] = self._numbers[one.place]
                if len(self._lacking) < MOST_OBJECTS:
                    self._lacking.append(one)

    def differences(self) -> list[Difference]:
        """Returns the first objects of which lines are missing or doubled."""
        return [*map(self._difference, self._lacking), *self._doubled.values()]

    @property
    def quarantined(self) -> int:
        """How many more, or fewer, lines are in the quarantine than CloudWatch can't take."""
        return sum(self._fates["quarantined"])

    @property
    def expired(self) -> int:
        """How many lines the log group's retention may have removed."""
        return sum(self._fates["expired"])

    def _may_be_young(self, one: Tally, young_ms: int | None) -> bool:
        is_absent = 0 < self._fates["missing"][one.place] == one.due
        return is_absent and young_ms is not None and one.object.last_modified_ms >= young_ms

    def _difference(self, one: Tally) -> Difference:
        fates = {fate: counts[one.place] for fate, counts in self._fates.items()}
        fates["quarantined"] += one.unsendable
        figures = {
            "lines": one.lines,
            "found": one.due - sum(fates.values()),
            **fates,
            "blank": one.blank,
            "excluded": one.excluded,
        }
        numbers = sorted(self._numbers[one.place][:MOST_LINES])
        return Difference(one.object.key, "missing", numbers, fates["missing"], figures)
