"""The main job from end to end on made-up audit logs, for a person to look at: `tests/run demo`."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import boto3

from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin, Event
from tests.standin.moto_process import LOOPBACK
from tests.world.audit_events import ACCESS_PREFIX, Period, audit_lines, gzip_lines, object_key

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client

ENGINE = Path(__file__).parents[1] / "engine.py"
ENGINE_TIMEOUT_S = 300
LOOK_AGAIN_S = 0.02
# How long CloudWatch takes for an answer, and which share of the requests it refuses.
LATENCY_MS = 40
THROTTLED = 0.3
# How long the next start watches the checkpoint of the killed one: less than by default, so that
# this is short.
SETTLE_SECONDS = 2
REGION = "us-east-1"
BUCKET = "audit-logs"
OUTPUT_BUCKET = "audit-logs-integration"
LOG_GROUP = "lyve-cloud-audit-logs"
AWS_ACCESS = "demo-aws-access"
AWS_SECRET = "demo-aws-secret"
# What Lyve Cloud writes each hour: the type, the bucket that is logged, the number of events.
HOURLY_OBJECTS = (
    ("S3", "vm-backups", 800),
    ("S3", "media-archive", 800),
    ("IAM", "", 200),
    ("Console", "", 200),
    ("Access", "web-assets", 400),
)
HOURS = 6
# Finds the operation of an event of each type in its message.
OPERATION: dict[str, Callable[[str], str]] = {
    "S3": lambda message: str(json.loads(message)["auditEntry"]["api"]["name"]),
    "IAM": lambda message: str(json.loads(message)["description"]),
    "Console": lambda message: str(json.loads(message)["ConsoleEvent"]["Eventname"]),
    "Access": lambda message: message.split()[7],
}
WIDTH = 90
SHOWN_OPERATIONS = 2
SHOWN_CHARACTERS = 130


class AuditObject(NamedTuple):
    """An object of the audit bucket, before it is packed."""

    log_type: str
    key: str
    lines: list[bytes]


class DemoError(Exception):
    """The daemon did not do what this shows; the message says what happened."""


class Demo:
    """The steps, on servers that run already.

    Args:
        lyve_cloud: the S3 server.
        cloudwatch: the stand-in for CloudWatch Logs.
        directory: for the configuration and what the daemon says.
    """

    def __init__(
        self, lyve_cloud: SeaweedFS, cloudwatch: CloudWatchStandin, directory: Path
    ) -> None:
        self._s3: S3Client = lyve_cloud.client()
        self._cloudwatch = cloudwatch
        self._logs: CloudWatchLogsClient = boto3.client(
            "logs",
            endpoint_url=cloudwatch.endpoint_url,
            region_name=REGION,
            aws_access_key_id=AWS_ACCESS,
            aws_secret_access_key=AWS_SECRET,
        )
        self._directory = directory
        self._environment = engine_variables(lyve_cloud, cloudwatch.endpoint_url)
        self._shown: set[str] = set()

    def run(self) -> None:
        """Shows every step.

        Raises:
            DemoError: the daemon failed, or an event is missing or stored twice.
        """
        written = self._write_audit_logs()
        self._kill_in_the_middle(sum(lines.total() for lines in written.values()))
        self._iterate("Started again: engine.py --once")
        arrived = {log_type: Counter(self._messages(log_type)) for log_type in OPERATION}
        self._show_event()
        show_operations(arrived)
        show_comparison(written, arrived)
        self._iterate("The next hour: engine.py --once, with nothing new to ship")
        again = {log_type: Counter(self._messages(log_type)) for log_type in OPERATION}
        self._verify()
        check(written, arrived, again)

    def _write_audit_logs(self) -> dict[str, Counter[str]]:
        section(f"Audit logs, written to the bucket {BUCKET} as Lyve Cloud writes them")
        for bucket in (BUCKET, OUTPUT_BUCKET):
            self._s3.create_bucket(Bucket=bucket)
        self._logs.create_log_group(logGroupName=LOG_GROUP)
        written: dict[str, Counter[str]] = {log_type: Counter() for log_type in OPERATION}
        keys: dict[str, list[str]] = {log_type: [] for log_type in OPERATION}
        for log_type, key, lines in audit_objects(datetime.now(UTC)):
            self._s3.put_object(Bucket=BUCKET, Key=key, Body=gzip_lines(lines))
            written[log_type].update(line.decode() for line in lines)
            keys[log_type].append(key)
        for log_type, events in written.items():
            objects = keys[log_type]
            print(
                f"  {log_type:<8} {events.total():>6,} events in {len(objects)} objects,", end=" "
            )
            print(f"the last one {objects[-1]}")
        return written

    def _kill_in_the_middle(self, events: int) -> None:
        section("First iteration: engine.py --once, while CloudWatch throttles")
        share = {"throttled": THROTTLED}
        self._cloudwatch.control(latency_ms=LATENCY_MS, probabilities=share)
        with started_engine(self._directory, self._environment) as engine:
            while engine.poll() is None and self._stored() < events // 3:
                time.sleep(LOOK_AGAIN_S)
            if engine.poll() is not None:
                raise DemoError("engine.py ended before it was killed" + self._last_words())
            engine.kill()
        # What a killed process had sent can still be on its way.
        refused = self._cloudwatch.calls().outcomes["PutLogEvents"].get("throttled", 0)
        print(f"  CloudWatch refused {refused} of the requests: too many of them.")
        print(f"  Killed (SIGKILL) with {self._stored():,} of {events:,} events stored.")
        # What it said of sources that it had ended is not shown as the next start's.
        self._shown |= self._status_keys()
        self._cloudwatch.control(latency_ms=0, probabilities={})

    def _stored(self) -> int:
        stored = 0
        for log_type in OPERATION:
            # Without a first event there is no stream either.
            with suppress(ValueError):
                stored += self._cloudwatch.digest(LOG_GROUP, stream_of(log_type)).stored
        return stored

    def _iterate(self, title: str) -> None:
        section(title)
        started = time.monotonic()
        status = run_engine(self._directory, self._environment)
        print(f"  Exit status {status}, after {time.monotonic() - started:.1f} s. It says:")
        told: set[str] = set()
        for line in self._new_status_lines():
            # What several sources say alike is shown once; what each has sent, for each.
            words = line.partition(" ")[2].partition(" source=")[0]
            if words in told and "Done sending" not in words:
                continue
            told.add(words)
            print(f"    {line}" if len(line) <= WIDTH else f"    {line[:WIDTH]} ...")
        if status:
            raise DemoError(f"engine.py ended with status {status}" + self._last_words())

    def _verify(self) -> None:
        section("The proof: engine.py --verify, which reads both sides and no checkpoint")
        status = run_engine(self._directory, self._environment, "--verify")
        said = (self._directory / "engine.log").read_text()
        whole = re.findall(r": Whole: CloudWatch holds each of ([\d,]+) logs once\.", said)
        print(f"  Whole, each of {len(whole)} sources: {' + '.join(whole)} logs, each there once.")
        if status:
            raise DemoError(f"engine.py --verify ended with status {status}" + self._last_words())

    def _last_words(self) -> str:
        said = (self._directory / "engine.log").read_text(errors="replace")
        return f". It said:\n{said[-2000:]}"

    def _new_status_lines(self) -> Iterator[str]:
        keys = self._status_keys() - self._shown
        self._shown |= keys
        for key in sorted(keys):
            body = self._s3.get_object(Bucket=OUTPUT_BUCKET, Key=key)["Body"].read()
            yield from body.decode().splitlines()

    def _status_keys(self) -> set[str]:
        # By year; beside these stands the last status of each source, which is JSON.
        listing = self._s3.list_objects_v2(Bucket=OUTPUT_BUCKET, Prefix="integration-logs/2")
        return {entry["Key"] for entry in listing.get("Contents", [])}

    def _show_event(self) -> None:
        section(f"An event, as CloudWatch holds it in the log group {LOG_GROUP}")
        for event in islice(self._events("S3"), 1):
            at = datetime.fromtimestamp(event.timestamp / 1000, UTC)
            print(f"  {at.isoformat(timespec='milliseconds')}  {stream_of('S3')}")
            shown = event.message[:SHOWN_CHARACTERS]
            print(wrapped(f"{shown} ... ({len(event.message):,} characters)"))

    def _messages(self, log_type: str) -> Iterator[str]:
        return (event.message for event in self._events(log_type))

    def _events(self, log_type: str) -> Iterator[Event]:
        with suppress(ValueError):
            yield from self._cloudwatch.events(LOG_GROUP, stream_of(log_type))


def audit_objects(now: datetime) -> Iterator[AuditObject]:
    """Yields what Lyve Cloud would have written in the last hours.

    Args:
        now: the hours end at this one's beginning, UTC.
    """
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=hours_ago) for hours_ago in range(HOURS, 0, -1)]
    for seed, (hour, (log_type, bucket, count)) in enumerate(product(hours, HOURLY_OBJECTS)):
        period = Period(hour, timedelta(hours=1))
        lines = list(audit_lines(log_type, count, period, seed, bucket))
        yield AuditObject(log_type, object_key(log_type, hour + period.span, bucket), lines)


def engine_variables(lyve_cloud: SeaweedFS, aws_endpoint_url: str) -> dict[str, str]:
    """Returns the variables with which the daemon finds the servers.

    Args:
        lyve_cloud: the S3 server.
        aws_endpoint_url: of the server of CloudWatch Logs.
    """
    return {
        "LYVE_ACCESS": lyve_cloud.access_key,
        "LYVE_SECRET": lyve_cloud.secret_key,
        "LYVE_REGION": lyve_cloud.region,
        "LYVE_ENDPOINT": lyve_cloud.endpoint_url,
        "AWS_ACCESS": AWS_ACCESS,
        "AWS_SECRET": AWS_SECRET,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": aws_endpoint_url,
    }


def stream_of(log_type: str) -> str:
    """Returns the name of the log stream that a source has when the configuration names none."""
    return f"lyve-cloud/{BUCKET}/{log_type}"


def run_engine(directory: Path, variables: Mapping[str, str], option: str = "--once") -> int:
    """Runs the program as a process and returns its exit status.

    Args:
        directory: for the configuration, and for what the process says, in engine.log.
        variables: of the environment, the documented ones.
        option: what it is to do: one iteration, if nothing else.

    Raises:
        DemoError: the process took too long.
    """
    with started_engine(directory, variables, option) as engine:
        try:
            return engine.wait(ENGINE_TIMEOUT_S)
        except subprocess.TimeoutExpired as exc:
            raise DemoError(f"engine.py did not end within {ENGINE_TIMEOUT_S} s") from exc


@contextmanager
def started_engine(
    directory: Path, variables: Mapping[str, str], option: str = "--once"
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the program as a process, and ends it when the context is left.

    Args:
        directory: for the configuration, and for what the process says, in engine.log.
        variables: of the environment, the documented ones.
        option: what it is to do: one iteration, if nothing else.
    """
    configuration = directory / "config.json"
    configuration.write_text(
        json.dumps(
            {
                "bucket_name": BUCKET,
                "output_bucket": OUTPUT_BUCKET,
                "mode": "all",
                "log_group": LOG_GROUP,
                "settle_seconds": SETTLE_SECONDS,
                "sources": [
                    {"name": BUCKET, "log_type": ["S3", "IAM", "Console"]},
                    {"name": "access", "log_type": "Access", "prefix": ACCESS_PREFIX},
                ],
            }
        )
    )
    command = [sys.executable, str(ENGINE), option, "--config", str(configuration)]
    with (directory / "engine.log").open("wb") as log:
        engine = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log)
        try:
            yield engine
        finally:
            engine.kill()
            engine.wait()


