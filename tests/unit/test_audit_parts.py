"""The parts of a comparison, each by itself: sums, rate, retention, iterations, memory."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from services.audit.streams import LogStreams, Pace
from tests.bench.audit_range import Taken
from tests.servers.installation import REPOSITORY
from tests.world.in_memory import source_of
from utils.audit.findings import Findings
from utils.audit.sums import Sums
from utils.audit.tallies import Tallies, Tally
from utils.audit.times import Bursts, Retention
from utils.errors import ServiceError
from utils.model import Gauge, LogObject

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

DAY_MS = 24 * 60 * 60 * 1000
NOW_MS = 1_709_208_000_000
MOST_BYTES = 150 * 1024 * 1024
TIMES = st.integers(0, 10**13) | st.none()
ENTRIES = st.lists(st.tuples(TIMES, st.binary(max_size=3)), max_size=60)


@given(ENTRIES, ENTRIES, st.integers(2, 8), st.integers(1, 5))
def test_sums_differ_where_the_sides_do_and_nowhere_else(
    lines: list[tuple[int | None, bytes]],
    events: list[tuple[int | None, bytes]],
    cells: int,
    most: int,
) -> None:
    """However few intervals are told apart, and however few lines are compared at once."""
    sums = Sums(cells)

    def digest(entry: tuple[int | None, bytes]) -> int:
        # A message's own time is a part of it.
        return int.from_bytes(blake2b(b"%r %b" % entry, digest_size=16).digest(), "big")

    for one in lines:
        sums.cell(one[0], digest(one)).add_line(digest(one))
    for one in events:
        sums.cell(one[0], digest(one)).add_event(digest(one))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.audit.sums.MOST_COMPARED", most)
        groups = list(sums.groups())
    before, after = Counter(lines), Counter(events)
    for one in {*lines, *events}:
        held = [group for group in groups if group.holds(one[0], digest(one))]
        assert len(held) <= 1
        assert held or before[one] == after[one]
        if held and one[0] is not None:
            assert any(first <= one[0] < end for first, end in held[0].spans)
        if held:
            time_ms = one[0] or 0
            assert held[0].may_hold(time_ms, time_ms, has_untimed=one[0] is None)
    assert (before == after) == (not groups)


def test_of_many_objects_that_lack_lines_some_are_named_and_all_are_counted() -> None:
    tallies = Tallies()
    for number in range(2_500):
        tallies.add(Tally(LogObject(NOW_MS + number, f"S3-{number:04}", "", 1), lines=5))
    findings = Findings(len(tallies), most_objects=3, most_lines=2)
    for tally in tallies:
        for number in range(1, 5):
            findings.note(tally.place, number, "missing", is_sendable=True)
    findings.conclude(tallies, None)
    assert (findings.missing, findings.newest_ms) == (4 * 2_500, NOW_MS + 2_499)
    named = findings.differences()
    assert [one.object for one in named] == ["S3-0000", "S3-0001", "S3-0002"]
    assert {(tuple(one.lines), one.count) for one in named} == {((1, 2), 4)}


def test_without_an_event_nothing_is_known_of_an_iteration() -> None:
    assert Bursts(0).began_ms is None


def test_requests_are_kept_apart_and_not_saved_up() -> None:
    now = [5.0]
    waited: list[float] = []
    stop = cast("threading.Event", SimpleNamespace(wait=waited.append))
    pace = Pace(10, lambda: now[0], stop)
    for _ in range(3):
        pace.keep()
    now[0] = 60.0
    pace.keep()
    pace.keep()
    assert waited == pytest.approx([0, 0.1, 0.2, 0, 0.1])


def test_what_came_is_no_trouble_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the display would say to its end that nothing comes."""
    gauge = Gauge()

    def pages(*_: int) -> Iterator[list[object]]:
        gauge.trouble = "ThrottlingException"
        yield []

    read_back = SimpleNamespace(pages=pages)
    monkeypatch.setattr("services.audit.streams.ReadBack", lambda *_: read_back)
    client = cast("CloudWatchLogsClient", SimpleNamespace(meta=SimpleNamespace(endpoint_url="a")))
    pace = Pace(1e6, lambda: 0.0, threading.Event())
    streams = LogStreams(client, source_of(), pace, gauge, lambda: None)
    assert list(streams.events([(0, 1)])) == []
    assert gauge.trouble == ""


def test_a_list_of_log_streams_that_leads_back_is_not_followed_for_ever() -> None:
    numbers = count()

    def describe_log_streams(**_: object) -> dict[str, object]:
        about = {"RequestId": f"streams-{next(numbers)}"}
        return {"logStreams": [], "nextToken": "again", "ResponseMetadata": about}

    meta = SimpleNamespace(endpoint_url="http://leads-back.invalid")
    client = SimpleNamespace(meta=meta, describe_log_streams=describe_log_streams)
    known = cast("CloudWatchLogsClient", client)
    pace = Pace(1e6, lambda: 0.0, threading.Event())
    with pytest.raises(ServiceError, match="not an answer of CloudWatch to this request"):
        LogStreams(known, source_of(), pace, Gauge(), lambda: None).find()
    assert next(numbers) < 10


@pytest.mark.parametrize(
    ("own_days", "stored_days", "ingested_days", "timing"),
    [
        (1, 1, 0, "own"),
        (20, 0, 0, "restamped"),
        (13, 0, 0, "wrong"),
        (-0.2, 0, 0, "restamped"),
        (-0.05, 0, 0, "wrong"),
    ],
)
def test_another_time_is_needed_or_wrong(
    own_days: float, stored_days: float, ingested_days: float, timing: str
) -> None:
    """By CloudWatch's rule: 14 days back, and two hours ahead."""
    own, stored, ingested = (
        NOW_MS - round(days * DAY_MS) for days in (own_days, stored_days, ingested_days)
    )
    assert Retention(None, NOW_MS).timing(own, stored, ingested) == timing


@pytest.mark.parametrize(
    ("own_days", "modified_days", "has_expired"),
    [(1, 1, False), (5, 5, True), (5, 1, False), (2, 5, False), (4, 2, True)],
)
def test_what_may_have_expired(own_days: int, modified_days: int, has_expired: bool) -> None:
    """An old line of a young object was stored at its upload, and is still to be there."""
    retention = Retention(3, NOW_MS)
    own_ms, modified_ms = NOW_MS - own_days * DAY_MS, NOW_MS - modified_days * DAY_MS
    assert retention.has_expired(own_ms, modified_ms) is has_expired
    assert not Retention(None, NOW_MS).has_expired(own_ms, modified_ms)


@given(st.permutations([0, 400, 800, 5000, 5300, 9000, 9499, 9998]))
def test_the_last_iteration_began_behind_a_gap(times: list[int]) -> None:
    bursts = Bursts(0)
    for time_ms in times:
        bursts.note(NOW_MS + time_ms)
    assert bursts.began_ms == NOW_MS + 9000
    bursts.note(0)
    assert bursts.newest_ms == NOW_MS + 9998


def taken(events: int) -> Taken:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.audit_range", str(events)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    return json.decode(done.stdout, type=Taken)


def test_memory_does_not_grow_with_the_range() -> None:
    few, many = taken(20_000), taken(200_000)
    assert (few.found, many.found) == (20_000, 200_000)
    assert many.peak_bytes - few.peak_bytes < 20 * 1024 * 1024


@pytest.mark.soak
def test_ten_million_events_are_compared_in_little_memory() -> None:
    result = taken(10_000_000)
    assert result.found == result.lines == 10_000_000
    assert result.peak_bytes <= MOST_BYTES
