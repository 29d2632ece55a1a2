"""Compares the objects of a source with its log streams; it reads no checkpoint."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import cached_property, partial
from hashlib import blake2b, sha256
from operator import attrgetter
from secrets import token_bytes
from threading import Event

import msgspec

from services.audit.streams import LogStreams, Pace
from services.aws.clients import logs_client, s3_client
from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.aws.http_session import http_session
from services.output.metrics import put_soon
from services.output.objects import put_object
from services.output.quarantine import QuarantinedLines
from services.pull_logs_service import AuditBucket
from services.upload_cloudwatch_logs_service import retention_days
from utils.audit.audit import Audit, Difference, encoded, key_of
from utils.audit.findings import Comparison, Fate, Findings
from utils.audit.lines import Line, due_lines
from utils.audit.sums import Group, Sums
from utils.audit.tallies import Tallies, Tally
from utils.audit.times import Bursts, Retention
from utils.config.settings import Source
from utils.errors import UnreadableError
from utils.lines.decompression import ReplacedError
from utils.lines.forms import form_of
from utils.model import (
    DAY_MS,
    FOREVER_MS,
    HOUR_MS,
    READ_GAP_MS,
    Clock,
    Gauge,
    Interval,
    LogObject,
    OtherFormError,
    midnight_ms,
    since_1970_ms,
    union,
)
from utils.report.metrics import Verified
from utils.report.status import span
from utils.state.checkpoint import claim_seconds

_SECOND_MS = 1000
# The store tells its time by the second, and an upload time is never before the object's.
_CLOCKS_APART_MS = 60_000
# A daemon that sends now may restamp events with the time at which its iteration began.
_LONGEST_ITERATION_MS = HOUR_MS
# A daemon at work is known by an event that was stored a second after the bucket was listed, as the
# store tells its time by the second.
_SHOWS_ITSELF_SECONDS = 1.5
_KEY_BYTES = 32
_DIGEST_BYTES = 16
# Enough to see what is wrong.
_MOST_UNREADABLE = 100


class AuditGauge(Gauge):
    """How far a comparison is.

    `lines` were read in the bucket, and `events` in the log streams, where `sought` of `to_seek`
    lines were looked for so far.
    """

    lines: int = 0
    sought: int = 0
    to_seek: int = 0

    def read(self, tally: Tally) -> None:
        """Takes an object into account that is read."""
        self.objects += 1
        self.bytes += tally.object.size_bytes
        self.lines += tally.lines

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1: one half is the bucket, the other the log streams."""
        bucket = self.bytes / self.bytes_total if self.bytes_total else 1.0
        streams = min(1.0, self.sought / self.to_seek) if self.to_seek else 0.0
        return (bucket + streams) / 2

    def amounts(self, _: float) -> str:
        """Returns how much was read of both sides, in words."""
        return f"{self.lines:,} lines, {self.events:,} events"


class Witnesses(msgspec.Struct, frozen=True):
    """What is compared; `quarantine` returns the quarantined lines of an object by its key."""

    bucket: AuditBucket
    streams: LogStreams
    quarantine: Callable[[str], QuarantinedLines]


class Need(msgspec.Struct, frozen=True):
    """What a repair needs besides, all times in ms since 1970; None if it is to be found out.

    `since_ms` is where a checkpoint says that coverage begins, `young_ms` since when what is
    written may not have been listed by the last iteration. Of `most_objects` objects, `most_lines`
    numbers of missing lines are kept; some of them turn out to be too young to be reported.
    """

    since_ms: int | None = None
    young_ms: int | None = None
    most_objects: int = 10_000
    most_lines: int = 1_000


NOTHING_MORE = Need()
EVERYTHING = Need(most_objects=10**12, most_lines=10**12)


