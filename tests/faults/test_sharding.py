"""Several replicas share a source, and their number changes in the middle: lost 0, doubled 0."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from threading import Event, Thread, active_count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.json import decode

from services.commands.plan import preview
from tests.world.audit_objects import (
    DAY_MS,
    event,
    everything,
    messages_of,
    quarantine_of,
    quarantined,
    whole,
)
from tests.world.faults import EXPIRED, Fault, Killed, Life, Line, each
from tests.world.in_memory import STATE_KEY, World, source_of
from tests.world.in_memory_logs import LOG_STREAM
from tests.world.in_memory_s3 import BUCKET, OUTPUT_BUCKET, MemoryS3, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import STANDIN, assert_same, shipped, take_small_steps, world_of
from tests.world.schedules import SEEDS, of_the_store
from utils.config.partitions import (
    PARTITION_NAMES,
    PARTITIONS,
    Shard,
    key_hash,
    owned_by,
    parse_shard,
    partition_of,
)
from utils.config.settings import Source
from utils.model import LogObject, Position, Start
from utils.state.checkpoint import (
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
    split,
)
from utils.state.ledger import DORMANT_ROW, RECENT_ROW, Coverage, Ledger

KILLED_AT = [
    *(f"put {number} done" for number in range(1, 8)),
    *(f"put {number}" for number in range(1, 8)),
    *(f"save {number} done" for number in range(1, 40, 3)),
    *(f"save {number}" for number in range(2, 40, 3)),
    "load 1",
    "load 3",
    "load 9",
    "list 2",
    "get 2",
    "look back 1",
]
# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0
COUNTS = [1, 2, 3, 5, 24]
GAPS_MS = [HOUR_MS, 20 * HOUR_MS, HOUR_MS, HOUR_MS]
COUNTS_IN_TURN = [(0, 0, 0), (3, 5, 3), (0, 2, 3), (24, 1, 2), (2, 3, 5, 2)]
# Numbers of the lines that an object has at first, then, and so on.
VERSIONS = {
    "grown": [range(2), range(4), range(6), range(8)],
    "grown by one count only": [range(2), range(2), range(4), range(6)],
    "replaced and grown": [range(6), range(10, 14), range(10, 16), range(10, 18)],
    "replaced and back": [range(4), range(10, 16), range(4), range(6)],
    "replaced and grown back": [range(4), range(10, 16), range(6), range(8)],
    "replaced by as many": [range(4), range(10, 14), range(20, 24), range(22, 26)],
    "replaced by fewer": [range(6), range(10, 12), range(10, 14), range(10, 18)],
    "cut and grown back": [range(6), range(2), range(3), range(8)],
    "emptied and back": [range(6), range(0), range(8), range(9)],
}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


def replicas(count: int, source: Source) -> list[Source]:
    """Returns the source as each of so many replicas ships it; 0 is one without SHARD."""
    if not count:
        return [source]
    return [replace(source, shard=Shard(number, count)) for number in range(1, count + 1)]


def recent(first: int, count: int) -> list[str]:
    return [event(number, NOON_MS - HOUR_MS + number) for number in range(first, first + count)]


def many(count: int, first: int = 0) -> dict[str, list[str]]:
    """Returns lines by key of so many objects."""
    return {f"May-2024/S3-{n}.gz": recent(10 * n, 6) for n in range(first, first + count)}


def put_all(world: World, objects: dict[str, list[str]], modified_ms: int = NOON_MS) -> None:
    for key, lines in objects.items():
        world.put(key, whole(key, modified_ms, lines).content, modified_ms)


def all_of(*objects: dict[str, list[str]]) -> Counter[str]:
    return Counter(line for part in objects for lines in part.values() for line in lines)


def state_key(partition: int) -> str:
    return f"integration-state/audit-logs-S3/{PARTITION_NAMES[partition]}.json"


def checkpoint_at(world: World, key: str) -> Checkpoint:
    return decode_checkpoint(world.output(key), key)


def claimed(world: World, partition: int) -> Checkpoint:
    """Returns the checkpoint of a partition as another process writes it."""
    return structs.replace(checkpoint_at(world, state_key(partition)), owner="another")


def put_state(world: World, key: str, checkpoint: Checkpoint) -> None:
    document = encode_checkpoint(checkpoint)
    world.buckets[OUTPUT_BUCKET][key] = StoredObject(document, world.time.now_ms)


# Which object is whose.


@given(st.text(max_size=50), st.integers(1, PARTITIONS))
def test_each_object_is_one_replicas(key: str, count: int) -> None:
    owners = [n for n in range(1, count + 1) if partition_of(key) in owned_by(Shard(n, count))]
    assert len(owners) == 1


@pytest.mark.parametrize("count", range(1, PARTITIONS + 1))
def test_each_partition_has_one_owner(count: int) -> None:
    owned = [one for number in range(1, count + 1) for one in owned_by(Shard(number, count))]
    assert sorted(owned) == list(range(PARTITIONS))
    assert all(one % count == 0 for one in owned_by(Shard(1, count)))


def test_the_partition_of_a_key_stays_the_same() -> None:
    """Replicas of two versions, or of two machines, must agree on every object."""
    keys = [f"May-2024/S3-bucket-2024-05-01-{hour:02d}-00-00.gz" for hour in range(12)]
    assert [partition_of(key) for key in keys] == [9, 20, 23, 5, 2, 7, 18, 15, 14, 11, 9, 21]


def test_partitions_get_equal_parts() -> None:
    numbers = Counter(partition_of(f"key {number}") for number in range(48_000))
    assert sorted(numbers) == list(range(PARTITIONS))
    assert max(numbers.values()) < 1.15 * min(numbers.values())


@pytest.mark.parametrize(
    "text",
    ["", "0/3", "4/3", "1/0", "1", "1/", "/3", "1/3/5", " 1/3", "-1/3", "1/1001", "\u0661/3"],
)
def test_what_is_no_shard(text: str) -> None:
    assert parse_shard(text) is None


def test_what_is_a_shard() -> None:
    assert parse_shard("2/3") == parse_shard("2-of-3") == Shard(2, 3)
    assert str(Shard(2, 3)) == "2/3"


# What replicas do.


def test_three_replicas_ship_each_object_once() -> None:
    world = world_of([])
    objects = many(60)
    put_all(world, objects)
    for one in replicas(3, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))
    keys = [state_key(number) for number in range(PARTITIONS)]
    assert sorted(world.keys("integration-state/")) == sorted([STATE_KEY, *keys])
    streams = world.account.groups["lyve-cloud-audit-logs"].streams
    for key, lines in objects.items():
        stream = streams[f"{LOG_STREAM}/{PARTITION_NAMES[partition_of(key)]}"]
        assert set(lines) <= {one.message for one in stream.archive.ingested()}


@pytest.mark.parametrize("counts", [(3, 5), (5, 2), (0, 3), (24, 1), (1, 2, 1), (3, 5, 3)])
def test_another_number_ships_only_what_is_new(counts: Sequence[int]) -> None:
    world = world_of([])
    parts = [many(12, first=100 * step) for step in range(len(counts))]
    for count, part in zip(counts, parts, strict=True):
        put_all(world, part, world.time.now_ms)
        for one in replicas(count, source_of()):
            shipped(world, one)
        world.time.now_ms += HOUR_MS
    assert_same(world.messages(), all_of(*parts))


@pytest.mark.parametrize("later_ms", [HOUR_MS, 3 * DAY_MS])
def test_a_late_object_is_found_by_the_new_replicas(later_ms: int) -> None:
    world = world_of([])
    first, late, new = many(12), many(4, first=200), many(12, first=300)
    put_all(world, first)
    for one in replicas(3, source_of()):
        shipped(world, one)
    put_all(world, late, NOON_MS - HOUR_MS)
    world.time.now_ms += later_ms
    put_all(world, new, world.time.now_ms)
    for one in replicas(5, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(first, late, new))


@pytest.mark.parametrize("counts", [(3, 5), (0, 2)])
def test_coverage_of_lasthour_begins_where_it_did(counts: tuple[int, int]) -> None:
    """What was written between the last of the old replicas and the first of the new is shipped."""
    world = World(**STANDIN)
    before, after = counts
    source = source_of(since_ms=None)
    for one in replicas(before, source):
        world.start_up(one)
    objects = many(12)
    put_all(world, objects)
    world.time.now_ms += 10 * HOUR_MS
    world.lasthour_ms = world.time.now_ms
    for one in replicas(after, source):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_replica_that_comes_later_begins_where_the_others_did() -> None:
    world = World(**STANDIN)
    source = source_of(since_ms=None)
    first, second = replicas(2, source)
    world.start_up(first)
    objects = many(12)
    put_all(world, objects)
    world.time.now_ms += 10 * HOUR_MS
    world.lasthour_ms = world.time.now_ms
    for one in (first, second):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_backlog_of_many_plans_is_shipped_by_all_partitions_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.shipping.shared.LEAST_PLAN_OBJECTS", 1)
    monkeypatch.setattr("services.shipping.shared.MAX_PLAN_OBJECTS", 7)
    world = world_of([])
    objects = many(60)
    for number, (key, lines) in enumerate(objects.items()):
        put_all(world, {key: lines}, NOON_MS - DAY_MS + number)
    first, second, third = replicas(3, source_of())
    for one in (first, second):
        shipped(world, one)
    assert world.run(third, {"put 12 done": Killed()}).is_killed
    shipped(world, third)
    assert_same(world.messages(), all_of(objects))


@pytest.mark.parametrize("is_shared", [False, True])
def test_what_replicas_plan_is_all_that_is_due_and_writes_nothing(
    is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of([])
    put_all(world, many(9))
    for one in replicas(2 if is_shared else 0, source_of()):
        shipped(world, one)
    new = many(20, first=100)
    put_all(world, new, world.time.now_ms)
    life = Life({})
    s3 = MemoryS3(world.buckets, world.time, Line(life, world.lock))
    monkeypatch.setattr("services.commands.plan.s3_client", lambda *_: s3)
    monkeypatch.setattr("services.pull_logs_service.GetClient", lambda *_: s3)
    start = Start("planner", world.time.now_ms, 0)
    planned = [preview(one, start, world.stop).objects for one in replicas(3, source_of())]
    assert sum(planned) == len(new)
    assert life.called("save") == 0


def test_what_a_dead_replica_had_begun_is_settled_in_the_stream_of_its_partition() -> None:
    world = world_of([])
    objects = many(30)
    put_all(world, objects)
    for one in replicas(3, source_of()):
        assert world.run(one, {"put 5 done": Killed()}).is_killed
    for one in replicas(5, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))
    for number in range(PARTITIONS):
        found = checkpoint_at(world, state_key(number))
        assert (found.open, found.running) == ([], False)


@pytest.mark.parametrize(("first", "then"), [(3, 5), (5, 3), (1, 24)])
def test_a_daemon_of_the_number_before_stops(first: int, then: int) -> None:
    """The operator forgot one of the old replicas: it must not ship beside the new ones."""
    world = world_of([])
    put_all(world, many(12))
    old = replicas(first, source_of())
    forgotten = Life({})
    for one in old:
        assert world.iterate(forgotten, one)
    world.time.now_ms += HOUR_MS
    for one in replicas(then, source_of()):
        shipped(world, one)
    new = many(12, first=50)
    put_all(world, new, world.time.now_ms)
    world.time.now_ms += HOUR_MS
    puts = forgotten.called("put")
    for one in old:
        assert not world.iterate(forgotten, one)
        assert "Replicas of another number ship this source now" in world.statuses()[-1]
    assert forgotten.called("put") == puts
    for one in replicas(then, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(many(12), new))


def test_a_replica_stops_in_mid_iteration_once_another_number_ships() -> None:
    world = world_of([])
    objects = many(40)
    put_all(world, objects)
    first = replicas(2, source_of())[0]
    third = replicas(3, source_of())[2]
    life = Life({"describe 3": lambda: shipped(world, third)})
    assert not world.iterate(life, first)
    assert "Replicas of another number ship this source now" in world.statuses()[-1]
    for one in replicas(3, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_daemon_without_shard_stops_once_the_source_is_shared() -> None:
    world = world_of([])
    put_all(world, many(12))
    daemon = Life({})
    assert world.iterate(daemon, source_of())
    new = many(12, first=50)
    put_all(world, new, world.time.now_ms)
    for one in replicas(2, source_of()):
        shipped(world, one)
    assert not world.iterate(daemon, source_of())
    assert "says that replicas share this source (2 of them)" in world.statuses()[-1]
    assert "python engine.py --repair" in world.statuses()[-1]
    assert_same(world.messages(), all_of(many(12), new))


def test_replicas_do_not_ship_beside_a_daemon_without_shard_at_work() -> None:
    """Its checkpoint says that it is at work, and changes while that is looked at."""
    world = world_of([])
    objects = many(30)
    put_all(world, objects)
    replica = replicas(2, source_of())[0]
    is_saved = Event()

    def wait_for_the_other() -> None:
        is_saved.clear()
        assert is_saved.wait(DEADLINE_SECONDS)

    newcomer = Life({"load 3": wait_for_the_other})
    faults: dict[str, Fault] = {"put 5": lambda: world.iterate(newcomer, replica)}
    alone = source_of(settle_seconds=0.1)
    shipped(world, alone, faults | each("save", range(1, 999), is_saved.set))
    assert (newcomer.is_good, newcomer.called("put")) == (False, 0)
    assert "Another daemon ships this source" in "".join(world.statuses())
    for one in replicas(2, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


@pytest.mark.parametrize("point", ["save 1", "load 3", "look 2", "look 9", "look 26"])
def test_replicas_that_share_a_source_out_at_the_same_time(point: str) -> None:
    """All of them begin with the first that a source is shared: nobody is told off for it."""
    world = world_of([])
    objects = many(40)
    put_all(world, objects)
    first, second, third = replicas(3, source_of(since_ms=None))
    world.lasthour_ms = NOON_MS - DAY_MS
    shipped(world, first, {point: lambda: shipped(world, second)})
    shipped(world, third)
    for one in (first, second):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def in_partition(partition: int) -> str:
    """Returns the key of an object that falls into a partition."""
    keys = (f"May-2024/S3-{number}.gz" for number in range(10_000))
    return next(key for key in keys if partition_of(key) == partition)


class Crossing:
    """Two processes that both look at a partition's checkpoint before either has written.

    One write arrives at once, the other one 0.9 seconds later, or when something is about to be
    sent: of a claim that is not held until then, both would find that it is their own.

    Args:
        world: both run in it.
        other: what the other process ships, which begins where the first one is about to write.
        claim: the number of the other one's save that is its claim.
    """

    def __init__(self, world: World, other: Source, claim: int) -> None:
        self._world = world
        self._other = other
        self._claim = claim
        self._thread = Thread(target=self._ship, daemon=True)
        self._is_late, self._has_arrived = Event(), Event()
        self._late_ms = 0
        self.lives: list[Life] = []

    def faults(self, *, is_other_last: bool) -> dict[str, Fault]:
        """Returns what lets the writes cross, for the first process."""
        joined: dict[str, Fault] = {"integration-logs 1": self._thread.join}
        if is_other_last:
            return {"save 1": self._begin_late, **self._watched(2), **joined}
        return {"save 1": self._begin_early, "save 1 done": self._has_arrived.set, **joined}

    def _begin_late(self) -> None:
        """Begins the other process, whose write arrives behind this one's."""
        is_ready = Event()

        def hold() -> None:
            is_ready.set()
            wait_for(self._is_late)

        self._begin(
            {f"save {self._claim}": hold, f"save {self._claim} done": self._has_arrived.set}
        )
        wait_for(is_ready)

    def _begin_early(self) -> None:
        """Begins the other process, whose write arrives before this one's."""
        self._begin(self._watched(self._claim + 1))
        wait_for(self._is_late)

    def _watched(self, look: int) -> dict[str, Fault]:
        """Returns what lets the late write arrive, for the process that wrote at once."""

        def arrive() -> None:
            self._is_late.set()
            wait_for(self._has_arrived)

        def arrive_in_time() -> None:
            if self._world.time.now_ms >= self._late_ms:
                arrive()

        return {f"look {look}": arrive_in_time, "put 1": arrive}

    def _begin(self, faults: dict[str, Fault]) -> None:
        self._late_ms = self._world.time.now_ms + 900
        self.lives.append(Life(faults))
        self._thread.start()

    def _ship(self) -> None:
        self._world.iterate(self.lives[0], self._other)


