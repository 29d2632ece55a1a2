"""Holds how far an iteration has come, and hands out checkpoints of it."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from itertools import accumulate, islice
from threading import Lock

import msgspec
from msgspec.structs import replace

from utils.model import HOUR_MS, WINDOW_BYTES, WINDOW_OBJECTS, Position
from utils.state.checkpoint import VERSION, Checkpoint, encode_checkpoint
from utils.state.ledger import Ledger, Survey

# A log group may keep events for only a day, and takes none of before that.
_UPLOAD_TIME_LASTS_MS = 12 * HOUR_MS


class Mark(msgspec.Struct, frozen=True):
    """How far an iteration has come: lines acknowledged and objects completed."""

    lines: int = 0
    objects: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    """A checkpoint as a document, how far it reaches, and how many objects it names or covers."""

    document: bytes
    mark: Mark
    objects_named: int


class Progress:
    """The objects that are planned and how much of them is acknowledged.

    It is changed by the thread that ships and read by the one that saves. `survey` is the listing
    that is planned from.

    Args:
        checkpoint: where the iteration begins.
        ledger: over the checkpoint's coverage.
    """

    def __init__(self, checkpoint: Checkpoint, ledger: Ledger) -> None:
        self._lock = Lock()
        self._checkpoint = checkpoint
        self.ledger = ledger
        self.survey = Survey()
        self._began_ms = checkpoint.upload_ms
        self._open: deque[Position] = deque()
        # Lines may have been sent of what the checkpoint names, so that is planned first.
        self._objects_named = len(checkpoint.open)
        self._is_running = True
        self.mark = Mark()

    def plan(self, positions: Iterable[Position]) -> list[Position]:
        """Adds objects that are to be shipped, in their order; returns them with upload times."""
        with self._lock:
            planned = [self._stamped(position) for position in positions]
            self._open.extend(planned)
            return planned

    def acknowledge(self, position: Position, lines: int) -> None:
        """Notes that the first planned object is acknowledged up to a position.

        Args:
            position: behind the last of the lines.
            lines: so many more than before.
        """
        with self._lock:
            self._open[0] = position
            self.mark = Mark(self.mark.lines + lines, self.mark.objects)

    def complete(self, position: Position, lines: int, *, is_owed: bool) -> None:
        """Notes that nothing more of the first planned object is shipped now.

        Args:
            position: where it is left.
            lines: so many more than before.
            is_owed: whether it is not wholly shipped.
        """
        with self._lock:
            self._open.popleft()
            self.mark = Mark(self.mark.lines + lines, self.mark.objects + 1)
            if is_owed:
                self.ledger.owe(position)
                return
            self.ledger.record_shipped(position)
            if self._open and self.ledger.is_full():
                self.ledger.advance(self.survey, self._open[0].object.last_modified_ms)

    def close_plan(self, frontier_ms: int) -> None:
        """Notes that a plan is carried out.

        Args:
            frontier_ms: everything listed before this time is shipped, in ms since 1970.
        """
        with self._lock:
            self.ledger.advance(self.survey, frontier_ms)

    def let_go(self, key: str) -> int:
        """Forgets an object that is owed and gone; returns the lines sent of it."""
        with self._lock:
            return self.ledger.let_go(key)

    def end(self) -> None:
        """Notes that nothing is in doubt any more: only objects shipped in part stay open."""
        with self._lock:
            self._is_running = False
            begun = [position for position in self._window() if position.lines or position.in_doubt]
            self._open = deque(begun)

    def end_repair(self) -> None:
        """Notes that what the ledger says is proven."""
        with self._lock:
            self._checkpoint = replace(self._checkpoint, repairing=False)

    def snapshot(self) -> Snapshot:
        """Returns the checkpoint as of now."""
        with self._lock:
            window = self._window()
            self._checkpoint = replace(
                self._checkpoint,
                version=VERSION,
                succession=None,
                open=window,
                running=self._is_running and bool(window),
                saves=self._checkpoint.saves + 1,
            )
            self._objects_named = self.mark.objects + len(window)
            return Snapshot(encode_checkpoint(self._checkpoint), self.mark, self._objects_named)

    def _stamped(self, position: Position) -> Position:
        """Returns the position with an upload time of its own."""
        oldest_ms = self._began_ms - _UPLOAD_TIME_LASTS_MS
        if position.uploads_ms and position.uploads_ms[-1] > oldest_ms:
            return position
        upload_ms = self._checkpoint.upload_ms + 1
        self._checkpoint = replace(self._checkpoint, upload_ms=upload_ms)
        return replace(position, uploads_ms=(*position.uploads_ms, upload_ms))

    def _window(self) -> list[Position]:
        nearest = list(islice(self._open, WINDOW_OBJECTS))
        sizes = accumulate(len(msgspec.json.encode(position)) for position in nearest)
        count = bisect_right(list(sizes), WINDOW_BYTES)
        # What was named once may have been sent, so it stays named.
        return nearest[: max(count, self._objects_named - self.mark.objects)]
