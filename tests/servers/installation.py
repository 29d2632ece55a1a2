"""The program as a person installs it, and what it left in both services."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from io import BytesIO, TextIOWrapper
from pathlib import Path, PurePosixPath
from threading import Timer
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self
from unittest.mock import patch

import boto3
import pytest

from engine import main
from services.daemon.iterations import forget_clients
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import Event
from tests.standin.moto_process import LOOPBACK

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ObjectIdentifierTypeDef

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "engine.py"
BUCKET = "audit-logs"
OUTPUT_BUCKET = "audit-logs-integration"
LOG_GROUP = "lyve-cloud-audit-logs"
# Of a source beside another one.
SLOW_GROUP = "slow-tenant"
AWS_REGION = "us-east-1"
# A run that takes longer hangs: no test waits for the end of this.
DEADLINE_SECONDS = 60.0
LOOK_SECONDS = 0.02
# https://docs.docker.com/reference/cli/docker/container/stop/ kills ten seconds after its signal.
STOP_SECONDS = 10.0
# A busy machine takes longer; what hangs would take a minute.
_STOP_SECONDS_WHEN_BUSY = 3 * STOP_SECONDS

_LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (INFO|WARN|ERROR) (.+?)((?: source=.*)?)")
_PAIR = re.compile(r" ([a-z_]+)=(?:(\"(?:[^\"\\]|\\.)*\")|(\S*))")
_SECRETS = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")


class LogStore(Protocol):
    """A server in the place of CloudWatch Logs."""

    endpoint_url: str

    def events(self, group: str, stream: str) -> Iterable[Event]:
        """Yields what a stream holds.

        Raises:
            ValueError: no such group or stream.
        """


class StatusLine(NamedTuple):
    """A status line in its parts; `text` stands between the level and the pairs."""

    time: datetime
    level: str
    text: str
    pairs: Mapping[str, str]

    def figures(self, *names: str) -> dict[str, int]:
        """Returns some pairs as numbers."""
        return {name: int(self.pairs[name]) for name in names}


class Outcome(NamedTuple):
    """What a run left behind."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[StatusLine]:
        """The status lines on standard error.

        Raises:
            AssertionError: there is something else on it.
        """
        return status_lines(self.stderr)

    @property
    def done(self) -> StatusLine:
        """The only line that says that logs were sent."""
        (line,) = (line for line in self.lines if line.text.startswith("Done sending"))
        return line

    @property
    def errors(self) -> list[StatusLine]:
        """The lines that report a failure."""
        return [line for line in self.lines if line.level == "ERROR"]