class Verification:
    """One comparison of one source: `audit` is what it came to, `findings` which lines it found.

    `asked` is the `LastModified` of the objects that are asked for, `within` that of those that are
    compared. `tallies` are theirs, and `unreadable` says by their keys why some can't be read.
    """

    def __init__(
        self,
        source: Source,
        asked: Interval,
        witnesses: Witnesses,
        progress: AuditGauge,
        need: Need = NOTHING_MORE,
    ) -> None:
        self._source = source
        self._asked = self.within = asked
        self._bucket = witnesses.bucket
        self._streams = witnesses.streams
        self._quarantine = witnesses.quarantine
        self._progress = progress
        self._need = need
        # A message may have been sent before its like was excluded.
        self._sent_form = form_of(source.log_type)
        # With a key that nobody knows beforehand nobody can make the sums of two sides agree.
        self._keyed = blake2b(key=token_bytes(_KEY_BYTES), digest_size=_DIGEST_BYTES)
        self._sums = Sums()
        self._bursts = Bursts(1000 * source.settle_seconds)
        self._retention = Retention(None, 0)
        self._listed_ms = 0
        # The oldest one of what was stored lately: what is still under way has no older one.
        self._upload_from_ms = 0
        self.tallies = Tallies()
        self.unreadable: dict[str, str] = {}
        self.findings = Findings(0, 0, 0)
        self.audit = Audit(source.name)

    def run(self, now_ms: int) -> Audit:
        """Compares; `now_ms` is the time where the store does not tell its own.

        Raises:
            ForwarderError: a witness can't be read.
            StoppedError: the process is to end.
        """
        store_ms = self._bucket.top_level().store_ms
        self._listed_ms = now_ms if store_ms is None else store_ms
        self._retention = Retention(self._streams.retention_days(), self._listed_ms)
        # What is written from now on is left out.
        self.within = self._asked[0], min(self._asked[1], self._listed_ms + _SECOND_MS)
        self._sum_up_bucket()
        self._sum_up_streams()
        self._compare_differences()
        self._complete()
        return self.audit

    @property
    def young_ms(self) -> int | None:
        """Since when what is written may not have been listed by the last iteration."""
        if self._need.young_ms is not None:
            return self._need.young_ms
        began_ms = self._bursts.began_ms
        if began_ms is None:
            return None
        # Nothing is sent within this time after the bucket was listed. A store may date its objects
        # by the second.
        claim_ms = round(1000 * claim_seconds(self._source.settle_seconds))
        return began_ms - claim_ms - _SECOND_MS

    # Both sides, reduced to sums.

    def _sum_up_bucket(self) -> None:
        audit, listing = self.audit, sha256()
        self._progress.expect(self._listed(self.within))
        tallies = map(Tally, self._listed(self.within))
        for tally in self._bucket.reader.ahead(tallies, attrgetter("object")):
            self._sum_up_object(tally)
            one = tally.object
            listing.update(f"{one.key}\t{one.etag}\t{tally.lines}\t{tally.sha256}\n".encode())
            audit.objects += 1
            audit.lines += tally.lines
            audit.blank += tally.blank
            audit.excluded += tally.excluded
            audit.quarantined += tally.unsendable
            audit.damaged += tally.is_damaged
            self._progress.read(tally)
            self._progress.to_seek += tally.lines
            self.tallies.add(tally)
        audit.sha256 = listing.hexdigest()

    def _sum_up_object(self, tally: Tally) -> None:
        quarantined = self._quarantine(tally.object.key)
        for line, digest in self._lines(tally):
            cell = self._sums.cell(line.own_ms, digest)
            cell.add_line(digest)
            if line.own_ms is None:
                # That is its time, unless it is too old.
                cell.stands_at(tally.object.last_modified_ms)
            if not line.is_sendable and quarantined.holds(line.number, line.content):
                # The quarantine has it, which counts as the other side.
                cell.add_event(digest)

    def _sum_up_streams(self) -> None:
        recent_ms = self._upload_from_ms = self._listed_ms - _LONGEST_ITERATION_MS
        # Where not all objects are compared, the others have events of their own.
        is_everything = self._asked == (0, FOREVER_MS)
        cell_of = self._sums.cell if is_everything else self._sums.known_cell
        # An event stands at its own time, or at an upload time: not before its object's.
        uploads = self._asked[0] - _CLOCKS_APART_MS, FOREVER_MS
        for own_ms, digest, stored_ms, ingested_ms in self._events([*self._sums.spans(), uploads]):
            self._progress.sought += 1
            cell = cell_of(own_ms, digest)
            if cell is None:
                continue
            cell.add_event(digest)
            if own_ms == stored_ms:
                continue
            cell.stands_at(stored_ms)
            if own_ms is not None and ingested_ms >= recent_ms:
                self._upload_from_ms = min(self._upload_from_ms, stored_ms)
            timing = self._retention.timing(own_ms, stored_ms, ingested_ms)
            cell.restamped += timing == "restamped"
            cell.wrong_time += timing == "wrong"
        self._progress.sought = self._progress.to_seek

    # What differs, line by line.

    def _compare_differences(self) -> None:
        """Compares what differs, and again what is missing then.

        It may have been under way, or not yet readable.
        """
        groups = [*self._sums.groups()]
        self._expect_again(groups)
        self.findings = self._compared(groups, [])
        if self.findings.missing:
            self._expect_again(groups)
            self._streams.pace.wait(max(_SHOWS_ITSELF_SECONDS, self._source.settle_seconds))
            self.findings = self._compared(groups, [(self._upload_from_ms, FOREVER_MS)])

    def _expect_again(self, groups: Sequence[Group]) -> None:
        for tally in self.tallies:
            for group in groups:
                if _may_hold(tally, group):
                    self._progress.expect([tally.object])
                    self._progress.to_seek += tally.lines

    def _compared(self, groups: Iterable[Group], late: Iterable[Interval]) -> Findings:
        """Compares groups of intervals, whose events may also stand in the late ranges of time."""
        findings = Findings(len(self.tallies), self._need.most_objects, self._need.most_lines)
        for group in groups:
            comparison = Comparison()
            for own_ms, digest, stored_ms, ingested_ms in self._events([*group.spans, *late]):
                if group.holds(own_ms, digest):
                    is_late = ingested_ms >= self._listed_ms + _SECOND_MS
                    comparison.observe(digest, is_late=is_late)
                    timing = self._retention.timing(own_ms, stored_ms, ingested_ms)
                    findings.restamped += timing == "restamped"
                    findings.wrong_time += timing == "wrong"
            self._claim_events(group, comparison, findings)
            if comparison.has_surplus:
                for one in self._beside:
                    for _, digest in self._lines(Tally(one.object), group):
                        comparison.claim_beside(digest)
            findings.add(comparison)
        findings.conclude(self.tallies, self.young_ms)
        return findings

    def _claim_events(self, group: Group, comparison: Comparison, findings: Findings) -> None:
        wanted = (
            tally
            for tally in self.tallies
            if _may_hold(tally, group) and tally.object.key not in self.unreadable
        )
        for tally in self._bucket.reader.ahead(wanted, attrgetter("object")):
            one = tally.object
            quarantined = self._quarantine(one.key)
            for line, digest in self._lines(Tally(one), group):
                if not (line.is_sendable and comparison.claim(digest, one.key, line.number)):
                    fate = self._fate(line, one, quarantined)
                    findings.note(tally.place, line.number, fate, is_sendable=line.is_sendable)
                elif comparison.is_late(digest):
                    findings.arrive(one.last_modified_ms)
            self._progress.read(tally)
            self._progress.sought += tally.lines

    def _fate(self, line: Line, one: LogObject, quarantined: QuarantinedLines) -> Fate:
        if quarantined.holds(line.number, line.content):
            return "quarantined"
        own_ms = one.last_modified_ms if line.own_ms is None else line.own_ms
        if line.is_sendable and self._retention.has_expired(own_ms, one.last_modified_ms):
            return "expired"
        return "missing"

    @cached_property
    def _beside(self) -> Tallies:
        """Of objects written shortly before or after the range: they may hold identical lines."""
        beside = Tallies()
        first_ms, end_ms = self.within
        for one in self._listed((first_ms - DAY_MS, end_ms + DAY_MS)):
            if not first_ms <= one.last_modified_ms < end_ms:
                beside.add(Tally(one))
        return beside

    def _complete(self) -> None:
        audit, findings = self.audit, self.findings
        for name in ("missing", "doubled", "foreign", "expired", "left_out", "left_out_objects"):
            setattr(audit, name, getattr(findings, name))
        audit.quarantined += findings.quarantined
        # What differs was counted as it was compared last.
        alike = self._sums.alike()
        audit.restamped = findings.restamped + sum(cell.restamped for cell in alike)
        audit.wrong_time = findings.wrong_time + sum(cell.wrong_time for cell in alike)
        audit.unreadable = len(self.unreadable)
        unreadable = [*self.unreadable.items()][:_MOST_UNREADABLE]
        audit.differences = [
            *(Difference(key, "unreadable", count=1, reason=why) for key, why in unreadable),
            *findings.differences(),
        ]
        audit.log_streams = self._streams.names
        audit.retention_days = self._retention.days

    # How the two sides are read.

    def _listed(self, within: Interval) -> Iterator[LogObject]:
        """Yields the objects of the source with such a `LastModified`, in the order of keys."""
        for one in self._bucket.objects(self._source.prefix):
            if self._source.is_of_type(one) and within[0] <= one.last_modified_ms < within[1]:
                yield one

    def _lines(self, tally: Tally, group: Group | None = None) -> Iterator[tuple[Line, int]]:
        """Yields the lines of an object that are due, or those of a group, each with its hash.

        An object that can't be read, or not as it was listed, is noted.
        """
        blocks = self._bucket.blocks(tally.object)
        try:
            for line in due_lines(tally, blocks, self._bucket.form, self._own_time_ms):
                digest = self._digest(line.content)
                if group is None or group.holds(line.own_ms, digest):
                    yield line, digest
        except UnreadableError as exc:
            self.unreadable[tally.object.key] = exc.detail
        except ReplacedError as exc:
            self.unreadable[tally.object.key] = exc.reason

    def _events(self, spans: Iterable[Interval]) -> Iterator[tuple[int | None, int, int, int]]:
        """Yields of each event in ranges of time: its own time, its hash, and when it was stored.

        That is in the stream's time, and by CloudWatch's clock.
        """
        end_ms = self._listed_ms + DAY_MS
        cut = ((max(0, first_ms), min(until_ms, end_ms)) for first_ms, until_ms in spans)
        for stored_ms, ingested_ms, message in self._streams.events(union(cut, READ_GAP_MS)):
            self._progress.events += 1
            self._bursts.note(ingested_ms)
            digest = self._digest(message)
            yield self._own_time_ms(message), digest, stored_ms, ingested_ms

    def _digest(self, message: bytes) -> int:
        keyed = self._keyed.copy()
        keyed.update(message)
        return int.from_bytes(keyed.digest(), "big")

    def _own_time_ms(self, message: bytes) -> int | None:
        try:
            return self._sent_form.time_ms(message)
        except OtherFormError:
            return None