def wait_for(happened: Event) -> None:
    assert happened.wait(DEADLINE_SECONDS)


@pytest.mark.parametrize("is_other_last", [True, False])
@pytest.mark.parametrize("counts", [(0, 0), (1, 1), (1, 2), (2, 4)])
def test_two_claims_that_cross(counts: tuple[int, int], is_other_last: bool) -> None:
    """One of them sends nothing: else both find their claim as they wrote it, and both ship."""
    world = world_of([])
    one, other = (replicas(count, source_of())[0] for count in counts)
    for source in (other, one):
        shipped(world, source)
    objects = {in_partition(0): recent(0, 6)}
    put_all(world, objects, world.time.now_ms)
    claim = 1 if counts[0] == counts[1] else 2
    crossing = Crossing(world, other, claim)
    life = Life(crossing.faults(is_other_last=is_other_last))
    is_good = world.iterate(life, one)
    (other_life,) = crossing.lives
    assert_same(world.messages(), all_of(objects))
    assert sorted([life.called("put"), other_life.called("put")]) == [0, 2]
    assert (is_good, other_life.is_good) == (not is_other_last, is_other_last)
    assert "Another daemon ships this source" in "".join(world.statuses())


# What can't be split, or is not there.


def test_an_unfinished_iteration_is_ended_before_the_source_is_shared_out() -> None:
    world = world_of([])
    objects = many(20)
    put_all(world, objects)
    assert world.run(source_of(), {"put 3 done": Killed()}).is_killed
    assert checkpoint_at(world, STATE_KEY).running
    for one in replicas(3, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_partition_without_its_checkpoint_is_not_begun_anew() -> None:
    """Its events would be stored twice."""
    world = world_of([])
    objects = many(40)
    put_all(world, objects)
    first, second = replicas(2, source_of())
    for one in (first, second):
        shipped(world, one)
    del world.buckets[OUTPUT_BUCKET][state_key(4)]
    assert not world.run(first).is_good
    assert "p04.json is gone, but this source was shipped by partitions" in world.statuses()[-1]
    shipped(world, second)
    assert_same(world.messages(), all_of(objects))


@pytest.mark.parametrize("is_denied", [False, True])
def test_what_befell_several_partitions_is_told_once_whatever_ends_the_iteration(
    is_denied: bool,
) -> None:
    """A line for each of 24 is read by nobody, and of the rest nothing was told."""
    world = world_of([])
    put_all(world, many(40))
    (only,) = replicas(1, source_of())
    shipped(world, only)
    put_all(world, many(40, first=40), world.time.now_ms)

    def write_as_another_daemon() -> None:
        for partition in (4, 6, 7, 9, 11):
            put_state(world, state_key(partition), claimed(world, partition))

    faults: dict[str, Fault] = {"save 1": write_as_another_daemon}
    assert not world.run(only, {**faults, "put 15": EXPIRED} if is_denied else faults).is_good
    errors = [line.split(" ", 2)[2] for line in world.statuses() if " ERROR " in line]
    assert len(errors) == 1 + is_denied, errors
    assert "p04.json; another daemon" in errors[0]
    assert "and 2 more like these" in errors[0]
    assert errors[-1].startswith("Can't put events into") == is_denied
    assert "read=" in errors[-1]


@pytest.mark.parametrize("count", [0, 2])
def test_a_source_without_its_checkpoint_is_not_shared_out_anew(count: int) -> None:
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    for one in replicas(2, source_of()):
        shipped(world, one)
    del world.buckets[OUTPUT_BUCKET][STATE_KEY]
    for one in replicas(count, source_of()):
        assert not world.run(one).is_good
    assert "can't be told by the checkpoint" in world.statuses()[-1]
    assert "there are p00.json and 23 more" in world.statuses()[-1]
    assert_same(world.messages(), all_of(objects))


def test_partitions_of_an_earlier_sharing_say_nothing() -> None:
    """The source was made one again by `--repair`, shipped so, and is shared anew."""
    world = world_of([])
    parts = [many(12, first=100 * step) for step in range(3)]
    put_all(world, parts[0])
    shipped(world, source_of())
    before = checkpoint_at(world, STATE_KEY)
    for one in replicas(2, source_of()):
        shipped(world, one)
    put_state(world, STATE_KEY, before)
    put_all(world, parts[1], world.time.now_ms)
    shipped(world, source_of())
    put_all(world, parts[2], world.time.now_ms)
    for one in replicas(2, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(*parts))


def old_key(number: int, count: int) -> str:
    return f"integration-state/audit-logs-S3/{number}-of-{count}.json"


def old_replica(number: int, count: int) -> Source:
    """Returns a source that has the names of a replica of version 1."""
    part = f"{number}-of-{count}"
    return source_of(name=f"audit-logs-S3/{part}", log_stream=f"{LOG_STREAM}/{part}")


def share_as_version_1(world: World, objects: dict[str, list[str]], count: int) -> None:
    """Ships objects as replicas of version 1 did: each had those whose hash is its number."""
    put_all(world, {})
    for number in range(1, count + 1):
        own = {
            key: lines for key, lines in objects.items() if (key_hash(key) % count) + 1 == number
        }
        world.buckets[BUCKET].clear()
        put_all(world, own)
        shipped(world, old_replica(number, count))
        key = old_key(number, count)
        found = structs.replace(checkpoint_at(world, key), succession={"from_ms": 1, "after": []})
        put_state(world, key, found)
    world.buckets[BUCKET].clear()
    put_all(world, objects)


@pytest.mark.parametrize(("count", "then"), [(3, 3), (3, 5), (1, 2), (24, 3)])
def test_replicas_of_version_1_are_split_exactly(count: int, then: int) -> None:
    world = world_of([])
    objects, new = many(60), many(20, first=200)
    share_as_version_1(world, objects, count)
    world.time.now_ms += HOUR_MS
    put_all(world, new, world.time.now_ms)
    for one in replicas(then, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects, new))


