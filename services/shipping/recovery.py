"""Goes on where a checkpoint ends: reconciles what is in doubt, and ships what was begun."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from services.output.quarantine import Quarantine
from services.shipping.partitions import Partition
from services.shipping.reconcile import Reconciler
from services.shipping.shared import Report, Shared
from services.shipping.shipper import Context, Shipper, shipping
from services.threads.executor import Workers
from services.upload_cloudwatch_logs_service import LogStream
from utils.lines.batching import acceptance
from utils.model import Position
from utils.state.progress import Progress
from utils.state.uncertain import Uncertain


@contextmanager
def under_way(
    partition: Partition, owner: str, report: Report, shared: Shared, puts: Workers
) -> Iterator[tuple[Shipper, Progress]]:
    """Ships what was begun of a partition, lets more be shipped, and saves how far it came.

    Args:
        partition: as the iteration begins with it.
        owner: as whom it runs.
        report: takes what becomes of it.
        shared: with the other sources.
        puts: the threads of the source's puts.

    Raises:
        ForwarderError: something failed; what was acknowledged before is saved.
    """
    source, found = partition.source, partition.checkpoint
    log_stream = LogStream(source, report.gauge, shared.stop)
    accepted = acceptance(partition.now_ms, log_stream.prepare())
    reconciler = Reconciler(partition.bucket, log_stream.read_back, partition.origin, report)
    positions = [_as_it_is(one, partition) for one in found.open]
    recovered = Uncertain()
    if found.running:
        text = "An iteration was not finished; reading back what it sent."
        report.status.write("WARN", text, {"settle_seconds": source.settle_seconds})
        partition.await_owner(shared.stop)
        positions, recovered = reconciler.recover(positions)
    upload_ms = max(partition.now_ms, found.upload_ms)
    progress = Progress(replace(found, owner=owner, upload_ms=upload_ms), partition.ledger)
    positions = progress.plan(positions)
    context = Context(
        source=source,
        bucket=partition.bucket,
        log_stream=log_stream,
        acceptance=accepted,
        look=reconciler.look,
        quarantine=Quarantine(partition.client, source.output_bucket, source.name),
        store=partition.store,
        progress=progress,
        puts=puts,
        report=report,
        shared=shared,
    )
    with shipping(context) as shipper:
        shipper.recover(positions, recovered)
        yield shipper, progress


def _as_it_is(position: Position, partition: Partition) -> Position:
    """Returns the position in the object as it is now."""
    now = partition.bucket.current(position.object)
    if now == position.object:
        return position
    earlier_ms = position.object.last_modified_ms
    in_doubt = partition.checkpoint.running or position.in_doubt
    return replace(position, object=now, earlier_ms=earlier_ms, in_doubt=in_doubt)
