"""Runs calls on a fixed number of threads that a stop need not wait for."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from services.threads.start import no_thread, started

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class WorkerPool(Generic[Argument, Result]):
    """Calls one function for each argument; its threads are daemons.

    The executor of the standard library waits for its threads when the process ends, and so for a
    connection that hangs.

    Args:
        function: what is called.
        workers: the number of threads, which are started as calls come in.
    """

    def __init__(self, function: Callable[[Argument], Result], workers: int) -> None:
        self._function = function
        self._queue: SimpleQueue[tuple[Argument, Future[Result]] | None] = SimpleQueue()
        self._workers = workers
        self._threads = 0

    def submit(self, argument: Argument) -> "Future[Result]":
        """Returns the future result of the call.

        Raises:
            ForwarderError: no thread can be started for it, and none runs.
        """
        future: Future[Result] = Future()
        if self._threads < self._workers:
            self._threads += started(self._work) is not None
        if not self._threads:
            raise no_thread(self._workers)
        self._queue.put((argument, future))
        return future

    def close(self) -> None:
        """Lets the threads end once they have done what was submitted."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """Does what was submitted first; a thread that waits for more keeps nothing of it alive."""
        task = self._queue.get()
        if task is None:
            return False
        argument, future = task
        try:
            future.set_result(self._function(argument))
        except BaseException as exc:  # noqa: BLE001 - it is raised where the result is taken
            future.set_exception(exc)
        return True
