"""Finds out what the next iteration of a source would ship; it sends and writes nothing."""

from contextlib import suppress
from itertools import chain, islice
from threading import Event
from zlib import crc32

from services.aws.clients import s3_client
from services.shipping.due import DueObjects
from utils.config.settings import Source
from utils.errors import UnreadableError
from utils.lines.batching import MAX_AGE_MS
from utils.lines.decompression import DamagedError
from utils.model import LogObject, Position, Start
from utils.report.preview import Preview, Sample

# Enough for a ratio, and only of one object, so a preview stays quick.
_SAMPLE_LINES = 10_000
# Changed objects that are read to see whether they have grown or were replaced.
_MOST_LOOKS = 100


def preview(source: Source, start: Start, stop: Event) -> Preview:
    """Returns what is due for the source.

    Args:
        source: what to ship where.
        start: when the iteration would begin.
        stop: set when the process is to end.

    Raises:
        ForwarderError: the buckets or the checkpoint can't be used.
    """
    due = DueObjects(source, s3_client(source.lyve), stop)
    due.load(start)
    partitions = due.partitions.values()
    begun = {one.object.key: one for known in partitions for one in known.checkpoint.open}
    summary = Preview(
        due.now_ms,
        since_ms=due.since_ms,
        until_ms=source.until_ms,
        is_excluding=bool(source.exclude),
    )
    changed = _Changed(due)
    largest: LogObject | None = None
    for one in chain(due.owed(), due.listed(due.backlog())):
        position = begun.get(one.key) or due.position(one)
        summary.note(one, changed.known_lines(one, position))
        if largest is None or one.size_bytes > largest.size_bytes:
            largest = one
    if largest:
        # An old object shows how late its events were written, not how old they are now.
        as_of_ms = largest.last_modified_ms if summary.is_old(largest) else summary.now_ms
        summary.sample = _sample(due, largest, as_of_ms - MAX_AGE_MS)
    return summary


class _Changed:
    """Tells objects that have grown from replaced ones, whose lines are all new.

    Args:
        due: reads them.
    """

    def __init__(self, due: DueObjects) -> None:
        self._due = due
        self._looked = 0
        self._grown = 0

    def known_lines(self, listed: LogObject, position: Position) -> int:
        """Returns how many lines of an object are shipped; after many objects, by the share so far.

        Args:
            listed: the object as it is now.
            position: behind what was shipped under its key.
        """
        is_same = position.object == listed and position.earlier_ms is None
        if not position.lines or is_same:
            return position.lines
        if self._looked < _MOST_LOOKS:
            self._looked += 1
            is_grown = self._has_grown(listed, position)
            self._grown += is_grown
            return position.lines if is_grown else 0
        return position.lines * self._grown // self._looked

    def _has_grown(self, listed: LogObject, position: Position) -> bool:
        with suppress(DamagedError, UnreadableError):
            lines = self._due.bucket.lines(listed)
            last = next(islice(lines, position.lines - 1, None), None)
            return last is not None and crc32(last) == position.line_hash
        return False


def _sample(due: DueObjects, log_object: LogObject, oldest_ms: int) -> Sample:
    reader = due.bucket.reader
    sample = Sample()
    before = reader.bytes_read
    with suppress(DamagedError, UnreadableError):
        for line in due.bucket.lines(log_object):
            # How many bytes the lines took is known at the end of a piece.
            if sample.lines >= _SAMPLE_LINES and reader.bytes_read - before > sample.object_bytes:
                break
            sample.object_bytes = reader.bytes_read - before
            sample.note(line, due.bucket.form, oldest_ms)
    return sample
