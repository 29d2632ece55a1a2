"""Answers the one question of every doubt: which of these lines does the log stream hold?"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice, product

from msgspec.structs import replace

from services.pull_logs_service import AuditBucket
from services.reading.read_back import ReadBack
from services.shipping.shared import Report
from utils.config.settings import Source
from utils.errors import ServiceError, UnreadableError
from utils.lines.decompression import DamagedError, ReplacedError
from utils.lines.runs import ContentChangedError, events_behind
from utils.model import WINDOW_LINES, LogEvent, Position
from utils.state.uncertain import Uncertain

# What keeps events from being read back for good, by the code of the refusal.
_NO_READING_BACK = {
    "AccessDeniedException": "Reading back is not permitted, so events in doubt are sent, some "
    "perhaps again.",
    "InvalidOperationException": "Only a log group of the class Standard can be read back, so "
    "events in doubt are sent, some perhaps again.",
}


class Reconciler:
    """Tells what of uncertain events is stored, by reading the log stream back.

    Args:
        bucket: the audit bucket.
        read_back: of the log stream.
        origin: the part of the source that was shipped before its partitions, if it is one.
        report: takes status lines, and what may be stored twice.
    """

    def __init__(
        self, bucket: AuditBucket, read_back: ReadBack, origin: Source | None, report: Report
    ) -> None:
        self._bucket = bucket
        self._read_back = read_back
        self._origin = origin
        self._report = report

    def look(
        self,
        uncertain: Uncertain,
        known: Iterable[LogEvent],
        begins: Collection[Position],
        recovered: Uncertain,
    ) -> None:
        """Observes what the log stream holds; where that can't be read back, it says so.

        Args:
            uncertain: the events in question.
            known: those that are stored besides, if the stream holds any in question at all.
            begins: of their objects, up to where they are stored. Of one in doubt the log stream
                from before the partitions can hold any line too.
            recovered: what a recovery has found, and will claim for other lines.

        Raises:
            ServiceError: it can't be read back now.
        """
        streams = [self._read_back]
        if self._origin and any(one.in_doubt for one in begins):
            streams.append(self._read_back.of(self._origin))
        try:
            for stream, (from_ms, end_ms) in product(streams, uncertain.ranges()):
                for timestamp_ms, message in stream.stored(from_ms, end_ms):
                    uncertain.observe(timestamp_ms, message)
        except ServiceError as exc:
            if exc.code not in _NO_READING_BACK:
                raise
            text = f"{_NO_READING_BACK[exc.code]} {exc.hint}."
            self._report.status.write("WARN", text, {"possibly_duplicated": uncertain.size})
            self._report.counts.possibly_duplicated += uncertain.size
        if uncertain.found:
            for event in chain(known, *map(self._shipped, begins)):
                uncertain.claim(event)
        uncertain.leave_to(recovered)
        self._tell(uncertain)

    def _tell(self, uncertain: Uncertain) -> None:
        """Says if identical lines of other objects may be the ones in question instead."""
        found, identical = uncertain.found.total(), uncertain.ambiguous()
        pairs = {"in_doubt": uncertain.size, "found": found, "identical": identical}
        if identical:
            self._report.status.write(
                "WARN",
                "The log stream holds events in doubt, and lines of several objects are identical "
                "to them. Run --repair, which sends any that is missing.",
                pairs,
            )
        elif found:
            self._report.status.write(
                "INFO",
                "The log stream holds events in doubt, so they are not sent again. If lines of "
                "other objects are identical to them, run --repair, which sends any that is "
                "missing.",
                pairs,
            )

    def recover(self, positions: list[Position]) -> tuple[list[Position], Uncertain]:
        """Returns where to go on, and what a dead process has stored of the lines behind.

        An object that can't be read now, or is not what it was, is in doubt from there on.

        Args:
            positions: of the open objects, in their order.

        Raises:
            ServiceError: it can't be found out now.
        """
        uncertain = Uncertain()
        lines_left = WINDOW_LINES
        sure = [(place, one) for place, one in enumerate(positions) if not one.in_doubt]
        for place, position in self._bucket.reader.ahead(sure, lambda item: item[1].object):
            if not lines_left:
                break
            lines_read = 0
            try:
                blocks = self._bucket.blocks(position.object)
                events = events_behind(position, blocks, self._bucket.form)
                for number, event in islice(events, lines_left):
                    lines_read = number - position.lines
                    if event:
                        uncertain.expect(event)
            except ContentChangedError:
                return self.recover(_with(positions, place, position.begun_anew()))
            except (ReplacedError, UnreadableError):
                return self.recover(_with(positions, place, replace(position, in_doubt=True)))
            except DamagedError:
                pass
            lines_left -= lines_read
        begun = [position for position in positions if position.object.key in uncertain.ends]
        self.look(uncertain, (), begun, Uncertain())
        return positions, uncertain

    def _shipped(self, position: Position) -> Iterator[LogEvent]:
        """Yields the events of an object up to a position."""
        begin = replace(position, lines=0, line_hash=0)
        try:
            blocks = self._bucket.blocks(position.object)
            events = events_behind(begin, blocks, self._bucket.form)
            for _, event in islice(events, position.lines):
                if event:
                    yield event
        except DamagedError:
            return


def _with(positions: list[Position], place: int, other: Position) -> list[Position]:
    return [*positions[:place], other, *positions[place + 1 :]]
