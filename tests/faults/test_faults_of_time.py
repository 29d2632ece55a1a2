"""Clocks that are wrong, jump or stand on another zone: nothing is lost, nothing stands twice."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ConnectionClosedError

from tests.servers.heartbeats import wait_for_hour
from tests.servers.installation import Installation, RunningEngine
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from tests.world.audit_objects import DAY_MS, AuditObject, event, whole
from tests.world.faults import Fault, Killed, each
from tests.world.in_memory import World, source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, world_of
from utils.config.sources import parse_sources

CLOCKED_ENGINE = Path(__file__).parents[1] / "servers" / "clocked_engine.py"
MINUTE_MS = 60_000
HOURS_OFF = [-400 * 24, -30, -3, 3, 30, 400 * 24]
DROPPED = ConnectionClosedError(endpoint_url="https://service.invalid")


def aged(*ages_hours: float) -> list[str]:
    """Returns events of so long ago, as seen at noon."""
    return [event(n, NOON_MS - round(age * HOUR_MS)) for n, age in enumerate(ages_hours)]


def hourly(count: int) -> list[AuditObject]:
    """Returns an object for each of the hours before noon, the latest first."""
    return [
        whole(f"S3-{hour}.gz", NOON_MS - hour * HOUR_MS - MINUTE_MS, aged(hour + 1.5, hour + 1.1))
        for hour in range(count)
    ]


def all_messages(objects: list[AuditObject]) -> Counter[str]:
    """Returns how often each message is to be stored."""
    return Counter(message for one in objects for message in one.messages)


# This machine's clock.


@pytest.mark.parametrize("hours", HOURS_OFF)
def test_this_machines_clock_is_hours_or_days_off(hours: int) -> None:
    """What is due follows from the store's time; so does what CloudWatch takes as it is."""
    objects = hourly(30)
    old = whole("S3-old.gz", NOON_MS, aged(400, 330, 20, 1, -1.5, -3))
    world = world_of([*objects, old])
    world.time.machine_ahead_ms = hours * HOUR_MS
    shipped(world, source_of())
    assert_same(world.messages(), all_messages([*objects, old]))
    assert "restamped=2" in world.statuses()[-1]
    times = {message: time_ms for time_ms, message in world.stored()}
    assert times[old.messages[2]] == NOON_MS - 20 * HOUR_MS


@pytest.mark.parametrize("hours", HOURS_OFF)
def test_lasthour_is_the_stores_last_hour(hours: int) -> None:
    objects = hourly(4)
    world = world_of(objects)
    world.time.machine_ahead_ms = hours * HOUR_MS
    shipped(world, source_of(since_ms=None))
    assert_same(world.messages(), all_messages(objects[:1]))


@pytest.mark.parametrize("hours", HOURS_OFF)
@pytest.mark.parametrize("point", ["put 2 done", "save 1 done", "put 5"])
def test_this_machines_clock_jumps_between_a_kill_and_the_next_start(
    point: str, hours: int
) -> None:
    objects = [
        whole("S3-old.gz", NOON_MS, aged(400, 400, 400, 390, 380, 370, 360, 350)),
        *hourly(5),
    ]
    world = world_of(objects)
    world.run(source_of(), {point: Killed()})
    world.time.machine_ahead_ms = hours * HOUR_MS
    shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


def test_this_machines_clock_jumps_in_mid_run() -> None:
    objects = hourly(12)
    world = world_of(objects)

    def jump() -> None:
        world.time.machine_ahead_ms = 50 * HOUR_MS - world.time.machine_ahead_ms

    faults: dict[str, Fault] = each("put", range(1, 99, 2), jump)
    shipped(world, source_of(), {**faults, "put 4 done": DROPPED})
    shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


# Time that passes.


def let_pass(world: World, milliseconds: int) -> None:
    """Moves the time of everything."""
    world.time.now_ms += milliseconds


@pytest.mark.parametrize("last", [{}, {"put 9 done": Killed()}, {"put 7 done": DROPPED}], ids=str)
def test_an_iteration_takes_longer_than_an_hour(last: dict[str, Fault]) -> None:
    """What was young enough at its beginning is too old at its end."""
    ages = [335.9 - hour / 10 for hour in range(24)]
    objects = [whole("S3-a.gz", NOON_MS, aged(*ages)), *hourly(6)]
    world = world_of(objects)
    faults = each("put", range(1, 99), lambda: let_pass(world, 20 * MINUTE_MS))
    world.run(source_of(), {**faults, **last})
    assert world.time.now_ms > NOON_MS + 2 * HOUR_MS
    shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


@pytest.mark.parametrize("days", [1, 13, 15, 40])
@pytest.mark.parametrize("point", ["put 1 done", "put 3 done", "save 2 done"])
def test_a_machine_stands_still_for_days_after_a_kill(point: str, days: int) -> None:
    """The events in doubt are too old by then, and must be found at their own time all the same."""
    objects = [whole("S3-a.gz", NOON_MS, aged(400, 400, 390, 20, 20, 10, 9, 8, 7)), *hourly(3)]
    world = world_of(objects)
    world.run(source_of(), {point: Killed()})
    let_pass(world, days * DAY_MS)
    shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


