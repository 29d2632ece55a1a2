"""Compares the objects of a source with its log streams; it reads no checkpoint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from secrets import token_bytes

import msgspec

from services.audit.objects import AuditObjects, Line, Range
from services.audit.streams import LogStreams
from services.output.quarantine import QuarantinedLines
from utils.audit.audit import Audit
from utils.audit.comparison import Comparison
from utils.audit.findings import TOLD, Difference, Fate, Findings, Limits
from utils.audit.spans import Spans, Tally
from utils.audit.sums import Digests, Group, Sums
from utils.audit.times import Bursts, Retention, Timing
from utils.config.settings import Source
from utils.errors import UnreadableError
from utils.lines.decompression import ReplacedError
from utils.model import Gauge, Interval, LogObject, union

_SECOND_MS = 1000
_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
# The store tells its time by the second, and an upload time is never before the object's.
_CLOCKS_APART_MS = 60_000
# A daemon that sends now may restamp events with the time at which its iteration began.
_LONGEST_ITERATION_MS = _HOUR_MS
# A daemon at work is known by an event that was stored a second after the bucket was listed, as the
# store tells its time by the second.
_SHOWS_ITSELF_SECONDS = 1.5
_KEY_BYTES = 32
# Enough to see what is wrong.
_MOST_UNREADABLE = 100


class AuditGauge(Gauge):
    """How far a comparison is: `lines` of the bucket, and events of the log streams."""

    lines: int = 0

    def read(self, one: LogObject, lines: int) -> None:
        """Takes an object into account that is read."""
        self.objects += 1
        self.bytes += one.size_bytes
        self.lines += lines

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1: one half is the bucket, the other the log streams."""
        bucket = self.bytes / self.bytes_total if self.bytes_total else 1.0
        # There are about as many events as lines, once all of these are read.
        streams = min(1.0, self.events / self.lines) if self.lines and bucket >= 1 else 0.0
        return (bucket + streams) / 2

    def amounts(self, _: float) -> str:
        """Returns how much was read of both sides, in words."""
        return f"{self.lines:,} lines, {self.events:,} events"


class _Look(msgspec.Struct, frozen=True):
    """How what differs is looked at: `is_first`, or again because something was missing.

    `under_way_ms` is the `LastModified` from which on all is under way, in ms since 1970.
    """

    is_first: bool = True
    under_way_ms: int | None = None


class Witnesses(msgspec.Struct, frozen=True):
    """What is compared; `quarantine` returns the quarantined lines of an object by its key."""

    objects: AuditObjects
    streams: LogStreams
    quarantine: Callable[[str], QuarantinedLines]


class Need(msgspec.Struct, frozen=True):
    """What a repair needs besides, all times in ms since 1970; None if it is to be found out.

    `since_ms` is where a checkpoint says that coverage begins, `young_ms` since when what is
    written may not have been listed by the last iteration.
    """

    limits: Limits = TOLD
    since_ms: int | None = None
    young_ms: int | None = None


NOTHING_MORE = Need()


