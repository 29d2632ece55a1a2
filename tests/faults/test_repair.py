"""`--repair`: each line that is missing is there once then, whenever it is killed."""

from collections import Counter
from functools import cache
from random import Random

import pytest

from services.audit.verification import Days
from tests.faults.test_audit import EVENTS, check, shipped_world
from tests.standin.cloudwatch_store import StoredEvent
from tests.world.audit_objects import event as audit_event
from tests.world.audit_objects import everything, fill, packed, quarantine_of, quarantined
from tests.world.faults import UNAVAILABLE, Fault, Killed
from tests.world.in_memory import STATE_KEY, World, source_of
from tests.world.in_memory_s3 import OUTPUT_BUCKET
from tests.world.in_memory_time import HOUR_MS, NOON_MS, moment
from tests.world.in_memory_trial import STANDIN, assert_same, take_small_steps
from utils.audit.audit import verdict


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


def lines_of(bucket: dict[str, list[str]]) -> Counter[str]:
    return Counter(line for lines in bucket.values() for line in lines if line.strip())


def torn(seed: int, objects: int = 4) -> tuple[World, dict[str, list[str]]]:
    """Returns a world of which a third of the events was taken away."""
    world, bucket = shipped_world(seed, objects)
    random = Random(seed)
    world.tamper(lambda events: [one for one in events if random.random() > 0.3])
    return world, bucket


def assert_settled(world: World, due: Counter[str]) -> None:
    """Checks that all is there once, and that the daemon goes on without sending any of it.

    Raises:
        AssertionError: something is lost or doubled.
    """
    assert_same(world.messages(), due)
    assert world.run(source_of()).is_good, world.statuses()
    assert_same(world.messages(), due)
    late = [audit_event(90, world.time.now_ms)]
    world.put("June-2024/S3-late.gz", packed(late), world.time.now_ms)
    assert world.run(source_of()).is_good, world.statuses()
    assert_same(world.messages(), due + Counter(late))


@pytest.mark.parametrize("seed", range(12))
def test_what_is_missing_is_sent_and_nothing_else(seed: int) -> None:
    world, bucket = torn(seed)
    gone = lines_of(bucket) - world.messages()
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert run.repaired.audit.repaired == gone.total()
    assert run.repaired.audit.is_whole, verdict(run.repaired.audit)
    assert_settled(world, lines_of(bucket))


@pytest.mark.parametrize("document", [None, b"{", b"no JSON"], ids=["lost", "cut", "damaged"])
def test_a_checkpoint_that_is_lost_is_made_anew(document: bytes | None) -> None:
    world, bucket = torn(5)
    del world.buckets[OUTPUT_BUCKET][STATE_KEY]
    if document is not None:
        world.write_state(document)
    assert not world.run(source_of()).is_good
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert_settled(world, lines_of(bucket))


def test_everything_that_can_stand_in_a_bucket() -> None:
    world, objects = World(**STANDIN), everything()
    fill(world, objects)
    world.run(source_of())
    before = world.messages()
    random = Random(1)
    world.tamper(lambda events: [one for one in events if random.random() > 0.4])
    for key in world.keys("integration-quarantine/")[::2]:
        del world.buckets[OUTPUT_BUCKET][key]
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert run.repaired.audit.is_whole, run.repaired.audit.differences
    assert_same(world.messages(), before)
    assert quarantined(world) == quarantine_of(objects, 0)
    world.run(source_of())
    assert_same(world.messages(), before)


def test_lines_that_were_quarantined_together_with_others_stay_there() -> None:
    """One of them is written again: what CloudWatch refused beside it is not missing then."""
    world, objects = World(**STANDIN), everything()
    fill(world, objects)
    world.run(source_of())
    mixed = objects[0]
    gone = next(one for one in mixed.messages if mixed.messages.count(one) == 1)
    world.tamper(lambda events: [one for one in events if one.message != gone])
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert run.repaired.audit.repaired == 1
    puts = [point for point in run.life.points if point.startswith("put ")]
    assert {point.split()[1] for point in puts} == {"1"}
    assert quarantined(world) == quarantine_of(objects, 0)


@cache
def points() -> list[str]:
    """Returns all points that an undisturbed repair passes."""
    world, _ = torn(2)
    return world.repair(source_of()).life.points


def test_killed_at_each_call_in_turn() -> None:
    """Nothing of it is sent again, and no daemon goes on from what is half done."""
    struck: Counter[str] = Counter()
    for point in points():
        world, bucket = torn(2)
        run = world.repair(source_of(), {point: Killed()})
        struck[point.partition(" ")[0]] += run.life.is_killed
        stored = world.messages()
        if not world.run(source_of()).is_good:
            assert_same(world.messages(), stored)
        run = world.repair(source_of())
        assert run.repaired, (point, run.error)
        assert_settled(world, lines_of(bucket))
    assert {"list", "get", "read", "load", "look", "save", "put", "find", "stream"} <= {*+struck}


@pytest.mark.parametrize("seed", range(20))
def test_killed_again_and_again(seed: int) -> None:
    random = Random(seed)
    world, bucket = torn(seed)
    for _ in range(random.randint(1, 4)):
        world.repair(source_of(), {random.choice(points()): Killed()})
        world.time.now_ms += random.choice([0, 500, 60_000])
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert_settled(world, lines_of(bucket))


@pytest.mark.parametrize("number", range(1, 4))
def test_a_put_of_unknown_outcome(number: int) -> None:
    """It was stored, or was not: the next look tells, also of lines that are identical."""
    for point in (f"put {number}", f"put {number} done"):
        world, bucket = torn(3)
        faults: dict[str, Fault] = {point: UNAVAILABLE}
        run = world.repair(source_of(), faults)
        assert run.repaired, run.error
        assert_settled(world, lines_of(bucket))


def test_a_daemon_at_work_ends_it() -> None:
    """It has sent nothing and changed nothing, and says what to do."""
    world, _ = torn(4)
    world.put("June-2024/S3-new.gz", packed(EVENTS * 3), world.time.now_ms)
    world.run(source_of(), {"put 2 done": Killed()})
    state = world.output(STATE_KEY)
    stored = world.messages()

    def save() -> None:
        world.write_state(state.replace(b'"saves":', b'"saves":1'))

    run = world.repair(source_of(), {"load 2": save})
    assert run.error
    assert "A daemon is at work on this source" in str(run.error)
    assert_same(world.messages(), stored)


def test_days_leave_all_others_as_they_are() -> None:
    world, bucket = torn(6)
    day = moment(NOON_MS - 10 * HOUR_MS).date()
    run = world.repair(source_of(), days=Days(day, day))
    assert run.repaired, run.error
    assert not world.verify(source_of(), Days(day, day)).missing
    stored = world.messages()
    assert world.run(source_of()).is_good, world.statuses()
    assert_same(world.messages(), stored)
    world.repair(source_of())
    assert_settled(world, lines_of(bucket))


def test_doubled_events_stay_and_are_told() -> None:
    """CloudWatch has no call that removes one."""
    world, bucket = shipped_world(7, 3)

    def double(events: list[StoredEvent]) -> list[StoredEvent]:
        return [*events[1:], events[2]]

    world.tamper(double)
    stored = world.messages()
    run = world.repair(source_of())
    assert run.repaired, run.error
    assert (run.repaired.audit.repaired, run.repaired.audit.is_whole) == (1, False)
    check(run.repaired.audit, bucket, world.messages())
    assert (world.messages() - stored).total() == 1
