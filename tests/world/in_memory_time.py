"""A clock that no test waits for."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from threading import Condition, Event, Thread, current_thread
from typing import TypeVar

from services.threads.executor import Workers

Result = TypeVar("Result")

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
    """A stop; to wait for it moves the time to the end of the wait that ends first.

    Before that, what is under way has time to arrive, unless it is held up.

    Args:
        time: what is moved.
    """

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time
        self._changed = Condition()
        self._under_way: set[Thread] = set()
        self._ends_ms: dict[Thread, int] = {}

    def wait(self, timeout: float | None = None) -> bool:
        """Moves the time by the timeout; returns if the process is to end."""
        own = current_thread()
        with self._changed:
            end_ms = self._time.now_ms + ceil((timeout or 0) * 1000)
            self._ends_ms[own] = end_ms
            for _ in range(_MOST_TURNS):
                if (
                    self._under_way <= self._ends_ms.keys()
                    and min(self._ends_ms.values()) == end_ms
                ):
                    break
                self._changed.wait(_TURN_SECONDS)
            self._time.now_ms = max(self._time.now_ms, end_ms)
            del self._ends_ms[own]
            self._changed.notify_all()
            if own in self._under_way:
                # Others see the new time before the next try.
                self._changed.wait(_TURN_SECONDS)
        return self.is_set()

    def doing(self, work: Callable[[], Result]) -> Result:
        """Returns the result of work that is under way meanwhile."""
        own = current_thread()
        with self._changed:
            self._under_way.add(own)
        try:
            return work()
        finally:
            with self._changed:
                self._under_way.remove(own)
                self._changed.notify_all()

    def workers(self, most: int) -> Workers:
        """Returns threads for puts, whose waits move the time."""
        stop = self

        class Known(Workers):
            def submit(
                self, work: Callable[[], Result], noted: list[Future[Result]] | None = None
            ) -> Future[Result]:
                return super().submit(partial(stop.doing, work), noted)

        return Known(most)


def moment(time_ms: int) -> datetime:
    """Returns a time in ms since 1970 as botocore does."""
    return _EPOCH + timedelta(milliseconds=time_ms)
