"""Runs one iteration of each source, side by side."""

from collections.abc import Callable, Sequence
from threading import Event, Thread

from services.aws_clients import aws_credentials, logs_client, s3_client
from services.boto3_session import boto3_session
from services.display_service import Display
from services.http_session import http_session
from services.iteration_service import Iteration
from services.put_pool import PutPool
from services.status_service import Clock
from services.tools import Shared
from utils.memory_share import MemoryShare
from utils.model import Start
from utils.settings import Source


class Round:
    """One iteration of all sources: one that is slow or broken keeps no other waiting.

    Args:
        sources: what to ship where.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, sources: Sequence[Source], clock: Clock, stop: Event) -> None:
        forget_clients()
        workers = max(source.concurrency for source in sources)
        self._puts = PutPool(workers, clock.elapsed_seconds, stop)
        shared = Shared(clock, stop, self._puts, MemoryShare())
        self._iterations = [Iteration(source, shared) for source in sources]
        names = [source.name for source in sources]
        gauges = [iteration.gauge for iteration in self._iterations]
        self._display = Display(names, gauges, clock)
        self._under_way: set[Iteration] = set()

    def open(self, start: Start) -> bool:
        """Marks where coverage begins; returns if that went well for all sources."""
        return self._side_by_side(lambda iteration: iteration.open(start))

    def run(self, start: Start) -> bool:
        """Ships what is due; returns if all went well for all sources."""
        return self._side_by_side(lambda iteration: iteration.run(start))

    def refresh(self) -> None:
        """Shows a person how far it is."""
        self._display.refresh()

    def working(self) -> dict[str, tuple[object, float]]:
        """Returns the sources under way, as `HealthSign.say` takes them."""
        under_way = [one for one in self._iterations if one in self._under_way]
        return {one.source.name: (one.progress, one.source.settle_seconds) for one in under_way}

    def _side_by_side(self, work: Callable[[Iteration], bool]) -> bool:
        results: list[bool] = []

        def run(one: Iteration) -> None:
            self._under_way.add(one)
            try:
                results.append(work(one))
            finally:
                self._under_way.discard(one)

        threads = [Thread(target=run, args=(one,), daemon=True) for one in self._iterations]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._puts.close()
        return len(results) == len(threads) and all(results)


def forget_clients() -> None:
    """Makes new clients from now on, with the credentials and the connections as they are then.

    What was idle for an hour may have been cut on the way, and a put that breaks is in doubt.
    """
    for made in (boto3_session, http_session, s3_client, logs_client, aws_credentials):
        made.forget()
