"""Reads the next items of an iterator while the last one is worked on."""

from collections.abc import Generator, Iterator
from queue import Empty, Full, Queue
from threading import Event
from typing import TypeVar

from services.threads.start import started
from utils.errors import StoppedError

Item = TypeVar("Item")
_LOOK_SECONDS = 0.5


class _End:
    """The last thing that the reading thread hands over."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def read_ahead(items: Iterator[Item], depth: int, stop: Event) -> Generator[Item]:
    """Yields the items, which a thread of its own reads ahead, if the system lets one start.

    Args:
        items: what is read.
        depth: how many items are read ahead.
        stop: set when the process is to end.

    Raises:
        StoppedError: the process is to end.
    """
    queue: Queue[Item | _End] = Queue(depth)
    is_left = Event()
    if not started(_read, items, queue, is_left):
        yield from _read_here(items, stop)
        return
    try:
        while True:
            item = _next(queue, stop)
            if isinstance(item, _End):
                if item.error:
                    raise item.error
                return
            yield item
    finally:
        is_left.set()


def _read_here(items: Iterator[Item], stop: Event) -> Iterator[Item]:
    for item in items:
        if stop.is_set():
            raise StoppedError("Stopped before everything was shipped")
        yield item


def _read(items: Iterator[Item], queue: "Queue[Item | _End]", is_left: Event) -> None:
    error = None
    try:
        for item in items:
            _hand_over(item, queue, is_left)
            if is_left.is_set():
                return
    except BaseException as exc:  # noqa: BLE001 - it is raised where the items are taken
        error = exc
    _hand_over(_End(error), queue, is_left)


def _hand_over(item: "Item | _End", queue: "Queue[Item | _End]", is_left: Event) -> None:
    while not is_left.is_set():
        try:
            queue.put(item, timeout=_LOOK_SECONDS)
        except Full:
            continue
        return


def _next(queue: "Queue[Item | _End]", stop: Event) -> "Item | _End":
    while not stop.is_set():
        try:
            return queue.get(timeout=_LOOK_SECONDS)
        except Empty:
            continue
    raise StoppedError("Stopped before everything was shipped")
