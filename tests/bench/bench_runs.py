"""The data of the bench, and the runs of one sender between two servers."""

import compileall
import contextlib
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import msgspec

from tests.bench.bench_table import Case, Dataset, Quiet, Run
from tests.bench.measured_process import (
    REPOSITORY,
    MeasuringError,
    Usage,
    cpu_seconds,
    measured,
    memory_bytes,
)
from tests.servers.installation import (
    BUCKET,
    ENGINE,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
    eventually,
)
from tests.servers.listing_server import ListingServer, OldObjects
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import (
    ACCESS_PREFIX,
    DEPLOYMENT,
    GZIP_WINDOW,
    Period,
    audit_lines,
    gzip_lines,
    object_key,
)

SEED = 4
HOUR = timedelta(hours=1)
# The idle daemon's iteration, which must not be a part of what is measured.
ITERATION_SECONDS = 5
STATUS_LINES_SHOWN = 10
# What each sender is run with, before the path of the configuration.
COMMANDS = {
    "daemon": (str(ENGINE), "--once", "--config"),
    "plan": (str(ENGINE), "--plan", "--config"),
    "sequential": ("-m", "tests.bench.sequential_sender"),
}


class Bench:
    """Runs processes between two servers.

    Args:
        lyve_cloud: the running S3 server.
        directory: an existing one, for what the processes say.
    """

    def __init__(self, lyve_cloud: SeaweedFS, directory: Path) -> None:
        self._lyve_cloud = lyve_cloud
        self._directory = directory
        self._s3 = lyve_cloud.client()
        self._numbers = count(1)
        self._empty = self.dataset("empty", [], 0)
        # As in the image, where the bytecode is ready.
        for room in ("services", "utils"):
            compileall.compile_dir(REPOSITORY / room, quiet=1)

    def dataset(
        self, bucket: str, lines: Sequence[bytes], objects: int, log_type: str = "S3"
    ) -> Dataset:
        """Writes events of a type into a new bucket, the same number into each object."""
        self._s3.create_bucket(Bucket=bucket)
        part = len(lines) // max(1, objects)
        parts = (lines[start : start + part] for start in range(0, len(lines), max(1, part)))
        for number, some in enumerate(parts):
            self._s3.put_object(Bucket=bucket, Key=_key(number, log_type), Body=gzip_lines(some))
        return Dataset(bucket, len(lines), objects, log_type)

    def large_dataset(self, bucket: str, lines: Sequence[bytes], parts: int) -> Dataset:
        """Writes one object into a new bucket, with the events anew in each of its parts."""
        self._s3.create_bucket(Bucket=bucket)
        path = self._directory / "large.gz"
        with path.open("wb") as file:
            for part in large_parts(lines, parts):
                file.write(part)
        with path.open("rb") as file:
            self._s3.put_object(Bucket=bucket, Key=_key(0), Body=file)
        path.unlink()
        return Dataset(bucket, len(lines) * parts, 1)

    def run(self, case: Case) -> Run:
        """Runs a case once.

        Raises:
            MeasuringError: it failed.
        """
        with self._standin(case.latency_ms) as standin:
            installed = self._installation(case.dataset, standin)
            installed.configuration["batch_size"] = case.batch_size
            installed.configuration["concurrency"] = case.concurrency
            usage = usage_of(installed, case.sender)
            stream = f"lyve-cloud/{case.dataset.bucket}/{case.dataset.log_type}"
            digest = standin.digest(LOG_GROUP, stream)
            is_once = digest.stored == digest.distinct == case.dataset.events
            return Run(usage, standin.calls().operations["PutLogEvents"], is_once)

    def quiet_hour(self, title: str, old: Sequence[OldObjects], runs: int) -> Quiet:
        """Runs iterations over a bucket that an iteration has seen before, an hour apart.

        Args:
            title: what the bucket holds, in words.
            old: what it holds.
            runs: how many iterations are measured.

        Raises:
            MeasuringError: one of them failed.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        with self._standin(0) as standin, ListingServer(BUCKET, old, now) as server:
            installed = self._installation(self._empty, standin)
            installed.configuration |= {"bucket_name": BUCKET, "mode": "lasthour"}
            installed.environment["LYVE_ENDPOINT"] = server.endpoint_url
            usage_of(installed, "daemon")
            usages = []
            for _ in range(runs):
                server.now += HOUR
                server.pages.clear()
                usages.append(usage_of(installed, "daemon"))
            return Quiet(title, len(server.pages), usages)

    def first_put(self, dataset: Dataset) -> Usage:
        """Returns what a process takes from its start to its first put."""
        with self._standin(0) as standin:
            installed = self._installation(dataset, standin)
            began_seconds = time.monotonic()
            with installed.start("--once") as engine:
                eventually(lambda: _is_put(standin), "a put", engine.process)
                took_seconds = time.monotonic() - began_seconds
                pid = engine.process.pid
                return Usage(took_seconds, cpu_seconds(pid), memory_bytes(pid, "VmHWM"), 0)

    def plan(self) -> Usage:
        """Runs `engine.py --plan` on an empty bucket.

        Raises:
            MeasuringError: it failed.
        """
        with self._standin(0) as standin:
            return usage_of(self._installation(self._empty, standin), "plan")

    def idle(self, seconds: float) -> Usage:
        """Returns what the daemon takes in a time without an iteration.

        Args:
            seconds: how long it is watched.
        """
        with (
            self._standin(0) as standin,
            self._installation(self._empty, standin).start() as daemon,
        ):
            daemon.wait_until_said("The next iteration begins at")
            to_the_hour = HOUR.total_seconds() - time.time() % HOUR.total_seconds()
            if to_the_hour < seconds + ITERATION_SECONDS:
                _watch(daemon.process, to_the_hour + ITERATION_SECONDS)
            before = cpu_seconds(daemon.process.pid)
            _watch(daemon.process, seconds)
            taken = cpu_seconds(daemon.process.pid) - before
            return Usage(seconds, taken, memory_bytes(daemon.process.pid, "VmRSS"), 0)

    def _standin(self, latency_ms: int) -> CloudWatchStandin:
        return CloudWatchStandin(
            discard_messages=True,
            latency_ms=latency_ms,
            fault_operations=["PutLogEvents", "DescribeLogStreams"],
            credentials={ACCESS_KEY: SECRET_KEY},
        )

    def _installation(self, dataset: Dataset, standin: CloudWatchStandin) -> Installation:
        directory = Path(mkdtemp(dir=self._directory))
        installed = Installation(directory, self._lyve_cloud, standin)
        output_bucket = f"{OUTPUT_BUCKET}-{next(self._numbers)}"
        self._s3.create_bucket(Bucket=output_bucket)
        installed.configuration |= {"bucket_name": dataset.bucket, "output_bucket": output_bucket}
        installed.configuration.pop("settle_seconds")
        if dataset.log_type == "Access":
            installed.configuration |= {"log_type": "Access", "prefix": ACCESS_PREFIX}
        return installed


def _is_put(standin: CloudWatchStandin) -> bool:
    return standin.calls().operations.get("PutLogEvents", 0) > 0


def usage_of(installed: Installation, sender: str) -> Usage:
    """Runs a sender on an installation as it is set up, and returns what it took.

    Args:
        installed: where it runs.
        sender: one of `COMMANDS`.

    Raises:
        MeasuringError: it failed.
    """
    installed.config_path.write_text(json.dumps(installed.configuration))
    log_path = installed.directory / "log"
    command = [sys.executable, *COMMANDS[sender], str(installed.config_path)]
    usage = measured(command, installed.environment, log_path)
    if usage.exit_status:
        said = "\n".join(log_path.read_text().splitlines()[-STATUS_LINES_SHOWN:])
        raise MeasuringError(f"the {sender} ended with status {usage.exit_status}:\n{said}")
    return usage


def audit_events(events: int, log_type: str = "S3") -> list[bytes]:
    """Returns events of a type in the last hours, always the same but for their times."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    return list(audit_lines(log_type, events, Period(start, HOUR), SEED))


