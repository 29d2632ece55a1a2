"""A checkpoint of an older version goes on where it stood, in mid-backlog too."""

from collections import Counter

import pytest
from msgspec.json import decode
from msgspec.structs import replace

from tests.world.audit_objects import event, text_of
from tests.world.faults import Killed
from tests.world.in_memory import source_of
from tests.world.in_memory_s3 import OUTPUT_BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of
from utils.config.sharding import Shard
from utils.state.checkpoint import VERSION, decode_checkpoint, encode_checkpoint


@pytest.mark.parametrize("point", ["put 2 done", "put 5", "save 4 done"])
@pytest.mark.parametrize("shard", [None, Shard(1, 1)])
def test_an_unfinished_iteration_of_version_2_goes_on(
    shard: Shard | None, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_small_steps(monkeypatch)
    world = world_of([])
    due: Counter[str] = Counter()
    for number in range(9):
        lines = [event(10 * number + one, NOON_MS - HOUR_MS) for one in range(6)]
        world.put(f"May-2024/S3-{number}.gz", text_of(lines), NOON_MS + number)
        due += Counter(lines)
    source = source_of().of_shard(shard)
    assert world.run(source, {point: Killed()}).is_killed
    key = f"integration-state/{source.state_name}.json"
    found = decode_checkpoint(world.output(key), key)
    assert found.running
    document = encode_checkpoint(replace(found, version=2))
    world.buckets[OUTPUT_BUCKET][key] = StoredObject(document, world.time.now_ms)
    shipped(world, source)
    assert_same(world.messages(), due)
    assert decode(world.output(key))["version"] == VERSION
