"""Finds out which events of unknown outcome the log stream holds."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from services.output.status import StatusLog
from services.pull_logs_service import AuditBucket, TopLevel
from services.shipping.read_back import ReadBack
from services.upload_cloudwatch_logs_service import LogStream
from utils.errors import ServiceError
from utils.lines.chunking import Chunk, ContentChangedError, lines_behind
from utils.lines.decompression import DamagedError
from utils.model import STORED, LogEvent, LogObject, Position
from utils.state.coverage import Coverage
from utils.state.predecessors import Predecessors
from utils.state.settling import Doubt, event_key

# What keeps events from being read back for good, by the code of the refusal.
_NO_READING_BACK = {
    "AccessDeniedException": "Reading back is not permitted, so events in doubt are sent, some "
    "perhaps again.",
    "InvalidOperationException": "Only a log group of the class Standard can be read back, so "
    "events in doubt are sent, some perhaps again.",
}


class ReadBackDeniedError(Exception):
    """The credentials or the log group's class do not permit reading back.

    Args:
        refusal: the service's.
    """

    def __init__(self, refusal: ServiceError) -> None:
        super().__init__(refusal.detail)
        self._refusal = refusal

    def tell(self, status: StatusLog, events: int) -> None:
        """Says what follows from it.

        Args:
            status: takes the status line.
            events: how many are in doubt.
        """
        text = f"{_NO_READING_BACK[self._refusal.detail]} {self._refusal.hint}."
        status.write("WARN", text, {"possibly_duplicated": events})


class Settler:
    """Reads back what the log stream holds, and discounts identical events shipped before.

    Args:
        bucket: the audit bucket.
        log_stream: the log stream.
        coverage: what is shipped.
        predecessors: the replicas of other kinds, which have log streams of their own.
    """

    def __init__(
        self,
        bucket: AuditBucket,
        log_stream: LogStream,
        coverage: Coverage,
        predecessors: Predecessors,
    ) -> None:
        self._bucket = bucket
        self._log_stream = log_stream
        self._coverage = coverage
        self._predecessors = predecessors

    def look(self, doubt: Doubt, started: Iterable[Position], doubtful: set[str]) -> None:
        """Tells the doubt what is stored.

        Args:
            doubt: the events in question.
            started: objects shipped in part, up to their position; those shipped in whole are
                known from the coverage.
            doubtful: the keys of doubtful objects, of which the predecessors' log streams, too,
                can hold any line.

        Raises:
            ReadBackDeniedError: it can never be read back.
            ServiceError: it can't be read back now.
        """
        read_back = self._log_stream.read_back
        others = {one.shard: one.coverage for key in doubtful for one in self._predecessors.of(key)}
        for stream in [read_back, *(read_back.of_shard(shard) for shard in others)]:
            _read(stream, doubt)
        found = doubt.found_times()
        if found:
            shipped = self._shipped_objects([self._coverage, *others.values()], found)
            # What was shipped of a doubtful object is what is looked for.
            besides = (one for one in shipped if one.object.key not in doubtful)
            begun = (position for position in started if self._begins_as_shipped(position))
            known = self._events_at(found, chain(begun, besides))
            doubt.discount(event_key(event) for event in known)

    def _events_at(self, times: set[int], shipped: Iterable[Position]) -> Iterator[LogEvent]:
        """Yields the events with one of the times that were acknowledged before."""
        for position in shipped:
            for event in self._events(position):
                if event.timestamp_ms in times:
                    yield event

    def _begins_as_shipped(self, position: Position) -> bool:
        """Tells if the lines before the position are those that were shipped."""
        try:
            next(lines_behind(position, self._bucket.lines(position.object)), None)
        except ContentChangedError:
            return False
        except DamagedError:
            return True
        return True

    def _shipped_objects(
        self, coverages: Sequence[Coverage], times: set[int]
    ) -> Iterator[Position]:
        from_ms, until_ms = min(times), max(times)
        top = self._bucket.top_level()
        for listed in self._listed(top):
            known = (one.shipped_lines(listed, from_ms, until_ms) for one in coverages)
            lines = max(known)
            if lines:
                yield Position(listed, lines)

    def _listed(self, top: TopLevel) -> Iterator[LogObject]:
        active = (folder for folder in top.folders if not self._coverage.is_dormant(folder))
        listed = [self._bucket.beside(top), *(self._bucket.objects(folder) for folder in active)]
        return (one for part in listed for one in part if self._bucket.is_of_type(one))

    def _events(self, position: Position) -> Iterator[LogEvent]:
        """Yields the events of the object's lines up to the position."""
        lines = self._bucket.lines(position.object)
        try:
            for number, line in enumerate(islice(lines, position.lines), start=1):
                chunk = Chunk(position, self._bucket.form)
                chunk.add(number, line, STORED)
                yield from chunk.stored
        except DamagedError:
            return


def _read(stream: ReadBack, doubt: Doubt) -> None:
    """Tells the doubt what a log stream holds; nothing, if it was never made."""
    try:
        for from_ms, until_ms in doubt.ranges():
            for timestamp_ms, message in stream.stored(from_ms, until_ms):
                doubt.see(timestamp_ms, message)
    except ServiceError as exc:
        if exc.detail in _NO_READING_BACK:
            raise ReadBackDeniedError(exc) from exc
        if exc.detail != "ResourceNotFoundException":
            raise
