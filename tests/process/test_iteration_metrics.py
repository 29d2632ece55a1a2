"""The heartbeat: an event with metrics for each iteration, which costs no iteration anything."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.process.test_daemon import Daemon
from tests.process.test_sources import numbered
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    SLOW_GROUP,
    STOP_SECONDS,
    Installation,
    RunningEngine,
    eventually,
)
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.metrics import Point, points, rings
from tests.standin.template import resources
from tests.world.audit_events import gzip_lines
from utils.config.settings import METRICS_NAMESPACE

# Of which CloudWatch takes events: not older than 14 days.
DAY = (datetime.now(UTC) - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
ALARM = "AWS::CloudWatch::Alarm"


def at(hours: float) -> str:
    """Returns a moment of the day, as the clock is set."""
    return f"{DAY + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}"


def in_ms(hours: float) -> int:
    """Returns a moment of the day in ms since 1970."""
    return int((DAY + timedelta(hours=hours)).timestamp() * 1000)


def beats(
    installation: Installation, log_type: str = "S3", group: str = LOG_GROUP
) -> list[dict[str, object]]:
    """Returns what a source's heartbeats hold, which all are as the specification has it."""
    stream = f"lyve-cloud/{BUCKET}/{log_type}/integration"
    try:
        events = list(installation.cloudwatch.events(group, stream))
    except ValueError:  # there is no such stream yet
        return []
    points(event.message for event in events)
    return [json.loads(event.message) for event in events]


def held(*found: list[dict[str, object]]) -> list[Point]:
    """Returns the metrics of heartbeats."""
    return points(json.dumps(beat) for several in found for beat in several)


def ringing(known: list[Point], now_hours: float, sources: str) -> set[str]:
    """Returns the names of the template's alarms that ring."""
    alarms = resources(ALARM, Sources=sources, LogGroupName=LOG_GROUP)
    return {name for name, alarm in alarms.items() if rings(alarm, known, in_ms(now_hours))}


@pytest.fixture
def measured(installation: Installation) -> Installation:
    """An installation with metrics on."""
    installation.configuration["metrics"] = True
    return installation


@pytest.fixture
def daemon(measured: Installation) -> Daemon:
    """The daemon with metrics on, not yet started."""
    return Daemon(measured)


# One iteration.


def test_an_iteration_puts_one_event_with_its_figures(measured: Installation) -> None:
    content = gzip_lines([*numbered(0, 10), b"\xff"])
    measured.put("May-2024/S3-a.gz", content)
    outcome = measured.once()
    assert outcome.exit_status == 0
    (beat,) = beats(measured)
    counts = ("accepted", "quarantined", "restamped", "owed", "possibly_duplicated")
    figures = outcome.done.figures(*counts) | {
        "iterations": 1,
        "failures": 0,
        "bytes": len(content),
    }
    assert {name: beat[name] for name in figures} == figures
    assert float(str(beat["lag"])) >= float(str(beat["duration"])) - 0.1 >= 0
    assert (beat["source"], beat["log_group"]) == (f"{BUCKET}-S3", LOG_GROUP)
    assert {point.namespace for point in held([beat])} == {METRICS_NAMESPACE}
    assert len(measured.messages()) == 10


def test_a_namespace_can_be_named_and_without_the_key_there_is_no_event(
    installation: Installation,
) -> None:
    installation.once()
    assert beats(installation) == []
    installation.configuration["metrics"] = "Audit/Lyve"
    installation.once()
    assert {point.namespace for point in held(beats(installation))} == {"Audit/Lyve"}


def test_an_iteration_that_failed_has_its_event(measured: Installation) -> None:
    measured.environment["LYVE_SECRET"] = "another-secret-than-its-own"
    assert measured.once().exit_status == 1
    (beat,) = beats(measured)
    assert (beat["iterations"], beat["failures"], beat["accepted"]) == (1, 1, 0)


def test_replicas_of_a_source_are_told_apart(measured: Installation) -> None:
    for number in (1, 2):
        measured.environment["SHARD"] = f"{number}/2"
        assert measured.once().exit_status == 0
    found = beats(measured)
    assert [beat["replica"] for beat in found] == ["1/2", "2/2"]
    iterations = [point for point in held(found) if point.name == "iterations"]
    dimensions = [dict(point.dimensions) for point in iterations]
    source = {"source": f"{BUCKET}-S3"}
    assert dimensions == [source, source | {"replica": "1/2"}, source, source | {"replica": "2/2"}]


# A CloudWatch that hangs, throttles or denies.


