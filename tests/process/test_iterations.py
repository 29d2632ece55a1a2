"""Iterations side by side: each source has its own turn, and never two at a time."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, ClassVar

import pytest

from engine import EXIT_FAILED, Engine
from services.commands.options import read_options
from services.daemon import iterations as iterations_service
from services.daemon.iterations import Iterations
from tests.world.in_memory import source_of
from tests.world.in_memory_time import VirtualTime
from utils.config.settings import Source
from utils.model import Clock, Counts, Gauge, Start

if TYPE_CHECKING:
    from utils.report.failures import Failure

START = Start("owner", 0, 0)
DEADLINE_SECONDS = 20.0


def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    for _ in range(int(DEADLINE_SECONDS * 1000)):
        if condition():
            return
        Event().wait(0.001)
    raise AssertionError("it did not come to hold")


class Doing:
    """In the place of an iteration: it ends when it is told to."""

    begun: ClassVar[list["Doing"]] = []

    def __init__(self, source: Source, _: object) -> None:
        self.source = source
        self.gauge = Gauge()
        self.counts = Counts()
        self.began = datetime.now(UTC)
        self.began_seconds = 0.0
        self.is_complete = False
        self.newest_shipped = None
        self.progress: tuple[object, ...] = (0,)
        self.owed = 0
        self.failures: list[Failure] = []
        self.what = ""
        self._is_good = False
        self._ended = Event()

    def start_up(self, _: Start) -> bool:
        return self._do("start_up")

    def run(self, _: Start) -> bool:
        return self._do("run")

    def end(self, *, is_good: bool = True) -> None:
        self._is_good = is_good
        self._ended.set()

    def _do(self, what: str) -> bool:
        self.what = what
        self.begun.append(self)
        assert self._ended.wait(DEADLINE_SECONDS)
        return self._is_good


@pytest.fixture(autouse=True)
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Doing]]:
    """All that has begun."""
    monkeypatch.setattr("engine.Iteration", Doing)
    monkeypatch.setattr(iterations_service, "tell_start", lambda *_: None)
    Doing.begun.clear()
    yield Doing.begun
    for one in Doing.begun:
        one.end()


@pytest.fixture
def stop() -> Event:
    return Event()


@pytest.fixture
def iterations(stop: Event) -> Iterations:
    time = VirtualTime()
    return Iterations(Clock(time.machine_now, time.seconds), stop, Doing)


def sources(*names: str) -> list[Source]:
    return [source_of(name=name) for name in names]


def hour(iterations: Iterations, *names: str) -> None:
    iterations.expect(sources(*names))
    iterations.run(sources(*names), lambda: START)


def latest(begun: list[Doing], name: str, count: int = 1) -> Doing:
    """Returns the last of so many that have begun for a source."""

    def of_source() -> list[Doing]:
        return [one for one in list(begun) if one.source.name == name]

    until(lambda: len(of_source()) == count)
    return of_source()[-1]


@pytest.mark.parametrize("begin", [Iterations.start_up, Iterations.run], ids=["start_up", "run"])
def test_a_source_without_a_thread_has_failed_and_the_others_begin(
    iterations: Iterations,
    begun: list[Doing],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    begin: Callable[[Iterations, list[Source], Callable[[], Start]], None],
) -> None:
    start = Thread.start
    refused: list[Thread] = []

    def refuse_two(thread: Thread) -> None:
        if len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    iterations.expect(sources("one", "two", "three"))
    monkeypatch.setattr(Thread, "start", refuse_two)
    begin(iterations, sources("one", "two", "three"), lambda: START)
    latest(begun, "three").end()
    assert iterations.failures() == {"one": 1, "three": 0, "two": 1}
    assert not iterations.join()
    (told,) = capsys.readouterr().err.splitlines()
    assert re.search(r"ERROR No thread can be started .*--pids-limit.* source=.one, two.$", told)
    hour(iterations, "one", "two")
    latest(begun, "one").end()
    latest(begun, "two").end()
    assert iterations.join()


def test_what_nobody_foresaw_is_told_in_a_line(
    iterations: Iterations, begun: list[Doing], capsys: pytest.CaptureFixture[str]
) -> None:
    def explode() -> Start:
        raise KeyError("secret")

    iterations.expect(sources("one"))
    iterations.run(sources("one"), explode)
    assert not iterations.join()
    (told,) = capsys.readouterr().err.splitlines()
    assert re.search(r"ERROR An unexpected error stopped this \(KeyError at .* source=one$", told)
    assert not begun


def test_the_next_hour_comes_for_all_but_the_source_that_is_under_way(
    iterations: Iterations, begun: list[Doing], capsys: pytest.CaptureFixture[str]
) -> None:
    for count in (1, 2, 3):
        hour(iterations, "slow", "quick")
        latest(begun, "slow")
        latest(begun, "quick", count).end()
        until(lambda: set(iterations.working()) == {"slow"})
    said = capsys.readouterr().err
    assert said.count("still under way") == 2
    assert said.count("source=slow") == 2
    latest(begun, "slow").end()
    assert iterations.join()
    hour(iterations, "slow")
    latest(begun, "slow", 2)


def test_the_first_hour_waits_for_its_own_source_alone(
    iterations: Iterations, begun: list[Doing]
) -> None:
    """What is opened and shipped at the same time would have two checkpoints."""
    iterations.expect(sources("slow", "quick"))
    iterations.start_up(sources("slow", "quick"), lambda: START)
    latest(begun, "quick").end()
    slow = latest(begun, "slow")
    hour(iterations, "slow", "quick")
    assert latest(begun, "quick", 2).what == "run"
    assert latest(begun, "slow").what == "start_up"
    slow.end()
    assert latest(begun, "slow", 2).what == "run"


def test_nothing_begins_after_a_stop(
    iterations: Iterations, begun: list[Doing], stop: Event
) -> None:
    iterations.expect(sources("slow"))
    iterations.start_up(sources("slow"), lambda: START)
    hour(iterations, "slow")
    slow = latest(begun, "slow")
    stop.set()
    slow.end()
    assert iterations.join()
    assert begun == [slow]


def test_failures_in_a_row_are_counted_for_each_source(
    iterations: Iterations, begun: list[Doing]
) -> None:
    """They end at different times, and the good ones of one do not make up for another's."""
    for count, (is_good, failures) in enumerate([(False, 1), (False, 2), (True, 0), (False, 1)], 1):
        hour(iterations, "bad", "good")
        latest(begun, "bad", count).end(is_good=is_good)
        latest(begun, "good", count).end()
        assert iterations.join() == is_good
        assert iterations.failures() == {"bad": failures, "good": 0}


