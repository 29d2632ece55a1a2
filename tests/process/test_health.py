"""The health check: true while iterations end in time, and by what a daemon says of itself."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from services.daemon import health as health_service
from services.daemon import health_check
from services.daemon.health import HeartbeatFile, heartbeats
from services.shipping.iteration import Iteration
from services.shipping.tools import Shared
from tests.process.test_daemon import Daemon, numbered
from tests.servers.heartbeats import heartbeat_of, wait_for_heartbeat
from tests.servers.installation import REPOSITORY, Installation
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from tests.world.in_memory import World, source_of
from tests.world.in_memory_time import NOON_MS
from utils.config.settings import Source
from utils.report.health import (
    MOST_FAILURES,
    MOST_LATE_SECONDS,
    MOST_SILENCE_SECONDS,
    MOST_STANDSTILL_SECONDS,
    Heartbeat,
    Work,
    ailments,
)

HOUR = 3600.0
PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)
SECONDS = st.floats(0, 10**7)


# The rule.


def test_a_daemon_that_waits_for_its_first_iteration_is_well() -> None:
    assert ailments([Heartbeat(HOUR - 30, slot_seconds=0.0)], HOUR) == []


def test_without_a_sign_nothing_is_well() -> None:
    assert ailments([], 0.0) == ["No sign of life for 5 minutes."]


@PROPERTY
@given(began=SECONDS, took=SECONDS)
def test_an_iteration_that_comes_further_is_well_however_long_it_takes(
    began: float, took: float
) -> None:
    now = began + took
    progress = max(began, now - MOST_STANDSTILL_SECONDS)
    last_hour = now - min(took, HOUR)
    beat = Heartbeat(now, last_hour, working={"a": Work(progress, 0.0)})
    assert ailments([beat], now) == []


def test_an_hour_that_does_not_come_is_told_while_a_source_is_under_way() -> None:
    """The others wait for it."""
    now = 2 * HOUR
    beat = Heartbeat(now, 0.0, working={"a": Work(now, 0.0)})
    assert ailments([beat], now) == ["No iteration has begun for 120 minutes."]


@PROPERTY
@given(settle=st.floats(0, 3600), over=st.floats(1, 10**6))
def test_one_that_stands_still_for_longer_than_it_may_is_not(settle: float, over: float) -> None:
    now = MOST_STANDSTILL_SECONDS + settle + over
    beat = Heartbeat(now, now, working={"a": Work(0.0, settle), "b": Work(now, 0.0)})
    (found,) = ailments([beat], now)
    assert found.startswith("a has come no further for ")


@PROPERTY
@given(
    idle=SECONDS,
    failures=st.integers(0, 10),
    silence=st.floats(0, MOST_SILENCE_SECONDS),
    every=st.sampled_from([1, 5, 60]),
)
def test_an_overdue_iteration_and_three_failures_are_told(
    idle: float, failures: int, silence: float, every: int
) -> None:
    beat = Heartbeat(idle - silence, 0.0, {"a": failures, "b": 0}, every_minutes=every)
    found = ailments([beat], idle)
    if silence > idle:
        return
    assert any("No iteration has begun" in one for one in found) == (
        idle > every * 60 + MOST_LATE_SECONDS
    )
    told = [one for one in found if one.endswith("failed.")]
    expected = [f"The last {failures} iterations of a failed."]
    assert told == (expected if failures >= MOST_FAILURES else [])


def test_a_source_that_has_only_failed_since_the_start_is_told_at_once() -> None:
    beat = Heartbeat(0.0, 0.0, {"a": 1, "b": 1, "c": 0}, unproven=["a", "c"])
    assert ailments([beat], 0.0) == ["a has failed since the start."]


@PROPERTY
@given(said=SECONDS, now=SECONDS)
def test_a_sign_counts_only_while_it_is_fresh(said: float, now: float) -> None:
    """One that lies ahead is of a time before the machine was started anew."""
    is_fresh = 0 <= now - said <= MOST_SILENCE_SECONDS
    assert (ailments([Heartbeat(said)], now) == []) == is_fresh


def test_a_single_iteration_is_never_overdue() -> None:
    assert ailments([Heartbeat(9 * HOUR, slot_seconds=None)], 9 * HOUR) == []


# What the process says.


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own in the place of the memory that all programs share."""
    monkeypatch.setattr(health_service, "_IN_MEMORY", tmp_path)
    return tmp_path


