"""Work side by side, on the executor of the standard library."""

from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from threading import Event
from typing import TypeVar

from utils.errors import ForwarderError, StoppedError

RAISE_THE_LIMIT = (
    "Raise the limit on processes and threads: --pids-limit of the container, the pod's, or "
    "ulimit -u"
)
REFRESH_SECONDS = 0.2
_LOOK_SECONDS = 0.5
# Docker kills ten seconds after its signal, so a stop leaves the work less than this.
_STOP_SECONDS = 8.0

Result = TypeVar("Result")
Item = TypeVar("Item")


class Workers:
    """Threads that do what is submitted, in its order; fewer do it if the system allows no more.

    Python waits at its end for the threads of an executor, however long one hangs, so the program
    ends without Python's (`engine.end_process`).

    Args:
        most: the number of threads, which are started as work comes in.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._begun: list[None] = []
        self._executor = ThreadPoolExecutor(most, initializer=self._begun.append, initargs=(None,))
        self._has_thread = self._is_limited = self._is_closed = False

    @property
    def missing(self) -> int:
        """How many threads the system did not let start."""
        return self._most - len(self._begun) if self._is_limited else 0

    def submit(
        self, work: Callable[[], Result], noted: list[Future[Result]] | None = None
    ) -> Future[Result]:
        """Returns the future result of work.

        Args:
            work: what is done.
            noted: gets the result before anything can be done, whatever is raised then.

        Raises:
            ForwarderError: there is no thread for it, and it is not done.
        """
        future: Future[Result] = Future()
        noted = [] if noted is None else noted
        noted.append(future)
        try:
            self._executor.submit(_do, work, future)
            self._has_thread = True
        except (RuntimeError, MemoryError) as exc:  # CPython's "can't start new thread"
            # It is in the queue all the same, and any thread that has started comes to it.
            self._is_limited = True
            if (self._is_closed or not self._has_thread) and future.cancel():
                noted.remove(future)
                detail = f"{self._most} are needed"
                raise ForwarderError("No thread can be started", detail, RAISE_THE_LIMIT) from exc
        return future

    def close(self) -> None:
        """Lets the threads end once they have done what was submitted."""
        # Else what is submitted then, and refused by the executor, would pass for queued.
        self._is_closed = True
        self._executor.shutdown(wait=False)


def _do(work: Callable[[], Result], future: Future[Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as exc:  # noqa: BLE001 - it is raised where the result is taken
        future.set_exception(exc)


def begin(work: Callable[[], Result]) -> Future[Result]:
    """Returns the future result of work, which is done by a thread of its own.

    Raises:
        ForwarderError: no thread can be started for it.
    """
    with closing(Workers(1)) as worker:
        return worker.submit(work)


def await_all(futures: Collection[Future[Result]], stop: Event) -> None:
    """Waits until all work is done; the thread is woken once for it.

    Args:
        futures: of the work.
        stop: set when the process is to end.

    Raises:
        StoppedError: the process is to end.
    """
    while wait(futures, _LOOK_SECONDS).not_done:
        if stop.is_set():
            raise StoppedError


def awaited(future: Future[Result], stop: Event) -> Result:
    """Returns the result of work once it is there; it raises as `await_all` and the work do."""
    await_all([future], stop)
    return future.result()


def read_ahead(items: Iterator[Item], depth: int, stop: Event) -> Generator[Item]:
    """Yields the items, while a thread of its own reads the next ones.

    Args:
        items: what is read.
        depth: how many items are read ahead.
        stop: set when the process is to end.

    Raises:
        ForwarderError: no thread can be started for it.
        StoppedError: the process is to end.
    """
    end = object()
    step = partial(next, items, end)
    with closing(Workers(1)) as worker:
        ahead = deque(worker.submit(step) for _ in range(depth))
        try:
            while (item := awaited(ahead.popleft(), stop)) is not end:
                if stop.is_set():
                    raise StoppedError
                ahead.append(worker.submit(step))
                yield item
        finally:
            for one in ahead:
                one.cancel()


def attend(work: Callable[[], bool], stop: Event, refresh: Callable[[], object]) -> bool | None:
    """Returns the work's result, None if a stop left it behind.

    Args:
        work: what is done.
        stop: set when the process is to end.
        refresh: called now and then meanwhile.

    Raises:
        ForwarderError: no thread can be started for it.
        Exception: what the work raises.
    """
    future = begin(work)
    while not wait([future], REFRESH_SECONDS).done and not stop.is_set():
        refresh()
    return future.result() if wait([future], _STOP_SECONDS).done else None
