"""The checkpoint names every object of which a line may have been sent, and covers nothing else.

It is saved while the pipeline goes on: whenever a process dies, the last one saved must be right.
"""

from collections.abc import Iterable
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from utils.model import WINDOW_OBJECTS, LogObject, Position, SourceIdentity
from utils.state.checkpoint import Checkpoint, decode_checkpoint
from utils.state.ledger import LATE_WINDOW_MS, MAX_RECENT_OBJECTS, Coverage, Ledger, Survey
from utils.state.progress import Mark, Progress

NOW_MS = 1_709_208_000_000
UPLOAD_MS = NOW_MS + 1_000
IDENTITY = SourceIdentity("audit", "S3", "eu-central-1", "/lyve/audit", "lyve-cloud/audit/S3")


def listed(number: int) -> LogObject:
    return LogObject(NOW_MS + number, f"March-2024/S3-{number}.gz", "etag", 100)


def positions(numbers: Iterable[int]) -> list[Position]:
    return [Position(listed(number)) for number in numbers]


def at(number: int, lines: int) -> Position:
    return Position(listed(number), lines, line_hash=lines)


def begun() -> Progress:
    coverage = Coverage(0)
    checkpoint = Checkpoint(IDENTITY, "owner", coverage, upload_ms=UPLOAD_MS)
    return Progress(checkpoint, Ledger(coverage))


def saved(progress: Progress) -> Checkpoint:
    return decode_checkpoint(progress.snapshot().document, "state.json")


def named(progress: Progress) -> list[Position]:
    """Returns the open positions as they are saved, but for their upload times."""
    return [replace(one, uploads_ms=()) for one in saved(progress).open]


def ship(progress: Progress, number: int) -> None:
    progress.complete(at(number, 3), 3, is_owed=False)


