"""A limit on threads strikes anywhere: lost 0, doubled 0, and fewer threads do the same work."""

import re
import threading
import time
from collections import Counter
from collections.abc import Container, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import Event, Semaphore, Thread

import pytest

from services.output.checkpoint_saver import CheckpointSaver
from services.shipping.shipper import InFlight, Shipper
from services.threads.executor import Workers, attend, begin, read_ahead
from tests.world.audit_objects import event, whole
from tests.world.faults import UNAVAILABLE, each
from tests.world.in_memory import source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import Trial, assert_same, take_small_steps, world_of
from utils.errors import ForwarderError, StoppedError

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
    submits = calls_of(Workers, "submit")
    assert submits > 20
    for number in range(1, submits + 1):
        trial = Trial("all")
        with failing(Workers, "submit", (number,), behind):
            trial.world.run(trial.source)
        trial.finish()


@pytest.mark.parametrize("behind", [False, True], ids=["before", "behind"])
def test_an_error_at_each_submit_of_what_was_in_doubt(behind: bool) -> None:
    """What is missing is sent again in parts: an error between them leaves the rest in doubt."""
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(12)]
    faults = each("put", range(1, 5), UNAVAILABLE) | {"put 2 done": UNAVAILABLE}
    for number in range(5, 9):
        world = world_of([whole("S3-1.gz", NOON_MS, lines)])
        with failing(Workers, "submit", (number,), behind):
            world.run(source_of(), faults)
        assert world.run(source_of()).is_good, world.statuses()
        assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize(("place", "name"), [(InFlight, "is_clean"), (Shipper, "_tell")])
def test_a_bug_leaves_no_thread_that_saves(
    place: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep a dead iteration's checkpoint alive, and stop the next one."""
    begun: list[CheckpointSaver] = []
    at_work: list[CheckpointSaver] = []
    start, close = CheckpointSaver.start, CheckpointSaver.close

    def started(saver: CheckpointSaver) -> None:
        begun.append(saver)
        at_work.append(saver)
        start(saver)

    def closed(saver: CheckpointSaver) -> None:
        close(saver)
        at_work.remove(saver)

    def fail(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(CheckpointSaver, "start", started)
    monkeypatch.setattr(CheckpointSaver, "close", closed)
    monkeypatch.setattr(place, name, fail)
    trial = Trial("all")
    assert not trial.world.run(trial.source).is_good
    assert begun
    assert not at_work


def test_fewer_threads_do_the_work_and_the_limit_is_named() -> None:
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(60)]
    told: list[str] = []
    for most in EVERY:
        world = world_of([whole("S3-1.gz", NOON_MS, lines)])
        with failing(Thread, "start", range(most + 1, len(EVERY))) as starts:
            is_good = world.run(source_of(concurrency=8)).is_good
        if len(starts) <= most:
            break
        told += [one for one in world.statuses() if is_good and "WARN Not all threads" in one]
        assert world.run(source_of()).is_good
        assert_same(world.messages(), Counter(lines))
    assert told
    assert all(re.search(r"--pids-limit.* missing=[1-7]$", one) for one in told), told


def test_without_any_thread_nothing_is_done_and_the_error_says_what_is_needed() -> None:
    workers = Workers(5)
    done: list[str] = []
    noted: list[Future[None]] = []
    with failing(Thread, "start", (1,)):
        with pytest.raises(ForwarderError, match=r"5 are needed.*--pids-limit.*ulimit -u"):
            workers.submit(lambda: done.append("never"), noted)
        assert not noted
        workers.submit(lambda: done.append("then"), noted).result(DEADLINE_SECONDS)
    workers.close()
    assert (done, len(noted)) == (["then"], 1)


def test_workers_that_are_closed_take_nothing_that_would_never_be_done() -> None:
    workers = Workers(1)
    workers.submit(lambda: None).result(DEADLINE_SECONDS)
    workers.close()
    noted: list[Future[None]] = []
    with pytest.raises(ForwarderError):
        workers.submit(lambda: None, noted)
    assert not noted


def test_workers_go_on_with_fewer_threads() -> None:
    workers = Workers(3)
    gate = Event()
    with failing(Thread, "start", (2, 3, 4, 5, 6)):
        futures = [workers.submit(partial(held, gate, number)) for number in range(5)]
        gate.set()
        assert [one.result(DEADLINE_SECONDS) for one in futures] == [0, 1, 2, 3, 4]
    assert workers.missing == 2
    workers.close()


def held(gate: Event, number: int) -> int:
    assert gate.wait(DEADLINE_SECONDS)
    return number


def test_as_many_are_under_way_as_there_are_threads_and_these_end() -> None:
    before = {*threading.enumerate()}
    workers, gate, begun = Workers(4), Event(), Semaphore(0)

    def work() -> None:
        begun.release()
        assert gate.wait(DEADLINE_SECONDS)

    futures = [workers.submit(work) for _ in range(12)]
    for _ in range(4):
        assert begun.acquire(timeout=DEADLINE_SECONDS)
    assert not begun.acquire(timeout=0.05)
    assert len({*threading.enumerate()} - before) == 4
    workers.close()
    gate.set()
    assert not wait(futures, DEADLINE_SECONDS).not_done
    deadline = time.monotonic() + DEADLINE_SECONDS
    while {*threading.enumerate()} - before:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_error_is_raised_where_the_result_is_taken() -> None:
    def fail() -> None:
        raise KeyError("at work")

    with pytest.raises(KeyError, match="at work"):
        begin(fail).result(DEADLINE_SECONDS)


def test_what_is_read_ahead_comes_in_order_and_its_error_at_its_place() -> None:
    def items() -> Iterator[str]:
        yield from "abc"
        raise KeyError("d")

    reading = read_ahead(items(), 2, Event())
    assert [next(reading) for _ in range(3)] == ["a", "b", "c"]
    with pytest.raises(KeyError, match="d"):
        next(reading)


def test_a_stop_ends_the_reading_ahead() -> None:
    stop = Event()
    reading = read_ahead(iter("abc"), 2, stop)
    assert next(reading) == "a"
    stop.set()
    with pytest.raises(StoppedError, match=r"^Stopped before the end\.$"):
        next(reading)


def test_no_more_is_read_ahead_than_asked_for_and_nothing_once_it_is_left() -> None:
    read: list[int] = []
    is_read = Semaphore(0)

    def items() -> Iterator[int]:
        for number in count():
            read.append(number)
            is_read.release()
            yield number

    reading = read_ahead(items(), 2, Event())
    assert next(reading) == 0
    for _ in range(3):
        assert is_read.acquire(timeout=DEADLINE_SECONDS)
    reading.close()
    assert not is_read.acquire(timeout=0.05)
    assert read == [0, 1, 2]


def test_work_that_has_no_thread_says_so() -> None:
    refused = pytest.raises(ForwarderError, match="No thread can be started")
    with failing(Thread, "start", EVERY), refused:
        attend(lambda: True, Event(), lambda: None)
