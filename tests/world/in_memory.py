"""Lyve Cloud and CloudWatch Logs in memory, with a clock that no test waits for.

The program runs on them as it is: only its clients, at the border to botocore, are replaced.
Every call of a process passes `Life.reach`, where a fault or the end of the process can strike.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from threading import RLock

import pytest
from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from services.audit.repair import Repair
from services.audit.verification import Auditor, Days, Verification
from services.output.status import StatusLog
from services.shipping.iteration import Iteration
from services.shipping.shared import Report, Shared
from tests.standin.cloudwatch_requests import CreateLogGroup
from tests.standin.cloudwatch_settings import Settings
from tests.standin.cloudwatch_store import StoredEvent
from tests.world.faults import Fault, Killed, Life, Line
from tests.world.in_memory_logs import (
    LOG_GROUP,
    LOG_STREAM,
    MemoryAccount,
    MemoryHttp,
    MemoryLogs,
)
from tests.world.in_memory_s3 import BUCKET, OUTPUT_BUCKET, Bucket, MemoryS3, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS, NoWait, VirtualTime
from utils.audit.audit import Audit
from utils.config.settings import AwsAccess, LyveAccess, Source
from utils.errors import ForwarderError
from utils.model import Clock, Counts, Gauge, Start

STATE_KEY = "integration-state/audit-logs-S3.json"


class RepairRun(Struct):
    """What a repair came to."""

    life: Life
    repaired: Verification | None = None
    error: ForwarderError | None = None


class World:
    """Both services, and everything that ever happened to them.

    Args:
        settings: of CloudWatch's stand-in.
    """

    def __init__(self, **settings: object) -> None:
        self.time = VirtualTime()
        self.lock = RLock()
        self.account = MemoryAccount(self.time, convert(settings, Settings))
        self.buckets: dict[str, Bucket] = {BUCKET: {}, OUTPUT_BUCKET: {}}
        self.stop = NoWait(self.time)
        self.lasthour_ms = NOON_MS - HOUR_MS
        self._began_ms: dict[str, int] = {}
        self.make_group()

    def make_group(self) -> None:
        """Makes the log group."""
        CreateLogGroup(log_group_name=LOG_GROUP).apply(self.account)

    def put(self, key: str, content: bytes, modified_ms: int) -> None:
        """Writes an audit-log object."""
        self.buckets[BUCKET][key] = StoredObject(content, modified_ms)

    def run(self, source: Source, faults: Mapping[str, Fault] | None = None) -> Life:
        """Runs one iteration as a process of its own, to its end or until it is killed.

        Args:
            source: what to ship.
            faults: by the name of the point where they strike, such as `put 3 done`.
        """
        life = Life(faults or {})
        self.iterate(life, source)
        life.end()
        return life

    def iterate(self, life: Life, source: Source) -> bool:
        """Runs one iteration of a process that may go on afterwards; returns if all went well."""
        start = self._start(life, self.time.machine_ms)

        def work() -> bool:
            iteration = self._iteration(source)
            is_good = iteration.run(start)
            life.owed = iteration.owed
            return is_good

        self._attempt(life, work)
        return life.is_good

    def start_up(self, source: Source) -> None:
        """Starts and stops a daemon before its first iteration: coverage begins an hour before."""
        life = Life({})
        start = self._start(life, NOON_MS + self.time.machine_ahead_ms)
        self._attempt(life, lambda: self._iteration(source).start_up(start))
        life.end()

    def verify(
        self,
        source: Source,
        days: Days | None = None,
        rate: float = 1e6,
        faults: Mapping[str, Fault] | None = None,
    ) -> Audit:
        """Compares the bucket with the log streams, as a process of its own."""
        clock = Clock(self.time.machine_now, self.time.seconds)
        found: list[Audit] = []

        def work() -> bool:
            auditor = Auditor(days or Days(), rate, clock, self.stop)
            found.append(auditor.compare(source).audit)
            return found[0].is_whole

        life = Life(faults or {})
        self._attempt(life, work)
        life.end()
        return found[0]

    def repair(
        self, source: Source, faults: Mapping[str, Fault] | None = None, days: Days | None = None
    ) -> RepairRun:
        """Repairs as a process of its own, to its end or until it is killed."""
        clock = Clock(self.time.machine_now, self.time.seconds)
        life = Life(faults or {})
        run = RepairRun(life)

        def work() -> bool:
            shared = Shared(clock, self.stop)
            report = Report(StatusLog(source.name, clock), Counts(), Gauge())
            auditor = Auditor(days or Days(), 1e6, clock, self.stop)
            repair = Repair(source, auditor, report, shared)
            try:
                run.repaired = repair.run(self._start(life, self.time.machine_ms))
            except ForwarderError as exc:
                run.error = exc
                return False
            return run.repaired.audit.is_whole

        self._attempt(life, work)
        life.end()
        return run

    def tamper(self, change: Callable[[list[StoredEvent]], list[StoredEvent]]) -> None:
        """Gives the source's log stream other events than it was sent."""
        archive = self.account.groups[LOG_GROUP].streams[LOG_STREAM].archive
        changed = change(list(archive.ingested()))
        archive.rewrite([replace(one, number=self.account.next_number()) for one in changed])

    def stored(self) -> list[tuple[int, str]]:
        """Returns time in ms and message of all events of all streams, as ingested."""
        streams = self.account.groups[LOG_GROUP].streams.values()
        events = [event for stream in streams for event in stream.archive.ingested()]
        return [(event.timestamp, event.message) for event in events]

    def messages(self) -> Counter[str]:
        """Returns how often each message is stored."""
        return Counter(message for _, message in self.stored())

    def keys(self, prefix: str) -> list[str]:
        """Returns the keys of the output bucket that begin with a prefix."""
        return [key for key in sorted(self.buckets[OUTPUT_BUCKET]) if key.startswith(prefix)]

    def output(self, key: str) -> bytes:
        """Returns an object of the output bucket."""
        return self.buckets[OUTPUT_BUCKET][key].content

    def write_state(self, document: bytes) -> None:
        """Puts another checkpoint in the place of the program's."""
        self.buckets[OUTPUT_BUCKET][STATE_KEY] = StoredObject(document, self.time.now_ms)

    def statuses(self) -> list[str]:
        """Returns all status lines of all iterations, in their order."""
        objects = self.buckets[OUTPUT_BUCKET].items()
        texts = [
            one.content.decode() for key, one in objects if key.startswith("integration-logs/2")
        ]
        return [line for text in texts for line in text.splitlines()]

    def copy(self, state: bytes) -> "World":
        """Returns the same world at this moment, with another checkpoint."""
        world = World(**to_builtins(self.account.settings))
        world.time.now_ms = self.time.now_ms
        world.buckets = {name: dict(bucket) for name, bucket in self.buckets.items()}
        world.write_state(state)
        world.account.groups = deepcopy(self.account.groups)
        return world

    def _iteration(self, source: Source) -> Iteration:
        clock = Clock(self.time.machine_now, self.time.seconds)
        return Iteration(source, Shared(clock, self.stop))

    def _start(self, life: Life, now_ms: int) -> Start:
        began_ms = self._began_ms.setdefault(life.name, self.time.now_ms)
        since_ago_ms = self.time.now_ms - self.lasthour_ms
        return Start(life.name, now_ms, since_ago_ms, self.time.now_ms - began_ms)

    def _attempt(self, life: Life, work: Callable[[], bool]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            self._replace_clients(patch, Line(life, self.lock))
            life.is_good = False
            try:
                life.is_good = work()
            except Killed:
                life.is_killed = True

    def _replace_clients(self, patch: pytest.MonkeyPatch, line: Line) -> None:
        account = self.account
        s3 = MemoryS3(self.buckets, self.time, line)
        replaced: dict[str, Callable[..., object]] = {
            "tests.standin.cloudwatch_events.monotonic": self.time.seconds,
            "services.shipping.forward.s3_client": lambda *_: s3,
            "services.shipping.forward.Workers": self.stop.workers,
            "services.audit.repair.Workers": self.stop.workers,
            "services.pull_logs_service.GetClient": lambda *_: s3,
            "services.aws.put_request.http_session": lambda *_: MemoryHttp(account, line),
            "services.upload_cloudwatch_logs_service.logs_client": lambda *_: MemoryLogs(
                account, line
            ),
            "services.audit.verification.s3_client": lambda *_: s3,
            "services.audit.repair.s3_client": lambda *_: s3,
            "services.audit.verification.logs_client": lambda *_: MemoryLogs(account, line),
        }
        for name, replacement in replaced.items():
            patch.setattr(name, replacement)


def source_of(**changes: object) -> Source:
    """Returns a source on the world's buckets, with small batches, and with changes."""
    settings: dict[str, object] = {
        "name": "audit-logs-S3",
        "bucket_name": BUCKET,
        "output_bucket": OUTPUT_BUCKET,
        "log_type": "S3",
        "since_ms": 0,
        "log_group": LOG_GROUP,
        "log_stream": LOG_STREAM,
        "batch_size": 3,
        "concurrency": 2,
        "settle_seconds": 30.0,
        "lyve": LyveAccess("key", "secret", "us-east-1", "http://lyve.invalid"),
        "aws": AwsAccess("key", "secret", "us-east-1"),
    }
    return convert({**settings, **changes}, Source)
