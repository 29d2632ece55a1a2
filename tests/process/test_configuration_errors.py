"""What is wrong is said once, with its code and what to do, and no secret is shown."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import pytest

from tests.servers.installation import BUCKET, LOG_GROUP, Installation, Outcome, keys_of
from tests.standin.cloudwatch_client import ACCESS_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

EVENTS = [b'{"number": %d}' % number for number in range(5)]
UNKNOWN_KEY = "AKIAUNKNOWNKEYEXAMPLE"
WRONG_SECRET = "wrongwrongwrongwrongwrongwrongwrongwrong"


def problems(outcome: Outcome) -> list[str]:
    """Returns what a run says that can't even begin."""
    assert outcome.exit_status == 2
    assert outcome.stdout == ""
    assert {line.level for line in outcome.lines} == {"ERROR"}
    return [line.text for line in outcome.lines]


# The configuration: exit status 2.


def test_all_problems_are_said_at_once(installation: Installation) -> None:
    installation.configuration |= {
        "log_type": "s3",
        "mode": "31/02/2024",
        "log_grup": "audit",
        "batch_size": 20_000,
        "output_bucket": installation.configuration["bucket_name"],
    }
    del installation.configuration["log_group"]
    del installation.environment["LYVE_REGION"]
    del installation.environment["AWS_SECRET"]
    said = problems(installation.once())
    beginnings = [
        'config.json: log_type is "s3"',
        'config.json: mode is "31/02/2024"',
        'config.json: "log_grup" is not a known key',
        "config.json: batch_size is the number 20000",
        "config.json: bucket_name and output_bucket are both",
        "config.json: log_group is missing",
        "environment: LYVE_REGION is missing",
        "environment: AWS_SECRET is missing",
    ]
    assert len(said) == len(beginnings)
    for beginning in beginnings:
        assert [text for text in said if text.startswith(beginning)], beginning
    assert installation.output_keys() == []


@pytest.mark.parametrize("arguments", [("--once",), ()], ids=["once", "daemon"])
def test_a_wrong_date_says_the_right_form(
    arguments: tuple[str, ...], installation: Installation
) -> None:
    installation.configuration["mode"] = "2024-01-05"
    (text,) = problems(installation.run(*arguments))
    assert "dd/mm/yyyy" in text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "other.json"),
        (b"{'mode': 'all'}", "other.json"),
        (b'{"mode": "all",}', "other.json"),
        (b"\xff\xfe{", "other.json"),
        (b"[]", "other.json is an empty list"),
    ],
)
def test_a_document_that_is_no_json_object_is_named(
    content: bytes, expected: str, installation: Installation
) -> None:
    path = installation.directory / "other.json"
    path.write_bytes(content)
    outcome = installation.run("--once", "--config", str(path))
    said = problems(outcome)
    assert any(text.startswith(expected) for text in said)
    assert not [text for text in said if "config.json" in text]


def test_a_configuration_that_is_not_there_is_named(installation: Installation) -> None:
    missing = str(installation.directory / "nowhere.json")
    (text,) = problems(installation.run("--once", "--config", missing))
    assert missing in text
    assert "--config" in text


def test_a_mode_in_the_future_is_refused_and_the_advice_holds(installation: Installation) -> None:
    """It passed everything, and shipped nothing."""
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.configuration["mode"] = "01/01/2099"
    for arguments in (["--once"], ["--plan"], ["--check"], []):
        (text,) = problems(installation.run(*arguments))
        assert text.startswith('config.json: mode is "01/01/2099", which is still to come (today')
        assert f"{datetime.now(UTC):%d/%m/%Y}" in text
    installation.configuration["mode"] = f"{datetime.now(UTC):%d/%m/%Y}"
    assert installation.once().done.text == "Done sending 5 logs"


