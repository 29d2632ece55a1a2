"""Killed at each call in turn: nothing is lost, and nothing stands in CloudWatch twice."""

import threading
from collections import Counter
from collections.abc import Callable
from random import Random
from threading import Event

import pytest

from tests.standin.cloudwatch_requests import PutRetentionPolicy
from tests.world.audit_objects import DAY_MS, OLD_TWIN, packed, whole
from tests.world.audit_objects import event as audit_event
from tests.world.faults import THROTTLED, Fault, Killed, Life
from tests.world.in_memory import World, source_of
from tests.world.in_memory_logs import LOG_GROUP
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import SINCE_MS, STANDIN, Trial, assert_same, take_small_steps
from utils.state.progress import Progress

# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


def points_of(mode: str) -> list[str]:
    """Returns all points that an undisturbed process passes."""
    trial = Trial(mode)
    return trial.world.run(trial.source).points


@pytest.mark.parametrize(
    ("mode", "pause_ms"), [*((mode, 0) for mode in SINCE_MS), ("all", HOUR_MS)]
)
def test_killed_at_each_call_in_turn(mode: str, pause_ms: int) -> None:
    """A daemon is killed in the middle of anything by a power cut, and started again."""
    struck: Counter[str] = Counter()
    for point in points_of(mode):
        trial = Trial(mode)
        struck[point.partition(" ")[0]] += trial.kill_at(point)
        trial.world.time.now_ms += pause_ms
        trial.finish()
    kinds = {"list", "get", "read", "connect", "head", "load", "look", "save", "put", "recall"}
    kinds |= {"integration-logs", "integration-quarantine", "stream", "describe"}
    assert kinds == set(+struck)


@pytest.mark.parametrize("seed", range(60))
def test_killed_again_and_again(seed: int) -> None:
    """A machine without memory enough kills every process that goes on after the last."""
    random = Random(seed)
    mode = random.choice(list(SINCE_MS))
    points = points_of(mode)
    trial = Trial(mode)
    for _ in range(random.randint(2, 5)):
        trial.kill_at(random.choice(points))
        trial.world.time.now_ms += random.choice([0, 0, 500, 60_000])
    trial.finish()


class SavedAtEachStep(Progress):
    """A progress of which each state is seen, as a save on another thread would see it."""

    seen: Callable[[bytes], None]

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in {"acknowledge", "complete", "plan", "close_plan", "end"}:
            return found

        def step(*arguments: object, **options: object) -> object:
            result = found(*arguments, **options)
            SavedAtEachStep.seen(self.snapshot().document)
            return result

        return step


