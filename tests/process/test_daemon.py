"""The daemon: an iteration each round hour of UTC, a clean end, and a next start that goes on."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.servers.heartbeats import wait_for_heartbeat, wait_for_hour
from tests.servers.installation import (
    BUCKET,
    OUTPUT_BUCKET,
    REPOSITORY,
    STOP_SECONDS,
    Installation,
    Outcome,
    RunningEngine,
    eventually,
)
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

CLOCKED_ENGINE = Path(__file__).parents[1] / "servers" / "clocked_engine.py"
KEY = "May-2024/S3-a.gz"
STATE_KEY = f"integration-state/{BUCKET}-S3.json"
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def numbered(first: int, count: int) -> list[bytes]:
    """Returns events with a number each."""
    return [b'{"number": %d}' % number for number in range(first, first + count)]


def texts(lines: Iterable[bytes]) -> Counter[str]:
    """Returns the lines as messages."""
    return Counter(line.decode() for line in lines)


class Daemon:
    """Runs the daemon by a clock that is set by hand.

    Args:
        installation: what it runs on.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._clock = installation.directory / "clock"
        self.explosion = installation.directory / "explosion"
        installation.environment |= {
            "CLOCK_FILE": str(self._clock),
            "EXPLOSION_FILE": str(self.explosion),
        }

    def set_clock(self, moment: str) -> None:
        """Sets the clock to a moment of UTC such as `2026-11-01T05:59:59`."""
        draft = self._clock.with_suffix(".draft")
        draft.write_text(f"{moment}+00:00")
        draft.replace(self._clock)

    def start(self, moment: str) -> RunningEngine:
        """Starts it at a moment, and returns when it waits for its first slot."""
        self.set_clock(moment)
        engine = self._installation.start(program=CLOCKED_ENGINE)
        engine.wait_until_said("The next iteration begins at ")
        return engine

    def fire(self, engine: RunningEngine, moment: str, source: str | None = None) -> None:
        """Sets the clock to a round hour; returns when its iterations are done, or a source's."""
        since_seconds = time.monotonic()
        self.set_clock(moment)
        wait_for_hour(engine, since_seconds, source)


@pytest.fixture
def daemon(installation: Installation) -> Daemon:
    """The daemon, not yet started."""
    return Daemon(installation)


# The round hour.


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-12-31", ["23:59:59", "00:00:00"]),
        ("Asia/Kolkata", "2026-11-01", ["05:59:59", "06:00:00", "07:00:00"]),
        # An hour that New York has twice.
        ("America/New_York", "2026-11-01", ["05:59:59", "06:00:00", "07:00:00"]),
        # An hour that it has not.
        ("America/New_York", "2026-03-08", ["06:59:59", "07:00:00", "08:00:00"]),
    ],
)
def test_an_iteration_runs_at_each_round_hour_of_utc_and_not_at_the_start(
    zone: str, day: str, hours: list[str], installation: Installation, daemon: Daemon
) -> None:
    """Local time is another: Kolkata is half an hour off, New York skips one in autumn."""
    installation.environment["TZ"] = zone
    installation.put(KEY, gzip_lines(numbered(0, 10)))
    start, *slots = hours
    moments = [f"{'2027-01-01' if slot == '00:00:00' else day}T{slot}" for slot in slots]
    with daemon.start(f"{day}T{start}") as engine:
        assert f"The next iteration begins at {slots[0][:5]} UTC." in engine.stderr
        for moment in moments:
            daemon.fire(engine, moment)
        outcome = engine.stop()
    assert outcome.exit_status == 0
    done = [line for line in outcome.lines if line.text.startswith("Done")]
    assert [line.text for line in done] == ["Done sending 10 logs", "Done sending 0 logs"][
        : len(slots)
    ]
    assert [f"{line.time:%Y-%m-%dT%H:%M:%S}" for line in done] == moments


def test_each_source_is_shipped_at_its_own_minutes(
    installation: Installation, daemon: Daemon
) -> None:
    """An account that writes each few minutes stands beside one that is looked at each hour."""
    names = [("often", 20), ("seldom", 60)]
    shared = dict(installation.configuration)
    bucket = {key: shared.pop(key) for key in ("bucket_name", "log_type")}
    sources = [
        {**bucket, "name": name, "every_minutes": every, "log_stream": name}
        for name, every in names
    ]
    installation.configuration.clear()
    installation.configuration.update({**shared, "sources": sources})
    with daemon.start("2026-11-01T05:39:59") as engine:
        assert "The next iteration begins at 05:40 UTC." in engine.stderr
        for minute in ("05:40:00", "05:59:59", "06:00:00", "06:19:00", "06:20:00", "07:01:00"):
            if minute in {"05:59:59", "06:19:00"}:
                daemon.set_clock(f"2026-11-01T{minute}")
            else:
                daemon.fire(engine, f"2026-11-01T{minute}")
        engine.wait_until_said("The next iteration begins at 07:20 UTC.")
        outcome = engine.stop()
    assert outcome.exit_status == 0
    done = [line for line in outcome.lines if line.text.startswith("Done")]
    assert sorted((f"{line.time:%H:%M}", line.pairs["source"]) for line in done) == [
        ("05:40", "often-S3"),
        ("06:00", "often-S3"),
        ("06:00", "seldom-S3"),
        ("06:20", "often-S3"),
        ("07:01", "often-S3"),
        ("07:01", "seldom-S3"),
    ]


