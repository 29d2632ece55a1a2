"""What is in doubt is told from what the stream holds, as a multiset of times and messages.

A twin taken for the event in question is an event lost; one overlooked is stored twice.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from utils.errors import ServiceError
from utils.lines.delivery import Delivery
from utils.model import LINES_AN_UPLOAD_TIME, Interval, LogEvent, LogObject, Position, union
from utils.state.uncertain import Uncertain

HOUR_MS = 3_600_000
UPLOAD_MS = 500 * HOUR_MS
KEY = "S3-a"

TIMES = st.one_of(
    st.integers(0, 3),
    st.sampled_from([HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 2 * HOUR_MS + 1, 7 * HOUR_MS]),
    st.integers(UPLOAD_MS - HOUR_MS, UPLOAD_MS + HOUR_MS),
)
MESSAGES = st.sampled_from(["a", "b", "é"])
PAIRS = st.tuples(TIMES, MESSAGES)
INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def event(timestamp_ms: int, message: str, number: int = 1, *uploads_ms: int) -> LogEvent:
    size_bytes = len(message.encode())
    return LogEvent(timestamp_ms, message, size_bytes, number, KEY, uploads_ms)


def expecting(events: Iterable[LogEvent]) -> Uncertain:
    uncertain = Uncertain()
    for one in events:
        uncertain.expect(one)
    return uncertain


def look(uncertain: Uncertain, stream: Iterable[tuple[int, str]]) -> None:
    """Reads back range by range, as from CloudWatch."""
    held = list(stream)
    for from_ms, end_ms in uncertain.ranges():
        for timestamp_ms, message in held:
            if from_ms <= timestamp_ms < end_ms:
                uncertain.observe(timestamp_ms, message)


@given(
    expected=st.lists(st.tuples(TIMES, MESSAGES, st.booleans()), max_size=20),
    known=st.lists(PAIRS, max_size=8),
    others=st.lists(st.tuples(TIMES, st.just("another")), max_size=4),
)
def test_as_many_of_each_event_are_told_as_are_stored(
    expected: list[tuple[int, str, bool]],
    known: list[tuple[int, str]],
    others: list[tuple[int, str]],
) -> None:
    events = [event(time, message) for time, message, _ in expected]
    stored = [(time, message) for time, message, is_stored in expected if is_stored]
    uncertain = expecting(events)
    assert uncertain.size == len(events)
    look(uncertain, [*stored, *known, *others])
    for pair in known:
        uncertain.claim(event(*pair))
    assert uncertain.found.total() == len(stored)
    told = [one for one in map(uncertain.claim, events) if one]
    assert Counter((one.timestamp_ms, one.message) for one in told) == Counter(stored)


@given(
    expected=st.lists(
        st.tuples(
            st.integers(0, 3),
            MESSAGES,
            st.sampled_from(["missing", "own", "upload", "earlier upload"]),
        ),
        max_size=20,
    ),
    strangers=st.lists(st.tuples(st.just(UPLOAD_MS + 1), MESSAGES), max_size=4),
)
def test_an_event_is_found_at_its_own_time_or_at_an_upload_time_of_its_object(
    expected: list[tuple[int, str, str]], strangers: list[tuple[int, str]]
) -> None:
    """An identical event at the upload time of another object is another event."""
    times = {"upload": UPLOAD_MS, "earlier upload": UPLOAD_MS - HOUR_MS}
    uploads_ms = (times["earlier upload"], times["upload"])
    stream = [
        (times.get(place, time), message) for time, message, place in expected if place != "missing"
    ]
    events = [event(time, message, 1, *uploads_ms) for time, message, _ in expected]
    uncertain = expecting(events)
    look(uncertain, [*stream, *strangers])
    told = [one for one in map(uncertain.claim, events) if one]
    assert Counter(one.message for one in told) == Counter(message for _, message in stream)
    assert sum(one.restamped for one in told) == sum(time >= uploads_ms[0] for time, _ in stream)


@given(
    times=st.lists(TIMES, max_size=12),
    uploads_ms=st.lists(TIMES, max_size=2),
)
def test_the_ranges_to_read_hold_every_time_in_question_once(
    times: list[int], uploads_ms: list[int]
) -> None:
    """A time that is read twice would count each event twice."""
    uncertain = expecting(event(time, "a", 1, *uploads_ms) for time in times)
    ranges = uncertain.ranges()
    ends = [*times, *uploads_ms] if times else []
    assert all(start < end for start, end in ranges)
    assert all(earlier[1] < later[0] for earlier, later in pairwise(ranges))
    assert all(start in ends and end - 1 in ends for start, end in ranges)
    for time in ends:
        assert sum(start <= time < end for start, end in ranges) == 1


def test_far_times_are_not_read_in_one_range() -> None:
    pairs = [(0, "a"), (5, "a"), (HOUR_MS + 7, "a"), (9 * HOUR_MS, "b")]
    uncertain = expecting(event(*pair) for pair in pairs)
    assert uncertain.ranges() == [
        (0, 6),
        (HOUR_MS + 7, HOUR_MS + 8),
        (9 * HOUR_MS, 9 * HOUR_MS + 1),
    ]


def test_near_times_are_read_in_one_range() -> None:
    uncertain = expecting(event(time, "a") for time in (0, HOUR_MS, 2 * HOUR_MS))
    assert uncertain.ranges() == [(0, 2 * HOUR_MS + 1)]


def test_without_a_read_back_nothing_is_stored() -> None:
    assert expecting([event(1, "a")]).split([event(1, "a")]) == ([], [event(1, "a")])


@given(pairs=st.lists(PAIRS, max_size=15), count=st.integers(0, 15))
def test_splitting_keeps_each_event_and_the_order(pairs: list[tuple[int, str]], count: int) -> None:
    events = [event(*pair, number) for number, pair in enumerate(pairs)]
    uncertain = expecting(events)
    look(uncertain, pairs[:count])
    stored, missing = uncertain.split(events)
    assert len(stored) == len(pairs[:count])
    for part in (stored, missing):
        assert list(part) == sorted(part, key=lambda one: one.line_number)
    assert sorted([*stored, *missing], key=lambda one: one.line_number) == events


def test_what_a_recovery_will_claim_is_left_to_it() -> None:
    """Else the copy of a line that is still to come stands for the one in doubt now."""
    twins = [event(7, "a", number) for number in (1, 2)]
    recovered, doubt = expecting(twins), expecting(twins[:1])
    look(recovered, [(7, "a")])
    look(doubt, [(7, "a")])
    doubt.leave_to(recovered)
    assert doubt.claim(twins[0]) is None
    assert recovered.claim(twins[1]) == twins[1]


def ambiguous(parts: Sequence[Sequence[LogEvent]], stream: Iterable[tuple[int, str]]) -> int:
    uncertain = Uncertain()
    for number, events in enumerate(parts):
        for one in events:
            uncertain.expect(replace(one, object_key=f"S3-{number}"))
    look(uncertain, stream)
    return uncertain.ambiguous()


def test_what_may_as_well_be_of_other_objects_is_counted() -> None:
    one, two = event(7, "a"), event(8, "b")
    assert ambiguous([[one, one, two]], [(7, "a"), (7, "a"), (8, "b")]) == 0
    assert ambiguous([[one, two]], [(7, "a"), (7, "a"), (8, "b")]) == 2
    assert ambiguous([[one], [one, two]], [(7, "a"), (8, "b")]) == 1
    assert ambiguous([[one], [one, two]], [(8, "b")]) == 0


def test_only_lines_that_a_dead_process_can_have_sent_are_recovered() -> None:
    events = [event(7, "a", number) for number in range(1, 5)]
    recovered = expecting(events[:3])
    look(recovered, [(7, "a")] * 2)
    assert recovered
    stored, missing = recovered.split(events)
    assert (stored, missing) == (events[:2], events[2:])
    others = [replace(one, object_key="S3-b") for one in events]
    assert recovered.split(others) == ([], others)
    known = LogObject(1, KEY, "", 9)
    ends = [recovered.reaches_behind(Position(known, lines)) for lines in (2, 3, 4)]
    assert ends == [True, False, False]
    assert not recovered.reaches_behind(Position(replace(known, key="S3-b"), 2))
    assert not Uncertain()
    assert Uncertain().split(events) == ([], events)


def test_an_upload_time_serves_so_many_lines() -> None:
    numbers = [1, LINES_AN_UPLOAD_TIME, LINES_AN_UPLOAD_TIME + 1, 3 * LINES_AN_UPLOAD_TIME]
    times = [event(7, "a", number, 100, 500).upload_times for number in numbers]
    assert times == [(100, 500), (100, 500), (101, 501), (102, 502)]


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
    total = first.add(Delivery([two], [(one, "why")], [[two]], ServiceError("second")))
    assert (total.accepted, total.refused) == ([one, two], [(one, "why")])
    assert total.uncertain == [[two]]
    assert str(total.error) == "first."
