"""Replicas that put batches against a shared quota, in a time that is counted, not waited for.

What a replica does here is what the daemon does: puts side by side on its threads, a batch that
was throttled waits as `services.threads.backoff` says while its thread goes on with others, and
chunks of batches are acknowledged in their order, so one batch that waits long holds up its
replica.
"""

import heapq
from collections import deque
from itertools import count
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from services.threads.backoff import pauses

if TYPE_CHECKING:
    from collections.abc import Iterator


class Settings(NamedTuple):
    """What is simulated.

    Args:
        replicas: how many there are.
        batches: that each of them has to put.
        quota: puts a second that all of them may do together.
        most_a_second: puts that the processor of one replica can do.
        burst_seconds: after a rest so many seconds' puts are allowed at once.
        latency_seconds: of a put, on average.
        threads: puts at once of one replica.
        in_flight: batches that are not acknowledged; one chunk may go beyond it.
        chunk: batches that are acknowledged together.
    """

    replicas: int
    batches: int
    quota: float
    most_a_second: float
    burst_seconds: float = 0.1
    latency_seconds: float = 0.03
    threads: int = 32
    in_flight: int = 64
    chunk: int = 14

    @property
    def ideal_seconds(self) -> float:
        """How long it takes if the quota or the replicas are never idle."""
        own = self.batches / min(self.most_a_second, self.threads / self.latency_seconds)
        return max(own, self.replicas * self.batches / self.quota)


class Result(NamedTuple):
    """What came of it.

    Args:
        seconds: until the last batch of the last replica was stored.
        puts: stored ones.
        throttled: answers that refused a put.
        shares: the batches of each replica that were stored when the first one had put all.
        shared_seconds: when that was.
    """

    seconds: float
    puts: int
    throttled: int
    shares: list[int]
    shared_seconds: float

    @property
    def unfairness(self) -> float:
        """The largest share over the smallest one."""
        return max(self.shares) / max(1, min(self.shares))

    @property
    def goodput(self) -> float:
        """Stored batches a second while all replicas were at work."""
        return sum(self.shares) / self.shared_seconds


class TokenBucket:
    """A quota: so many calls a second, and some at once after a rest."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._seconds = 0.0

    def takes(self, now_seconds: float) -> bool:
        """Tells if one more call is within the quota, and counts it if it is."""
        rested = self._tokens + (now_seconds - self._seconds) * self._rate
        self._tokens, self._seconds = min(self._burst, rested), now_seconds
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Put:
    """A batch on its way, with the waits between its tries."""

    __slots__ = ("chunk", "pauses", "replica")

    def __init__(self, replica: "Replica", chunk: list[int]) -> None:
        self.replica = replica
        self.chunk = chunk
        self.pauses: Iterator[float] | None = None

    def pause_seconds(self) -> float:
        """Returns how long to wait after one more refusal."""
        if self.pauses is None:
            self.pauses = pauses()
        return next(self.pauses)


class Replica:
    """One replica's pipeline.

    Args:
        settings: what is simulated.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._left = settings.batches
        self._chunks: deque[list[int]] = deque()
        self._under_way = 0
        self.ready: deque[Put] = deque()
        self.running = 0
        self.stored = 0
        self.free_seconds = 0.0

    @property
    def is_done(self) -> bool:
        """Tells if all is stored."""
        return self.stored == self._settings.batches

    def fill(self) -> None:
        """Sends chunks until enough is under way."""
        while self._left and self._under_way <= self._settings.in_flight:
            size = min(self._left, self._settings.chunk)
            chunk = [size, size]
            self._left -= size
            self._under_way += size
            self._chunks.append(chunk)
            self.ready.extend(Put(self, chunk) for _ in range(size))

    def store(self, put: Put) -> None:
        """Counts a stored batch, and acknowledges the oldest chunks that are stored whole."""
        self.stored += 1
        put.chunk[0] -= 1
        while self._chunks and not self._chunks[0][0]:
            self._under_way -= self._chunks.popleft()[1]
        self.fill()


class Simulation:
    """Runs one; the waits of `services.threads.backoff` are random by its own generator.

    Args:
        settings: what is simulated.
        random: for the latency of each put.
    """

    def __init__(self, settings: Settings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._bucket = TokenBucket(settings.quota, settings.quota * settings.burst_seconds)
        self._replicas = [Replica(settings) for _ in range(settings.replicas)]
        self._numbers = count()
        # When, a number that keeps the order, what happens and to which put.
        self._events: list[tuple[float, int, str, Put]] = []
        self._throttled = 0

    def run(self) -> Result:
        """Returns what came of it, once all is stored."""
        shares: list[int] = []
        shared_seconds = now_seconds = 0.0
        for replica in self._replicas:
            replica.fill()
            self._start(replica, 0.0)
        while self._events:
            now_seconds, _, what, put = heapq.heappop(self._events)
            self._happen(now_seconds, what, put)
            if not shares and put.replica.is_done:
                shares = [one.stored for one in self._replicas]
                shared_seconds = now_seconds
        puts = sum(one.stored for one in self._replicas)
        return Result(now_seconds, puts, self._throttled, shares, shared_seconds)

    def _happen(self, now_seconds: float, what: str, put: Put) -> None:
        replica = put.replica
        if what == "arrives":
            is_stored = self._bucket.takes(now_seconds)
            answered_seconds = now_seconds + self._way_seconds()
            self._add(answered_seconds, "stored" if is_stored else "throttled", put)
            return
        if what == "stored":
            replica.running -= 1
            replica.store(put)
        elif what == "throttled":
            replica.running -= 1
            self._throttled += 1
            self._add(now_seconds + put.pause_seconds(), "waited", put)
        else:
            replica.ready.append(put)
        self._start(replica, now_seconds)

    def _start(self, replica: Replica, now_seconds: float) -> None:
        """Lets free threads begin what is ready, no faster than the processor can."""
        while replica.ready and replica.running < self._settings.threads:
            begin_seconds = max(now_seconds, replica.free_seconds)
            replica.free_seconds = begin_seconds + 1 / self._settings.most_a_second
            replica.running += 1
            self._add(begin_seconds + self._way_seconds(), "arrives", replica.ready.popleft())

    def _way_seconds(self) -> float:
        """Returns how long a request or an answer is on its way."""
        return self._settings.latency_seconds / 2 * self._random.uniform(0.5, 1.5)

    def _add(self, seconds: float, what: str, put: Put) -> None:
        heapq.heappush(self._events, (seconds, next(self._numbers), what, put))
