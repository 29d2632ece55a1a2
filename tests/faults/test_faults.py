"""One fault at a time, from CloudWatch's side: nothing is lost, and nothing stands twice."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from botocore.exceptions import ConnectionClosedError

from tests.standin.cloudwatch_events import PutLogEvents
from tests.standin.cloudwatch_requests import DeleteLogGroup, DeleteLogStream, PutRetentionPolicy
from tests.standin.cloudwatch_rules import InputLogEvent
from tests.world.audit_objects import DAY_MS, OLD_TWIN, REFUSED, TWIN, event, whole
from tests.world.faults import (
    EXPIRED,
    FAILED,
    THROTTLED,
    UNAVAILABLE,
    Answered,
    Fault,
    Killed,
    client_error,
    each,
)
from tests.world.in_memory import World, source_of
from tests.world.in_memory_logs import LOG_GROUP, LOG_STREAM
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of

BEGIN_MS = NOON_MS - HOUR_MS
MINUTE_MS = 60_000
WRONG_SECRET = client_error("SignatureDoesNotMatch")
DROPPED = ConnectionClosedError(endpoint_url="https://service.invalid")


def recent(count: int, padding: int = 0) -> list[str]:
    """Returns events of the last hour, a millisecond apart, each longer by a padding."""
    return [event(number, BEGIN_MS + number) + " " * padding for number in range(count)]


def aged(*ages: int) -> list[str]:
    """Returns events of so long ago, as seen at noon."""
    return [event(number, NOON_MS - age_ms) for number, age_ms in enumerate(ages)]


def world_with(lines: Sequence[str], **settings: object) -> World:
    """Returns a world with one object."""
    return world_of([whole("S3-a.gz", NOON_MS, lines)], **settings)


def pairs_of(line: str) -> dict[str, str]:
    """Returns the pairs at the end of a status line."""
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


# A doubt is reconciled by reading back.


def test_what_is_stored_is_read_back_page_by_page() -> None:
    """Who stops at an empty page, or after the first, stores the events behind it twice."""
    lines = recent(9, padding=400_000)
    world = world_with(lines, empty_pages=True)
    life = shipped(world, source_of(), {f"put {n} done": DROPPED for n in range(1, 6)})
    assert life.called("put") == 5
    assert life.called("look back") > 5
    assert_same(world.messages(), Counter(lines))


def test_only_batches_that_are_missing_are_sent_again() -> None:
    lines = recent(12)
    world = world_with(lines)
    life = shipped(world, source_of(), {"put 1": DROPPED, "put 2 done": FAILED, "put 4": FAILED})
    assert life.called("put") == 4 + 2
    assert_same(world.messages(), Counter(lines))


def test_only_events_that_are_missing_are_sent_again() -> None:
    lines = recent(3)
    world = world_with(lines)

    def store_two() -> None:
        events = [InputLogEvent(BEGIN_MS + number, lines[number]) for number in (0, 2)]
        names = {"log_group_name": LOG_GROUP, "log_stream_name": LOG_STREAM}
        PutLogEvents(**names, log_events=events).apply(world.account)  # type: ignore[arg-type]
        raise DROPPED

    shipped(world, source_of(), {"put 1": store_two})
    assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize("fault", [DROPPED, FAILED, UNAVAILABLE])
@pytest.mark.parametrize("point", ["put 1", "put 1 done"])
def test_a_batch_in_doubt_again_and_again(point: str, fault: Fault) -> None:
    lines = recent(3)
    world = world_with(lines)
    faults = {point: fault, **each("put", range(2, 6), fault)}
    shipped(world, source_of(), faults)
    assert_same(world.messages(), Counter(lines))


def test_a_doubt_is_settled_after_settle_seconds_and_not_before() -> None:
    """What is stored can be read back a while later only."""
    lines = recent(3)
    world = world_with(lines, visible_after_ms=29_999)
    shipped(world, source_of(settle_seconds=30.0), {"put 1 done": DROPPED})
    assert_same(world.messages(), Counter(lines))


def test_throttling_is_outlasted() -> None:
    lines = recent(9)
    world = world_with(lines)
    life = shipped(world, source_of(), each("put", range(1, 40), THROTTLED))
    assert life.called("put") == 39 + 3
    # A first start looks if the stream is empty; nothing is read back for the puts.
    assert life.called("look back") == 2
    assert_same(world.messages(), Counter(lines))


# Without permission to read back.


def test_without_permission_to_read_back_a_doubt_is_sent_again_and_counted() -> None:
    lines = recent(9)
    world = world_with(lines, denied=["GetLogEvents"])
    shipped(world, source_of(), {"put 2 done": DROPPED})
    warning, done = world.statuses()
    assert "logs:GetLogEvents" in warning
    assert pairs_of(done)["possibly_duplicated"] == "3"
    assert set(world.messages()) == set(lines)
    assert world.messages().total() == len(lines) + 3


def test_without_permission_to_read_back_a_recovery_says_how_many_may_be_doubled() -> None:
    lines = recent(9)
    world = world_with(lines, denied=["GetLogEvents"])
    world.run(source_of(), {"put 2 done": Killed()})
    before = world.messages().total()
    shipped(world, source_of())
    assert int(pairs_of(world.statuses()[-1])["possibly_duplicated"]) >= before > 0
    assert set(world.messages()) == set(lines)


# What CloudWatch refuses or rejects.


def test_a_refused_batch_is_cut_in_halves_until_the_bad_event_is_found() -> None:
    lines = recent(100)
    lines[41] = event(41, BEGIN_MS + 41).replace("GetObject", REFUSED)
    world = world_with(lines)
    life = shipped(world, source_of(batch_size=100))
    assert life.called("put") == 1 + 2 * 7
    assert_same(world.messages(), Counter(lines[:41] + lines[42:]))
    (key,) = world.keys("integration-quarantine/")
    entry = json.loads(world.output(key))
    assert (entry["line"], entry["line_number"]) == (lines[41], 42)
    assert entry["reason"].startswith("refused by CloudWatch")


@pytest.mark.parametrize(
    ("ages", "ahead_ms", "days", "rejected"),
    [
        pytest.param([330, 326, 322, 318], 12 * HOUR_MS, None, {0, 1}, id="too old"),
        pytest.param([30, 26, 22, 18], 0, 1, {0, 1}, id="expired"),
        pytest.param([330, 326, 322, 318], 12 * HOUR_MS, 7, {0, 1, 2, 3}, id="both"),
        pytest.param([330, 326, 322, 318], 12 * HOUR_MS, 14, {0, 1}, id="both in part"),
        pytest.param([1, 0, -1, -1.9], -90 * MINUTE_MS, None, {2, 3}, id="too new"),
        pytest.param([23, 22, 0, -0.9], -90 * MINUTE_MS, 1, {3}, id="the last one alone"),
        pytest.param([25, 20, 3, 2], -MINUTE_MS, 1, {0}, id="the first one alone"),
    ],
)
def test_what_is_rejected_for_its_time_is_sent_again_with_a_time_of_upload(
    ages: list[float], ahead_ms: int, days: int | None, rejected: set[int]
) -> None:
    """The answer holds indices: who takes them for counts loses an event or stores it twice."""
    lines = aged(*(round(age * HOUR_MS) for age in ages))
    world = world_with(lines, clock_offset_ms=ahead_ms, denied=["DescribeLogGroups"])
    if days:
        retention = PutRetentionPolicy(log_group_name=LOG_GROUP, retention_in_days=days)
        retention.apply(world.account)
    shipped(world, source_of(batch_size=100))
    assert_same(world.messages(), Counter(lines))
    assert pairs_of(world.statuses()[-1])["restamped"] == str(len(rejected))
    times = {message: time_ms for time_ms, message in world.stored()}
    for index, line in enumerate(lines):
        own_ms = NOON_MS - round(ages[index] * HOUR_MS)
        if index in rejected:
            assert NOON_MS <= times[line] < NOON_MS + MINUTE_MS
        else:
            assert times[line] == own_ms


@pytest.mark.parametrize("hours", [-1.9, -1, 1, 5, 30])
def test_cloudwatchs_clock_is_hours_off(hours: float) -> None:
    lines = aged(*(age * HOUR_MS for age in (400, 340, 335, 320, 30, 3, 2, 1, 0, -1, -3)))
    world = world_with(lines, clock_offset_ms=round(hours * HOUR_MS))
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


def test_a_clock_so_far_off_that_no_time_of_upload_is_taken_is_an_error() -> None:
    lines = recent(9)
    world = world_with(lines, clock_offset_ms=-4 * HOUR_MS)
    assert not world.run(source_of()).is_good
    (line,) = world.statuses()
    assert "ERROR CloudWatch rejects events at their time of upload" in line
    world.account.settings.clock_offset_ms = 0
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


# Credentials, stream and group.


@pytest.mark.parametrize(
    "name",
    ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"],
)
@pytest.mark.parametrize("concurrency", [1, 4])
def test_credentials_that_end_in_mid_run_are_one_error(name: str, concurrency: int) -> None:
    lines = recent(60)
    world = world_with(lines)
    refusal = Answered(400, json.dumps({"__type": name, "message": "no"}).encode())
    source = source_of(concurrency=concurrency)
    assert not world.run(source, each("put", range(8, 99), refusal)).is_good
    (line,) = world.statuses()
    assert f" ERROR Can't put events into the log group {LOG_GROUP} ({name})" in line
    assert 0 < world.messages().total() < len(lines)
    shipped(world, source)
    assert_same(world.messages(), Counter(lines))


def test_credentials_that_end_while_a_batch_is_in_doubt() -> None:
    lines = recent(60)
    world = world_with(lines)
    faults = {"put 2 done": DROPPED, "put 3": DROPPED, **each("put", range(7, 99), EXPIRED)}
    assert not world.run(source_of(), faults).is_good
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


def test_a_stream_that_is_deleted_in_mid_run_is_made_again() -> None:
    lines = recent(12)
    world = world_with(lines)

    def delete_stream() -> None:
        names = {"log_group_name": LOG_GROUP, "log_stream_name": LOG_STREAM}
        DeleteLogStream(**names).apply(world.account)

    life = shipped(world, source_of(concurrency=1), {"put 3": delete_stream})
    # For the first start's look, for the iteration, and again.
    assert life.called("stream") == 3
    assert_same(world.messages(), Counter(lines[6:]))


def test_a_group_that_is_deleted_in_mid_run_is_an_error_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_small_steps(monkeypatch)
    lines = recent(42)
    world = world_with(lines)
    delete = DeleteLogGroup(log_group_name=LOG_GROUP)
    faults = {"put 9": lambda: delete.apply(world.account)}
    assert not world.run(source_of(concurrency=1), faults).is_good
    assert not world.run(source_of(concurrency=1)).is_good
    first, second = world.statuses()
    for line in (first, second):
        assert f"Create the log group {LOG_GROUP}" in line
    world.make_group()
    shipped(world, source_of())
    acknowledged = int(pairs_of(first)["accepted"])
    assert acknowledged > 0
    assert_same(world.messages(), Counter(lines[acknowledged:]))


# Identical lines.


@pytest.mark.parametrize("fault", [Killed(), DROPPED, FAILED], ids=["kill", "drop", "failure"])
@pytest.mark.parametrize("point", ["put 1", "put 2 done", "put 3", "put 5 done"])
@pytest.mark.parametrize("line", [TWIN, OLD_TWIN], ids=["recent", "old"])
def test_five_hundred_equal_lines(line: str, point: str, fault: Fault) -> None:
    world = world_with([line] * 500)
    source = source_of(batch_size=100)
    world.run(source, {point: fault})
    shipped(world, source)
    assert_same(world.messages(), Counter({line: 500}))


@pytest.mark.parametrize("fault", [Killed(), DROPPED], ids=["kill", "drop"])
@pytest.mark.parametrize("point", ["put 1 done", "put 3", "put 4 done", "put 5", "put 6 done"])
@pytest.mark.parametrize("line", [TWIN, OLD_TWIN], ids=["recent", "old"])
def test_two_objects_with_the_same_content(
    line: str, point: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_small_steps(monkeypatch)
    lines = [*recent(4), line, line, *recent(4)]
    world = world_of([whole(f"S3-{name}.gz", NOON_MS, lines) for name in "ab"])
    world.run(source_of(), {point: fault})
    shipped(world, source_of())
    assert_none_is_doubled_or_lost_silently(world, Counter(lines * 2))


def assert_none_is_doubled_or_lost_silently(world: World, due: Counter[str]) -> None:
    """Which of identical lines of several objects is stored can't be told: `--repair` finds out.

    Raises:
        AssertionError: a line is stored twice, or is missing and no status line says so.
    """
    assert not world.messages() - due
    told = [line for line in world.statuses() if "The log stream holds events in doubt" in line]
    assert told or not due - world.messages()
    assert all("un --repair" in line for line in told)


def test_an_equal_line_of_an_object_that_was_shipped_before_is_told() -> None:
    """The twin is already there when the read-back looks for the line that was not stored."""
    world = world_of([whole("S3-a.gz", NOON_MS - DAY_MS // 2, [TWIN] * 3)])
    shipped(world, source_of())
    world.put("S3-b.gz", whole("S3-b.gz", 0, [TWIN] * 4).content, NOON_MS)
    shipped(world, source_of(), {"put 1": DROPPED, "put 2 done": DROPPED})
    assert_none_is_doubled_or_lost_silently(world, Counter({TWIN: 7}))


# A recovery, and what happens within it.


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(each("put", range(1, 99), EXPIRED), id="nothing of the rest can be put"),
        pytest.param(each("get", range(2, 99), WRONG_SECRET), id="nothing can be read again"),
    ],
)
def test_a_recovery_that_fails_is_repeated(faults: dict[str, Fault]) -> None:
    """Until it is through, the checkpoint says that an iteration is unfinished."""
    lines = recent(60)
    world = world_with(lines)
    source = source_of(concurrency=1)
    world.run(source, {"put 9 done": Killed()})
    assert not world.run(source, faults).is_good
    life = shipped(world, source)
    assert life.called("look back") > 0
    assert_same(world.messages(), Counter(lines))


def test_an_object_in_doubt_leaves_a_recovery_what_it_has_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The dead process has stored a line of one object; another one has changed, and has it too.

    It takes more than the window, so it is looked up before the other one's turn comes.
    """
    take_small_steps(monkeypatch)
    world = world_of([whole("S3-a.gz", NOON_MS - 1, [TWIN]), whole("S3-b.gz", NOON_MS, [TWIN])])
    source = source_of(concurrency=1, batch_size=1)
    world.run(source, {"put 1": THROTTLED, "put 2 done": Killed()})
    assert_same(world.messages(), Counter([TWIN]))
    lines = [TWIN, *recent(40)]
    world.put("S3-a.gz", whole("S3-a.gz", NOON_MS, lines).content, world.time.now_ms)
    shipped(world, source)
    assert_same(world.messages(), Counter([TWIN, *lines]))


@pytest.mark.parametrize("point", ["put 1", "put 2", "put 1 done", "put 2 done"])
def test_a_doubt_in_a_recovery_claims_no_line_of_those_to_come(
    point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead process has stored twins of a later chunk: these are not the ones that are sent."""
    take_small_steps(monkeypatch)
    world = world_with([TWIN] * 14)
    world.run(source_of(), {"put 1": THROTTLED, "put 2": THROTTLED, "put 4 done": Killed()})
    world.run(source_of(), {point: DROPPED})
    shipped(world, source_of())
    assert_same(world.messages(), Counter({TWIN: 14}))