@given(
    line_counts=st.lists(st.integers(1, 3), max_size=40),
    runs=st.lists(st.integers(1, 9), max_size=20),
)
def test_each_snapshot_names_what_is_not_acknowledged(
    line_counts: list[int], runs: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.state.progress.WINDOW_OBJECTS", 6)
        _acknowledge_run_by_run(line_counts, runs)


def _acknowledge_run_by_run(line_counts: list[int], runs: list[int]) -> None:
    progress = begun()
    progress.plan(positions(range(len(line_counts))))
    left = [(number, line) for number, count in enumerate(line_counts) for line in range(count)]
    ends = [end for end in accumulate(runs) if end <= len(left)]
    for saves, (start, end) in enumerate(pairwise([0, *ends]), 1):
        for number, line in left[start:end]:
            if line + 1 == line_counts[number]:
                progress.complete(at(number, line + 1), 1, is_owed=False)
            else:
                progress.acknowledge(at(number, line + 1), 1)
        snapshot = progress.snapshot()
        checkpoint = decode_checkpoint(snapshot.document, "state.json")
        open_numbers = sorted({number for number, _ in left[end:]})[:6]
        completed = len(set(range(len(line_counts))) - {number for number, _ in left[end:]})
        assert [one.object for one in checkpoint.open] == [listed(one) for one in open_numbers]
        assert [one.lines for one in checkpoint.open[1:]] == [0] * (len(open_numbers) - 1)
        assert checkpoint.running == bool(open_numbers)
        assert checkpoint.saves == saves
        assert snapshot.mark == Mark(lines=end, objects=completed)
        assert snapshot.objects_named == completed + len(open_numbers)
        due = [number for number in open_numbers if progress.ledger.is_due(listed(number))]
        assert due == open_numbers


def test_an_object_within_the_window_is_named_with_its_position() -> None:
    progress = begun()
    progress.plan(positions([0, 1]))
    progress.acknowledge(at(0, 7), 7)
    assert named(progress) == [at(0, 7), *positions([1])]
    assert progress.ledger.is_due(listed(0))


def test_what_lies_beyond_the_window_is_named_as_objects_are_completed() -> None:
    progress = begun()
    progress.plan(positions(range(WINDOW_OBJECTS + 1)))
    assert progress.snapshot().objects_named == WINDOW_OBJECTS
    ship(progress, 0)
    assert progress.snapshot().objects_named == WINDOW_OBJECTS + 1


def test_a_completed_object_is_covered_and_no_longer_open() -> None:
    progress = begun()
    progress.plan(positions([0, 1]))
    ship(progress, 0)
    checkpoint = saved(progress)
    assert named(progress) == positions([1])
    restarted = Ledger(checkpoint.coverage)
    assert not restarted.is_due(listed(0))
    assert restarted.is_due(listed(1))


def test_a_checkpoint_without_open_objects_has_nothing_to_take_over() -> None:
    progress = begun()
    assert not saved(progress).running
    progress.plan(positions([0]))
    assert saved(progress).running
    ship(progress, 0)
    assert not saved(progress).running


def test_an_ended_iteration_keeps_open_what_is_shipped_in_part() -> None:
    doubted = Position(listed(1), in_doubt=True)
    progress = begun()
    progress.plan([Position(listed(0)), doubted, *positions([2])])
    progress.acknowledge(at(0, 5), 5)
    progress.end()
    checkpoint = saved(progress)
    assert not checkpoint.running
    assert named(progress) == [at(0, 5), doubted]


def test_an_iteration_that_did_not_end_is_to_be_taken_over() -> None:
    progress = begun()
    progress.plan(positions([0, 1]))
    progress.acknowledge(at(0, 5), 5)
    assert saved(progress).running
    assert named(progress) == [at(0, 5), *positions([1])]


def test_each_object_gets_an_upload_time_of_its_own_which_is_saved_with_it() -> None:
    progress = begun()
    planned = progress.plan(positions([0, 1]))
    assert [one.uploads_ms for one in planned] == [(UPLOAD_MS + 1,), (UPLOAD_MS + 2,)]
    assert saved(progress).open == planned
    assert saved(progress).upload_ms == UPLOAD_MS + 2
    assert progress.plan(positions([2]))[0].uploads_ms == (UPLOAD_MS + 3,)


@pytest.mark.parametrize(("hours", "is_kept"), [(1, True), (11, True), (13, False), (400, False)])
def test_an_upload_time_is_kept_as_long_as_it_is_taken(hours: int, is_kept: bool) -> None:
    """What was sent with one that is too old now can be found all the same."""
    given = replace(at(0, 3), uploads_ms=(UPLOAD_MS - hours * 3_600_000,))
    (planned,) = begun().plan([given])
    renewed = replace(given, uploads_ms=(*given.uploads_ms, UPLOAD_MS + 1))
    assert planned == (given if is_kept else renewed)


def test_what_was_named_stays_named_however_much_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead process may have sent lines of each: the one that goes on may die as well."""
    monkeypatch.setattr("utils.state.progress.WINDOW_BYTES", 900)
    progress = begun()
    progress.plan(positions(range(9)))
    before = saved(progress).open
    assert 1 < len(before) < 9
    monkeypatch.setattr("utils.state.progress.WINDOW_BYTES", 1)
    resumed = Progress(saved(progress), progress.ledger)
    resumed.plan(before)
    resumed.plan(positions([7, 8]))
    assert saved(resumed).open == before
    ship(resumed, 0)
    assert saved(resumed).open == before[1:]


def test_a_closed_plan_is_saved() -> None:
    progress = begun()
    progress.survey = Survey(now_ms=NOW_MS, is_sweep=True)
    progress.survey.note(listed(0))
    progress.plan(positions([0]))
    ship(progress, 0)
    progress.close_plan(NOW_MS)
    assert not progress.ledger.is_crowded
    assert saved(progress).coverage.covered == [(0, NOW_MS - LATE_WINDOW_MS)]
    assert not Ledger(saved(progress).coverage).is_due(listed(0))


@given(
    times=st.lists(st.integers(0, 9), min_size=1, max_size=12).map(sorted),
    now=st.integers(0, 9),
)
def test_a_plan_that_fills_the_checkpoint_is_closed_up_to_the_next_object(
    times: list[int], now: int
) -> None:
    """What is covered is shipped, and does not lie ahead of the store's time; in half days."""
    plan = [
        LogObject(NOW_MS + time * LATE_WINDOW_MS // 2, f"March-2024/S3-{number:02}", "etag", 1)
        for number, time in enumerate(times)
    ]
    survey = Survey(now_ms=NOW_MS + now * LATE_WINDOW_MS // 2)
    for one in plan:
        survey.note(one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.state.ledger.ADVANCE_EVERY_OBJECTS", -MAX_RECENT_OBJECTS)
        patch.setattr("utils.state.ledger.MAX_RECENT_OBJECTS", 2)
        progress = begun()
        progress.survey = survey
        progress.plan(Position(one) for one in plan)
        for place, shipped in enumerate(plan, 1):
            progress.complete(Position(shipped, 1), 1, is_owed=False)
            restarted = Ledger(saved(progress).coverage)
            assert [restarted.is_due(one) for one in plan] == [
                index >= place for index in range(len(plan))
            ]
            assert all(end_ms <= survey.now_ms for _, end_ms in restarted.coverage.covered)
