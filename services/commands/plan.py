"""Finds out and prints what the next iteration would ship; it sends and writes nothing."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, islice
from threading import Event
from zlib import crc32

from services.aws.clients import s3_client
from services.commands.terminal import show_table
from services.output.status import tell
from services.shipping.due import DueObjects
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, UnreadableError, unexpected
from utils.lines.batching import MAX_AGE_MS
from utils.lines.decompression import DamagedError
from utils.model import Clock, LogObject, Position, Start
from utils.report.failures import Failure, by_cause
from utils.report.preview import Preview, Sample, rows

# Enough for a ratio, and only of one object, so a preview stays quick.
_SAMPLE_LINES = 10_000
# Changed objects that are read to see whether they have grown; more are taken for new ones.
_MOST_LOOKS = 100


def print_plans(sources: Sequence[Source], start: Start, clock: Clock, stop: Event) -> bool:
    """Prints what the next iteration would ship of each source; returns if all could be told.

    Behind the last of several sources stands the total, and how many it lacks because they failed.

    Args:
        sources: what to ship where.
        start: when the iteration would begin.
        clock: how the time is read.
        stop: set when the process is to end.
    """
    failures: list[Failure] = []
    previews: list[Preview] = []
    is_stopped = False
    for source in sources:
        try:
            found = preview(source, start, stop)
        except StoppedError as exc:
            is_stopped = True
            tell(clock.now(), "WARN", str(exc), {"source": source.name})
            break
        except Exception as exc:  # noqa: BLE001 - a person reads this, not a traceback
            error = exc if isinstance(exc, ForwarderError) else unexpected(exc)
            failures.append(Failure(source.name, error, clock.now()))
        else:
            previews.append(found)
            show_table(source.name, rows([found]))
    for time, text, pairs in by_cause(failures):
        tell(time, "ERROR", text, pairs)
    if len(sources) > 1 and not is_stopped:
        lacking = f"{len(failures)}, of which nothing is known or counted here"
        table = [("failed", lacking)] if failures else []
        show_table(f"{len(sources)} sources", table + (rows(previews) if previews else []))
    return not failures and not is_stopped


def preview(source: Source, start: Start, stop: Event) -> Preview:
    """Returns what is due for the source.

    Args:
        source: what to ship where.
        start: when the iteration would begin.
        stop: set when the process is to end.

    Raises:
        ForwarderError: the buckets or the checkpoint can't be used.
        StoppedError: the process is to end.
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
    largest: LogObject | None = None
    looked = 0
    for one in chain(due.owed(), due.listed(due.backlog())):
        if stop.is_set():
            raise StoppedError
        position = begun.get(one.key) or due.position(one)
        is_known = position.object == one and position.earlier_ms is None
        if position.lines and not is_known and looked < _MOST_LOOKS:
            looked += 1
            is_known = _has_grown(due, one, position)
        summary.note(one, position.lines if is_known else 0)
        if largest is None or one.size_bytes > largest.size_bytes:
            largest = one
    if largest:
        # An old object shows how late its events were written, not how old they are now.
        as_of_ms = largest.last_modified_ms if summary.is_old(largest) else summary.now_ms
        summary.sample = _sample(due, largest, as_of_ms - MAX_AGE_MS)
    return summary


def _has_grown(due: DueObjects, listed: LogObject, position: Position) -> bool:
    """Tells if an object begins with the lines that are shipped of it: one that is new does not."""
    with suppress(DamagedError, UnreadableError):
        lines = due.bucket.lines(listed)
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
            sample.note(line, due.bucket.form.time_ms, oldest_ms)
    return sample
