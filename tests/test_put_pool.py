"""Puts of all sources share one set of threads; what waits or hangs holds up no other source."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Event, Lock

import pytest

from services.put_pool import Lane, PutPool, Steps
from tests.in_memory_time import NoWait, NoWaitPool, VirtualTime
from utils.delivery import Delivery

# No test waits this long, unless the pool hangs.
DEADLINE_SECONDS = 20.0


class Gate:
    """Work that is held back, and how much of it is under way, by the name of its source."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._opened = Event()
        self.running: Counter[str] = Counter()
        self.order: list[str] = []

    def steps(self, name: str) -> Steps:
        with self._lock:
            self.running[name] += 1
            self.order.append(name)
        assert self._opened.wait(DEADLINE_SECONDS)
        yield from ()
        return Delivery()

    def open(self) -> None:
        self._opened.set()


def at_once(name: str, order: list[str]) -> Steps:
    order.append(name)
    yield from ()
    return Delivery()


def patient(pauses: list[float], said: list[str], word: str) -> Steps:
    for pause_seconds in pauses:
        said.append(word)
        yield pause_seconds
    return Delivery()


@contextmanager
def pool_of(workers: int) -> Iterator[PutPool]:
    time = VirtualTime()
    pool = NoWaitPool(workers, time, NoWait(time))
    yield pool
    pool.close()


def results(futures: list["Future[Delivery]"]) -> list[Delivery]:
    assert not wait(futures, DEADLINE_SECONDS).not_done
    return [future.result() for future in futures]


def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    for _ in range(int(DEADLINE_SECONDS * 1000)):
        if condition():
            return
        Event().wait(0.001)
    raise AssertionError("it did not come to hold")


def fill(lane: Lane, gate: Gate, name: str, count: int) -> list["Future[Delivery]"]:
    return [lane.submit(gate.steps(name)) for _ in range(count)]


def test_one_source_alone_has_all_threads() -> None:
    gate = Gate()
    with pool_of(8) as pool:
        futures = fill(pool.lane(64), gate, "only", 20)
        until(lambda: gate.running["only"] == 8)
        gate.open()
        assert len(results(futures)) == 20


def test_a_source_stays_within_its_own_bound() -> None:
    gate = Gate()
    with pool_of(8) as pool:
        lanes = {name: pool.lane(2) for name in "ab"}
        futures = [one for name, lane in lanes.items() for one in fill(lane, gate, name, 9)]
        until(lambda: gate.running == Counter(a=2, b=2))
        gate.open()
        results(futures)


def test_a_source_that_hangs_leaves_threads_to_the_others() -> None:
    gate = Gate()
    with pool_of(8) as pool:
        hanging, other = pool.lane(8), pool.lane(8)
        held = fill(hanging, gate, "hanging", 40)
        until(lambda: gate.running["hanging"] == 7)
        order: list[str] = []
        results([other.submit(at_once("other", order)) for _ in range(40)])
        assert gate.running["hanging"] == 7
        gate.open()
        results(held)


def test_the_next_is_of_the_source_with_the_fewest_under_way() -> None:
    gate = Gate()
    with pool_of(1) as pool:
        lanes = {name: pool.lane(4) for name in "abcd"}
        held = fill(lanes["a"], gate, "a", 1)
        until(lambda: gate.running["a"] == 1)
        futures = [one for name, lane in lanes.items() for one in fill(lane, gate, name, 3)]
        gate.open()
        results(held + futures)
    assert "".join(gate.order) == "a" + 3 * "bcda"


def test_while_one_waits_its_thread_serves_others() -> None:
    said: list[str] = []
    with pool_of(1) as pool:
        waiting = pool.lane(1).submit(patient([5.0, 60.0], said, "again"))
        order: list[str] = []
        results([pool.lane(1).submit(at_once("other", order)) for _ in range(10)])
        results([waiting])
    assert (said, len(order)) == (["again", "again"], 10)


def test_a_stop_ends_every_wait() -> None:
    stop = Event()
    pool = PutPool(1, lambda: 0.0, stop)
    said: list[str] = []
    future = pool.lane(1).submit(patient([1e9], said, "again"))
    until(lambda: said == ["again"])
    stop.set()
    assert results([future]) == [Delivery()]
    pool.close()


def test_an_error_is_raised_where_the_result_is_taken() -> None:
    def failing() -> Steps:
        yield 0.0
        raise RuntimeError("at work")

    with pool_of(2) as pool:
        future = pool.lane(2).submit(failing())
        with pytest.raises(RuntimeError, match="at work"):
            future.result(DEADLINE_SECONDS)


def test_what_a_leaving_source_has_left_is_still_done() -> None:
    gate = Gate()
    with pool_of(1) as pool:
        lane = pool.lane(1)
        futures = fill(lane, gate, "leaving", 5)
        lane.close()
        gate.open()
        assert len(results(futures)) == 5