def test_lasthour_begins_at_the_first_start_whatever_restarts_follow(
    installation: Installation, daemon: Daemon, s3_proxy: S3Proxy
) -> None:
    """A restart before the first slot must not lose what came in between."""
    installation.configuration["mode"] = "lasthour"
    installation.put("S3-before.gz", gzip_lines(numbered(0, 5)))
    wait_for_the_next_second(installation)
    with daemon.start("2026-11-01T05:10:00") as engine:
        assert engine.stop().exit_status == 0
    installation.put("S3-between.gz", gzip_lines(numbered(5, 5)))
    wait_for_the_next_second(installation)
    with daemon.start("2026-11-01T05:20:00") as engine:
        installation.put("S3-after.gz", gzip_lines(numbered(10, 5)))
        s3_proxy.ahead = timedelta(minutes=40)
        daemon.fire(engine, "2026-11-01T06:00:00")
    assert Counter(installation.messages()) == texts(numbered(5, 10))


def test_a_clock_that_is_set_right_after_the_start_ships_nothing_older(
    installation: Installation, daemon: Daemon
) -> None:
    """As on a machine without a battery. Months of old logs in `lasthour` are nobody's wish."""
    installation.configuration["mode"] = "lasthour"
    installation.put("S3-before.gz", gzip_lines(numbered(0, 5)))
    wait_for_the_next_second(installation)
    with daemon.start("1970-01-01T00:05:00") as engine:
        installation.put("S3-after.gz", gzip_lines(numbered(5, 5)))
        daemon.fire(engine, "2026-11-01T06:00:00")
    assert Counter(installation.messages()) == texts(numbered(5, 5))


def wait_for_the_next_second(installation: Installation) -> None:
    """Waits until LastModified, which counts in seconds, is another one."""

    def date() -> str:
        answer = installation.s3.head_bucket(Bucket=BUCKET)
        return answer["ResponseMetadata"]["HTTPHeaders"]["date"]

    now = date()
    eventually(lambda: date() != now, "the next second")


def test_iterations_never_overlap_and_a_missed_slot_loses_nothing(
    installation: Installation, daemon: Daemon, s3_proxy: S3Proxy
) -> None:
    """Two at a time would send everything twice."""
    installation.put(KEY, gzip_lines(numbered(0, 10)))
    with daemon.start("2026-11-01T05:59:59") as engine:
        s3_proxy.hold(f"GET /{BUCKET}/{KEY}")
        daemon.set_clock("2026-11-01T06:00:00")
        assert s3_proxy.held.wait(30)
        installation.put("May-2024/S3-b.gz", gzip_lines(numbered(10, 10)))
        daemon.set_clock("2026-11-01T08:00:00")
        engine.wait_until_said("so none begins now")
        s3_proxy.release()
        wait_for_heartbeat(engine, lambda beat: not beat.working)
        daemon.fire(engine, "2026-11-01T09:00:00")
        outcome = engine.stop()
    assert Counter(installation.messages()) == texts(numbered(0, 20))
    assert [(line.level, line.time.hour) for line in outcome.lines if line.level != "INFO"] == [
        ("WARN", 8)
    ]
    assert len(s3_proxy.asked(f"GET /{BUCKET}/{KEY}")) == 1
    done = [line for line in outcome.lines if line.text.startswith("Done")]
    assert [line.time.hour for line in done] == [8, 9]


def test_a_clock_that_is_set_back_does_not_cost_the_hours_between(
    installation: Installation, daemon: Daemon
) -> None:
    with daemon.start("2026-11-01T12:30:00") as engine:
        daemon.set_clock("2026-11-01T05:30:00")
        engine.wait_until_said("The next iteration begins at 06:00 UTC.")
        daemon.fire(engine, "2026-11-01T06:00:00")
        outcome = engine.stop()
    assert outcome.exit_status == 0
    assert outcome.done.time.hour == 6
    assert len(installation.status_objects()) == 1


# Iterations that fail.