def test_two_types_in_one_text_are_told_as_a_list(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    installation.put("May-2024/IAM-a.gz", gzip_lines(EVENTS))
    installation.configuration["log_type"] = "S3,IAM"
    (text,) = problems(installation.once())
    assert text.endswith('Did you mean ["S3", "IAM"]? Then write that.')
    installation.configuration["log_type"] = json.loads(text[text.index("[") : text.index("]") + 1])
    outcome = installation.once()
    assert (outcome.exit_status, len(installation.messages("IAM"))) == (0, 5)


def test_a_secret_in_the_wrong_place_is_not_shown(installation: Installation) -> None:
    """Each stands where it would be quoted; the fixture looks for it in all output."""
    secrets = {name: installation.environment[name] for name in ("LYVE_SECRET", "AWS_SECRET")}
    installation.configuration |= {
        "mode": secrets["LYVE_SECRET"],
        "log_group": f" {secrets['AWS_SECRET']} ",
        secrets["AWS_SECRET"]: 1,
    }
    installation.environment["LYVE_ENDPOINT"] = f"http://x:{secrets['LYVE_SECRET']}@127.0.0.1"
    assert len(problems(installation.once())) == 4


def test_an_endpoint_that_names_a_bucket_writes_nothing_into_the_audit_bucket(
    installation: Installation,
) -> None:
    """Taken as it stands, the status lines would be objects of the audit bucket."""
    installation.environment["LYVE_ENDPOINT"] += f"/{BUCKET}"
    (text,) = problems(installation.once())
    assert "which is not an endpoint (it has a path; allowed: " in text
    assert list(keys_of(installation.s3, BUCKET)) == []


def test_a_secret_can_stand_in_a_file(installation: Installation) -> None:
    installation.secrets.add(installation.environment["LYVE_SECRET"])
    path = installation.directory / "secret"
    path.write_text(f"{installation.environment.pop('LYVE_SECRET')}\n")
    installation.environment["LYVE_SECRET_FILE"] = str(path)
    assert installation.once().exit_status == 0
    path.write_text(path.read_text(), "utf-8-sig")  # as some editors of Windows do
    assert installation.once().exit_status == 0
    path.write_text("")
    (text,) = problems(installation.once())
    assert text.startswith("environment: LYVE_SECRET_FILE names a file that can't be used")


BEFORE_THE_IMAGE = "Options of docker run, such as -e, go before the image's name."
SECRET = "hidden/secret+key"


@pytest.mark.parametrize(
    ("arguments", "beginning", "end"),
    [
        (["--chekc"], 'There is no option "--chekc"', 'Did you mean "--check"? Then write that.'),
        (["-check"], 'There is no option "-c"', 'Did you mean "--check"? Then write that.'),
        (["-e", f"LYVE_SECRET={SECRET}"], 'There is no option "-e"', BEFORE_THE_IMAGE),
        ([f"-eLYVE_SECRET={SECRET}"], 'There is no option "-e"', BEFORE_THE_IMAGE),
        ([f"-e{SECRET}"], 'There is no option "-e"', BEFORE_THE_IMAGE),
        ([f"--env=LYVE_SECRET={SECRET}"], 'There is no option "--env"', BEFORE_THE_IMAGE),
        ([f"LYVE_SECRET={SECRET}"], "An argument is not an option, so it is not", BEFORE_THE_IMAGE),
        ([f"--once={SECRET}"], "The option --once can't be used like this", "--config PATH])."),
        ([f"-h{SECRET}"], "The option -h/--help can't be used like", "--config PATH])."),
        (["--check", "--once"], "The option --once can't be used like", "--config PATH])."),
        (["--dashboard", "-e"], "The option --dashboard can't be used", "--config PATH])."),
        ([f"--conf={SECRET}"], 'There is no option "--conf"', 'Did you mean "--config"? Then'),
    ],
)
def test_an_argument_that_is_wrong_is_named_without_its_value(
    arguments: list[str], beginning: str, end: str, installation: Installation
) -> None:
    installation.secrets.add(SECRET)
    (text,) = problems(installation.run(*arguments))
    assert text.startswith(beginning)
    assert "(usage: engine.py [-h] [--once | --check | " in text
    assert end in text


def test_each_unknown_option_is_a_line_and_a_json_object_if_that_is_asked_for(
    installation: Installation,
) -> None:
    installation.environment["LOG_FORMAT"] = "json"
    secret = f"AWS_SECRET={SECRET}"
    outcome = installation.run("-e", secret, "--chekc", "--env-file", "x")
    assert outcome.exit_status == 2
    said = [json.loads(line)["message"] for line in outcome.stderr.splitlines()]
    assert [text.partition(" (")[0] for text in said] == [
        'There is no option "-e"',
        'There is no option "--chekc"',
        'There is no option "--env-file"',
    ]
    assert SECRET not in outcome.stderr


# The services: exit status 1.


class Failure(NamedTuple):
    """A change that makes the iteration fail, and what its one line must say."""

    change: Callable[[Installation], object]
    says: tuple[str, ...]
    can_write: bool = True


def environ(**variables: str) -> Callable[[Installation], object]:
    """Returns the change of some variables."""
    return lambda installation: installation.environment.update(variables)


def configure(**keys: str) -> Callable[[Installation], object]:
    """Returns the change of some keys."""
    return lambda installation: installation.configuration.update(keys)


FAILURES = {
    "unknown Lyve Cloud key": Failure(
        environ(LYVE_ACCESS=UNKNOWN_KEY),
        ("list the audit bucket", "InvalidAccessKeyId", "LYVE_ACCESS"),
        can_write=False,
    ),
    "wrong Lyve Cloud secret": Failure(
        environ(LYVE_SECRET=WRONG_SECRET),
        ("list the audit bucket", "SignatureDoesNotMatch", "LYVE_SECRET"),
        can_write=False,
    ),
    "no audit bucket": Failure(
        configure(bucket_name="no-such-bucket"),
        ("no-such-bucket", "NoSuchBucket", "bucket_name"),
    ),
    "no output bucket": Failure(
        configure(output_bucket="no-such-bucket"),
        ("no-such-bucket", "NoSuchBucket", "output_bucket"),
        can_write=False,
    ),
    "unknown AWS key": Failure(
        environ(AWS_ACCESS=UNKNOWN_KEY),
        (LOG_GROUP, "UnrecognizedClientException", "AWS_ACCESS"),
    ),
    "wrong AWS secret": Failure(
        environ(AWS_SECRET=WRONG_SECRET),
        (LOG_GROUP, "InvalidSignatureException", "AWS_SECRET"),
    ),
    "no AWS key at all": Failure(
        lambda installation: [
            installation.environment.pop(n) for n in ("AWS_ACCESS", "AWS_SECRET")
        ],
        ("connection to AWS", "no AWS credentials", "AWS_ACCESS"),
    ),
    "another AWS region": Failure(
        environ(AWS_REGION="eu-central-1"), (LOG_GROUP, "InvalidSignatureException", "Check AWS_")
    ),
    "no log group": Failure(
        configure(log_group="no-such-group"),
        ("no-such-group", "ResourceNotFoundException", "Create the log group"),
    ),
    "a log group whose longer-named sibling exists": Failure(
        configure(log_group=LOG_GROUP[:-1]),
        (LOG_GROUP[:-1], "ResourceNotFoundException", "Create the log group"),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_with_its_code_and_what_to_do(
    name: str, installation: Installation
) -> None:
    failure = FAILURES[name]
    installation.put("S3-a.gz", gzip_lines(EVENTS))
    failure.change(installation)
    outcome = installation.once()
    assert outcome.exit_status == 1
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr
    (line,) = outcome.lines
    assert line.level == "ERROR"
    for part in failure.says:
        assert part in line.text
    assert line.text.endswith(".")
    assert "accepted" not in line.pairs
    # One cause makes one line, whatever else it keeps from being done.
    assert ("; can't write the status lines" in line.text) == (not failure.can_write)
    if failure.can_write:
        assert list(installation.status_objects().values()) == [outcome.stderr]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LYVE_ENDPOINT", "http://lyve_cloud:9000"),
        ("LYVE_ENDPOINT", "http://lyve..cloud"),
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "localhost:4566"),
    ],
)
def test_a_variable_that_boto3_refuses_is_named(
    name: str, value: str, installation: Installation
) -> None:
    """It is for a person to fix: no error of the program, and none of another service."""
    installation.environment[name] = value
    outcome = installation.once()
    assert outcome.exit_status in {1, 2}
    error = outcome.lines[0]
    assert error.level == "ERROR"
    assert "unexpected" not in error.text
    assert name in error.text


