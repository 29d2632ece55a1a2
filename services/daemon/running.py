"""An iteration of one source as the daemon runs it, shows it and counts what it came to."""

from datetime import datetime
from typing import Protocol

from utils.config.settings import Source
from utils.model import Counts, Gauge, Start
from utils.report.failures import Failure


class Running(Protocol):
    """What `Iterations` and `IterationMetrics` ask of an iteration."""

    source: Source
    counts: Counts
    gauge: Gauge
    began: datetime
    began_seconds: float
    is_complete: bool
    failures: list[Failure]

    @property
    def owed(self) -> int:
        """How many objects it tried that are not wholly shipped."""

    @property
    def newest_shipped(self) -> datetime | None:
        """The newest `LastModified` that is known to be shipped, None for none."""

    @property
    def progress(self) -> tuple[object, ...]:
        """A value that changes whenever the iteration makes progress."""

    def start_up(self, start: Start) -> bool:
        """Marks where coverage begins; returns if that went well."""

    def run(self, start: Start) -> bool:
        """Ships what is due and reports it; returns if all went well."""
