"""Turns the bytes of an audit-log object into blocks of whole lines, as a stream."""

from collections.abc import Iterable, Iterator

from isal import isal_zlib

GZIP_MAGIC = b"\x1f\x8b"
# What one step may add to memory; larger steps measured no faster.
BLOCK_BYTES = 256 * 1024
# A line above this is cut: CloudWatch takes a message of at most 1 MiB, so it goes to quarantine.
LONGEST_LINE_BYTES = 2 * 1024 * 1024
_GZIP_WINDOW_BITS = 31


class DamagedError(ValueError):
    """The object's content ends before its end.

    Args:
        reason: what is wrong, for the status line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rest = b""


class CorruptError(DamagedError):
    """The compressed bytes are damaged.

    Args:
        reason: what is wrong, for the status line.
        output_bytes: how much was decompressed before.
    """

    def __init__(self, reason: str, output_bytes: int) -> None:
        super().__init__(reason)
        self.output_bytes = output_bytes


def decompressed(pieces: Iterable[bytes], careful_from: int | None = None) -> Iterator[bytes]:
    """Yields the object's content in blocks: gzip by its first two bytes, plain otherwise.

    The decompressor keeps back what it made in the step that fails. To have the good bytes before
    the damage too, read again with `careful_from` = the error's `output_bytes`: from there on each
    step makes one byte, and only what follows that place is yielded.

    Args:
        pieces: the object's bytes in order.
        careful_from: where the careful part begins, in bytes of the content.

    Raises:
        DamagedError: empty, truncated, damaged or with something else behind its end.
        CorruptError: damaged, with good bytes kept back.
    """
    stream = iter(pieces)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= len(GZIP_MAGIC):
            break
    if not head:
        raise DamagedError("it is empty")
    content = _chained(head, stream)
    if head.startswith(GZIP_MAGIC):
        yield from _Gunzip(careful_from).blocks(content)
    else:
        yield from content


def _chained(head: bytes, stream: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from stream


class _Gunzip:
    """Decompresses gzip of one or more members, as RFC 1952 allows."""

    def __init__(self, careful_from: int | None) -> None:
        self._careful_from = careful_from
        self._output_bytes = 0
        self._member = isal_zlib.decompressobj(_GZIP_WINDOW_BITS)

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            for step in self._input_steps(piece):
                yield from self._output_of(step)
        yield from self._kept_back()
        if not self._member.eof:
            raise DamagedError("its gzip data is truncated")

    def _input_steps(self, piece: bytes) -> Iterator[bytes]:
        """Cuts the input small where every byte of output may count."""
        size = len(piece) if self._careful_from is None else 64
        return (piece[start : start + size] for start in range(0, len(piece), max(1, size)))

    def _output_of(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                data = self._next_member(data)
                continue
            block = self._step(data)
            data = self._member.unconsumed_tail or self._member.unused_data
            if block and self._is_wanted():
                yield block

    def _kept_back(self) -> Iterator[bytes]:
        """Yields what the decompressor still holds when all input is read."""
        while not self._member.eof and (block := self._step(b"")):
            if self._is_wanted():
                yield block

    def _next_member(self, data: bytes) -> bytes:
        """Begins the next member; zero bytes between members are padding, as in gzip itself."""
        data = data.lstrip(b"\0")
        if data and not GZIP_MAGIC.startswith(data[:2]):
            raise DamagedError("something else follows its gzip data")
        if data:
            self._member = isal_zlib.decompressobj(_GZIP_WINDOW_BITS)
        return data

    def _step(self, data: bytes) -> bytes:
        try:
            block: bytes = self._member.decompress(data, self._step_bytes())
        except isal_zlib.error as exc:  # type: ignore[misc] # isal's stub calls it an instance
            raise CorruptError(f"its gzip data is damaged: {exc}", self._output_bytes) from exc
        self._output_bytes += len(block)
        return block

    def _step_bytes(self) -> int:
        if self._careful_from is None:
            return BLOCK_BYTES
        return max(1, min(BLOCK_BYTES, self._careful_from - self._output_bytes))

    def _is_wanted(self) -> bool:
        return self._careful_from is None or self._output_bytes > self._careful_from


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
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]