class Verification:
    """One comparison of one source: `audit` is what it came to, `findings` which lines it found.

    Args:
        source: what is shipped where.
        asked: the objects that are asked for.
        witnesses: what is compared.
        progress: takes how far it is.
        need: what a repair needs besides.
    """

    def __init__(
        self,
        source: Source,
        asked: Range,
        witnesses: Witnesses,
        progress: AuditGauge,
        need: Need = NOTHING_MORE,
    ) -> None:
        self._source = source
        self._asked = asked
        self._limits = need.limits
        self._given_young_ms = need.young_ms
        self._witnesses = witnesses
        self.objects = witnesses.objects
        self._streams = witnesses.streams
        self._progress = progress
        self.audit = Audit(source.name)
        self._digests = Digests(token_bytes(_KEY_BYTES))
        self._sums = Sums()
        self.spans = Spans()
        self._bursts = Bursts(1000 * source.settle_seconds)
        self.unreadable: dict[str, str] = {}
        self._retention = Retention(None, 0)
        self.findings = Findings(None, None, need.limits)
        self._listed_ms = 0
        # The oldest upload time of what was stored lately: what is still under way has no older
        # one.
        self._upload_from_ms = 0

    def run(self, now_ms: int) -> Audit:
        """Compares, and returns what was found.

        Args:
            now_ms: the time by this machine's clock, where the store does not tell its own.

        Raises:
            ForwarderError: a witness can't be read.
            StoppedError: the process is to end.
        """
        store_ms = self.objects.now_ms()
        self._listed_ms = now_ms if store_ms is None else store_ms
        self._upload_from_ms = self._listed_ms - _LONGEST_ITERATION_MS
        self._retention = Retention(self._streams.retention_days(), self._listed_ms)
        for one in self.objects.listed(self.within):
            self._progress.expect([one])
        self._sum_up_bucket()
        self._sum_up_streams()
        self.findings = self._settled(self._compared(_Look()))
        self._complete(self.findings)
        return self.audit

    @property
    def within(self) -> Range:
        """The objects that are listed now: what is written from now on is left out."""
        behind_ms = self._listed_ms + _SECOND_MS
        until_ms = self._asked.until_ms
        return Range(
            self._asked.from_ms, behind_ms if until_ms is None else min(until_ms, behind_ms)
        )

    @property
    def _is_limited(self) -> bool:
        """Tells if there may be objects that are not compared, with events of their own."""
        return bool(self._asked.from_ms) or self._asked.until_ms is not None

    def _sum_up_bucket(self) -> None:
        audit, listing = self.audit, sha256()
        for one in self.objects.opened_ahead(self.objects.listed(self.within)):
            tally = self._sum_up_object(one)
            audit.objects += 1
            audit.lines += tally.lines
            audit.blank += tally.blank
            audit.excluded += tally.excluded
            audit.damaged += bool(tally.damage)
            entry = f"{one.key}\t{one.etag}\t{tally.lines}\t{tally.content_hash}\n"
            listing.update(entry.encode(errors="surrogatepass"))
            self._progress.read(one, tally.lines)
        audit.sha256 = listing.hexdigest()

    def _sum_up_object(self, one: LogObject) -> Tally:
        tally = Tally()
        quarantined = self._witnesses.quarantine(one.key)
        with self._readable(one):
            for line in self.objects.lines(one, tally):
                digest = self._digests.of(line.content)
                cell = self._sums.cell(line.own_ms, digest)
                cell.add_line(digest)
                if line.own_ms is None:
                    # That is its time, unless it is too old.
                    cell.stands_at(one.last_modified_ms)
                if not line.is_sendable and quarantined.holds(line.number, line.content):
                    # The quarantine has it, which counts as the other side.
                    cell.add_event(digest)
                    cell.quarantined += 1
        self.spans.add(one, tally)
        return tally

    @contextmanager
    def _readable(self, one: LogObject) -> Iterator[None]:
        """Notes an object that can't be read, or not as it was listed."""
        try:
            yield
        except UnreadableError as exc:
            self.unreadable[one.key] = exc.detail
        except ReplacedError as exc:
            self.unreadable[one.key] = exc.reason

    def _sum_up_streams(self) -> None:
        for stored_ms, ingested_ms, message in self._streams.events(self._spans_of_streams()):
            self._progress.events += 1
            self._bursts.note(ingested_ms)
            own_ms = self.objects.own_time_ms(message)
            digest = self._digests.of(message)
            cell = self._sums.known_cell(own_ms, digest)
            if cell is None:
                if self._is_limited:
                    continue
                cell = self._sums.cell(own_ms, digest)
            cell.add_event(digest)
            if own_ms == stored_ms:
                continue
            cell.stands_at(stored_ms)
            if own_ms is None:
                continue
            is_recent = ingested_ms >= self._listed_ms - _LONGEST_ITERATION_MS
            if is_recent and stored_ms < self._upload_from_ms:
                self._upload_from_ms = stored_ms
            timing = self._retention.timing(own_ms, stored_ms, ingested_ms)
            cell.restamped += timing == "restamped"
            cell.wrong_time += timing == "wrong"

    def _spans_of_streams(self) -> list[Interval]:
        """Returns where events of the objects may be: at their own times, or at an upload time.

        An upload time is not before its object's `LastModified`.
        """
        end_ms = self._listed_ms + _DAY_MS
        from_ms = self._asked.from_ms
        if not from_ms:
            return [(0, end_ms)]
        spans = [*self._sums.spans(), (from_ms - _CLOCKS_APART_MS, end_ms)]
        return _within([(first, last + 1) for first, last in spans], end_ms)

    def _settled(self, findings: Findings) -> Findings:
        """Looks again at what is missing: it may be under way, or not yet readable."""
        if not findings.missing:
            return findings
        self._streams.pace.wait(max(_SHOWS_ITSELF_SECONDS, self._source.settle_seconds))
        again = self._compared(_Look(is_first=False, under_way_ms=findings.arrived_ms))
        if again.arrived_ms == findings.arrived_ms:
            return again
        return self._compared(_Look(is_first=False, under_way_ms=again.arrived_ms))

    def _compared(self, look: _Look) -> Findings:
        findings = Findings(self.young_ms, look.under_way_ms, self._limits)
        for group in self._sums.groups():
            self._compare(group, look, findings)
        findings.end(self.spans, self.young_ms)
        return findings

    @property
    def young_ms(self) -> int | None:
        """Since when what is written may not have been listed by the last iteration."""
        if self._given_young_ms is not None:
            return self._given_young_ms
        began_ms = self._bursts.began_ms
        if began_ms is None:
            return None
        # Nothing is sent within this time after the bucket was listed. A store may date its objects
        # by the second.
        claim_ms = round(1000 * min(1.0, self._source.settle_seconds / 2))
        return began_ms - claim_ms - _SECOND_MS

    def _compare(self, group: Group, look: _Look, findings: Findings) -> None:
        comparison = Comparison()
        for ingested_ms, digest, timing in self._events_of(group, look):
            self._bursts.note(ingested_ms)
            findings.restamped += timing == "restamped"
            findings.wrong_time += timing == "wrong"
            comparison.note(digest, is_late=ingested_ms >= self._listed_ms + _SECOND_MS)
        for one in self._objects_of(group):
            tally = Tally()
            quarantined = self._witnesses.quarantine(one.key)
            for line, digest in self._lines_of(one, tally, group):
                if line.is_sendable and comparison.take(digest, one.key, line.number):
                    if comparison.is_late(digest):
                        findings.arrive(one)
                    continue
                fate = self._fate(line, one, quarantined)
                findings.note(one, line.number, fate, is_sendable=line.is_sendable)
            findings.end_object(one.key, tally)
        if comparison.has_surplus and self._is_limited:
            self._discount_neighbours(group, comparison)
        findings.add(comparison)

    def _fate(self, line: Line, one: LogObject, quarantined: QuarantinedLines) -> Fate:
        if quarantined.holds(line.number, line.content):
            return "quarantined"
        own_ms = one.last_modified_ms if line.own_ms is None else line.own_ms
        if line.is_sendable and self._retention.has_expired(own_ms, one.last_modified_ms):
            return "expired"
        return "missing"

    def _events_of(self, group: Group, look: _Look) -> Iterator[tuple[int, int, Timing]]:
        """Yields for each event of a group when it was stored, its hash, and its timing."""
        end_ms = self._listed_ms + _DAY_MS
        spans = [(first, last + 1) for first, last in group.spans]
        if not look.is_first:
            spans.append((self._upload_from_ms, end_ms))
        for stored_ms, ingested_ms, message in self._streams.events(_within(spans, end_ms)):
            own_ms, digest = self.objects.own_time_ms(message), self._digests.of(message)
            if group.holds(own_ms, digest):
                timing = self._retention.timing(own_ms, stored_ms, ingested_ms)
                yield ingested_ms, digest, timing

    def _objects_of(self, group: Group) -> Iterator[LogObject]:
        self.spans.begin()
        listed = self.objects.listed(self.within)
        wanted = (one for one in listed if self.spans.may_hold(one.key, group))
        return self.objects.opened_ahead(one for one in wanted if one.key not in self.unreadable)

    def _lines_of(self, one: LogObject, tally: Tally, group: Group) -> Iterator[tuple[Line, int]]:
        with self._readable(one):
            for line in self.objects.lines(one, tally):
                digest = self._digests.of(line.content)
                if group.holds(line.own_ms, digest):
                    yield line, digest

    def _discount_neighbours(self, group: Group, comparison: Comparison) -> None:
        """Discounts identical lines of objects written shortly before or after the range."""
        from_ms, until_ms = self._asked.from_ms or 0, self.within.until_ms or 0
        near = Range(from_ms - _DAY_MS, until_ms + _DAY_MS)
        for one in self.objects.listed(near):
            if not self.within.includes(one.last_modified_ms):
                for _, digest in self._lines_of(one, Tally(), group):
                    comparison.discount(digest)

    def _complete(self, findings: Findings) -> None:
        audit = self.audit
        audit.missing = findings.missing
        audit.expired = findings.expired
        alike = [*self._sums.alike()]
        audit.quarantined = findings.quarantined + sum(cell.quarantined for cell in alike)
        audit.restamped = findings.restamped + sum(cell.restamped for cell in alike)
        audit.wrong_time = findings.wrong_time + sum(cell.wrong_time for cell in alike)
        audit.doubled = findings.doubled
        audit.foreign = findings.foreign
        audit.left_out_objects = findings.left_out_objects
        audit.left_out = findings.left_out_lines
        audit.log_streams = [one.name for one in self._streams.streams]
        audit.retention_days = self._retention.days
        audit.unreadable = len(self.unreadable)
        unreadable = [
            Difference(key, "unreadable", reason=reason)
            for key, reason in [*self.unreadable.items()][:_MOST_UNREADABLE]
        ]
        audit.differences = [*unreadable, *findings.differences()]


def _within(spans: list[Interval], end_ms: int) -> list[Interval]:
    """Returns half-open ranges as ones with both ends included, without what can't be stored."""
    cut = ((max(0, first), min(end, end_ms)) for first, end in spans)
    return [(first, end - 1) for first, end in union(cut)]