def lean_events(events: int) -> list[bytes]:
    """Returns events of S3 of some 1,020 bytes, as they are without the answer's headers."""
    found: list[bytes] = []
    for line in audit_events(events):
        document = msgspec.json.decode(line)
        del document["auditEntry"]["responseHeader"]
        found.append(msgspec.json.encode(document))
    return found


def crowded_month(objects: int) -> list[OldObjects]:
    """Returns this month's folder with so many objects."""
    now = datetime.now(UTC).replace(microsecond=0)
    return [OldObjects(f"{now:%B-%Y}/", objects, now - 2 * HOUR)]


def many_folders(folders: int) -> list[OldObjects]:
    """Returns so many folders, each with one old object, and this month's."""
    newest = datetime.now(UTC).replace(microsecond=0) - 60 * 24 * HOUR
    return [
        *crowded_month(1),
        *(OldObjects(f"archive-{number:05d}/", 1, newest) for number in range(folders)),
    ]


def large_parts(lines: Sequence[bytes], parts: int) -> Iterator[bytes]:
    """Yields the parts of one gzip object, each with another deployment's id in all events."""
    content = b"\n".join([*lines, b""])
    for number in range(parts):
        # Another id of the same length: the parts differ in each line, and not in size.
        other = content.replace(DEPLOYMENT.encode(), b"%036x" % number)
        pack = zlib.compressobj(wbits=GZIP_WINDOW)
        yield pack.compress(other) + pack.flush()


def _key(number: int, log_type: str = "S3") -> str:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR
    return object_key(log_type, at + timedelta(seconds=number))


def _watch(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        raise MeasuringError(f"the idle daemon ended with status {process.returncode}")
