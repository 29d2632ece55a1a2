"""`--verify`: what the bucket and the log streams do not have in common, found to the line."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from tests.servers.installation import BUCKET, LOG_GROUP, Installation, Outcome, eventually
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin, Event
from tests.standin.metrics import points, rings
from tests.standin.template import resources
from tests.world.audit_events import gzip_lines

STREAM = f"lyve-cloud/{BUCKET}/S3"
NOW = datetime.now(UTC)
FIRST, SECOND = "May-2024/S3-a.gz", "May-2024/S3-b.gz"
# As often as services.aws.clients lets it, at most.
BOTOCORE_TRIES = 5
# The stand-in has no quota.
FAST = ("--rate", "1000")
EXIT_WHOLE, EXIT_NOT, EXIT_CONFIGURATION = 0, 1, 2


def lines(count: int, name: str, ago: timedelta = timedelta(hours=1)) -> list[bytes]:
    """Returns events a second apart from one another."""
    times = [NOW - ago + timedelta(seconds=number) for number in range(count)]
    return [
        json.dumps({"auditEntry": {"time": time.isoformat(), "id": f"{name}-{number}"}}).encode()
        for number, time in enumerate(times, start=1)
    ]


def put(installation: Installation, **objects: list[bytes]) -> None:
    for name, content in objects.items():
        installation.put(f"May-2024/S3-{name}.gz", gzip_lines(content))


def tamper(standin: CloudWatchStandin, change: Callable[[list[Event]], Sequence[Event]]) -> None:
    """Changes what the stream holds behind the program's back."""
    standin.rewrite(LOG_GROUP, STREAM, change(list(standin.events(LOG_GROUP, STREAM))))


def report(installation: Installation) -> dict[str, object]:
    """Returns the last report."""
    prefix = f"integration-verify/{BUCKET}-S3/"
    *_, key = (key for key in installation.output_keys() if key.startswith(prefix))
    document: dict[str, object] = json.loads(installation.output(key))
    return document


def verify(installation: Installation, *arguments: str) -> tuple[Outcome, dict[str, object]]:
    outcome = installation.run("--verify", *FAST, *arguments)
    return outcome, report(installation)


def figures(document: dict[str, object], *names: str) -> tuple[object, ...]:
    return tuple(document[name] for name in names)


def differences(document: dict[str, object]) -> list[tuple[str, str, list[int], int]]:
    """Returns object, kind, numbers and count of each."""
    found = document["differences"]
    assert isinstance(found, list)
    return [(one["object"], one["kind"], one["lines"], one["count"]) for one in found]


def test_all_is_there(installation: Installation, standin: CloudWatchStandin) -> None:
    put(installation, a=[*lines(20, "a"), b"", b"  "], b=[*lines(5, "b"), b"\xff", b"no time"])
    assert installation.once().exit_status == 0
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_WHOLE, outcome
    assert figures(document, "objects", "lines", "found", "missing", "doubled", "foreign") == (
        *(2, 29, 26, 0, 0, 0),
    )
    assert figures(document, "quarantined", "blank", "expired", "restamped") == (1, 2, 0, 0)
    (line,) = outcome.lines
    assert (line.level, line.text) == ("INFO", "Verified 26 logs")
    assert outcome.stdout.startswith(f"{BUCKET}-S3: Whole: CloudWatch holds each of 26 logs once.")
    assert len(outcome.stdout.splitlines()) <= 24
    assert "PutLogEvents" not in {*standin.calls().operations} - {"PutLogEvents"}


