"""What the shipping of one source works with in one iteration, and what all sources share."""

from threading import Event

import msgspec

from services.output.checkpoint_saver import CheckpointSaver
from services.output.quarantine import Quarantine
from services.output.status import Clock, StatusLog
from services.pull_logs_service import AuditBucket
from services.shipping.reconcile import Reconciler
from services.threads.put_pool import PutPool
from services.upload_cloudwatch_logs_service import LogStream
from utils.lines.batching import Acceptance
from utils.model import Counts, Gauge
from utils.state.memory_share import MemoryShare
from utils.state.progress import Progress


class Rules(msgspec.Struct, frozen=True):
    """How events become batches."""

    batch_size: int
    acceptance: Acceptance
    settle_seconds: float
    concurrency: int


class Shared(msgspec.Struct, frozen=True):
    """What all sources of the process share; `stop` is set when it is to end."""

    clock: Clock
    stop: Event
    puts: PutPool
    memory: MemoryShare


class Context(msgspec.Struct, frozen=True):
    """The services and the state of one iteration of one source."""

    bucket: AuditBucket
    log_stream: LogStream
    reconciler: Reconciler
    quarantine: Quarantine
    progress: Progress
    saver: CheckpointSaver
    status: StatusLog
    gauge: Gauge
    counts: Counts
    shared: Shared