class Told:
    """A heartbeat by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.file = HeartbeatFile(lambda: self.now)

    def say(self, working: Mapping[str, tuple[object, float]] | None = None) -> Heartbeat:
        """Says it a while later, and returns what can be read then."""
        self.now += 10
        self.file.say(working or {}, {})
        (found,) = heartbeats()
        return found


@pytest.mark.usefixtures("place")
def test_the_wait_begins_anew_with_each_iteration_that_is_due() -> None:
    told = Told()
    told.file.wait(60)
    assert told.say().slot_seconds == 0.0
    told.file.wait(5)
    beat = told.say()
    assert (beat.slot_seconds, beat.every_minutes) == (10.0, 5)


@pytest.mark.usefixtures("place")
def test_an_end_is_said_at_once() -> None:
    told = Told()
    told.say({"a": (1, 0.0)})
    told.file.say({}, {})
    assert next(heartbeats()).working == {}
    told.file.say({}, {"a": 1})
    assert next(heartbeats()).failures == {"a": 1}


@pytest.mark.usefixtures("place")
def test_progress_is_when_a_source_was_seen_elsewhere_than_before() -> None:
    told = Told()
    seen = [told.say({"a": (value, 30.0)}).working["a"] for value in (1, 1, 2, 2)]
    assert [work.progress_seconds for work in seen] == [10.0, 10.0, 30.0, 30.0]
    assert told.say().working == {}
    assert told.say({"a": (2, 30.0)}).working["a"].progress_seconds == 60.0


def test_the_end_takes_the_sign_away(place: Path) -> None:
    told = Told()
    told.say()
    told.file.close()
    assert list(place.iterdir()) == []


def test_a_place_that_can_not_be_written_stops_nothing(place: Path) -> None:
    told = Told()
    place.rmdir()
    told.file.say({}, {})
    told.file.close()
    assert list(heartbeats()) == []


@pytest.mark.usefixtures("place")
def test_a_link_in_the_place_of_the_sign_is_replaced_and_not_followed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """In a folder that others may write to, it would overwrite a file of this program's."""
    other = tmp_path_factory.mktemp("other") / "config.json"
    other.write_text("{}")
    path = health_service.heartbeat_path(os.getpid())
    for link in (path, path.with_suffix(".draft")):
        link.symlink_to(other)
    assert list(heartbeats()) == []
    told = Told()
    told.say()
    assert other.read_text() == "{}"
    assert path.is_file()
    assert not path.is_symlink()


def test_what_is_no_file_in_the_place_of_the_sign_stops_nothing(place: Path) -> None:
    """A pipe would be waited for without end."""
    path = health_service.heartbeat_path(os.getpid())
    path.mkdir()
    HeartbeatFile(time.monotonic).say({}, {})
    assert list(heartbeats()) == []
    assert list(place.iterdir()) == [path]
    path.rmdir()
    os.mkfifo(path)
    assert list(heartbeats()) == []


