"""Faults in any mix and any order, over several processes: lost 0, doubled 0."""

from random import Random

import pytest

from tests.standin.cloudwatch_requests import PutRetentionPolicy
from tests.world.in_memory_logs import LOG_GROUP
from tests.world.in_memory_time import HOUR_MS
from tests.world.in_memory_trial import SINCE_MS, Trial, take_small_steps
from tests.world.schedules import SEEDS, schedule


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr("services.shipping.shipper._GRACE_SECONDS", 0.3)


def trial_of(random: Random) -> Trial:
    """Returns a bucket of everything, and a source with any settings that matter here."""
    mode = random.choice(list(SINCE_MS))
    sizes = {"concurrency": random.choice([1, 2, 4]), "batch_size": random.choice([1, 2, 3, 7])}
    trial = Trial(mode, **sizes)
    trial.world.account.settings.empty_pages = random.random() < 0.5
    if random.random() < 0.5:
        # What is too old is then learnt from the answers to the puts alone.
        trial.world.account.settings.denied = ["DescribeLogGroups"]
        days = PutRetentionPolicy(log_group_name=LOG_GROUP, retention_in_days=1)
        days.apply(trial.world.account)
    return trial


def run_schedule(seed: int) -> None:
    """Runs a few processes with faults, then one without, and checks what the services hold."""
    random = Random(seed)
    trial = trial_of(random)
    for _ in range(random.randint(1, 4)):
        trial.world.run(trial.source, schedule(random))
        trial.world.time.now_ms += random.choice([0, 0, 700, 30_000, HOUR_MS])
    trial.finish()


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_any_schedule_of_faults(seeds: range) -> None:
    """Nobody chooses in which order things fail."""
    for seed in seeds:
        try:
            run_schedule(seed)
        except AssertionError as error:
            error.add_note(f"by the schedule {seed}")
            raise
