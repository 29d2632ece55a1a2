"""Ships what is due for one source: the only module that knows the order of steps."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec.structs import replace

from services.aws_clients import aws_session, s3_client
from services.checkpoint_saver import CheckpointSaver
from services.due_service import DueObjects, Outset
from services.settle_service import Settler
from services.ship_service import Shipper
from services.status_service import Quarantine, StatusLog
from services.takeover_service import Takeover
from services.tools import Rules, Shared, Tools
from services.upload_cloudwatch_logs_service import LogStream
from utils.batching import Acceptance, acceptance
from utils.errors import ForwarderError
from utils.model import Counts, Gauge, Start
from utils.planning import MAX_PLAN_OBJECTS, Survey, oldest
from utils.progress import Progress
from utils.settings import Source


class Forwarder:
    """One iteration of one source.

    Args:
        source: what to ship where.
        status: takes the status lines.
        counts: takes what became of the lines.
        gauge: shows how far it is.
        shared: with the other sources.
    """

    def __init__(
        self, source: Source, status: StatusLog, counts: Counts, gauge: Gauge, shared: Shared
    ) -> None:
        self._source = source
        self._status = status
        self._counts = counts
        self._gauge = gauge
        self._shared = shared
        self.client = s3_client(source.lyve)
        self._due = DueObjects(source, self.client, shared.stop)

    def open(self, start: Start) -> None:
        """Makes the checkpoint where there is none, so that coverage begins now.

        Raises:
            ForwarderError: the buckets, the checkpoint or the log group can't be used.
        """
        outset = self._due.outset(start)
        if outset.is_first:
            progress = Progress(outset.checkpoint, outset.coverage)
            self._due.store.save(progress.snapshot().document)
        self._log_stream().prepare()

    def run(self, start: Start) -> None:
        """Ships everything that is due.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        outset = self._due.outset(start)
        log_stream = self._log_stream()
        accepted = acceptance(outset.now_ms, log_stream.prepare())
        settler = Settler(self._due.bucket, log_stream, outset.coverage, self._source.log_type)
        takeover = Takeover(
            self._due.bucket, self._due.store, settler, self._status, self._shared.stop
        )
        positions = takeover.positions(outset.checkpoint, self._source.settle_seconds)
        self._counts.possibly_duplicated = takeover.possibly_duplicated
        upload_ms = max(outset.now_ms, takeover.next_upload_ms)
        checkpoint = replace(outset.checkpoint, owner=start.owner, upload_ms=upload_ms)
        progress = Progress(checkpoint, outset.coverage)
        progress.plan(positions)
        tools = self._tools(progress, log_stream, settler)
        with _shipping(tools, self._rules(accepted, upload_ms)) as shipper:
            shipper.ship(positions)
            self._ship_due(shipper, progress, outset)

    def _log_stream(self) -> LogStream:
        return LogStream(
            aws_session(self._source.aws), self._source, self._gauge, self._shared.stop
        )

    def _rules(self, accepted: Acceptance, upload_ms: int) -> Rules:
        source = self._source
        return Rules(
            source.batch_size, accepted, source.settle_seconds, source.concurrency, upload_ms
        )

    def _tools(self, progress: Progress, log_stream: LogStream, settler: Settler) -> Tools:
        source = self._source
        return Tools(
            bucket=self._due.bucket,
            log_stream=log_stream,
            settler=settler,
            quarantine=Quarantine(self.client, source.output_bucket, source.name),
            progress=progress,
            saver=CheckpointSaver(self._due.store, progress.snapshot, source.settle_seconds),
            status=self._status,
            gauge=self._gauge,
            counts=self._counts,
            shared=self._shared,
        )

    def _ship_due(self, shipper: Shipper, progress: Progress, outset: Outset) -> None:
        is_complete = False
        while not is_complete:
            survey = Survey()
            plan = oldest(self._due.listed(outset, survey))
            positions = [outset.coverage.position(due) for due in plan]
            progress.plan(positions)
            shipper.ship(positions)
            is_complete = len(plan) < MAX_PLAN_OBJECTS
            newest_ms = survey.newest_ms if is_complete else plan[-1].last_modified_ms
            # An object from the future must not hide those that are written from now on.
            if progress.close_plan(survey, min(newest_ms, outset.now_ms)):
                text = "So many objects are new that late ones are found for less than 24 hours."
                self._status.write("WARN", text, {})


@contextmanager
def _shipping(tools: Tools, rules: Rules) -> Iterator[Shipper]:
    """Ends what is under way and saves how far it came, also when something fails."""
    shipper = Shipper(tools, rules)
    tools.saver.start()
    with tools.shared.memory.joined():
        try:
            yield shipper
        except BaseException:
            with suppress(ForwarderError):
                _wind_up(shipper, tools)
            raise
        _wind_up(shipper, tools)


def _wind_up(shipper: Shipper, tools: Tools) -> None:
    is_clean = shipper.wind_up()
    tools.saver.close()
    if is_clean:
        tools.progress.end()
    tools.saver.save_last()