def test_lines_that_are_gone_are_found_to_the_line(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    put(installation, a=lines(20, "a"), b=lines(5, "b", timedelta(hours=3)))
    assert installation.once().exit_status == 0
    gone = ('"a-3"', '"a-7"', '"b-5"')
    tamper(standin, lambda all_: [one for one in all_ if not any(x in one.message for x in gone)])
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_NOT
    assert differences(document) == [(FIRST, "missing", [3, 7], 2), (SECOND, "missing", [5], 1)]
    (line,) = outcome.lines
    assert (line.level, line.text) == (
        "WARN",
        "3 logs are missing. `--repair` sends what is missing",
    )
    assert "Not whole: 3 logs are missing." in outcome.stdout.splitlines()[0]


def test_events_that_are_there_twice_are_found_to_the_line(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    put(installation, a=lines(20, "a"))
    assert installation.once().exit_status == 0
    tamper(standin, lambda all_: [*all_, *(one for one in all_ if '"a-4"' in one.message)] * 1)
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_NOT
    (line,) = outcome.lines
    assert (line.level, line.text) == (
        "WARN",
        "1 logs are stored more than once. CloudWatch has no call to remove an event",
    )
    assert differences(document) == [(FIRST, "doubled", [4], 1)]
    assert figures(document, "missing", "doubled", "found") == (0, 1, 20)


@pytest.mark.parametrize("option", ["--verify", "--repair"])
def test_a_cause_of_several_sources_is_told_once(option: str, installation: Installation) -> None:
    installation.configuration["log_group"] = "gone"
    installation.configuration["log_type"] = ["S3", "IAM"]
    outcome = installation.run(option)
    assert outcome.exit_status == EXIT_NOT
    (line,) = outcome.lines
    assert (line.level, line.pairs["source"]) == ("ERROR", f"{BUCKET}-S3, {BUCKET}-IAM")
    assert "(ResourceNotFoundException). Create the log group gone in" in line.text


def test_foreign_and_wrongly_timed_events_are_counted(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    old = lines(4, "old", timedelta(days=30))
    put(installation, a=lines(20, "a"), b=old)
    assert installation.once().exit_status == 0

    def change(all_: list[Event]) -> list[Event]:
        moved = next(one for one in all_ if '"a-1"' in one.message)
        return [
            *(one for one in all_ if one is not moved),
            Event(moved.timestamp - 5000, moved.message, moved.ingestion_time),
            Event(moved.timestamp, "of nobody", moved.ingestion_time - 1000),
        ]

    tamper(standin, change)
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_WHOLE
    assert figures(document, "found", "foreign", "restamped", "wrong_time") == (24, 1, 4, 1)


def verified(installation: Installation) -> dict[str, float]:
    """Returns the last figures in the metrics of the source, and what is there of the group."""
    events = installation.cloudwatch.events(LOG_GROUP, f"{STREAM}/integration")
    *_, last = (event.message for event in events if '"verified"' in event.message)
    held = points([last])
    assert {one.dimensions for one in held if one.name != "differences"} == {
        frozenset({("source", f"{BUCKET}-S3")})
    }
    return {one.name: one.value for one in held}


def test_the_figures_are_in_the_metrics_and_ring_an_alarm(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """And they are left out of what is compared, and doubt of them changes no result."""
    installation.configuration["metrics"] = True
    put(installation, a=lines(20, "a"))
    assert installation.once().exit_status == 0
    tamper(standin, lambda all_: [*all_[2:], all_[5]])
    assert installation.run("--verify", *FAST).exit_status == EXIT_NOT
    (alarm,) = (
        one
        for one in resources("AWS::CloudWatch::Alarm").values()
        if one["MetricName"] == "differences"
    )

    def ringing() -> bool:
        events = installation.cloudwatch.events(LOG_GROUP, f"{STREAM}/integration")
        hour_ms = 3_600_000
        held = [one._replace(time_ms=0) for one in points(event.message for event in events)]
        return rings(alarm, held, hour_ms)

    found = {"verified": 18, "missing": 2, "doubled": 1, "differences": 3}
    assert verified(installation) == found | {"foreign": 0, "expired": 0, "unreadable": 0}
    assert ringing()
    assert installation.run("--repair", *FAST).exit_status == EXIT_NOT
    assert verified(installation)["missing"] == 0
    outcome, document = verify(installation)
    assert figures(document, "found", "missing", "doubled", "foreign") == (20, 0, 1, 0)
    assert outcome.errors == []


@pytest.mark.parametrize("trouble", ["hung_before", "unavailable_before", "denied"])
def test_metrics_that_cannot_be_put_change_nothing(
    installation: Installation, standin: CloudWatchStandin, trouble: str
) -> None:
    put(installation, a=lines(3, "a"))
    assert installation.once().exit_status == 0
    installation.configuration["metrics"] = True
    if trouble == "denied":
        standin.control(denied=["PutLogEvents", "CreateLogStream"])
    else:
        standin.control(probabilities={trouble: 1.0})
    outcome, _ = verify(installation)
    assert (outcome.exit_status, outcome.errors) == (EXIT_WHOLE, [])


def test_a_cloudwatch_that_throttles_is_asked_again(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """For longer than boto3 does: who verifies at night has time."""
    put(installation, a=lines(3, "a"))
    assert installation.once().exit_status == 0

    def asked() -> int:
        return standin.calls().operations.get("DescribeLogStreams", 0)

    before = asked()
    standin.control(fault_operations=["DescribeLogStreams"], probabilities={"throttled": 1.0})
    with installation.start("--verify") as engine:
        eventually(
            lambda: asked() > before + BOTOCORE_TRIES,
            "another try",
            engine.process,
        )
        standin.control(probabilities={})
        assert engine.wait().exit_status == EXIT_WHOLE


def test_no_state_object_is_read(
    installation: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    put(installation, a=lines(3, "a"))
    assert installation.once().exit_status == 0
    tamper(standin, lambda all_: all_[1:])
    before = len(s3_proxy.requests)
    verify(installation)
    asked = s3_proxy.requests[before:]
    assert asked
    assert not [one for one in asked if "integration-state" in one or "integration-logs" in one]


def test_what_is_written_since_the_last_iteration_is_left_out(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    # Not in the same second as the other: the store dates them so.
    s3_proxy.dates[FIRST] = NOW - timedelta(seconds=5)
    put(installation, a=lines(3, "a"))
    assert installation.once().exit_status == 0
    put(installation, b=lines(4, "b"))
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_WHOLE, outcome
    assert figures(document, "left_out", "left_out_objects", "missing", "found") == (4, 1, 0, 3)


def test_what_a_daemon_is_sending_is_left_out_from_its_first_event_on(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """However soon the second look is, nothing is called missing that is on its way."""
    for number in range(4):
        put(installation, **{f"a{number}": lines(150, f"a{number}", timedelta(hours=5 - number))})
    installation.configuration |= {"batch_size": 5, "concurrency": 1, "settle_seconds": 0}
    standin.control(latency_ms=50, visible_after_ms=100)
    with installation.start("--once") as daemon:
        eventually(lambda: _held(standin) > 0, "a first event", daemon.process)
        outcome, document = verify(installation, "--rate", "100")
        assert outcome.exit_status == EXIT_WHOLE, outcome
        assert document["left_out"] != 0
        standin.control(latency_ms=0)
        assert daemon.wait().exit_status == 0
    _, document = verify(installation)
    assert figures(document, "found", "left_out") == (600, 0)


def _held(standin: CloudWatchStandin) -> int:
    try:
        return len([*standin.events(LOG_GROUP, STREAM)])
    except ValueError:
        return 0


def test_a_stream_that_is_gone(installation: Installation) -> None:
    put(installation, a=lines(3, "a"))
    assert installation.once().exit_status == 0
    installation.logs.delete_log_stream(logGroupName=LOG_GROUP, logStreamName=STREAM)
    outcome, document = verify(installation)
    assert outcome.exit_status == EXIT_NOT
    assert differences(document) == [(FIRST, "missing", [1, 2, 3], 3)]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--verify", "--from", "2024-01-05"), "--from is"),
        (("--verify", "--from", "05/01/2024", "--to", "04/01/2024"), "--to lies before --from"),
        (
            ("--verify", "--from", "05/01/2999"),
            '--from is "05/01/2999", which is still to come (to',
        ),
        (("--from", "05/01/2024"), "--from is of no use without --verify"),
        (("--verify", "--rate", "0"), "--rate is 0"),
    ],
)
def test_an_option_that_is_wrong_ends_it(
    installation: Installation, arguments: tuple[str, ...], text: str
) -> None:
    outcome = installation.run(*arguments)
    assert outcome.exit_status == EXIT_CONFIGURATION
    assert text in outcome.stderr