def test_another_reason_why_nothing_is_taken_is_no_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or an outage in which two errors take turns would be healthy for ever."""
    made: list[Iteration] = []
    seen: list[object] = []

    class Watched(Iteration):
        def __init__(self, source: Source, shared: Shared) -> None:
            super().__init__(source, shared)
            made.append(self)

    def failing(error: Exception) -> Callable[[], None]:
        def fail() -> None:
            seen.append(made[0].progress)
            raise error

        return fail

    monkeypatch.setattr("tests.world.in_memory.Iteration", Watched)
    kinds = (EndpointConnectionError, ConnectTimeoutError)
    errors = [kind(endpoint_url="https://logs.invalid") for kind in islice(cycle(kinds), 9)]
    world = World()
    world.put("February-2024/S3-a.gz", gzip_lines([b"{}"]), NOON_MS)
    faults = {f"put {number}": failing(error) for number, error in enumerate(errors, 1)}
    assert world.run(source_of(), faults).is_good
    assert len(seen) == len(errors)
    assert set(seen) == {seen[0]}
    assert made[0].progress != seen[0]


# The check, as a program.


def test_it_says_what_is_wrong_and_ends_with_a_status(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert health_check.main() == 1
    assert capsys.readouterr().out == "No sign of life for 5 minutes.\n"
    beat = HeartbeatFile(time.monotonic)
    beat.say({}, {})
    assert health_check.main() == 0
    assert capsys.readouterr().out == "healthy\n"
    beat.say({}, {"audit-logs-S3": MOST_FAILURES})
    assert health_check.main() == 1
    assert capsys.readouterr().out == "The last 3 iterations of audit-logs-S3 failed.\n"
    (path,) = place.glob("*.json")
    path.write_bytes(b"{")
    assert health_check.main() == 1


def test_it_is_run_twice_a_minute_so_it_imports_little() -> None:
    script = "import sys, services.daemon.health_check; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    modules = done.stdout.split()
    assert "services.daemon.health" in modules
    assert [name for name in ("boto3", "botocore", "urllib3") if name in modules] == []


# The daemon.


@pytest.fixture
def daemon(installation: Installation) -> Daemon:
    """The daemon, not yet started."""
    return Daemon(installation)


def test_a_daemon_is_well_before_its_first_iteration_and_sick_after_three_failures(
    daemon: Daemon,
) -> None:
    with daemon.start("2026-11-01T05:59:59") as engine:
        first = wait_for_heartbeat(engine, lambda beat: beat.slot_seconds is not None)
        assert ailments([first], first.said_seconds) == []
        daemon.explosion.touch()
        for failures, hour in enumerate(("06", "07", "08"), 1):
            daemon.fire(engine, f"2026-11-01T{hour}:00:00")
            wait_for_heartbeat(engine, lambda beat, count=failures: count in beat.failures.values())  # type: ignore[misc]
        sick = wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 3})
        assert ailments([sick], sick.said_seconds) == [
            "The last 3 iterations of audit-logs-S3 failed."
        ]
        daemon.explosion.unlink()
        daemon.fire(engine, "2026-11-01T09:00:00")
        well = wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        assert ailments([well], well.said_seconds) == []
        engine.stop()
        assert heartbeat_of(engine) is None


def test_a_daemon_that_never_worked_is_sick_until_something_succeeds(
    installation: Installation, daemon: Daemon
) -> None:
    """With wrong keys `docker ps` said healthy for two hours."""
    right = installation.environment["LYVE_SECRET"]
    path = installation.directory / "secret"
    installation.environment["LYVE_SECRET_FILE"] = str(path)
    del installation.environment["LYVE_SECRET"]
    installation.secrets.add(right)
    path.write_text("wrongwrongwrongwrongwrongwrongwrongwrong")
    with daemon.start("2026-11-01T05:59:58") as engine:
        sick = wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 1})
        assert ailments([sick], sick.said_seconds) == ["audit-logs-S3 has failed since the start."]
        path.write_text(right)
        daemon.fire(engine, "2026-11-01T06:00:00")
        well = wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        assert ailments([well], well.said_seconds) == []
        engine.stop()


def test_an_iteration_that_hangs_is_seen_not_to_come_further(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 10)))
    s3_proxy.hold("GET /audit-logs/May-2024/S3-a.gz")
    with installation.start("--once") as engine:
        assert s3_proxy.held.wait(30)
        beat = wait_for_heartbeat(engine, lambda beat: bool(beat.working))
        (work,) = beat.working.values()
        assert beat.slot_seconds is None
        assert ailments([beat], beat.said_seconds) == []
        later = work.progress_seconds + MOST_STANDSTILL_SECONDS + work.settle_seconds + 1
        (found,) = ailments([Heartbeat(later, working=beat.working)], later)
        assert found == "audit-logs-S3 has come no further for 30 minutes."
        s3_proxy.release()
        assert engine.wait().exit_status == 0


def test_an_iteration_that_comes_further_says_so(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    installation.configuration |= {"concurrency": 1, "batch_size": 100}
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 50_000)))
    standin.control(latency_ms=50)
    with installation.start("--once") as engine:
        seen: set[float] = set()

        def has_come_further(beat: Heartbeat) -> bool:
            seen.update(work.progress_seconds for work in beat.working.values())
            return len(seen) > 1

        wait_for_heartbeat(engine, has_come_further)
        assert engine.stop().exit_status == 0