@pytest.mark.parametrize("second", ["put 1 done", "put 2 done", "save 1 done", "put 3"])
def test_a_machine_stands_still_for_days_between_two_kills(second: str) -> None:
    """What is sent then needs another time of upload, and what was sent before keeps its own."""
    objects = [whole("S3-a.gz", NOON_MS, aged(*[400] * 20, *range(380, 400)))]
    world = world_of(objects)
    world.run(source_of(), {"put 3 done": Killed()})
    let_pass(world, 3 * DAY_MS)
    world.run(source_of(), {second: Killed()})
    let_pass(world, 3 * DAY_MS)
    shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


@pytest.fixture(params=["America/New_York", "Europe/Berlin", "Asia/Kolkata", "UTC"])
def _zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this machine: the program sets it to UTC, but no part here needs that."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_zone")
@pytest.mark.parametrize("moment", ["2024-03-10T07", "2024-11-03T06", "2024-03-31T01"])
@pytest.mark.parametrize("fault", [Killed(), DROPPED], ids=["kill", "drop"])
def test_the_local_time_changes_in_mid_run(moment: str, fault: Fault) -> None:
    """An hour that comes twice, or not at all, is neither shipped twice nor left out."""
    change_ms = round(datetime.fromisoformat(f"{moment}:00:00Z").timestamp() * 1000)
    lines = [event(n, change_ms + (n - 20) * 5 * MINUTE_MS) for n in range(36)]
    objects = [
        whole(f"S3-{n}.gz", change_ms + (n - 5) * 20 * MINUTE_MS, lines[4 * n : 4 * n + 4])
        for n in range(9)
    ]
    world = world_of(objects[:5])
    world.time.now_ms = change_ms - 20 * MINUTE_MS
    faults = each("put", range(1, 99), lambda: let_pass(world, 5 * MINUTE_MS))
    world.run(source_of(), {**faults, "put 4 done": fault})
    for one in objects[5:]:
        world.put(one.key, one.content, one.modified_ms)
        world.time.now_ms = max(world.time.now_ms, one.modified_ms + MINUTE_MS)
        shipped(world, source_of())
    assert_same(world.messages(), all_messages(objects))


def test_a_leap_day_as_mode() -> None:
    """From the midnight of a day that most years have not."""
    document = {
        "bucket_name": "audit-logs",
        "output_bucket": "audit-logs-integration",
        "log_type": "S3",
        "mode": "29/02/2024",
        "log_group": "lyve-cloud-audit-logs",
        "log_stream": "lyve-cloud/audit-logs/S3",
    }
    names = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")
    environment = dict.fromkeys(names, "key")
    environment |= {"LYVE_REGION": "us-east-1", "AWS_REGION": "us-east-1"}
    (source,) = parse_sources(json.dumps(document).encode(), environment, str)
    objects = hourly(30)
    world = world_of(objects)
    shipped(world, source)
    midnight_ms = round(datetime(2024, 2, 29, tzinfo=UTC).timestamp() * 1000)
    due = [one for one in objects if one.modified_ms >= midnight_ms]
    assert 0 < len(due) < len(objects)
    assert_same(world.messages(), all_messages(due))


# Credentials that run out.


class Credentials:
    """The files that the program reads its AWS credentials from."""

    def __init__(self, directory: Path) -> None:
        self.access = directory / "aws-access"
        self.secret = directory / "aws-secret"

    def write(self, access_key: str, secret_key: str) -> None:
        self.access.write_text(access_key)
        self.secret.write_text(secret_key)


def fire(engine: RunningEngine, clock: Path, hour: int, text: str) -> None:
    """Sets the clock to a round hour, and waits for its end and a status line."""
    since_seconds = time.monotonic()
    draft = clock.with_suffix(".draft")
    draft.write_text(f"2026-11-01T{hour:02}:00:00+00:00")
    draft.replace(clock)
    wait_for_hour(engine, since_seconds, None)
    assert text in engine.stderr


def test_credentials_in_files_are_seen_by_the_next_iteration_of_the_same_process(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A key is replaced every few weeks, and nobody is there to restart a daemon for it."""
    lines = [b'{"number": %d}' % number for number in range(250)]
    installation.put("S3-a.gz", gzip_lines(lines))
    clock = installation.directory / "clock"
    clock.write_text("2026-11-01T05:59:59+00:00")
    files = Credentials(installation.directory)
    files.write(ACCESS_KEY, SECRET_KEY)
    for name in ("AWS_ACCESS", "AWS_SECRET"):
        del installation.environment[name]
    installation.environment |= {
        "AWS_ACCESS_FILE": str(files.access),
        "AWS_SECRET_FILE": str(files.secret),
        "CLOCK_FILE": str(clock),
        "EXPLOSION_FILE": str(installation.directory / "none"),
    }
    standin.control(expired=[ACCESS_KEY])
    another = ("AKIAI44QH8DHBEXAMPLE", "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY")
    with installation.start(program=CLOCKED_ENGINE) as engine:
        engine.wait_until_said("The next iteration begins at 06:00")
        fire(engine, clock, 6, "ExpiredTokenException")
        standin.control(credentials=dict([another]))
        files.write(*another)
        fire(engine, clock, 7, "Done sending 250 logs")
        assert engine.stop().exit_status == 0
    assert sorted(installation.messages()) == sorted(line.decode() for line in lines)
