"""Kills, faults and wrong answers without end, and what they came to: lost 0, doubled 0.

    python -m tests.soak [PART]...

The parts, all of them without one named:

- `kills`: rounds with fresh buckets and a fresh log group, side by side, until there were enough
  kills. Some have the same lines in all objects, and end with `--repair`.
- `schedules`: faults of both services, changing objects and changes of the number of replicas in
  any order, in memory.
- `replicas`: the number of replicas changes in the middle of a backlog, as processes.
- `answers`: one answer of a service is wrong in each round.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults import test_fault_schedules, test_sharding
from tests.kill_rounds import PROBABILITIES, KillRound, Plan, Result
from tests.replica_rounds import CHANGES, ReplicaRound
from tests.servers.installation import BUCKET, OUTPUT_BUCKET
from tests.servers.seaweedfs import SeaweedFS
from tests.world.in_memory_trial import take_small_steps
from tests.wrong_answers import Round, Trial

# Most of a round is waiting, so that several take hardly longer than one.
SIDE_BY_SIDE = 3
WORKERS = 2
KILLS_A_ROUND = 10
# No round begins after this.
LONGEST_SECONDS = 40 * 60
TELL_EVERY_ROUNDS = 25
# settle_seconds, visible_after_ms, lines of an object, batch_size and common lines, in turn.
KINDS = (
    (1, 500, 300, 50, False),
    (1, 500, 300, 100, False),
    (1, 500, 1500, 250, False),
    (3, 2000, 300, 50, False),
    (1, 500, 300, 50, True),
)
SCHEDULES: dict[str, Callable[[int], None]] = {
    "of faults": test_fault_schedules.run_schedule,
    "of faults and replicas": test_sharding.run_schedule,
    "of faults, replicas and changing objects": test_sharding.run_changing_schedule,
}
Rows = list[tuple[str, int]]


class Amounts(NamedTuple):
    """How much of each part is asked for; `first_seed` is that of all seeds."""

    kills: int = 500
    schedules: int = 3_000
    replica_changes: int = 100
    wrong_answers: int = 500
    first_seed: int = 1


class Verdict(NamedTuple):
    """What a part came to."""

    rows: Rows
    is_good: bool


class Buckets:
    """Makes a pair of buckets on one S3 server for each round.

    Args:
        directory: an existing one, for what the processes say.
        lyve_cloud: a running server.
        name: of the first bucket, with a number behind it.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, name: str) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._name = name
        self._numbers = count(1)

    def run(self, make: Callable[[Path, SeaweedFS, str], KillRound | ReplicaRound]) -> Result:
        """Runs a round in buckets of its own.

        Args:
            make: returns the round, of an empty directory, the server and the bucket.
        """
        number = next(self._numbers)
        bucket = f"{self._name}-{number}"
        client = self._lyve_cloud.client()
        for name in (bucket, f"{bucket}-integration"):
            client.create_bucket(Bucket=name)
        directory = self._directory / bucket
        directory.mkdir()
        result = make(directory, self._lyve_cloud, bucket).run()
        # An empty bucket keeps its volumes, of which the server has as many as its disk holds.
        for name in (bucket, f"{bucket}-integration"):
            client.delete_bucket(Bucket=name)
        return result


