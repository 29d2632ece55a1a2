"""A clock that no test waits for."""

from datetime import UTC, datetime, timedelta
from math import ceil
from threading import Event

from services.threads.put_pool import PutPool

# 29 February 2024, noon.
NOON_MS = 1_709_208_000_000
HOUR_MS = 3_600_000
# What other threads have time for meanwhile.
_TURN_SECONDS = 0.001
_MOST_TURNS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class VirtualTime:
    """The time of both services, and of the program unless its own clock is wrong.

    `now_ms` is in ms since 1970; `machine_ahead_ms` how far the program's clock is ahead of it.
    """

    def __init__(self) -> None:
        self.now_ms = NOON_MS
        self.machine_ahead_ms = 0

    @property
    def machine_ms(self) -> int:
        """The time by the program's clock, in ms since 1970."""
        return self.now_ms + self.machine_ahead_ms

    def machine_now(self) -> datetime:
        """Returns the time by the program's clock."""
        return moment(self.machine_ms)

    def seconds(self) -> float:
        """Returns a time that no clock is set by, in seconds."""
        return self.now_ms / 1000


class NoWait(Event):
    """A stop; to wait for it moves the time, once the puts that are on their way have arrived.

    Args:
        time: what is moved.
    """

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self.pools: list[NoWaitPool] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Moves the time by the timeout; returns if the process is to end."""
        for pool in self.pools:
            pool.rest()
        self._time.now_ms += round((timeout or 0) * 1000)
        return self.is_set()


class NoWaitPool(PutPool):
    """A pool of put workers; to wait between tries moves the time.

    Args:
        workers: the number of threads.
        time: what is moved.
        stop: set when the process is to end.
    """

    def __init__(self, workers: int, time: VirtualTime, stop: NoWait) -> None:
        super().__init__(time.seconds, stop)
        self.expect(1, workers)
        self._time = time
        stop.pools.append(self)

    def rest(self) -> None:
        """Waits until no put is on its way, unless one is held up."""
        with self._changed:
            for _ in range(_MOST_TURNS):
                if not any(lane.running for lane in self._lanes):
                    return
                self._changed.wait(_TURN_SECONDS)
                # A delivery that has come in is told to one thread: this one is no worker.
                self._changed.notify()

    def _pause(self, seconds: float) -> None:
        self._time.now_ms += ceil(seconds * 1000)
        self._changed.wait(_TURN_SECONDS)


def moment(time_ms: int) -> datetime:
    """Returns a time in ms since 1970 as botocore does."""
    return _EPOCH + timedelta(milliseconds=time_ms)
