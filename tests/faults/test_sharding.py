"""Several replicas share a source, and their number changes in the middle: lost 0, doubled 0."""

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode
from msgspec.structs import replace

from tests.world.audit_objects import (
    DAY_MS,
    event,
    everything,
    messages_of,
    quarantine_of,
    quarantined,
    whole,
)
from tests.world.faults import Fault, Killed, Life, each
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import BUCKET, OUTPUT_BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import STANDIN, assert_same, shipped, take_small_steps, world_of
from utils.config.settings import Source
from utils.config.sharding import Shard, parse_shard, shard_of
from utils.state.checkpoint import decode_checkpoint, encode_checkpoint

KILLED_AT = [
    *(f"put {number} done" for number in range(1, 8)),
    *(f"put {number}" for number in range(1, 8)),
    *(f"save {number} done" for number in range(1, 6)),
    *(f"save {number}" for number in range(1, 6)),
    "load 1",
    "load 3",
    "list 2",
    "get 2",
    "look back 1",
]
# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0
SEEDS = 240
BLOCKS = 8
SUCCESSIONS = [(0, 0, 0), (3, 5, 2), (3, 5, 3), (0, 2, 3), (2, 0, 2), (0, 3, 0), (2, 3, 5, 2)]
# Numbers of the lines that an object has at first, then, and so on.
VERSIONS = {
    "grown": [range(2), range(4), range(6), range(8)],
    "grown by one kind only": [range(2), range(2), range(4), range(6)],
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


def replicas(kind: int, source: Source) -> list[Source]:
    """Returns the source as each of so many replicas ships it; 0 is one without SHARD."""
    if not kind:
        return [source]
    return [source.of_shard(Shard(number, kind)) for number in range(1, kind + 1)]


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


# Which object is whose.


@given(st.text(max_size=50), st.integers(1, 1000))
def test_each_object_is_one_replicas(key: str, count: int) -> None:
    shard = shard_of(key, count)
    assert 1 <= shard.number <= shard.count == count
    assert shard_of(key, count) == shard


def test_the_shard_of_a_key_stays_the_same() -> None:
    """Replicas of two versions, or of two machines, must agree on every object."""
    keys = [f"May-2024/S3-bucket-2024-05-01-{hour:02d}-00-00.gz" for hour in range(12)]
    assert [shard_of(key, 3).number for key in keys] == [1, 3, 3, 3, 3, 2, 1, 1, 3, 3, 1, 1]


def test_replicas_get_equal_parts() -> None:
    numbers = Counter(shard_of(f"key {number}", 5).number for number in range(10_000))
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    assert max(numbers.values()) < 1.1 * min(numbers.values())


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
    objects = many(20)
    put_all(world, objects)
    for one in replicas(3, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))
    assert world.keys("integration-state/") == [
        f"integration-state/audit-logs-S3/{number}-of-3.json" for number in (1, 2, 3)
    ]
    streams = world.account.groups["lyve-cloud-audit-logs"].streams
    assert sorted(streams) == [f"lyve-cloud/audit-logs/S3/{number}-of-3" for number in (1, 2, 3)]


@pytest.mark.parametrize("kinds", [(3, 5), (5, 2), (0, 3), (3, 0), (1, 2, 1), (3, 5, 3)])
def test_another_number_ships_only_what_is_new(kinds: Sequence[int]) -> None:
    world = world_of([])
    parts = [many(12, first=100 * step) for step in range(len(kinds))]
    for kind, part in zip(kinds, parts, strict=True):
        put_all(world, part, world.time.now_ms)
        for one in replicas(kind, source_of()):
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


@pytest.mark.parametrize("kinds", [(3, 5), (0, 2), (3, 0)])
def test_coverage_of_lasthour_begins_where_it_did(kinds: tuple[int, int]) -> None:
    """What was written between the last of the old replicas and the first of the new is shipped."""
    world = World(**STANDIN)
    before, after = kinds
    source = source_of(since_ms=None)
    for one in replicas(before, source):
        world.open(one)
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
    world.open(first)
    objects = many(12)
    put_all(world, objects)
    world.time.now_ms += 10 * HOUR_MS
    world.lasthour_ms = world.time.now_ms
    for one in (first, second):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_what_a_dead_replica_had_begun_is_settled_in_its_own_stream() -> None:
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    for one in replicas(3, source_of()):
        assert world.run(one, {"put 2 done": Killed()}).is_killed
    for one in replicas(5, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))
    for number in (1, 2, 3):
        name = f"integration-state/audit-logs-S3/{number}-of-3.json"
        found = decode_checkpoint(world.output(name), name)
        assert (found.history.over_ms is not None, found.open, found.running) == (True, [], False)


