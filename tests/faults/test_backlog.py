"""More objects than one plan takes: each page of the listing is asked for a few times only."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from threading import Event

import pytest

from services.aws.list_request import answer_with_pages
from services.pull_logs_service import AuditBucket
from tests.servers.installation import Installation
from tests.world.audit_objects import DAY_MS, event
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import MemoryS3
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same

# As many as the listing in memory has on a page.
STRETCH_OBJECTS = 3
PLAN_OBJECTS = 6
MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _small_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.shipping.shared.MAX_PLAN_OBJECTS", PLAN_OBJECTS)
    monkeypatch.setattr("services.shipping.shared.LEAST_PLAN_OBJECTS", 1)
    monkeypatch.setattr("utils.state.planning.STRETCH_OBJECTS", STRETCH_OBJECTS)


def keys(folders: int, objects: int) -> Iterator[tuple[str, int]]:
    """Yields keys of two logged buckets, and how many minutes ago each was written."""
    for number in range(objects):
        folder = number * folders // objects
        yield f"{folder}/S3-{'ab'[number % 2]}-{number:04d}", objects - number


def lists_asked(folders: int, objects: int) -> int:
    """Ships so many objects, each once, and returns how many pages were listed."""
    world, due = World(), Counter[str]()
    for key, minutes_ago in keys(folders, objects):
        written_ms = NOON_MS - minutes_ago * MINUTE_MS
        line = event(minutes_ago, written_ms)
        due[line] += 1
        world.put(key, line.encode(), written_ms)
    life = world.run(source_of())
    assert life.is_good, world.statuses()
    assert_same(world.messages(), due)
    return life.called("list")


@pytest.mark.parametrize("folders", [1, 4])
def test_pages_are_listed_in_proportion_to_the_objects(folders: int) -> None:
    few, many = lists_asked(folders, 60), lists_asked(folders, 240)
    assert few >= 60 // STRETCH_OBJECTS
    assert many <= 4.4 * few
    assert many <= 4 * 240 // STRETCH_OBJECTS


@pytest.mark.parametrize("prefix", ["access/", "access/a"])
def test_very_many_objects_beside_the_folders_are_not_kept(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bucket that another one's access logs are written to may have them."""
    monkeypatch.setattr("services.pull_logs_service.MOST_KEPT_OBJECTS", STRETCH_OBJECTS)
    source = replace(source_of(), log_type="Access", prefix=prefix)
    world, due = World(), Counter[str]()
    for number in range(60):
        written_ms = NOON_MS - number * MINUTE_MS
        line = f"owner bucket [29/Feb/2024:08:00:{number:02d} +0000] {number}"
        due[line] += 1
        folder = "deep/" if number % 10 == 0 else ""
        world.put(f"access/a{folder}{number:04d}", line.encode(), written_ms)
    world.put("access", b"another", NOON_MS - MINUTE_MS)
    life = world.run(source)
    assert life.is_good, world.statuses()
    assert_same(world.messages(), due)
    assert life.called("list") <= 4 * 60 // STRETCH_OBJECTS
    assert world.run(source).is_good
    assert_same(world.messages(), due)


def test_objects_of_one_moment_are_all_shipped() -> None:
    world = World()
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(5 * PLAN_OBJECTS)]
    for number, line in enumerate(lines):
        world.put(f"{number % 3}/S3-{number}", line.encode(), NOON_MS - DAY_MS)
    assert world.run(source_of()).is_good
    assert_same(world.messages(), Counter(lines))


def test_a_store_that_lists_each_folder_from_its_beginning_gets_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It need not know StartAfter: what is listed twice is planned once."""
    list_objects_v2 = MemoryS3.list_objects_v2

    def from_the_beginning(self: MemoryS3, **listing: str) -> dict[str, object]:
        listing.pop("StartAfter", None)
        return list_objects_v2(self, **listing)

    monkeypatch.setattr(MemoryS3, "list_objects_v2", from_the_beginning)
    assert lists_asked(1, 60) > 60


def test_a_folder_is_listed_from_behind_a_key(installation: Installation) -> None:
    """By a real S3 server: what is left would else be listed from the beginning each time."""
    for name in ("S3-a", "S3-b ü+%", "S3-c", "S3-d"):
        installation.put(f"May-2024/{name}", b"{}")
    answer_with_pages(installation.s3)
    bucket = AuditBucket(installation.s3, source_of(), Event())
    behind = [one.key for one in bucket.objects("May-2024/", "May-2024/S3-b ü+%")]
    assert behind == ["May-2024/S3-c", "May-2024/S3-d"]
