"""What is in doubt is told from what the stream holds, as a multiset of times and messages.

A twin taken for the event in question is an event lost; one overlooked is stored twice.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from utils.errors import ServiceError
from utils.lines.delivery import Delivery, Parcel
from utils.model import NOT_STORED, STORED, STORED_AT_UPLOAD, LogEvent
from utils.state.intervals import Interval, union
from utils.state.settling import Doubt, Key, event_key, split_stored

HOUR_MS = 3_600_000
UPLOAD_MS = 500 * HOUR_MS

PROPERTY = settings(max_examples=300, deadline=None, derandomize=True)
TIMES = st.one_of(
    st.integers(0, 3),
    st.sampled_from([HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 2 * HOUR_MS + 1, 7 * HOUR_MS]),
    st.integers(UPLOAD_MS - HOUR_MS, UPLOAD_MS + HOUR_MS),
)
MESSAGES = st.sampled_from(["a", "b", "é"])
PAIRS = st.tuples(TIMES, MESSAGES)
INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def event(timestamp_ms: int, message: str, number: int = 1) -> LogEvent:
    return LogEvent(timestamp_ms, message, len(message.encode()), number)


def key(timestamp_ms: int, message: str) -> Key:
    return event_key(event(timestamp_ms, message))


def keys(pairs: Iterable[tuple[int, str]]) -> list[Key]:
    return [key(*pair) for pair in pairs]


def look(doubt: Doubt, stream: Iterable[tuple[int, str]]) -> None:
    """Reads back range by range, as from CloudWatch."""
    held = list(stream)
    for from_ms, until_ms in doubt.ranges():
        for timestamp_ms, message in held:
            if from_ms <= timestamp_ms <= until_ms:
                doubt.see(timestamp_ms, message)


@PROPERTY
@given(
    wanted=st.lists(st.tuples(TIMES, MESSAGES, st.booleans()), max_size=20),
    known=st.lists(PAIRS, max_size=8),
    others=st.lists(st.tuples(TIMES, st.just("another")), max_size=4),
)
def test_as_many_of_each_event_are_told_as_are_stored(
    wanted: list[tuple[int, str, bool]],
    known: list[tuple[int, str]],
    others: list[tuple[int, str]],
) -> None:
    pairs = [(time, message) for time, message, _ in wanted]
    stored = [(time, message) for time, message, is_stored in wanted if is_stored]
    doubt = Doubt()
    doubt.want(keys(pairs))
    assert doubt.size == len(pairs)
    look(doubt, [*stored, *known, *others])
    doubt.discount(keys(known))
    assert doubt.found_times() == {time for time, _ in stored}
    told = [(pair, doubt.take(key(*pair))) for pair in pairs]
    assert {mark for _, mark in told} <= {STORED, NOT_STORED}
    assert Counter(pair for pair, mark in told if mark == STORED) == Counter(stored)


@PROPERTY
@given(
    wanted=st.lists(
        st.tuples(st.integers(0, 3), MESSAGES, st.sampled_from(["missing", "own", "upload"])),
        max_size=20,
    ),
    uploads=st.lists(st.integers(UPLOAD_MS, UPLOAD_MS + 9), min_size=20, max_size=20),
    earlier=st.lists(st.tuples(st.integers(UPLOAD_MS - 9, UPLOAD_MS - 1), MESSAGES), max_size=4),
)
def test_events_are_found_at_any_upload_time_too(
    wanted: list[tuple[int, str, str]], uploads: list[int], earlier: list[tuple[int, str]]
) -> None:
    """A process that died says from which upload time on it sent, and not which event had which."""
    stream = [(time, message) for time, message, place in wanted if place == "own"]
    stream += [
        (upload_ms, message)
        for upload_ms, (_, message, place) in zip(uploads, wanted, strict=False)
        if place == "upload"
    ]
    doubt = Doubt((UPLOAD_MS, UPLOAD_MS + 9))
    doubt.want(key(time, message) for time, message, _ in wanted)
    look(doubt, [*stream, *earlier])
    told = Counter((message, doubt.take(key(time, message))) for time, message, _ in wanted)
    expected = Counter(
        (message, STORED_AT_UPLOAD if time >= UPLOAD_MS else STORED) for time, message in stream
    )
    assert {pair: n for pair, n in told.items() if pair[1] != NOT_STORED} == expected
    assert doubt.newest_upload_ms == max(
        (time for time, _ in stream if time >= UPLOAD_MS), default=0
    )


@PROPERTY
@given(
    wanted=st.lists(TIMES, max_size=12),
    upload_range=st.none()
    | st.tuples(TIMES, st.integers(0, 2 * HOUR_MS)).map(lambda pair: (pair[0], sum(pair))),
)
def test_the_ranges_to_read_hold_every_time_in_question_once(
    wanted: list[int], upload_range: Interval | None
) -> None:
    """A time that is read twice would count each event twice."""
    doubt = Doubt(upload_range)
    doubt.want(key(time, "a") for time in wanted)
    ranges = list(doubt.ranges())
    ends = [*wanted, *(upload_range or ())]
    assert all(start <= end for start, end in ranges)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(ranges))
    assert all(start in ends and end in ends for start, end in ranges)
    for time in ends if wanted else []:
        assert sum(start <= time <= end for start, end in ranges) == 1
    if not wanted:
        assert ranges == []


def test_far_times_are_not_read_in_one_range() -> None:
    doubt = Doubt()
    doubt.want(keys([(0, "a"), (5, "a"), (HOUR_MS + 6, "a"), (9 * HOUR_MS, "b")]))
    assert list(doubt.ranges()) == [
        (0, 5),
        (HOUR_MS + 6, HOUR_MS + 6),
        (9 * HOUR_MS, 9 * HOUR_MS),
    ]


def test_near_times_are_read_in_one_range() -> None:
    doubt = Doubt()
    doubt.want(keys([(0, "a"), (HOUR_MS, "a"), (2 * HOUR_MS, "b")]))
    assert list(doubt.ranges()) == [(0, 2 * HOUR_MS)]


def test_without_a_read_back_nothing_is_stored() -> None:
    stored, missing = split_stored([event(1, "a")], Doubt())
    assert (stored, missing) == ([], [event(1, "a")])


@PROPERTY
@given(
    pairs=st.lists(PAIRS, max_size=15),
    count=st.integers(0, 15),
)
def test_splitting_keeps_each_event_and_the_order(pairs: list[tuple[int, str]], count: int) -> None:
    events = [event(*pair, number) for number, pair in enumerate(pairs)]
    doubt = Doubt()
    doubt.want(event_key(one) for one in events)
    look(doubt, pairs[:count])
    stored, missing = split_stored(events, doubt)
    assert len(stored) == len(pairs[:count])
    for part in (stored, missing):
        assert list(part) == sorted(part, key=lambda one: one.line_number)
    assert sorted([*stored, *missing], key=lambda one: one.line_number) == events


def test_an_event_is_told_by_time_and_message_alone() -> None:
    restamped = LogEvent(7, "a", 1, 2, restamped=True)
    assert event_key(restamped) == event_key(event(7, "a", 9))
    assert len({key(7, "a"), key(8, "a"), key(7, "b")}) == 3


@PROPERTY
@given(intervals=INTERVALS)
def test_a_union_holds_the_same_times_without_overlap(intervals: list[Interval]) -> None:
    merged = union(intervals)
    times = {time for start, end in intervals for time in range(start, end)}
    assert [time for start, end in merged for time in range(start, end)] == sorted(times)
    assert all(start < end for start, end in merged)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(merged))


def test_deliveries_add_up_and_keep_the_first_error() -> None:
    one, two = event(1, "a"), event(2, "b")
    first = Delivery(accepted=[one], error=ServiceError("first"))
    parcel = Parcel([two], UPLOAD_MS)
    total = first.add(Delivery([two], [(one, "why")], [parcel], ServiceError("second")))
    assert (total.accepted, total.refused) == ([one, two], [(one, "why")])
    assert total.uncertain == [parcel]
    assert str(total.error) == "first."
