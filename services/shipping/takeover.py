"""Takes over what an unfinished iteration left: which lines behind its position are stored."""

from collections.abc import Iterator
from itertools import islice
from threading import Event

from msgspec.structs import replace

from services.output.checkpoints import CheckpointStore
from services.output.status import StatusLog
from services.pull_logs_service import AuditBucket
from services.shipping.settle import ReadBackDeniedError, Settler
from utils.errors import OwnerError, StoppedError, UnreadableError
from utils.lines.chunking import Chunk, ContentChangedError, doubtful, lines_behind
from utils.lines.decompression import DamagedError, ReplacedError
from utils.model import NOT_STORED, STORED, LogObject, Position, doubtful_keys
from utils.state.checkpoint import WINDOW_LINES, Checkpoint
from utils.state.settling import Doubt, Key, event_key

# A batch takes one upload time, and one more if its events are rejected.
_UPLOAD_RANGE_MS = 2 * WINDOW_LINES


class Takeover:
    """Finds out where to go on for one source.

    Args:
        bucket: the audit bucket.
        store: holds the checkpoint.
        settler: reads back.
        status: takes the status lines.
        stop: set when the process is to end.
    """

    def __init__(
        self,
        bucket: AuditBucket,
        store: CheckpointStore,
        settler: Settler,
        status: StatusLog,
        stop: Event,
    ) -> None:
        self._bucket = bucket
        self._store = store
        self._settler = settler
        self._status = status
        self._stop = stop
        self.possibly_duplicated = 0
        self.next_upload_ms = 0

    def positions(self, found: Checkpoint, settle_seconds: float) -> list[Position]:
        """Returns where to go on, with the lines marked that are stored already.

        Args:
            found: the checkpoint.
            settle_seconds: of the source.

        Raises:
            OwnerError: another daemon is at work.
            StoppedError: the process is to end.
        """
        self.next_upload_ms = found.upload_ms
        if not found.running:
            return self._current(found.open)
        text = "An iteration was not finished; reading back what it sent."
        self._status.write("WARN", text, {"settle_seconds": settle_seconds})
        await_owner(self._store, found, settle_seconds, self._stop)
        known = {position.object for position in found.open}
        return self._settled(self._current(found.open), known, found.upload_ms)

    def _current(self, positions: list[Position]) -> list[Position]:
        """Returns the open objects as they are now; what is marked is of one content only."""
        now = [(position, self._bucket.current(position.object)) for position in positions]
        return [
            position
            if position.object == current
            else replace(
                position,
                object=current,
                stored="",
                earlier_ms=position.object.last_modified_ms,
            )
            for position, current in now
        ]

    def _settled(
        self, positions: list[Position], known: set[LogObject], upload_from_ms: int
    ) -> list[Position]:
        doubt = Doubt((upload_from_ms, upload_from_ms + _UPLOAD_RANGE_MS))
        begins: list[Position] = []
        keys: list[list[Key | None]] = []
        lines_left = WINDOW_LINES
        for position in positions:
            # An object that has grown since must not push others out of the window.
            is_known = position.object in known
            begin, part = self._keys_behind(position, lines_left if is_known else WINDOW_LINES)
            lines_left -= len(part) if is_known else 0
            begins.append(begin)
            keys.append(part)
            doubt.want(_open_keys(begin, part))
        try:
            started = [begin for begin in begins if begin.lines]
            self._settler.look(doubt, started, doubtful_keys(begins))
        except ReadBackDeniedError as exc:
            exc.tell(self._status, doubt.size)
            self.possibly_duplicated = doubt.size
            return begins
        # What was read back is marked from now on, so later upload times tell the rest from it.
        self.next_upload_ms = max(upload_from_ms, doubt.newest_upload_ms + 1)
        pairs = list(zip(begins, keys, strict=True))
        for begin, part in pairs:
            doubt.discount(_known_keys(begin, part))
        return [_marked(begin, part, doubt) for begin, part in pairs]

    def _keys_behind(
        self, position: Position, most_lines: int
    ) -> tuple[Position, list[Key | None]]:
        """Returns where to begin, and the keys of the lines behind, None for one without event."""
        try:
            return position, list(islice(self._keys(position), most_lines))
        except ContentChangedError:
            return self._keys_behind(doubtful(position), most_lines)
        except (ReplacedError, UnreadableError):
            # Once it can be read, any of its lines can be stored.
            return replace(position, is_doubtful=True), []

    def _keys(self, position: Position) -> Iterator[Key | None]:
        chunk = Chunk(position, self._bucket.form)
        try:
            lines = lines_behind(position, self._bucket.lines(position.object))
            for number, line in enumerate(lines, start=position.lines + 1):
                chunk.add(number, line, STORED)
                yield event_key(chunk.stored.pop()) if chunk.stored else None
                chunk.quarantined.clear()
        except ReplacedError:
            raise
        except DamagedError:
            return


def await_owner(
    store: CheckpointStore, found: Checkpoint, wait_seconds: float, stop: Event
) -> None:
    """Waits until the puts of a dead process are readable, and sees that it is dead.

    Args:
        store: holds the checkpoint.
        found: as it was loaded.
        wait_seconds: how long a living process may take until it saves again.
        stop: set when the process is to end.

    Raises:
        OwnerError: another daemon is at work.
        StoppedError: the process is to end.
    """
    if stop.wait(wait_seconds):
        raise StoppedError("Stopped before an unfinished iteration was taken over")
    again = store.load()
    if again is None or again.checksum != found.checksum:
        raise OwnerError(
            f"Another daemon ships this source: it changes the checkpoint {store.name}",
            f"owner {found.owner}",
            "Stop one of the two; this one has not sent anything",
        )


def _open_keys(position: Position, keys: list[Key | None]) -> Iterator[Key]:
    for number, key in enumerate(keys, start=position.lines + 1):
        if key and position.mark(number) == NOT_STORED:
            yield key


def _known_keys(position: Position, keys: list[Key | None]) -> Iterator[Key]:
    for number, key in enumerate(keys, start=position.lines + 1):
        if key and position.mark(number) != NOT_STORED:
            yield key


def _marked(position: Position, keys: list[Key | None], doubt: Doubt) -> Position:
    marks: list[str] = []
    for number, key in enumerate(keys, start=position.lines + 1):
        mark = position.mark(number)
        marks.append(doubt.take(key) if key and mark == NOT_STORED else mark)
    marks.append(position.stored[len(keys) :])
    return replace(position, stored="".join(marks).rstrip(NOT_STORED))
