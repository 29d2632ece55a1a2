"""What `--verify` finds out, by properties: any mix of lines, and anything done to the streams."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.audit.verification import AuditGauge, Days
from services.pull_logs_service import AuditBucket
from tests.faults.test_owed import Shut
from tests.standin.cloudwatch_requests import CreateLogStream, PutRetentionPolicy
from tests.standin.cloudwatch_store import StoredEvent
from tests.world.audit_objects import DAY_MS, everything, fill, packed, quarantine_of, text_of
from tests.world.audit_objects import event as audit_event
from tests.world.faults import Killed
from tests.world.in_memory import World, source_of
from tests.world.in_memory_logs import LOG_GROUP, LOG_STREAM
from tests.world.in_memory_time import HOUR_MS, NOON_MS, moment
from tests.world.in_memory_trial import STANDIN, world_of
from utils.audit.audit import Audit, encoded, rows, verdict
from utils.model import LogObject

EVENTS = [
    *(audit_event(number, NOON_MS - number * HOUR_MS) for number in range(4)),
    *(audit_event(number, NOON_MS - (15 + number) * DAY_MS) for number in range(3)),
    audit_event(1, NOON_MS + 5 * HOUR_MS),
    "no JSON at all",
    '{"without": "time"}',
    "\u00fc\u4e2d\U0001f600",
]
BLANK = ["", "   "]
Object = list[int | str]


def shipped_world(seed: int, objects: int) -> tuple[World, dict[str, list[str]]]:
    """Returns a world in which objects of any lines are shipped, and the lines by key."""
    random = Random(seed)
    world = World(**STANDIN)
    bucket: dict[str, list[str]] = {}
    for number in range(objects):
        lines = random.choices([*EVENTS, *BLANK], k=random.randint(1, 12))
        key = f"May-2024/S3-{number}.gz"
        bucket[key] = lines
        world.put(key, packed(lines), NOON_MS - random.randint(1, 40) * HOUR_MS)
    assert world.run(source_of()).is_good, world.statuses()
    world.time.now_ms += HOUR_MS
    return world, bucket


def check(audit: Audit, bucket: dict[str, list[str]], stored: Counter[str]) -> None:
    """Compares what was found with what follows from both sides, message by message.

    Raises:
        AssertionError: they are not the same.
    """
    due = Counter(line for lines in bucket.values() for line in lines if line.strip())
    missing = due - stored
    surplus = stored - due
    doubled = {message: count for message, count in surplus.items() if message in due}
    assert audit.missing == missing.total()
    assert audit.found == (due & stored).total()
    assert audit.doubled == sum(doubled.values())
    assert audit.foreign == surplus.total() - audit.doubled
    assert audit.lines == sum(map(len, bucket.values()))
    assert audit.blank == audit.lines - due.total()
    assert audit.is_whole == (not missing and not doubled)
    named: Counter[str] = Counter()
    for one in audit.differences:
        messages = [bucket[one.object][number - 1] for number in one.lines]
        if one.kind == "missing":
            named.update(messages)
            assert one.figures["missing"] == one.count == len(one.lines)
            parts = [one.figures[name] for name in ("found", "missing", "blank")]
            assert sum(parts) == one.figures["lines"] == len(bucket[one.object])
        else:
            assert {*messages} <= {*doubled}
    assert named == missing
    assert encoded(audit)
    assert verdict(audit)
    assert len([*rows(audit)]) <= 21


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 200_000))
def test_any_mix_of_lines_and_any_change(seed: int, objects: int, most: int) -> None:
    """Identical lines, restamped ones, blank ones, in parts of any size; events gone or added."""
    world, bucket = shipped_world(seed, objects)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.audit.sums.MOST_COMPARED", most)
        check(world.verify(source_of()), bucket, world.messages())
        random = Random(seed)

        def change(events: list[StoredEvent]) -> list[StoredEvent]:
            kept = [one for one in events if random.random() > 0.2]
            again = [one for one in events if random.random() > 0.8]
            moved = [replace(one, timestamp=one.timestamp - 1000) for one in kept[:1]]
            foreign = [replace(one, message=f"{one.message} ") for one in kept[:2]]
            return [*moved, *kept[1:], *again, *foreign]

        world.tamper(change)
        check(world.verify(source_of()), bucket, world.messages())


def test_everything_that_can_stand_in_a_bucket_is_accounted_for() -> None:
    """Damaged, plain, quarantined, refused, restamped: all is where it has to be."""
    world = World(**STANDIN)
    objects = everything()
    fill(world, objects)
    world.run(source_of())
    audit = world.verify(source_of())
    assert audit.is_whole, (verdict(audit), audit.differences)
    assert audit.found == world.messages().total()
    assert audit.quarantined == len(quarantine_of(objects, 0))
    assert audit.damaged == 2
    assert audit.restamped > 0
    assert (audit.wrong_time, audit.foreign, audit.left_out, audit.expired) == (0, 0, 0, 0)


@pytest.mark.parametrize("pieces", [0, 1])
def test_of_an_object_that_cannot_be_read_nothing_counts_as_found(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor as missing: nobody knows what it holds."""
    world, bucket = shipped_world(9, 3)
    lines = [audit_event(number, NOON_MS) for number in range(50)]
    world.put("S3-shut.gz", text_of(lines), NOON_MS - HOUR_MS)
    assert world.run(source_of()).is_good
    Shut(monkeypatch, "S3-shut.gz", pieces)
    audit = world.verify(source_of())
    assert (audit.unreadable, audit.missing, audit.is_whole) == (1, 0, False)
    assert audit.lines == sum(map(len, bucket.values()))
    assert audit.found == audit.lines - audit.blank
    assert [(one.object, one.reason) for one in audit.differences] == [
        ("S3-shut.gz", "AccessDenied")
    ]


