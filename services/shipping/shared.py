"""What all sources of the process share, and what takes the outcome of one's iteration."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

import msgspec

from services.output.status import StatusLog
from utils.lines.batching import MAX_BATCH_BYTES
from utils.model import Clock, Counts, Gauge

# Small enough to hold a few in memory; it fills two of the largest requests, and with many sources
# at work a few of the default size.
FULL_RUN_BYTES = 2 * MAX_BATCH_BYTES - 32 * 1024
LEAST_RUN_BYTES = 80 * 1024
# Twice the requests in flight, at the size that a hundred events have: runs end in their order, so
# the oldest one holds back those behind it.
_IN_FLIGHT_BYTES_A_PUT = 256 * 1024
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
        with self._lock:
            self._sources += 1
        try:
            yield
        finally:
            with self._lock:
                self._sources -= 1

    def run_bytes(self) -> int:
        """Returns at which size the runs of a source are full."""
        return max(LEAST_RUN_BYTES, FULL_RUN_BYTES // max(1, self._sources))

    def in_flight_bytes(self, concurrency: int) -> int:
        """Returns how much of a source may be under way before it waits for the oldest run.

        With many sources, each has about as much again read ahead.

        Args:
            concurrency: requests in flight of the source.
        """
        puts = max(32, concurrency)
        return puts * _IN_FLIGHT_BYTES_A_PUT // max(1, 2 * self._sources - 1)

    def plan_objects(self) -> int:
        """Returns how many objects a source plans at once."""
        return max(LEAST_PLAN_OBJECTS, MAX_PLAN_OBJECTS // max(1, self._sources))


class Shared(msgspec.Struct, frozen=True):
    """What all sources of the process share; `stop` is set when it is to end."""

    clock: Clock
    stop: Event
    memory: MemoryShare = msgspec.field(default_factory=MemoryShare)


class Report(msgspec.Struct, frozen=True):
    """Takes what becomes of an iteration: status lines, counts, and how far it is."""

    status: StatusLog
    counts: Counts
    gauge: Gauge
