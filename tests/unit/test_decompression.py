"""The content of an object comes out whole, however its bytes arrive, and up to any damage.

The good lines of a bad object are audit log like all others.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import utils.lines.decompression
from utils.lines.decompression import (
    BLOCK_BYTES,
    GZIP_MAGIC,
    LONGEST_LINE_BYTES,
    DamagedError,
    LineSplitter,
    decompressed,
)

SEED = Random(4)
TEXT = b"".join(b'{"a":%d,"b":"%s"}\n' % (i, SEED.randbytes(6).hex().encode()) for i in range(25))
GZIP = gzip.compress(TEXT, mtime=0)
MEMBERS = GZIP + b"\0" * 3 + gzip.compress(b"the second member\n" * 9, mtime=0)
STORED = gzip.compress(TEXT[:99], compresslevel=0, mtime=0)
NAMED = b"\x1f\x8b\x08\x08" + GZIP[4:10] + b"S3-audited.log\0" + GZIP[10:]
OBJECTS = [
    pytest.param(GZIP, id="one member"),
    pytest.param(MEMBERS, id="two members"),
    pytest.param(STORED, id="stored"),
    pytest.param(NAMED, id="with a file name"),
]
CONTENTS = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b'{"a": 1}\n', b"\r\n", b"\n", b"end", b"\r"])).map(b"".join),
    st.integers(0, 3000).map(lambda size: size * b"a"),
)
CUTS = st.lists(st.integers(0, 400), max_size=8)


@contextmanager
def limit(name: str, value: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils.lines.decompression, name, value)
        yield


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Returns the data in pieces, of which some are empty."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def read(data: bytes, cuts: Iterable[int] = ()) -> tuple[bytes, DamagedError | None]:
    content = b""
    try:
        for block in decompressed(pieces(data, cuts)):
            content += block
    except DamagedError as exc:
        return content, exc
    return content, None


def recovered(data: bytes) -> bytes:
    """Returns what zlib makes of gzip data up to its first damage."""
    content = b""
    member = zlib.decompressobj(31)
    try:
        for place in range(len(data)):
            if not member.eof:
                content += member.decompress(data[place : place + 1])
            elif data[place]:
                return content + recovered(data[place:])
    except zlib.error:
        pass
    return content


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]


@st.composite
def gzip_objects(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Returns a gzip object of one or more members, perhaps padded, and its content."""
    contents = draw(st.lists(CONTENTS, min_size=1, max_size=3))
    level = draw(st.sampled_from([0, 1, 6, 9]))
    padding = b"\0" * draw(st.integers(0, 3))
    whole = b"".join(contents)
    # What begins like gzip would be unpacked once more.
    assume(not whole.startswith(GZIP_MAGIC))
    members = [gzip.compress(content, level, mtime=0) + padding for content in contents]
    return b"".join(members), whole


@given(gzipped=gzip_objects(), cuts=CUTS, block_bytes=st.sampled_from([1, 7, 100, BLOCK_BYTES]))
def test_gzip_gives_its_content_in_bounded_blocks_however_its_bytes_arrive(
    gzipped: tuple[bytes, bytes], cuts: list[int], block_bytes: int
) -> None:
    data, content = gzipped
    with limit("BLOCK_BYTES", block_bytes):
        blocks = list(decompressed(pieces(data, cuts)))
    assert b"".join(blocks) == content
    assert all(len(block) <= block_bytes for block in blocks)


@given(content=CONTENTS.filter(lambda content: content[:2] != GZIP_MAGIC), cuts=CUTS)
def test_anything_else_is_plain(content: bytes, cuts: list[int]) -> None:
    if content:
        assert b"".join(decompressed(pieces(content, cuts))) == content
    else:
        with pytest.raises(DamagedError, match="it is empty"):
            list(decompressed(pieces(content, cuts)))


def test_the_first_byte_of_gzip_alone_is_plain() -> None:
    assert list(decompressed([b"", b"\x1f", b""])) == [b"\x1f"]


@given(gzipped=gzip_objects(), cuts=CUTS, junk=st.binary(min_size=1, max_size=20))
def test_what_follows_the_gzip_data_is_told_and_costs_no_content(
    gzipped: tuple[bytes, bytes], cuts: list[int], junk: bytes
) -> None:
    data, content = gzipped
    with limit("BLOCK_BYTES", 50):
        found, error = read(data + b"\xfe" + junk, cuts)
    assert found == content
    assert error
    assert error.reason == "something else follows its gzip data"