def test_what_nobody_foresaw_is_reported_once_and_the_next_slot_runs(
    installation: Installation, daemon: Daemon
) -> None:
    """What fails must not be tried again without end."""
    installation.put(KEY, gzip_lines(numbered(0, 10)))
    daemon.explosion.touch()
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.fire(engine, "2026-11-01T06:00:00")
        daemon.fire(engine, "2026-11-01T07:00:00")
        daemon.explosion.unlink()
        daemon.fire(engine, "2026-11-01T08:00:00")
        outcome = engine.stop()
    assert outcome.exit_status == 0
    assert [line.time.hour for line in outcome.errors] == [6, 7]
    for error in outcome.errors:
        assert "unexpected" in error.text
        assert "ExplosionError" in error.text
    assert Counter(installation.messages()) == texts(numbered(0, 10))


def test_a_configuration_that_is_broken_for_an_hour_costs_that_hour_alone(
    installation: Installation, daemon: Daemon
) -> None:
    installation.put(KEY, gzip_lines(numbered(0, 10)))
    with daemon.start("2026-11-01T05:59:59") as engine:
        installation.config_path.write_text('{"mode": "all"')
        daemon.set_clock("2026-11-01T06:00:00")
        engine.wait_until_said("ERROR")
        installation.config_path.write_text(json.dumps(installation.configuration))
        daemon.fire(engine, "2026-11-01T07:00:00")
        outcome = engine.stop()
    assert outcome.exit_status == 0
    assert {line.time.hour for line in outcome.errors} == {6}
    assert Counter(installation.messages()) == texts(numbered(0, 10))


def test_a_bucket_that_comes_later_is_waited_for(
    installation: Installation, daemon: Daemon
) -> None:
    """The daemon says at its start what is missing, and does not end for it."""
    installation.configuration["bucket_name"] = "comes-later"
    with daemon.start("2026-11-01T05:59:59") as engine:
        engine.wait_until_said("NoSuchBucket")
        installation.s3.create_bucket(Bucket="comes-later")
        installation.put(KEY, gzip_lines(numbered(0, 10)), "comes-later")
        daemon.fire(engine, "2026-11-01T06:00:00")
        assert engine.stop().exit_status == 0
    assert len(installation.stored(bucket="comes-later")) == 10
    installation.s3.delete_object(Bucket="comes-later", Key=KEY)
    installation.s3.delete_bucket(Bucket="comes-later")


