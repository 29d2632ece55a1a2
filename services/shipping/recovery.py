"""Goes on where a checkpoint ends: reconciles what is in doubt, and ships what was begun."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from services.output.checkpoint_saver import CheckpointSaver
from services.output.quarantine import Quarantine
from services.shipping.partitions import Partition
from services.shipping.reconcile import Reconciler
from services.shipping.shared import Report, Shared
from services.shipping.shipper import Context, Rules, Shipper, shipping
from services.threads.executor import Workers
from services.upload_cloudwatch_logs_service import LogStream
from utils.config.settings import Source
from utils.lines.batching import acceptance
from utils.model import Position
from utils.state.checkpoint import Checkpoint
from utils.state.progress import Progress
from utils.state.uncertain import Uncertain


class Recovery:
    """Goes on where the checkpoint of one partition ends.

    Args:
        partition: as the iteration begins with it.
        report: takes what becomes of it.
        shared: with the other sources.
        puts: the threads of the source's puts.
    """

    def __init__(self, partition: Partition, report: Report, shared: Shared, puts: Workers) -> None:
        self._partition = partition
        self._report = report
        self._shared = shared
        self._puts = puts

    @property
    def _source(self) -> Source:
        return self._partition.source

    def log_stream(self) -> LogStream:
        """Returns the log stream of the partition."""
        return LogStream(self._source, self._report.gauge, self._shared.stop)

    @contextmanager
    def under_way(self, owner: str) -> Iterator[tuple[Shipper, Progress]]:
        """Ships what was begun, lets more be shipped, and saves how far it came in any case.

        Args:
            owner: as whom it runs.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        log_stream = self.log_stream()
        partition = self._partition
        accepted = acceptance(partition.now_ms, log_stream.prepare())
        reconciler = self._reconciler(log_stream)
        positions, recovered = self._recovered(reconciler, partition.checkpoint)
        upload_ms = max(partition.now_ms, partition.checkpoint.upload_ms)
        progress = Progress(
            replace(partition.checkpoint, owner=owner, upload_ms=upload_ms), partition.ledger
        )
        positions = progress.plan(positions)
        context = self._context(progress, log_stream, reconciler)
        rules = Rules(
            self._source.batch_size,
            accepted,
            self._source.settle_seconds,
            self._source.concurrency,
        )
        with shipping(context, rules) as shipper:
            shipper.recover(positions, recovered)
            yield shipper, progress

    def _recovered(
        self, reconciler: Reconciler, found: Checkpoint
    ) -> tuple[list[Position], Uncertain]:
        """Returns where to go on, and what an unfinished iteration has stored beyond that."""
        positions = [self._as_it_is(one, was_running=found.running) for one in found.open]
        if not found.running:
            return positions, Uncertain()
        text = "An iteration was not finished; reading back what it sent."
        pairs = {"settle_seconds": self._source.settle_seconds}
        self._report.status.write("WARN", text, pairs)
        self._partition.await_owner(self._shared.stop)
        return reconciler.recover(positions)

    def _as_it_is(self, position: Position, *, was_running: bool) -> Position:
        """Returns the position in the object as it is now."""
        now = self._partition.bucket.current(position.object)
        if now == position.object:
            return position
        earlier_ms = position.object.last_modified_ms
        in_doubt = was_running or position.in_doubt
        return replace(position, object=now, earlier_ms=earlier_ms, in_doubt=in_doubt)

    def _reconciler(self, log_stream: LogStream) -> Reconciler:
        return Reconciler(
            self._partition.bucket,
            log_stream.read_back,
            self._partition.origin,
            self._report.status,
            self._report.counts,
        )

    def _context(
        self, progress: Progress, log_stream: LogStream, reconciler: Reconciler
    ) -> Context:
        source = self._source
        return Context(
            bucket=self._partition.bucket,
            log_stream=log_stream,
            puts=self._puts,
            reconciler=reconciler,
            quarantine=Quarantine(self._partition.client, source.output_bucket, source.name),
            progress=progress,
            saver=CheckpointSaver(
                self._partition.store.save,
                progress.snapshot,
                source.settle_seconds,
                self._shared.clock.elapsed_seconds,
            ),
            status=self._report.status,
            gauge=self._report.gauge,
            counts=self._report.counts,
            shared=self._shared,
        )
