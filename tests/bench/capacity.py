"""What so many bytes a day take, from the measured speed of one replica and the quotas."""

import math
from collections import Counter
from functools import cache
from random import Random
from typing import NamedTuple
from unittest.mock import patch

from services.threads import backoff
from tests.bench.quota_simulation import Result, Settings, Simulation
from utils.config.partitions import Shard, owned_by, partition_of
from utils.lines.batching import EVENT_OVERHEAD_BYTES
from utils.model import WINDOW_LINES

TB = 10**12
GB = 10**9
MIB = 2**20
DAY_SECONDS = 86_400

# An S3 event of Lyve Cloud has about this size, and so has one of the benchmark.
EVENT_BYTES = 1_500
# The rest of each hour is for peaks, and for what was missed.
SHARE_AT_WORK = 0.5
TYPES = 3
MEMORY_LIMIT_BYTES = 256 * MIB

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
PUTS_A_SECOND = 5_000
STREAMS_A_SECOND = 50
PAGES_A_SECOND = 25
PAGE_BYTES = MIB


class Replica(NamedTuple):
    """What was measured of one replica at work.

    Args:
        events_a_second: that it ships.
        cpu_seconds: for 100,000 events.
        memory_bytes: at most.
        events_a_put: by `batch_size`; a put has fewer where 1 MB is full before.
    """

    events_a_second: float
    cpu_seconds: float
    memory_bytes: float
    events_a_put: dict[int, float]

    @property
    def bytes_a_day(self) -> float:
        """What it ships in a day without a rest."""
        return self.events_a_second * EVENT_BYTES * DAY_SECONDS

    @property
    def bits_a_second(self) -> float:
        """What it sends to CloudWatch."""
        return self.events_a_second * (EVENT_BYTES + EVENT_OVERHEAD_BYTES) * 8

    @property
    def cores(self) -> float:
        """Those that it keeps busy."""
        return self.events_a_second * self.cpu_seconds / 100_000

    def puts_a_second(self, batch_size: int) -> float:
        """How many requests it sends."""
        return self.events_a_second / self.events_a_put[batch_size]

    def most_within_quota(self, batch_size: int) -> int:
        """Returns how many replicas can be at work at once within the quota of puts."""
        return int(PUTS_A_SECOND / self.puts_a_second(batch_size))

    def replicas_for(self, bytes_a_day: float) -> int:
        """Returns so many that none is at work for more than its share of an hour."""
        return math.ceil(bytes_a_day / (SHARE_AT_WORK * self.bytes_a_day))

    def backfill_seconds(self, total_bytes: float, replicas: int, batch_size: int) -> float:
        """Returns how long so much takes, by the replicas or by the quota of puts."""
        allowed = PUTS_A_SECOND * self.events_a_put[batch_size]
        return total_bytes / EVENT_BYTES / min(replicas * self.events_a_second, allowed)


@cache
def simulated(puts_a_second: float, replicas: int, seconds: float) -> tuple[Settings, Result]:
    """Returns what a simulation shows of replicas that together have enough for so long.

    Args:
        puts_a_second: that each of them can do.
        replicas: how many there are.
        seconds: how long it takes if the quota or the replicas are never idle.
    """
    batches = int(min(puts_a_second, PUTS_A_SECOND / replicas) * seconds)
    settings = Settings(replicas, batches, PUTS_A_SECOND, puts_a_second)
    return settings, simulate(settings, seed=replicas)


def simulate(settings: Settings, seed: int) -> Result:
    """Runs a simulation that is always the same for the same seed."""
    with patch.object(backoff, "random", Random(seed)):
        return Simulation(settings, Random(seed)).run()


def puts_a_second_on_average(bytes_a_day: float, events_a_put: float) -> float:
    """Returns the requests that so much takes, however many replicas send them."""
    return bytes_a_day / EVENT_BYTES / events_a_put / DAY_SECONDS


def read_back_seconds(replicas: int) -> float:
    """Returns how long all replicas look up what was under way, if all were killed at once."""
    window_bytes = WINDOW_LINES * (EVENT_BYTES + EVENT_OVERHEAD_BYTES)
    return replicas * TYPES * math.ceil(window_bytes / PAGE_BYTES) / PAGES_A_SECOND


def busiest(replicas: int, objects_each: int) -> float:
    """Returns the objects of the replica that has most of them, over the mean."""
    keys = (f"May-2024/S3-archive-{number:09d}.gz" for number in range(replicas * objects_each))
    objects = Counter(partition_of(key) for key in keys)
    shards = (Shard(number, replicas) for number in range(1, replicas + 1))
    return max(sum(objects[one] for one in owned_by(shard)) for shard in shards) / objects_each