def test_an_unfinished_iteration_of_a_replica_of_version_1_is_ended_first() -> None:
    world = world_of([])
    objects = many(40)
    share_as_version_1(world, objects, 2)
    new = many(20, first=200)
    own = {key: lines for key, lines in new.items() if key_hash(key) % 2 == 0}
    world.buckets[BUCKET].clear()
    put_all(world, own, world.time.now_ms)
    assert world.run(old_replica(1, 2), {"put 3 done": Killed()}).is_killed
    assert checkpoint_at(world, old_key(1, 2)).running
    put_all(world, {**objects}, NOON_MS)
    put_all(world, new, world.time.now_ms)
    for one in replicas(3, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects, new))


@pytest.mark.parametrize("count", [5, 7])
@pytest.mark.parametrize("then", [0, 5])
def test_what_can_not_be_split_exactly_is_refused(count: int, then: int) -> None:
    """Objects of one partition fell to several replicas of version 1."""
    world = world_of([])
    objects = many(20)
    share_as_version_1(world, objects, count)
    for one in replicas(then, source_of()):
        life = world.run(one)
        assert (life.is_good, life.called("put"), life.called("save")) == (False, 0, 0)
    assert "run without SHARD: python engine.py --repair" in world.statuses()[-1]


@pytest.mark.parametrize("then", [0, 2])
def test_a_source_that_changed_its_number_in_version_1_is_refused(then: int) -> None:
    """What is shipped stands in several checkpoints, which only together say it."""
    world = world_of([])
    put_all(world, many(12))
    shipped(world, source_of())
    found = checkpoint_at(world, STATE_KEY)
    mixed = structs.replace(found, succession={"from_ms": 1, "after": [3]})
    put_state(world, STATE_KEY, mixed)
    for one in replicas(then, source_of()):
        life = world.run(one)
        assert (life.is_good, life.called("put"), life.called("save")) == (False, 0, 0)
    assert "it was shared by another number of replicas before" in world.statuses()[-1]


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    """Returns one with objects that are shipped, begun and owed, over several minutes."""
    dormant = bytearray(DORMANT_ROW.pack(1, 7))
    coverage = Coverage(since_ms=5, covered=[(5, 9)], dormant=dormant, swept_ms=8)
    ledger = Ledger(coverage)
    keys = draw(st.lists(st.text("abc/", min_size=1, max_size=6), unique=True, max_size=40))
    begun: list[Position] = []
    for number, key in enumerate(keys):
        listed = LogObject(NOON_MS + number * 20_000, key, "etag", number)
        position = Position(listed, number + 1, 77)
        match draw(st.sampled_from(["owed", "begun", "shipped"])):
            case "owed":
                ledger.owe(position)
            case "begun":
                begun.append(position)
            case _:
                ledger.record_shipped(position)
    return Checkpoint(source_of().identity, "owner", coverage, saves=3, open=begun)


