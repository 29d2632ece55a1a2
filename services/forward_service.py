"""Ships what is due for one source: the only module that knows the order of steps."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from threading import Event

from msgspec.structs import replace

from services.aws_clients import aws_session, s3_client
from services.checkpoint_saver import CheckpointSaver
from services.checkpoint_service import CheckpointStore
from services.pull_logs_service import AuditBucket, TopLevel
from services.settle_service import Settler
from services.ship_service import Shipper
from services.status_service import Quarantine, StatusLog
from services.takeover_service import Takeover
from services.tools import Rules, Tools
from services.upload_cloudwatch_logs_service import LogStream
from utils.batching import acceptance
from utils.checkpoint import Checkpoint, check_identity
from utils.coverage import Coverage
from utils.coverage_state import CoverageState
from utils.delivery import UploadTimes
from utils.errors import ForwarderError
from utils.model import Counts, Gauge, LogObject, Position, Start
from utils.planning import MAX_PLAN_OBJECTS, Survey, is_of_type, oldest
from utils.progress import Progress
from utils.settings import Source


class Forwarder:
    """One iteration of one source.

    Args:
        source: what to ship where.
        status: takes the status lines.
        counts: takes what became of the lines.
        gauge: shows how far it is.
        stop: set when the process is to end.
    """

    def __init__(
        self, source: Source, status: StatusLog, counts: Counts, gauge: Gauge, stop: Event
    ) -> None:
        self._source = source
        self._status = status
        self._counts = counts
        self._gauge = gauge
        self._stop = stop
        self.client = s3_client(source.lyve)
        self._bucket = AuditBucket(self.client, source.bucket_name, stop)
        self._store = CheckpointStore(self.client, source.output_bucket, source.name)

    def open(self, start: Start) -> None:
        """Makes the checkpoint where there is none, so that coverage begins now.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        top = self._bucket.top_level()
        found = self._found()
        if found is None:
            checkpoint = self._first_checkpoint(top, start)
            self._store.save(
                Progress(checkpoint, Coverage(checkpoint.coverage)).snapshot().document
            )

    def run(self, start: Start) -> None:
        """Ships everything that is due.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        top = self._bucket.top_level()
        checkpoint = self._found() or self._first_checkpoint(top, start)
        coverage = Coverage(checkpoint.coverage)
        if self._source.since_ms is not None:
            coverage.begin_at(self._source.since_ms)
        log_stream = self._log_stream()
        rules = self._rules(log_stream.prepare(), _now_ms(top, start))
        settler = Settler(self._bucket, log_stream, coverage, self._source.log_type)
        positions = self._left_over(checkpoint, settler)
        progress = Progress(replace(checkpoint, owner=start.owner), coverage)
        upload_times = UploadTimes(max(_now_ms(top, start), checkpoint.upload_ms))
        tools = self._tools(log_stream, settler, progress, upload_times)
        with _shipping(tools, rules) as shipper:
            shipper.ship(positions)
            self._ship_due(shipper, progress, top)

    def _found(self) -> Checkpoint | None:
        found = self._store.load()
        if found:
            check_identity(found, self._source.identity, self._store.name)
        return found

    def _first_checkpoint(self, top: TopLevel, start: Start) -> Checkpoint:
        since_ms = self._source.since_ms
        if since_ms is None:
            since_ms = _now_ms(top, start) - (start.now_ms - start.lasthour_ms)
        return Checkpoint(self._source.identity, start.owner, CoverageState(since_ms))

    def _log_stream(self) -> LogStream:
        source = self._source
        return LogStream(
            aws_session(source.aws),
            source.log_group,
            source.log_stream,
            source.concurrency,
            self._stop,
        )

    def _rules(self, retention_days: int | None, now_ms: int) -> Rules:
        source = self._source
        return Rules(
            source.batch_size,
            acceptance(now_ms, retention_days),
            source.settle_seconds,
            source.concurrency,
        )

    def _left_over(self, found: Checkpoint, settler: Settler) -> list[Position]:
        takeover = Takeover(self._bucket, self._store, settler, self._status, self._stop)
        if not found.running:
            return takeover.positions(found)
        takeover.await_owner(found, self._source.settle_seconds)
        positions = takeover.settled(takeover.positions(found), found.upload_ms)
        self._counts.possibly_duplicated = takeover.possibly_duplicated
        return positions

    def _tools(
        self, log_stream: LogStream, settler: Settler, progress: Progress, times: UploadTimes
    ) -> Tools:
        source = self._source
        return Tools(
            bucket=self._bucket,
            log_stream=log_stream,
            settler=settler,
            quarantine=Quarantine(self.client, source.output_bucket, source.name),
            progress=progress,
            saver=CheckpointSaver(self._store, progress.snapshot, source.settle_seconds),
            upload_times=times,
            status=self._status,
            gauge=self._gauge,
            counts=self._counts,
            stop=self._stop,
        )

    def _ship_due(self, shipper: Shipper, progress: Progress, top: TopLevel) -> None:
        is_complete = False
        while not is_complete:
            survey = Survey()
            plan = oldest(self._due(progress.coverage, top, survey))
            shipper.ship([progress.coverage.position(due) for due in plan])
            is_complete = len(plan) < MAX_PLAN_OBJECTS
            frontier_ms = survey.newest_ms if is_complete else plan[-1].last_modified_ms
            if progress.close_plan(survey, frontier_ms):
                text = "So many objects are new that late ones are found for less than 24 hours."
                self._status.write("WARN", text, {})

    def _due(self, coverage: Coverage, top: TopLevel, survey: Survey) -> Iterator[LogObject]:
        folders = coverage.folders_to_list(top.folders, top.store_ms or 0)
        parts = [iter(top.objects), *(self._bucket.objects(folder) for folder in folders)]
        for listed in chain.from_iterable(parts):
            survey.note(listed)
            if is_of_type(listed.key, self._source.log_type) and coverage.is_due(listed):
                yield listed


@contextmanager
def _shipping(tools: Tools, rules: Rules) -> Iterator[Shipper]:
    """Ends what is under way and saves how far it came, also when something fails."""
    shipper = Shipper(tools, rules)
    tools.saver.start()
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


def _now_ms(top: TopLevel, start: Start) -> int:
    """The store's time: it sets `LastModified`, and this machine's clock may be wrong."""
    return start.now_ms if top.store_ms is None else top.store_ms
