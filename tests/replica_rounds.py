"""Rounds in which the number of replicas changes in the middle of a backlog, as processes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from tests.kill_rounds import Result
from tests.servers.installation import BUCKET, LOG_GROUP, Installation, RunningEngine, eventually
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

OBJECTS = 40
LINES = 50
CHANGES = 2
COUNTS = range(1, 6)
LATENCY_MS = 30
# Under way for longer than a put takes, so that each number of replicas has begun.
_MOST_PUTS = 60


class ReplicaRound:
    """A bucket that one number of replicas after another ships, until the last may end.

    Args:
        directory: an existing one, for what the processes say.
        lyve_cloud: a running server.
        bucket: the audit bucket's name, with `-integration` behind it the output bucket's; both
            are empty.
        seed: of the numbers, and of the instants at which they change.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, bucket: str, seed: int) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._bucket = bucket
        self._random = Random(seed)

    def run(self) -> Result:
        """Runs the round.

        Raises:
            AssertionError: a replica failed, or did not come to its end.
        """
        counts = self._random.sample(COUNTS, CHANGES + 1)
        with CloudWatchStandin(credentials={ACCESS_KEY: SECRET_KEY}) as standin:
            installed = Installation(self._directory, self._lyve_cloud, standin)
            installed.configuration |= {
                "bucket_name": self._bucket,
                "output_bucket": f"{self._bucket}-integration",
                "batch_size": 10,
                "settle_seconds": 1,
                "concurrency": 2,
            }
            standin.control(latency_ms=LATENCY_MS)
            due = put_backlog(installed, 0, self._bucket)
            for place, count in enumerate(counts[:-1], start=1):
                self._ship_in_part(installed, standin, count)
                due += put_backlog(installed, place * OBJECTS, self._bucket)
            standin.control(latency_ms=0)
            with replicas(installed, counts[-1]) as engines:
                outcomes = [engine.wait() for engine in engines]
            assert {outcome.exit_status for outcome in outcomes} == {0}, outcomes
            found = stored(installed)
        return Result(
            rounds=1,
            kills=Counter({"of replicas": sum(counts[:-1])}),
            events=due.total(),
            lost=(due - found).total(),
            doubled=(found - due).total(),
        )

    def _ship_in_part(
        self, installed: Installation, standin: CloudWatchStandin, count: int
    ) -> None:
        """Lets replicas begin, and kills all at once, or asks each to end."""
        before = puts(standin)
        with replicas(installed, count) as engines:
            middle = before + self._random.randint(1, _MOST_PUTS)
            # Claims that cross end both, so that in rare rounds all end before the middle.
            eventually(
                lambda: has_put(standin, middle) or all(map(has_ended, engines)), "the middle"
            )
            if self._random.random() < 0.3:
                for engine in engines:
                    engine.stop()


def has_ended(engine: RunningEngine) -> bool:
    """Tells if a replica has come to its end by itself."""
    return engine.process.poll() is not None


def lines_of(number: int) -> list[bytes]:
    """Returns the lines of an object."""
    return [f'{{"object": {number}, "line": {line}}}'.encode() for line in range(LINES)]


def put_backlog(installation: Installation, first: int, bucket: str = BUCKET) -> Counter[str]:
    """Writes objects, and returns how often each of their lines is to be stored.

    Args:
        installation: where.
        first: the number of the first object.
        bucket: the audit bucket.
    """
    numbers = range(first, first + OBJECTS)
    for number in numbers:
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(lines_of(number)), bucket)
    return Counter(line.decode() for number in numbers for line in lines_of(number))


@contextmanager
def replicas(installation: Installation, count: int) -> Iterator[list[RunningEngine]]:
    """Starts so many replicas, each for one iteration; in the end all are killed."""
    with ExitStack() as stack:
        engines = []
        for number in range(1, count + 1):
            installation.environment["SHARD"] = f"{number}/{count}"
            engines.append(stack.enter_context(installation.start("--once")))
        yield engines


def streams(installation: Installation) -> list[str]:
    """Returns the names of all log streams."""
    pages = installation.logs.get_paginator("describe_log_streams").paginate(logGroupName=LOG_GROUP)
    return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]


def stored(installation: Installation) -> Counter[str]:
    """Returns how often each message is stored, over the streams of all replicas."""
    names = streams(installation)
    return Counter(
        event.message for name in names for event in installation.cloudwatch.events(LOG_GROUP, name)
    )


def puts(standin: CloudWatchStandin) -> int:
    """Returns how many puts there were."""
    return standin.calls().operations.get("PutLogEvents", 0)


def has_put(standin: CloudWatchStandin, count: int) -> bool:
    """Tells if there were so many puts."""
    return puts(standin) >= count
