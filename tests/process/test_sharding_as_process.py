"""Replicas as processes of their own, whose number changes in the middle of a backlog."""

from contextlib import ExitStack
from functools import partial

import pytest

from tests.replica_rounds import has_put, put_backlog, replicas, stored, streams
from tests.servers.installation import Installation, eventually
from tests.standin.cloudwatch_process import CloudWatchStandin
from utils.config.partitions import PARTITION_NAMES


def owners(installation: Installation) -> set[int]:
    """Returns which of three replicas have a stream of one of their partitions."""
    names = {name.rpartition("/")[2] for name in streams(installation)}
    return {number % 3 + 1 for number, name in enumerate(PARTITION_NAMES) if name in names}


def test_replicas_that_are_asked_to_stop_leave_nothing_to_settle(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A rolling update ends the old ones with SIGTERM, and starts the new ones."""
    installation.configuration |= {"batch_size": 10, "settle_seconds": 2, "concurrency": 2}
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
    installation.configuration |= {"batch_size": 10, "settle_seconds": 2, "concurrency": 1}
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