@given(checkpoints())
def test_what_is_split_is_the_whole(known: Checkpoint) -> None:
    """Each partition has what is known of its keys, and no other has it."""
    shares = [split(known, one, known.source, "g") for one in range(PARTITIONS)]
    found = []
    for number, share in enumerate(shares):
        rows = list(RECENT_ROW.iter_unpack(share.coverage.recent))
        assert all(row[0] % PARTITIONS == number for row in rows)
        found += rows
    assert sorted(found) == list(RECENT_ROW.iter_unpack(known.coverage.recent))
    owed = [key for one in shares for key in one.coverage.owed]
    assert sorted(owed) == sorted(known.coverage.owed)
    begun = [(n, one) for n, share in enumerate(shares) for one in share.open]
    assert all(partition_of(one.object.key) == number for number, one in begun)
    assert Counter(one.object.key for _, one in begun) == Counter(
        one.object.key for one in known.open
    )
    for share in shares:
        beside = structs.replace(share.coverage, recent=bytearray(), owed={})
        assert beside == structs.replace(known.coverage, recent=bytearray(), owed={})
        assert decode_checkpoint(encode_checkpoint(share), "p") == structs.replace(
            share, checksum=decode(encode_checkpoint(share))["checksum"]
        )


# What it costs.


def test_a_quiet_hour_costs_little() -> None:
    """All partitions of a replica have one listing; what has nothing new is read, not written."""
    world = world_of([])
    put_all(world, many(40))
    alone, shared = world_of([]), source_of()
    put_all(alone, many(40))
    first = replicas(3, shared)[0]
    for one in replicas(3, shared):
        shipped(world, one)
    shipped(alone, shared)
    for each_world in (world, alone):
        each_world.time.now_ms += HOUR_MS
    quiet, quiet_alone = shipped(world, first), shipped(alone, shared)
    assert quiet.called("list") == quiet_alone.called("list")
    assert (quiet.called("save"), quiet.called("put"), quiet.called("get")) == (0, 0, 0)
    assert quiet.called("stream") == quiet.called("describe") == 1
    assert quiet.called("load") == 1 + PARTITIONS // 3
    assert quiet.called("integration-logs") == quiet_alone.called("integration-logs") == 2
    requests = [point for point in quiet.points if not point.endswith("done")]
    assert len(requests) <= 2 * len([p for p in quiet_alone.points if not p.endswith("done")])