def _may_hold(tally: Tally, group: Group) -> bool:
    return group.may_hold(tally.first_ms, tally.last_ms, has_untimed=tally.has_untimed)


class Days(msgspec.Struct, frozen=True):
    """Which days are asked for, both ends included; None for an open end."""

    first: date | None = None
    last: date | None = None


class Auditor:
    """Compares sources with their witnesses, one after the other.

    At most `per_second` requests are sent to CloudWatch in a second. `is_limited` says whether
    only some days are asked for.
    """

    def __init__(self, days: Days, per_second: float, clock: Clock, stop: Event) -> None:
        self._days = days
        self.is_limited = days != Days()
        # The quota is the account's, however many sources there are.
        self._pace = Pace(per_second, clock.elapsed_seconds, stop)
        self._clock = clock
        self._stop = stop
        self.progress = AuditGauge()

    def compare(self, source: Source, need: Need = NOTHING_MORE) -> Verification:
        """Compares a source with its witnesses, and returns all that this has shown.

        Raises:
            ForwarderError: a witness can't be read.
            StoppedError: the process is to end.
        """
        self.progress = AuditGauge()
        began = self._clock.now()
        s3, logs = s3_client(source.lyve), logs_client(source.aws)
        sessions = {
            "lyve_cloud": http_session(source.lyve.endpoint_url),
            "cloudwatch": http_session(logs.meta.endpoint_url),
        }
        sent = {name: session.sent for name, session in sessions.items()}
        retention = partial(retention_days, logs, source.log_group)
        streams = LogStreams(logs, source, self._pace, self.progress, retention)
        asked = self._asked(source, streams.find() or since_1970_ms(began), need.since_ms)
        witnesses = Witnesses(
            AuditBucket(s3, source, self._stop),
            streams,
            lambda key: QuarantinedLines(s3, source.output_bucket, source.name, key),
        )
        verification = Verification(source, asked, witnesses, self.progress, need)
        audit = verification.run(since_1970_ms(began))
        audit.from_day = self._days.first.isoformat() if self._days.first else None
        audit.to_day = self._days.last.isoformat() if self._days.last else None
        audit.since = span(asked[0], source.until_ms)
        audit.began, audit.ended = began, self._clock.now()
        audit.requests = {name: one.sent - sent[name] for name, one in sessions.items()}
        return verification

    def _asked(self, source: Source, made_ms: int, since_ms: int | None) -> Interval:
        """Returns the `LastModified` of the objects that are asked for.

        The first log stream was made at `made_ms`; `since_ms` is what a checkpoint says, if any.
        """
        first, last = self._days.first, self._days.last
        # A source of the mode lasthour begins an hour before its first start, which makes its
        # log stream.
        assumed_ms = made_ms - HOUR_MS if since_ms is None else since_ms
        begun_ms = assumed_ms if source.since_ms is None else source.since_ms
        until_ms = FOREVER_MS if source.until_ms is None else source.until_ms
        if last is not None:
            until_ms = min(until_ms, midnight_ms(last) + DAY_MS)
        return begun_ms if first is None else midnight_ms(first), until_ms


def keep(source: Source, audit: Audit) -> str:
    """Puts the report into the output bucket and its figures into the metrics; returns its key.

    Raises:
        ServiceError: it can't be written.
    """
    key, s3 = key_of(audit), s3_client(source.lyve)
    with lyve_errors(f"write the report into {source.output_bucket}", OUTPUT_BUCKET_HINTS):
        put_object(s3, source.output_bucket, key, encoded(audit), "application/json")
    figures = Verified(
        verified=audit.found,
        missing=audit.missing,
        doubled=audit.doubled,
        foreign=audit.foreign,
        expired=audit.expired,
        unreadable=audit.unreadable,
        differences=audit.missing + audit.doubled,
    )
    put_soon(source, figures, audit.ended)
    return key
