"""Each fault that the stand-in can be asked for, and what is stored after it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
    ReadTimeoutError,
)

from tests.standin.cloudwatch_client import (
    HOUR_MS,
    STREAM,
    Desk,
    desk_on,
    events_at,
    logs_client,
    now_ms,
    until,
)
from tests.standin.cloudwatch_process import CloudWatchStandin

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

SHORT_SECONDS = 0.2
REFUSALS = [
    ("throttled", "ThrottlingException", 400, 0),
    ("unavailable_before", "ServiceUnavailableException", 503, 0),
    ("unavailable_after", "ServiceUnavailableException", 503, 1),
    ("failed_after", "InternalFailure", 500, 1),
]


@pytest.fixture(scope="module")
def standin() -> Iterator[CloudWatchStandin]:
    with CloudWatchStandin() as running:
        yield running


@pytest.fixture(scope="module")
def client(standin: CloudWatchStandin) -> "CloudWatchLogsClient":
    return logs_client(standin)


@pytest.fixture
def desk(standin: CloudWatchStandin, client: "CloudWatchLogsClient") -> Iterator[Desk]:
    with desk_on(standin, client) as own:
        yield own


@pytest.fixture
def hasty(desk: Desk) -> Desk:
    """The same desk through a client that waits only shortly for an answer."""
    own = copy(desk)
    own.client = logs_client(desk.standin, read_timeout_seconds=SHORT_SECONDS)
    return own


def outcome_of_one_put(desk: Desk) -> str:
    """Puts one event and returns how boto3 saw it: stored, a code or the error's name."""
    try:
        desk.put(events_at([now_ms()]))
    except ClientError as error:
        return error.response["Error"]["Code"]
    except HTTPClientError as error:
        return type(error).__name__
    return "stored"


def counted(desk: Desk, fault: str) -> int:
    return desk.standin.calls().outcomes.get("PutLogEvents", {}).get(fault, 0)


@pytest.mark.parametrize(("fault", "name", "status", "stored"), REFUSALS)
def test_refusal_befalls_the_next_put_only(
    desk: Desk, fault: str, name: str, status: int, stored: int
) -> None:
    before = counted(desk, fault)
    desk.standin.control(fail_next=[fault])
    refused = desk.put_refusal(events_at([now_ms()]))
    assert refused[::2] == (name, status)
    assert len(desk.stored()) == stored
    desk.put(events_at([now_ms()]))
    assert len(desk.stored()) == stored + 1
    assert counted(desk, fault) == before + 1


@pytest.mark.parametrize(("fault", "stored"), [("dropped_before", 0), ("dropped_after", 1)])
def test_connection_is_dropped_without_an_answer(desk: Desk, fault: str, stored: int) -> None:
    before = counted(desk, fault)
    desk.standin.control(fail_next=[fault])
    with pytest.raises(ConnectionClosedError):
        desk.put(events_at([now_ms()]))
    assert len(desk.stored()) == stored
    assert counted(desk, fault) == before + 1


@pytest.mark.parametrize(("fault", "stored"), [("hung_before", 0), ("hung_after", 1)])
def test_call_hangs_until_the_client_goes(desk: Desk, hasty: Desk, fault: str, stored: int) -> None:
    before = counted(desk, fault)
    desk.standin.control(fail_next=[fault])
    with pytest.raises(ReadTimeoutError):
        hasty.put(events_at([now_ms()]))
    until(lambda: counted(desk, fault) == before + 1)
    assert len(desk.stored()) == stored


@pytest.mark.parametrize("fault", ["hung_before", "hung_after"])
def test_call_hangs_until_a_given_time_and_is_answered_then(desk: Desk, fault: str) -> None:
    before = counted(desk, fault)
    desk.standin.control(fail_next=[fault], hang_ms=1)
    desk.put(events_at([now_ms()]))
    assert len(desk.stored()) == 1
    assert counted(desk, fault) == before + 1