def kills(amounts: Amounts, directory: Path, lyve_cloud: SeaweedFS) -> Verdict:
    """Runs rounds until there were enough kills, or it takes too long."""
    began = time.monotonic()
    total, repaired = Result(), Result()
    buckets = Buckets(directory, lyve_cloud, "kills")

    def plans() -> Iterator[Plan]:
        for seed in count(amounts.first_seed):
            settle, visible_after_ms, lines, batch_size, is_common = KINDS[seed % len(KINDS)]
            yield Plan(seed, KILLS_A_ROUND, settle, visible_after_ms, lines, batch_size, is_common)

    def run(plan: Plan) -> tuple[Plan, Result]:
        return plan, buckets.run(lambda path, s3, bucket: KillRound(path, s3, bucket, plan))

    planned = plans()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = {pool.submit(run, next(planned)) for _ in range(SIDE_BY_SIDE)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                plan, result = future.result()
                total.add(result)
                if plan.has_common_lines:
                    repaired.add(result)
                _say(
                    f"{total.kills.total()} of {amounts.kills} kills in {total.rounds} rounds, "
                    f"{total.events} events, lost {total.lost}, doubled {total.doubled}, "
                    f"{time.monotonic() - began:.0f} s"
                )
            missing = amounts.kills - total.kills.total() - KILLS_A_ROUND * len(running)
            if missing > 0 and time.monotonic() - began < LONGEST_SECONDS:
                running |= {pool.submit(run, next(planned)) for _ in done}
    rows = [
        *((f"faults: {name.replace('_', ' ')}", total.faults[name]) for name in PROBABILITIES),
        *((f"kills {name}", number) for name, number in sorted(total.kills.items())),
        ("kills", total.kills.total()),
        ("events", total.events),
        ("events of rounds with the same lines in all objects", repaired.events),
        ("of these sent by --repair in the end", repaired.repaired),
        ("lost", total.lost),
        ("doubled", total.doubled),
    ]
    is_enough = total.kills.total() >= amounts.kills
    return Verdict(rows, is_enough and not (total.lost or total.doubled))


def _small_steps() -> None:
    """Makes a worker for schedules ready, for all its life; its status lines would be millions."""
    take_small_steps(pytest.MonkeyPatch())
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it stays open


def _run_schedule(kind: str, seed: int) -> str:
    """Returns what went wrong, if anything."""
    try:
        SCHEDULES[kind](seed)
    except AssertionError as exc:
        return f"schedule {kind}, seed {seed}: {exc}"
    return ""


def schedules(amounts: Amounts, *_: object) -> Verdict:
    """Runs random schedules in memory, as many of each kind."""
    each = -(-amounts.schedules // len(SCHEDULES))
    seeds = range(amounts.first_seed, amounts.first_seed + each)
    rows: Rows = []
    wrong = 0
    with ProcessPoolExecutor(WORKERS, initializer=_small_steps) as pool:
        for kind in SCHEDULES:
            found = pool.map(_run_schedule, [kind] * each, seeds, chunksize=5)
            for number, trouble in enumerate(found, start=1):
                wrong += bool(trouble)
                if trouble:
                    _say(trouble)
                if number % 100 == 0 or number == each:
                    _say(f"{number} of {each} schedules {kind}, {wrong} went wrong")
            rows.append((f"schedules {kind}", each))
    rows.append(("schedules that lost or doubled something", wrong))
    return Verdict(rows, not wrong)


def replicas(amounts: Amounts, directory: Path, lyve_cloud: SeaweedFS) -> Verdict:
    """Runs rounds in which the number of replicas changes, until there were enough changes."""
    total = Result()
    buckets = Buckets(directory, lyve_cloud, "replicas")
    seeds = range(amounts.first_seed, amounts.first_seed + -(-amounts.replica_changes // CHANGES))

    def run(seed: int) -> Result:
        return buckets.run(lambda path, s3, bucket: ReplicaRound(path, s3, bucket, seed))

    with ThreadPoolExecutor(WORKERS) as pool:
        for result in pool.map(run, seeds):
            total.add(result)
            _say(
                f"{CHANGES * total.rounds} of {amounts.replica_changes} changes of the number of "
                f"replicas, {total.events} events, lost {total.lost}, doubled {total.doubled}"
            )
    rows = [
        ("changes of the number of replicas", CHANGES * total.rounds),
        ("events that replicas shipped", total.events),
        ("lost by replicas", total.lost),
        ("doubled by replicas", total.doubled),
    ]
    return Verdict(rows, not (total.lost or total.doubled))


def answers(amounts: Amounts, directory: Path, lyve_cloud: SeaweedFS) -> Verdict:
    """Runs rounds in each of which one answer is wrong, one after the other."""
    told = wrong = 0
    for name in (BUCKET, OUTPUT_BUCKET):
        lyve_cloud.client().create_bucket(Bucket=name)
    with Trial(directory, lyve_cloud) as trial:
        for number in range(amounts.wrong_answers):
            try:
                told += Round(trial, amounts.first_seed + number).run()
            except AssertionError as exc:
                told += 1
                wrong += 1
                _say(str(exc))
            if (number + 1) % TELL_EVERY_ROUNDS == 0 or number + 1 == amounts.wrong_answers:
                _say(f"{number + 1} wrong answers, {told} told, {wrong} went wrong")
    rows = [
        ("wrong answers", told),
        ("wrong answers that lost, doubled or hid something", wrong),
    ]
    return Verdict(rows, not wrong)


PARTS: dict[str, Callable[[Amounts, Path, SeaweedFS], Verdict]] = {
    "kills": kills,
    "schedules": schedules,
    "replicas": replicas,
    "answers": answers,
}


def main(arguments: Sequence[str]) -> int:
    """Runs parts of the soak; returns its exit status.

    Args:
        arguments: of the command line, without the program's name.
    """
    parser = argparse.ArgumentParser(description="Kills, faults and wrong answers without end.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    for name, default in Amounts()._asdict().items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=int, default=default, help=f"{default:,} by default")
    options = vars(parser.parse_args(arguments))
    named = options.pop("parts") or [*PARTS]
    unknown = {*named} - {*PARTS}
    if unknown:
        parser.error(f"no part is {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    amounts = Amounts(**options)
    verdicts = []
    for name in named:
        with tempfile.TemporaryDirectory() as path, SeaweedFS(Path(path)) as lyve_cloud:
            verdicts.append(PARTS[name](amounts, Path(path), lyve_cloud))
    for verdict in verdicts:
        for title, figure in verdict.rows:
            _say(f"{title:<62} {figure:>9,}")
    return 0 if all(verdict.is_good for verdict in verdicts) else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a person waits for it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
