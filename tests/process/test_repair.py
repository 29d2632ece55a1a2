"""`--repair`: sends what is missing, once, and makes the checkpoint agree."""

import json
from argparse import Namespace
from collections import Counter
from random import Random
from threading import Event as ThreadEvent

import pytest

from services.commands import audit
from services.commands.audit import Auditing
from services.output.status import StatusLog
from services.shipping.shared import Report
from tests.process.test_verify import EXIT_NOT, EXIT_WHOLE, FAST, STREAM, lines, put, report, tamper
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
    Outcome,
    RunningEngine,
    empty,
    keys_of,
)
from tests.standin.cloudwatch_process import CloudWatchStandin, Event
from tests.world.audit_events import gzip_lines
from tests.world.in_memory import source_of
from tests.world.in_memory_time import VirtualTime
from utils.errors import ForwarderError
from utils.model import Clock, Start

STATE = f"integration-state/{BUCKET}-S3.json"


def every_third_is_gone(events: list[Event]) -> list[Event]:
    return [one for place, one in enumerate(events) if place % 3]


def fill(installation: Installation) -> Counter[str]:
    """Puts objects, ships them, and returns what is to be stored."""
    content = {"a": lines(300, "a"), "b": [*lines(50, "b"), b"\xff", b"", b"no time"]}
    put(installation, **content)
    assert installation.once().exit_status == 0
    stored = Counter(installation.messages())
    assert stored.total() == 351
    return stored


def repair(installation: Installation) -> Outcome:
    return installation.run("--repair", *FAST)