def test_all_partitions_of_a_replica_look_at_all_folders_at_once() -> None:
    """Each on a day of its own would list the whole bucket 24 times a day."""
    world = world_of([])
    put_all(world, {in_partition(3): recent(0, 2)})
    first = replicas(1, source_of())[0]
    shipped(world, first)
    for number in (5, 6):
        # As of replicas of another number, which had begun at other hours.
        found = checkpoint_at(world, state_key(number))
        found.coverage.swept_ms = NOON_MS - number * HOUR_MS
        put_state(world, state_key(number), found)
    for hours in (17, 1, 1, 1):
        world.time.now_ms += hours * HOUR_MS
        shipped(world, first)
    states = [checkpoint_at(world, state_key(number)) for number in range(PARTITIONS)]
    assert len({one.coverage.swept_ms for one in states}) == 1


def test_a_quiet_hour_starts_no_thread() -> None:
    world = world_of([])
    put_all(world, many(40))
    for one in replicas(2, source_of()):
        shipped(world, one)
    threads: list[int] = []
    first = replicas(2, source_of())[0]
    before = active_count()
    points = ["load 1", "load 9", "list 2", "describe 1", "recall 1", "integration-logs 2"]
    faults: dict[str, Fault] = {one: lambda: threads.append(active_count()) for one in points}
    shipped(world, first, faults)
    assert len(threads) == len(points)
    assert max(threads) <= before


