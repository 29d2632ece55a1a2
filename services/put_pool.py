"""Runs the puts of all sources on one set of threads, so that none of them delays another."""

import heapq
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from itertools import count
from threading import Condition, Event, Thread

from utils.delivery import Delivery

# A delivery on its way: it yields the seconds that it waits before it goes on.
Steps = Generator[float, None, Delivery]

# A source leaves one thread of so many free while there are others: a slow one holds its own long.
_FREE_SHARE = 4
_LOOK_SECONDS = 0.5


class Job:
    """A delivery under way.

    Args:
        steps: of the delivery.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.future: Future[Delivery] = Future()

    def advance(self) -> float | None:
        """Goes on up to the next wait; returns its length in seconds, None at the end."""
        try:
            return next(self._steps)
        except StopIteration as end:
            self.future.set_result(end.value)
        except BaseException as exc:  # noqa: BLE001 - it is raised where the result is taken
            self.future.set_exception(exc)
        return None


class Lane:
    """The deliveries of one source.

    Args:
        pool: runs them.
        most: how many of them are under way at once, at most.
    """

    def __init__(self, pool: "PutPool", most: int) -> None:
        self._pool = pool
        self.most = most
        self.ready: deque[Job] = deque()
        self.paused: list[tuple[float, int, Job]] = []
        self.running = 0
        self.turn = 0

    def submit(self, steps: Steps) -> "Future[Delivery]":
        """Returns the future result of a delivery."""
        job = Job(steps)
        self._pool.add(self, job)
        return job.future

    def close(self) -> None:
        """Leaves the pool, which still carries out what was submitted."""
        self._pool.leave(self)

    def wake(self, now_seconds: float) -> None:
        """Makes those ready whose wait is over."""
        while self.paused and self.paused[0][0] <= now_seconds:
            self.ready.append(heapq.heappop(self.paused)[2])

    def is_done(self) -> bool:
        """Tells if nothing is left to do."""
        return not (self.ready or self.paused or self.running)


class PutPool:
    """Threads for the deliveries of all sources; while one waits, they go on with others.

    The next one is of the source that has the fewest under way. The threads are daemons: a
    connection that hangs does not keep the process from ending.

    Args:
        workers: the number of threads, which are started as deliveries come in.
        elapsed_seconds: returns a time that nobody sets.
        stop: set when the process is to end: then no wait goes on.
    """

    def __init__(self, workers: int, elapsed_seconds: Callable[[], float], stop: Event) -> None:
        self._workers = workers
        self._elapsed_seconds = elapsed_seconds
        self._stop = stop
        self._changed = Condition()
        self._numbers = count(1)
        self._lanes: list[Lane] = []
        self._leaving: list[Lane] = []
        self._threads = 0
        self._is_closed = False

    def lane(self, most: int) -> Lane:
        """Returns a lane for one more source.

        Args:
            most: how many of its deliveries are under way at once, at most.
        """
        lane = Lane(self, most)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def add(self, lane: Lane, job: Job) -> None:
        """Takes a delivery into a lane."""
        with self._changed:
            lane.ready.append(job)
            if self._threads < self._workers:
                self._threads += 1
                Thread(target=self._work, daemon=True).start()
            self._changed.notify()

    def leave(self, lane: Lane) -> None:
        """Lets a lane go: what it has left is still carried out."""
        with self._changed:
            self._lanes.remove(lane)
            self._leaving.append(lane)

    def close(self) -> None:
        """Lets the threads end once all is carried out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Goes on with one delivery; a thread that waits for the next holds on to none."""
        task = self._next()
        if task is None:
            return False
        lane, job = task
        pause_seconds = job.advance()
        with self._changed:
            lane.running -= 1
            if pause_seconds is not None:
                due_seconds = self._elapsed_seconds() + pause_seconds
                heapq.heappush(lane.paused, (due_seconds, next(self._numbers), job))
            self._changed.notify()
        return True

    def _next(self) -> tuple[Lane, Job] | None:
        """Waits for a delivery to go on with; returns None when there will be none."""
        with self._changed:
            while not (lane := self._next_lane()):
                if self._is_closed and self._is_done():
                    self._changed.notify_all()
                    return None
                self._wait()
            lane.running += 1
            lane.turn = next(self._numbers)
            return lane, lane.ready.popleft()

    def _next_lane(self) -> Lane | None:
        now_seconds = float("inf") if self._stop.is_set() else self._elapsed_seconds()
        self._leaving = [lane for lane in self._leaving if not lane.is_done()]
        lanes = [*self._lanes, *self._leaving]
        for lane in lanes:
            lane.wake(now_seconds)
        free = min(len(self._lanes) - 1, self._workers // _FREE_SHARE)
        waiting = [one for one in lanes if one.ready and one.running < self._most(one, free)]
        return min(waiting, key=lambda lane: (lane.running, lane.turn), default=None)

    def _most(self, lane: Lane, free: int) -> int:
        return max(1, min(lane.most, self._workers - free))

    def _is_done(self) -> bool:
        return all(lane.is_done() for lane in [*self._lanes, *self._leaving])

    def _wait(self) -> None:
        """Waits until something changes or the next wait of a delivery is over."""
        due_seconds = [lane.paused[0][0] for lane in [*self._lanes, *self._leaving] if lane.paused]
        if due_seconds:
            self._pause(max(0.0, min(due_seconds) - self._elapsed_seconds()))
        else:
            self._changed.wait()

    def _pause(self, seconds: float) -> None:
        self._changed.wait(min(seconds, _LOOK_SECONDS))
