"""What an operator meets first: each message's advice is followed here, and works."""

import re
import shlex
from datetime import date
from pathlib import Path

import boto3
import pytest

from services.aws.errors import LYVE_CLOUD
from services.commands.settings import read_sources
from services.commands.tries import FirstAnswer
from tests.process.test_daemon import Daemon
from tests.servers.installation import (
    AWS_REGION,
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
)
from tests.world.audit_events import gzip_lines
from utils.config.environment import VARIABLES
from utils.errors import ConfigurationError
from utils.report.status import span

EVENTS = [b'{"number": %d}' % number for number in range(5)]
STATE = f"s3://{OUTPUT_BUCKET}/integration-state/{BUCKET}-S3.json"
LATEST = f"s3://{OUTPUT_BUCKET}/integration-logs/latest-{BUCKET}-S3.json"


# A checkpoint that is for something else.


@pytest.mark.parametrize("has_objects", [True, False])
def test_a_wrong_log_group_can_be_corrected_after_a_first_start(
    installation: Installation, *, has_objects: bool
) -> None:
    """The message asks for the correction: it must not end in another error."""
    if has_objects:
        installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.configuration["log_group"] = "lyve-cloud-adit-logs"
    first = installation.once()
    assert (first.exit_status, len(first.errors)) == (1, 1)
    assert "correct log_group" in first.errors[0].text
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.configuration["log_group"] = LOG_GROUP
    outcome = installation.once()
    assert (outcome.exit_status, outcome.errors) == (0, [])
    assert len(installation.messages()) == len(EVENTS)
    assert installation.once().done.text == "Done sending 0 logs"