def test_an_hour_without_a_configuration_is_a_failure_of_those_that_would_have_begun(
    iterations: Iterations, begun: list[Doing]
) -> None:
    hour(iterations, "slow", "quick")
    latest(begun, "quick").end()
    until(lambda: set(iterations.working()) == {"slow"})
    iterations.skip(["slow", "quick"])
    assert iterations.failures() == {"slow": 0, "quick": 1}


def test_a_source_that_is_no_longer_configured_is_forgotten_when_it_has_ended(
    iterations: Iterations, begun: list[Doing]
) -> None:
    hour(iterations, "gone", "left", "stays")
    latest(begun, "gone").end(is_good=False)
    until(lambda: set(iterations.working()) == {"left", "stays"})
    hour(iterations, "stays")
    assert set(iterations.failures()) == {"left", "stays"}
    latest(begun, "left").end(is_good=False)
    until(lambda: set(iterations.working()) == {"stays"})
    assert iterations.failures()["left"] == 1
    hour(iterations, "stays")
    assert set(iterations.failures()) == {"stays"}


def test_a_source_that_is_no_longer_configured_while_it_starts_up_is_forgotten_when_it_has_failed(
    iterations: Iterations, begun: list[Doing]
) -> None:
    iterations.expect(sources("gone"))
    iterations.start_up(sources("gone"), lambda: START)
    starting = latest(begun, "gone")
    hour(iterations, "stays")
    starting.end(is_good=False)
    until(lambda: iterations.failures().get("gone") == 1)
    latest(begun, "stays").end()
    assert not iterations.join()
    iterations.expect(sources("stays"))
    assert set(iterations.failures()) == {"stays"}


def test_without_any_thread_the_error_is_told_and_the_exit_status_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    engine = Engine(tmp_path / "config.json")
    monkeypatch.setattr(engine, "read_sources", lambda: sources("a"))
    monkeypatch.setattr(Thread, "start", refuse)
    assert engine.run(read_options(["--once"], tmp_path, date.max)) == EXIT_FAILED
    assert "ERROR No thread can be started " in capsys.readouterr().err
    assert not Doing.begun