def test_a_second_daemon_is_an_error_of_its_own_and_does_no_harm(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    """Both would send everything, and CloudWatch removes no duplicates."""
    lines = numbered(0, 6000)
    installation.configuration |= {"concurrency": 1, "settle_seconds": 3}
    installation.put(KEY, gzip_lines(lines))
    with daemon.start("2026-11-01T05:59:59") as engine:
        standin.control(latency_ms=200)
        daemon.set_clock("2026-11-01T06:00:00")
        wait_for_puts(standin, engine, 3)
        second = installation.once()
        standin.control(latency_ms=0)
        engine.wait_until_said("Done sending 6000 logs")
        assert engine.stop().exit_status == 0
    assert second.exit_status == 1
    assert "Another daemon" in second.errors[0].text
    assert Counter(installation.messages()) == texts(lines)


def test_a_checkpoint_that_someone_else_writes_stops_the_iteration(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    """Writing over it would let two daemons send the same events until somebody notices."""
    put_much(installation, standin)
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.set_clock("2026-11-01T06:00:00")
        wait_for_puts(standin, engine, 5)
        changed = json.dumps({**installation.checkpoint(), "owner": "another"}).encode()

        def is_noticed() -> bool:
            # Again and again, because a save may come right behind the one that looked.
            installation.put(STATE_KEY, changed, OUTPUT_BUCKET)
            return "Another daemon ships this source" in engine.stderr

        eventually(is_noticed, "an error", engine.process)
        assert engine.stop().exit_status == 0
    assert installation.output(STATE_KEY) == changed
    assert len(installation.messages()) < len(MUCH)


# The end.


def check_goes_on(installation: Installation, lines: list[bytes]) -> Outcome:
    """Runs an iteration, and sees that all lines are stored once."""
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert outcome.errors == []
    assert Counter(installation.messages()) == texts(lines)
    return outcome


def wait_for_puts(standin: CloudWatchStandin, engine: RunningEngine, count: int) -> None:
    """Waits until so many batches have come since the last change of the settings."""
    eventually(
        lambda: standin.calls().operations.get("PutLogEvents", 0) >= count,
        f"{count} batches",
        engine.process,
    )


MUCH = numbered(0, 25_100)


def put_much(installation: Installation, standin: CloudWatchStandin) -> None:
    """Writes two objects, which take a while; a stop comes in the middle of the first."""
    installation.configuration |= {"concurrency": 2, "batch_size": 1000}
    installation.put(KEY, gzip_lines(MUCH[:25_000]))
    installation.put("May-2024/S3-b.gz", gzip_lines(MUCH[25_000:]))
    standin.control(latency_ms=100)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_daemon_ends_cleanly(number: signal.Signals, installation: Installation) -> None:
    """This is the engine itself, by the real clock."""
    with installation.start() as engine:
        engine.wait_until_said("The next iteration begins at ")
        outcome = engine.stop(number)
    assert outcome.exit_status == 0
    assert {line.level for line in outcome.lines} == {"INFO"}


_STOPPED_AT_ITS_LOCK = """
import engine, signal, sys

def run(self, options):
    with self.stop._cond:
        signal.raise_signal(signal.SIGTERM)
    return 0 if self.stop.wait(10) else 1

engine.Engine.read_sources = lambda self: ()
engine.Engine.run = run
sys.exit(engine.main(["--once"]))
"""


def test_a_signal_that_interrupts_the_wait_for_it_at_its_lock_is_a_stop() -> None:
    """The main thread holds the lock for an instant, and could never let go of it."""
    program = [sys.executable, "-c", _STOPPED_AT_ITS_LOCK]
    done = subprocess.run(program, cwd=REPOSITORY, timeout=60, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stop_in_mid_iteration_is_a_clean_end(
    number: signal.Signals, installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    """What was sent is in the checkpoint: the next start has nothing to find out."""
    put_much(installation, standin)
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.set_clock("2026-11-01T06:00:00")
        wait_for_puts(standin, engine, 5)
        outcome = engine.stop(number)
    assert outcome.exit_status == 0
    assert outcome.errors == []
    (status,) = installation.status_objects().values()
    assert status in outcome.stderr
    assert 0 < len(installation.messages()) < len(MUCH)
    standin.control(latency_ms=0)
    again = check_goes_on(installation, MUCH)
    assert [line.level for line in again.lines] == ["INFO"]
    counted = [int(line.pairs["accepted"]) for line in (outcome.lines[-1], again.done)]
    assert sum(counted) == len(MUCH)


def test_a_stop_of_a_single_iteration_is_a_clean_end(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """Who stops it knows that it is not done, and an orchestrator must not take it for a crash."""
    put_much(installation, standin)
    with installation.start("--once") as engine:
        wait_for_puts(standin, engine, 5)
        outcome = engine.stop()
    assert len(installation.messages()) < len(MUCH)
    standin.control(latency_ms=0)
    check_goes_on(installation, MUCH)
    assert outcome.exit_status == 0


def test_a_stop_while_cloudwatch_hangs_loses_and_doubles_nothing(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin
) -> None:
    """Of two batches that are never answered, one is stored: nobody knows before reading back."""
    lines = numbered(0, 500)
    installation.put(KEY, gzip_lines(lines))
    standin.control(fail_next=["hung_after", "hung_before"])
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.set_clock("2026-11-01T06:00:00")
        wait_for_puts(standin, engine, 5)
        outcome = engine.stop()
    assert outcome.exit_status == 0
    again = check_goes_on(installation, lines)
    assert "not finished" in again.lines[0].text


def test_a_stop_while_an_object_hangs_is_a_clean_end(
    installation: Installation, daemon: Daemon, s3_proxy: S3Proxy
) -> None:
    installation.put(KEY, gzip_lines(numbered(0, 10)))
    with daemon.start("2026-11-01T05:59:59") as engine:
        s3_proxy.hold(f"GET /{BUCKET}/{KEY}")
        daemon.set_clock("2026-11-01T06:00:00")
        assert s3_proxy.held.wait(30)
        outcome = engine.stop()
    s3_proxy.release()
    assert outcome.exit_status == 0
    check_goes_on(installation, numbered(0, 10))


def test_a_stop_while_all_of_lyve_cloud_hangs_is_in_time_but_no_clean_end(
    installation: Installation, daemon: Daemon, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    """The last checkpoint can't be saved: the next start reads back what came after it.

    Another one hangs at its start; both wait as long as they may, so they do it at the same time.
    """
    put_much(installation, standin)
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.set_clock("2026-11-01T06:00:00")
        wait_for_puts(standin, engine, 5)
        s3_proxy.hold(" /")
        listed = len(s3_proxy.asked("delimiter"))
        with installation.start() as starting:
            eventually(lambda: len(s3_proxy.asked("delimiter")) > listed, "a listing")
            wait_for_puts(standin, engine, 10)
            starting.send(signal.SIGTERM)
            outcome = engine.stop()
            other_outcome = starting.wait(STOP_SECONDS)
    s3_proxy.release()
    standin.control(latency_ms=0)
    for end in (outcome, other_outcome):
        assert end.exit_status == 1
        assert "hangs" in end.errors[-1].text
    check_goes_on(installation, MUCH)
