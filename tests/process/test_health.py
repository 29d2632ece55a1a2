"""The health check: true while iterations end well and come further, by what a daemon says."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from services.daemon import health as health_service
from services.daemon import health_check
from services.daemon.health import (
    MOST_FAILURES,
    MOST_SILENCE_SECONDS,
    MOST_STANDSTILL_SECONDS,
    HeartbeatFile,
    ailments,
    heartbeat_path,
)
from services.shipping.iteration import Iteration
from services.shipping.shared import Shared
from tests.process.test_daemon import Daemon
from tests.servers.heartbeats import said_of_health, wait_for_heartbeat
from tests.servers.installation import REPOSITORY, Installation
from tests.world.audit_events import gzip_lines
from tests.world.in_memory import World, source_of
from tests.world.in_memory_time import NOON_MS
from utils.config.settings import Source

HOUR = 3600.0
NO_SIGN = ["No sign of life for 5 minutes."]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own in the place of the memory that all programs share."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(health_service, "_IN_MEMORY", folder)
    return folder


def found() -> list[str]:
    """Returns what the health check finds."""
    return ailments(time.time())


class Told:
    """A health file by a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.file = HeartbeatFile(lambda: self.now)

    def say(
        self,
        working: Mapping[str, tuple[object, float]] | None = None,
        failures: Mapping[str, int] | None = None,
        unproven: tuple[str, ...] = (),
        later_seconds: float = 10.0,
    ) -> list[str]:
        """Says it a while later, and returns what the health check finds then."""
        self.now += later_seconds
        self.file.say(working or {}, failures or {}, unproven)
        return found()


# The rule.


def test_a_daemon_that_waits_is_well_and_one_that_says_nothing_is_not() -> None:
    assert found() == NO_SIGN
    assert Told().say() == []


@given(steps=st.lists(st.floats(1, MOST_STANDSTILL_SECONDS), max_size=20))
def test_an_iteration_that_comes_further_is_well_however_long_it_takes(steps: list[float]) -> None:
    told = Told()
    for number, later_seconds in enumerate(steps):
        assert told.say({"a": (number, 0.0)}, later_seconds=later_seconds) == []


@given(settle=st.floats(0, 3600), over=st.floats(1, 10**6))
def test_one_that_stands_still_for_longer_than_it_may_is_not(settle: float, over: float) -> None:
    told = Told()
    assert told.say({"a": (1, settle), "b": (1, settle)}) == []
    most = MOST_STANDSTILL_SECONDS + settle
    assert told.say({"a": (1, settle), "b": (2, settle)}, later_seconds=most) == []
    (text,) = told.say({"a": (1, settle), "b": (3, settle)}, later_seconds=over)
    assert text.startswith("a has made no progress for ")


def test_the_next_iteration_of_a_source_is_another_one() -> None:
    told = Told()
    told.say({"a": (1, 0.0)})
    told.say({}, later_seconds=HOUR)
    assert told.say({"a": (1, 0.0)}, later_seconds=HOUR) == []


@pytest.mark.parametrize("failures", range(6))
def test_three_failures_are_told(failures: int) -> None:
    told = f"The last {failures} iterations of a failed."
    said = Told().say(failures={"a": failures, "b": 0})
    assert said == ([told] if failures >= MOST_FAILURES else [])


def test_a_source_that_has_only_failed_since_the_start_is_told_at_once() -> None:
    told = Told()
    failures = {"a": 1, "b": 1, "c": 0}
    assert told.say(failures=failures, unproven=("a", "c")) == ["a has failed since the start."]
    assert told.say(failures={"a": 0, "b": 1, "c": 0}, unproven=("c",)) == []


def test_what_is_wrong_and_what_is_well_again_is_said_at_once() -> None:
    told = Told()
    told.say()
    assert told.say(failures={"a": 3}, later_seconds=0.0) != []
    assert told.say(later_seconds=0.0) == []