def test_a_line_that_is_not_in_the_quarantine_is_missing() -> None:
    """That it can't be sent is no proof that it was kept."""
    world = World(**STANDIN)
    fill(world, everything())
    world.run(source_of())
    lost = [key for key in world.keys("integration-quarantine/") if "S3-today" in key]
    for key in lost:
        del world.buckets["audit-logs-integration"][key]
    audit = world.verify(source_of())
    assert lost
    assert [(one.object, one.kind, one.lines) for one in audit.differences] == [
        ("February-2024/S3-today.gz", "missing", [6, 7])
    ]


def test_what_the_retention_has_removed_is_expired_and_not_missing() -> None:
    world = world_of([])
    PutRetentionPolicy(log_group_name=LOG_GROUP, retention_in_days=3).apply(world.account)
    lines = [audit_event(number, NOON_MS - HOUR_MS) for number in range(5)]
    world.put("S3-1.gz", packed(lines), NOON_MS)
    world.run(source_of())
    world.time.now_ms += 5 * DAY_MS
    world.tamper(lambda _: [])
    audit = world.verify(source_of())
    assert (audit.expired, audit.missing, audit.is_whole) == (5, 0, True)
    assert verdict(audit) == (
        "Nothing left to compare: 5 logs are so old that the retention may have removed them."
    )
    assert ("expired", "5 lines so old that the log group's retention may have removed them") in [
        *rows(audit)
    ]


def test_what_may_have_expired_stands_in_the_verdict_beside_what_is_there() -> None:
    world = world_of([])
    PutRetentionPolicy(log_group_name=LOG_GROUP, retention_in_days=3).apply(world.account)
    old = [audit_event(number, NOON_MS - HOUR_MS) for number in range(5)]
    world.put("S3-1.gz", packed(old), NOON_MS)
    world.run(source_of())
    world.tamper(lambda _: [])
    world.time.now_ms += 5 * DAY_MS
    young = [audit_event(10 + number, world.time.now_ms - HOUR_MS) for number in range(3)]
    world.put("S3-2.gz", packed(young), world.time.now_ms)
    world.run(source_of())
    audit = world.verify(source_of())
    assert (audit.expired, audit.found, audit.is_whole) == (5, 3, True)
    assert verdict(audit) == (
        "Whole: CloudWatch holds each of 3 logs once. "
        "Besides, 5 logs are so old that the retention may have removed them."
    )


def test_a_day_is_compared_by_when_its_objects_were_written() -> None:
    """Identical lines of the days before and behind it are none of its own."""
    world = World(**STANDIN)
    twin = audit_event(1, NOON_MS - 2 * DAY_MS)
    days = [NOON_MS - number * DAY_MS for number in range(3)]
    for number, modified_ms in enumerate(days):
        lines = [twin, audit_event(number + 10, modified_ms - HOUR_MS)]
        world.put(f"S3-{number}.gz", packed(lines), modified_ms)
    world.run(source_of())
    day = moment(days[1]).date()
    audit = world.verify(source_of(), Days(day, day))
    assert (audit.objects, audit.found, audit.missing, audit.doubled) == (1, 2, 0, 0)
    world.tamper(lambda events: [one for one in events if "0000000B" not in one.message])
    audit = world.verify(source_of(), Days(day, day))
    assert [(one.object, one.kind, one.lines) for one in audit.differences] == [
        ("S3-1.gz", "missing", [2])
    ]


def test_the_last_of_all_days_can_be_asked_for() -> None:
    world = World(**STANDIN)
    world.put("S3-1.gz", packed([audit_event(1, NOON_MS)]), NOON_MS)
    world.run(source_of())
    audit = world.verify(source_of(), Days(moment(NOON_MS).date(), date.max))
    assert (audit.objects, audit.found, audit.missing) == (1, 1, 0)