class RunningEngine:
    """The engine as a process of its own; leaving the context kills it.

    Args:
        command: what is run.
        environment: all of its variables.
        directory: an existing one, for what the process says.
        stderr: takes standard error in the directory's place.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        directory: Path,
        stderr: int | None = None,
    ) -> None:
        self.directory = directory
        self._stdout = directory / f"{time.monotonic_ns()}.stdout"
        self._stderr = self._stdout.with_suffix(".stderr")
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=said if stderr is None else stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return self._stderr.read_text()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self.process.send_signal(number)

    def wait(self, timeout_seconds: float = DEADLINE_SECONDS) -> Outcome:
        """Waits for its end.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """
        status = self.process.wait(timeout_seconds)
        return Outcome(status, self._stdout.read_text(), self.stderr)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Outcome:
        """Asks it to end and waits for that, as Docker would."""
        self.send(number)
        return self.wait(_STOP_SECONDS_WHEN_BUSY)

    def wait_until_said(self, text: str) -> None:
        """Waits until it has written a text on standard error."""
        eventually(lambda: text in self.stderr, f"{text!r} on standard error", self.process)


class Installation:
    """The program with a configuration, an environment, two empty buckets and a log group.

    `configuration` and `environment` are what the next run begins with: change them as needed.

    Args:
        directory: an existing one, for config.json and what the runs say.
        lyve_cloud: a running server, with the two buckets.
        cloudwatch: a running server; the log group is made here.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, cloudwatch: LogStore) -> None:
        self.directory = directory
        self.cloudwatch = cloudwatch
        self.s3 = lyve_cloud.client()
        self.logs = boto3.client(
            "logs",
            endpoint_url=cloudwatch.endpoint_url,
            region_name=AWS_REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        self.logs.create_log_group(logGroupName=LOG_GROUP)
        self.config_path = directory / "config.json"
        self.configuration: dict[str, object] = {
            "bucket_name": BUCKET,
            "output_bucket": OUTPUT_BUCKET,
            "log_type": "S3",
            "mode": "all",
            "log_group": LOG_GROUP,
            "settle_seconds": 0.4,
        }
        self.environment = {
            **_neutral(os.environ),
            "LYVE_ACCESS": lyve_cloud.access_key,
            "LYVE_SECRET": lyve_cloud.secret_key,
            "LYVE_REGION": lyve_cloud.region,
            "LYVE_ENDPOINT": lyve_cloud.endpoint_url,
            "AWS_ACCESS": ACCESS_KEY,
            "AWS_SECRET": SECRET_KEY,
            "AWS_REGION": AWS_REGION,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": cloudwatch.endpoint_url,
        }
        self.secrets: set[str] = set()
        self._running: list[RunningEngine] = []
        self._written: dict[str, bytes] = {}

    # What goes in.

    def put(self, key: str, body: bytes, bucket: str = BUCKET) -> None:
        """Writes an object, into the audit bucket unless another is named."""
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def run(self, *arguments: str) -> Outcome:
        """Runs the engine to its end, in this process: the start of one would take most of it.

        Raises:
            AssertionError: it does not end.
        """
        path = self.write_configuration()
        outcome = run_here(["--config", str(path), *arguments], self.environment)
        self._written[f"run {len(self._written)}"] = f"{outcome.stdout}{outcome.stderr}".encode()
        return outcome

    def once(self) -> Outcome:
        """Runs one iteration, in this process."""
        return self.run("--once")

    def run_as_process(self, *arguments: str) -> Outcome:
        """Runs the engine to its end, as a person does.

        Raises:
            subprocess.TimeoutExpired: it does not end.
        """
        with self.start(*arguments) as engine:
            return engine.wait()

    def start(
        self, *arguments: str, program: Path = ENGINE, stderr: int | None = None
    ) -> RunningEngine:
        """Starts the engine with the configuration and the environment as they are now."""
        path = self.write_configuration()
        command = [sys.executable, str(program), "--config", str(path), *arguments]
        engine = RunningEngine(command, self.environment, self.directory, stderr)
        self._running.append(engine)
        return engine

    def write_configuration(self) -> Path:
        """Writes config.json as it is now, and returns its path; the secrets are to be kept."""
        self.config_path.write_text(json.dumps(self.configuration))
        self.secrets |= {self.environment.get(name, "") for name in _SECRETS} - {""}
        return self.config_path

    # What came out.

    def stored(self, log_type: str = "S3", bucket: str = BUCKET) -> list[tuple[int, str]]:
        """Returns time in ms and message of all events of a default log stream, as ingested."""
        events = self.cloudwatch.events(LOG_GROUP, f"lyve-cloud/{bucket}/{log_type}")
        return [(event.timestamp, event.message) for event in events]

    def messages(self, log_type: str = "S3") -> list[str]:
        """Returns the messages alone."""
        return [message for _, message in self.stored(log_type)]

    def checkpoint(self, source: str = f"{BUCKET}-S3") -> dict[str, object]:
        """Returns the checkpoint as its object holds it."""
        document: dict[str, object] = json.loads(self.output(f"integration-state/{source}.json"))
        return document

    def quarantine(
        self, source: str = "", bucket: str = OUTPUT_BUCKET
    ) -> dict[tuple[str, int], dict[str, object]]:
        """Returns the quarantined lines' entries by the object's key and the line's number.

        Args:
            source: whose, all if it is empty.
            bucket: the output bucket.
        """
        prefix = f"integration-quarantine/{source}"
        keys = [key for key in keys_of(self.s3, bucket) if key.startswith(prefix)]
        bodies = [self.s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
        entries = [json.loads(line) for body in bodies for line in body.splitlines()]
        return {(entry["key"], entry["line_number"]): entry for entry in entries}

    def status_objects(self) -> dict[str, str]:
        """Returns the status objects' texts by key, in the order of the keys."""
        keys = [key for key in self.output_keys() if key.startswith("integration-logs/2")]
        return {key: self.output(key).decode() for key in keys}

    def latest(self, source: str = f"{BUCKET}-S3") -> dict[str, object]:
        """Returns the last status of a source."""
        document: dict[str, object] = json.loads(self.latest_objects()[source])
        return document

    def latest_objects(self) -> dict[str, str]:
        """Returns the last status of each source as it is stored."""
        names = [
            re.fullmatch(r"integration-logs/latest-(.*)\.json", key) for key in self.output_keys()
        ]
        return {name[1]: self.output(name[0]).decode() for name in names if name}

    def output_keys(self) -> list[str]:
        """Returns all keys of the output bucket."""
        return list(keys_of(self.s3, OUTPUT_BUCKET))

    def output(self, key: str) -> bytes:
        """Returns an object of the output bucket."""
        return self.s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read()

    def close(self) -> None:
        """Kills what still runs, and sees that no secret has been written anywhere.

        Raises:
            AssertionError: a secret stands in the output bucket or in what the runs said.
        """
        for engine in self._running:
            engine.__exit__(None, None, None)
        said = [path for path in self.directory.iterdir() if path.suffix in {".stdout", ".stderr"}]
        written = self._written | {path.name: path.read_bytes() for path in said}
        written |= {key: self.output(key) for key in self.output_keys()}
        for secret in self.secrets:
            leaks = [name for name, content in written.items() if secret.encode() in content]
            assert not leaks, f"a secret stands in {leaks}"


def run_here(arguments: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Runs the engine to its end in this process, with clients of its own as a new one has.

    Args:
        arguments: of the command line, without the program's name.
        environment: all of its variables.

    Raises:
        AssertionError: it does not end.
    """
    streams = [TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    hangs: list[bool] = []

    def stop() -> None:
        hangs.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    timer = Timer(DEADLINE_SECONDS, stop)
    forget_clients()
    with (
        patch.dict(os.environ, environment, clear=True),
        redirect_stdout(streams[0]),
        redirect_stderr(streams[1]),
    ):
        timer.start()
        try:
            status = main(arguments)
        except SystemExit as exc:
            status = int(exc.code or 0)
        finally:
            timer.cancel()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    stdout, stderr = (stream.detach() for stream in streams)
    outcome = Outcome(status, stdout.getvalue().decode(), stderr.getvalue().decode())
    assert not hangs, f"it hangs:\n{outcome.stderr}"
    return outcome


def try_again_soon(patch: pytest.MonkeyPatch) -> None:
    """Makes the pauses between tries short: a server that lies need not be waited for."""
    patch.setattr("services.threads.backoff._FIRST_PAUSE_SECONDS", 0.01)


def status_lines(text: str) -> list[StatusLine]:
    """Returns the parts of each line.

    Raises:
        AssertionError: a line has another form.
    """
    return [_status_line(line) for line in text.splitlines()]


def eventually(
    condition: Callable[[], bool], what: str, process: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Waits until a condition holds.

    Args:
        condition: looked at again and again.
        what: it is, for the error.
        process: whose end is the end of waiting.

    Raises:
        AssertionError: it did not come to hold.
    """
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    while True:
        has_ended = process is not None and process.poll() is not None
        if condition():
            return
        assert not has_ended, f"the process ended without {what}"
        assert time.monotonic() < give_up_at, f"{what} did not come within {DEADLINE_SECONDS} s"
        time.sleep(LOOK_SECONDS)


def keys_of(client: "S3Client", bucket: str) -> Iterator[str]:
    """Yields all keys of a bucket in their order."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (entry["Key"] for entry in page.get("Contents", []))


def empty(client: "S3Client", bucket: str) -> None:
    """Deletes all objects of a bucket, and the folders that SeaweedFS keeps without them."""
    keys = list(keys_of(client, bucket))
    for first in range(0, len(keys), 1000):
        page: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[first : first + 1000]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": page})
    folders = {f"{folder}/" for key in keys for folder in PurePosixPath(key).parents[:-1]}
    for folder in sorted(folders, key=len, reverse=True):
        client.delete_object(Bucket=bucket, Key=folder)


def _status_line(line: str) -> StatusLine:
    parts = _LINE.fullmatch(line)
    assert parts, f"not a status line: {line!r}"
    moment, level, text, pairs = parts.groups()
    assert not _PAIR.sub("", pairs), f"not pairs: {pairs!r}"
    found = {
        name: json.loads(quoted) if quoted else plain
        for name, quoted, plain in _PAIR.findall(pairs)
    }
    return StatusLine(datetime.fromisoformat(moment), level, text, found)


def _neutral(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables without this machine's own set-up for AWS or a proxy."""
    kept = {name: value for name, value in variables.items() if not _is_set_up(name)}
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": LOOPBACK,
    }


def _is_set_up(name: str) -> bool:
    return name.startswith(("AWS_", "LYVE_")) or name.lower().endswith("_proxy")
