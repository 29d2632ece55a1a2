"""The daemon hour after hour with several sources: trouble of one costs the others no hour."""

import json
from pathlib import Path

import pytest

from tests.process.test_daemon import Daemon
from tests.process.test_sources import lines_of, messages, numbered, texts
from tests.servers.heartbeats import said_of_health, wait_for_heartbeat
from tests.servers.installation import (
    BUCKET,
    SLOW_GROUP,
    Installation,
    Outcome,
    RunningEngine,
    eventually,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

DAY = "2026-11-01"
SLOW_STREAM = f"lyve-cloud/{BUCKET}/IAM"
LATE = "so none begins now"


@pytest.fixture
def daemon(two: Installation) -> Daemon:
    """The daemon of two sources, not yet started."""
    return Daemon(two)


def ship(installation: Installation, daemon: Daemon, engine: RunningEngine, hour: int) -> None:
    """Writes an object for the other source, and returns when the hour has shipped it."""
    count = 10 + hour
    installation.put(f"May-2024/S3-{hour}.gz", gzip_lines(numbered(1000 * hour, count)))
    daemon.fire(engine, f"{DAY}T{hour:02}:00:00", "other-S3")
    assert f"Done sending {count} logs" in engine.stderr


def shipped(*hours: int) -> list[str]:
    return sorted(line for hour in hours for line in texts(numbered(1000 * hour, 10 + hour)))


def wait_until_late(engine: RunningEngine, count: int) -> None:
    """Waits until so many hours have come while a source was under way."""
    eventually(lambda: engine.stderr.count(LATE) >= count, LATE, engine.process)


def late_hours(outcome: Outcome) -> list[tuple[int, str]]:
    return [(line.time.hour, line.pairs["source"]) for line in outcome.lines if LATE in line.text]


def test_a_source_that_is_throttled_for_hours_costs_no_other_an_hour(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    """It goes on meanwhile, ships everything once it can, and the next hour comes for it again."""
    standin.control(fault_groups=[SLOW_GROUP], probabilities={"throttled": 1.0})
    installation.put("May-2024/IAM-a.gz", gzip_lines(numbered(0, 500)))
    with daemon.start(f"{DAY}T05:59:59") as engine:
        for hour in (6, 7, 8):
            ship(installation, daemon, engine, hour)
            wait_until_late(engine, hour - 6)
        wait_for_heartbeat(engine, lambda beat: beat.working == ["slow-IAM"])
        assert said_of_health(engine) == ""
        standin.control(probabilities={})
        engine.wait_until_said("Done sending 500 logs")
        wait_for_heartbeat(engine, lambda beat: not beat.working)
        installation.put("May-2024/IAM-b.gz", gzip_lines(numbered(500, 5)))
        ship(installation, daemon, engine, 9)
        engine.wait_until_said("Done sending 5 logs")
        outcome = engine.stop()
    assert outcome.exit_status == 0
    assert outcome.errors == []
    assert late_hours(outcome) == [(7, "slow-IAM"), (8, "slow-IAM")]
    assert sorted(installation.messages()) == shipped(6, 7, 8, 9)
    assert messages(installation, SLOW_GROUP, SLOW_STREAM) == sorted(texts(numbered(0, 505)))


def test_a_source_whose_s3_server_hangs_from_the_start_costs_no_other_an_hour(
    installation: Installation, daemon: Daemon, s3_proxy: S3Proxy, seaweedfs: SeaweedFS
) -> None:
    """Where coverage of `lasthour` begins is marked at the start, for each without the others."""
    installation.configuration["mode"] = "lasthour"
    installation.environment["OTHER_LYVE_ENDPOINT"] = seaweedfs.endpoint_url
    s3_proxy.hold(" /")
    with daemon.start(f"{DAY}T05:59:59") as engine:
        assert s3_proxy.held.wait(30)
        assert installation.output_keys() == ["integration-state/other-S3.json"]
        for hour in (6, 7):
            ship(installation, daemon, engine, hour)
        engine.wait_until_said(LATE)
        s3_proxy.release()
        installation.put("May-2024/IAM-a.gz", gzip_lines(numbered(0, 5)))
        wait_for_heartbeat(engine, lambda beat: not beat.working)
        ship(installation, daemon, engine, 8)
        assert engine.stop().exit_status == 0
    assert sorted(installation.messages()) == shipped(6, 7, 8)


def test_a_stop_while_sources_of_several_hours_are_under_way_is_a_clean_end(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    installation.configuration |= {"concurrency": 4, "batch_size": 100}
    standin.control(fault_groups=[SLOW_GROUP], probabilities={"throttled": 1.0})
    installation.put("May-2024/IAM-a.gz", gzip_lines(numbered(0, 500)))
    much = numbered(10_000, 25_000)
    with daemon.start(f"{DAY}T05:59:59") as engine:
        ship(installation, daemon, engine, 6)
        # All of it would take 25 seconds.
        standin.control(latency_ms=400)
        installation.put("May-2024/S3-much.gz", gzip_lines(much))
        daemon.set_clock(f"{DAY}T07:00:00")
        engine.wait_until_said(LATE)
        eventually(lambda: len(installation.messages()) > 100, "some of it", engine.process)
        outcome = engine.stop()
    assert outcome.exit_status == 0
    assert outcome.errors == []
    assert len(installation.messages()) < len(much)
    for source in ("slow-IAM", "other-S3"):
        state = json.loads(installation.output(f"integration-state/{source}.json"))
        assert not state["running"], source
        assert "Stopped before" in lines_of(outcome, source)[-1].text
    standin.control(latency_ms=0, probabilities={})
    again = installation.once()
    assert {line.level for line in again.lines} == {"INFO"}
    assert sorted(installation.messages()) == sorted([*shipped(6), *texts(much)])
    assert messages(installation, SLOW_GROUP, SLOW_STREAM) == sorted(texts(numbered(0, 500)))


def test_a_configuration_that_is_wrong_for_three_hours_is_told_by_the_health_check(
    installation: Installation, daemon: Daemon
) -> None:
    with daemon.start(f"{DAY}T05:59:59") as engine:
        ship(installation, daemon, engine, 6)
        configuration = Path(installation.config_path).read_text()
        installation.config_path.write_text("{")
        for failures, hour in enumerate(("07", "08", "09"), 1):
            daemon.set_clock(f"{DAY}T{hour}:00:00")
            wait_for_heartbeat(engine, lambda beat, count=failures: count in beat.failures.values())  # type: ignore[misc]
        wait_for_heartbeat(engine, lambda beat: set(beat.failures.values()) == {3})
        assert said_of_health(engine) == (
            "The last 3 iterations of other-S3 failed. The last 3 iterations of slow-IAM failed."
        )
        installation.config_path.write_text(configuration)
        ship(installation, daemon, engine, 10)
        wait_for_heartbeat(engine, lambda beat: set(beat.failures.values()) == {0})
        assert engine.stop().exit_status == 0
    assert sorted(installation.messages()) == shipped(6, 10)
