"""Runs one iteration of one source, and reports it in status lines."""

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime

from msgspec.structs import asdict, astuple, replace

from services.output.status import LatestStatus, StatusLog
from services.shipping.forward import Forwarder
from services.shipping.shared import Report, Shared
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.model import Counts, Gauge, Start
from utils.report.failures import Failure, by_cause
from utils.report.latest import Trail
from utils.report.status import Seconds, stamp
from utils.version import VERSION


class Iteration:
    """One iteration of one source, from its first request to its status object.

    `is_complete` says whether everything that the bucket listed is shipped or owed.

    The caller says why it failed, once for all sources that failed in the same way.

    Args:
        source: what to ship where.
        shared: with the other sources.

    Attributes:
        failures: what failed of it.
    """

    def __init__(self, source: Source, shared: Shared) -> None:
        self.source = source
        self._clock = shared.clock
        self._shared = shared
        self._status = StatusLog(source.name, shared.clock)
        self.began = shared.clock.now()
        self.began_seconds = shared.clock.elapsed_seconds()
        self.counts = Counts()
        self._forwarder: Forwarder | None = None
        self._trail: Trail | None = None
        self.gauge = Gauge()
        self.is_complete = False
        self.failures: list[Failure] = []

    @property
    def owed(self) -> int:
        """How many objects it tried that are not wholly shipped."""
        return self._forwarder.owed if self._forwarder else 0

    @property
    def newest_shipped(self) -> datetime | None:
        """The newest `LastModified` that is known to be shipped, None for none."""
        newest_ms = self._forwarder.newest_shipped_ms if self._forwarder else 0
        return datetime.fromtimestamp(newest_ms / 1000, UTC) if newest_ms else None

    @property
    def progress(self) -> tuple[object, ...]:
        """A value that changes whenever the iteration makes progress."""
        listed = self._forwarder.survey.listed if self._forwarder else 0
        return (*astuple(replace(self.gauge, trouble="")), listed)

    def start_up(self, start: Start) -> bool:
        """Marks where coverage begins; returns if that went well. Only a failure is reported."""
        is_good = self._attempt(start, Forwarder.start_up)
        return is_good or self._report(is_good)

    def run(self, start: Start) -> bool:
        """Ships what is due and reports it; returns if all went well."""
        is_good = self._attempt(start, self._ship)
        return self._report(is_good)

    def _ship(self, forwarder: Forwarder) -> None:
        try:
            forwarder.run()
        except StoppedError:
            raise
        except ForwarderError:
            if self.source.gap_hours is not None:
                # The failure is told last, even if a gap can't be looked for.
                with suppress(ForwarderError):
                    forwarder.look()
                    self._trail = self._followed(forwarder)
            raise
        self.is_complete = True
        self._trail = self._completed(self._followed(forwarder), forwarder)
        self._status.write("INFO", f"Done sending {self.counts.accepted} logs", self._pairs())

    def _attempt(self, start: Start, work: Callable[[Forwarder], None]) -> bool:
        try:
            report = Report(self._status, self.counts, self.gauge)
            self._forwarder = Forwarder(self.source, start, report, self._shared)
            with closing(self._forwarder):
                work(self._forwarder)
        except StoppedError as exc:
            self._tell_failures()
            self._status.write("WARN", f"{exc} The next start goes on there.", self._pairs())
        except ForwarderError as exc:
            self._tell_failures(exc)
            return False
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next iteration runs
            self._tell_failures(unexpected(exc))
            return False
        return True

    def _followed(self, forwarder: Forwarder) -> Trail:
        """Reports a gap that has begun or ended, and returns the trail behind the listing."""
        now = self._clock.now()
        # What is not to be shipped makes no gap.
        hours = None if self._is_over(forwarder) else self.source.gap_hours
        log_type = self.source.log_type
        trail = self._latest(forwarder).trail()
        followed = trail.listed(forwarder.survey.newest_of_type_ms, now)
        if hours is not None and trail.gap_since and not followed.gap_since:
            text = f"New objects of the type {log_type} are there again, after a gap."
            self._status.write("WARN", text, {"gap_since": stamp(trail.gap_since)})
        if not followed.quiet_since or not followed.has_new_gap(hours, now):
            return followed
        text = f"No new object of the type {log_type} for {hours:g} hours. Check that Lyve Cloud \
still writes audit logs into {self.source.bucket_name}."
        self._status.write("WARN", text, {"gap_since": stamp(followed.quiet_since)})
        return replace(followed, gap_since=followed.quiet_since)

    def _completed(self, trail: Trail, forwarder: Forwarder) -> Trail:
        """Says once that nothing of a bounded source is left, and returns the trail behind that."""
        if not self._is_over(forwarder):
            return replace(trail, complete_until=None)
        if self.owed or trail.complete_until == self.source.until:
            return trail
        text = f"Everything written before {self.source.until:%d/%m/%Y} is shipped, and what is \
written from then on is left out."
        self._status.write("INFO", text, {})
        return replace(trail, complete_until=self.source.until)

    def _is_over(self, forwarder: Forwarder) -> bool:
        """Tells if nothing that the source is to ship will be written any more."""
        return self.source.until_ms is not None and forwarder.now_ms >= self.source.until_ms

    def _report(self, is_good: bool) -> bool:
        """Writes into the output bucket what the iteration came to."""
        if self._forwarder is None:
            return False
        try:
            self._status.upload(self._forwarder.client, self.source.output_bucket)
            latest = self._latest(self._forwarder)
            trail = self._trail or latest.trail()
            outcome = self._status.outcome(self.began, self.counts)
            latest.save(outcome, trail.shipped(self._forwarder.newest_shipped_ms))
        except ForwarderError as exc:
            self.failures.append(Failure(self.source.name, exc, self._clock.now()))
            return False
        return is_good

    def _latest(self, forwarder: Forwarder) -> LatestStatus:
        return LatestStatus(forwarder.client, self.source.output_bucket, self.source.status_name)

    def _tell_failures(self, *ended: ForwarderError) -> None:
        """Says why it failed, without a row of zeros behind it.

        Args:
            ended: what ended it, after what ended single partitions.
        """
        pairs = {name: value for name, value in self._pairs().items() if value != 0}
        apart = self._forwarder.failures if self._forwarder else []
        # Of partitions alone, the last one's has ended it.
        errors = dict.fromkeys([*apart, *ended])
        failures = [Failure(self.source.name, one, self._clock.now(), pairs) for one in errors]
        for time, text, figures in by_cause(failures):
            self._status.keep(time, "ERROR", text, figures)
        self.failures += failures

    def _pairs(self) -> dict[str, object]:
        self.counts.owed = self.owed
        seconds = self._clock.elapsed_seconds() - self.began_seconds
        took = Seconds(round(seconds, 1))
        shard = {"shard": str(self.source.shard)} if self.source.shard else {}
        return {**shard, **asdict(self.counts), "took": took, "version": VERSION}
