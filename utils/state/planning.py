"""Decides which listed objects are shipped next, and in what order."""

import heapq
from collections.abc import Iterable, Sequence

import msgspec

from utils.model import LogObject

# A page of the listing.
STRETCH_OBJECTS = 1_000


class Survey(msgspec.Struct):
    """What one listing showed below a prefix, all times in ms since 1970."""

    prefix: str = ""
    listed: int = 0
    newest_ms: int = 0
    newest_of_type_ms: int = 0
    newest_by_folder: dict[str, int] = msgspec.field(default_factory=dict)

    def note(self, listed: LogObject) -> None:
        """Takes one listed object into account."""
        self.count(listed)
        self.newest_ms = max(self.newest_ms, listed.last_modified_ms)

    def count(self, listed: LogObject) -> None:
        """Counts an object and notes that its folder holds it, so it is found if it becomes due.

        Of one that is left out no more is noted: it does not say how far everything is shipped.
        """
        self.listed += 1
        folder = listed.folder(self.prefix)
        newest_ms = self.newest_by_folder.get(folder, 0)
        self.newest_by_folder[folder] = max(newest_ms, listed.last_modified_ms)


def oldest(due: Iterable[LogObject], most: int) -> list[LogObject]:
    """Returns the oldest of the due objects, oldest first.

    Args:
        due: in any order.
        most: how many are wanted.
    """
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
    oldest_ms: int = 0
    newest_ms: int = 0


class Backlog:
    """What is left of one listing, in memory for each page and not for each object.

    The oldest objects are planned first, so most plans need a few pages only. What is written after
    the listing is left to the next one.

    Args:
        prefix: what all listed keys begin with.
    """

    def __init__(self, prefix: str = "") -> None:
        self.survey = Survey(prefix)
        self._stretches: list[Stretch] = []
        self._place: str | None = None
        self._until_ms: int | None = None

    def __bool__(self) -> bool:
        """Tells if something is left."""
        return bool(self._stretches)

    @property
    def until_ms(self) -> int:
        """The newest `LastModified` that the next plan is made of, in ms since 1970."""
        return self.survey.newest_ms if self._until_ms is None else self._until_ms

    def begin(self, place: str | None) -> None:
        """Says what is listed from now on.

        Args:
            place: a prefix, None for what stands beside the folders.
        """
        self._place = place

    def note(self, listed: LogObject, *, is_due: bool) -> None:
        """Takes the next object of the listing into account."""
        self.survey.note(listed)
        stretch = self._current_stretch()
        stretch.last = listed.key
        stretch.objects += 1
        if is_due:
            moment_ms = listed.last_modified_ms
            stretch.oldest_ms = min(stretch.oldest_ms, moment_ms) if stretch.due else moment_ms
            stretch.newest_ms = max(stretch.newest_ms, moment_ms)
            stretch.due += 1

    def carry_out(self, plan: Sequence[LogObject], most: int) -> int:
        """Notes that a plan is carried out; everything listed before the time returned is shipped.

        Args:
            plan: of `oldest`, from the due objects of `stretches` up to `until_ms`.
            most: how many objects were wanted.
        """
        is_cut = len(plan) == most
        frontier_ms = plan[-1].last_modified_ms if is_cut else self.until_ms + 1
        self._stretches = [
            one for one in self._stretches if one.due and one.newest_ms >= frontier_ms
        ]
        self._until_ms = self._reach(most)
        return min(frontier_ms, self.survey.newest_ms) if self._stretches else self.survey.newest_ms

    def stretches(self) -> list[Stretch]:
        """Returns the stretches that may hold objects up to `until_ms` that are due."""
        return [one for one in self._stretches if one.oldest_ms <= self.until_ms]

    def _current_stretch(self) -> Stretch:
        current = self._stretches[-1] if self._stretches else None
        is_same_place = current is not None and current.place == self._place
        if current and is_same_place and current.objects < STRETCH_OBJECTS:
            return current
        if current and not current.due:
            self._stretches.pop()
        self._stretches.append(
            Stretch(self._place, current.last if current and is_same_place else "")
        )
        return self._stretches[-1]

    def _reach(self, most: int) -> int:
        """Returns up to which time enough is due for a plan, or everything."""
        due = 0
        for stretch in sorted(self._stretches, key=lambda one: one.newest_ms):
            due += stretch.due
            if due >= most:
                return stretch.newest_ms
        return self.survey.newest_ms


def is_of_type(listed: LogObject, log_type: str) -> bool:
    """Tells if an object below the source's prefix is an audit log of the type.

    The beginning of its base name tells that. Objects of the type `Access` are told by their prefix
    alone: only an empty one that stands for a folder is none.

    Args:
        listed: the object.
        log_type: `S3`, `IAM`, `Console` or `Access`.
    """
    if log_type == "Access":
        return bool(listed.size_bytes) or not listed.key.endswith("/")
    return listed.key.rpartition("/")[2].lower().startswith(f"{log_type.lower()}-")