def test_a_daemon_of_the_number_before_stops() -> None:
    """The operator forgot one of the old replicas: it must not ship what the new ones have."""
    world = world_of([])
    put_all(world, many(12))
    old = replicas(3, source_of())
    forgotten = Life({})
    for one in old:
        assert world.iterate(forgotten, one)
    world.time.now_ms += HOUR_MS
    new = many(12, first=50)
    put_all(world, new, world.time.now_ms)
    for one in replicas(5, source_of()):
        shipped(world, one)
    for one in old:
        assert not world.iterate(forgotten, one)
    assert "Replicas of another number ship this source now" in world.statuses()[-1]
    assert_same(world.messages(), all_of(many(12), new))


def test_who_starts_again_with_the_number_before_takes_over_again() -> None:
    world = world_of([])
    parts = [many(12, first=100 * step) for step in range(3)]
    for kind, part in zip((3, 5, 3), parts, strict=True):
        put_all(world, part, world.time.now_ms)
        for one in replicas(kind, source_of()):
            shipped(world, one)
        world.time.now_ms += 30 * DAY_MS
    assert_same(world.messages(), all_of(*parts))


def test_a_replica_at_work_is_waited_for() -> None:
    """It saves again and again: what it has under way is not touched."""
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    (old,), (new, other) = replicas(1, source_of(settle_seconds=0.1)), replicas(2, source_of())
    is_saved = Event()

    def wait_for_the_other() -> None:
        is_saved.clear()
        assert is_saved.wait(DEADLINE_SECONDS)

    newcomer = Life({"load 4": wait_for_the_other, "load 6": Killed()})
    faults: dict[str, Fault] = {"put 5": lambda: world.iterate(newcomer, new)}
    shipped(world, old, faults | each("save", range(1, 999), is_saved.set))
    assert (newcomer.is_killed, newcomer.called("put")) == (True, 0)
    for one in (new, other):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_number_that_is_taken_back_goes_on() -> None:
    """The other one had claimed the source again, and died before it ended this one."""
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    five, three = replicas(5, source_of()), replicas(3, source_of())
    for one in (*five, *three):
        shipped(world, one)
    put_all(world, many(6, first=12), world.time.now_ms)
    assert world.run(five[0], {"save 1 done": Killed()}).is_killed
    world.time.now_ms += HOUR_MS
    for one in three:
        shipped(world, one)
    assert_same(world.messages(), all_of({**objects, **many(6, first=12)}))


def test_an_object_that_was_cut_off_goes_on_with_another_number() -> None:
    """Its first lines are in the stream of a replica before: only the rest is new."""
    world = world_of([])
    objects = many(12)
    put_all(world, {key: lines[:4] for key, lines in objects.items()})
    for one in replicas(3, source_of()):
        shipped(world, one)
    world.time.now_ms += HOUR_MS
    put_all(world, objects, world.time.now_ms)
    for one in replicas(5, source_of()):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


def test_a_process_that_others_took_over_from_does_not_take_over_again() -> None:
    """Without this, two numbers that run at the same time would end each other for ever."""
    world = world_of([])
    put_all(world, many(12))
    for one in replicas(3, source_of()):
        shipped(world, one)
    daemon, (first, *_) = Life({}), replicas(5, source_of())
    assert world.iterate(daemon, first)
    world.time.now_ms += HOUR_MS
    assert world.run(replicas(3, source_of())[0], {"save 1 done": Killed()}).is_killed
    assert not world.iterate(daemon, first)
    assert "Replicas of another number ship this source now" in world.statuses()[-1]