def show_operations(arrived: Mapping[str, Counter[str]]) -> None:
    """Prints the most frequent operations of each type."""
    section("Events by operation, counted from what CloudWatch holds")
    for log_type, messages in arrived.items():
        operations = Counter(map(OPERATION[log_type], messages.elements()))
        most = operations.most_common(SHOWN_OPERATIONS)
        for name, count in most:
            bar = "#" * max(1, 22 * count // most[0][1])
            print(f"  {log_type:<8} {name:<38} {count:>5}  {bar}")


def show_comparison(
    written: Mapping[str, Counter[str]], arrived: Mapping[str, Counter[str]]
) -> None:
    """Prints for each type what was written and what arrived of it."""
    section("What the audit bucket holds against what CloudWatch holds")
    print(f"  {'type':<8} {'written':>10} {'arrived':>10} {'missing':>10} {'twice':>10}")
    for log_type, lines in written.items():
        found = arrived[log_type]
        missing, twice = (lines - found).total(), (found - lines).total()
        print(
            f"  {log_type:<8} {lines.total():>10,} {found.total():>10,} {missing:>10} {twice:>10}"
        )


def check(
    written: Mapping[str, Counter[str]],
    arrived: Mapping[str, Counter[str]],
    again: Mapping[str, Counter[str]],
) -> None:
    """Prints the closing line if all is well.

    Raises:
        DemoError: an event is missing or stored twice, or the last iteration stored some.
    """
    if arrived != written:
        raise DemoError("events are missing or stored twice, see the table above")
    if again != arrived:
        raise DemoError("the last iteration stored events that CloudWatch had already")
    total = sum(lines.total() for lines in written.values())
    print(f"\nAll {total:,} events arrived, each once; the last iteration sent none.")
    print("Next: README.md, from step 1 on, for your own buckets and log group.")


def section(title: str) -> None:
    """Prints a heading."""
    print(f"\n{title}", flush=True)


def wrapped(text: str) -> str:
    """Returns the text in lines that fit the width, indented."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent="    ",
        subsequent_indent="      ",
        break_on_hyphens=False,
    )


def use_no_settings_of_this_machine() -> None:
    """Takes what the environment says of AWS, Lyve Cloud and proxies out of it."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "LYVE_")):
            del os.environ[name]
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update(nowhere, NO_PROXY=LOOPBACK, no_proxy=LOOPBACK)


def main() -> int:
    """Runs the demo and returns its exit status: 0 when each event arrived once."""
    # A shell that starts this in the background has it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    use_no_settings_of_this_machine()
    print("Lyve Cloud audit logs to AWS CloudWatch, on this machine alone")
    try:
        with TemporaryDirectory() as name, SeaweedFS(Path(name)) as lyve_cloud:
            print(
                f"  Lyve Cloud is SeaweedFS, an S3 server, at {lyve_cloud.endpoint_url}", flush=True
            )
            with CloudWatchStandin() as cloudwatch:
                print(f"  CloudWatch is a stand-in, as strict, at {cloudwatch.endpoint_url}")
                Demo(lyve_cloud, cloudwatch, Path(name)).run()
    except DemoError as exc:
        print(f"\nFAILED: {exc}")
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; all that was started has ended.")
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
