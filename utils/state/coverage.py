"""Knows which objects are shipped, in memory that does not grow with their number."""

from collections.abc import Iterable, Iterator

import msgspec

from utils.model import LogObject, Position
from utils.state.coverage_state import CoverageState, Owed, content_hash
from utils.state.intervals import union
from utils.state.planning import Survey
from utils.state.recent import Recent

# An object that appears this far behind the newest one is still found.
LATE_WINDOW_MS = 24 * 60 * 60 * 1000
# Folders in which nothing is new are listed this often.
SWEEP_EVERY_MS = 24 * 60 * 60 * 1000
# What keeps the checkpoint below 1 MB, with the open objects besides.
MAX_RECENT_OBJECTS = 15_000
MAX_RECENT_BYTES = 650_000
MAX_DORMANT_FOLDERS = 1_000
MAX_DORMANT_BYTES = 50_000
# What of the checkpoint is kept for objects that are owed. What does not fit stays due, because
# coverage does not pass it.
MAX_OWED_OBJECTS = 1_000
MAX_OWED_BYTES = 100_000
# So much more may be remembered before it is looked for what can be forgotten.
CLOSE_EVERY_BYTES = 100_000


class Coverage:
    """Knows which objects are shipped, in memory that does not grow with their number.

    Args:
        state: what the checkpoint holds; it is changed in place.
        prefix: what the source's keys begin with.
    """

    def __init__(self, state: CoverageState, prefix: str = "") -> None:
        self.state = state
        self._prefix = prefix
        self._recent = Recent(state)
        self._full_bytes = MAX_RECENT_BYTES + CLOSE_EVERY_BYTES
        self._sweep_ms: int | None = None
        self._swept: set[str] = set()
        self._owed: dict[str, Owed] = dict(state.owed or {})
        # Those that do not fit, and the oldest `LastModified` among them.
        self._unfit: set[str] = set()
        self._unfit_ms: int | None = None

    @property
    def owed(self) -> list[str]:
        """The keys of the objects that were tried and are not wholly shipped."""
        return [*self._owed, *sorted(self._unfit)]

    def begin_at(self, since_ms: int) -> None:
        """Moves the beginning of coverage to an earlier time; a later one changes nothing.

        Args:
            since_ms: ms since 1970.
        """
        if since_ms < self.state.since_ms:
            self.state.since_ms = since_ms
            self.state.swept_ms = None

    @property
    def is_sweeping(self) -> bool:
        """Tells if all folders are listed, which is to be noted."""
        return self._sweep_ms is not None

    def is_sweep_due(self, now_ms: int) -> bool:
        """Tells if all folders are to be listed, as they are once a day.

        Args:
            now_ms: the time in ms since 1970.
        """
        swept_ms = self.state.swept_ms
        return swept_ms is None or not 0 <= now_ms - swept_ms < SWEEP_EVERY_MS

    def begin_sweep(self, now_ms: int) -> None:
        """Lets all folders be listed, with another part of the source that is due for it.

        Args:
            now_ms: the time in ms since 1970.
        """
        if self._sweep_ms is None:
            self._sweep_ms = now_ms
            self._swept = set()

    def folders_to_list(self, folders: Iterable[str], now_ms: int) -> Iterator[str]:
        """Yields the folders that may hold something new: all of them once a day.

        Args:
            folders: the folders of the bucket.
            now_ms: the time in ms since 1970.
        """
        if self.is_sweep_due(now_ms):
            self.begin_sweep(now_ms)
        left_out = self.state.dormant if self._sweep_ms is None else self._swept
        return (folder for folder in folders if folder not in left_out)

    def is_dormant(self, folder: str) -> bool:
        """Tells if nothing was new in the folder when it was last listed."""
        return folder in self.state.dormant

    def is_due(self, listed: LogObject) -> bool:
        """Tells if the object, or this content of it, is still to be shipped; not what is owed."""
        if listed.key in self._owed or listed.key in self._unfit:
            return False
        shipped = self._recent.find(listed)
        if shipped:
            return shipped.content != content_hash(listed)
        return listed.last_modified_ms >= self.state.since_ms and not self._is_covered(listed)

    def has_shipped(self, listed: LogObject) -> bool:
        """Tells if this content of the object is shipped, wherever coverage begins."""
        if listed.key in self._owed:
            return False
        shipped = self._recent.find(listed)
        if shipped:
            return shipped.content == content_hash(listed)
        return self._is_covered(listed)

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        owed = self._owed.get(due.key)
        if owed:
            return Position(due, owed.lines, owed.line_hash, earlier_ms=owed.last_modified_ms)
        shipped = self._recent.find(due)
        if shipped is None:
            return Position(due)
        return Position(due, shipped.lines, shipped.line_hash, earlier_ms=shipped.last_modified_ms)

    def ship(self, position: Position) -> None:
        """Records an object as shipped up to the position.

        Args:
            position: behind its last line.
        """
        self._owed.pop(position.object.key, None)
        self._note_owed()
        self._recent.add(position.as_left())

    def owe(self, position: Position) -> None:
        """Records an object that can't be shipped beyond the position now.

        Args:
            position: behind its last shipped line.
        """
        listed, left = position.object, position.as_left()
        known = self._owed.get(listed.key)
        owed = Owed(listed.last_modified_ms, left.lines, left.line_hash)
        if known is None and not self._fits(listed.key, owed):
            self._unfit.add(listed.key)
            known_ms = listed.last_modified_ms if self._unfit_ms is None else self._unfit_ms
            self._unfit_ms = min(known_ms, listed.last_modified_ms)
            return
        self._owed[listed.key] = owed
        self._note_owed()

    def let_go(self, key: str) -> int:
        """Forgets an object that is owed and is not there any more; returns the lines sent of it.

        Should it come back, it goes on behind these.

        Args:
            key: the object's.
        """
        owed = self._owed.pop(key)
        self._note_owed()
        if owed.lines:
            gone = LogObject(owed.last_modified_ms, key, "", 0)
            self._recent.add(Position(gone, owed.lines, owed.line_hash))
        return owed.lines

    def _fits(self, key: str, owed: Owed) -> bool:
        if len(self._owed) >= MAX_OWED_OBJECTS:
            return False
        return len(msgspec.json.encode({**self._owed, key: owed})) <= MAX_OWED_BYTES

    def _note_owed(self) -> None:
        self.state.owed = dict(self._owed) or msgspec.UNSET

    def is_full(self) -> bool:
        """Tells if so much is remembered that `close` is to be called before a plan ends."""
        return self._recent.size_bytes > self._full_bytes

    def close(self, survey: Survey, frontier_ms: int) -> bool:
        """Forgets single objects where everything is shipped, as far as a plan is carried out.

        Returns whether there were so many that late ones are found for less than a day.

        Args:
            survey: the listing that the plan was made of.
            frontier_ms: everything listed before this time is shipped, in ms since 1970.
        """
        if self._unfit_ms is not None:
            frontier_ms = min(frontier_ms, self._unfit_ms)
        self._cover_until(frontier_ms - LATE_WINDOW_MS)
        self._note_dormant(survey, frontier_ms)
        self._forget_covered(frontier_ms)
        is_crowded = self._forget_surplus(frontier_ms)
        self._full_bytes = max(MAX_RECENT_BYTES, self._recent.size_bytes) + CLOSE_EVERY_BYTES
        return is_crowded

    def _is_covered(self, listed: LogObject) -> bool:
        dormant_ms = self.state.dormant.get(listed.folder(self._prefix))
        is_new_there = dormant_ms is not None and listed.last_modified_ms > dormant_ms
        return self._covers(listed.last_modified_ms) and not is_new_there

    def _covers(self, first_ms: int, last_ms: int | None = None) -> bool:
        last_ms = first_ms if last_ms is None else last_ms
        return any(start <= first_ms and last_ms < end for start, end in self.state.covered)

    def _cover_until(self, end_ms: int) -> None:
        self.state.covered = union([*self.state.covered, (self.state.since_ms, end_ms)])

    def _note_dormant(self, survey: Survey, frontier_ms: int) -> None:
        """Notes the folders in which nothing is new; a sweep is over once all of it is shipped."""
        is_complete = survey.newest_ms <= frontier_ms
        for folder, newest_ms in survey.newest_by_folder.items():
            if newest_ms < frontier_ms - LATE_WINDOW_MS:
                self._swept.add(folder)
                if folder in self.state.dormant or self._has_room(folder):
                    self.state.dormant[folder] = newest_ms
            elif is_complete:
                self.state.dormant.pop(folder, None)
            elif folder in self.state.dormant:
                known_ms = self.state.dormant[folder]
                self.state.dormant[folder] = max(known_ms, min(newest_ms, frontier_ms - 1))
        if is_complete and self._sweep_ms is not None:
            self.state.swept_ms, self._sweep_ms = self._sweep_ms, None

    def _has_room(self, folder: str) -> bool:
        known = self.state.dormant
        if len(known) >= MAX_DORMANT_FOLDERS:
            return False
        return len(msgspec.json.encode({**known, folder: 0})) <= MAX_DORMANT_BYTES

    def _forget_covered(self, frontier_ms: int) -> None:
        def is_forgotten(last_modified_ms: int) -> bool:
            # Of those at the frontier itself a part may still be due.
            return last_modified_ms < frontier_ms and self._covers(last_modified_ms)

        def is_touched(first_ms: int, last_ms: int) -> bool:
            return any(start <= last_ms and first_ms < end for start, end in self.state.covered)

        self._recent.forget(is_touched, is_forgotten)

    def _forget_surplus(self, frontier_ms: int) -> bool:
        surplus_ms = self._recent.surplus_until_ms(MAX_RECENT_OBJECTS, MAX_RECENT_BYTES)
        end_ms = min(surplus_ms, frontier_ms)
        if end_ms <= self.state.since_ms or self._covers(self.state.since_ms, end_ms - 1):
            return False
        self._cover_until(end_ms)
        self._forget_covered(frontier_ms)
        return True