@pytest.mark.parametrize(
    "point", ["load 2", "load 3", "load 4", "load 5", "load 6", "look 2", "look 3", "look 4"]
)
def test_two_that_claim_the_same_dead_replica(point: str) -> None:
    """Both see that it is dead, and one is always a step behind the other."""
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    (old,) = replicas(1, source_of())
    assert world.run(old, {"put 3 done": Killed()}).is_killed
    first, second = replicas(2, source_of())
    shipped(world, first, {point: lambda: shipped(world, second)})
    assert_same(world.messages(), all_of(objects))


def test_two_claims_that_cross() -> None:
    """Both look before either has written: who finds the other's claim has none of its own.

    The other's claim stays as it is for `settle_seconds`, so nothing else would tell.
    """
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    (old,) = replicas(1, source_of())
    assert world.run(old, {"put 3 done": Killed()}).is_killed
    first, second = replicas(2, source_of())
    key = f"integration-state/{old.state_name}.json"

    def claim_too() -> None:
        claimed = decode_checkpoint(world.output(key), key)
        document = encode_checkpoint(replace(claimed, owner="another"))
        world.buckets[OUTPUT_BUCKET][key] = StoredObject(document, world.time.now_ms)

    life = Life({"save 2 done": claim_too, "load 9": Killed()})
    assert not world.iterate(life, first)
    assert (life.is_killed, life.called("put")) == (True, 0)
    for one in (first, second):
        shipped(world, one)
    assert_same(world.messages(), all_of(objects))


# Objects that change while the number does.


def numbered(key_number: int, numbers: range) -> list[str]:
    return [recent(100 * key_number + number, 1)[0] for number in numbers]


@pytest.mark.parametrize("gap_ms", [HOUR_MS, 20 * HOUR_MS])
@pytest.mark.parametrize("kinds", SUCCESSIONS)
@pytest.mark.parametrize("change", VERSIONS)
def test_only_new_lines_of_a_changed_object_are_shipped(
    change: str, kinds: Sequence[int], gap_ms: int
) -> None:
    """It goes on behind the newest content, whichever kind of replica has shipped that."""
    world = world_of([])
    written: set[str] = set()
    for kind, numbers in zip(kinds, VERSIONS[change], strict=False):
        objects = {f"May-2024/S3-{one}.gz": numbered(one, numbers) for one in range(12)}
        put_all(world, objects, world.time.now_ms)
        written |= set(all_of(objects))
        for one in replicas(kind, source_of()):
            shipped(world, one)
        world.time.now_ms += gap_ms
    assert_same(world.messages(), Counter(written))


@pytest.mark.parametrize("kinds", [(3, 5, 2), (3, 5, 3), (0, 2, 0), (2, 0, 3)])
def test_what_was_sent_of_a_deleted_object_is_found_in_the_stream_of_another(
    kinds: Sequence[int],
) -> None:
    """It can't be read when its replica's end is settled, and comes back later."""
    world = world_of([])
    objects = many(12)
    put_all(world, objects)
    first, second, third = kinds
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
    """Yields the number of a replica and the fault of its process."""
    while random.random() < 0.8:
        yield random.randrange(5), {random.choice(KILLED_AT): Killed()}


def run_schedule(seed: int) -> None:
    random = Random(seed)
    objects = everything()
    world = world_of(objects)
    source = source_of(concurrency=random.choice([1, 2]), batch_size=random.choice([1, 3]))
    kinds = random.choices([0, 1, 2, 3, 5], k=random.randint(2, 4))
    for kind in kinds:
        own = replicas(kind, source)
        for number, fault in lives(random):
            world.run(own[number % len(own)], fault)
            world.time.now_ms += random.choice([0, 700, 30_000, HOUR_MS])
    for one in replicas(kinds[-1], source):
        assert world.run(one).is_good, world.statuses()
    assert_same(world.messages(), messages_of(objects, 0))
    assert quarantined(world) == quarantine_of(objects, 0)
    counted = [decode(world.output(key)) for key in world.keys("integration-state/")]
    assert all(not one["open"] for one in counted)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_killed_in_any_order_while_the_number_changes(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
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
    for kind in random.choices([0, 1, 2, 3, 5], k=random.randint(3, 5)):
        own = replicas(kind, source)
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


@pytest.mark.parametrize("block", range(BLOCKS))
def test_objects_change_in_any_order_while_the_number_does(block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        try:
            run_changing_schedule(seed)
        except AssertionError as error:
            error.add_note(f"by the schedule {seed}")
            raise
