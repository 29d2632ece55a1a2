"""Puts an event with metrics into the log group after each iteration, and delays no iteration."""

from contextlib import suppress
from functools import partial
from threading import Condition
from typing import TYPE_CHECKING

from services.daemon.running import Running
from services.output.metrics import MOST_WAIT_SECONDS, is_put
from services.threads.executor import begin
from utils.config.settings import Source
from utils.errors import ForwarderError
from utils.model import Clock
from utils.report.metrics import Figures, figures_of

if TYPE_CHECKING:
    from datetime import datetime


class IterationMetrics:
    """The metrics of all sources, each put by a thread that nothing waits for.

    What could not be put is in the source's next event. An event whose outcome is unknown counts as
    not put: counting twice is better than an alarm that does not ring.

    Args:
        clock: how the time is read.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._changed = Condition()
        self._complete_until: dict[str, datetime] = {}
        self._pending: dict[str, Figures] = {}
        self._putting: set[str] = set()

    def put(self, iteration: Running, *, is_good: bool) -> None:
        """Begins to put the event of an iteration that has ended, if its source is to have one.

        Args:
            iteration: which has ended.
            is_good: whether all went well.
        """
        source = iteration.source
        if source.metrics_namespace is None:
            return
        with self._changed:
            figures = figures_of(
                iteration.counts,
                iteration.gauge.bytes,
                self._lag_seconds(iteration),
                self._clock.elapsed_seconds() - iteration.began_seconds,
                failed=not is_good,
            )
            before = self._pending.get(source.name, Figures())
            self._pending[source.name] = before.followed_by(figures)
            if source.name not in self._putting:
                with suppress(ForwarderError):
                    begin(partial(self._put_all, source))
                    self._putting.add(source.name)

    def wait(self) -> None:
        """Waits until nothing is under way, but not for what hangs."""
        with self._changed:
            self._changed.wait_for(lambda: not self._putting, MOST_WAIT_SECONDS)

    def _lag_seconds(self, iteration: Running) -> float:
        """Returns for how long what is written may be missing in CloudWatch.

        Everything that was written before a complete iteration began is there. In an idle bucket
        the newest object that was shipped says less.
        """
        name, newest = iteration.source.name, iteration.newest_shipped
        until = self._complete_until.get(name)
        if iteration.is_complete:
            until = self._complete_until[name] = iteration.began
        elif newest:
            until = max(newest, until or newest)
        return (self._clock.now() - (until or self._began)).total_seconds()

    def _put_all(self, source: Source) -> None:
        """Puts what is pending of a source, until there is nothing left or it can't be put."""
        missed: Figures | None = None
        while True:
            with self._changed:
                figures = self._pending.pop(source.name, None)
                if missed:
                    self._pending[source.name] = missed.followed_by(figures or Figures())
                if missed or figures is None:
                    self._putting.remove(source.name)
                    self._changed.notify_all()
                    return
            missed = None if is_put(source, figures, self._clock.now()) else figures
