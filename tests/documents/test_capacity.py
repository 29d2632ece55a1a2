"""The figures of documentation/capacity.md, and the simulation that they rest on."""

import re
from functools import cache

import pytest

from tests.bench.capacity import (
    PUTS_A_SECOND,
    TB,
    Replica,
    busiest,
    puts_a_second_on_average,
    simulate,
    simulated,
)
from tests.bench.capacity_document import (
    DOCUMENT,
    PARTS,
    REPOSITORY,
    SIMULATED_SECONDS,
    computed,
    measured,
)
from tests.bench.quota_simulation import Result, Settings, TokenBucket
from utils.config.sources import parse_sources
from utils.lines.batching import EVENT_OVERHEAD_BYTES, MAX_BATCH_BYTES

COUNTS = (1, 5, 13, 14, 20, 50)
ROUND = Replica(10_000.0, 2.0, 100e6, {100: 100.0, 1_000: 500.0})


@cache
def one() -> Replica:
    return measured(DOCUMENT.read_text())


def shared_by(count: int) -> tuple[Settings, Result]:
    return simulated(one().puts_a_second(100), count, SIMULATED_SECONDS)


# The document.


@pytest.mark.soak
def test_the_computed_parts_are_as_they_are_computed() -> None:
    """If not: `.venv/bin/python -m tests.bench.capacity_document`."""
    text = DOCUMENT.read_text()
    assert re.findall(r"<!-- computed: ([\w-]+) -->", text) == [*PARTS]
    assert computed(text, one()) == text


def test_another_speed_gives_another_document() -> None:
    """This shows that the computed parts depend on what was measured."""
    text = DOCUMENT.read_text().replace("<!-- computed: simulation -->", "")
    faster = one()._replace(events_a_second=2 * one().events_a_second)
    assert computed(text, faster) != computed(text, one())


def test_its_sentences_have_the_figures_of_the_program() -> None:
    text = DOCUMENT.read_text()
    settings, _ = shared_by(1)
    document = (REPOSITORY / "config.json").read_bytes()
    environment = dict.fromkeys(
        ("LYVE_ACCESS", "LYVE_SECRET", "LYVE_REGION", "AWS_REGION"), "us-east-1"
    )
    source = parse_sources(document, environment, str)[0]
    assert (source.concurrency, source.batch_size) == (settings.threads, 100)
    assert f"with {source.concurrency}, {source.batch_size} and 100 ms that is 32,000" in text
    assert source.concurrency * source.batch_size / 0.1 == 32_000
    assert f"or {MAX_BATCH_BYTES // (1_500 + EVENT_OVERHEAD_BYTES)} events" in text
    assert f"quota is {PUTS_A_SECOND:,}" in text
    fewer = one().puts_a_second(100) / one().puts_a_second(1_000)
    assert round(fewer) == 7
    assert "a seventh of the requests" in text
    assert SIMULATED_SECONDS == 3 * 60


# The rules, by round figures.


def test_what_a_load_takes() -> None:
    assert ROUND.bytes_a_day == 1.296 * TB
    assert ROUND.replicas_for(0.64 * TB) == 1
    assert ROUND.replicas_for(0.65 * TB) == 2
    assert ROUND.cores == 0.2
    assert ROUND.bits_a_second == 10_000 * 1_526 * 8
    assert ROUND.puts_a_second(1_000) == 20
    assert ROUND.most_within_quota(1_000) == 250
    assert puts_a_second_on_average(1.296 * TB, 100.0) == 100


def test_a_backfill_is_as_fast_as_the_replicas_or_the_quota() -> None:
    assert ROUND.backfill_seconds(1.5 * TB, 10, 100) == 10_000
    assert ROUND.backfill_seconds(1.5 * TB, 50, 100) == 2_000
    assert ROUND.backfill_seconds(1.5 * TB, 1_000, 100) == 2_000


def test_few_objects_are_shared_less_evenly() -> None:
    assert busiest(1, 10) == 1
    assert busiest(41, 10) > busiest(41, 1_000) > 1


# The simulation.


def test_a_quota_holds() -> None:
    bucket = TokenBucket(10, 5)
    assert [bucket.takes(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [bucket.takes(0.1) for _ in range(2)] == [True, False]
    assert [bucket.takes(99.0) for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.soak
@pytest.mark.parametrize("count", COUNTS)
def test_replicas_share_a_quota(count: int) -> None:
    """50 of them ask for nearly four times as much as there is."""
    settings, result = shared_by(count)
    assert result.puts == count * settings.batches
    possible = min(settings.quota, count * settings.most_a_second)
    assert result.goodput >= 0.85 * possible
    assert result.unfairness <= 1.3
    assert result.seconds <= 1.15 * settings.ideal_seconds
    assert (result.throttled > 0) == (count > settings.quota / settings.most_a_second)
    assert result.throttled <= result.puts


@pytest.mark.soak
def test_pauses_that_double_would_be_less_fair(monkeypatch: pytest.MonkeyPatch) -> None:
    """This shows that the simulation tells one from another."""
    monkeypatch.setattr("services.threads.backoff._GROWTH", 2.0)
    settings, _ = shared_by(50)
    assert simulate(settings, seed=50).unfairness > 1.3
