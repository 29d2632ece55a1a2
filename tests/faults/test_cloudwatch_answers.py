"""Answers that CloudWatch gives once, or for good: what passes is tried again, with a bound."""

from collections import Counter
from collections.abc import Mapping

import pytest

from tests.world.audit_objects import event, whole
from tests.world.faults import UNAVAILABLE, Answered, client_error, each
from tests.world.in_memory import World, source_of
from tests.world.in_memory_logs import MemoryLogs
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, take_small_steps, world_of

LINES = [event(number, NOON_MS - HOUR_MS) for number in range(12)]
GATEWAY = Answered(413, b"<html>Request Entity Too Large</html>")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)


def world_of_lines() -> World:
    return world_of([whole("S3-1.gz", NOON_MS, LINES)])


def test_a_stream_that_can_never_be_made_ends_in_an_error() -> None:
    world = world_of_lines()
    faults = each("stream", range(1, 999), client_error("OperationAbortedException"))
    life = world.run(source_of(), faults)
    assert not life.is_good
    assert life.called("stream") == 5
    assert any("Can't create a log stream" in line for line in world.statuses())


def test_groups_that_are_left_out_of_an_answer_are_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(*_: object, **__: object) -> list[Mapping[str, object]]:
        return [{}]

    monkeypatch.setattr(MemoryLogs, "paginate", nothing)
    world = world_of_lines()
    assert world.run(source_of()).is_good, world.statuses()
    assert_same(world.messages(), Counter(LINES))


@pytest.mark.parametrize("answer", [GATEWAY, UNAVAILABLE], ids=["a gateway", "the service"])
def test_an_outcome_that_stays_unknown_ends_in_an_error(answer: Answered) -> None:
    """Something in CloudWatch's place would hold the source for ever, and in silence."""
    world = world_of_lines()
    life = world.run(source_of(), each("put", range(1, 10_000), answer))
    assert not life.is_good
    assert life.called("put") < 100
    (line,) = [one for one in world.statuses() if "Can't put events into the log group" in one]
    assert "Check what answers in CloudWatch's place" in line
    assert world.run(source_of()).is_good, world.statuses()
    assert_same(world.messages(), Counter(LINES))


def test_a_stream_that_is_missing_again_and_again_ends_in_an_error() -> None:
    missing = Answered(400, b'{"__type": "ResourceNotFoundException"}')
    world = world_of_lines()
    life = world.run(source_of(), each("put", range(1, 10_000), missing))
    assert not life.is_good
    assert life.called("put") < 100
    assert any("See who deletes the log stream" in line for line in world.statuses())
