"""Faults in any mix and any order, over several processes: lost 0, doubled 0."""

from collections.abc import Callable, Mapping
from random import Random

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from tests.standin.cloudwatch_requests import PutRetentionPolicy
from tests.world.faults import EXPIRED, FAILED, THROTTLED, UNAVAILABLE, Fault, Killed, client_error
from tests.world.in_memory_logs import LOG_GROUP
from tests.world.in_memory_time import HOUR_MS
from tests.world.in_memory_trial import SINCE_MS, Trial, take_small_steps
from tests.world.schedules import SEEDS

URL = "https://service.invalid"
DROPPED = ConnectionClosedError(endpoint_url=URL)
TIMED_OUT = ReadTimeoutError(endpoint_url=URL)
UNREACHABLE = EndpointConnectionError(endpoint_url=URL)
# Up to which call of a kind a fault strikes: an undisturbed process makes about as many.
CALLS = {
    "put": 40,
    "save": 6,
    "look": 6,
    "look back": 4,
    "get": 8,
    "read": 20,
    "list": 6,
    "load": 2,
    "head": 4,
    "integration-quarantine": 5,
}
KILLED_AT = ["put", "put", "save", "get", "look", "look back", "integration-quarantine"]
CHANGES = {"put", "save", "integration-quarantine"}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr("services.shipping.shipper._GRACE_SECONDS", 0.3)


def point_of(random: Random, kind: str, can_be_behind: bool = True) -> str:
    """Returns a point at a call of a kind, or behind one that changes something."""
    number = random.randint(1, CALLS[kind])
    is_behind = can_be_behind and kind in CHANGES and random.random() < 0.5
    return f"{kind} {number} done" if is_behind else f"{kind} {number}"


def fault_of_put(random: Random) -> tuple[str, Fault]:
    not_stored: list[Fault] = [THROTTLED, EXPIRED, UNREACHABLE]
    unknown: list[Fault] = [FAILED, UNAVAILABLE, DROPPED, TIMED_OUT]
    fault = random.choice(not_stored + unknown)
    return point_of(random, "put", fault in unknown), fault


def fault_of_write(random: Random) -> tuple[str, Fault]:
    kind = random.choice(["save", "integration-quarantine"])
    faults = [client_error("InternalError"), client_error("AccessDenied"), DROPPED]
    return point_of(random, kind), random.choice(faults)


def fault_of_look(random: Random) -> tuple[str, Fault]:
    kind = random.choice(["look", "look back", "get", "list", "load", "head"])
    return point_of(random, kind), random.choice([client_error("InternalError"), DROPPED])


def fault_of_body(random: Random) -> tuple[str, Fault]:
    return point_of(random, "read"), random.choice([DROPPED, TIMED_OUT])


def kill(random: Random) -> tuple[str, Fault]:
    return point_of(random, random.choice(KILLED_AT)), Killed()


KINDS: list[Callable[[Random], tuple[str, Fault]]] = [
    *[fault_of_put] * 4,
    *[fault_of_look] * 6,
    *[fault_of_write] * 2,
    fault_of_body,
    kill,
]


def schedule(random: Random) -> Mapping[str, Fault]:
    """Returns what strikes one process."""
    return dict(random.choice(KINDS)(random) for _ in range(random.randint(0, 12)))


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