def test_any_state_that_may_be_saved_is_one_to_go_on_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that saves comes between any two steps of the one that ships, and then a kill."""
    trial, worlds = Trial("all"), []

    def keep(document: bytes) -> None:
        with trial.world.lock:
            worlds.append(trial.world.copy(document))

    monkeypatch.setattr(SavedAtEachStep, "seen", keep, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr("services.shipping.forward.Progress", SavedAtEachStep)
        trial.world.run(trial.source)
    assert len(worlds) > len(trial.objects)
    for world in worlds:
        trial.world = world
        trial.finish()


@pytest.mark.parametrize("second", ["save 1 done", "put 1", "put 2 done"])
@pytest.mark.parametrize("first", ["put 1 done", "put 2 done", "put 4 done"])
def test_equal_old_lines_count_each_over_two_kills(first: str, second: str) -> None:
    """Lines that differ in nothing, not even in their time of upload, are events all the same."""
    world = World(**STANDIN)
    world.put("S3-1.gz", packed([OLD_TWIN] * 20), NOON_MS)
    world.run(source_of(), {first: Killed()})
    world.run(source_of(), {second: Killed()})
    assert world.run(source_of()).is_good
    assert_same(world.messages(), Counter({OLD_TWIN: 20}))


def test_an_object_that_grows_after_a_kill_hides_no_other() -> None:
    """Its new lines are none that the dead process can have sent: the others were."""
    world = World(**STANDIN)
    lines = [audit_event(number, NOON_MS - HOUR_MS) for number in range(50)]
    first, second = lines[:40], lines[40:]
    world.put("S3-1.gz", packed(first[:3]), NOON_MS)
    world.put("S3-2.gz", packed(second), NOON_MS + 1)
    assert world.run(source_of(concurrency=1), {"put 4 done": Killed()}).is_killed
    assert world.messages().total() == 10
    world.put("S3-1.gz", packed(first), world.time.now_ms)
    assert world.run(source_of(), {"put 1": Killed()}).is_killed
    assert world.run(source_of()).is_good
    assert_same(world.messages(), Counter(lines))


def test_equal_lines_that_are_rejected_for_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first get a time of upload after the second were made ready, then comes the kill."""
    monkeypatch.setattr("services.output.checkpoint_saver._SAVE_EVERY_LINES", 1)
    twin = audit_event(1, NOON_MS - 2 * DAY_MS)
    world = World(**STANDIN, denied=["DescribeLogGroups"])
    PutRetentionPolicy(log_group_name=LOG_GROUP, retention_in_days=1).apply(world.account)
    for number in (1, 2):
        world.put(f"S3-{number}.gz", packed([twin] * 3), NOON_MS + number)
    second_is_sent, first_is_saved = Event(), Event()

    def kill_behind_the_save() -> None:
        second_is_sent.set()
        assert first_is_saved.wait(DEADLINE_SECONDS)
        raise Killed

    faults: dict[str, Fault] = {
        "put 1": lambda: second_is_sent.wait(DEADLINE_SECONDS),
        "put 2": kill_behind_the_save,
        "save 4 done": first_is_saved.set,
    }
    assert world.run(source_of(), faults).is_killed
    assert_same(world.messages(), Counter({twin: 3}))
    assert world.run(source_of()).is_good
    assert_same(world.messages(), Counter({twin: 6}))


def test_what_a_failed_iteration_has_not_sent_stays_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon goes on after a failure: the next iteration sends it, and the last no more."""
    monkeypatch.setattr("services.shipping.shipper._GRACE_SECONDS", 0.1)
    lines = [audit_event(number, NOON_MS - HOUR_MS) for number in range(9)]
    world = World(**STANDIN)
    # The first object fills a run, which is sent once the second one is read.
    for number, part in enumerate((lines[:7], lines[7:8], lines[8:])):
        one = whole(f"S3-{number}.gz", NOON_MS + number, part)
        world.put(one.key, one.content, one.modified_ms)
    # A first start has looked twice whether the log stream is empty.
    is_sent, is_looked_back = Event(), Event()

    def throttle() -> None:
        is_sent.set()
        assert is_looked_back.wait(DEADLINE_SECONDS)
        raise THROTTLED

    def fail() -> None:
        assert is_sent.wait(DEADLINE_SECONDS)
        raise RuntimeError

    faults = {"put 1": throttle, "get 3": fail, "look back 3": is_looked_back.set}
    life = Life(faults)
    before = set(threading.enumerate())
    source = source_of(concurrency=1, batch_size=4)
    assert not world.iterate(life, source)
    assert world.iterate(life, source), world.statuses()
    assert is_looked_back.is_set()
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    assert_same(world.messages(), Counter(lines))


def test_an_earlier_mode_after_a_kill() -> None:
    """Who asks for more after a crash must not be told of a second daemon."""
    lines = [audit_event(number, NOON_MS - HOUR_MS) for number in range(20)]
    world = World(**STANDIN)
    for one in (whole("S3-1.gz", NOON_MS, lines[:10]), whole("S3-2.gz", NOON_MS, lines[10:])):
        world.put(one.key, one.content, one.modified_ms)
    world.run(source_of(since_ms=None), {"put 2 done": Killed()})
    assert world.run(source_of(since_ms=0)).is_good, world.statuses()
    assert_same(world.messages(), Counter(lines))