@pytest.mark.parametrize("is_limited", [False, True])
def test_a_line_that_is_written_and_shipped_again_meanwhile_is_not_doubled(
    is_limited: bool,
) -> None:
    """It belongs to an object that is not compared."""
    world = World()
    twin = audit_event(1, NOON_MS - HOUR_MS)
    world.put("S3-1.gz", packed([twin, audit_event(2, NOON_MS - HOUR_MS)]), NOON_MS - HOUR_MS)
    world.run(source_of())

    def ship() -> None:
        world.time.now_ms += 5_000
        world.put("S3-2.gz", packed([twin]), world.time.now_ms)
        assert world.run(source_of()).is_good

    today = moment(NOON_MS).date()
    days = Days(today, today) if is_limited else Days()
    audit = world.verify(source_of(), days, faults={"look back 1": ship})
    assert world.messages()[twin] == 2
    assert (audit.objects, audit.found, audit.doubled, audit.is_whole) == (1, 2, 0, True)


def test_all_partitions_and_older_layouts_are_read() -> None:
    """What replicas have shipped stands in streams of their own; metrics are none of it."""
    world, bucket = shipped_world(3, 5)
    events = list(world.account.groups[LOG_GROUP].streams[LOG_STREAM].archive.ingested())
    names = [f"{LOG_STREAM}/p00", f"{LOG_STREAM}/p23", f"{LOG_STREAM}/2-of-3"]
    for name in [*names, f"{LOG_STREAM}/integration", f"{LOG_STREAM}2"]:
        CreateLogStream(log_group_name=LOG_GROUP, log_stream_name=name).apply(world.account)
    streams = world.account.groups[LOG_GROUP].streams
    for place, one in enumerate(events):
        streams[names[place % 3]].archive.add([one])
    world.tamper(lambda _: [])
    metrics = replace(events[0], message="metrics")
    for other in (f"{LOG_STREAM}/integration", f"{LOG_STREAM}2"):
        streams[other].archive.add([metrics])
    stored = world.messages() - Counter({"metrics": 2})
    audit = world.verify(source_of())
    check(audit, bucket, stored)
    assert audit.is_whole
    assert audit.log_streams == [LOG_STREAM, *sorted(names)]


def test_requests_are_kept_apart() -> None:
    """Other readers of the account share its quota."""
    world, _ = shipped_world(1, 3)
    before_ms = world.time.now_ms
    world.verify(source_of(), rate=2)
    assert world.time.now_ms - before_ms >= 1000


def test_what_a_daemon_ships_meanwhile_is_under_way_and_not_missing() -> None:
    """It can run beside the daemon, also while that catches up with what is old."""
    world, bucket = shipped_world(8, 3)
    late = [[audit_event(20 * n + m, NOON_MS - 3 * HOUR_MS) for m in range(10)] for n in range(4)]
    for number, lines in enumerate(late):
        key = f"May-2024/S3-late-{number}.gz"
        bucket[key] = lines
        world.put(key, packed(lines), NOON_MS - 2 * HOUR_MS + number)
    audit = world.verify(source_of())
    assert (audit.missing, audit.left_out) == (40, 0)

    def begin() -> None:
        assert world.run(source_of(), {"put 6 done": Killed()}).is_killed

    audit = world.verify(source_of(), faults={"look back 1": begin})
    stored = world.messages()
    assert (audit.missing, audit.is_whole) == (0, True), audit
    assert audit.left_out == 40 - sum(stored[line] for lines in late for line in lines) > 0
    assert world.run(source_of()).is_good
    check(world.verify(source_of()), bucket, world.messages())


def test_however_much_differs_the_bucket_is_listed_twice_and_time_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each part of what differs is read by itself, of objects that are known by then."""
    world, bucket = shipped_world(4, 6)
    world.time.now_ms += DAY_MS
    world.tamper(lambda _: [])
    listings: list[str] = []
    gauges: list[AuditGauge] = []
    shares: list[float] = []
    objects = AuditBucket.objects

    class Watched(AuditGauge):
        def __post_init__(self) -> None:
            gauges.append(self)

    def counted(self: AuditBucket, folder: str) -> Iterator[LogObject]:
        listings.append(folder)
        return objects(self, folder)

    monkeypatch.setattr("utils.audit.sums.MOST_COMPARED", 1)
    monkeypatch.setattr("services.audit.verification.AuditGauge", Watched)
    monkeypatch.setattr(AuditBucket, "objects", counted)
    looks = {f"look back {number}": lambda: shares.append(gauges[-1].share) for number in range(99)}
    check(world.verify(source_of(), faults=looks), bucket, Counter())
    assert len(listings) == 2
    assert len(shares) > 10
    assert max(shares) < gauges[-1].share == 1
