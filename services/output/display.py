"""Shows a person how far work is: a bar on a terminal, a line now and then otherwise."""

from collections.abc import Callable

from services.output.status import has_bar, say, tell
from utils.model import Clock, Gauge
from utils.report.status import Pairs, progress_bar, progress_text

_LINE_EVERY_SECONDS = 30.0
_BAR_EVERY_SECONDS = 0.5


class Display:
    """Shows on standard error how far work is.

    Args:
        doing: what is done, such as `Shipping`.
        gauge: returns how far it is.
        pairs: of its lines.
        began_seconds: when it began.
        clock: how the time is read.
    """

    def __init__(
        self,
        doing: str,
        gauge: Callable[[], Gauge],
        pairs: Pairs,
        began_seconds: float,
        clock: Clock,
    ) -> None:
        self._doing = doing
        self._gauge = gauge
        self._pairs = pairs
        self._began_seconds = began_seconds
        self._clock = clock
        self._shown_seconds = clock.elapsed_seconds()

    def refresh(self) -> None:
        """Shows how far it is, if it is time to."""
        now_seconds = self._clock.elapsed_seconds()
        is_bar = has_bar()
        every_seconds = _BAR_EVERY_SECONDS if is_bar else _LINE_EVERY_SECONDS
        if now_seconds - self._shown_seconds < every_seconds:
            return
        self._shown_seconds = now_seconds
        gauge, elapsed_seconds = self._gauge(), now_seconds - self._began_seconds
        if is_bar:
            say(f"{progress_bar(gauge, elapsed_seconds)}\r")
        else:
            text = f"{self._doing}: {progress_text(gauge, elapsed_seconds)}."
            tell(self._clock.now(), "INFO", text, self._pairs)