def test_what_is_missing_is_sent_once(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    due = fill(installation)
    tamper(standin, every_third_is_gone)
    outcome = repair(installation)
    assert outcome.exit_status == EXIT_WHOLE, outcome
    assert Counter(installation.messages()) == due
    (line,) = (line for line in outcome.lines if line.text.startswith("Done repairing"))
    assert (line.level, line.text) == ("INFO", "Done repairing 117 logs")
    assert line.figures("found", "missing") == {"found": 351, "missing": 0}
    assert report(installation)["repaired"] == 117
    assert "Done repairing 117 logs" in [*installation.status_objects().values()][-1]
    assert installation.latest()["message"] == "Done repairing 117 logs"
    assert installation.once().done.figures("objects", "accepted") == {"objects": 0, "accepted": 0}
    assert Counter(installation.messages()) == due


@pytest.mark.parametrize("state", [None, b"{"], ids=["lost", "damaged"])
def test_a_lost_checkpoint_is_repaired_by_one_command(
    installation: Installation, state: bytes | None
) -> None:
    due = fill(installation)
    if state is None:
        installation.s3.delete_object(Bucket=OUTPUT_BUCKET, Key=STATE)
    else:
        installation.put(STATE, state, OUTPUT_BUCKET)
    assert installation.once().exit_status == 1
    assert repair(installation).exit_status == EXIT_WHOLE
    assert installation.once().done.figures("accepted") == {"accepted": 0}
    assert Counter(installation.messages()) == due
    put(installation, c=lines(7, "c"))
    assert installation.once().done.figures("accepted") == {"accepted": 7}


def test_a_daemon_at_work_is_told_to_be_stopped(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    put(installation, a=lines(3000, "a"))
    installation.configuration |= {"settle_seconds": 2, "batch_size": 1, "concurrency": 1}
    standin.control(latency_ms=20)
    with installation.start("--once") as daemon:
        daemon.wait_until_said("")
        while "PutLogEvents" not in standin.calls().operations:
            assert daemon.process.poll() is None
        outcome = repair(installation)
        assert outcome.exit_status == EXIT_NOT
        (error,) = outcome.errors
        assert error.text.startswith(
            "A daemon is at work on this source: it changes the checkpoint"
        )
        assert "Stop it, and run --repair again." in error.text
        standin.control(latency_ms=0)
        assert daemon.wait().exit_status == 0
    assert Counter(installation.messages()) == Counter(line.decode() for line in lines(3000, "a"))


def kill_at_a_put(installation: Installation, standin: CloudWatchStandin, puts: int) -> bool:
    """Repairs, and kills that after so many puts; returns whether it came so far."""
    before = standin.calls().operations["PutLogEvents"]
    with installation.start("--repair", *FAST) as engine:
        while standin.calls().operations["PutLogEvents"] - before < puts:
            if engine.process.poll() is not None:
                return False
        _kill(engine)
    return True


def _kill(engine: RunningEngine) -> None:
    engine.process.kill()
    engine.process.wait()


def test_what_ended_it_is_told_even_if_its_status_lines_are_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One failure must not stand in front of the other: a person has to know both."""

    class Failing:
        def __init__(self, _source: object, _auditor: object, report: Report, _: object) -> None:
            self._lines = report.status

        def run(self, _: Start) -> None:
            self._lines.write("WARN", "Something is in doubt.", {})
            raise ForwarderError("Lines are still missing", "3 of them")

    def fail(*_: object) -> None:
        raise ForwarderError("The status lines can't be written")

    monkeypatch.setattr(audit, "Repair", Failing)
    monkeypatch.setattr(audit, "s3_client", lambda _: None)
    monkeypatch.setattr(StatusLog, "upload", fail)
    time = VirtualTime()
    options = Namespace(first=None, last=None, rate=10.0)
    auditing = Auditing(options, Clock(time.machine_now, time.seconds), ThreadEvent())
    assert not auditing.repair([source_of()], Start("owner", 0, 0))
    told = capsys.readouterr().err
    assert "ERROR Lines are still missing (3 of them)" in told
    assert "ERROR The status lines can't be written" in told


@pytest.mark.parametrize("seed", [pytest.param(n, marks=pytest.mark.soak) for n in range(20)])
def test_killed_as_a_process(
    installation: Installation, standin: CloudWatchStandin, seed: int
) -> None:
    random = Random(seed)
    due = fill(installation)
    installation.configuration["batch_size"] = 5
    standin.control(latency_ms=5, visible_after_ms=200, seed=seed)
    tamper(standin, lambda events: [one for one in events if random.random() > 0.5])
    for _ in range(random.randint(1, 3)):
        kill_at_a_put(installation, standin, random.randint(1, 20))
    assert repair(installation).exit_status == EXIT_WHOLE
    assert Counter(installation.messages()) == due
    assert installation.once().done.figures("accepted") == {"accepted": 0}
    assert json.loads(installation.output(STATE))["running"] is False
    assert STREAM
    assert LOG_GROUP


def test_a_first_start_into_a_stream_that_holds_events_names_the_way_on(
    installation: Installation,
) -> None:
    """All that the output bucket knew is gone: to ship from the beginning would double it."""
    due = fill(installation)
    for key in installation.output_keys():
        if key.startswith(("integration-state/", "integration-logs/latest-")):
            installation.s3.delete_object(Bucket=OUTPUT_BUCKET, Key=key)
    outcome = installation.once()
    assert outcome.exit_status == 1
    (error,) = outcome.errors
    assert "holds events (not found). Run --repair" in error.text
    assert Counter(installation.messages()) == due
    assert repair(installation).exit_status == EXIT_WHOLE
    assert installation.once().done.figures("accepted") == {"accepted": 0}
    assert Counter(installation.messages()) == due


def test_a_bucket_that_moved_to_another_name_is_repaired_by_one_command(
    installation: Installation,
) -> None:
    """Its source has another name, and so another checkpoint and another quarantine."""
    due = fill(installation)
    moved = f"{BUCKET}-moved"
    installation.s3.create_bucket(Bucket=moved)
    try:
        for key in keys_of(installation.s3, BUCKET):
            content = installation.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            installation.put(key, content, moved)
        installation.configuration |= {"bucket_name": moved, "log_stream": STREAM}
        outcome = installation.once()
        assert outcome.exit_status == 1
        assert "Run --repair" in outcome.errors[0].text
        assert installation.run("--repair").exit_status == EXIT_WHOLE
        assert installation.once().done.figures("accepted") == {"accepted": 0}
        assert Counter(installation.messages()) == due
        assert len(installation.quarantine(f"{moved}-S3")) == 1
    finally:
        empty(installation.s3, moved)
        installation.s3.delete_bucket(Bucket=moved)


def test_sources_that_share_a_stream_each_have_a_first_start(installation: Installation) -> None:
    """What one of them has shipped says nothing of the other."""
    installation.configuration |= {"log_type": ["S3", "IAM"], "log_stream": "all"}
    put(installation, a=lines(3, "a"))
    installation.put("May-2024/IAM-a.gz", gzip_lines([b'{"date": "2026-01-01T00:00:00Z"}']))
    outcome = installation.once()
    assert outcome.exit_status == 0, outcome


@pytest.mark.parametrize("after", [None, "1/1", "1/2"])
def test_partitions_become_one_and_are_shared_again(
    installation: Installation, standin: CloudWatchStandin, after: str | None
) -> None:
    installation.environment["SHARD"] = "1/1"
    for number in range(6):
        put(installation, **{f"a{number}": lines(40, f"a{number}")})
    assert installation.once().exit_status == 0
    streams = [f"{STREAM}/p{number:02}" for number in range(24)]
    held = [one for one in streams if _stored(standin, one)]
    assert len(held) > 1
    standin.rewrite(LOG_GROUP, held[0], [])
    due = Counter(line.decode() for number in range(6) for line in lines(40, f"a{number}"))
    del installation.environment["SHARD"]
    assert installation.once().exit_status == 1
    assert repair(installation).exit_status == EXIT_WHOLE
    if after:
        installation.environment["SHARD"] = after
    assert installation.once().exit_status == 0
    assert Counter(m for one in [STREAM, *streams] for m in _stored(standin, one)) == due
    assert installation.run("--verify", *FAST).exit_status == EXIT_WHOLE


def _stored(standin: CloudWatchStandin, stream: str) -> list[str]:
    try:
        return [event.message for event in standin.events(LOG_GROUP, stream)]
    except ValueError:
        return []
