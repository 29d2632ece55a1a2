"""Puts of all sources share one set of threads; what waits or hangs holds up no other source."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event, Lock
from threading import enumerate as enumerate_threads

import pytest

from services.threads.put_pool import Lane, PutPool, Steps
from tests.world.in_memory_time import NoWait, NoWaitPool, VirtualTime
from utils.lines.delivery import Delivery

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


def pool_of(workers: int, sources: int = 1) -> PutPool:
    time = VirtualTime()
    pool = NoWaitPool(workers, time, NoWait(time))
    pool.expect(sources, workers)
    return pool


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


def test_a_source_that_is_the_only_one_has_all_threads() -> None:
    gate = Gate()
    futures = fill(pool_of(8).lane(64), gate, "only", 20)
    until(lambda: gate.running["only"] == 8)
    gate.open()
    assert len(results(futures)) == 20


def test_a_source_stays_within_its_own_bound() -> None:
    gate = Gate()
    pool = pool_of(8, sources=2)
    lanes = {name: pool.lane(2) for name in "ab"}
    futures = [one for name, lane in lanes.items() for one in fill(lane, gate, name, 9)]
    until(lambda: gate.running == Counter(a=2, b=2))
    gate.open()
    results(futures)


@pytest.mark.parametrize(
    ("workers", "sources", "held"),
    [
        (32, 2, (24,)),
        (32, 3, (22, 5)),
        (32, 5, (20, 3, 3, 3)),
        (32, 50, (16, *[1] * 15)),
        (8, 2, (6,)),
        (4, 3, (2, 1)),
        (3, 2, (2,)),
        (2, 2, (1,)),
    ],
)
def test_sources_that_hang_leave_threads_to_the_others(
    workers: int, sources: int, held: tuple[int, ...]
) -> None:
    """Each that hangs takes what it can, the one after the other."""
    gate = Gate()
    pool = pool_of(workers, sources)
    futures: list[Future[Delivery]] = []
    for number, count in enumerate(held):
        name = f"hanging {number}"
        futures += fill(pool.lane(64), gate, name, 2 * workers)
        until(lambda name=name, count=count: gate.running[name] == count)  # type: ignore[misc]
    order: list[str] = []
    other = pool.lane(64)
    results([other.submit(at_once("other", order)) for _ in range(40)])
    assert len(order) == 40
    assert tuple(gate.running.values()) == held
    gate.open()
    results(futures)


def test_sources_that_are_all_at_work_use_all_threads() -> None:
    gate = Gate()
    pool = pool_of(8, sources=3)
    lanes = {name: pool.lane(64) for name in "abc"}
    futures = [one for name, lane in lanes.items() for one in fill(lane, gate, name, 20)]
    until(lambda: gate.running.total() == 8)
    assert set(gate.running) == set("abc")
    gate.open()
    results(futures)


def test_the_next_is_of_the_source_with_the_fewest_under_way() -> None:
    gate = Gate()
    pool = pool_of(1, sources=4)
    lanes = {name: pool.lane(4) for name in "abcd"}
    held = fill(lanes["a"], gate, "a", 1)
    until(lambda: gate.running["a"] == 1)
    futures = [one for name, lane in lanes.items() for one in fill(lane, gate, name, 3)]
    gate.open()
    results(held + futures)
    assert "".join(gate.order) == "a" + 3 * "bcda"


def test_while_one_waits_its_thread_serves_others() -> None:
    said: list[str] = []
    pool = pool_of(1, sources=11)
    waiting = pool.lane(1).submit(patient([5.0, 60.0], said, "again"))
    order: list[str] = []
    results([pool.lane(1).submit(at_once("other", order)) for _ in range(10)])
    results([waiting])
    assert (said, len(order)) == (["again", "again"], 10)


def test_a_stop_ends_every_wait() -> None:
    stop = Event()
    pool = PutPool(lambda: 0.0, stop)
    said: list[str] = []
    future = pool.lane(1).submit(patient([1e9], said, "again"))
    until(lambda: said == ["again"])
    stop.set()
    assert results([future]) == [Delivery()]


def test_an_error_is_raised_where_the_result_is_taken() -> None:
    def failing() -> Steps:
        yield 0.0
        raise RuntimeError("at work")

    future = pool_of(2).lane(2).submit(failing())
    with pytest.raises(RuntimeError, match="at work"):
        future.result(DEADLINE_SECONDS)


def test_what_a_leaving_source_has_left_is_still_done() -> None:
    gate = Gate()
    lane = pool_of(1).lane(1)
    futures = fill(lane, gate, "leaving", 5)
    lane.close()
    gate.open()
    assert len(results(futures)) == 5


def test_threads_end_with_the_last_source_and_the_next_one_has_its_own() -> None:
    """The pool lasts as long as the process: a daemon that waits for its hour has none."""
    gate = Gate()
    pool = pool_of(4)
    for name in "ab":
        before = set(enumerate_threads())
        lane = pool.lane(4)
        futures = fill(lane, gate, name, 8)
        until(lambda name=name: gate.running[name] >= 4)  # type: ignore[misc]
        started = set(enumerate_threads()) - before
        assert len(started) == 4
        gate.open()
        results(futures)
        lane.close()
        until(lambda started=started: not started & set(enumerate_threads()))  # type: ignore[misc]
