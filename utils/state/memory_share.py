"""Shares the memory for planned objects and events under way among the sources at work."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from utils.lines.batching import MAX_BATCH_BYTES

# Small enough to hold a few in memory; it fills two of the largest requests, and with many sources
# at work a few of the default size.
FULL_RUN_BYTES = 2 * MAX_BATCH_BYTES - 32 * 1024
LEAST_RUN_BYTES = 80 * 1024
MOST_IN_FLIGHT_BYTES = 4 * FULL_RUN_BYTES
# What keeps planning flat in memory; the rest is planned once these are shipped.
MAX_PLAN_OBJECTS = 10_000
# Half a page of the listing: for less, pages would be listed again and again.
LEAST_PLAN_OBJECTS = 500


class MemoryShare:
    """Tells each source how much it may hold: the more of them ship, the less each."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sources = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Counts one more source at work meanwhile."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def run_bytes(self) -> int:
        """Returns at which size the runs of a source are full."""
        with self._lock:
            return max(LEAST_RUN_BYTES, FULL_RUN_BYTES // max(1, self._sources))

    def in_flight_bytes(self) -> int:
        """Returns how much of a source may be under way before it waits for the oldest run.

        With many sources, each has about as much again read ahead.
        """
        with self._lock:
            return MOST_IN_FLIGHT_BYTES // max(1, 2 * self._sources - 1)

    def plan_objects(self) -> int:
        """Returns how many objects a source plans at once."""
        with self._lock:
            return max(LEAST_PLAN_OBJECTS, MAX_PLAN_OBJECTS // max(1, self._sources))

    def _add(self, sources: int) -> None:
        with self._lock:
            self._sources += sources
