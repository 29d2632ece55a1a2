"""Shows a person how far an iteration is: a bar on a terminal, a line now and then otherwise."""

import sys
from collections.abc import Sequence

from services.status_service import Clock, has_bar, tell
from utils.model import Gauge, total
from utils.status import progress_bar, progress_text

_LINE_EVERY_SECONDS = 30.0
_BAR_EVERY_SECONDS = 0.5


class Display:
    """Shows the gauges of all sources, summed up, on standard error.

    Args:
        sources: their names.
        gauges: what they show.
        clock: how the time is read.
    """

    def __init__(self, sources: Sequence[str], gauges: Sequence[Gauge], clock: Clock) -> None:
        self._pairs = {"source": sources[0]} if len(sources) == 1 else {"sources": len(sources)}
        self._gauges = gauges
        self._clock = clock
        self._began_seconds = self._shown_seconds = clock.elapsed_seconds()

    def refresh(self) -> None:
        """Shows how far it is, if it is time to."""
        now_seconds = self._clock.elapsed_seconds()
        is_bar = has_bar()
        every_seconds = _BAR_EVERY_SECONDS if is_bar else _LINE_EVERY_SECONDS
        if now_seconds - self._shown_seconds < every_seconds:
            return
        self._shown_seconds = now_seconds
        elapsed_seconds = now_seconds - self._began_seconds
        gauge = total(self._gauges)
        if is_bar:
            sys.stderr.write(f"{progress_bar(gauge, elapsed_seconds)}\r")
            sys.stderr.flush()
        else:
            text = f"Shipping: {progress_text(gauge, elapsed_seconds)}."
            tell(self._clock.now(), "INFO", text, self._pairs)
