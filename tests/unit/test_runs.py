"""Every line of an object is in one run and in one place of it, wherever shipping begins.

A run is the unit of the checkpoint: a line that falls between two of them is lost, one in both is
stored twice.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain, cycle, pairwise
from sys import getsizeof
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode
from msgspec.structs import replace

import utils.lines.runs
from services.shipping.shared import FULL_RUN_BYTES
from utils.errors import ServiceError, UnreadableError, WrongContentError
from utils.lines.batching import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, Acceptance, batches
from utils.lines.decompression import DamagedError, DeletedError, LineSplitter
from utils.lines.runs import (
    MAX_RUN_LINES,
    ContentChangedError,
    ObjectPart,
    Run,
    blocks_behind,
    runs,
)
from utils.model import Counts, LogObject, Position

OBJECT = LogObject(1_709_208_000_000, "March-2024/S3-audited.gz", "etag", 4711)
BEGINNING = Position(OBJECT)
OWN_MS = 1_647_933_333_357
EARLIER_MS = 1_709_200_000_000
UPLOADS_MS = (1_709_208_000_001, 1_709_208_000_002)
TIMED = b'{"auditEntry": {"time": "2022-03-22T07:15:33.357192009Z"}}'
SMALL_MESSAGE_BYTES = 80
SMALL_RUN_LINES = 7
SMALL_RUN_BYTES = 240

LINE = st.one_of(
    st.just(TIMED),
    st.sampled_from([b"{}", b'{"date": "no time"}', '{"a": "日本"}'.encode(), b"3"]),
    st.sampled_from([b"", b" ", b"\t\r", b" \x0b\x0c "]),
    st.sampled_from([b"not JSON", b"{", TIMED[:-1], "ä".encode()]),
    st.sampled_from([b"\xff", TIMED + b"\xe4", b"x" * 79 + b"\xc3"]),
    st.integers(SMALL_MESSAGE_BYTES - 1, SMALL_MESSAGE_BYTES + 1).map(lambda n: n * b"x"),
    st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")),
)
LINES = st.lists(LINE, max_size=40)
BATCH_SIZES = st.sampled_from([1, 2, 3, 100])


@contextmanager
def small_limits() -> Iterator[None]:
    """Makes limits that a short list of short lines reaches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils.lines.runs, "MAX_MESSAGE_BYTES", SMALL_MESSAGE_BYTES)
        patch.setattr(utils.lines.runs, "MAX_RUN_LINES", SMALL_RUN_LINES)
        yield


def large() -> int:
    return FULL_RUN_BYTES


def in_blocks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yields the lines in blocks of several lengths, up to where they break."""
    lengths = cycle([3, 1, 0, 7])
    block, length = list[bytes](), next(lengths)
    try:
        for line in lines:
            block.append(line)
            if len(block) >= length:
                yield block
                block, length = [], next(lengths)
    except DamagedError:
        yield block
        raise
    yield block


class Piece(NamedTuple):
    """A run that has lines of one object alone."""

    run: Run
    part: ObjectPart


def pieces(
    begin: Position, blocks: Iterable[Sequence[bytes]], batch_size: int, full: Callable[[], int]
) -> Iterator[Piece]:
    """Cuts one object."""
    for run in runs([begin], lambda _: blocks, batch_size, full):
        (part,) = run.parts.values()
        yield Piece(run, part)


def cut(begin: Position, lines: Iterable[bytes], batch_size: int = 100) -> list[Piece]:
    with small_limits():
        return list(pieces(begin, in_blocks(lines), batch_size, lambda: SMALL_RUN_BYTES))


def behind(lines: list[bytes], number: int) -> Position:
    line_hash = zlib.crc32(lines[number - 1]) if number else 0
    return Position(OBJECT, number, line_hash, UPLOADS_MS)


def breaking(
    lines: Iterable[bytes], rest: bytes, kind: type[DamagedError] = DamagedError
) -> Iterator[bytes]:
    """Yields the lines, then breaks as a damaged object does."""
    yield from lines
    error = kind("it is damaged")
    error.rest = rest
    raise error


def fate(line: bytes) -> str:
    """Tells where a line belongs, by the rules as the documents have them."""
    if not line.strip(b" \t\n\r\x0b\x0c"):
        return "blank"
    if len(line) > SMALL_MESSAGE_BYTES or line.decode(errors="ignore").encode() != line:
        return "quarantined"
    return "event"


def is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode())
    except ValueError:
        return False
    return True


def split(content: bytes) -> list[bytes]:
    splitter = LineSplitter()
    lines = splitter.lines(content)
    return [*lines, splitter.rest] if splitter.rest else lines


@st.composite
def begun_objects(draw: st.DrawFn) -> tuple[Position, list[bytes]]:
    """An object's lines, and a position in it."""
    lines = draw(LINES)
    number = draw(st.integers(0, len(lines)))
    begin = behind(lines, number)
    if draw(st.booleans()):
        begin = replace(begin, earlier_ms=EARLIER_MS, in_doubt=draw(st.booleans()))
    return begin, lines


