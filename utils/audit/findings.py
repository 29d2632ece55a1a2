"""Gathers what the bucket and the log streams do not have in common, by object and line."""

from array import array
from collections import Counter
from collections.abc import Collection
from itertools import islice
from typing import Literal

import msgspec

from utils.audit.comparison import Comparison
from utils.audit.spans import Spans, Tally
from utils.model import LogObject

MOST_LINES = 1_000
MOST_OBJECTS = 1_000

Kind = Literal["missing", "doubled", "unreadable"]
Fate = Literal["missing", "quarantined", "expired"]


class Limits(msgspec.Struct, frozen=True):
    """How much is kept of what is missing: objects, and lines of each."""

    objects: int
    lines: int


# Objects that turn out to be whole are not reported.
TOLD = Limits(10_000, MOST_LINES)


class ObjectFigures(msgspec.Struct):
    """What became of an object's lines; all others together are `lines`."""

    lines: int = 0
    found: int = 0
    missing: int = 0
    quarantined: int = 0
    blank: int = 0
    excluded: int = 0
    expired: int = 0


class Difference(msgspec.Struct, omit_defaults=True):
    """Lines of one object that are missing, or of which there are too many copies.

    `lines` are the numbers of the first of them, from 1, and `count` how many there are. `figures`
    are those of the whole object; `reason` is why it can't be read.
    """

    object: str
    kind: Kind
    lines: list[int] = []
    count: int = 0
    figures: ObjectFigures | None = None
    reason: str = ""


class _Noted(msgspec.Struct):
    """An object that lacks lines: those in the intervals that differ, and its tally."""

    modified_ms: int
    tally: Tally
    numbers: "array[int]"
    fates: Counter[Fate] = msgspec.field(default_factory=Counter)
    unsendable: int = 0

    @property
    def missing(self) -> int:
        """How many of its lines are missing."""
        return self.fates["missing"]

    @property
    def is_untouched(self) -> bool:
        """Tells if none of its lines has been found anywhere."""
        return self.missing == self.tally.lines - self.tally.blank - self.tally.excluded

    def figures(self) -> ObjectFigures:
        """Returns what became of its lines."""
        quarantined = self.fates["quarantined"] + self.tally.unsendable - self.unsendable
        unsent = self.tally.blank + self.tally.excluded
        others = self.missing + quarantined + self.fates["expired"] + unsent
        return ObjectFigures(
            lines=self.tally.lines,
            found=self.tally.lines - others,
            missing=self.missing,
            quarantined=quarantined,
            blank=self.tally.blank,
            excluded=self.tally.excluded,
            expired=self.fates["expired"],
        )


