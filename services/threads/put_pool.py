"""Runs the puts of all sources on one set of threads, so that none of them delays another."""

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from itertools import count
from threading import Condition, Event

from services.threads.start import no_thread, started
from utils.lines.delivery import Delivery

# A delivery on its way: it yields the seconds that it waits before it goes on.
Steps = Generator[float, None, Delivery]

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
        self.is_leaving = False

    def submit(
        self, steps: Steps, futures: "list[Future[Delivery]] | None" = None
    ) -> "Future[Delivery]":
        """Returns the future result of a delivery.

        Args:
            steps: of the delivery.
            futures: gets the result before anything can be done, whatever is raised then.

        Raises:
            ForwarderError: no thread can be started for it; it is not carried out.
        """
        job = Job(steps)
        if futures is not None:
            futures.append(job.future)
        self._pool.add(self, job)
        return job.future

    def close(self) -> None:
        """Leaves the pool, which still carries out what was submitted."""
        self._pool.leave(self)

    def wake(self, now_seconds: float) -> None:
        """Makes those ready whose wait is over."""
        while self.paused and self.paused[0][0] <= now_seconds:
            self.ready.append(heapq.heappop(self.paused)[2])

    def is_gone(self) -> bool:
        """Tells if it leaves, and nothing is left to do."""
        return self.is_leaving and not (self.ready or self.paused or self.running)


class PutPool:
    """Threads for the deliveries of all sources; while one waits, they go on with others.

    The next one is of the source that has the fewest under way. Those that hang hold their threads
    long, so half of all are kept for the sources in equal parts: what one does not use of its part
    stays free for it. The threads are daemons: a connection that hangs does not keep the process
    from ending. They end with the last lane. If the system lets only some start, these do all the
    work, and `missing` says how many more there should be.

    Args:
        elapsed_seconds: the monotonic clock.
        stop: set when the process is to end: then no wait goes on.
    """

    def __init__(self, elapsed_seconds: Callable[[], float], stop: Event) -> None:
        self._elapsed_seconds = elapsed_seconds
        self._stop = stop
        self._changed = Condition()
        self._numbers = count(1)
        self._lanes: list[Lane] = []
        self._threads = 0
        self._workers = self._sources = 1
        self.missing = 0

    def expect(self, sources: int, workers: int) -> None:
        """Prepares for what the process ships from now on.

        Args:
            sources: how many there are, including those without a lane now.
            workers: the number of threads, which are started as deliveries come in.
        """
        with self._changed:
            self._sources, self._workers = sources, workers
            self._changed.notify_all()

    def lane(self, most: int) -> Lane:
        """Returns a lane for a source.

        Args:
            most: how many of its deliveries are under way at once, at most.
        """
        lane = Lane(self, most)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def add(self, lane: Lane, job: Job) -> None:
        """Takes a delivery into a lane.

        Raises:
            ForwarderError: no thread can be started for it, and none runs.
        """
        with self._changed:
            if self._threads < self._workers:
                self._start_one()
            if not self._threads:
                error = no_thread(self._workers)
                job.future.set_result(Delivery(error=error))
                raise error
            lane.ready.append(job)
            self._changed.notify()

    def leave(self, lane: Lane) -> None:
        """Lets a lane go: what it has left is still carried out."""
        with self._changed:
            lane.is_leaving = True
            self._changed.notify_all()

    def _start_one(self) -> None:
        """Starts one more thread, which counts only if the system lets it start."""
        is_started = started(self._work) is not None
        self._threads += is_started
        self.missing = 0 if is_started else self._workers - self._threads

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Goes on with one delivery; a thread that waits for the next one keeps none alive."""
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
        """Waits for a delivery to go on with; returns None when no lane is left."""
        with self._changed:
            while not (lane := self._next_lane()):
                if not self._lanes:
                    self._threads -= 1
                    self._changed.notify_all()
                    return None
                self._wait()
            lane.running += 1
            lane.turn = next(self._numbers)
            return lane, lane.ready.popleft()

    def _next_lane(self) -> Lane | None:
        now_seconds = float("inf") if self._stop.is_set() else self._elapsed_seconds()
        self._lanes = [lane for lane in self._lanes if not lane.is_gone()]
        for lane in self._lanes:
            lane.wake(now_seconds)
        return min(self._ready(), key=lambda lane: (lane.running, lane.turn), default=None)

    def _ready(self) -> Iterator[Lane]:
        """Yields the lanes with something to do that may have one more thread."""
        running = [lane.running for lane in self._lanes]
        free = self._workers - sum(running)
        half = self._workers // 2
        part = max(1, half // self._sources)
        unused = part * self._sources - sum(min(part, count) for count in running)
        for lane in self._lanes:
            kept = 0 if lane.running < part else max(0, min(half, unused))
            if lane.ready and lane.running < lane.most and free > kept:
                yield lane

    def _wait(self) -> None:
        """Waits until something changes or the next wait of a delivery is over."""
        due_seconds = [lane.paused[0][0] for lane in self._lanes if lane.paused]
        if due_seconds:
            self._pause(max(0.0, min(due_seconds) - self._elapsed_seconds()))
        else:
            self._changed.wait()

    def _pause(self, seconds: float) -> None:
        self._changed.wait(min(seconds, _LOOK_SECONDS))