@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_every_line_is_in_one_run_and_in_one_place(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    begin, lines = begun
    number = begin.lines
    for run, part in cut(begin, lines, batch_size):
        numbered = {n: lines[n - 1] for n in range(number + 1, part.position.lines + 1)}
        events = {one.line_number: one.message.encode() for one in run.events}
        quarantined = {one.number: one.content for one in part.quarantined}
        deliverable = {n: line for n, line in numbered.items() if fate(line) == "event"}
        assert events == deliverable
        assert {one.upload_times for one in run.events} <= {UPLOADS_MS}
        assert quarantined == {
            n: line for n, line in numbered.items() if fate(line) == "quarantined"
        }
        assert part.counts.blank == sum(fate(line) == "blank" for line in numbered.values())
        assert part.counts.not_json == sum(not is_json(line) for line in deliverable.values())
        part.counts.accepted = len(run.events)
        assert part.counts.read == len(numbered)
        assert part.counts.imbalance == 0
        number = part.position.lines
    assert number == len(lines)


@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_shipping_can_begin_again_behind_any_run(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    begin, lines = begun
    whole = cut(begin, lines, batch_size)
    for index, (_, part) in enumerate(whole[:-1]):
        reached = behind(lines, part.position.lines)
        assert part.position == replace(
            reached, earlier_ms=begin.earlier_ms, in_doubt=begin.in_doubt
        )
        assert cut(part.position, lines, batch_size) == whole[index + 1 :]
    assert [part.is_last for _, part in whole] == [False] * (len(whole) - 1) + [True]
    assert sum(part.counts.objects for _, part in whole) == 1


def held_bytes(line: bytes) -> int:
    """Returns what counts of a line: a text that is not ASCII is held as such and in UTF-8."""
    if not line.strip():
        return 0
    text = line.decode(errors="ignore")
    is_wide = line.strip() and len(text) < len(line) and text.encode() == line
    return len(line) + 26 + (getsizeof(text) if is_wide else 0)


@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_runs_are_bounded_and_end_behind_whole_batches_where_they_can(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    begin, lines = begun
    starts = begin.lines
    for run, part in cut(begin, lines, batch_size):
        run_lines = lines[starts : part.position.lines]
        sizes = list(accumulate(map(held_bytes, run_lines), initial=0))
        assert len(run_lines) <= SMALL_RUN_LINES
        assert run.size_bytes == sizes[-1]
        assert not run_lines or sizes[-2] < 2 * SMALL_RUN_BYTES
        if not part.is_last and len(run_lines) < SMALL_RUN_LINES:
            assert sizes[-1] >= SMALL_RUN_BYTES
            assert sizes[-1] >= 2 * SMALL_RUN_BYTES or len(run.events) % batch_size == 0
        starts = part.position.lines


def test_blank_lines_cost_what_bytes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """33 kB of gzip can hold 32 MB of them, which took 34 s of CPU: they are counted in runs."""
    count = 1_000_000
    taken: list[int] = []
    take = Run.take

    def noted(run: Run, part: ObjectPart, lines: Sequence[bytes]) -> None:
        taken.append(len(lines))
        take(run, part, lines)

    monkeypatch.setattr(Run, "take", noted)
    counts = Counts()
    for _, part in pieces(BEGINNING, [[*[b""] * count, b"{}", b""]], 100, lambda: 2**20):
        counts.add(part.counts)
    assert len(taken) <= 2 + count // MAX_RUN_LINES
    assert (counts.read, counts.blank, counts.accepted) == (count + 2, count + 1, 0)
    assert part.position.lines == count + 2


def test_a_run_of_long_lines_does_not_wait_for_a_whole_batch() -> None:
    lines = 20 * [54 * b"x"]
    assert [part.position.lines for _, part in cut(BEGINNING, lines, 100)] == [6, 12, 18, 20]
    assert [part.position.lines for _, part in cut(BEGINNING, lines, 4)] == [4, 8, 12, 16, 20]


@given(lines=LINES, rest=st.sampled_from([b"", b"{", b"\xff"]), batch_size=BATCH_SIZES)
def test_damage_ends_the_object_behind_its_good_lines(
    lines: list[bytes], rest: bytes, batch_size: int
) -> None:
    *others, (run, last) = cut(BEGINNING, breaking(lines, rest), batch_size)
    assert not any(part.trouble or part.counts.damaged for _, part in others)
    assert str(last.trouble).startswith(f"The object {OBJECT.key} ends early: it is damaged.")
    assert (last.is_last, last.counts.damaged) == (True, 1)
    assert replace(last.position, uploads_ms=UPLOADS_MS, is_cut=False) == behind(lines, len(lines))
    assert last.position.is_cut == bool(rest)
    found = [line.content for line in last.quarantined if line.number == len(lines) + 1]
    assert found == [rest] * bool(rest)
    last.counts.accepted = len(run.events)
    assert last.counts.imbalance == 0


@given(begun=begun_objects(), rest=st.sampled_from([b"", b"{"]))
def test_a_damaged_object_that_is_put_back_whole_loses_and_repeats_no_line(
    begun: tuple[Position, list[bytes]], rest: bytes
) -> None:
    reached, lines = begun
    damaged = cut(BEGINNING, breaking(lines[: reached.lines], rest))
    whole = cut(damaged[-1].part.position, lines)
    numbers = [one.line_number for run, _ in [*damaged, *whole] for one in run.events]
    assert numbers == [n for n, line in enumerate(lines, start=1) if fate(line) == "event"]


def test_a_deleted_object_is_due_when_it_comes_back_as_it_was() -> None:
    lines = [TIMED, b"second", b"third"]
    ((_, part),) = cut(BEGINNING, breaking(lines[:2], b"", DeletedError))
    assert part.position.object.etag != OBJECT.etag
    assert part.position.object.key == OBJECT.key
    (rest,) = cut(behind(lines, part.position.lines), lines)
    assert [one.message for one in rest.run.events] == ["third"]


def test_damage_within_the_shipped_lines_puts_none_of_them_into_quarantine() -> None:
    """The line that is cut off was shipped whole before; it is no line behind the position."""
    lines = [TIMED, b"second", b"third", b"fourth"]
    ((run, part),) = cut(behind(lines, 4), breaking(lines[:2], rest=b"thi"))
    assert part.trouble
    assert part.position == behind(lines, 4)
    assert (run.events, part.quarantined, part.counts.read) == ([], [], 0)


@given(begun=begun_objects(), change=st.integers(1, 2**32 - 1))
def test_another_content_is_noticed_before_the_first_run_and_begun_anew(
    begun: tuple[Position, list[bytes]], change: int
) -> None:
    begin, lines = begun
    if begin.lines:
        other = replace(begin, line_hash=begin.line_hash ^ change)
        with pytest.raises(ContentChangedError):
            next(blocks_behind(other, in_blocks(lines)))
        with pytest.raises(ContentChangedError):
            next(blocks_behind(begin, in_blocks(lines[: begin.lines - 1])))
        parts = [
            part
            for run in runs([other], lambda _: in_blocks(lines), 100, large)
            for part in run.parts.values()
        ]
        assert parts[0].begin == other.begun_anew()
        assert sum(part.counts.read for part in parts) == len(lines)
    else:
        assert list(chain.from_iterable(blocks_behind(begin, in_blocks(lines)))) == lines


@given(
    pairs=st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r\n"]))),
    last=st.sampled_from([b"", b"{}", b"  ", b"\xff", b"end\r"]),
)
def test_any_content_is_shipped_line_by_line_whatever_its_line_ends(
    pairs: list[tuple[bytes, bytes]], last: bytes
) -> None:
    content = b"".join(line + end for line, end in pairs) + last
    expected = [line.removesuffix(b"\r") for line in content.split(b"\n")[:-1]]
    expected += [last] * bool(last)
    whole = cut(BEGINNING, split(content))
    sent = [one.message.encode() for run, _ in whole for one in run.events]
    assert sent == [line for line in expected if fate(line) == "event"]
    assert sum(part.counts.read for _, part in whole) == len(expected)


def test_an_event_has_its_own_time_or_else_the_objects() -> None:
    lines = [TIMED, b"{}", b"not JSON", b'{"date": "soon"}']
    ((run, part),) = cut(BEGINNING, lines)
    times = [one.timestamp_ms for one in run.events]
    assert times == [OWN_MS, *[OBJECT.last_modified_ms] * 3]
    assert part.counts.not_json == 1


def test_what_was_sent_of_another_content_is_sought_at_the_time_it_was_sent_with() -> None:
    """A line without a time was sent with the `LastModified` of the content it stood in then."""
    begin = replace(behind([TIMED], 1), earlier_ms=EARLIER_MS).begun_anew()
    assert begin == Position(OBJECT, 0, 0, UPLOADS_MS, EARLIER_MS, in_doubt=True)
    ((run, _),) = cut(begin, [TIMED, b"{}"])
    assert [one.timestamp_ms for one in run.events] == [OWN_MS, EARLIER_MS]
    ((run, _),) = cut(replace(begin, in_doubt=False), [TIMED, b"{}"])
    assert [one.timestamp_ms for one in run.events] == [OWN_MS, OBJECT.last_modified_ms]


def test_a_message_is_the_line_byte_for_byte() -> None:
    line = b' {"auditEntry" : {"time":"2022-03-22T07:15:33.357192009Z"}, "x":"\\u00e9 \xc3\xa9"}\t'
    ((run, _),) = cut(BEGINNING, [line])
    (event,) = run.events
    assert event.message.encode() == line
    assert event.size_bytes == len(line)


def test_quarantine_tells_the_reason() -> None:
    ((_, part),) = cut(BEGINNING, [81 * b"x", b"ab\xff"])
    reasons = [line.reason for line in part.quarantined]
    assert reasons == ["longer than the 80 bytes of an event", "not UTF-8 at byte 2"]


def test_the_longest_message_is_an_event_and_one_byte_more_is_not() -> None:
    lines = [MAX_MESSAGE_BYTES * b"x", (MAX_MESSAGE_BYTES + 1) * b"x"]
    ((run, part),) = pieces(BEGINNING, in_blocks(lines), 100, large)
    assert [one.size_bytes for one in run.events] == [1_048_550]
    assert [line.number for line in part.quarantined] == [2]


@pytest.mark.parametrize("batch_size", [1, 100, 10_000])
def test_runs_of_ordinary_lines_are_whole_batches(batch_size: int) -> None:
    lines = 2 * MAX_RUN_LINES * [b"{}"]
    whole = list(pieces(BEGINNING, in_blocks(lines), batch_size, large))
    assert [part.position.lines for _, part in whole] == [MAX_RUN_LINES, 2 * MAX_RUN_LINES]
    assert len(list(chain.from_iterable(run.events for run, _ in whole))) == len(lines)


@pytest.mark.parametrize("batch_size", [1_000, 10_000])
def test_runs_of_long_lines_fill_two_of_the_largest_requests(batch_size: int) -> None:
    """A batch that its bytes end is never whole, so none must wait for it in memory."""
    lines = 20_000 * [b"x" * 1_500]
    whole = list(pieces(BEGINNING, in_blocks(lines), batch_size, large))[:-1]
    always = Acceptance(0, BEGINNING.untimed_ms)
    requests = [len(list(batches(one.run.events, always, batch_size))) for one in whole]
    assert set(requests) == {2}
    assert min(one.run.size_bytes for one in whole) > 1.9 * MAX_BATCH_BYTES


@pytest.mark.parametrize(("sign", "times"), [("x", 1), ("é", 2), ("€", 3), ("🙂", 5)])
def test_a_run_holds_so_many_times_less_of_wide_texts(sign: str, times: int) -> None:
    lines = 9_000 * [(1_400 * "x" + sign).encode()]
    first = next(pieces(BEGINNING, in_blocks(lines), 10_000, large))
    held = sum(len(one.message.encode()) * times for one in first.run.events)
    assert held == pytest.approx(FULL_RUN_BYTES, rel=0.1)


def test_an_empty_object_is_one_empty_last_part() -> None:
    ((_, part),) = cut(BEGINNING, [])
    assert (part.is_last, part.position, part.counts.objects) == (True, BEGINNING, 1)


class Content(NamedTuple):
    """An object as it is listed, where shipping of it begins, and what reading it brings."""

    begin: Position
    lines: list[bytes]
    trouble: type[Exception] | None
    good: int
    is_changed: bool

    def blocks(self) -> Iterator[Sequence[bytes]]:
        yield from in_blocks(self.lines[: self.good])
        if self.trouble is DamagedError or self.trouble is DeletedError:
            error = self.trouble("it is damaged")
            error.rest = b"cut o"
            raise error
        if self.trouble:
            raise self.trouble("it can't be read")


TROUBLES = st.sampled_from(
    [None, None, None, DamagedError, DeletedError, UnreadableError, WrongContentError]
)


@st.composite
def contents(draw: st.DrawFn, number: int) -> Content:
    lines = draw(st.lists(LINE, max_size=9))
    reached = draw(st.integers(0, len(lines)))
    trouble = draw(TROUBLES)
    good = draw(st.integers(reached, len(lines))) if trouble else len(lines)
    line_hash = zlib.crc32(lines[reached - 1]) if reached else 0
    is_changed = reached > 0 and draw(st.integers(0, 4)) == 0
    key = f"March-2024/S3-{number}{draw(st.sampled_from(['', 90 * 'k']))}"
    listed = LogObject(OBJECT.last_modified_ms + number, key, "etag", 9)
    begin = Position(listed, reached, line_hash ^ is_changed, (UPLOADS_MS[0] + number,))
    begin = replace(begin, in_doubt=draw(st.booleans()))
    return Content(begin, lines, trouble, good, is_changed)


@st.composite
def buckets(draw: st.DrawFn) -> list[Content]:
    return [draw(contents(number)) for number in range(draw(st.integers(0, 12)))]


def cut_all(
    bucket: Sequence[Content], batch_size: int, patch: pytest.MonkeyPatch, begins: list[Position]
) -> list[Run]:
    """Cuts all objects of a bucket, with limits that a few of them reach."""
    patch.setattr(utils.lines.runs, "MAX_RUN_OBJECTS", 4)
    patch.setattr(utils.lines.runs, "_ENOUGH_OBJECTS", 3)
    patch.setattr(utils.lines.runs, "MAX_RUN_POSITIONS_BYTES", 1_000)
    by_key = {one.begin.object.key: one for one in bucket}
    with small_limits():
        return list(
            runs(
                begins,
                lambda listed: by_key[listed.key].blocks(),
                batch_size,
                lambda: SMALL_RUN_BYTES,
            )
        )


@given(bucket=buckets(), batch_size=BATCH_SIZES)
def test_each_object_of_a_run_is_accounted_for_by_itself(
    bucket: list[Content], batch_size: int
) -> None:
    """Whatever its neighbours in the run are: damaged, deleted, unreadable, changed, in doubt."""
    with pytest.MonkeyPatch.context() as patch:
        cut_runs = cut_all(bucket, batch_size, patch, [one.begin for one in bucket])
    parts: dict[str, list[ObjectPart]] = {}
    for run in cut_runs:
        for key, part in run.parts.items():
            assert part.begin.object.key == key
            parts.setdefault(key, []).append(part)
            own = [one for one in run.events if one.object_key == key]
            assert {one.uploads_ms for one in own} <= {part.begin.uploads_ms}
            part.counts.accepted = len(own)
            assert part.counts.imbalance == 0
    assert [*parts] == [one.begin.object.key for one in bucket]
    for one in bucket:
        _check(one, parts[one.begin.object.key], cut_runs)


def _check(one: Content, parts: Sequence[ObjectPart], cut_runs: Sequence[Run]) -> None:
    key, last = one.begin.object.key, parts[-1]
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert sum(part.counts.objects for part in parts) == 1
    assert all(before.position == behind.begin for before, behind in pairwise(parts))
    first = 0 if one.is_changed else one.begin.lines
    assert parts[0].begin.lines == first
    events = chain.from_iterable(run.events for run in cut_runs)
    sent = [event.line_number for event in events if event.object_key == key]
    good = enumerate(one.lines[: one.good], start=1)
    due = [number for number, line in good if number > first and fate(line) == "event"]
    if one.trouble is WrongContentError:
        assert sent == due[: len(sent)]
        assert last.position == replace(
            one.begin.begun_anew() if one.is_changed else one.begin,
            in_doubt=parts[0].begin.in_doubt or len(parts) > 1,
        )
    else:
        assert sent == due
        assert last.position.lines == one.good
    assert (last.trouble is not None) == (one.trouble is not None)
    assert last.is_owed == (one.trouble not in {None, DeletedError})


@given(bucket=buckets(), batch_size=BATCH_SIZES)
def test_a_run_stays_within_what_a_checkpoint_can_name(
    bucket: list[Content], batch_size: int
) -> None:
    """Else it would wait for ever for a save that names all of its objects."""
    with pytest.MonkeyPatch.context() as patch:
        for run in cut_all(bucket, batch_size, patch, [one.begin for one in bucket]):
            begins = [part.begin for part in run.parts.values()]
            assert 1 <= len(begins) <= 4
            assert len(begins) == 1 or sum(len(encode(one)) for one in begins) <= 1_000
            assert run.lines <= SMALL_RUN_LINES


def test_an_object_that_is_planned_twice_is_in_two_runs() -> None:
    """It was replaced between two pages of the listing: each has a position of its own."""
    other = Position(replace(OBJECT, etag="another"))
    found = list(runs([BEGINNING, other], lambda _: [[b"{}"]], 100, large))
    assert [one.begin for run in found for one in run.parts.values()] == [BEGINNING, other]


def test_what_was_read_before_a_failure_of_the_service_is_sent() -> None:
    names = [LogObject(1, f"S3-{number}", "etag", 9) for number in range(3)]

    def blocks(listed: LogObject) -> Iterator[list[bytes]]:
        yield [b"{}"]
        if listed == names[1]:
            raise ServiceError("Can't read anything")

    found = runs([Position(one) for one in names], blocks, 100, large)
    parts = next(found).parts
    assert {key: part.is_last for key, part in parts.items()} == {"S3-0": True, "S3-1": False}
    with pytest.raises(ServiceError):
        next(found)


@pytest.mark.parametrize(("lines", "objects"), [(25, 4_000), (3, 2_000), (1, 400), (7, 1_001)])
def test_many_small_objects_are_shipped_in_whole_batches(lines: int, objects: int) -> None:
    """4,000 objects of 25 events were 4,000 puts, in groups of at most 100."""
    begins = [Position(LogObject(1, f"S3-{number}", "etag", 9)) for number in range(objects)]
    event = b"x" * 1_300
    always = Acceptance(0, 1)
    found = runs(begins, lambda _: [[event] * lines], 100, large)
    puts = [len(batch) for run in found for batch in batches(run.events, always, 100)]
    assert sum(puts) == lines * objects
    assert len(puts) <= 1.05 * lines * objects / 100 + 1
