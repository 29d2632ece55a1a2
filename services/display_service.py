"""Shows a person how far an iteration is: a bar on a terminal, a line now and then otherwise."""

import sys

from services.status_service import Clock, tell
from utils.model import Gauge
from utils.status import progress_bar, progress_text

_LINE_EVERY_SECONDS = 30.0
_BAR_EVERY_SECONDS = 0.5


class Display:
    """Shows the gauge of one source on standard error.

    Args:
        source: its name.
        gauge: what it shows.
        clock: how the time is read.
    """

    def __init__(self, source: str, gauge: Gauge, clock: Clock) -> None:
        self._source = source
        self._gauge = gauge
        self._clock = clock
        self._began_seconds = self._shown_seconds = clock.elapsed_seconds()

    def refresh(self) -> None:
        """Shows how far it is, if it is time to."""
        now_seconds = self._clock.elapsed_seconds()
        is_bar = sys.stderr.isatty()
        every_seconds = _BAR_EVERY_SECONDS if is_bar else _LINE_EVERY_SECONDS
        if now_seconds - self._shown_seconds < every_seconds:
            return
        self._shown_seconds = now_seconds
        elapsed_seconds = now_seconds - self._began_seconds
        if is_bar:
            sys.stderr.write(f"{progress_bar(self._gauge, elapsed_seconds)}\r")
            sys.stderr.flush()
        else:
            text = f"Shipping: {progress_text(self._gauge, elapsed_seconds)}."
            tell(self._clock.now(), "INFO", text, {"source": self._source})
