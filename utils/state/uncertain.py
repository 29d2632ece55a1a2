"""Events that a log stream may hold, compared with what it holds as multisets."""

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

from msgspec.structs import replace

from utils.model import READ_GAP_MS, Interval, LogEvent, Position, union

Key = tuple[int, bytes]


class Uncertain:
    """Events that may be stored: expected, observed and claimed.

    An event can be stored at its own time or at an upload time of its object. Identical events
    count each. `size` is how many are expected, `found` what the stream holds of them, and is not
    claimed; `ends` has the number of the last line in question, by the key of its object.
    """

    def __init__(self) -> None:
        self._objects: dict[Key, str] = {}
        self._expected: Counter[Key] = Counter()
        self._of_many: set[Key] = set()
        self.found: Counter[Key] = Counter()
        self.ends: dict[str, int] = {}
        self.size = 0

    def __bool__(self) -> bool:
        """Tells if there are any."""
        return bool(self.ends)

    def expect(self, event: LogEvent) -> None:
        """Adds an event that may be stored, with all times that it can be stored at."""
        self.size += 1
        self.ends[event.object_key] = max(event.line_number, self.ends.get(event.object_key, 0))
        for key in _keys(event):
            self._expected[key] += 1
            if self._objects.setdefault(key, event.object_key) != event.object_key:
                self._of_many.add(key)

    def ranges(self) -> list[Interval]:
        """Returns the ranges of time to read back, in ms since 1970."""
        return union(((time, time + 1) for time, _ in self._expected), READ_GAP_MS)

    def observe(self, timestamp_ms: int, message: str) -> None:
        """Takes an event into account that the stream holds."""
        key = (timestamp_ms, _digest(message))
        if key in self._expected:
            self.found[key] += 1

    def believe(self) -> None:
        """Takes all of them for stored; whether they are is found out later."""
        self.found = self._expected.copy()

    def claim(self, event: LogEvent) -> LogEvent | None:
        """Returns the event as it is stored, None if it is not; each stored event is claimed once.

        Other events that are known to be stored claim theirs first.
        """
        own, *at_upload = _keys(event)
        if self.found[own] > 0:
            self.found[own] -= 1
            return event
        for key in at_upload:
            if self.found[key] > 0:
                self.found[key] -= 1
                return replace(event, restamped=True)
        return None

    def split(self, events: Iterable[LogEvent]) -> tuple[list[LogEvent], list[LogEvent]]:
        """Returns the events that are stored, and those that are to be sent.

        Args:
            events: of any lines, in their order; of those in question everything is observed.
        """
        if not self:
            return [], [*events]
        stored: list[LogEvent] = []
        missing: list[LogEvent] = []
        others: list[LogEvent] = []
        for event in events:
            if event.line_number > self.ends.get(event.object_key, 0):
                others.append(event)
            elif claimed := self.claim(event):
                stored.append(claimed)
            else:
                missing.append(event)
        return stored, [*missing, *others]

    def reaches_behind(self, position: Position) -> bool:
        """Tells if some of their lines lie behind the position."""
        return self.ends.get(position.object.key, 0) > position.lines

    def leave_to(self, other: "Uncertain") -> None:
        """Leaves to these what they have found and not claimed yet."""
        self.found -= other.found

    def ambiguous(self) -> int:
        """Returns how many of those found may be identical events of other objects instead."""
        return sum(
            count
            for key, count in self.found.items()
            if key in self._of_many or count > self._expected[key]
        )


def _keys(event: LogEvent) -> list[Key]:
    """Returns the times that the event can be stored at, its own first, with its digest."""
    digest = _digest(event.message)
    return [(time, digest) for time in dict.fromkeys((event.timestamp_ms, *event.upload_times))]


def _digest(message: str) -> bytes:
    return blake2b(message.encode(), digest_size=12).digest()
