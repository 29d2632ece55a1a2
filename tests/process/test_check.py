"""`--check`: each line of its table, when that one thing is right and when it is broken."""

import json
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from services.aws import http_session
from services.aws.errors import place_of
from services.aws.get_request import Asked, GetClient
from services.aws.list_request import Listing, Page, listed_pages
from services.aws.outcomes import WrongAnswerError
from services.aws.put_request import PutClient, StreamMissingError
from services.commands import check as check_service
from services.commands import lyve_check
from services.commands.check import print_checks
from services.commands.settings import read_sources
from services.output.checkpoints import CheckpointStore
from services.output.objects import put_object
from tests.servers.installation import (
    AWS_REGION,
    BUCKET,
    DEADLINE_SECONDS,
    LOG_GROUP,
    OUTPUT_BUCKET,
    REPOSITORY,
    Installation,
    empty,
    status_lines,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY, now_ms
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.fake_server import Authority, FakeServer, Reply, always, s3_refusal
from tests.world.audit_events import gzip_lines
from tests.world.faults import client_error
from utils.model import Clock, LogObject, SourceIdentity
from utils.report.findings import COLUMNS, Finding, failed, lines, passed, summary
from utils.state.checkpoint import Checkpoint, encode_checkpoint
from utils.state.ledger import Coverage

LYVE_CLOUD = (
    "connect to Lyve Cloud",
    "compare the clocks",
    "sign in to Lyve Cloud",
    "list the audit bucket",
    "read an audit object",
    "write to the output bucket",
    "read the output bucket",
    "list the checkpoints",
    "find what was written",
    "read the checkpoint",
)
CLOUDWATCH = (
    "find AWS credentials",
    "connect to CloudWatch",
    "sign in to CloudWatch",
    "find the log group",
    "know its retention",
    "know its class",
    "make or find the stream",
    "put events",
    "read events back",
)
ALL = LYVE_CLOUD + CLOUDWATCH
# They have a line only where there is something to say.
HINTS = ("know if logging is on", "know if it keeps versions")
LYVE_CONNECT, LYVE_SIGN_IN = LYVE_CLOUD[0], LYVE_CLOUD[2]
AWS_CONNECT, AWS_SIGN_IN = CLOUDWATCH[1], CLOUDWATCH[2]
BEHIND_THE_GROUP = CLOUDWATCH[4:]
CHECKPOINT = f"integration-state/{BUCKET}-S3.json"
KEY = "May-2024/S3-media-2024-05-01-10-00-00.gz"
LINE = re.compile(r"  (.{26})  (passed|warning|failed|not tried) *(?:  (.*))?")
MARGIN = " " * 41
STATUS_KEY = re.compile(
    rf"integration-logs/\d{{4}}/\d\d/\d\d/\d\d-\d\d-\d\d-{BUCKET}-S3-[0-9a-f]{{8}}\.log"
)
UNKNOWN_KEY = "AKIAUNKNOWNKEYEXAMPLE"
WRONG_SECRET = "wrongwrongwrongwrongwrongwrongwrongwrong"

_numbers = count(1)

Table = dict[str, Finding]


def tables(stdout: str) -> dict[str, Table]:
    """Returns what is printed by source, with the broken lines put together again.

    Raises:
        AssertionError: a line is too long.
    """
    found: dict[str, Table] = {}
    source = what = ""
    for line in stdout.splitlines():
        assert len(line) <= COLUMNS or line.startswith(f"{MARGIN}aws s3 mv "), line
        parts = LINE.fullmatch(line)
        if parts:
            what = parts[1].strip()
            found[source][what] = Finding(parts[2], parts[3] or "")  # type: ignore[arg-type]
        elif line.startswith(MARGIN):
            begun = found[source][what]
            found[source][what] = Finding(begun.outcome, f"{begun.detail} {line.strip()}")
        elif line and not line.startswith(" ") and not line.endswith(" sources"):
            source = line
            found[source] = {}
    return found


def table_of(stdout: str) -> Table:
    """Returns the only table, once it is sure that every access is in it, apart from hints."""
    (table,) = tables(stdout).values()
    assert tuple(what for what in table if what not in HINTS) == ALL
    return table


def others(table: Table, *names: str) -> set[str]:
    """Returns the outcomes of all tries but these."""
    return {finding.outcome for what, finding in table.items() if what not in names}


class Here:
    """The check in this process, on an installation that the tests of this file share.

    `configuration` and `environment` are what it begins with: change them as needed.

    Args:
        installation: with its servers.
        standin: the one of them for CloudWatch.
        patch: takes the variables.
        capture: shows what is printed.
    """

    def __init__(
        self,
        installation: Installation,
        standin: CloudWatchStandin,
        patch: pytest.MonkeyPatch,
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self._installation = installation
        self._patch = patch
        self._capture = capture
        self.standin = standin
        self.s3 = installation.s3
        self.logs = installation.logs
        self.output_keys = installation.output_keys
        self.put = installation.put
        self.stream = f"stream-{next(_numbers)}"
        self.configuration = {**installation.configuration, "log_stream": self.stream}
        self.environment = dict(installation.environment)
        self.clock_offset = timedelta(0)
        self.stop = Event()
        self.is_good = False
        self.put(KEY, gzip_lines([b"{}"]))

    def put_checkpoint(self, stream: str, running: bool) -> None:
        """Writes the checkpoint of an iteration into a stream."""
        identity = SourceIdentity(BUCKET, "S3", AWS_REGION, LOG_GROUP, stream)
        checkpoint = Checkpoint(
            identity, "an owner", Coverage(0, covered=[(0, 1)]), running=running
        )
        self.put(CHECKPOINT, encode_checkpoint(checkpoint), OUTPUT_BUCKET)

    def table(self) -> Table:
        """Tries every access, and returns what is printed of each."""
        for name in [name for name in os.environ if name.startswith(("AWS_", "LYVE_"))]:
            self._patch.delenv(name)
        for name, value in self.environment.items():
            self._patch.setenv(name, value)
        path = self._installation.config_path
        path.write_text(json.dumps(self.configuration))
        (source,) = read_sources(path, datetime.now(UTC).date())
        self._capture.readouterr()
        clock = Clock(lambda: datetime.now(UTC) + self.clock_offset, monotonic)
        self.is_good = print_checks([source], clock, self.stop)
        said = self._capture.readouterr()
        for name in ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET"):
            assert self.environment.get(name, "no such value") not in said.out + said.err
        (line,) = status_lines(said.err)
        assert line.level == "INFO"
        return table_of(said.out)


@pytest.fixture(scope="module")
def shared_standin() -> Iterator[CloudWatchStandin]:
    """A stand-in for CloudWatch that checks signatures."""
    with CloudWatchStandin(credentials={ACCESS_KEY: SECRET_KEY}) as running:
        yield running


@pytest.fixture(scope="module")
def ground(
    seaweedfs: SeaweedFS,
    shared_standin: CloudWatchStandin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """The installation that the tests of this file share."""
    directory = tmp_path_factory.mktemp("check")
    with closing(Installation(directory, seaweedfs, shared_standin)) as installed:
        yield installed


@pytest.fixture
def here(
    ground: Installation,
    shared_standin: CloudWatchStandin,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Here]:
    """The check in this process, with an audit object; all is set back in the end."""
    before = shared_standin.settings()
    yield Here(ground, shared_standin, monkeypatch, capsys)
    shared_standin.control(**before)
    ground.logs.delete_retention_policy(logGroupName=LOG_GROUP)
    for bucket in (BUCKET, OUTPUT_BUCKET):
        empty(ground.s3, bucket)


# The program.


def test_all_is_tried_and_nothing_left_but_the_status_object(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    installation.put(KEY, gzip_lines([b"{}"]))
    outcome = installation.run("--check")
    assert outcome.exit_status == 0
    table = table_of(outcome.stdout)
    assert others(table) == {"passed"}
    assert table[LYVE_CONNECT].detail == installation.environment["LYVE_ENDPOINT"]
    assert table["read an audit object"].detail == KEY
    assert "none yet" in table["read the checkpoint"].detail
    assert table["find AWS credentials"].detail == "AWS_ACCESS"
    assert table[AWS_CONNECT].detail == standin.endpoint_url
    assert table["find the log group"].detail == LOG_GROUP
    assert "too old" in table["put events"].detail
    (key,) = installation.output_keys()
    assert STATUS_KEY.fullmatch(key)
    assert [line.level for line in outcome.lines] == ["INFO"]
    assert installation.status_objects() == {key: outcome.stderr}
    assert installation.messages() == []
    assert standin.calls().events_rejected == 1


def test_it_changes_nothing_for_a_daemon_that_has_shipped(installation: Installation) -> None:
    installation.put(KEY, gzip_lines([b"{}"]))
    assert installation.once().exit_status == 0
    before = installation.checkpoint()
    outcome = installation.run("--check")
    assert outcome.exit_status == 0
    assert table_of(outcome.stdout)["read the checkpoint"] == passed("for this source")
    assert installation.checkpoint() == before
    assert installation.once().done.figures("objects", "accepted") == {"objects": 0, "accepted": 0}
    assert installation.messages() == ["{}"]


def test_each_source_has_a_block_and_a_broken_one_does_not_stop_the_next(
    installation: Installation,
) -> None:
    installation.put(KEY, gzip_lines([b"{}"]))
    installation.configuration |= {
        "sources": [{"name": "broken", "log_group": "no-such-group"}, {"name": "good"}]
    }
    outcome = installation.run("--check")
    assert outcome.exit_status == 1
    found = tables(outcome.stdout)
    assert list(found) == ["broken-S3, good-S3", "broken-S3", "good-S3"]
    shared, broken, good = found.values()
    assert broken["find the log group"].outcome == "failed"
    assert others(shared) == others(good) == {"passed"}
    for own in (broken, good):
        assert (*shared, *own).count(LYVE_CONNECT) == 1
        assert {*shared, *own} == {*ALL}
    assert [line.pairs["source"] for line in outcome.lines] == ["broken-S3, good-S3"]
    assert len(installation.status_objects()) == 1
    every = [finding.outcome for table in found.values() for finding in table.values()]
    assert outcome.stdout.endswith(f"\n2 sources\n  {summary(every)}\n\n")


def test_what_all_types_of_a_bucket_share_is_tried_and_shown_once(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    installation.configuration["log_type"] = ["S3", "IAM", "Console"]
    installation.put(KEY, gzip_lines([b"{}"]))
    outcome = installation.run("--check")
    names = [f"{BUCKET}-{name}" for name in ("S3", "IAM", "Console")]
    shared, *own = tables(outcome.stdout).values()
    assert list(tables(outcome.stdout)) == [", ".join(names), *names]
    assert {"list the audit bucket", "find what was written", "know its class"} <= {*shared}
    assert {what for one in own for what in one if what not in HINTS} == {
        *("read an audit object", "list the checkpoints", "read the checkpoint"),
        *("make or find the stream", "put events", "read events back"),
    }
    assert sum(line.startswith("PUT ") for line in s3_proxy.requests) == 2


@pytest.mark.parametrize("log_type", [["S3", "IAM", "Console"], "S3"])
def test_one_cause_has_one_line_for_all_sources(
    log_type: object, installation: Installation
) -> None:
    installation.configuration["log_type"] = log_type
    installation.environment["LYVE_SECRET"] = WRONG_SECRET
    shared, *_ = tables(installation.run("--check").stdout).values()
    assert [one.outcome for one in shared.values()].count("failed") == 1
    (error,) = installation.once().errors
    words = shared[LYVE_SIGN_IN].detail.partition(" fix: ")
    assert f"({words[0]}). {words[2]}" in error.text
    names = [f"{BUCKET}-{name}" for name in (log_type if isinstance(log_type, list) else ["S3"])]
    assert {*error.pairs["source"].split(", ")} == {*names}
    assert not [name for name, value in error.pairs.items() if value == "0"]


def test_a_wrong_configuration_tries_nothing(installation: Installation) -> None:
    installation.configuration["mode"] = "yesterday"
    outcome = installation.run("--check")
    assert outcome.exit_status == 2
    assert outcome.stdout == ""
    assert installation.output_keys() == []


def test_a_stop_ends_it_though_a_server_hangs(installation: Installation) -> None:
    asked, released = Event(), Event()

    def answer(*_: object) -> Reply:
        asked.set()
        released.wait()
        return Reply(0)

    with FakeServer(answer) as server:
        installation.environment["LYVE_ENDPOINT"] = server.url
        with installation.start("--check") as engine:
            assert asked.wait(DEADLINE_SECONDS)
            outcome = engine.stop()
        released.set()
    assert outcome.exit_status == 1
    assert [line.level for line in outcome.lines] == ["INFO", "WARN"]
    assert outcome.lines[1].text == "Stopped before the end."


# Each thing broken.


class Break(NamedTuple):
    """A change that breaks one thing.

    `what` then has the outcome and says each part; `ends` are those that need it; all the others
    pass.
    """

    change: Callable[[Here], object]
    what: str
    says: tuple[str, ...]
    ends: tuple[str, ...] = ()
    outcome: str = "failed"


def assert_broken(broken: Break, here: Here) -> None:
    """Makes sure that the table says what is broken, and nothing else."""
    broken.change(here)
    table = here.table()
    found = table[broken.what]
    assert found.outcome == broken.outcome
    for part in broken.says:
        assert part in found.detail
    assert ("fix: " in found.detail) == (broken.outcome != "passed")
    for what in broken.ends:
        assert table[what] == Finding("not tried", f"it needs: {broken.what}")
    assert others(table, broken.what, *broken.ends) == {"passed"}
    assert here.is_good == (broken.outcome != "failed")


def environ(**variables: str) -> Callable[[Here], object]:
    """Returns the change of some variables."""
    return lambda here: here.environment.update(variables)


def unset(*names: str) -> Callable[[Here], object]:
    """Returns the removal of some variables."""
    return lambda here: [here.environment.pop(name) for name in names]


def configure(**keys: object) -> Callable[[Here], object]:
    """Returns the change of some keys."""
    return lambda here: here.configuration.update(keys)


def put(key: str, body: bytes, bucket: str = BUCKET) -> Callable[[Here], object]:
    """Returns the change of an object."""
    return lambda here: here.put(key, body, bucket)


def aws(**settings: object) -> Callable[[Here], object]:
    """Returns the change of some settings of the stand-in."""
    return lambda here: here.standin.control(**settings)


def fault(name: str, operation: str) -> Callable[[Here], object]:
    """Returns that the next call of the operation meets a fault."""
    return aws(fault_operations=[operation], fail_next=[name])


def clock(change: timedelta) -> Callable[[Here], object]:
    """Returns the change of this machine's clock."""
    return lambda here: setattr(here, "clock_offset", change)


def delete_object(here: Here) -> None:
    """Leaves the audit bucket empty."""
    here.s3.delete_object(Bucket=BUCKET, Key=KEY)


def of_class(name: str) -> Callable[[Here], object]:
    """Returns the change to a log group of another class."""

    def change(here: Here) -> None:
        here.configuration["log_group"] = name
        here.logs.create_log_group(logGroupName=name, logGroupClass=name)  # type: ignore[arg-type]

    return change


def retain_for_a_week(here: Here) -> None:
    """Sets the log group's retention."""
    here.logs.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=7)


BREAKS = {
    # Lyve Cloud.
    "an endpoint that boto3 refuses": Break(
        environ(LYVE_ENDPOINT="http://lyve..cloud"),
        LYVE_CONNECT,
        ("lyve..cloud", "LYVE_ENDPOINT"),
        LYVE_CLOUD[1:],
    ),
    "an unknown key": Break(
        environ(LYVE_ACCESS=UNKNOWN_KEY),
        LYVE_SIGN_IN,
        ("InvalidAccessKeyId", "Check LYVE_ACCESS"),
        LYVE_CLOUD[3:],
    ),
    "a wrong secret": Break(
        environ(LYVE_SECRET=WRONG_SECRET),
        LYVE_SIGN_IN,
        ("SignatureDoesNotMatch", "Check LYVE_SECRET"),
        LYVE_CLOUD[3:],
    ),
    "no audit bucket": Break(
        configure(bucket_name="no-such-bucket"),
        "list the audit bucket",
        ("no-such-bucket", "NoSuchBucket", "bucket_name"),
        ("read an audit object",),
    ),
    "a damaged object": Break(
        put(KEY, gzip_lines([b"{}"])[:12]),
        "read an audit object",
        (KEY, "truncated", "Put the object back whole"),
        outcome="warning",
    ),
    "no output bucket": Break(
        configure(output_bucket="no-such-bucket"),
        "write to the output bucket",
        ("no-such-bucket", "NoSuchBucket", "output_bucket"),
        (*LYVE_CLOUD[6:9], "read the checkpoint"),
    ),
    "a checkpoint of another stream": Break(
        lambda here: here.put_checkpoint("another", running=False),
        "read the checkpoint",
        ("was 'another'", "Set log_stream back", "aws s3 mv s3://audit-logs-integration/"),
    ),
    "a damaged checkpoint": Break(
        put(CHECKPOINT, b"{", OUTPUT_BUCKET), "read the checkpoint", ("is unreadable", "Put back")
    ),
    "an unfinished iteration": Break(
        lambda here: here.put_checkpoint(here.stream, running=True),
        "read the checkpoint",
        ("was not finished",),
        outcome="passed",
    ),
    "a clock that is slow": Break(
        clock(timedelta(minutes=-6)),
        "compare the clocks",
        ("s behind Lyve Cloud's", "Set this machine's clock"),
    ),
    "a clock that is fast": Break(
        clock(timedelta(minutes=6)),
        "compare the clocks",
        ("s ahead of Lyve Cloud's", "Set this machine's clock"),
    ),
    "a clock that is off by minutes that will do": Break(
        clock(timedelta(minutes=4)), "compare the clocks", ("s apart",), outcome="passed"
    ),
    # AWS.
    "no AWS credentials": Break(
        unset("AWS_ACCESS", "AWS_SECRET"),
        "find AWS credentials",
        ("no AWS credentials", "AWS_ACCESS", "role"),
        CLOUDWATCH[1:],
    ),
    "an AWS endpoint that boto3 refuses": Break(
        environ(AWS_ENDPOINT_URL_CLOUDWATCH_LOGS="localhost:4566"),
        AWS_CONNECT,
        ("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",),
        CLOUDWATCH[2:],
    ),
    "an unknown AWS key": Break(
        environ(AWS_ACCESS=UNKNOWN_KEY),
        AWS_SIGN_IN,
        ("UnrecognizedClientException", "AWS_ACCESS"),
        CLOUDWATCH[3:],
    ),
    "a wrong AWS secret": Break(
        environ(AWS_SECRET=WRONG_SECRET),
        AWS_SIGN_IN,
        ("InvalidSignatureException", "AWS_SECRET"),
        CLOUDWATCH[3:],
    ),
    "AWS keys that are exchanged": Break(
        environ(AWS_ACCESS="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", AWS_SECRET=ACCESS_KEY),
        AWS_SIGN_IN,
        ("IncompleteSignatureException", "Check AWS_ACCESS and AWS_SECRET: they may be exchanged"),
        CLOUDWATCH[3:],
    ),
    "no log group": Break(
        configure(log_group="no-such-group"),
        "find the log group",
        ("no-such-group", AWS_REGION, "Create the log group", "AWS_REGION"),
        BEHIND_THE_GROUP,
    ),
    "only a log group with a longer name": Break(
        configure(log_group=LOG_GROUP[:-1]),
        "find the log group",
        (f"{LOG_GROUP[:-1]} is not", f"{LOG_GROUP} is another", "Create the log group"),
        BEHIND_THE_GROUP,
    ),
    "a short retention": Break(
        retain_for_a_week,
        "know its retention",
        ("7 days", "time of their upload"),
        outcome="passed",
    ),
    "an expired session": Break(
        aws(expired=[ACCESS_KEY]),
        AWS_SIGN_IN,
        ("ExpiredTokenException", "Replace"),
        CLOUDWATCH[3:],
    ),
    "a signature for another region": Break(
        aws(region="eu-west-1"),
        AWS_SIGN_IN,
        ("InvalidSignatureException: signed for another region fix: Check AWS_REGION.",),
        CLOUDWATCH[3:],
    ),
    "groups that can't be described now": Break(
        fault("unavailable_before", "DescribeLogGroups"),
        "find the log group",
        ("ServiceUnavailableException",),
        BEHIND_THE_GROUP,
    ),
    "no permission to make a stream": Break(
        aws(denied=["CreateLogStream"]),
        "make or find the stream",
        ("AccessDeniedException", "Allow logs:CreateLogStream"),
        ("put events", "read events back"),
    ),
    "no permission to put": Break(
        aws(denied=["PutLogEvents"]),
        "put events",
        ("AccessDeniedException", "Allow logs:PutLogEvents"),
    ),
    "throttled puts": Break(
        fault("throttled", "PutLogEvents"), "put events", ("ThrottlingException", "Try again")
    ),
    "refused puts": Break(
        aws(refuse_containing="check"), "put events", ("refused: ", "not acceptable", "log_group")
    ),
    "puts without an answer": Break(
        fault("dropped_after", "PutLogEvents"), "put events", ("closes the connection",)
    ),
    "a service that stores an event of 1970": Break(
        lambda here: here.standin.control(credentials={}, clock_offset_ms=-now_ms()),
        "put events",
        ("not rejected", "in CloudWatch's place"),
    ),
    "no permission to read back": Break(
        aws(denied=["GetLogEvents"]),
        "read events back",
        ("Allow logs:GetLogEvents", "sent again"),
        outcome="warning",
    ),
    "events that can't be read back now": Break(
        fault("throttled", "GetLogEvents"), "read events back", ("ThrottlingException",)
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_said_with_its_mend_and_the_rest_is_tried(name: str, here: Here) -> None:
    assert_broken(BREAKS[name], here)


@pytest.mark.parametrize(
    ("name", "outcome", "says"),
    [
        ("INFREQUENT_ACCESS", "warning", "the dashboards and reading back need"),
        ("DELIVERY", "failed", "it keeps events for a day"),
    ],
)
def test_a_class_of_log_groups_that_is_not_standard_is_named(
    name: str, outcome: str, says: str, here: Here
) -> None:
    of_class(name)(here)
    table = here.table()
    found, read_back = table["know its class"], table["read events back"]
    assert (found.outcome, read_back.outcome) == (outcome, "warning")
    assert f"{name}: {says}" in found.detail
    assert "fix: Create a log group of the class Standard" in found.detail
    assert "InvalidOperationException fix: Create a log group of the" in read_back.detail
    assert "Without it events in doubt are sent again." in read_back.detail
    assert others(table, "know its class", "read events back") == {"passed"}
    assert here.is_good == (outcome == "warning")


@pytest.mark.parametrize(
    ("identity", "fails"),
    [
        (
            "no-list",
            {
                "list the audit bucket": "permission to list the audit bucket",
                "list the checkpoints": "(s3:ListBucket).",
                "read the checkpoint": "(s3:ListBucket).",
            },
        ),
        ("no-write", {"write to the output bucket": "permission to write"}),
        (
            "no-read",
            {
                "read an audit object": f"permission to read {KEY}",
                "read the output bucket": "permission to read integration-logs/",
                "read the checkpoint": "and to list the bucket",
            },
        ),
    ],
)
def test_a_service_account_that_may_not_is_told_what_it_needs(
    identity: str, fails: Mapping[str, str], here: Here
) -> None:
    here.environment |= {"LYVE_ACCESS": f"{identity}-access", "LYVE_SECRET": f"{identity}-secret"}
    table = here.table()
    assert {what for what, found in table.items() if found.outcome == "failed"} == set(fails)
    for what, part in fails.items():
        assert "AccessDenied" in table[what].detail
        assert part in table[what].detail
        assert "LYVE_ACCESS" in table[what].detail


@pytest.mark.parametrize("key", ["May-2024/console-a.gz", "May-2024/Console-a.gz", "console-a.gz"])
def test_an_object_of_the_type_is_found_behind_many_others(
    key: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lyve_check, "FIRST_OBJECTS", 1)
    here.configuration["log_type"] = "Console"
    here.put("April-2024/S3-a.gz", gzip_lines([b"{}"]))
    here.put("S3-a.gz", gzip_lines([b"{}"]))
    here.put(key, gzip_lines([b"{}"]))
    assert here.table()["read an audit object"] == passed(key)


def test_a_prefix_below_which_nothing_is_found_is_named(here: Here) -> None:
    here.configuration["prefix"] = "audit/*\u202e"
    found = here.table()["read an audit object"]
    assert found.outcome == "warning"
    assert found.detail.startswith("no object of the type S3 was found below audit/*\\u202e fix: ")
    assert "Check log_type and prefix, and that Lyve Cloud writes S3 logs into" in found.detail


@pytest.mark.parametrize("content", [b"", b"\n"], ids=["none", "one"])
def test_an_object_with_too_few_bytes_for_a_part_says_nothing_of_range(
    content: bytes, here: Here
) -> None:
    """The store refuses the part that begins behind it, and the check failed."""
    here.put("April-2024/S3-a.gz", content)
    assert here.table()["read an audit object"] == passed(KEY)
    assert here.is_good


@pytest.mark.parametrize(
    "error", [client_error("NotImplemented"), WrongAnswerError("it begins with the first byte")]
)
def test_a_store_that_gives_no_part_of_an_object_is_a_warning(
    error: Exception, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon ships all the same, but an object that breaks off is read anew."""
    ask = GetClient.ask

    def refuse(client: GetClient, wanted: LogObject, offset: int) -> Asked:
        if offset:
            raise error
        return ask(client, wanted, offset)

    monkeypatch.setattr(GetClient, "ask", refuse)
    found = here.table()["read an audit object"]
    assert (found.outcome, here.is_good) == ("warning", True)
    assert re.search("can't be read by Range: (NotImplemented|it begins with)", found.detail)


def test_a_listing_that_shows_what_was_overwritten_is_told(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache before the store: the daemon would find its checkpoint as it was an hour ago."""

    def stale(client: object, asked: Listing, stop: Event) -> Iterator[Page]:
        for page in listed_pages(client, asked, stop):  # type: ignore[arg-type]
            objects = [replace(one, size_bytes=2 * one.size_bytes) for one in page.objects]
            yield replace(page, objects=objects)

    monkeypatch.setattr(lyve_check, "listed_pages", stale)
    found = here.table()["find what was written"]
    assert found.outcome == "failed"
    assert found.detail.startswith("the listing does not show the status object")


def test_another_etag_than_that_of_the_answer_is_a_warning(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*arguments: object) -> str:
        put_object(*arguments)  # type: ignore[arg-type]
        return '"another"'

    monkeypatch.setattr(lyve_check, "put_object", put)
    found = here.table()["find what was written"]
    assert found.outcome == "warning"
    assert found.detail.startswith("HEAD shows another ETag than PUT")


LOGGED_INTO = (
    b"<BucketLoggingStatus><LoggingEnabled><TargetBucket>%s</TargetBucket><TargetGrants><Grant>"
    b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="AccessKey">'
    b"<ID>KEY</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></TargetGrants>"
    b"<TargetPrefix>access/</TargetPrefix></LoggingEnabled></BucketLoggingStatus>"
)
LOGGING = {
    "off": (b"<BucketLoggingStatus/>", "warning", "logging is off for vm-backups"),
    "elsewhere": (LOGGED_INTO % b"others", "warning", "vm-backups is logged into others"),
    "on": (LOGGED_INTO % BUCKET.encode(), "passed", f"vm-backups is logged into {BUCKET}/access/"),
}


@pytest.mark.parametrize("name", LOGGING)
def test_bucket_logging_is_told_of_the_bucket_that_a_line_names(
    name: str, installation: Installation, s3_proxy: S3Proxy
) -> None:
    reply, outcome, detail = LOGGING[name]
    installation.configuration |= {"log_type": "Access", "prefix": "access/"}
    line = b"owner vm-backups [06/Feb/2019:00:00:38 +0000] 192.0.2.1 key id s3.GetObject a"
    installation.put("access/vm-backups/1", line)
    s3_proxy.replies["GET /vm-backups?logging"] = reply
    ran = installation.run("--check")
    found = table_of(ran.stdout)["know if logging is on"]
    assert (ran.exit_status, found.outcome) == (0, outcome)
    assert found.detail.startswith(detail)


def test_account_logging_that_is_off_is_told_where_nothing_was_written(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    s3_proxy.replies[f"GET /{BUCKET}?logging"] = b"<BucketLoggingStatus/>"
    found = table_of(installation.run("--check").stdout)["know if logging is on"]
    assert found.outcome == "warning"
    assert found.detail.startswith(f"logging is off for {BUCKET} fix: Switch it on in Lyve Cloud")
    installation.put(KEY, gzip_lines([b"{}"]))
    assert "know if logging is on" not in table_of(installation.run("--check").stdout)


def test_an_output_bucket_that_keeps_versions_needs_a_lifecycle_rule(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    """85 versions of the checkpoint came of one backlog."""
    installation.put(KEY, gzip_lines([b"{}"]))
    s3_proxy.replies[f"GET /{OUTPUT_BUCKET}?versioning"] = (
        b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    )
    ran = installation.run("--check")
    found = table_of(ran.stdout)["know if it keeps versions"]
    assert (ran.exit_status, found.outcome) == (0, "warning")
    assert "deletes the noncurrent versions of integration-state/" in found.detail


def test_credentials_of_boto3s_own_are_found(here: Here) -> None:
    here.environment |= {
        "AWS_ACCESS_KEY_ID": here.environment.pop("AWS_ACCESS"),
        "AWS_SECRET_ACCESS_KEY": here.environment.pop("AWS_SECRET"),
    }
    table = here.table()
    assert table["find AWS credentials"] == passed("boto3's own, by env")
    assert others(table) == {"passed"}


def test_a_profile_that_is_not_there_stops_nothing_where_keys_are_given(here: Here) -> None:
    here.environment["AWS_PROFILE"] = "no-such-profile"
    assert others(here.table()) == {"passed"}


def test_a_stream_that_is_there_is_used_without_the_permission_to_make_one(here: Here) -> None:
    here.logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName=here.stream)
    here.standin.control(denied=["CreateLogStream"])
    assert others(here.table(), "make or find the stream") == {"passed"}


def test_a_stream_that_is_gone_again_is_a_failure(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StreamMissingError

    monkeypatch.setattr(PutClient, "put", refuse)
    table = here.table()
    assert table["put events"].outcome == "failed"
    assert others(table, "put events") == {"passed"}


def test_without_permission_to_describe_the_rest_is_tried_all_the_same(here: Here) -> None:
    here.standin.control(denied=["DescribeLogGroups"])
    table = here.table()
    assert here.is_good
    assert table["find the log group"].outcome == "warning"
    assert "Allow logs:DescribeLogGroups" in table["find the log group"].detail
    for what in ("know its retention", "know its class"):
        assert table[what] == Finding("not tried", "it needs: logs:DescribeLogGroups")
    assert others(table, *CLOUDWATCH[3:6]) == {"passed"}


def test_without_permission_to_describe_a_missing_group_is_told_by_the_stream(here: Here) -> None:
    here.configuration["log_group"] = "no-such-group"
    here.standin.control(denied=["DescribeLogGroups"])
    table = here.table()
    assert not here.is_good
    assert table["make or find the stream"].outcome == "failed"
    assert "Create the log group no-such-group" in table["make or find the stream"].detail
    for what in ("put events", "read events back"):
        assert table[what] == Finding("not tried", "it needs: make or find the stream")


def test_what_nobody_foresaw_is_told_without_its_text(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(_: CheckpointStore) -> None:
        raise KeyError(WRONG_SECRET)

    monkeypatch.setattr(CheckpointStore, "load", explode)
    table = here.table()
    assert table["read the checkpoint"].outcome == "failed"
    assert "KeyError at test_check.py" in table["read the checkpoint"].detail
    assert WRONG_SECRET not in str(table)
    assert others(table, "read the checkpoint") == {"passed"}


def test_a_try_that_never_ends_is_left_behind(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients' timeouts do not bound all: a body may come byte by byte."""
    released = Event()
    monkeypatch.setattr(check_service, "MOST_SECONDS", 2.0)
    monkeypatch.setattr(PutClient, "put", lambda *_: released.wait())
    table = here.table()
    released.set()
    assert table["put events"].outcome == "failed"
    assert "no answer within 2 s fix: Try again" in table["put events"].detail
    assert others(table, "put events") == {"passed"}


# Servers that are not as they should be.


EMPTY_LISTING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("AuthorizationHeaderMalformed", "Check LYVE_REGION, LYVE_ACCESS and LYVE_SECRET: the "),
        ("RequestTimeTooSkewed", "Set this machine's clock"),
    ],
)
def test_a_wrong_region_and_a_signature_of_another_time_are_named(
    code: str, fix: str, here: Here
) -> None:
    with FakeServer(always(s3_refusal(code))) as server:
        change = environ(LYVE_ENDPOINT=server.url)
        assert_broken(Break(change, LYVE_SIGN_IN, (code, fix), LYVE_CLOUD[3:]), here)


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("MissingAuthenticationTokenException", "Set AWS_ACCESS"),
        ("InvalidClientTokenId", "Check AWS_ACCESS"),
        ("OptInRequired", "Check AWS_REGION"),
    ],
)
def test_what_else_aws_says_of_a_sender_is_named(code: str, fix: str, here: Here) -> None:
    with FakeServer(always(Reply(400, json.dumps({"__type": code}).encode()))) as server:
        change = environ(AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=server.url)
        assert_broken(Break(change, AWS_SIGN_IN, (code, fix), CLOUDWATCH[3:]), here)


_NO_LISTING = ": the answer is not a whole listing: it is not a listing"
_CLOSES = " closes the connection without an answer"


@pytest.mark.parametrize(
    ("reply", "lyve_says", "aws_says"),
    [
        (
            Reply(404, b"<html>"),
            ": HTTP 404, not an answer from S3",
            ": HTTP 404, not an answer from CloudWatch",
        ),
        (Reply(200, b"<html>"), _NO_LISTING, ": not an answer from CloudWatch"),
        (Reply(200, b"<html></html>"), _NO_LISTING, ": not an answer from CloudWatch"),
        (Reply(0), _CLOSES, _CLOSES),
    ],
)
def test_another_server_in_the_place_of_a_service_is_named(
    reply: Reply, lyve_says: str, aws_says: str, here: Here
) -> None:
    with FakeServer(always(reply)) as server:
        here.environment |= {
            "LYVE_ENDPOINT": server.url,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": server.url,
        }
        table = here.table()
    for what, says, named in (
        (LYVE_CONNECT, lyve_says, "LYVE_ENDPOINT"),
        (AWS_CONNECT, aws_says, "CLOUDWATCH"),
    ):
        assert table[what].outcome == "failed"
        assert f"{server.url.removeprefix('http://')}{says}" in table[what].detail
        assert named in table[what].detail.upper()


def test_an_answer_without_a_date_is_a_warning(here: Here) -> None:
    with FakeServer(always(Reply(200, EMPTY_LISTING))) as server:
        here.environment["LYVE_ENDPOINT"] = server.url
        table = here.table()
    assert table["compare the clocks"].outcome == "warning"
    assert "no Date" in table["compare the clocks"].detail
    assert table["list the audit bucket"].outcome == "passed"


def test_a_status_object_that_comes_back_changed_is_told(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(method: str, path: str) -> Reply:
        if method == "GET" and "integration-state/" in path:
            return s3_refusal("NoSuchKey")
        if method == "PUT":
            return Reply(200)
        return Reply(200, b"changed" if "integration-logs/" in path else EMPTY_LISTING)

    monkeypatch.setattr(lyve_check, "put_object", lambda *_: None)
    with FakeServer(answer) as server:
        here.environment["LYVE_ENDPOINT"] = server.url
        table = here.table()
    assert not here.is_good
    assert table["write to the output bucket"].outcome == "passed"
    assert table["read the output bucket"].outcome == "failed"
    assert "changed" in table["read the output bucket"].detail


def test_a_refused_connection_is_named(here: Here, closed_endpoint: str) -> None:
    here.environment |= {
        "LYVE_ENDPOINT": closed_endpoint,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": closed_endpoint,
    }
    table = here.table()
    variables = {LYVE_CONNECT: "LYVE_ENDPOINT", AWS_CONNECT: "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"}
    for what, variable in variables.items():
        assert table[what].outcome == "failed"
        place = closed_endpoint.removeprefix("http://")
        assert f"{place} refuses the connection fix: Check " in table[what].detail
        assert variable in table[what].detail
    assert others(table, LYVE_CONNECT, *CLOUDWATCH[:2]) == {"not tried"}


@pytest.mark.parametrize("password", ["S3cret", "S3cret/with/slashes", "S3cret@twice"])
@pytest.mark.parametrize("answers", [True, False])
def test_a_password_in_an_endpoint_of_boto3s_own_is_not_shown(
    answers: bool, password: str, here: Here, closed_endpoint: str
) -> None:
    place = (here.standin.endpoint_url if answers else closed_endpoint).removeprefix("http://")
    here.environment["AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"] = f"http://user:{password}@{place}"
    table = here.table()
    assert "S3cret" not in str(table)
    assert "user" not in table[AWS_CONNECT].detail
    assert place in table[AWS_CONNECT].detail or "/" in password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://logs.us-east-1.amazonaws.com", "logs.us-east-1.amazonaws.com"),
        ("HTTP://u:p@[::1]:4566/path@x", "x"),
        ("http://u:p/q@127.0.0.1:4566/", "127.0.0.1:4566"),
        ("http://127.0.0.1:4566?q#f", "127.0.0.1:4566"),
    ],
)
def test_of_an_endpoint_host_and_port_are_shown(url: str, shown: str) -> None:
    assert place_of(url) == shown


def test_a_proxy_that_is_not_there_is_named(here: Here, closed_endpoint: str) -> None:
    here.environment |= {"NO_PROXY": "", "http_proxy": closed_endpoint}
    table = here.table()
    for what in (LYVE_CONNECT, AWS_CONNECT):
        assert table[what].outcome == "failed"
        assert f"the proxy {closed_endpoint.removeprefix('http://')} does" in table[what].detail
        assert "Check http_proxy, or add 127.0.0.1 to NO_PROXY." in table[what].detail


@pytest.fixture
def closed_endpoint() -> Iterator[str]:
    """An address at which nothing listens: its port is taken, but not opened."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_host_that_can_not_be_reached_is_told(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue of a socket that accepts nothing is full, and what comes then is dropped."""
    monkeypatch.setattr(http_session, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with ExitStack() as stack:
        full, *callers = [stack.enter_context(socket.socket()) for _ in range(4)]
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        place = f"127.0.0.1:{full.getsockname()[1]}"
        says = (f"{place} can't be reached within", "LYVE_ENDPOINT", "firewalls")
        change = environ(LYVE_ENDPOINT=f"http://{place}")
        assert_broken(Break(change, LYVE_CONNECT, says, LYVE_CLOUD[1:]), here)


def test_a_name_that_does_not_resolve_is_named_with_the_region(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name is asked for outside of this machine."""
    resolve = socket.getaddrinfo

    def resolve_here(host: str, *rest: object, **more: object) -> object:
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_here)
    del here.environment["LYVE_ENDPOINT"]
    here.environment["LYVE_REGION"] = "us-eest-1"
    name = "s3.us-eest-1.lyvecloud.seagate.com"
    says = (f"the name {name} does not resolve", "Check LYVE_REGION")
    assert_broken(Break(nothing, LYVE_CONNECT, says, LYVE_CLOUD[1:]), here)


def nothing(_: Here) -> None:
    """Changes nothing."""


def test_a_server_that_gives_no_answer_is_told_and_the_rest_is_tried(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = Event()
    asked = []

    def answer(*request: str) -> Reply:
        asked.append(request)
        released.wait()
        return Reply(0)

    monkeypatch.setattr(http_session, "READ_TIMEOUT_SECONDS", 0.2)
    with FakeServer(answer) as server:
        says = ("gives no answer within", "LYVE_ENDPOINT")
        change = environ(LYVE_ENDPOINT=server.url)
        assert_broken(Break(change, LYVE_CONNECT, says, LYVE_CLOUD[1:]), here)
        released.set()
    assert len(asked) == 1


# TLS.


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority."""
    return Authority(tmp_path)


class Tls(NamedTuple):
    """A server's certificate, if the client knows its authority, and what it says then."""

    context: Callable[[Authority], ssl.SSLContext]
    is_known: bool
    says: tuple[str, ...]


CERTIFICATES = {
    "self-signed": Tls(
        Authority.self_signed_context, False, ("self-signed certificate", "AWS_CA_BUNDLE")
    ),
    "of an unknown authority": Tls(
        Authority.context, False, ("unable to get local issuer certificate", "AWS_CA_BUNDLE")
    ),
    "expired": Tls(
        lambda authority: authority.context(days_left=-1),
        True,
        ("certificate has expired", "renewed", "clock"),
    ),
    "for another name": Tls(
        lambda authority: authority.context(host="127.0.0.2"),
        True,
        ("the certificate is not for 127.0.0.1", "LYVE_ENDPOINT"),
    ),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_a_certificate_that_is_not_right_is_named(
    name: str, here: Here, authority: Authority
) -> None:
    certificate = CERTIFICATES[name]
    with FakeServer(always(s3_refusal("AccessDenied")), certificate.context(authority)) as server:
        here.environment["LYVE_ENDPOINT"] = server.url
        if certificate.is_known:
            here.environment["AWS_CA_BUNDLE"] = str(authority.path)
        says = ("TLS: ", "fix: ", *certificate.says)
        assert_broken(Break(nothing, LYVE_CONNECT, says, LYVE_CLOUD[1:]), here)


def test_a_certificate_of_a_known_authority_will_do(here: Here, authority: Authority) -> None:
    with FakeServer(always(s3_refusal("AccessDenied")), authority.context()) as server:
        here.environment["LYVE_ENDPOINT"] = server.url
        here.environment["AWS_CA_BUNDLE"] = str(authority.path)
        table = here.table()
    assert table[LYVE_CONNECT] == passed(server.url)
    assert table["list the audit bucket"].outcome == "failed"


def test_https_in_the_place_of_http_is_named(here: Here) -> None:
    endpoint = here.environment["LYVE_ENDPOINT"].replace("http:", "https:")
    says = ("does not speak TLS", "LYVE_ENDPOINT", "http")
    change = environ(LYVE_ENDPOINT=endpoint)
    assert_broken(Break(change, LYVE_CONNECT, says, LYVE_CLOUD[1:]), here)


# The form of the table.


def test_a_line_of_the_table_is_broken_at_100_columns_and_keeps_its_column() -> None:
    found = list(lines("put events", failed("word " * 30, "Do this " * 20)))
    assert all(len(line) <= COLUMNS for line in found)
    column = found[0].index("word")
    assert found[0].split()[:3] == ["put", "events", "failed"]
    assert all(line[:column].strip() == "" and line[column] != " " for line in found[1:])
    assert [line for line in found if "fix: Do this" in line]


def test_what_a_terminal_must_not_see_is_escaped() -> None:
    (line,) = lines("read an audit object", passed("S3-\x1b[2J\n.gz"))
    assert line.endswith("S3-\\x1b[2J\\n.gz")


def test_the_last_line_sums_up() -> None:
    assert summary(["failed", "passed", "warning", "passed"]) == "passed: 2, warning: 1, failed: 1"


def test_the_table_in_operations_is_as_the_program_prints_it() -> None:
    text = (REPOSITORY / "documentation" / "operations.md").read_text()
    blocks = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    (block,) = (block for block in blocks if ALL[0] in block)
    table = table_of(block)
    printed = ["audit-logs-S3"]
    for what, found in table.items():
        detail, _, fix = found.detail.partition(" fix: ")
        printed += lines(what, Finding(found.outcome, detail, fix))
    printed.append(f"  {summary(found.outcome for found in table.values())}")
    assert block.splitlines() == printed


def test_operations_explains_each_line_and_has_the_figures_of_the_program() -> None:
    text = (REPOSITORY / "documentation" / "operations.md").read_text()
    section = text.partition("\n## The check\n")[2].partition("\n## ")[0]
    explained = re.findall(r"^\| ([a-zA-Z ]+?) \|", section, re.MULTILINE)[1:]
    assert [what for what in explained if what not in HINTS] == list(ALL)
    assert {*HINTS} <= {*explained}
    for figure in (
        f"longer than {check_service.MOST_SECONDS:.0f} seconds",
        f"more than {lyve_check.MOST_SKEW_SECONDS // 60} minutes apart",
        f"among the first {lyve_check.FIRST_OBJECTS:,} and",
        f"the first {lyve_check.FIRST_FOLDERS} folders",
    ):
        assert figure in section