AWS_REFUSALS = {
    "an expired session": (
        {"expired": [ACCESS_KEY]},
        ("ExpiredTokenException", "AWS credentials"),
    ),
    "no permission to put": (
        {"denied": ["PutLogEvents"]},
        ("AccessDeniedException", "logs:PutLogEvents"),
    ),
    "no permission to make a stream": (
        {"denied": ["CreateLogStream"]},
        ("AccessDeniedException", "logs:CreateLogStream"),
    ),
}


@pytest.mark.parametrize("name", AWS_REFUSALS)
def test_what_aws_refuses_names_the_permission_and_is_made_up_for_later(
    name: str, installation: Installation, standin: CloudWatchStandin
) -> None:
    settings, says = AWS_REFUSALS[name]
    installation.put("S3-a.gz", gzip_lines(EVENTS))
    standin.control(**settings)
    outcome = installation.once()
    assert outcome.exit_status == 1
    (error,) = outcome.lines
    assert error.level == "ERROR"
    for part in says:
        assert part in error.text
    standin.control(expired=[], denied=[])
    corrected = installation.once()
    assert corrected.exit_status == 0
    assert sorted(installation.messages()) == [line.decode() for line in EVENTS]


def test_a_key_that_expires_in_the_middle_loses_and_doubles_nothing(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    lines = [b'{"number": %d}' % number for number in range(3000)]
    installation.configuration["concurrency"] = 2
    installation.put("S3-a.gz", gzip_lines(lines))
    standin.control(latency_ms=50)
    with installation.start("--once") as engine:
        while standin.calls().operations.get("PutLogEvents", 0) < 5:
            assert engine.process.poll() is None
        standin.control(expired=[ACCESS_KEY])
        outcome = engine.wait()
    assert outcome.exit_status == 1
    (error,) = outcome.errors
    assert "ExpiredTokenException" in error.text
    stored = len(installation.messages())
    assert 0 < stored < len(lines)
    standin.control(expired=[], latency_ms=0)
    corrected = installation.once()
    assert corrected.exit_status == 0
    counted = [int(line.pairs.get("accepted", 0)) for line in (error, corrected.done)]
    assert sum(counted) == len(lines)
    assert sorted(installation.messages()) == sorted(line.decode() for line in lines)


def test_without_permission_to_read_back_it_sends_again_and_says_so(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """The choice is between a loss and a double here, and a double can be seen and removed."""
    lines = [b'{"number": %d}' % number for number in range(200)]
    installation.put("S3-a.gz", gzip_lines(lines))
    standin.control(denied=["GetLogEvents"], fail_next=["failed_after"])
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert outcome.done.figures("accepted", "possibly_duplicated") == {
        "accepted": 200,
        "possibly_duplicated": 100,
    }
    assert {message.encode() for message in installation.messages()} == set(lines)
    assert len(installation.messages()) == 300


@pytest.mark.parametrize("log_class", ["INFREQUENT_ACCESS", "DELIVERY"])
def test_a_log_group_that_can_not_be_read_back_is_sent_again_and_says_so(
    log_class: Literal["INFREQUENT_ACCESS", "DELIVERY"],
    installation: Installation,
    standin: CloudWatchStandin,
) -> None:
    """It would stay so in each iteration: a failure without end ships nothing."""
    group = f"of-class-{log_class}"
    installation.logs.create_log_group(logGroupName=group, logGroupClass=log_class)
    installation.configuration["log_group"] = group
    lines = [b'{"number": %d}' % number for number in range(200)]
    installation.put("S3-a.gz", gzip_lines(lines))
    standin.control(fail_next=["failed_after"])
    outcome = installation.once()
    assert outcome.exit_status == 0
    (warning,) = (line for line in outcome.lines if line.level == "WARN")
    assert warning.text.startswith("Only a log group of the class Standard can be read back, so ")
    assert "Create a log group of the class Standard, and name it in log_group" in warning.text
    assert outcome.done.figures("accepted", "possibly_duplicated") == {
        "accepted": 200,
        "possibly_duplicated": 100,
    }
    assert len(list(standin.events(group, "lyve-cloud/audit-logs/S3"))) == 300


def test_a_killed_iteration_is_taken_over_though_its_group_can_not_be_read_back(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    group = "infrequent"
    installation.logs.create_log_group(logGroupName=group, logGroupClass="INFREQUENT_ACCESS")
    installation.configuration["log_group"] = group
    lines = [b'{"number": %d}' % number for number in range(200)]
    installation.put("S3-a.gz", gzip_lines(lines))
    standin.control(probabilities={"hung_after": 1})
    with installation.start("--once") as engine:
        while standin.calls().operations.get("PutLogEvents", 0) < 2:
            assert engine.process.poll() is None
    standin.control(probabilities={})
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert [line.level for line in outcome.lines] == ["WARN", "WARN", "INFO"]
    assert outcome.done.figures("accepted", "possibly_duplicated") == {
        "accepted": 200,
        "possibly_duplicated": 200,
    }
    stored = standin.events(group, "lyve-cloud/audit-logs/S3")
    assert {event.message.encode() for event in stored} == set(lines)


def test_an_endpoint_that_can_not_be_reached_is_named(
    installation: Installation, closed_endpoint: str
) -> None:
    """Both are tried several times with pauses between, so the two runs share the time."""
    installation.put("S3-a.gz", gzip_lines(EVENTS))
    lyve_endpoint = installation.environment["LYVE_ENDPOINT"]
    installation.environment["LYVE_ENDPOINT"] = closed_endpoint
    with installation.start("--once") as without_lyve_cloud:
        installation.environment["LYVE_ENDPOINT"] = lyve_endpoint
        installation.environment["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = closed_endpoint
        without_aws = installation.once()
        outcome = without_lyve_cloud.wait()
    assert (outcome.exit_status, without_aws.exit_status) == (1, 1)
    (line,) = outcome.lines
    refuses = f"({closed_endpoint.removeprefix('http://')} refuses the connection)"
    assert refuses in line.text
    assert "Check LYVE_ENDPOINT, " in line.text
    assert "; can't write the status lines" in line.text
    (error,) = without_aws.lines
    assert refuses in error.text
    assert "Check AWS_ENDPOINT_URL_CLOUDWATCH_LOGS, " in error.text
    assert list(installation.status_objects().values()) == [without_aws.stderr]


@pytest.fixture
def closed_endpoint() -> Iterator[str]:
    """An address at which nothing listens: its port is taken, but not opened."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# Permissions of the service account.


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ("no-write", ("AccessDenied", "LYVE_ACCESS", "permission to write")),
        ("no-read", ("AccessDenied", "LYVE_ACCESS", "permission to read")),
        ("no-list", ("AccessDenied", "LYVE_ACCESS", "permission to list the audit bucket")),
    ],
)
def test_a_service_account_that_may_not_is_told_what_it_needs(
    identity: str, says: tuple[str, ...], installation: Installation
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(EVENTS))
    owner = installation.environment.copy()
    installation.environment |= {
        "LYVE_ACCESS": f"{identity}-access",
        "LYVE_SECRET": f"{identity}-secret",
    }
    outcome = installation.once()
    assert outcome.exit_status == 1
    first = outcome.lines[0]
    assert first.level == "ERROR"
    for part in says:
        assert part in first.text
    installation.environment = owner
    assert installation.once().exit_status == 0
    assert sorted(installation.messages()) == [line.decode() for line in EVENTS]


def test_a_damaged_checkpoint_is_not_taken_for_none(
    installation: Installation,
) -> None:
    """A start from the beginning in its place would store everything twice."""
    installation.put("S3-a.gz", gzip_lines(EVENTS))
    installation.once()
    checkpoint = installation.checkpoint()
    key = "integration-state/audit-logs-S3.json"
    for content in (b"", b"{", json.dumps({**checkpoint, "saves": 7}).encode()):
        installation.put(key, content, str(installation.configuration["output_bucket"]))
        outcome = installation.once()
        assert outcome.exit_status == 1
        (error,) = outcome.lines
        assert key in error.text
        assert installation.output(key) == content
    assert len(installation.messages()) == len(EVENTS)


def test_no_line_is_dated_wrongly(installation: Installation) -> None:
    installation.environment["TZ"] = "Asia/Kolkata"
    installation.configuration["mode"] = "never"
    began = datetime.now(UTC).replace(microsecond=0)
    (line,) = installation.run_as_process("--once").lines
    assert began <= line.time <= datetime.now(UTC)
