"""Shows a person how far an iteration is: a bar on a terminal, a line now and then otherwise."""

from collections.abc import Mapping

from services.output.status import Clock, has_bar, say, tell
from utils.model import Gauge, total
from utils.report.status import progress_bar, progress_text

_LINE_EVERY_SECONDS = 30.0
_BAR_EVERY_SECONDS = 0.5


class Display:
    """Shows how far iterations are, summed up, on standard error.

    Args:
        gauges: of the iterations, by their sources' names.
        began_seconds: when the first of them began.
        clock: how the time is read.
    """

    def __init__(self, gauges: Mapping[str, Gauge], began_seconds: float, clock: Clock) -> None:
        self._pairs = (
            {"source": next(iter(gauges))} if len(gauges) == 1 else {"sources": len(gauges)}
        )
        self._gauges = list(gauges.values())
        self._clock = clock
        self._shown_seconds = clock.elapsed_seconds()
        self._began_seconds = began_seconds

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
            say(f"{progress_bar(gauge, elapsed_seconds)}\r")
        else:
            text = f"Shipping: {progress_text(gauge, elapsed_seconds)}."
            tell(self._clock.now(), "INFO", text, self._pairs)
