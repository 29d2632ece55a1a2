"""Rounds of kills: `engine.py --once` on real servers, ended by SIGKILL again and again."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from msgspec import Struct, field

from tests.servers.installation import LOG_GROUP, Installation, empty
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import Period, audit_lines, gzip_lines
from tests.world.kill_instants import Watch

# Of all puts, what befalls which share of them; see `tests.standin.cloudwatch_settings`.
PROBABILITIES = {
    "throttled": 0.3,
    "unavailable_before": 0.1,
    "dropped_before": 0.05,
    "dropped_after": 0.05,
}
REFUSED = b"refused by the service"
NOT_UTF8 = b"\xff\xfe is no text"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_FIRST_OBJECTS = 4
_TWINS = 8
# With every other put failing, it takes a while on a busy machine.
_FINISH_SECONDS = 300.0


class Plan(NamedTuple):
    """What a round is made of; an object has up to a third more than `lines` lines.

    With `has_common_lines`, lines of the last hour are the same in all objects. Of such lines in
    doubt the program says that it can't tell whose they are, and asks for `--repair`, which ends
    the round.
    """

    seed: int
    kills: int
    settle_seconds: int
    visible_after_ms: int
    lines: int
    batch_size: int
    has_common_lines: bool = False


class Result(Struct):
    """What rounds came to; `kills` by what the process was about, `faults` by their names.

    `repaired` are events that `--repair` has sent in the end.
    """

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    events: int = 0
    lost: int = 0
    doubled: int = 0
    repaired: int = 0

    def add(self, other: "Result") -> None:
        """Adds other rounds to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class KillRound:
    """One bucket, shipped by processes that are killed, until one may come to its end.

    Args:
        directory: an existing one, for what the processes say.
        lyve_cloud: a running server.
        bucket: the audit bucket's name, with `-integration` behind it the output bucket's; both
            are empty, and are emptied in the end.
        plan: what the round is made of.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, bucket: str, plan: Plan) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._bucket = bucket
        self._output_bucket = f"{bucket}-integration"
        self._plan = plan
        self._random = Random(plan.seed)
        self._now = datetime.now(UTC)
        self._due: Counter[str] = Counter()
        self._refused = 0
        self._objects = 0
        self._kills: Counter[str] = Counter()
        self._said = ""

    def run(self) -> Result:
        """Runs the round.

        Raises:
            AssertionError: a process failed, or did not come to its end.
        """
        with self._standin() as standin:
            installed = Installation(self._directory, self._lyve_cloud, standin)
            self._configure(installed)
            for _ in range(_FIRST_OBJECTS):
                self._put_object(installed)
            while self._kills.total() < self._plan.kills:
                self._live(installed, standin)
                self._put_object(installed)
            self._finish(installed)
            before = len(list(standin.events(LOG_GROUP, self._bucket)))
            if self._plan.has_common_lines:
                self._repair(installed)
            result = self._weighed(standin, before)
            for bucket in (self._bucket, self._output_bucket):
                empty(installed.s3, bucket)
        return result

    def _standin(self) -> CloudWatchStandin:
        return CloudWatchStandin(
            seed=self._plan.seed,
            probabilities=PROBABILITIES,
            visible_after_ms=self._plan.visible_after_ms,
            refuse_containing=REFUSED.decode(),
            empty_pages=True,
            credentials={ACCESS_KEY: SECRET_KEY},
        )

    def _configure(self, installed: Installation) -> None:
        installed.configuration |= {
            "bucket_name": self._bucket,
            "output_bucket": self._output_bucket,
            "log_stream": self._bucket,
            "settle_seconds": self._plan.settle_seconds,
            "batch_size": self._plan.batch_size,
        }

    def _put_object(self, installed: Installation) -> None:
        self._objects += 1
        lines = self._lines()
        good = [line for line in lines if line != NOT_UTF8 and REFUSED not in line]
        self._refused += len(lines) - len(good)
        self._due.update(line.decode() for line in good)
        key = f"March-2024/S3-media-{self._objects:04}.gz"
        installed.put(key, gzip_lines(lines), self._bucket)

    def _lines(self) -> list[bytes]:
        """Returns the lines of an object: some old, some equal, and two for the quarantine."""
        now, seed = self._now, 1000 * self._plan.seed + 2 * self._objects
        count = self._random.randint(self._plan.lines // 2, self._plan.lines)
        lines = [*audit_lines("S3", count, Period(now - 2 * HOUR, HOUR), seed)]
        lines += audit_lines("S3", count // 3, Period(now - 20 * DAY, DAY), seed + 1)
        # Old ones may be those of other objects too: each object has an upload time of its own.
        recent = 1 if self._plan.has_common_lines else seed
        for ago, of in ((HOUR, recent), (30 * DAY, 1)):
            lines += [*audit_lines("S3", 1, Period(now - ago, HOUR), of)] * _TWINS
        lines += [NOT_UTF8, b'{"text": "%s", "number": %d}' % (REFUSED, self._objects)]
        self._random.shuffle(lines)
        return lines

    def _live(self, installed: Installation, standin: CloudWatchStandin) -> None:
        """Runs a process until its instant has come, or it ends before that."""
        with installed.start("--once") as engine:
            watch = Watch(standin, engine)
            if not watch.wait(self._random, self._plan.settle_seconds):
                outcome = engine.wait()
                assert (outcome.exit_status, outcome.errors) == (0, []), outcome.stderr
                self._said += outcome.stderr
                return
        self._said += engine.stderr
        self._kills[watch.occasion()] += 1

    def _finish(self, installed: Installation) -> None:
        with installed.start("--once") as engine:
            outcome = engine.wait(_FINISH_SECONDS)
        assert (outcome.exit_status, outcome.errors) == (0, []), outcome.stderr
        self._said += outcome.stderr
        assert installed.run_as_process("--once").done.text == "Done sending 0 logs"
        assert len(installed.quarantine(bucket=self._output_bucket)) == self._refused

    def _repair(self, installed: Installation) -> None:
        """Sends what the program has said that it could not tell."""
        missing = self._due - Counter(self._messages(installed))
        assert not missing or "run --repair" in self._said.lower(), f"silently lost {missing}"
        with installed.start("--repair", "--rate", "1000") as engine:
            outcome = engine.wait(_FINISH_SECONDS)
        assert outcome.exit_status == 0, outcome

    def _messages(self, installed: Installation) -> list[str]:
        return [event.message for event in installed.cloudwatch.events(LOG_GROUP, self._bucket)]

    def _weighed(self, standin: CloudWatchStandin, before: int) -> Result:
        stored = Counter(event.message for event in standin.events(LOG_GROUP, self._bucket))
        outcomes = standin.calls().outcomes["PutLogEvents"]
        return Result(
            rounds=1,
            kills=self._kills,
            faults=Counter({name: outcomes.get(name, 0) for name in PROBABILITIES}),
            events=self._due.total(),
            lost=(self._due - stored).total(),
            doubled=(stored - self._due).total(),
            repaired=stored.total() - before,
        )
