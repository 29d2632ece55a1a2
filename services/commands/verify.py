"""Compares the bucket with the log streams, and prints what that shows."""

from argparse import Namespace
from collections.abc import Sequence
from threading import Event

from services.audit.auditor import Auditor, Days
from services.commands.terminal import show
from services.output.status import Clock, has_bar, say, tell
from utils.audit.audit import Audit, pairs, rows, status, verdict
from utils.audit.rate import Rate
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.report.status import Seconds
from utils.version import VERSION

_LINE_EVERY_SECONDS = 30.0
_BAR_EVERY_SECONDS = 0.5


class Verifier:
    """Verifies all sources, one after the other: the quota of CloudWatch is the account's.

    Args:
        options: the days and the rate that were asked for.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, options: Namespace, clock: Clock, stop: Event) -> None:
        days = Days(options.first, options.last)
        self._auditor = Auditor(days, Rate(options.rate), clock, stop)
        self._clock = clock
        self._stop = stop
        self._source = ""
        self._began_seconds = self._shown_seconds = clock.elapsed_seconds()

    def run(self, sources: Sequence[Source]) -> bool:
        """Verifies the sources; returns whether all is there once."""
        is_whole = [self._verify(source) for source in sources if not self._stop.is_set()]
        return all(is_whole) and not self._stop.is_set()

    def refresh(self) -> None:
        """Shows a person how far it is, if it is time to."""
        now_seconds = self._clock.elapsed_seconds()
        every_seconds = _BAR_EVERY_SECONDS if has_bar() else _LINE_EVERY_SECONDS
        if now_seconds - self._shown_seconds < every_seconds:
            return
        self._shown_seconds = now_seconds
        elapsed_seconds = now_seconds - self._began_seconds
        if has_bar():
            say(f"{self._auditor.progress.bar(elapsed_seconds)}\r")
        else:
            text = f"Comparing: {self._auditor.progress.text(elapsed_seconds)}."
            tell(self._clock.now(), "INFO", text, {"source": self._source})

    def _verify(self, source: Source) -> bool:
        self._source = source.name
        self._began_seconds = self._shown_seconds = self._clock.elapsed_seconds()
        try:
            audit = self._auditor.audit(source)
            key = self._auditor.keep(source, audit)
        except StoppedError as exc:
            text = f"{exc} The next run begins anew, and is as good."
            tell(self._clock.now(), "WARN", text, {"source": source.name})
            return False
        except ForwarderError as exc:
            tell(self._clock.now(), "ERROR", str(exc), {"source": source.name})
            return False
        except Exception as exc:  # noqa: BLE001 - the other sources are compared all the same
            tell(self._clock.now(), "ERROR", str(unexpected(exc)), {"source": source.name})
            return False
        self._tell(source, audit, key)
        return audit.is_whole

    def _tell(self, source: Source, audit: Audit, key: str) -> None:
        table = [*rows(audit), ("report", f"{source.output_bucket}/{key}")]
        width = max(len(name) for name, _ in table)
        lines = (f"  {name:<{width}}  {value}" for name, value in table)
        show(f"{source.name}: {verdict(audit)}", *lines, "")
        level, text = status(audit)
        took = Seconds(round(self._clock.elapsed_seconds() - self._began_seconds, 1))
        figures = {"source": source.name, **pairs(audit), "took": took, "version": VERSION}
        tell(self._clock.now(), level, text, figures)
