"""Looks what the next iteration of a source would ship; it sends and writes nothing."""

from contextlib import suppress
from itertools import chain
from threading import Event

from services.aws.clients import s3_client
from services.shipping.due import DueObjects
from utils.config.settings import Source
from utils.errors import UnreadableError
from utils.lines.batching import MAX_AGE_MS
from utils.lines.decompression import DamagedError
from utils.model import LogObject, Start
from utils.report.preview import Preview, Sample
from utils.state.planning import Backlog

# Enough for a ratio; of one object only, so that a preview stays quick.
_SAMPLE_LINES = 10_000


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
    outset = due.outset(start)
    checkpoints = [*(one.checkpoint for one in outset.predecessors), outset.checkpoint]
    begun = {one.object.key: one for checkpoint in checkpoints for one in checkpoint.open}
    summary = Preview(outset.now_ms)
    largest: LogObject | None = None
    for one in chain(due.owed(outset), due.listed(outset, Backlog())):
        position = begun.get(one.key) or outset.position(one)
        summary.note(one, position.lines)
        if largest is None or one.size_bytes > largest.size_bytes:
            largest = one
    if largest:
        # An old object shows how late its events were written, not how old they are now.
        as_of_ms = largest.last_modified_ms if summary.is_old(largest) else summary.now_ms
        summary.sample = _sample(due, largest, as_of_ms - MAX_AGE_MS)
    return summary


def _sample(due: DueObjects, log_object: LogObject, oldest_ms: int) -> Sample:
    reader = due.bucket.reader
    sample = Sample()
    with suppress(DamagedError, UnreadableError):
        for line in due.bucket.lines(log_object):
            # How many bytes the lines took is known where a piece ends.
            if sample.lines >= _SAMPLE_LINES and reader.bytes_read > sample.object_bytes:
                break
            sample.object_bytes = reader.bytes_read
            sample.note(line, oldest_ms)
    return sample
