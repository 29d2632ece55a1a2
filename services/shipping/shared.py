"""What all sources of the process share, and what takes the outcome of one's iteration."""

from threading import Event

import msgspec

from services.output.status import Clock, StatusLog
from services.threads.put_pool import PutPool
from utils.model import Counts, Gauge
from utils.state.memory_share import MemoryShare


class Shared(msgspec.Struct, frozen=True):
    """What all sources of the process share; `stop` is set when it is to end."""

    clock: Clock
    stop: Event
    puts: PutPool
    memory: MemoryShare


class Report(msgspec.Struct, frozen=True):
    """Takes what becomes of an iteration: status lines, counts, and how far it is."""

    status: StatusLog
    counts: Counts
    gauge: Gauge
