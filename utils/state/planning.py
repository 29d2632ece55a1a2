"""Decides which listed objects are shipped next, and in what order."""

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from utils.model import FOREVER_MS, LogObject
from utils.state.ledger import Ledger, Survey

# A page of the listing.
STRETCH_OBJECTS = 1_000


def oldest(due: Iterable[LogObject], most: int) -> list[LogObject]:
    """Returns so many of the oldest due objects, oldest first."""
    return heapq.nsmallest(most, due, key=lambda one: (one.last_modified_ms, one.key))


class Stretch(msgspec.Struct):
    """Consecutive objects of one listing: those behind the key `after`, up to `last`.

    `place` is the prefix that was listed, None for what stands beside the folders. `due` of them
    were to be shipped, last modified from `oldest_ms` to `newest_ms`, since 1970.
    """

    place: str | None
    after: str
    last: str = ""
    objects: int = 0
    due: int = 0
    oldest_ms: int = FOREVER_MS
    newest_ms: int = 0


class Backlog:
    """What is left of one listing, in memory for each page and not for each object.

    The oldest objects are planned first, so most plans need a few pages only. What is written after
    the listing is left to the next one. `until_ms` is the newest `LastModified` that the next plan
    is made of, in ms since 1970.

    Args:
        prefix: what all listed keys begin with.
        now_ms: when the listing begins, in ms since 1970.
    """

    def __init__(self, prefix: str = "", now_ms: int = 0) -> None:
        self.survey = Survey(prefix, now_ms)
        # The first plan takes whatever is due.
        self.until_ms = FOREVER_MS
        self._stretches: list[Stretch] = []

    def __bool__(self) -> bool:
        """Tells if something is left."""
        return bool(self._stretches)

    def places(self, ledgers: Sequence[Ledger], folders: Iterable[str]) -> list[str | None]:
        """Returns what is to be listed: prefixes, and None for what stands beside the folders.

        For a sweep it is everything at once, by far fewer pages than of thousands of folders, and
        so it is where more folders have something new than everything has pages. All partitions of
        a source sweep together, and list what one of them asks for.

        Args:
            ledgers: of the source's partitions.
            folders: of the top level.
        """
        survey = self.survey
        survey.is_sweep = any(one.is_sweep_due(survey.now_ms) for one in ledgers)
        awake = [one for one in folders if not all(by.is_dormant(one) for by in ledgers)]
        pages = max(one.coverage.swept_objects for one in ledgers) // STRETCH_OBJECTS + 1
        is_at_once = survey.is_sweep or len(awake) > pages
        return [survey.prefix] if is_at_once else [None, *awake]

    def begin(self, place: str | None, after: str = "") -> None:
        """Says what is listed from now on.

        Args:
            place: one of `places`.
            after: the key behind which it begins.
        """
        if self._stretches and not self._stretches[-1].due:
            self._stretches.pop()
        self._stretches.append(Stretch(place, after))

    def note(self, listed: LogObject, *, is_due: bool) -> None:
        """Takes the next object of the listing into account."""
        self.survey.note(listed)
        stretch = self._stretches[-1]
        if stretch.objects == STRETCH_OBJECTS:
            self.begin(stretch.place, stretch.last)
            stretch = self._stretches[-1]
        stretch.last = listed.key
        stretch.objects += 1
        if is_due:
            stretch.oldest_ms = min(stretch.oldest_ms, listed.last_modified_ms)
            stretch.newest_ms = max(stretch.newest_ms, listed.last_modified_ms)
            stretch.due += 1

    def carry_out(self, plan: Sequence[LogObject], most: int) -> int:
        """Notes that a plan is carried out; everything listed before the time returned is shipped.

        Args:
            plan: of `oldest`, from the due objects of `stretches` up to `until_ms`.
            most: how many objects were wanted.
        """
        is_cut = len(plan) == most
        frontier_ms = plan[-1].last_modified_ms if is_cut else self.until_ms + 1
        left = [one for one in self._stretches if one.due and one.newest_ms >= frontier_ms]
        self._stretches, self.until_ms = left, self.survey.newest_ms
        due = 0
        for stretch in sorted(left, key=lambda one: one.newest_ms):
            due += stretch.due
            if due >= most:
                self.until_ms = stretch.newest_ms
                break
        return min(frontier_ms, self.survey.newest_ms) if left else self.survey.newest_ms

    def stretches(self) -> list[Stretch]:
        """Returns the stretches that may hold objects up to `until_ms` that are due."""
        return [one for one in self._stretches if one.oldest_ms <= self.until_ms]
