"""Kills the program some hundred times, with faults on all sides, and says what it came to.

    python -m tests.soak --kills 500 --wrong-answers 500

Rounds with fresh buckets and a fresh log group run side by side until there were enough kills. Then
come rounds in each of which one answer is wrong, one after the other.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import count
from pathlib import Path
from queue import SimpleQueue

from tests.kill_rounds import PROBABILITIES, KillRound, Plan, Result
from tests.servers.installation import BUCKET, OUTPUT_BUCKET
from tests.servers.seaweedfs import SeaweedFS
from tests.wrong_answers import Round, Trial

# Most of a round is waiting, so that several take hardly longer than one.
SIDE_BY_SIDE = 3
KILLS_A_ROUND = 10
# No round begins after this.
LONGEST_SECONDS = 40 * 60
TELL_EVERY_ROUNDS = 25
# settle_seconds, visible_after_ms, lines of an object and batch_size, in turn.
KINDS = ((1, 500, 300, 50), (1, 500, 300, 100), (1, 500, 1500, 250), (3, 2000, 300, 50))


class Soak:
    """Runs rounds on one S3 server, several at a time.

    Args:
        directory: an existing one, for what the processes say.
        lyve_cloud: a running server.
        kills: how many are asked for.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, kills: int) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._kills = kills
        self._began = time.monotonic()
        self._buckets: SimpleQueue[str] = SimpleQueue()
        self.results: dict[tuple[int, int], Result] = {}
        for number in range(SIDE_BY_SIDE):
            self._make_buckets(f"audit-logs-{number}")

    def run(self) -> Result:
        """Runs rounds until there were enough kills, or it takes too long; returns the sums."""
        total = Result()
        plans = self._plans()
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            running = {pool.submit(self._run_round, next(plans)) for _ in range(SIDE_BY_SIDE)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    total.add(self._noted(future))
                    self._tell(total)
                missing = self._kills - total.kills.total() - KILLS_A_ROUND * len(running)
                if missing > 0 and time.monotonic() - self._began < LONGEST_SECONDS:
                    running |= {pool.submit(self._run_round, next(plans)) for _ in done}
        return total

    def _make_buckets(self, bucket: str) -> None:
        client = self._lyve_cloud.client()
        for name in (bucket, f"{bucket}-integration"):
            client.create_bucket(Bucket=name)
        self._buckets.put(bucket)

    def _plans(self) -> Iterator[Plan]:
        for seed in count(1):
            settle_seconds, visible_after_ms, lines, batch_size = KINDS[seed % len(KINDS)]
            yield Plan(seed, KILLS_A_ROUND, settle_seconds, visible_after_ms, lines, batch_size)

    def _run_round(self, plan: Plan) -> tuple[Plan, Result]:
        directory = self._directory / f"round-{plan.seed}"
        directory.mkdir()
        bucket = self._buckets.get()
        try:
            return plan, KillRound(directory, self._lyve_cloud, bucket, plan).run()
        finally:
            self._buckets.put(bucket)

    def _noted(self, future: "Future[tuple[Plan, Result]]") -> Result:
        plan, result = future.result()
        kind = (plan.settle_seconds, plan.visible_after_ms)
        self.results.setdefault(kind, Result()).add(result)
        return result

    def _tell(self, total: Result) -> None:
        seconds = time.monotonic() - self._began
        _say(
            f"{total.kills.total()} of {self._kills} kills in {total.rounds} rounds, "
            f"{total.events} events, lost {total.lost}, doubled {total.doubled}, {seconds:.0f} s"
        )


class WrongAnswers:
    """Rounds in each of which one answer is wrong, on one S3 server.

    `told` are those in which the program came to ask for it, `wrong` those that went wrong.

    Args:
        directory: an existing one, for the configuration.
        lyve_cloud: a running server.
        seeds: one of each round.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS, seeds: range) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._seeds = seeds
        self.told = 0
        self.wrong = 0

    def run(self) -> None:
        """Runs the rounds, and says which went wrong."""
        for name in (BUCKET, OUTPUT_BUCKET):
            self._lyve_cloud.client().create_bucket(Bucket=name)
        with Trial(self._directory, self._lyve_cloud) as trial:
            for rounds, seed in enumerate(self._seeds, start=1):
                self._run_round(Round(trial, seed))
                if rounds % TELL_EVERY_ROUNDS == 0 or rounds == len(self._seeds):
                    _say(f"{rounds} wrong answers, {self.told} told, {self.wrong} went wrong")

    def _run_round(self, one: Round) -> None:
        try:
            self.told += one.run()
        except AssertionError as exc:
            self.told += 1
            self.wrong += 1
            _say(str(exc))


def table_of(soak: Soak, total: Result) -> Iterator[tuple[str, int]]:
    """Yields the rows of the last table."""
    for (settle_seconds, visible_after_ms), result in sorted(soak.results.items()):
        name = f"settle_seconds {settle_seconds}, readable after {visible_after_ms} ms"
        yield f"kills in rounds with {name}", result.kills.total()
    for name in PROBABILITIES:
        yield f"faults: {name.replace('_', ' ')}", total.faults[name]
    for name, kills in sorted(total.kills.items()):
        yield f"kills {name}", kills
    yield "kills", total.kills.total()
    yield "events", total.events
    yield "lost", total.lost
    yield "doubled", total.doubled


def main(arguments: Sequence[str]) -> int:
    """Runs the soak; returns its exit status.

    Args:
        arguments: of the command line, without the program's name.
    """
    parser = argparse.ArgumentParser(description="Kills the program again and again.")
    parser.add_argument("--kills", type=int, default=500, help="how many, 500 by default")
    help_ = "rounds with one, 500 by default"
    parser.add_argument("--wrong-answers", type=int, default=500, help=help_)
    parser.add_argument("--first-seed", type=int, default=1, help="of the wrong answers")
    options = parser.parse_args(arguments)
    seeds = range(options.first_seed, options.first_seed + options.wrong_answers)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with SeaweedFS(directory) as lyve_cloud:
            soak = Soak(directory, lyve_cloud, options.kills)
            total = soak.run() if options.kills else Result()
            answers = WrongAnswers(directory, lyve_cloud, seeds)
            answers.run()
    for title, figure in table_of(soak, total):
        _say(f"{title:<62} {figure:>9,}")
    _say(f"{'wrong answers':<62} {answers.told:>9,}")
    _say(f"{'wrong answers that lost, doubled or hid something':<62} {answers.wrong:>9,}")
    is_good = total.kills.total() >= options.kills and not (total.lost or total.doubled)
    return 0 if is_good and not answers.wrong else 1


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a person waits for it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
