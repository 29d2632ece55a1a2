"""Random schedules of faults: their seeds, some for each run of the tests, and what strikes."""

from collections.abc import Callable, Mapping
from random import Random

from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

from tests.world.faults import EXPIRED, FAILED, THROTTLED, UNAVAILABLE, Fault, Killed, client_error

FEW = 30
# One test has so many, so that a run can be shared among workers.
AT_ONCE = 10
SEEDS = [range(first, first + AT_ONCE) for first in range(0, FEW, AT_ONCE)]
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


def point_of(random: Random, kind: str, can_be_behind: bool = True) -> str:
    """Returns a point at a call of a kind, or behind one that changes something."""
    number = random.randint(1, CALLS[kind])
    is_behind = can_be_behind and kind in CHANGES and random.random() < 0.5
    return f"{kind} {number} done" if is_behind else f"{kind} {number}"


def fault_of_put(random: Random) -> tuple[str, Fault]:
    """Returns a fault of CloudWatch, and where it strikes."""
    not_stored: list[Fault] = [THROTTLED, EXPIRED, UNREACHABLE]
    unknown: list[Fault] = [FAILED, UNAVAILABLE, DROPPED, TIMED_OUT]
    fault = random.choice(not_stored + unknown)
    if fault is UNREACHABLE:
        return f"connect {random.randint(1, CALLS['put'])}", fault
    return point_of(random, "put", fault in unknown), fault


def fault_of_write(random: Random) -> tuple[str, Fault]:
    """Returns a fault of the store where it is written to, and where it strikes."""
    kind = random.choice(["save", "integration-quarantine"])
    faults = [client_error("InternalError"), client_error("AccessDenied"), DROPPED]
    return point_of(random, kind), random.choice(faults)


def fault_of_look(random: Random) -> tuple[str, Fault]:
    """Returns a fault of a service that is asked for something, and where it strikes."""
    kind = random.choice(["look", "look back", "get", "list", "load", "head"])
    return point_of(random, kind), random.choice([client_error("InternalError"), DROPPED])


def fault_of_body(random: Random) -> tuple[str, Fault]:
    """Returns a body that breaks, and where it does."""
    return point_of(random, "read"), random.choice([DROPPED, TIMED_OUT])


def kill(random: Random) -> tuple[str, Fault]:
    """Returns the end of the process, and where it strikes."""
    return point_of(random, random.choice(KILLED_AT)), Killed()


KINDS: list[Callable[[Random], tuple[str, Fault]]] = [
    *[fault_of_put] * 4,
    *[fault_of_look] * 6,
    *[fault_of_write] * 2,
    fault_of_body,
    kill,
]


def of_the_store(random: Random) -> dict[str, Fault]:
    """Returns faults of the store that strike one process, or none."""
    kinds = [fault_of_look, fault_of_look, fault_of_write, fault_of_body]
    return dict(random.choice(kinds)(random) for _ in range(random.choice([0, 0, 1, 3])))


def schedule(random: Random) -> Mapping[str, Fault]:
    """Returns what strikes one process."""
    return dict(random.choice(KINDS)(random) for _ in range(random.randint(0, 12)))
