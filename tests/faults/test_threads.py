"""A limit on threads strikes anywhere: lost 0, doubled 0, and fewer threads do the same work."""

from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from services.threads.background import attend
from services.threads.put_pool import Lane, PutPool, Steps
from services.threads.read_ahead import read_ahead
from services.threads.start import started
from services.threads.worker_pool import WorkerPool
from tests.world.audit_objects import event, whole
from tests.world.faults import UNAVAILABLE, each
from tests.world.in_memory import source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import Trial, assert_same, take_small_steps, world_of
from utils.errors import ForwarderError, StoppedError
from utils.lines.delivery import Delivery

if TYPE_CHECKING:
    from concurrent.futures import Future

EVERY = range(1, 1000)
LIMIT = "can't start new thread"
DEADLINE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr("services.shipping.shipper._GRACE_SECONDS", 0.3)


@contextmanager
def failing(
    place: type, name: str, which: Container[int], behind: bool = False
) -> Iterator[list[int]]:
    """Lets the calls of a method fail that have certain numbers, before or behind their work.

    Args:
        place: the class.
        name: of the method.
        which: the numbers of those calls, from 1.
        behind: whether the work is done all the same.
    """
    numbers = count(1)
    calls: list[int] = []
    work = getattr(place, name)

    def call(*arguments: object, **named: object) -> object:
        number = next(numbers)
        calls.append(number)
        if number in which and not behind:
            raise RuntimeError(LIMIT)
        result = work(*arguments, **named)
        if number in which:
            raise RuntimeError(LIMIT)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, name, call)
        yield calls


def calls_of(place: type, name: str) -> int:
    """Returns how often an undisturbed process calls a method."""
    trial = Trial("all")
    with failing(place, name, ()) as calls:
        trial.world.run(trial.source)
    return len(calls)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from then on"])
def test_a_limit_at_each_start_of_a_thread_in_turn(for_good: bool) -> None:
    starts = calls_of(Thread, "start")
    assert starts > 4
    for number in range(1, starts + 1):
        trial = Trial("all")
        last = starts + 1 if for_good else number
        with failing(Thread, "start", range(number, last + 1)):
            trial.world.run(trial.source)
        trial.finish()


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_an_error_at_each_submit_in_turn(behind: bool) -> None:
    """What may have been sent is noted before it can be."""
    submits = calls_of(Lane, "submit")
    assert submits > 20
    for number in range(1, submits + 1):
        trial = Trial("all")
        with failing(Lane, "submit", (number,), behind):
            trial.world.run(trial.source)
        trial.finish()


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_an_error_at_each_submit_of_what_was_in_doubt(behind: bool) -> None:
    """What is missing is sent again in parts: an error between them leaves the rest in doubt."""
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(12)]
    faults = each("put", range(1, 5), UNAVAILABLE) | {"put 2 done": UNAVAILABLE}
    for number in range(5, 9):
        world = world_of([whole("S3-1.gz", NOON_MS, lines)])
        with failing(Lane, "submit", (number,), behind):
            world.run(source_of(), faults)
        assert world.run(source_of()).is_good, world.statuses()
        assert_same(world.messages(), Counter(lines))


def test_fewer_threads_do_the_work_and_the_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(60)]
    world = world_of([whole("S3-1.gz", NOON_MS, lines)])
    threads: list[Thread | None] = []

    def one_is_started(work: Callable[[], object]) -> Thread | None:
        threads.append(None if threads else started(work))
        return threads[-1]

    monkeypatch.setattr("services.threads.put_pool.started", one_is_started)
    assert world.run(source_of(concurrency=8)).is_good, world.statuses()
    assert_same(world.messages(), Counter(lines))
    (line,) = [one for one in world.statuses() if "WARN Not all threads" in one]
    assert "--pids-limit" in line
    assert line.endswith("missing=7")


def nothing_to_do() -> Steps:
    yield from ()
    return Delivery()


def test_without_any_thread_nothing_is_sent_and_the_error_says_what_is_needed() -> None:
    pool = PutPool(lambda: 0.0, Event())
    pool.expect(1, 5)
    lane = pool.lane(5)
    futures: list[Future[Delivery]] = []
    with failing(Thread, "start", (1,)):
        with pytest.raises(ForwarderError, match=r"5 are needed.*--pids-limit.*ulimit -u"):
            lane.submit(nothing_to_do(), futures)
        assert futures[0].result(DEADLINE_SECONDS).error
        assert lane.submit(nothing_to_do(), futures).result(DEADLINE_SECONDS) == Delivery()
    assert len(futures) == 2


def test_workers_go_on_with_fewer_threads() -> None:
    pool: WorkerPool[int, int] = WorkerPool(lambda number: number + 1, 3)
    with failing(Thread, "start", (1, 3, 4, 5, 6)):
        with pytest.raises(ForwarderError, match="3 are needed"):
            pool.submit(0)
        futures = [pool.submit(number) for number in range(5)]
        assert [one.result(DEADLINE_SECONDS) for one in futures] == [1, 2, 3, 4, 5]
    pool.close()


def test_without_a_thread_to_read_ahead_it_is_read_in_turn() -> None:
    stop = Event()
    with failing(Thread, "start", EVERY):
        assert list(read_ahead(iter("abc"), 1, stop)) == ["a", "b", "c"]
        stop.set()
        with pytest.raises(StoppedError):
            list(read_ahead(iter("abc"), 1, stop))


def test_work_that_has_no_thread_says_so() -> None:
    refused = pytest.raises(ForwarderError, match="No thread can be started")
    with failing(Thread, "start", EVERY), refused:
        attend(lambda: True, Event(), lambda: None)
