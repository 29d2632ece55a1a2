"""Batches keep within the limits of PutLogEvents, whatever the events are.

One batch that CloudWatch refuses, and a source stands still; one event too many or too few, and the
audit log is wrong.
"""

from itertools import chain, pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.standin.cloudwatch_rules import InputLogEvent, check_batch, verdict
from utils.lines.batching import (
    MAX_BATCH_EVENTS,
    MAX_MESSAGE_BYTES,
    Acceptance,
    acceptance,
    batches,
    restamped,
    split_rejected,
)
from utils.model import Batch, LogEvent

NOW_MS = 1_709_208_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FULL = 1_048_576

# Where two limits meet: within a day, a day apart, at the ends of what is accepted, and anywhere.
TIMES = st.one_of(
    st.integers(NOW_MS - 2 * DAY_MS, NOW_MS),
    st.sampled_from([NOW_MS - DAY_MS, NOW_MS - DAY_MS + 1, NOW_MS - DAY_MS - 1, NOW_MS]),
    st.sampled_from([-14 * DAY_MS - 1, -14 * DAY_MS, 2 * HOUR_MS, 2 * HOUR_MS + 1]).map(
        NOW_MS.__add__
    ),
    st.integers(0, 2 * NOW_MS),
)
MESSAGES = st.one_of(
    st.sampled_from(["a", "é", "日本", "😀 and more"]),
    st.builds(
        lambda char, size_bytes: char * (size_bytes // len(char.encode())),
        st.sampled_from(["x", "é"]),
        st.sampled_from([100, 262_118, 262_119, 524_262, 524_264, 1_048_548, MAX_MESSAGE_BYTES]),
    ),
)
EVENTS = st.lists(st.tuples(TIMES, MESSAGES), max_size=25).map(
    lambda pairs: [event(time, text, number) for number, (time, text) in enumerate(pairs, start=1)]
)
AGES_DAYS = st.sampled_from([0, 1, 2, 3, 5, 14, 15, 30, 31])
AGES_MS = st.tuples(AGES_DAYS, st.integers(-1, 1)).map(lambda age: age[0] * DAY_MS + age[1])
AHEAD_MS = st.sampled_from([0, 2 * HOUR_MS, 2 * HOUR_MS + 1, DAY_MS])
RETENTIONS = st.none() | st.sampled_from([1, 3, 14, 30, 3653])
BATCH_SIZES = st.integers(1, 12) | st.just(MAX_BATCH_EVENTS)


def event(timestamp_ms: int, message: str = "a line", number: int = 1) -> LogEvent:
    size_bytes = len(message.encode())
    return LogEvent(timestamp_ms, message, size_bytes, number, uploads_ms=(NOW_MS,))


def as_sent(batch: Batch) -> list[InputLogEvent]:
    return [InputLogEvent(one.timestamp_ms, one.message) for one in batch]


def fits(batch: Batch, batch_size: int) -> bool:
    """Tells if the events may stand in one request."""
    times = [one.timestamp_ms for one in batch]
    return (
        1 <= len(batch) <= batch_size
        and sum(len(one.message.encode()) + 26 for one in batch) <= FULL
        and all(earlier <= later for earlier, later in pairwise(times))
        and times[-1] - times[0] < DAY_MS
    )


@given(events=EVENTS, retention_days=RETENTIONS, batch_size=BATCH_SIZES)
def test_batches_are_valid_and_hold_each_event_once(
    events: list[LogEvent], retention_days: int | None, batch_size: int
) -> None:
    accepted = acceptance(NOW_MS, retention_days)
    cut = list(batches(events, accepted, batch_size))
    for batch in cut:
        sent = batch
        if not accepted.includes(batch[0].timestamp_ms):
            sent = restamped(batch)
            assert not any(accepted.includes(one.timestamp_ms) for one in batch)
        assert fits(sent, batch_size)
        check_batch(as_sent(sent))
        assert verdict(as_sent(sent), NOW_MS, retention_days).rejected is None
    assert sorted(one.line_number for one in chain(*cut)) == [one.line_number for one in events]


@given(events=EVENTS, batch_size=BATCH_SIZES)
def test_events_keep_their_order_within_a_time_and_those_to_be_restamped_their_own(
    events: list[LogEvent], batch_size: int
) -> None:
    accepted = acceptance(NOW_MS, None)
    in_time = [one for one in events if accepted.includes(one.timestamp_ms)]
    others = [one for one in events if not accepted.includes(one.timestamp_ms)]
    expected = sorted(in_time, key=lambda one: (one.timestamp_ms, one.line_number)) + others
    assert list(chain(*batches(events, accepted, batch_size))) == expected


@given(events=EVENTS, batch_size=BATCH_SIZES)
def test_no_batch_could_take_the_first_event_of_the_next_one(
    events: list[LogEvent], batch_size: int
) -> None:
    everything = Acceptance(0, 2 * NOW_MS)
    cut = list(batches(events, everything, batch_size))
    for batch, following in pairwise(cut):
        assert not fits([*batch, following[0]], batch_size)


def test_the_configured_group_is_one_request() -> None:
    events = [event(NOW_MS - index, number=index) for index in range(1, 1001)]
    sizes = [len(batch) for batch in batches(events, acceptance(NOW_MS, None), 100)]
    assert sizes == [100] * 10


def test_no_events_make_no_batch() -> None:
    assert list(batches([], acceptance(NOW_MS, None), 100)) == []


def test_events_a_day_apart_are_two_requests() -> None:
    events = [event(NOW_MS - DAY_MS), event(NOW_MS - 1), event(NOW_MS)]
    cut = list(batches(events, acceptance(NOW_MS, None), 100))
    assert [[one.timestamp_ms for one in batch] for batch in cut] == [
        [NOW_MS - DAY_MS, NOW_MS - 1],
        [NOW_MS],
    ]


def test_the_retention_bounds_what_is_accepted_but_no_longer_than_14_days() -> None:
    assert acceptance(NOW_MS, None) == Acceptance(NOW_MS - 14 * DAY_MS, NOW_MS + 2 * HOUR_MS)
    assert acceptance(NOW_MS, 30) == acceptance(NOW_MS, None)
    assert acceptance(NOW_MS, 3) == Acceptance(NOW_MS - 3 * DAY_MS, NOW_MS + 2 * HOUR_MS)


def test_both_ends_of_what_is_accepted_are_included() -> None:
    accepted = Acceptance(5, 7)
    assert [accepted.includes(time) for time in range(4, 9)] == [False, True, True, True, False]


def test_a_restamped_event_changes_in_its_time_alone() -> None:
    uploads = (NOW_MS - 9, NOW_MS)
    original = LogEvent(5, "é", 2, 7, uploads_ms=uploads)
    expected = LogEvent(NOW_MS, "é", 2, 7, restamped=True, uploads_ms=uploads)
    assert restamped([original]) == [expected]
    assert not original.restamped


def test_restamped_events_stand_in_the_order_of_their_upload_times() -> None:
    events = [LogEvent(5, "", 0, one, uploads_ms=(NOW_MS + one,)) for one in (3, 1, 2)]
    assert [one.line_number for one in restamped(events)] == [1, 2, 3]


@given(
    times=st.lists(AGES_MS.map(int.__neg__) | AHEAD_MS, min_size=1, max_size=20),
    retention_days=RETENTIONS,
)
def test_the_answers_indices_part_the_rejected_events_from_the_accepted_ones(
    times: list[int], retention_days: int | None
) -> None:
    """An index taken for a count would lose events that CloudWatch rejected."""
    batch = [event(NOW_MS + time, number=index) for index, time in enumerate(sorted(times))]
    accepted = acceptance(NOW_MS, retention_days)
    too_old = sum(one.timestamp_ms < NOW_MS - 14 * DAY_MS for one in batch)
    oldest_kept_ms = NOW_MS - (retention_days or 10_000) * DAY_MS
    expired = sum(one.timestamp_ms < oldest_kept_ms for one in batch)
    ahead = [i for i, one in enumerate(batch) if one.timestamp_ms > accepted.newest_ms]
    taken, rejected = split_rejected(batch, too_old, expired, ahead[0] if ahead else None)
    assert list(taken) == [one for one in batch if accepted.includes(one.timestamp_ms)]
    assert list(rejected) == [one for one in batch if not accepted.includes(one.timestamp_ms)]


@given(
    size=st.integers(1, 8),
    ends=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    too_new_start=st.none() | st.integers(0, 9),
)
def test_odd_indices_lose_no_event(
    size: int, ends: tuple[int, int], too_new_start: int | None
) -> None:
    batch = [event(NOW_MS, number=number) for number in range(size)]
    taken, rejected = split_rejected(batch, *ends, too_new_start)
    numbers = sorted(one.line_number for one in chain(taken, rejected))
    assert numbers == list(range(size))
