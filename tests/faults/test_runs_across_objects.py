"""What becomes of one object decides nothing of the others that are shipped in one run with it.

Lyve Cloud writes many small objects: a batch holds events of many of them, and is stored as a
whole.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from services.reading.object_reader import ObjectReader
from tests.world.audit_objects import (
    DAY_MS,
    REFUSED,
    AuditObject,
    event,
    everything,
    packed,
    quarantine_of,
    quarantined,
    text_of,
    whole,
)
from tests.world.faults import FAILED, UNAVAILABLE, Fault, Killed, Life, each
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import Trial, assert_same, shipped, world_of
from utils.errors import UnreadableError
from utils.model import LogObject


def small_objects(number: int, lines: int) -> list[AuditObject]:
    """Returns so many objects of so many lines."""
    return [
        whole(
            f"S3-{one:04}.gz",
            NOON_MS - HOUR_MS + one,
            [event(one * lines + line, NOON_MS - HOUR_MS) for line in range(lines)],
        )
        for one in range(number)
    ]


def due_of(objects: list[AuditObject]) -> Counter[str]:
    return Counter(message for one in objects for message in one.messages)


def test_many_small_objects_take_few_requests_and_no_thread_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """4,000 objects of 25 events were 4,000 puts and four times the time of one object."""
    starts: list[threading.Thread] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        starts.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    objects = small_objects(400, 5)
    world = world_of(objects)
    life = shipped(world, source_of(batch_size=100, concurrency=4))
    assert_same(world.messages(), due_of(objects))
    assert life.called("put") == 20
    assert life.called("get") == 400
    assert life.called("head") <= 2 * life.called("save") + 2
    assert life.called("save") <= 400 // 100 + 5
    assert len(starts) <= 12


def test_killed_at_each_call_while_a_run_spans_all_kinds_of_objects() -> None:
    """One run holds lines that are restamped, refused, no text, blank, cut off, and twins."""
    trial = Trial("all", batch_size=10)
    life = trial.world.run(trial.source)
    assert life.called("save") < len(trial.objects)
    for point in life.points:
        trial = Trial("all", batch_size=10)
        trial.kill_at(point)
        trial.finish()


def test_killed_at_each_call_of_a_recovery_of_many_objects() -> None:
    """What a dead process has stored of a batch lies in many objects."""
    objects = small_objects(40, 3)
    source = source_of(batch_size=30, concurrency=1)
    begun = world_of(objects)
    begun.run(source, {"put 2 done": Killed()})
    points = begun.run(source).points
    for point in points:
        world = world_of(objects)
        assert world.run(source, {"put 2 done": Killed()}).is_killed
        world.run(source, {point: Killed()})
        shipped(world, source)
        assert_same(world.messages(), due_of(objects))


@pytest.mark.parametrize("behind", ["", " done"])
def test_a_put_of_many_objects_whose_outcome_is_unknown(behind: str) -> None:
    """Each event is looked up with the upload time of its own object."""
    old = [event(number, NOON_MS - 30 * DAY_MS) for number in range(12)]
    objects = [
        *small_objects(10, 3),
        *(whole(f"S3-old-{n}.gz", NOON_MS - 60_000 + n, old[n : n + 2]) for n in range(0, 12, 2)),
    ]
    world = world_of(objects)
    faults = {f"put {number}{behind}": UNAVAILABLE for number in (1, 2, 4)}
    shipped(world, source_of(batch_size=10), faults)
    assert_same(world.messages(), due_of(objects))


def test_a_refused_event_is_quarantined_with_its_own_object() -> None:
    objects = small_objects(9, 3)
    refused = event(7, NOON_MS).replace("GetObject", REFUSED)
    bad = AuditObject(
        "S3-0004-bad.gz",
        packed([event(1, NOON_MS - 5), refused]),
        NOON_MS - HOUR_MS + 4,
        [event(1, NOON_MS - 5)],
        (2,),
    )
    world = world_of([*objects, bad])
    life = shipped(world, source_of(batch_size=100))
    assert quarantined(world) == quarantine_of([bad], 0)
    assert_same(world.messages(), due_of([*objects, bad]))
    assert life.called("integration-quarantine") == 1
    (line,) = [one for one in world.statuses() if "can't take some lines" in one]
    assert "object=S3-0004-bad.gz quarantined=1" in line


@pytest.mark.parametrize("behind", ["", " done"])
def test_a_cut_off_object_in_doubt(behind: str) -> None:
    """Its last line is in quarantine, and none that was read before it."""
    objects = [one for one in everything() if one.key.endswith("S3-cut-off.gz")]
    world = world_of(objects)
    assert not world.statuses()
    world.run(source_of(batch_size=100), {f"put 1{behind}": FAILED})
    shipped(world, source_of(batch_size=100))
    assert_same(world.messages(), due_of(objects))
    assert quarantined(world) == quarantine_of(objects, 0)
    assert not [line for line in world.statuses() if "unexpected" in line]


@pytest.mark.parametrize("pieces", [0, 1])
def test_an_object_that_fails_in_mid_reading_is_owed_alone(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.reading.object_reader.VERIFIED_BYTES", 100)
    objects = small_objects(9, 3)
    bad = AuditObject(
        "S3-0004-bad.log",
        text_of(lines := [event(900 + number, NOON_MS) for number in range(40)]),
        NOON_MS - HOUR_MS + 4,
        lines,
    )
    monkeypatch.setattr("services.reading.object_reader._PIECE_BYTES", 1000)
    world = world_of([*objects, bad])
    stream, is_shut = ObjectReader.stream, True

    def shut(reader: ObjectReader, known: LogObject) -> Iterator[bytes]:
        for number, piece in enumerate(stream(reader, known)):
            if is_shut and known.key == bad.key and number == pieces:
                raise UnreadableError(f"Can't read {known.key}", "AccessDenied", "Permit it")
            yield piece

    monkeypatch.setattr(ObjectReader, "stream", shut)
    life = shipped(world, source_of(batch_size=100))
    assert life.owed == 1
    sent = world.messages()
    assert not due_of(objects) - sent
    assert bool(sent & due_of([bad])) == bool(pieces)
    is_shut = False
    assert shipped(world, source_of(batch_size=100)).owed == 0
    assert_same(world.messages(), due_of([*objects, bad]))


def replaced(world: World, objects: list[AuditObject]) -> Callable[[], None]:
    """Replaces an object in the midst of a run, by one that is longer."""
    one = objects[4]

    def strike() -> None:
        content = packed([*one.messages, event(9_999, NOON_MS)])
        world.buckets[BUCKET][one.key] = StoredObject(content, world.time.now_ms)

    return strike


def test_an_object_that_is_replaced_in_the_midst_of_a_run_keeps_no_other() -> None:
    objects = small_objects(9, 3)
    world = world_of(objects)
    life = Life({"get 3": replaced(world, objects)})
    world.iterate(life, source_of(batch_size=100))
    for _ in range(2):
        shipped(world, source_of(batch_size=100))
    assert_same(world.messages(), due_of(objects) + Counter([event(9_999, NOON_MS)]))


@pytest.mark.parametrize("filler", ["k", "\x01"])
def test_keys_of_any_length_are_shipped(filler: str) -> None:
    """A run of more objects than a checkpoint can name would wait for ever."""
    objects = [
        whole(f"{1_000 * filler}/S3-{one:03}", NOON_MS - HOUR_MS, [event(one, NOON_MS)])
        for one in range(130)
    ]
    world = world_of(objects)
    shipped(world, source_of(batch_size=100))
    assert_same(world.messages(), due_of(objects))


@pytest.mark.parametrize("seed", range(8))
def test_puts_that_fail_in_turn(seed: int) -> None:
    """Each put of many objects may be stored or not, and none is taken for the other."""
    objects = small_objects(60, 4)
    faults: dict[str, Fault] = dict(each("put", range(1 + seed % 3, 40, 2 + seed % 4), UNAVAILABLE))
    faults |= {f"put {number} done": FAILED for number in range(2, 40, 3 + seed % 2)}
    world = world_of(objects)
    shipped(world, source_of(batch_size=25), faults)
    assert_same(world.messages(), due_of(objects))