class Findings:
    """What one look has found.

    `arrived_ms` is the oldest `LastModified` of the objects of which lines were stored after the
    bucket was listed, in ms since 1970, None if there is none.

    Lines count as left out, and not as missing, in objects that were written since `under_way_ms`;
    and in objects without any stored line that were written since `young_ms` and after all objects
    with one.

    Args:
        young_ms: when the last iteration began, in ms since 1970, None if nothing is known of it.
        under_way_ms: the `LastModified` from which on all is under way, None if nothing is.
        limits: of what is kept.
    """

    def __init__(self, young_ms: int | None, under_way_ms: int | None, limits: Limits) -> None:
        self._limits = limits
        self._young_ms = young_ms
        self._under_way_ms = under_way_ms
        self._noted: dict[str, _Noted] = {}
        self._doubled: dict[str, Difference] = {}
        self._fates: Counter[Fate] = Counter()
        self._left_out_lines = self._young_lines = 0
        self._young: dict[str, _Noted] = {}
        self.restamped = self.wrong_time = self.doubled = self.foreign = 0
        self.arrived_ms: int | None = None

    def note(self, one: LogObject, number: int, fate: Fate, *, is_sendable: bool) -> None:
        """Notes a line that is in no log stream.

        Args:
            one: its object.
            number: of the line, from 1.
            fate: what became of it.
            is_sendable: whether CloudWatch could take it.
        """
        under_way = self._under_way_ms
        if fate == "missing" and under_way is not None and one.last_modified_ms >= under_way:
            self._left_out_lines += 1
            return
        self._fates[fate] += 1
        noted = self._noted_of(one)
        if noted:
            noted.fates[fate] += 1
            noted.unsendable += not is_sendable
            if fate == "missing" and len(noted.numbers) < self._limits.lines:
                noted.numbers.append(number)

    def end_object(self, key: str, tally: Tally) -> None:
        """Notes what reading an object has shown, once it is read."""
        if key in self._noted:
            self._noted[key].tally = tally

    def arrive(self, one: LogObject) -> None:
        """Notes that a line of an object was stored after the bucket was listed."""
        known_ms = one.last_modified_ms if self.arrived_ms is None else self.arrived_ms
        self.arrived_ms = min(known_ms, one.last_modified_ms)

    def add(self, comparison: Comparison) -> None:
        """Takes into account what is left once all lines of some intervals are compared."""
        self.foreign += comparison.foreign()
        for key, number, copies in comparison.doubled():
            self.doubled += copies
            if key in self._doubled or len(self._doubled) < MOST_OBJECTS:
                difference = self._doubled.setdefault(key, Difference(key, "doubled", [], 0))
                difference.count += copies
                if len(difference.lines) < MOST_LINES:
                    difference.lines.append(number)

    @property
    def quarantined(self) -> int:
        """How many lines are in the quarantine, of those in the intervals that differ."""
        return self._fates["quarantined"]

    @property
    def expired(self) -> int:
        """How many lines the log group's retention may have removed."""
        return self._fates["expired"]

    def end(self, spans: Spans, young_ms: int | None) -> None:
        """Finds out which objects are too young to be missing, once all is compared.

        Args:
            spans: of all objects.
            young_ms: when the last iteration began, as it is known by now.
        """
        self._young_ms = young_ms
        untouched = {
            key for key, one in self._noted.items() if self._may_be_young(one) and one.is_untouched
        }
        newest_ms = spans.newest_beside(untouched)
        self._young = {
            key: self._noted[key] for key in untouched if self._noted[key].modified_ms > newest_ms
        }
        self._young_lines = sum(one.missing for one in self._young.values())

    @property
    def missing(self) -> int:
        """How many lines are in no log stream that should be."""
        return self._fates["missing"] - self._young_lines

    @property
    def left_out_lines(self) -> int:
        """How many lines are in no log stream and need not be there yet."""
        return self._left_out_lines + self._young_lines

    @property
    def left_out_objects(self) -> int:
        """How many objects have no line in a log stream and need not have one yet."""
        return len(self._young)

    @property
    def young(self) -> Collection[str]:
        """The keys of these objects."""
        return self._young.keys()

    def missing_lines(self) -> dict[str, "array[int]"]:
        """Returns the numbers of the missing lines by the key of their object."""
        return {
            key: one.numbers
            for key, one in self._noted.items()
            if one.numbers and key not in self._young
        }

    def differences(self) -> list[Difference]:
        """Returns the first objects of which lines are missing or doubled."""
        lacking = (
            Difference(key, "missing", sorted(one.numbers[:MOST_LINES]), one.missing, one.figures())
            for key, one in self._noted.items()
            if one.missing and key not in self._young
        )
        return [*islice(lacking, MOST_OBJECTS), *self._doubled.values()]

    def _noted_of(self, one: LogObject) -> _Noted | None:
        noted = self._noted.get(one.key)
        if noted is None:
            noted = _Noted(one.last_modified_ms, Tally(), array("I"))
            if len(self._noted) >= self._limits.objects and not self._may_be_young(noted):
                return None
            self._noted[one.key] = noted
        return noted

    def _may_be_young(self, noted: _Noted) -> bool:
        return self._young_ms is not None and noted.modified_ms >= self._young_ms
