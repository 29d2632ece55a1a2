"""Remembers the recently shipped objects one by one, in little memory."""

from array import array
from bisect import bisect_right
from collections.abc import Callable
from struct import Struct

from utils.model import LogObject, Position
from utils.state.coverage_state import (
    ENTRY_BYTES,
    MINUTE_MS,
    CoverageState,
    RecentMinute,
    Shipped,
    content_hash,
    entries,
    key_hash,
    minute_of,
    pack,
    recent_bytes,
)

# Key, last modified, content, lines, hash of the last line; in the order of the keys.
_ROW = Struct(">QqIII")


class Recent:
    """Remembers the recently shipped objects one by one.

    They are found in rows of a fixed size: a dictionary of them would take seven times as much.

    Args:
        state: what the checkpoint holds; its `recent` is changed in place.
    """

    def __init__(self, state: CoverageState) -> None:
        self._state = state
        self._minutes = state.recent
        self._load()

    def __len__(self) -> int:
        """Returns how many objects are remembered."""
        return len(self._keys)

    @property
    def size_bytes(self) -> int:
        """The most that they take in the checkpoint."""
        return recent_bytes(len(self), len(self._minutes))

    def surplus_until_ms(self, most_objects: int, most_bytes: int) -> int:
        """Returns before which time in ms since 1970 as many are as are too many, 0 for none.

        Args:
            most_objects: how many are to be left.
            most_bytes: the most that these may take in the checkpoint.
        """
        objects, minutes = len(self), len(self._minutes)
        until_ms = 0
        for minute_ms in sorted(self._minutes):
            if objects <= most_objects and recent_bytes(objects, minutes) <= most_bytes:
                break
            objects -= len(self._minutes[minute_ms].objects) // ENTRY_BYTES
            minutes -= 1
            until_ms = minute_ms + MINUTE_MS
        return until_ms

    def find(self, listed: LogObject) -> Shipped | None:
        """Returns what is known of the object, None if it is not remembered."""
        key = key_hash(listed.key)
        end = self._end_of(key)
        return self._shipped_before(end) if end else None

    def add(self, position: Position) -> None:
        """Remembers an object as shipped up to the position.

        Args:
            position: behind its last line.
        """
        listed = position.object
        key = key_hash(listed.key)
        lines = min(position.lines, 0xFFFFFFFF)
        shipped = Shipped(listed.last_modified_ms, content_hash(listed), lines, position.line_hash)
        self._remove(key)
        place = bisect_right(self._keys, key)
        self._keys.insert(place, key)
        self._rows[place * _ROW.size : place * _ROW.size] = _row(key, shipped)
        minute = self._minutes.setdefault(minute_of(shipped.last_modified_ms), RecentMinute())
        minute.add(pack(key, shipped))

    def forget(
        self, touches: Callable[[int, int], bool], is_forgotten: Callable[[int], bool]
    ) -> None:
        """Forgets objects by their `LastModified`.

        Args:
            touches: tells if one from the first to the last ms may be forgotten.
            is_forgotten: tells it for a time in ms since 1970.
        """
        for minute_ms, minute in list(self._minutes.items()):
            if touches(minute_ms, minute_ms + MINUTE_MS - 1):
                minute.forget(minute_ms, is_forgotten)
            if not minute.objects:
                del self._minutes[minute_ms]
        self._load()

    def _load(self) -> None:
        rows = sorted(_row(key, shipped) for key, shipped in entries(self._state))
        self._keys = array("Q", (_ROW.unpack(row)[0] for row in rows))
        self._rows = bytearray().join(rows)

    def _end_of(self, key: int) -> int:
        """Returns where the row of the key ends, 0 if there is none."""
        place = bisect_right(self._keys, key)
        return place * _ROW.size if place and self._keys[place - 1] == key else 0

    def _shipped_before(self, end: int) -> Shipped:
        return Shipped(*_ROW.unpack_from(self._rows, end - _ROW.size)[1:])

    def _remove(self, key: int) -> None:
        end = self._end_of(key)
        if end:
            known_ms = self._shipped_before(end).last_modified_ms
            self._minutes[minute_of(known_ms)].remove(key)
            del self._rows[end - _ROW.size : end]
            self._keys.pop(end // _ROW.size - 1)


def _row(key: int, shipped: Shipped) -> bytes:
    return _ROW.pack(
        key, shipped.last_modified_ms, shipped.content, shipped.lines, shipped.line_hash
    )
