"""Decides which listed objects are due, and in what order."""

import heapq
import zlib
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from struct import Struct

import msgspec

from utils.model import LogObject, Position

# An object that appears this far behind the newest one is still found.
LATE_WINDOW_MS = 24 * 60 * 60 * 1000
# Folders in which nothing is new are listed this often.
SWEEP_EVERY_MS = 24 * 60 * 60 * 1000
# What keeps planning flat in memory and the checkpoint below 1 MB.
MAX_PLAN_OBJECTS = 10_000
MAX_RECENT_OBJECTS = 25_000
MAX_DORMANT_FOLDERS = 1_000
_MINUTE_MS = 60_000
_ENTRY = Struct(">QIII")

Interval = tuple[int, int]


class RecentMinute(msgspec.Struct, forbid_unknown_fields=True):
    """The shipped objects last modified in one minute, and the range of their events' times."""

    objects: bytes = b""
    events_from_ms: int | None = None
    events_until_ms: int | None = None

    def add(self, entry: bytes, event_times: Interval | None) -> None:
        """Adds a shipped object.

        Args:
            entry: the packed object.
            event_times: the first and the last time of its events in ms, None if it has none.
        """
        self.objects += entry
        if event_times:
            known = [self.events_from_ms, self.events_until_ms, *event_times]
            times = [time for time in known if time is not None]
            self.events_from_ms, self.events_until_ms = min(times), max(times)

    def may_hold(self, from_ms: int, until_ms: int) -> bool:
        """Tells if an event of these objects may lie in the range, both ends included, in ms."""
        if self.events_from_ms is None or self.events_until_ms is None:
            return False
        return self.events_from_ms <= until_ms and from_ms <= self.events_until_ms


class CoverageState(msgspec.Struct, forbid_unknown_fields=True):
    """What the checkpoint says of the objects that are shipped.

    `covered` are half-open ranges of `LastModified` in which everything is shipped; `recent` the
    shipped objects outside of these, by minute; `dormant` the folders in which nothing is new, with
    their newest `LastModified`; `since_ms` where coverage begins. All times in ms since 1970.
    """

    since_ms: int
    covered: list[Interval] = msgspec.field(default_factory=list)
    recent: dict[int, RecentMinute] = msgspec.field(default_factory=dict)
    dormant: dict[str, int] = msgspec.field(default_factory=dict)
    swept_ms: int | None = None


class Shipped(msgspec.Struct, frozen=True):
    """A recently shipped object: which content of it, how many lines, and the last one's hash."""

    minute_ms: int
    content: int
    lines: int
    line_hash: int


class Survey(msgspec.Struct):
    """What one listing showed, all times in ms since 1970."""

    newest_ms: int = 0
    newest_by_folder: dict[str, int] = msgspec.field(default_factory=dict)

    def note(self, listed: LogObject) -> None:
        """Takes one listed object into account."""
        self.newest_ms = max(self.newest_ms, listed.last_modified_ms)
        newest_ms = self.newest_by_folder.get(listed.folder, 0)
        self.newest_by_folder[listed.folder] = max(newest_ms, listed.last_modified_ms)


