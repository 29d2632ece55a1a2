"""A checkpoint of an older version goes on where it stood, in mid-backlog too, or says how."""

from base64 import b64decode, b64encode
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from struct import Struct
from typing import Any

import msgspec
import pytest

from tests.world.audit_objects import event, text_of
from tests.world.faults import EXPIRED, Fault, Killed, each
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import OUTPUT_BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of
from utils.config.partitions import Shard
from utils.config.settings import Source
from utils.state.checkpoint import VERSION
from utils.state.ledger import RECENT_ROW

OLD_VERSIONS = pytest.mark.parametrize("version", [2, 3])
SHARDS = pytest.mark.parametrize("shard", [None, Shard(1, 1)])


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


def filled() -> tuple[World, Counter[str]]:
    """Returns a world with objects, and their lines."""
    world = world_of([])
    due: Counter[str] = Counter()
    for number in range(9):
        lines = [event(30 * number + one, NOON_MS - HOUR_MS) for one in range(20)]
        world.put(f"May-2024/S3-{number}.gz", text_of(lines), NOON_MS + number)
        due += Counter(lines)
    return world, due


def key_of(source: Source) -> str:
    return f"integration-state/{source.state_name}.json"


def make_older(world: World, source: Source, version: int, stored: str = "") -> dict[str, Any]:
    """Writes the checkpoint in the form of an older version; returns its members."""
    members = msgspec.json.decode(world.output(key_of(source)), type=dict[str, Any])
    members["version"] = version
    for position in members["open"]:
        del position["uploads_ms"]
        position["is_doubtful"] = position.pop("in_doubt")
        position["stored"] = stored
    coverage = members["coverage"]
    coverage |= {"recent": minutes_of(b64decode(coverage["recent"])), "dormant": {"April-2024/": 7}}
    if not coverage["owed"]:
        del coverage["owed"]
    members["checksum"] = ""
    members["checksum"] = sha256(msgspec.json.encode(members)).hexdigest()
    write(world, source, members)
    return members


def minutes_of(recent: bytes) -> dict[str, dict[str, Any]]:
    """Returns the shipped objects by the minute of their `LastModified`."""
    minutes: dict[str, dict[str, Any]] = {}
    for key, modified_ms, content, lines, line_hash in RECENT_ROW.iter_unpack(recent):
        packed = Struct(">QIIIH").pack(key, content, lines, line_hash, modified_ms % 60_000)
        minute = minutes.setdefault(str(modified_ms // 60_000 * 60_000), {"objects": ""})
        minute["objects"] = b64encode(b64decode(minute["objects"]) + packed).decode()
        minute |= {"events_from_ms": 1, "events_until_ms": 2}
    return minutes


def write(world: World, source: Source, members: dict[str, Any]) -> None:
    one = StoredObject(msgspec.json.encode(members), world.time.now_ms)
    world.buckets[OUTPUT_BUCKET][key_of(source)] = one


@OLD_VERSIONS
@SHARDS
@pytest.mark.parametrize("put", [4, 7, 13])
def test_an_iteration_that_ended_in_mid_backlog_goes_on(
    put: int, shard: Shard | None, version: int
) -> None:
    world, due = filled()
    source = source_of(concurrency=1)
    shared = replace(source, shard=shard)
    assert not world.run(source, each("put", range(put, 999), EXPIRED)).is_good
    members = make_older(world, source, version)
    assert (members["running"], bool(members["open"])) == (False, True)
    shipped(world, shared)
    assert_same(world.messages(), due)
    assert msgspec.json.decode(world.output(key_of(source)))["version"] == VERSION


@OLD_VERSIONS
@SHARDS
@pytest.mark.parametrize(
    ("faults", "stored"),
    [
        pytest.param({"put 2 done": Killed()}, "", id="killed early"),
        pytest.param({"put 9": Killed()}, "", id="killed late"),
        pytest.param(each("put", range(12, 999), EXPIRED), "011", id="lines marked as stored"),
    ],
)
def test_an_unfinished_iteration_is_refused_with_the_command_that_ends_it(
    faults: dict[str, Fault], stored: str, shard: Shard | None, version: int
) -> None:
    """That version alone knows at which times it may have stored something."""
    world, due = filled()
    source = source_of(concurrency=1)
    shared = replace(source, shard=shard)
    assert not world.run(source, faults).is_good
    state, sent = world.output(key_of(source)), world.messages()
    members = make_older(world, source, version, stored)
    life = world.run(shared)
    assert (life.is_good, life.called("put"), life.called("save")) == (False, 0, 0)
    (line,) = [one for one in world.statuses() if "by an older version" in one]
    assert "`docker run --rm -e ... OLD_IMAGE --once`" in line
    assert world.messages() == sent
    assert msgspec.json.decode(world.output(key_of(source))) == members
    # As the other version leaves it.
    world.buckets[OUTPUT_BUCKET][key_of(source)] = StoredObject(state, world.time.now_ms)
    shipped(world, shared)
    assert_same(world.messages(), due)