@pytest.mark.parametrize("data", OBJECTS)
def test_truncation_at_any_byte_gives_all_content_before_it(data: bytes) -> None:
    ends = {len(GZIP), *range(len(GZIP), len(GZIP) + 4)} if data is MEMBERS else set()
    for size in range(2, len(data)):
        content, error = read(data[:size], [size // 2])
        assert content == recovered(data[:size])
        assert (error is None) == (size in ends)


@pytest.mark.parametrize("data", OBJECTS)
@pytest.mark.parametrize("block_bytes", [1, 7, BLOCK_BYTES])
def test_a_flipped_bit_anywhere_costs_nothing_before_it(data: bytes, block_bytes: int) -> None:
    """The good lines before the damage are lost for good if nobody puts the object back whole."""
    for place in range(2, len(data)):
        damaged = flipped(data, place)
        with limit("BLOCK_BYTES", block_bytes):
            content, _ = read(damaged, [place, place + 5])
        assert content == recovered(damaged)


@given(
    head=st.sampled_from([GZIP_MAGIC, GZIP[:10], GZIP[:60]]),
    data=st.binary(max_size=60),
    block_bytes=st.sampled_from([1, 7, BLOCK_BYTES]),
)
def test_any_bytes_are_content_or_damage(head: bytes, data: bytes, block_bytes: int) -> None:
    with limit("BLOCK_BYTES", block_bytes):
        content, _ = read(head + data, [30])
    assert content == recovered(head + data)


@given(content=CONTENTS, layers=st.integers(1, 3), cuts=CUTS)
def test_gzip_in_gzip_is_unpacked_up_to_a_depth(
    content: bytes, layers: int, cuts: list[int]
) -> None:
    data = content
    for _ in range(layers):
        data = gzip.compress(data, mtime=0)
    assert read(data, cuts) == (content, None)


def test_gzip_too_deep_stays_as_it_is_and_a_bomb_in_gzip_is_bounded() -> None:
    data = TEXT
    for _ in range(4):
        data = gzip.compress(data, mtime=0)
    assert read(data) == (GZIP, None)
    bomb = gzip.compress(gzip.compress(bytes(64 * 1024 * 1024), mtime=0), mtime=0)
    assert max(len(block) for block in decompressed([bomb])) <= BLOCK_BYTES


def test_a_bomb_comes_out_in_bounded_blocks() -> None:
    size = 64 * 1024 * 1024
    bomb = gzip.compress(bytes(size), mtime=0)
    assert len(bomb) < size // 900
    sizes = [len(block) for block in decompressed([bomb])]
    assert max(sizes) <= BLOCK_BYTES
    assert sum(sizes) == size


def lines_of(blocks: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    splitter = LineSplitter()
    lines = [line for block in blocks for line in splitter.lines(block)]
    return lines, splitter.rest


@given(content=CONTENTS, cuts=CUTS)
def test_lines_are_the_same_however_the_content_is_cut(content: bytes, cuts: list[int]) -> None:
    *whole, rest = content.split(b"\n")
    assert lines_of(pieces(content, cuts)) == ([line.removesuffix(b"\r") for line in whole], rest)


@given(
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    end=st.sampled_from([b"", b"\n", b"\r\n"]),
    cuts=CUTS,
)
def test_a_line_that_is_too_long_is_cut_at_the_same_place_however_the_content_is_cut(
    lengths: list[int], end: bytes, cuts: list[int]
) -> None:
    """The hash of such a line stands in the checkpoint: another one would ship the object anew."""
    content = b"\n".join(b"0123456789abcdefghij"[:length] for length in lengths) + end
    with limit("LONGEST_LINE_BYTES", 8):
        lines, rest = lines_of(pieces(content, [*cuts, *range(0, len(content), 8)]))
        assert (lines, rest) == lines_of(pieces(content, range(len(content))))
    assert [line[:8] for line in lines] == [
        line.removesuffix(b"\r")[:8] for line in content.split(b"\n")[:-1]
    ]


def test_a_line_without_end_is_kept_in_bounded_memory() -> None:
    splitter = LineSplitter()
    for _ in range(20):
        assert splitter.lines(bytes(BLOCK_BYTES)) == []
        assert len(splitter.rest) <= LONGEST_LINE_BYTES
    (line,) = splitter.lines(b"\n")
    assert len(line) == LONGEST_LINE_BYTES


@given(gzipped=gzip_objects(), cuts=CUTS)
def test_the_lines_of_a_gzip_object_are_those_of_its_content(
    gzipped: tuple[bytes, bytes], cuts: list[int]
) -> None:
    data, content = gzipped
    *whole, rest = content.split(b"\n")
    found = lines_of(decompressed(pieces(data, cuts)))
    assert found == ([line.removesuffix(b"\r") for line in whole], rest)