@given(now=st.floats(0, 10**7) | st.floats(10**6 - 600, 10**6 + 600))
def test_a_file_counts_only_while_it_is_fresh(now: float) -> None:
    """One of the future is of a time before the clock was set, or of another machine."""
    told = Told()
    told.say()
    os.utime(heartbeat_path(os.getpid()), (10**6, 10**6))
    is_fresh = 0 <= now - 10**6 <= MOST_SILENCE_SECONDS
    assert (ailments(now) == []) == is_fresh
    assert told.say() == []


# The file.


def test_the_end_takes_the_file_away(place: Path) -> None:
    told = Told()
    told.say()
    assert [*place.iterdir()] == [heartbeat_path(os.getpid())]
    told.file.close()
    assert [*place.iterdir()] == []


def test_a_place_that_can_not_be_written_stops_nothing(place: Path) -> None:
    told = Told()
    place.rmdir()
    assert told.say() == NO_SIGN
    told.file.close()


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """In a folder that others may write to, it would overwrite a file of this program's."""
    other = tmp_path / "config.json"
    other.write_text("")
    path = heartbeat_path(os.getpid())
    path.symlink_to(other)
    assert found() == NO_SIGN
    assert Told().say(failures={"a": 3}) == ["The last 3 iterations of a failed."]
    assert other.read_text() == ""
    assert path.is_file()
    assert not path.is_symlink()


def test_what_is_no_file_in_the_place_of_the_file_stops_nothing(place: Path) -> None:
    """A pipe would be waited for without end."""
    path = heartbeat_path(os.getpid())
    path.mkdir()
    assert Told().say() == NO_SIGN
    assert [*place.iterdir()] == [path]
    path.rmdir()
    os.mkfifo(path)
    assert found() == NO_SIGN


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


def test_it_says_what_is_wrong_and_ends_with_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert health_check.main() == 1
    assert capsys.readouterr().out == "No sign of life for 5 minutes.\n"
    told = Told()
    told.say()
    assert health_check.main() == 0
    assert capsys.readouterr().out == "healthy\n"
    told.say(failures={"audit-logs-S3": MOST_FAILURES})
    assert health_check.main() == 1
    assert capsys.readouterr().out == "The last 3 iterations of audit-logs-S3 failed.\n"


def test_it_is_run_twice_a_minute_so_it_imports_little() -> None:
    script = "import sys, services.daemon.health_check; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    modules = done.stdout.split()
    assert "services.daemon.health" in modules
    assert [name for name in ("boto3", "botocore", "msgspec", "urllib3") if name in modules] == []


# The daemon.


@pytest.fixture
def daemon(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """The daemon, not yet started."""
    monkeypatch.undo()  # it writes where all programs do
    return Daemon(installation)


def test_a_daemon_is_well_before_its_first_iteration_and_sick_after_three_failures(
    daemon: Daemon,
) -> None:
    with daemon.start("2026-11-01T05:59:59") as engine:
        wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        assert said_of_health(engine) == ""
        daemon.explosion.touch()
        for failures, hour in enumerate(("06", "07", "08"), 1):
            daemon.fire(engine, f"2026-11-01T{hour}:00:00")
            wait_for_heartbeat(engine, lambda beat, count=failures: count in beat.failures.values())  # type: ignore[misc]
        assert said_of_health(engine) == "The last 3 iterations of audit-logs-S3 failed."
        daemon.explosion.unlink()
        daemon.fire(engine, "2026-11-01T09:00:00")
        wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        assert said_of_health(engine) == ""
        engine.stop()
        assert not heartbeat_path(engine.process.pid).exists()


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
        wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 1})
        assert said_of_health(engine) == "audit-logs-S3 has failed since the start."
        path.write_text(right)
        daemon.fire(engine, "2026-11-01T06:00:00")
        wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        assert said_of_health(engine) == ""
        engine.stop()
