"""Killed as a process, with faults on all sides: nothing is lost, and nothing stands twice."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kill_rounds import PROBABILITIES, KillRound, Plan, Result
from tests.servers.installation import Installation, eventually
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

ROUNDS = 3
KILLS_A_ROUND = 7
# What the promise is shown with: the delay until events can be read back is no more than this.
SETTLE_SECONDS = 3
VISIBLE_AFTER_MS = 2000


@pytest.mark.soak
def test_killed_again_and_again(tmp_path: Path, seaweedfs: SeaweedFS) -> None:
    """A machine that loses its power in the middle of a backfill, on a bad network."""

    def run(seed: int) -> Result:
        bucket = f"audit-logs-{seed}"
        for name in (bucket, f"{bucket}-integration"):
            seaweedfs.client().create_bucket(Bucket=name)
        directory = tmp_path / bucket
        directory.mkdir()
        plan = Plan(seed, KILLS_A_ROUND, SETTLE_SECONDS, VISIBLE_AFTER_MS, lines=300, batch_size=50)
        return KillRound(directory, seaweedfs, bucket, plan).run()

    total = Result()
    # Most of a round is waiting, so that several take hardly longer than one.
    with ThreadPoolExecutor(ROUNDS) as pool:
        for result in pool.map(run, range(1, ROUNDS + 1)):
            total.add(result)
    assert (total.lost, total.doubled) == (0, 0)
    assert total.kills.total() >= ROUNDS * KILLS_A_ROUND
    assert total.kills["while it ships"]
    assert total.kills["while it recovers"]
    assert all(total.faults[name] for name in PROBABILITIES), total.faults
    assert total.events > 3000


def test_one_that_stood_still_sends_nothing_when_it_wakes(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A paused container, or a machine that is moved: another one has shipped what it had begun."""
    lines = [f'{{"number": {number}}}'.encode() for number in range(3000)]
    installation.configuration |= {"batch_size": 10, "concurrency": 2, "settle_seconds": 2}
    installation.put("S3-a.gz", gzip_lines(lines))
    standin.control(latency_ms=50)
    with installation.start("--once") as asleep:
        eventually(lambda: puts_of(standin) > 20, "the 20th put", asleep.process)
        asleep.send(signal.SIGSTOP)
        standin.control(latency_ms=0)
        other = installation.once()
        asleep.send(signal.SIGCONT)
        outcome = asleep.wait()
    assert other.exit_status == 0, other.stderr
    assert sorted(installation.messages()) == sorted(line.decode() for line in lines)
    (error,) = outcome.errors
    assert (outcome.exit_status, "Another daemon ships this source" in error.text) == (1, True)


def puts_of(standin: CloudWatchStandin) -> int:
    return standin.calls().operations.get("PutLogEvents", 0)
