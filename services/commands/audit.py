"""Compares the bucket with the log streams, sends what is missing, and prints what that shows."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

from services.audit.repair import Repair
from services.audit.verification import Auditor, Days, Verification, keep
from services.aws.clients import s3_client
from services.commands.terminal import show_table
from services.output.display import Display
from services.output.status import FailureLines, LatestStatus, StatusLog, tell
from services.shipping.shared import Report, Shared
from utils.audit.audit import Audit, figures, rows, status, verdict
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.model import Clock, Counts, Gauge, Start
from utils.report.failures import Failure
from utils.report.status import Pairs, Seconds
from utils.version import VERSION


class Auditing:
    """Compares all sources, one after the other: CloudWatch's quota is the account's.

    Args:
        options: the days and the rate that were asked for.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, options: Namespace, clock: Clock, stop: Event) -> None:
        days = Days(options.first, options.last)
        self._auditor = Auditor(days, options.rate, clock, stop)
        self._clock = clock
        self._stop = stop
        self._failures = FailureLines(clock)
        self._begin("")

    def verify(self, sources: Sequence[Source]) -> bool:
        """Compares the sources; returns whether nothing is missing or doubled."""
        return self._each(sources, self._verify)

    def repair(self, sources: Sequence[Source], start: Start) -> bool:
        """Sends what is missing of the sources; returns whether nothing is missing or doubled then.

        Args:
            sources: what is shipped where.
            start: when and as whom it begins.
        """
        shared = Shared(self._clock, self._stop)
        return self._each(sources, lambda source: self._repair(source, start, shared))

    def refresh(self) -> None:
        """Shows a person how far it is, if it is time to, and what has failed."""
        self._failures.tell_if_late()
        self._display.refresh()

    def _begin(self, source: str) -> None:
        self._began, self._began_seconds = self._clock.now(), self._clock.elapsed_seconds()
        self._display = Display(
            "Comparing",
            lambda: self._auditor.progress,
            {"source": source},
            self._began_seconds,
            self._clock,
        )

    def _each(self, sources: Sequence[Source], work: Callable[[Source], bool]) -> bool:
        # However many replicas share a source, it is one.
        whole = [replace(source, shard=None) for source in sources]
        is_whole = [self._worked(source, work) for source in whole if not self._stop.is_set()]
        self._failures.tell()
        return all(is_whole) and not self._stop.is_set()

    def _worked(self, source: Source, work: Callable[[Source], bool]) -> bool:
        self._begin(source.name)
        try:
            return work(source)
        except StoppedError as exc:
            text = f"{exc} The next run begins anew, and is as good."
            tell(self._clock.now(), "WARN", text, {"source": source.name})
        except Exception as exc:  # noqa: BLE001 - the other sources are compared all the same
            error = exc if isinstance(exc, ForwarderError) else unexpected(exc)
            self._failures.hold([Failure(source.name, error, self._clock.now())])
        return False

    def _verify(self, source: Source) -> bool:
        audit = self._auditor.compare(source).audit
        self._print(source, audit, keep(source, audit))
        level, text = status(audit)
        tell(self._clock.now(), level, text, {"source": source.name, **self._pairs(audit)})
        return audit.is_whole

    def _repair(self, source: Source, start: Start, shared: Shared) -> bool:
        lines = StatusLog(source.name, self._clock)
        report = Report(lines, Counts(), Gauge())
        repair = Repair(source, self._auditor, report, shared)
        try:
            proof = repair.run(start)
            audit = proof.audit
            self._print(source, audit, keep(source, audit))
            if not audit.is_whole:
                lines.write(*status(audit), {})
            lines.write("INFO", f"Done repairing {audit.repaired:,} logs", self._pairs(audit))
            self._keep_status(source, report, proof)
        finally:
            is_kept = self._is_kept(source, lines)
        return audit.is_whole and is_kept

    def _is_kept(self, source: Source, lines: StatusLog) -> bool:
        """Uploads status lines, if there are any; a failure hides none that came before it."""
        try:
            if lines.text:
                lines.upload(s3_client(source.lyve), source.output_bucket)
        except ForwarderError as exc:
            self._failures.hold([Failure(source.name, exc, self._clock.now())])
            return False
        return True

    def _keep_status(self, source: Source, report: Report, proof: Verification) -> None:
        """Writes the last status, as an iteration does."""
        latest = LatestStatus(s3_client(source.lyve), source.output_bucket, source.status_name)
        outcome = report.status.outcome(self._began, report.counts)
        latest.save(outcome, latest.trail().shipped(proof.findings.newest_ms))

    def _print(self, source: Source, audit: Audit, key: str) -> None:
        table = [*rows(audit), ("report", f"{source.output_bucket}/{key}")]
        show_table(f"{source.name}: {verdict(audit)}", table)

    def _pairs(self, audit: Audit) -> Pairs:
        took = Seconds(round(self._clock.elapsed_seconds() - self._began_seconds, 1))
        return {**figures(audit), "took": took, "version": VERSION}
