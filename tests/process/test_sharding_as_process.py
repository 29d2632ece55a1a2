"""Replicas as processes of their own, whose number changes in the middle of a backlog."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from tests.servers.installation import BUCKET, LOG_GROUP, Installation, RunningEngine, eventually
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from utils.config.partitions import PARTITIONS, is_stream_of, parse_partition

OBJECTS = 40
LINES = 50


def lines_of(number: int) -> list[bytes]:
    return [f'{{"object": {number}, "line": {line}}}'.encode() for line in range(LINES)]


def put_backlog(installation: Installation, first: int) -> Counter[str]:
    """Writes objects, and returns how often each of their lines is to be stored."""
    for number in range(first, first + OBJECTS):
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(lines_of(number)))
    numbers = range(first, first + OBJECTS)
    return Counter(line.decode() for number in numbers for line in lines_of(number))


@contextmanager
def replicas(installation: Installation, count: int) -> Iterator[list[RunningEngine]]:
    """Starts so many replicas, each for one iteration."""
    with ExitStack() as stack:
        engines = []
        for number in range(1, count + 1):
            installation.environment["SHARD"] = f"{number}/{count}"
            engines.append(stack.enter_context(installation.start("--once")))
        yield engines


def stored(installation: Installation) -> Counter[str]:
    """Returns how often each message is stored, over the streams of all replicas."""
    names = streams(installation)
    return Counter(
        event.message for name in names for event in installation.cloudwatch.events(LOG_GROUP, name)
    )


def streams(installation: Installation) -> list[str]:
    pages = installation.logs.get_paginator("describe_log_streams").paginate(logGroupName=LOG_GROUP)
    return [stream["logStreamName"] for page in pages for stream in page["logStreams"]]


def owners(installation: Installation) -> set[int]:
    """Returns which of three replicas have a stream of one of their partitions."""
    numbers = (parse_partition(name.rpartition("/")[2]) for name in streams(installation))
    return {number % 3 + 1 for number in numbers if number is not None}


def puts(standin: CloudWatchStandin) -> int:
    return standin.calls().operations.get("PutLogEvents", 0)


def has_put(standin: CloudWatchStandin, count: int) -> bool:
    return puts(standin) >= count


@pytest.mark.soak
def test_from_three_to_five_to_two_replicas_in_the_middle_of_a_backlog(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """Each time all are killed at once, as when an orchestrator puts others in their place."""
    installation.configuration |= {"batch_size": 10, "settle_seconds": 0.5, "concurrency": 2}
    standin.control(latency_ms=30)
    due = put_backlog(installation, 0)
    for count, first in ((3, 100), (5, 200)):
        before = puts(standin)
        with replicas(installation, count):
            eventually(partial(has_put, standin, before + 40), "the middle")
        assert stored(installation).total() < due.total()
        due += put_backlog(installation, first)
    standin.control(latency_ms=0)
    with replicas(installation, 2) as engines:
        outcomes = [engine.wait() for engine in engines]
    assert [outcome.exit_status for outcome in outcomes] == [0, 0], outcomes
    assert [outcome.done.pairs["shard"] for outcome in outcomes] == ["1/2", "2/2"]
    assert stored(installation) == due
    folder = f"integration-state/{BUCKET}-S3"
    states = [key for key in installation.output_keys() if key.startswith(folder)]
    assert len(states) == PARTITIONS + 1
    assert {is_stream_of(f"lyve-cloud/{BUCKET}/S3", name) for name in streams(installation)} == {
        True
    }


def test_replicas_that_are_asked_to_stop_leave_nothing_to_settle(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A rolling update ends the old ones with SIGTERM, and starts the new ones."""
    installation.configuration |= {"batch_size": 10, "settle_seconds": 0.5, "concurrency": 2}
    standin.control(latency_ms=30)
    due = put_backlog(installation, 0)
    with replicas(installation, 3) as engines:
        # One that is not so far yet that it has a stream would not know the signal.
        eventually(lambda: owners(installation) == {1, 2, 3}, "a stream of each")
        eventually(partial(has_put, standin, 40), "the middle")
        assert [engine.stop().exit_status for engine in engines] == [0, 0, 0]
    standin.control(latency_ms=0)
    with replicas(installation, 4) as engines:
        outcomes = [engine.wait() for engine in engines]
    assert [outcome.exit_status for outcome in outcomes] == [0, 0, 0, 0], outcomes
    assert stored(installation) == due


def replicas_said(installation: Installation) -> int:
    """Returns by how many replicas the source is shared, as its checkpoint says."""
    sharing = installation.checkpoint().get("sharing", {})
    assert isinstance(sharing, dict)
    return int(sharing.get("replicas", 0))


@pytest.mark.soak
@pytest.mark.parametrize("shards", [("", "1/2"), ("1/2", ""), ("1/3", "1/2")])
def test_two_ways_of_sharing_never_ship_side_by_side(
    installation: Installation, standin: CloudWatchStandin, shards: tuple[str, str]
) -> None:
    """A daemon without SHARD beside replicas, or replicas of two numbers: one ends in an ERROR."""
    installation.configuration |= {"batch_size": 10, "settle_seconds": 0.5, "concurrency": 1}
    standin.control(latency_ms=300)
    due = put_backlog(installation, 0)
    outcomes = []
    with ExitStack() as stack:
        running = []
        for shard in shards:
            installation.environment["SHARD"] = shard
            running.append(stack.enter_context(installation.start("--once")))
            eventually(partial(has_put, standin, 2), "the middle")
        other = running[1].process
        eventually(lambda: other.poll() is not None or replicas_said(installation) == 2, "a claim")
        standin.control(latency_ms=0)
        outcomes = [engine.wait() for engine in running]
    assert 1 in [outcome.exit_status for outcome in outcomes], outcomes
    assert [error for outcome in outcomes for error in outcome.errors]
    for shard in ("1/2", "2/2"):
        installation.environment["SHARD"] = shard
        assert installation.once().exit_status == 0
    assert stored(installation) == due