def test_a_wrong_region_can_be_corrected_after_a_first_start(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.environment["AWS_REGION"] = "eu-central-1"
    assert installation.once().exit_status == 1
    installation.environment["AWS_REGION"] = AWS_REGION
    assert installation.once().done.text == f"Done sending {len(EVENTS)} logs"


def test_another_stream_after_something_was_shipped_is_told_with_both_ways_on(
    installation: Installation,
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.once()
    installation.configuration["log_stream"] = "new"
    outcome = installation.once()
    (error,) = outcome.errors
    assert outcome.exit_status == 1
    assert "(log_stream was 'lyve-cloud/audit-logs/S3', is 'new')" in error.text
    assert "leave out of the new log stream all that is in the old one" in error.text
    assert "Set log_stream back; or start anew: " in error.text
    assert installation.run("--check").exit_status == 1
    # The one way.
    del installation.configuration["log_stream"]
    assert installation.once().exit_status == 0
    # The other one.
    installation.configuration["log_stream"] = "new"
    follow(command_in(error.text), installation)
    assert installation.once().done.text == f"Done sending {len(EVENTS)} logs"
    kept = {f"s3://{OUTPUT_BUCKET}/{key}" for key in installation.output_keys()}
    assert {f"{STATE}.old", f"{LATEST}.old", STATE, LATEST} <= kept


def test_another_region_after_something_was_shipped_names_the_variable(
    installation: Installation,
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.once()
    installation.environment["AWS_REGION"] = "eu-central-1"
    (error,) = installation.once().errors
    assert f"(AWS_REGION was '{AWS_REGION}', is 'eu-central-1')" in error.text
    assert "Set AWS_REGION back" in error.text
    assert "config.json" not in error.text
    installation.environment["AWS_REGION"] = AWS_REGION
    assert installation.once().exit_status == 0


# A configuration that can't be read.


def test_a_folder_in_the_place_of_the_configuration_is_told_in_words(
    installation: Installation,
) -> None:
    """Docker makes one for a file that is not there."""
    folder = installation.directory / "mounted.json"
    folder.mkdir()
    outcome = installation.run("--once", "--config", str(folder))
    (error,) = outcome.errors
    assert outcome.exit_status == 2
    assert f"The configuration {folder} can't be read (Is a directory)." in error.text
    assert "mounted.json is a folder. docker run -v makes one" in error.text
    folder.rmdir()
    folder.write_text(installation.write_configuration().read_text())
    assert installation.run("--once", "--config", str(folder)).exit_status == 0


def test_a_configuration_that_this_user_may_not_read_says_how_to_let_him(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root reads everything, so the refusal is made here."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigurationError) as caught:
        read_sources(tmp_path / "other.json", date(2026, 11, 27))
    (problem,) = caught.value.problems
    assert "(Permission denied)" in str(problem)
    assert "65532: chmod o+r other.json" in str(problem)
    assert "config.json" not in str(problem)


def test_a_profile_that_is_missing_stops_nothing_where_keys_are_given(
    installation: Installation,
) -> None:
    installation.environment["AWS_PROFILE"] = "left-over"
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    assert installation.once().done.text == f"Done sending {len(EVENTS)} logs"
    assert installation.run("--check").exit_status == 0
    del installation.environment["AWS_ACCESS"], installation.environment["AWS_SECRET"]
    (error,) = installation.once().errors
    assert "AWS_PROFILE" in error.text


# Without TLS.


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://s3.example.com:8333", "warning"),
        ("https://s3.example.com", "passed"),
        ("http://127.0.0.1:9000", "passed"),
        ("http://localhost", "passed"),
        ("http://[::1]:9000", "passed"),
        ("http://localhost.example.com", "warning"),
    ],
)
def test_the_check_warns_where_keys_and_logs_travel_readable(url: str, outcome: str) -> None:
    finding = FirstAnswer(dict).reached(url, LYVE_CLOUD)
    assert finding.outcome == outcome
    assert ("travel readable" in finding.detail) == (outcome == "warning")
    assert finding.fix in {"", "Use https:// in LYVE_ENDPOINT"}


# The help.


def test_the_help_has_the_variables_the_exit_statuses_and_an_example(
    installation: Installation,
) -> None:
    outcome = installation.run("--help")
    assert (outcome.exit_status, outcome.stderr) == (0, "")
    named = {*re.findall(r"[A-Z]+_[A-Z_]+", outcome.stdout)}
    assert {name for name in VARIABLES if not name.endswith("_FILE")} <= named
    assert re.findall(r"^  (\d)  ", outcome.stdout, re.MULTILINE) == ["0", "1", "2"]
    (example,) = re.findall(r"^  docker run .*$", outcome.stdout, re.MULTILINE)
    options = example.partition(" logscollector ")[2].split()
    assert installation.run(*options).exit_status == 0
    assert max(map(len, outcome.stdout.splitlines())) <= 100


# A good start.


def test_a_good_start_says_what_ships_where_since_when_and_when_it_begins(
    installation: Installation,
) -> None:
    """It was silent: nobody could tell a good start from one that hangs."""
    daemon = Daemon(installation)
    installation.configuration |= {"log_type": ["S3", "IAM"], "mode": "29/02/2024"}
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    with daemon.start("2026-11-01T05:59:58") as engine:
        daemon.fire(engine, "2026-11-01T06:00:00")
        engine.wait_until_said("The next iteration begins at 07:00 UTC.")
        outcome = engine.stop()
    *starts, first, _, _, then = outcome.lines
    place = f"from {BUCKET} to {LOG_GROUP} in {AWS_REGION}"
    since = "everything written since 29 February 2024, 00:00 UTC"
    assert {(line.pairs["source"], line.text) for line in starts} == {
        (f"{BUCKET}-{name}", f"Ready to ship {name} logs {place}: {since}. Objects due now: {due}.")
        for name, due in (("S3", 1), ("IAM", 0))
    }
    assert [first.text, then.text] == [
        f"The next iteration begins at {hour} UTC." for hour in ("06:00", "07:00")
    ]


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "words"),
    [
        (0, None, "everything ever written"),
        (1_794_441_600_000, None, "everything written since 12 November 2026, 00:00 UTC"),
        (1_794_445_261_999, None, "everything written since 12 November 2026, 01:01 UTC"),
        (0, 1_794_441_600_000, "everything written before 12 November 2026, 00:00 UTC"),
        (
            1_794_441_600_000,
            1_794_528_000_000,
            "everything written since 12 November 2026, 00:00 UTC and before 13 November 2026, "
            "00:00 UTC",
        ),
        (
            1_794_445_261_999,
            1_794_441_600_000,
            "nothing: it begins on 12 November 2026, 01:01 UTC, and ends before 12 November 2026, "
            "00:00 UTC",
        ),
    ],
)
def test_what_is_covered_is_said_in_words(since_ms: int, until_ms: int | None, words: str) -> None:
    assert span(since_ms, until_ms) == words


def command_in(text: str) -> str:
    """Returns the command that a message wants to be pasted."""
    (command,) = re.findall("`(aws [^`]*)`", text)
    return str(command)


def follow(command: str, installation: Installation) -> None:
    """Does what the command line of AWS would do with it."""
    for part in command.split(" && "):
        aws, s3, verb, source, target, option, endpoint_url = shlex.split(part)
        assert (aws, s3, verb, option) == ("aws", "s3", "mv", "--endpoint-url")
        client = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=installation.environment["LYVE_REGION"],
            aws_access_key_id=installation.environment["LYVE_ACCESS"],
            aws_secret_access_key=installation.environment["LYVE_SECRET"],
        )
        bucket, _, key = source.removeprefix("s3://").partition("/")
        new_bucket, _, new_key = target.removeprefix("s3://").partition("/")
        content = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        client.put_object(Bucket=new_bucket, Key=new_key, Body=content)
        client.delete_object(Bucket=bucket, Key=key)