class Coverage:
    """Knows which objects are shipped, in memory that does not grow with their number.

    Args:
        state: what the checkpoint holds; it is changed in place.
    """

    def __init__(self, state: CoverageState) -> None:
        self.state = state
        self._shipped = dict(_entries(state))

    def begin_at(self, since_ms: int) -> None:
        """Moves the beginning of coverage to an earlier time; a later one changes nothing.

        Args:
            since_ms: ms since 1970.
        """
        if since_ms < self.state.since_ms:
            self.state.since_ms = since_ms
            self.state.dormant.clear()

    def folders_to_list(self, folders: Iterable[str], now_ms: int) -> Iterator[str]:
        """Yields the folders that may hold something new: all of them once a day.

        Args:
            folders: the folders of the bucket.
            now_ms: the time in ms since 1970.
        """
        swept_ms = self.state.swept_ms
        is_sweep = swept_ms is None or not 0 <= now_ms - swept_ms < SWEEP_EVERY_MS
        if is_sweep:
            self.state.swept_ms = now_ms
        return (folder for folder in folders if is_sweep or folder not in self.state.dormant)

    def is_dormant(self, folder: str) -> bool:
        """Tells if nothing was new in the folder when it was last listed."""
        return folder in self.state.dormant

    def is_due(self, listed: LogObject) -> bool:
        """Tells if the object, or this content of it, is still to be shipped."""
        shipped = self._shipped.get(_key_hash(listed.key))
        if shipped:
            return shipped.content != _content_hash(listed)
        dormant_ms = self.state.dormant.get(listed.folder)
        if dormant_ms is not None and listed.last_modified_ms > dormant_ms:
            return listed.last_modified_ms >= self.state.since_ms
        return listed.last_modified_ms >= self.state.since_ms and not self._covers(
            listed.last_modified_ms
        )

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        shipped = self._shipped.get(_key_hash(due.key))
        if shipped is None:
            return Position(due)
        return Position(due, shipped.lines, shipped.line_hash)

    def ship(self, position: Position, event_times: Interval | None) -> None:
        """Records an object as shipped up to the position.

        Args:
            position: behind its last line.
            event_times: the first and the last time of its events in ms, None if it has none.
        """
        shipped = position.object
        key, content = _key_hash(shipped.key), _content_hash(shipped)
        minute_ms = shipped.last_modified_ms // _MINUTE_MS * _MINUTE_MS
        entry = _ENTRY.pack(key, content, min(position.lines, 0xFFFFFFFF), position.line_hash)
        self.state.recent.setdefault(minute_ms, RecentMinute()).add(entry, event_times)
        self._shipped[key] = Shipped(minute_ms, content, position.lines, position.line_hash)

    def close(self, survey: Survey, frontier_ms: int) -> bool:
        """Forgets single objects where everything is shipped, once a plan is carried out.

        Returns whether there were so many that late ones are found for less than a day.

        Args:
            survey: the listing that the plan was made of.
            frontier_ms: everything listed before this time is shipped, in ms since 1970.
        """
        floor_ms = max(self.state.since_ms, frontier_ms - LATE_WINDOW_MS)
        self._cover_until(floor_ms)
        self._note_dormant(survey, floor_ms)
        self._forget_covered()
        is_crowded = self._forget_surplus(frontier_ms)
        self._shipped = dict(_entries(self.state))
        return is_crowded

    def shipped_lines(self, listed: LogObject, from_ms: int, until_ms: int) -> int:
        """Returns how many lines of the object are shipped, if one may lie in the range.

        Args:
            listed: an object of the bucket.
            from_ms: the first event time of interest, in ms since 1970.
            until_ms: the last one.
        """
        shipped = self._shipped.get(_key_hash(listed.key))
        if shipped is None or shipped.content != _content_hash(listed):
            return 0
        in_range = self.state.recent[shipped.minute_ms].may_hold(from_ms, until_ms)
        return shipped.lines if in_range else 0

    def _covers(self, last_modified_ms: int) -> bool:
        return any(start <= last_modified_ms < end for start, end in self.state.covered)

    def _cover_until(self, end_ms: int) -> None:
        self.state.covered = union([*self.state.covered, (self.state.since_ms, end_ms)])

    def _note_dormant(self, survey: Survey, floor_ms: int) -> None:
        for folder, newest_ms in survey.newest_by_folder.items():
            self.state.dormant.pop(folder, None)
            if newest_ms < floor_ms and len(self.state.dormant) < MAX_DORMANT_FOLDERS:
                self.state.dormant[folder] = newest_ms

    def _forget_covered(self) -> None:
        self.state.recent = {
            minute_ms: minute
            for minute_ms, minute in self.state.recent.items()
            if not (self._covers(minute_ms) and self._covers(minute_ms + _MINUTE_MS - 1))
        }

    def _forget_surplus(self, frontier_ms: int) -> bool:
        is_crowded = False
        while self._recent_objects() > MAX_RECENT_OBJECTS:
            end_ms = min(self.state.recent) + _MINUTE_MS
            if end_ms > frontier_ms:
                break
            self._cover_until(end_ms)
            self._forget_covered()
            is_crowded = True
        return is_crowded

    def _recent_objects(self) -> int:
        return sum(len(minute.objects) for minute in self.state.recent.values()) // _ENTRY.size


def oldest(due: Iterable[LogObject]) -> list[LogObject]:
    """Returns the oldest `MAX_PLAN_OBJECTS` of the due objects, oldest first."""
    return heapq.nsmallest(MAX_PLAN_OBJECTS, due, key=lambda one: (one.last_modified_ms, one.key))


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Returns the same ranges without overlap, in order; empty ones vanish."""
    merged: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def is_of_type(key: str, log_type: str) -> bool:
    """Tells if the object is an audit log of the type, by the beginning of its base name.

    Args:
        key: the object's key.
        log_type: `S3`, `IAM` or `Console`.
    """
    return key.rpartition("/")[2].lower().startswith(f"{log_type.lower()}-")


def _entries(state: CoverageState) -> Iterator[tuple[int, Shipped]]:
    for minute_ms in sorted(state.recent):
        for key, content, lines, line_hash in _ENTRY.iter_unpack(state.recent[minute_ms].objects):
            yield key, Shipped(minute_ms, content, lines, line_hash)


def _key_hash(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def _content_hash(listed: LogObject) -> int:
    return zlib.crc32(f"{listed.etag} {listed.size_bytes}".encode())