# Objects that change while the number does.


def numbered(key_number: int, numbers: range) -> list[str]:
    return [recent(100 * key_number + number, 1)[0] for number in numbers]


@pytest.mark.parametrize("counts", COUNTS_IN_TURN)
@pytest.mark.parametrize("change", VERSIONS)
def test_only_new_lines_of_a_changed_object_are_shipped(change: str, counts: Sequence[int]) -> None:
    """It goes on behind the newest content, however many replicas have shipped that."""
    world = world_of([])
    written: set[str] = set()
    # Within the hours that are listed each time, and behind them.
    for count, numbers, gap_ms in zip(counts, VERSIONS[change], GAPS_MS, strict=False):
        objects = {f"May-2024/S3-{one}.gz": numbered(one, numbers) for one in range(12)}
        put_all(world, objects, world.time.now_ms)
        written |= set(all_of(objects))
        for one in replicas(count, source_of()):
            shipped(world, one)
        world.time.now_ms += gap_ms
    assert_same(world.messages(), Counter(written))


@pytest.mark.parametrize("counts", [(3, 5, 2), (3, 5, 3), (0, 2, 1), (2, 24, 3)])
def test_what_was_sent_of_a_deleted_object_is_found_in_the_stream_of_another(
    counts: Sequence[int],
) -> None:
    """It can't be read when its partition is recovered, and comes back later."""
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    first, second, third = counts
    for one in replicas(first, source_of()):
        assert world.run(one, {"put 2 done": Killed()}).is_killed
    assert world.messages()
    world.buckets[BUCKET].clear()
    for one in replicas(second, source_of()):
        shipped(world, one)
    world.time.now_ms += HOUR_MS
    put_all(world, objects, world.time.now_ms)
    for one in replicas(third, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


# Any order of kills.


def lives(random: Random) -> Iterator[tuple[int, dict[str, Fault]]]:
    """Yields the number of a replica and the faults of its process, the last of which kills it."""
    while random.random() < 0.8:
        yield random.randrange(24), of_the_store(random) | {random.choice(KILLED_AT): Killed()}


def run_schedule(seed: int) -> None:
    random = Random(seed)
    objects = everything()
    world = world_of(objects)
    source = source_of(concurrency=random.choice([1, 2]), batch_size=random.choice([1, 3]))
    counts = [random.choice([0, *COUNTS]), *random.choices(COUNTS, k=random.randint(1, 3))]
    for count in counts:
        own = replicas(count, source)
        for number, fault in lives(random):
            world.run(own[number % len(own)], fault)
            world.time.now_ms += random.choice([0, 700, 30_000, HOUR_MS])
    for one in replicas(counts[-1], source):
        assert world.run(one).is_good, world.statuses()
    assert_same(world.messages(), messages_of(objects, 0))
    assert quarantined(world) == quarantine_of(objects, 0)
    counted = [decode(world.output(key)) for key in world.keys("integration-state/")]
    assert all(not one["open"] for one in counted)


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_killed_in_any_order_while_the_number_changes(seeds: range) -> None:
    for seed in seeds:
        try:
            run_schedule(seed)
        except AssertionError as error:
            error.add_note(f"by the schedule {seed}")
            raise


class Changing:
    """Objects that grow, are replaced, deleted and put back, in any order; each line is unique.

    Args:
        world: holds them.
        random: draws what happens to them.
    """

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self._contents: dict[str, list[list[str]]] = {f"S3-{one}.gz": [] for one in range(6)}
        self._count = 0
        self.written: set[str] = set()
        for key in self._contents:
            self._replace(key)

    def change(self) -> None:
        """Lets something happen to one of them."""
        key = self._random.choice(list(self._contents))
        happens = self._random.choice([self._delete, self._replace, self._put_back, self._grow])
        happens(key)

    def present(self) -> set[str]:
        """Returns the lines that the bucket holds."""
        keys = self._world.buckets[BUCKET].keys() & self._contents.keys()
        return {line for key in keys for line in self._contents[key][-1]}

    def _delete(self, key: str) -> None:
        self._world.buckets[BUCKET].pop(key, None)

    def _replace(self, key: str) -> None:
        self._put(key, self._new_lines())

    def _put_back(self, key: str) -> None:
        contents = self._contents[key]
        self._put(key, contents.pop(self._random.randrange(len(contents))))

    def _grow(self, key: str) -> None:
        self._put(key, self._contents[key].pop() + self._new_lines())

    def _new_lines(self) -> list[str]:
        self._count += 10
        return recent(self._count, self._random.randint(1, 9))

    def _put(self, key: str, lines: list[str]) -> None:
        self._contents[key].append(lines)
        self.written |= set(lines)
        put_all(self._world, {key: lines}, self._world.time.now_ms)


def changes(objects: Changing, random: Random) -> dict[str, Fault]:
    """Returns faults: a change in the middle of a process, or none."""
    return {random.choice(KILLED_AT): objects.change} if random.random() < 0.4 else {}


def run_changing_schedule(seed: int) -> None:
    random = Random(seed)
    world = world_of([])
    objects = Changing(world, random)
    source = source_of(concurrency=random.choice([1, 2]), batch_size=random.choice([1, 3]))
    due: set[str] = set()
    own = [source]
    counts = random.choices(COUNTS, k=random.randint(2, 4))
    for count in [random.choice([0, *COUNTS]), *counts]:
        own = replicas(count, source)
        for number, fault in lives(random):
            world.run(own[number % len(own)], {**fault, **changes(objects, random)})
            world.time.now_ms += random.choice([0, 700, 30_000, HOUR_MS // 4])
            objects.change()
        if random.random() < 0.7:
            for one in own:
                assert world.run(one).is_good, world.statuses()
            due |= objects.present()
            world.time.now_ms += 1000
            objects.change()
    for one in own:
        assert world.run(one).is_good, world.statuses()
    due |= objects.present()
    stored = world.messages()
    assert_same(stored, Counter(due | (objects.written & set(stored))))


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_objects_change_in_any_order_while_the_number_does(seeds: range) -> None:
    for seed in seeds:
        try:
            run_changing_schedule(seed)
        except AssertionError as error:
            error.add_note(f"by the schedule {seed}")
            raise
