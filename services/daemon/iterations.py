"""Runs the iterations of all sources side by side, and of each source one at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Condition, Event

from services.aws.clients import aws_credentials, logs_client, s3_client
from services.aws.http_session import http_session
from services.aws.session import botocore_session
from services.daemon.iteration_metrics import IterationMetrics
from services.daemon.running import Running
from services.daemon.start_line import tell_start
from services.output.display import Display
from services.output.status import FailureLines, tell
from services.shipping.shared import Shared
from services.threads.executor import begin
from utils.config.settings import Source
from utils.errors import ForwarderError, unexpected
from utils.model import Clock, Start, total
from utils.report.failures import Failure

# If one hangs, the others have started up within this time.
_LONGEST_START_UP_SECONDS = 5.0
_LOOK_SECONDS = 0.05

# Called when an iteration begins, since it may have to wait for its source.
Starting = Callable[[], Start]


class Iterations:
    """The iterations of all sources: a slow or broken one keeps no other waiting.

    Args:
        clock: how the time is read.
        stop: set when the process is to end.
        iteration: makes one of a source.
    """

    def __init__(
        self, clock: Clock, stop: Event, iteration: Callable[[Source, Shared], Running]
    ) -> None:
        self._clock = clock
        self._stop = stop
        self._iteration = iteration
        self._shared = Shared(clock, stop)
        self._changed = Condition()
        self._starting_up: set[str] = set()
        self._announcing: list[Future[None]] = []
        self._proven: set[str] = set()
        self._under_way: dict[str, Running] = {}
        self._failures: dict[str, int] = {}
        self._owed: dict[str, int] = {}
        self._display = self._shown({})
        self._metrics = IterationMetrics(clock)
        # How many threads are at work on sources, and may yet fail as others did.
        self._at_work = 0
        self._failure_lines = FailureLines(clock)

    def expect(self, sources: Sequence[Source]) -> None:
        """Takes all sources that are configured, whether an iteration of them begins or not."""
        with self._changed:
            configured = {source.name for source in sources}
            names = configured | self._starting_up | self._under_way.keys()
            self._failures = {name: self._failures.get(name, 0) for name in sorted(names)}

    def start_up(self, sources: Sequence[Source], start: Starting) -> None:
        """Begins to mark where coverage begins; a source's first iteration waits for that."""
        with self._changed:
            for source in sources:
                iteration = self._iteration(source, self._shared)
                start_up = self._begin(iteration, partial(self._start_up, iteration, start))
                if start_up:
                    self._starting_up.add(source.name)
                    self._announcing.append(start_up)
            self._tell_failures()

    def await_start_up(self) -> None:
        """Waits until all sources have started up and are announced, except those that hang."""
        give_up_at = self._clock.elapsed_seconds() + _LONGEST_START_UP_SECONDS
        while not all(one.done() for one in self._announcing):
            if self._stop.wait(_LOOK_SECONDS) or self._clock.elapsed_seconds() > give_up_at:
                return

    def run(self, sources: Sequence[Source], start: Starting) -> None:
        """Begins an iteration of each source that has none under way."""
        forget_clients()
        with self._changed:
            for source in sources:
                if source.name in self._under_way:
                    self._tell_late(source)
                    continue
                iteration = self._iteration(source, self._shared)
                if self._begin(iteration, partial(self._run, iteration, start)):
                    self._under_way[source.name] = iteration
            self._tell_failures()
            self._display = self._shown(self._under_way)

    def _shown(self, under_way: Mapping[str, Running]) -> Display:
        gauges = [one.gauge for one in under_way.values()]
        began_seconds = min((one.began_seconds for one in under_way.values()), default=0.0)
        pairs = {"source": min(under_way)} if len(gauges) == 1 else {"sources": len(gauges)}
        return Display("Shipping", lambda: total(gauges), pairs, began_seconds, self._clock)

    def skip(self, names: Iterable[str]) -> None:
        """Notes that no iteration could begin: it counts as failed for each source that was due.

        Args:
            names: of the sources that were due.
        """
        with self._changed:
            for name in set(names) & self._failures.keys() - self._under_way.keys():
                self._failures[name] += 1

    def join(self) -> bool:
        """Waits for all that is under way; returns if no source failed last or owes anything."""
        with self._changed:
            self._changed.wait_for(lambda: not self._starting_up and not self._under_way)
        self._metrics.wait()
        with self._changed:
            return not any(self._failures.values()) and not any(self._owed.values())

    def refresh(self) -> None:
        """Shows a person how far it is, and what has failed."""
        with self._changed:
            self._failure_lines.tell_if_late()
        if self._under_way:
            self._display.refresh()

    def working(self) -> dict[str, tuple[object, float]]:
        """Returns the sources under way, as `HeartbeatFile.say` takes them."""
        with self._changed:
            under_way = self._under_way.items()
            return {name: (one.progress, one.source.settle_seconds) for name, one in under_way}

    def failures(self) -> dict[str, int]:
        """Returns for each source how many of its iterations have failed in a row."""
        with self._changed:
            return dict(self._failures)

    def unproven(self) -> set[str]:
        """Returns the sources of which neither an iteration nor the start-up has succeeded yet."""
        with self._changed:
            return self._failures.keys() - self._proven

    def _begin(self, iteration: Running, work: Callable[[], None]) -> Future[None] | None:
        """Begins work on a source; one that has no thread has failed, and the others begin."""
        try:
            future = begin(work)
        except ForwarderError as exc:
            self._count(iteration.source.name, is_good=False)
            self._failure_lines.hold([self._failure(iteration, exc)])
            return None
        self._at_work += 1
        return future

    def _run(self, iteration: Running, start: Starting) -> None:
        name = iteration.source.name
        with self._changed:
            self._changed.wait_for(lambda: name not in self._starting_up)
        is_run = not self._stop.is_set()
        is_good = not is_run or self._is_good(iteration, lambda: iteration.run(start()))
        if is_run:
            self._metrics.put(iteration, is_good=is_good)
        with self._changed:
            del self._under_way[name]
            self._count(name, is_good=is_good)
            self._owed[name] = iteration.owed
            self._end(iteration)

    def _start_up(self, iteration: Running, start: Starting) -> None:
        name = iteration.source.name
        is_good = self._is_good(iteration, lambda: iteration.start_up(start()))
        with self._changed:
            self._starting_up.remove(name)
            if not self._stop.is_set():
                self._count(name, is_good=is_good)
            self._end(iteration)
        if is_good:
            # The first iteration does not wait for the announcement.
            tell_start(iteration.source, start(), self._clock, self._stop)

    def _is_good(self, iteration: Running, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next iteration runs
            iteration.failures.append(self._failure(iteration, unexpected(exc)))
            return False

    def _failure(self, iteration: Running, error: ForwarderError) -> Failure:
        return Failure(iteration.source.name, error, self._clock.now())

    def _end(self, iteration: Running) -> None:
        self._at_work -= 1
        self._failure_lines.hold(iteration.failures)
        self._tell_failures()
        self._changed.notify_all()

    def _tell_failures(self) -> None:
        """Tells why sources failed, once no other can fail alike any more."""
        if not self._at_work or self._stop.is_set():
            self._failure_lines.tell()

    def _count(self, name: str, *, is_good: bool) -> None:
        self._failures[name] = 0 if is_good else self._failures[name] + 1
        if is_good:
            self._proven.add(name)

    def _tell_late(self, source: Source) -> None:
        text = "The last iteration is still under way, so none begins now. It goes on; \
the lines of its progress say whether it makes any."
        tell(self._clock.now(), "WARN", text, {"source": source.name})


def forget_clients() -> None:
    """Makes new clients from now on, with the credentials and the connections as they are then.

    A connection idle for an hour may have been cut on the way, and a put that breaks is in doubt.
    What is under way keeps its clients.
    """
    for made in (botocore_session, http_session, s3_client, logs_client, aws_credentials):
        made.forget()