def test_put_is_stored_before_the_latency(desk: Desk, hasty: Desk) -> None:
    desk.standin.control(latency_ms=HOUR_MS)
    with pytest.raises(ReadTimeoutError):
        hasty.put(events_at([now_ms()]))
    until(lambda: len(desk.stored()) == 1)
    hasty.client.describe_log_groups(limit=1)


def test_faults_are_applied_one_by_one(desk: Desk) -> None:
    desk.standin.control(fail_next=["throttled", "none", "dropped_after", "failed_after"])
    assert [outcome_of_one_put(desk) for _ in range(5)] == [
        "ThrottlingException",
        "stored",
        "ConnectionClosedError",
        "InternalFailure",
        "stored",
    ]
    assert len(desk.stored()) == 4


def test_batch_that_is_refused_gets_its_refusal_and_not_the_fault(desk: Desk) -> None:
    desk.standin.control(fail_next=["unavailable_after"])
    assert desk.put_refusal([])[0] == "InvalidParameterException"


def test_chances_follow_the_seed(desk: Desk) -> None:
    chances = {"throttled": 0.3, "unavailable_before": 0.2, "dropped_after": 0.1}

    def series(seed: int) -> list[str]:
        desk.standin.control(probabilities=chances, seed=seed)
        return [outcome_of_one_put(desk) for _ in range(60)]

    first, second, other = series(7), series(8), series(7)
    assert first == other
    assert first != second
    assert set(first) == {
        "stored",
        "ThrottlingException",
        "ServiceUnavailableException",
        "ConnectionClosedError",
    }
    assert 10 < first.count("ThrottlingException") < 27


def test_certain_fault_befalls_every_put_and_no_other_operation(desk: Desk) -> None:
    desk.standin.control(probabilities={"throttled": 1})
    assert {outcome_of_one_put(desk) for _ in range(5)} == {"ThrottlingException"}
    assert list(desk.pages()) == [[]]


def test_faults_befall_the_operations_that_are_named(desk: Desk) -> None:
    desk.standin.control(
        probabilities={"throttled": 1}, fault_operations=["GetLogEvents", "CreateLogStream"]
    )
    desk.put(events_at([now_ms()]))
    names = {"logGroupName": desk.group, "logStreamName": STREAM}
    for call in (desk.client.get_log_events, desk.client.create_log_stream):
        with pytest.raises(desk.client.exceptions.ClientError, match="ThrottlingException"):
            call(**names)


def test_caller_without_permission_uses_up_no_fault(desk: Desk) -> None:
    desk.standin.control(fail_next=["throttled"], denied=["PutLogEvents"])
    assert outcome_of_one_put(desk) == "AccessDeniedException"
    desk.standin.control(denied=[])
    assert outcome_of_one_put(desk) == "ThrottlingException"


def test_what_is_stored_agrees_with_the_outcomes_under_all_faults_at_once() -> None:
    """The counts must be right with many connections too, or a soak would judge by wrong sums."""
    chances = {"throttled": 0.3, "unavailable_before": 0.1, "failed_after": 0.1}
    drops = {"dropped_before": 0.05, "dropped_after": 0.05, "hung_after": 0.05}
    with CloudWatchStandin(probabilities=chances | drops, hang_ms=1, seed=5) as standin:
        desk = Desk(standin, logs_client(standin))
        with ThreadPoolExecutor(8) as pool:
            seen = Counter(pool.map(outcome_of_one_put, [desk] * 200))
        outcomes = standin.calls().outcomes["PutLogEvents"]
        stored = standin.digest(desk.group, STREAM).stored
    assert set(outcomes) == {"accepted", *chances, *drops}
    assert sum(outcomes.values()) == 200
    assert stored == sum(
        outcomes[name] for name in ("accepted", "failed_after", "dropped_after", "hung_after")
    )
    assert seen["stored"] == outcomes["accepted"] + outcomes["hung_after"]
    dropped = outcomes["dropped_before"] + outcomes["dropped_after"]
    assert seen["ConnectionClosedError"] == dropped
