"""Events that a log stream may hold, compared with what it holds as multisets."""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from msgspec.structs import replace

from utils.model import Batch, Interval, LogEvent, Position, union

# Times closer than this are read back in one go.
_GAP_MS = 60 * 60 * 1000

Key = tuple[int, bytes]


class Uncertain:
    """Events that may be stored: expected, observed and claimed.

    An event can be stored at its own time or at an upload time of its object. Identical events
    count each. `size` is how many are expected, `found` what the stream holds of them, and is not
    claimed.
    """

    def __init__(self) -> None:
        self._objects: dict[Key, str] = {}
        self._expected: Counter[Key] = Counter()
        self._of_many: set[Key] = set()
        self.found: Counter[Key] = Counter()
        self.size = 0

    def expect(self, event: LogEvent) -> None:
        """Adds an event that may be stored, with all times that it can be stored at."""
        self.size += 1
        for key in _keys(event):
            self._expected[key] += 1
            if self._objects.setdefault(key, event.object_key) != event.object_key:
                self._of_many.add(key)

    def ranges(self) -> Iterator[Interval]:
        """Yields the ranges of time to read back, both ends included, in ms since 1970."""
        times = union((time, time + _GAP_MS) for time, _ in self._expected)
        return ((start, end - _GAP_MS) for start, end in times)

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


def split_stored(events: Iterable[LogEvent], uncertain: Uncertain) -> tuple[Batch, Batch]:
    """Returns the events that are stored, and those that are missing.

    Args:
        events: among those that are uncertain.
        uncertain: with everything observed.
    """
    stored: list[LogEvent] = []
    missing: list[LogEvent] = []
    for event in events:
        claimed = uncertain.claim(event)
        (missing if claimed is None else stored).append(claimed or event)
    return stored, missing


class Recovered:
    """The lines that a dead process may have sent, and which of them the log stream holds.

    Args:
        uncertain: their events, with everything observed.
        ends: the number of the last of these lines, by the key of their object.
    """

    def __init__(self, uncertain: Uncertain, ends: dict[str, int]) -> None:
        self.uncertain = uncertain
        self._ends = ends

    def __bool__(self) -> bool:
        """Tells if there are any."""
        return bool(self._ends)

    def reaches_behind(self, position: Position) -> bool:
        """Tells if some of them lie behind the position."""
        return self._ends.get(position.object.key, 0) > position.lines

    def split(self, events: list[LogEvent]) -> tuple[Batch, list[LogEvent]]:
        """Returns the events that are stored, and those that are to be sent.

        Args:
            events: in the order of their lines.
        """
        if not self:
            return [], events
        doubtful: list[LogEvent] = []
        others: list[LogEvent] = []
        for event in events:
            is_behind = event.line_number > self._ends.get(event.object_key, 0)
            (others if is_behind else doubtful).append(event)
        stored, missing = split_stored(doubtful, self.uncertain)
        return stored, [*missing, *others]


def _keys(event: LogEvent) -> list[Key]:
    """Returns the times that the event can be stored at, its own first, with its digest."""
    digest = _digest(event.message)
    return [(time, digest) for time in dict.fromkeys((event.timestamp_ms, *event.upload_times))]


def _digest(message: str) -> bytes:
    return blake2b(message.encode(), digest_size=12).digest()
