"""Every line of an object is in one chunk and in one place of it, wherever shipping begins.

A chunk is the unit of the checkpoint: a line that falls between two of them is lost, one in both is
stored twice.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, chain, cycle
from sys import getsizeof

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import utils.lines.chunking
from utils.lines.batching import MAX_BATCH_BYTES, MAX_MESSAGE_BYTES, Acceptance, batches
from utils.lines.chunking import (
    MAX_CHUNK_LINES,
    Chunk,
    ContentChangedError,
    blocks_behind,
    chunks,
)
from utils.lines.decompression import DamagedError, DeletedError, LineSplitter
from utils.model import Counts, LogObject, Position
from utils.state.memory_share import FULL_CHUNK_BYTES

OBJECT = LogObject(1_709_208_000_000, "March-2024/S3-audited.gz", "etag", 4711)
BEGINNING = Position(OBJECT)
OWN_MS = 1_647_933_333_357
EARLIER_MS = 1_709_200_000_000
UPLOADS_MS = (1_709_208_000_001, 1_709_208_000_002)
TIMED = b'{"auditEntry": {"time": "2022-03-22T07:15:33.357192009Z"}}'
SMALL_MESSAGE_BYTES = 80
SMALL_CHUNK_LINES = 7
SMALL_CHUNK_BYTES = 240

PROPERTY = settings(max_examples=250, deadline=None, derandomize=True)
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
        patch.setattr(utils.lines.chunking, "MAX_MESSAGE_BYTES", SMALL_MESSAGE_BYTES)
        patch.setattr(utils.lines.chunking, "MAX_CHUNK_LINES", SMALL_CHUNK_LINES)
        yield


def large() -> int:
    return FULL_CHUNK_BYTES


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


def cut(begin: Position, lines: Iterable[bytes], batch_size: int = 100) -> list[Chunk]:
    with small_limits():
        return list(chunks(begin, in_blocks(lines), batch_size, lambda: SMALL_CHUNK_BYTES))


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


@PROPERTY
@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_every_line_is_in_one_chunk_and_in_one_place(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    begin, lines = begun
    number = begin.lines
    for chunk in cut(begin, lines, batch_size):
        numbered = {n: lines[n - 1] for n in range(number + 1, chunk.position.lines + 1)}
        events = {one.line_number: one.message.encode() for one in chunk.events}
        quarantined = {one.number: one.content for one in chunk.quarantined}
        deliverable = {n: line for n, line in numbered.items() if fate(line) == "event"}
        assert events == deliverable
        assert {one.upload_times for one in chunk.events} <= {UPLOADS_MS}
        assert quarantined == {
            n: line for n, line in numbered.items() if fate(line) == "quarantined"
        }
        assert chunk.counts.blank == sum(fate(line) == "blank" for line in numbered.values())
        assert chunk.counts.not_json == sum(not is_json(line) for line in deliverable.values())
        chunk.counts.accepted = len(chunk.events)
        assert chunk.counts.read == len(numbered)
        assert chunk.counts.imbalance == 0
        number = chunk.position.lines
    assert number == len(lines)


@PROPERTY
@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_shipping_can_begin_again_behind_any_chunk(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    """A restart that cut other chunks would send the same lines at other upload times."""
    begin, lines = begun
    whole = cut(begin, lines, batch_size)
    for index, chunk in enumerate(whole[:-1]):
        reached = behind(lines, chunk.position.lines)
        assert chunk.position == replace(
            reached, earlier_ms=begin.earlier_ms, in_doubt=begin.in_doubt
        )
        assert cut(chunk.position, lines, batch_size) == whole[index + 1 :]
    assert [chunk.is_last for chunk in whole] == [False] * (len(whole) - 1) + [True]
    assert sum(chunk.counts.objects for chunk in whole) == 1


def held_bytes(line: bytes) -> int:
    """Returns what counts of a line: a text that is not ASCII is held as such and in UTF-8."""
    if not line.strip():
        return 0
    text = line.decode(errors="ignore")
    is_wide = line.strip() and len(text) < len(line) and text.encode() == line
    return len(line) + 26 + (getsizeof(text) if is_wide else 0)


@PROPERTY
@given(begun=begun_objects(), batch_size=BATCH_SIZES)
def test_chunks_are_bounded_and_end_behind_whole_batches_where_they_can(
    begun: tuple[Position, list[bytes]], batch_size: int
) -> None:
    begin, lines = begun
    starts = begin.lines
    for chunk in cut(begin, lines, batch_size):
        chunk_lines = lines[starts : chunk.position.lines]
        sizes = list(accumulate(map(held_bytes, chunk_lines), initial=0))
        assert len(chunk_lines) <= SMALL_CHUNK_LINES
        assert chunk.size_bytes == sizes[-1]
        assert not chunk_lines or sizes[-2] < 2 * SMALL_CHUNK_BYTES
        if not chunk.is_last and len(chunk_lines) < SMALL_CHUNK_LINES:
            assert sizes[-1] >= SMALL_CHUNK_BYTES
            assert sizes[-1] >= 2 * SMALL_CHUNK_BYTES or len(chunk.events) % batch_size == 0
        starts = chunk.position.lines


def test_blank_lines_cost_what_bytes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """33 kB of gzip can hold 32 MB of them, which took 34 s of CPU: they are counted in runs."""
    count = 1_000_000
    taken: list[int] = []
    take = Chunk.take

    def noted(chunk: Chunk, number: int, lines: Sequence[bytes]) -> None:
        taken.append(number)
        take(chunk, number, lines)

    monkeypatch.setattr(Chunk, "take", noted)
    counts = Counts()
    for chunk in chunks(BEGINNING, [[*[b""] * count, b"{}", b""]], 100, lambda: 2**20):
        counts.add(chunk.counts)
    assert len(taken) <= 2 + count // MAX_CHUNK_LINES
    assert (counts.read, counts.blank, counts.accepted) == (count + 2, count + 1, 0)
    assert chunk.position.lines == count + 2


def test_a_chunk_of_long_lines_does_not_wait_for_a_whole_batch() -> None:
    lines = 20 * [54 * b"x"]
    assert [chunk.position.lines for chunk in cut(BEGINNING, lines, 100)] == [6, 12, 18, 20]
    assert [chunk.position.lines for chunk in cut(BEGINNING, lines, 4)] == [4, 8, 12, 16, 20]


@PROPERTY
@given(lines=LINES, rest=st.sampled_from([b"", b"{", b"\xff"]), batch_size=BATCH_SIZES)
def test_damage_ends_the_object_behind_its_good_lines(
    lines: list[bytes], rest: bytes, batch_size: int
) -> None:
    *others, last = cut(BEGINNING, breaking(lines, rest), batch_size)
    assert not any(chunk.trouble or chunk.counts.damaged for chunk in others)
    assert str(last.trouble).startswith(f"The object {OBJECT.key} ends early: it is damaged.")
    assert (last.is_last, last.counts.damaged) == (True, 1)
    assert replace(last.position, uploads_ms=UPLOADS_MS) == behind(lines, len(lines))
    found = [line.content for line in last.quarantined if line.number == len(lines) + 1]
    assert found == [rest] * bool(rest)
    last.counts.accepted = len(last.events)
    assert last.counts.imbalance == 0


@PROPERTY
@given(begun=begun_objects(), rest=st.sampled_from([b"", b"{"]))
def test_a_damaged_object_that_is_put_back_whole_loses_and_repeats_no_line(
    begun: tuple[Position, list[bytes]], rest: bytes
) -> None:
    reached, lines = begun
    damaged = cut(BEGINNING, breaking(lines[: reached.lines], rest))
    whole = cut(damaged[-1].position, lines)
    numbers = [one.line_number for chunk in [*damaged, *whole] for one in chunk.events]
    assert numbers == [n for n, line in enumerate(lines, start=1) if fate(line) == "event"]


def test_a_deleted_object_is_due_when_it_comes_back_as_it_was() -> None:
    lines = [TIMED, b"second", b"third"]
    (chunk,) = cut(BEGINNING, breaking(lines[:2], b"", DeletedError))
    assert chunk.position.object.etag != OBJECT.etag
    assert chunk.position.object.key == OBJECT.key
    (rest,) = cut(behind(lines, chunk.position.lines), lines)
    assert [one.message for one in rest.events] == ["third"]


def test_damage_within_the_shipped_lines_puts_none_of_them_into_quarantine() -> None:
    """The line that is cut off was shipped whole before; it is no line behind the position."""
    lines = [TIMED, b"second", b"third", b"fourth"]
    (chunk,) = cut(behind(lines, 4), breaking(lines[:2], rest=b"thi"))
    assert chunk.trouble
    assert chunk.position == behind(lines, 4)
    assert (chunk.events, chunk.quarantined, chunk.counts.read) == ([], [], 0)


@PROPERTY
@given(begun=begun_objects(), change=st.integers(1, 2**32 - 1))
def test_another_content_is_noticed_before_the_first_chunk(
    begun: tuple[Position, list[bytes]], change: int
) -> None:
    begin, lines = begun
    if begin.lines:
        other = replace(begin, line_hash=begin.line_hash ^ change)
        with pytest.raises(ContentChangedError):
            next(chunks(other, in_blocks(lines), 100, large))
        with pytest.raises(ContentChangedError):
            next(chunks(begin, in_blocks(lines[: begin.lines - 1]), 100, large))
    else:
        assert list(chain.from_iterable(blocks_behind(begin, in_blocks(lines)))) == lines


@PROPERTY
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
    sent = [one.message.encode() for chunk in whole for one in chunk.events]
    assert sent == [line for line in expected if fate(line) == "event"]
    assert sum(chunk.counts.read for chunk in whole) == len(expected)


def test_an_event_has_its_own_time_or_else_the_objects() -> None:
    lines = [TIMED, b"{}", b"not JSON", b'{"date": "soon"}']
    (chunk,) = cut(BEGINNING, lines)
    times = [one.timestamp_ms for one in chunk.events]
    assert times == [OWN_MS, *[OBJECT.last_modified_ms] * 3]
    assert chunk.counts.not_json == 1


def test_what_was_sent_of_another_content_is_sought_at_the_time_it_was_sent_with() -> None:
    """A line without a time was sent with the `LastModified` of the content it stood in then."""
    begin = replace(behind([TIMED], 1), earlier_ms=EARLIER_MS).begun_anew()
    assert begin == Position(OBJECT, 0, 0, UPLOADS_MS, EARLIER_MS, in_doubt=True)
    (chunk,) = cut(begin, [TIMED, b"{}"])
    assert [one.timestamp_ms for one in chunk.events] == [OWN_MS, EARLIER_MS]
    (chunk,) = cut(replace(begin, in_doubt=False), [TIMED, b"{}"])
    assert [one.timestamp_ms for one in chunk.events] == [OWN_MS, OBJECT.last_modified_ms]


def test_a_message_is_the_line_byte_for_byte() -> None:
    line = b' {"auditEntry" : {"time":"2022-03-22T07:15:33.357192009Z"}, "x":"\\u00e9 \xc3\xa9"}\t'
    (chunk,) = cut(BEGINNING, [line])
    (event,) = chunk.events
    assert event.message.encode() == line
    assert event.size_bytes == len(line)


def test_quarantine_tells_the_reason() -> None:
    (chunk,) = cut(BEGINNING, [81 * b"x", b"ab\xff"])
    reasons = [line.reason for line in chunk.quarantined]
    assert reasons == ["longer than the 80 bytes of an event", "not UTF-8 at byte 2"]


def test_the_longest_message_is_an_event_and_one_byte_more_is_not() -> None:
    lines = [MAX_MESSAGE_BYTES * b"x", (MAX_MESSAGE_BYTES + 1) * b"x"]
    (chunk,) = chunks(BEGINNING, in_blocks(lines), 100, large)
    assert [one.size_bytes for one in chunk.events] == [1_048_550]
    assert [line.number for line in chunk.quarantined] == [2]


@pytest.mark.parametrize("batch_size", [1, 100, 10_000])
def test_chunks_of_ordinary_lines_are_whole_batches(batch_size: int) -> None:
    lines = 2 * MAX_CHUNK_LINES * [b"{}"]
    whole = list(chunks(BEGINNING, in_blocks(lines), batch_size, large))
    assert [chunk.position.lines for chunk in whole] == [MAX_CHUNK_LINES, 2 * MAX_CHUNK_LINES]
    assert len(list(chain.from_iterable(chunk.events for chunk in whole))) == len(lines)


@pytest.mark.parametrize("batch_size", [1_000, 10_000])
def test_chunks_of_long_lines_fill_two_of_the_largest_requests(batch_size: int) -> None:
    """A batch that its bytes end is never whole, so none must wait for it in memory."""
    lines = 20_000 * [b"x" * 1_500]
    whole = list(chunks(BEGINNING, in_blocks(lines), batch_size, large))[:-1]
    always = Acceptance(0, BEGINNING.untimed_ms)
    requests = [len(list(batches(one.events, always, batch_size))) for one in whole]
    assert set(requests) == {2}
    assert min(one.size_bytes for one in whole) > 1.9 * MAX_BATCH_BYTES


@pytest.mark.parametrize(("sign", "times"), [("x", 1), ("é", 2), ("€", 3), ("🙂", 5)])
def test_a_chunk_holds_so_many_times_less_of_wide_texts(sign: str, times: int) -> None:
    lines = 9_000 * [(1_400 * "x" + sign).encode()]
    first = next(chunks(BEGINNING, in_blocks(lines), 10_000, large))
    held = sum(len(one.message.encode()) * times for one in first.events)
    assert held == pytest.approx(FULL_CHUNK_BYTES, rel=0.1)


def test_an_empty_object_is_one_empty_last_chunk() -> None:
    (chunk,) = cut(BEGINNING, [])
    assert (chunk.is_last, chunk.position, chunk.counts.objects) == (True, BEGINNING, 1)