def test_a_cloudwatch_that_hangs_delays_neither_an_iteration_nor_the_end(
    measured: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    standin.control(probabilities={"hung_before": 1.0})
    with daemon.start(at(0.9)) as engine:
        daemon.fire(engine, at(1))
        daemon.fire(engine, at(2))
        assert engine.stderr.count("Done sending 0 logs") == 2
        assert engine.stop().exit_status == 0
    with measured.start("--once") as engine:
        assert engine.wait(STOP_SECONDS).exit_status == 0


@pytest.mark.parametrize("trouble", ["throttled", "unavailable_before", "denied"])
def test_what_could_not_be_put_is_in_the_next_event(
    trouble: str, measured: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    with daemon.start(at(0.9)) as engine:
        daemon.fire(engine, at(1))
        eventually(lambda: len(beats(measured)) == 1, "a heartbeat", engine.process)
        calls = standin.calls().operations["PutLogEvents"]
        if trouble == "denied":
            standin.control(denied=["PutLogEvents"])
        else:
            standin.control(probabilities={trouble: 1.0})
        daemon.fire(engine, at(2))
        tried = lambda: standin.calls().operations["PutLogEvents"] > calls  # noqa: E731
        eventually(tried, "a heartbeat that is refused", engine.process)
        standin.control(denied=[], probabilities={})
        daemon.fire(engine, at(3))
        eventually(lambda: len(beats(measured)) == 2, "the next heartbeat", engine.process)
        outcome = engine.stop()
    assert [beat["iterations"] for beat in beats(measured)] == [1, 2]
    assert (outcome.exit_status, outcome.errors) == (0, [])


# Hours.


def fire(
    daemon: Daemon, engine: RunningEngine, measured: Installation, hour: int, log_types: str
) -> None:
    """Runs the iterations of an hour, and waits for the heartbeats of some types."""
    counts = {one: len(beats(measured, one)) for one in log_types.split()}
    daemon.fire(engine, at(hour))
    for one, count in counts.items():
        eventually(
            lambda one=one, count=count: len(beats(measured, one)) > count,  # type: ignore[misc]
            f"the heartbeat of {one} at {hour}",
            engine.process,
        )


def test_a_day_of_24_iterations_has_24_heartbeats_of_each_source(
    measured: Installation, daemon: Daemon
) -> None:
    measured.configuration["log_type"] = ["S3", "IAM"]
    sources = f"{BUCKET}-S3,{BUCKET}-IAM"
    with daemon.start(at(-0.1)) as engine:
        for hour in range(24):
            fire(daemon, engine, measured, hour, "S3 IAM")
        assert engine.stop().exit_status == 0
    for log_type in ("S3", "IAM"):
        found = beats(measured, log_type)
        assert [beat["iterations"] for beat in found] == [1] * 24
        times = [point.time_ms for point in held(found) if point.name == "bytes"]
        assert times == [in_ms(hour) for hour in range(24)]
        assert max(float(str(beat["lag"])) for beat in found) < 3600
    known = held(beats(measured), beats(measured, "IAM"))
    assert [ringing(known, hour + 0.5, sources) for hour in range(2, 24)] == [set()] * 22
    # It was killed at the end of the day.
    assert ringing(known, 26.1, sources) == {"Heartbeat1", "Heartbeat2"}
    assert ringing(known, 25.9, sources) == set()


def test_a_source_that_is_stuck_rings_its_own_alarm(
    two: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    measured = two
    measured.put("May-2024/IAM-a.gz", gzip_lines(numbered(0, 500)))
    standin.control(fault_groups=[SLOW_GROUP], probabilities={"throttled": 1.0})
    with daemon.start(at(0.9)) as engine:
        for hour in (1, 2, 3):
            daemon.set_clock(at(hour))
            eventually(
                lambda hour=hour: len(beats(measured)) == hour,  # type: ignore[misc]
                f"the heartbeat at {hour}",
                engine.process,
            )
    known = held(beats(measured), beats(measured, "IAM", SLOW_GROUP))
    assert ringing(known, 4.1, "other-S3,slow-IAM") == {"Heartbeat2"}


def test_a_daemon_that_may_not_read_rings_the_alarm_of_failures(
    measured: Installation, daemon: Daemon
) -> None:
    measured.environment["LYVE_SECRET"] = "another-secret-than-its-own"
    with daemon.start(at(0.9)) as engine:
        for hour in (1, 2, 3, 4, 5):
            fire(daemon, engine, measured, hour, "S3")
    known = held(beats(measured))
    source = f"{BUCKET}-S3"
    assert ringing(known, 3.1, source) == set()
    assert ringing(known, 4.1, source) == {"Failures"}
    # What is written is missing for longer and longer.
    assert ringing(known, 6.1, source) == {"Failures", "Lag"}


def test_a_daemon_that_may_not_put_rings_the_alarm_of_the_heartbeat(
    measured: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    standin.control(denied=["PutLogEvents"])
    with daemon.start(at(0.9)) as engine:
        for hour in (1, 2):
            daemon.fire(engine, at(hour))
    assert ringing(held(beats(measured)), 3.1, f"{BUCKET}-S3") == {"Heartbeat1"}


def test_what_is_quarantined_or_owed_rings(measured: Installation) -> None:
    damaged = gzip_lines(numbered(0, 10))[:-9]
    measured.put("May-2024/S3-a.gz", gzip_lines([b"\xff"]))
    measured.put("May-2024/S3-b.gz", damaged)
    measured.once()
    (beat,) = beats(measured)
    known = [point._replace(time_ms=in_ms(1)) for point in held([beat])]
    assert ringing(known, 2.1, f"{BUCKET}-S3") == {"Quarantined", "Owed"}
