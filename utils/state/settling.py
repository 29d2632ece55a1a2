"""Tells which events of unknown outcome the log stream already holds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from utils.model import NOT_STORED, STORED, STORED_AT_UPLOAD, Batch, LogEvent
from utils.state.intervals import Interval, union

# Times closer than this are read back in one go.
_GAP_MS = 60 * 60 * 1000

Key = tuple[int, bytes]


class Doubt:
    """Events of which it is not known if they are stored, and what was found out about them.

    An event may be stored at the time it was sent with, or, if that is not known for sure, at any
    upload time in a range. Messages are compared as a multiset: identical events count each.

    Args:
        upload_range: the upload times in question, both ends included, in ms since 1970.
    """

    def __init__(self, upload_range: Interval | None = None) -> None:
        self._upload_range = upload_range
        self._wanted: Counter[Key] = Counter()
        self._messages: set[bytes] = set()
        self._found: Counter[Key] = Counter()
        self._uploaded: Counter[bytes] = Counter()
        self.newest_upload_ms = 0

    @property
    def size(self) -> int:
        """How many events are in question."""
        return self._wanted.total()

    def want(self, keys: Iterable[Key]) -> None:
        """Adds events in question."""
        for key in keys:
            self._wanted[key] += 1
            self._messages.add(key[1])

    def ranges(self) -> Iterator[Interval]:
        """Yields the ranges of time to read back, both ends included, in ms since 1970."""
        times = union((time, time + _GAP_MS) for time, _ in self._wanted)
        spans = [(start, end - _GAP_MS + 1) for start, end in times]
        if self._upload_range and spans:
            spans.append((self._upload_range[0], self._upload_range[1] + 1))
        return ((start, end - 1) for start, end in union(spans))

    def see(self, timestamp_ms: int, message: str) -> None:
        """Takes an event into account that the stream holds."""
        key = (timestamp_ms, _digest(message))
        if key in self._wanted:
            self._found[key] += 1
        elif key[1] in self._messages and self._is_upload_time(timestamp_ms):
            self._uploaded[key[1]] += 1
            self.newest_upload_ms = max(self.newest_upload_ms, timestamp_ms)

    def discount(self, keys: Iterable[Key]) -> None:
        """Takes identical events into account that are known to be stored besides."""
        for key in keys:
            if self._found[key] > 0:
                self._found[key] -= 1

    def found_times(self) -> set[int]:
        """Returns the times at which something was found, in ms since 1970."""
        return {timestamp_ms for (timestamp_ms, _), count in self._found.items() if count > 0}

    def take(self, key: Key) -> str:
        """Returns the mark of an event in question; each stored one answers once."""
        if self._found[key] > 0:
            self._found[key] -= 1
            return STORED
        if self._uploaded[key[1]] > 0:
            self._uploaded[key[1]] -= 1
            return STORED_AT_UPLOAD
        return NOT_STORED

    def _is_upload_time(self, timestamp_ms: int) -> bool:
        if self._upload_range is None:
            return False
        return self._upload_range[0] <= timestamp_ms <= self._upload_range[1]


def split_stored(events: Iterable[LogEvent], doubt: Doubt) -> tuple[Batch, Batch]:
    """Returns the events that the stream holds, and those that it does not.

    Args:
        events: what the doubt was about.
        doubt: with everything seen and discounted.
    """
    stored: list[LogEvent] = []
    missing: list[LogEvent] = []
    for event in events:
        is_missing = doubt.take(event_key(event)) == NOT_STORED
        (missing if is_missing else stored).append(event)
    return stored, missing


def event_key(event: LogEvent) -> Key:
    """Returns what tells the event from others: its time and a digest of its message."""
    return event.timestamp_ms, _digest(event.message)


def _digest(message: str) -> bytes:
    return blake2b(message.encode(), digest_size=12).digest()
