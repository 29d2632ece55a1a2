"""The last status of a source, its lag, and a gap that is reported once."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.installation import BUCKET, Installation
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from tests.world.faults import EXPIRED, Fault, client_error
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import OUTPUT_BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS, moment
from utils.model import Counts
from utils.report.latest import Outcome, Trail, decode_trail, encode_latest
from utils.version import VERSION

NOON = moment(NOON_MS)
HOUR = timedelta(hours=1)
DAY_HOURS = 24
LATEST_KEY = "integration-logs/latest-audit-logs-S3.json"
OTHER_FOLDER = "March-2024"


def latest(world: World) -> dict[str, object]:
    document: dict[str, object] = json.loads(world.output(LATEST_KEY))
    return document


def gap_lines(world: World) -> list[str]:
    """Returns the lines about gaps, in their order."""
    return [line for line in world.statuses() if "gap_since=" in line]


def put(world: World, name: str, hours: float = 0.0) -> None:
    """Writes an object of the type S3, so many hours after noon."""
    content = gzip_lines([json.dumps({"name": name}).encode()])
    world.put(f"February-2024/S3-{name}.gz", content, NOON_MS + round(hours * HOUR_MS))


def run_at(world: World, hours: float, **changes: object) -> None:
    """Runs an iteration, a process of its own, so many hours after noon."""
    world.time.now_ms = NOON_MS + round(hours * HOUR_MS)
    assert world.run(source_of(**changes)).is_good


# What it says.


def test_it_tells_the_level_the_line_the_counts_the_times_and_the_version(
    installation: Installation,
) -> None:
    began = datetime.now(UTC)
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}", b"", b"\xff"]))
    outcome = installation.once()
    found = installation.latest()
    assert found["source"] == f"{BUCKET}-S3"
    assert found["version"] == outcome.done.pairs["version"] == VERSION
    assert (found["level"], found["message"]) == ("INFO", "Done sending 1 logs")
    counts = found["counts"]
    assert isinstance(counts, dict)
    assert (counts["read"], counts["accepted"], counts["blank"]) == (3, 1, 1)
    assert outcome.done.figures(*counts) == counts
    times = [datetime.fromisoformat(str(found[name])) for name in ("began", "ended")]
    assert began <= times[0] <= times[1] <= datetime.now(UTC)
    head = installation.s3.head_object(Bucket=BUCKET, Key="May-2024/S3-a.gz")
    assert datetime.fromisoformat(str(found["newest_shipped"])) == head["LastModified"]
    assert found["lag_seconds"] == pytest.approx(
        (times[1] - head["LastModified"]).total_seconds(), abs=0.001
    )
    assert found["gap_since"] is None


def test_a_failure_is_told_and_what_was_shipped_before_stays(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}"]))
    installation.once()
    before = installation.latest()
    installation.put("May-2024/S3-b.gz", gzip_lines([b"{}"]))
    standin.control(denied=["PutLogEvents"])
    outcome = installation.once()
    found = installation.latest()
    assert outcome.exit_status == 1
    assert (found["level"], found["message"]) == ("ERROR", outcome.errors[0].text)
    assert "AccessDeniedException" in str(found["message"])
    assert found["newest_shipped"] == before["newest_shipped"]
    assert float(str(found["lag_seconds"])) > float(str(before["lag_seconds"]))


def test_each_source_has_its_own(installation: Installation) -> None:
    installation.configuration["log_type"] = ["S3", "IAM"]
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}"]))
    installation.once()
    assert installation.latest(f"{BUCKET}-IAM")["newest_shipped"] is None
    assert installation.latest(f"{BUCKET}-IAM")["lag_seconds"] is None
    assert installation.latest()["newest_shipped"]


def test_one_that_can_not_be_written_is_an_error() -> None:
    """The status lines of that iteration are written nevertheless."""
    world = World()
    put(world, "a")
    life = world.run(source_of(), {"integration-logs 2": client_error("AccessDenied")})
    assert not life.is_good
    assert "Done sending 1 logs" in world.statuses()[0]
    assert world.run(source_of()).is_good


def test_one_that_can_not_be_read_is_an_error_and_costs_no_event() -> None:
    world = World()
    put(world, "a")
    assert world.run(source_of()).is_good
    put(world, "b")
    life = world.run(source_of(), {"recall 1": client_error("AccessDenied")})
    assert not life.is_good
    line = world.statuses()[-1]
    assert "ERROR Can't read the last status" in line
    assert "accepted=1 " in line
    assert sum(world.messages().values()) == 2


def test_the_lag_is_that_of_the_newest_shipped_object_also_when_it_is_long_forgotten() -> None:
    """Other types go on: what is behind the late window is no longer in the checkpoint."""
    world = World()
    put(world, "a")
    run_at(world, 1)
    assert latest(world)["lag_seconds"] == 3601  # a claim is held for a second
    for day in (2, 4, 6):
        hours = day * DAY_HOURS
        world.put(f"{OTHER_FOLDER}/IAM-{day}.gz", b"", NOON_MS + hours * HOUR_MS)
        run_at(world, hours)
        assert latest(world)["lag_seconds"] == hours * 3600


# Gaps.


def test_a_gap_is_reported_once_whatever_restarts_follow_and_so_is_its_end() -> None:
    world = World()
    put(world, "a")
    for hours in (1, 23, 24, 25, 50):
        run_at(world, hours, gap_hours=DAY_HOURS)
    (begun,) = gap_lines(world)
    assert begun.startswith("2024-03-01T12:00:0")
    assert "Z WARN No new object of the type S3 for 24 hours." in begun
    assert begun.endswith("source=audit-logs-S3 gap_since=2024-02-29T12:00:00Z")
    assert latest(world)["gap_since"] == "2024-02-29T12:00:00Z"
    put(world, "b", 51)
    for hours in (52, 53):
        run_at(world, hours, gap_hours=DAY_HOURS)
    (_, ended) = gap_lines(world)
    assert ended.startswith("2024-03-02T16:00:0")
    assert "Z WARN New objects of the type S3 are there again" in ended
    assert latest(world)["gap_since"] is None
    run_at(world, 51 + DAY_HOURS, gap_hours=DAY_HOURS)
    assert len(gap_lines(world)) == 3


def test_no_gap_is_reported_without_gap_hours() -> None:
    world = World()
    put(world, "a")
    for hours in (1, 1000):
        run_at(world, hours)
    assert gap_lines(world) == []


def test_a_type_of_which_nothing_was_ever_seen_has_a_gap_from_the_first_look_on() -> None:
    world = World()
    for hours in (1, 24, 25, 26):
        run_at(world, hours, gap_hours=DAY_HOURS)
    (begun,) = gap_lines(world)
    assert begun.endswith("gap_since=2024-02-29T13:00:00Z")


def test_an_object_of_another_type_ends_no_gap() -> None:
    world = World()
    put(world, "a")
    run_at(world, 25, gap_hours=DAY_HOURS)
    world.put("February-2024/IAM-a.gz", b"", NOON_MS + 25 * HOUR_MS)
    run_at(world, 26, gap_hours=DAY_HOURS)
    assert len(gap_lines(world)) == 1


def test_what_could_not_be_looked_at_is_no_gap() -> None:
    """An outage of Lyve Cloud has its own ERROR, and says nothing about the audit logs."""
    world = World()
    put(world, "a")
    run_at(world, 1, gap_hours=DAY_HOURS)
    world.time.now_ms = NOON_MS + 48 * HOUR_MS
    bucket = world.buckets.pop(BUCKET)
    assert not world.run(source_of(gap_hours=DAY_HOURS)).is_good
    assert gap_lines(world) == []
    assert latest(world)["level"] == "ERROR"
    world.buckets[BUCKET] = bucket
    put(world, "b", 48)
    run_at(world, 49, gap_hours=DAY_HOURS)
    assert gap_lines(world) == []


def test_an_iteration_that_fails_does_not_make_a_gap_new() -> None:
    world = World()
    put(world, "a")
    run_at(world, 25, gap_hours=DAY_HOURS)
    before = latest(world)
    bucket = world.buckets.pop(BUCKET)
    assert not world.run(source_of(gap_hours=DAY_HOURS)).is_good
    carried = ("newest_shipped", "quiet_since", "gap_since")
    assert [latest(world)[name] for name in carried] == [before[name] for name in carried]
    world.buckets[BUCKET] = bucket
    run_at(world, 26, gap_hours=DAY_HOURS)
    assert len(gap_lines(world)) == 1


@pytest.mark.parametrize(
    ("point", "fault"), [("stream 1", client_error("ExpiredTokenException")), ("put 1", EXPIRED)]
)
def test_an_iteration_that_fails_tells_a_gap_and_its_end_too(point: str, fault: Fault) -> None:
    """CloudWatch may be out of order while Lyve Cloud stops writing: each is told."""
    world = World()
    put(world, "a")
    run_at(world, 1, gap_hours=DAY_HOURS)
    put(world, "late", -1)
    for hours, reported in [(24, 1), (25, 1), (26, 2), (27, 2)]:
        if hours == 26:
            put(world, "b", 26)
        world.time.now_ms = NOON_MS + hours * HOUR_MS
        assert not world.run(source_of(gap_hours=DAY_HOURS), {point: fault}).is_good
        assert len(gap_lines(world)) == reported
        assert latest(world)["level"] == "ERROR"
        assert "ExpiredToken" in str(latest(world)["message"])
    begun, ended = gap_lines(world)
    assert begun.startswith("2024-03-01T12:00:0")
    assert "Z WARN No new object of the type S3 for 24 hours." in begun
    assert ended.startswith("2024-03-01T14:00:0")
    assert "Z WARN New objects of the type S3 are there again" in ended


def test_a_stop_looks_for_no_gap() -> None:
    """It has ten seconds."""
    world = World()
    put(world, "a")
    run_at(world, 1, gap_hours=DAY_HOURS)
    put(world, "late", -1)
    world.time.now_ms = NOON_MS + DAY_HOURS * HOUR_MS
    world.stop.set()
    world.run(source_of(gap_hours=DAY_HOURS))
    assert gap_lines(world) == []
    assert str(latest(world)["message"]).startswith("Stopped before ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"gap_since": 1}', b"\xff"])
def test_a_last_status_that_is_damaged_is_written_anew(content: bytes) -> None:
    world = World()
    put(world, "a")
    run_at(world, 1)
    good = world.output(LATEST_KEY)
    world.buckets[OUTPUT_BUCKET][LATEST_KEY] = StoredObject(content, world.time.now_ms)
    run_at(world, 1)
    assert json.loads(world.output(LATEST_KEY)).keys() == json.loads(good).keys()


# The rules, for any times.

STEPS = st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=30)


@given(steps=STEPS, gap_hours=st.integers(1, 48))
def test_gaps_and_their_ends_take_turns(steps: list[tuple[int, bool]], gap_hours: int) -> None:
    """Each is kept as a document in between, as a restart finds it."""
    now, newest, trail = NOON, NOON, Trail()
    events = []
    for hours, is_new in steps:
        now += hours * HOUR
        newest = now if is_new else newest
        document = encode_latest("a", Outcome("INFO", "", now, now, Counts()), trail)
        before = decode_trail(document)
        assert before == trail
        trail = before.listed(round(newest.timestamp() * 1000), now)
        if before.gap_since and not trail.gap_since:
            events.append("end")
            assert is_new
        if trail.has_new_gap(gap_hours, now):
            events.append("begin")
            trail = Trail(trail.newest_shipped, trail.quiet_since, trail.quiet_since)
        assert (trail.gap_since is not None) == (now - newest >= gap_hours * HOUR)
    assert events == ["begin", "end"] * (len(events) // 2) + ["begin"] * (len(events) % 2)


@given(times_ms=st.lists(st.integers(0, 2**42), max_size=10))
def test_the_newest_shipped_is_the_newest_of_all(times_ms: list[int]) -> None:
    trail = Trail()
    for time_ms in times_ms:
        trail = trail.shipped(time_ms)
    newest_ms = max(times_ms, default=0)
    assert trail.newest_shipped == (moment(newest_ms) if newest_ms else None)


def test_clocks_that_are_apart_make_no_negative_lag() -> None:
    trail = Trail().shipped(NOON_MS + HOUR_MS)
    document = encode_latest("a", Outcome("INFO", "", NOON, NOON, Counts()), trail)
    assert json.loads(document)["lag_seconds"] == 0
