"""Turns the bytes of an audit-log object into blocks of content, and these into lines."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

GZIP_MAGIC = b"\x1f\x8b"
# What one step may add to memory; larger steps measured no faster.
BLOCK_BYTES = 256 * 1024
# A line above this is cut: CloudWatch takes a message of at most 1 MiB, so it goes to quarantine.
LONGEST_LINE_BYTES = 2 * 1024 * 1024
_GZIP_WINDOW_BITS = 31
# A mistake compresses once or twice too often; a bomb may have any depth.
_MOST_LAYERS = 3


class DamagedError(ValueError):
    """The object's content ends before its end.

    `rest` is what follows the last line end.

    Args:
        reason: what is wrong, for the status line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = b""


class ReplacedError(DamagedError):
    """The object is no longer what it was, and may become so again."""


class DeletedError(ReplacedError):
    """The object is gone."""


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the object's content in blocks: gzip by its first two bytes, plain otherwise.

    Gzip in gzip is unpacked up to `_MOST_LAYERS` deep; each layer holds a block and zlib's window.

    Args:
        pieces: the object's bytes in order.

    Raises:
        DamagedError: behind the last good byte, if the object is empty, truncated, damaged or has
            something else behind its end.
    """
    head, content = _with_head(pieces)
    if not head:
        raise DamagedError("it is empty")
    for _ in range(_MOST_LAYERS):
        if not head.startswith(GZIP_MAGIC):
            break
        head, content = _with_head(_Gunzip().blocks(content))
    yield from content


def _with_head(pieces: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Returns the first bytes, by which gzip is known, and all pieces."""
    stream, begun, head = filter(None, pieces), list[bytes](), b""
    try:
        while len(head) < len(GZIP_MAGIC):
            begun.append(next(stream))
            head += begun[-1]
    except StopIteration:
        pass
    except DamagedError as exc:
        return head, _broken(begun, exc)
    return head, chain(begun, stream)


def _broken(begun: list[bytes], error: DamagedError) -> Iterator[bytes]:
    """Yields what was read before the damage, and raises that then."""
    yield from begun
    raise error


class _Gunzip:
    """Decompresses gzip of one or more members, as RFC 1952 allows."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WINDOW_BITS)

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            data = self._next_member(piece)
            while data:
                yield from self._step(data)
                rest = self._member.unconsumed_tail or self._member.unused_data
                data = self._next_member(rest)
        while not self._member.eof and any(kept_back := list(self._step(b""))):
            yield from kept_back
        if not self._member.eof:
            raise DamagedError("its gzip data is truncated")

    def _step(self, data: bytes) -> Iterator[bytes]:
        before = self._member.copy()
        try:
            yield self._member.decompress(data, BLOCK_BYTES)
        except zlib.error as exc:
            yield _salvaged(before, data)
            fault = str(exc).rpartition(": ")[2]
            raise DamagedError(f"its gzip data is damaged: {fault}") from exc

    def _next_member(self, data: bytes) -> bytes:
        """Begins the next member where one ends; zero bytes between them are padding."""
        if not self._member.eof:
            return data
        data = data.lstrip(b"\0")
        if data and not GZIP_MAGIC.startswith(data[:2]):
            raise DamagedError("something else follows its gzip data")
        if data:
            self._member = zlib.decompressobj(_GZIP_WINDOW_BITS)
        return data


def _salvaged(member: "zlib._Decompress", data: bytes) -> bytes:
    """Returns what a step makes before it fails: zlib itself hands out nothing of it."""
    content = bytearray()
    try:
        # The last turn has no input: it brings what zlib kept back.
        for index in range(len(data) + 1):
            rest = data[index : index + 1]
            while made := member.decompress(rest, 1):
                content += made
                rest = member.unconsumed_tail
    except zlib.error:
        pass
    return bytes(content)


class LineSplitter:
    """Cuts blocks into lines without their line ends."""

    def __init__(self) -> None:
        self.rest = b""

    def lines(self, block: bytes) -> list[bytes]:
        r"""Returns the lines that the block completes; a line ends with `\n` or `\r\n`.

        Args:
            block: the next bytes of the content. What is left stands in `rest`, of which at most
                `LONGEST_LINE_BYTES` are kept.
        """
        lines = block.split(b"\n")
        lines[0] = self.rest + lines[0]
        self.rest = lines.pop()[:LONGEST_LINE_BYTES]
        if b"\r" not in block and len(block) <= LONGEST_LINE_BYTES:
            # Only the first has more in it than the block: millions of blank lines are cheap.
            return [*map(_without_return, lines[:1]), *lines[1:]]
        return [*map(_without_return, lines)]


def _without_return(line: bytes) -> bytes:
    return (line[:-1] if line.endswith(b"\r") else line)[:LONGEST_LINE_BYTES]
