"""The table of the bench: its rows, and how they are shown."""

import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench.measured_process import Usage

EVENTS = 100_000
MB = 1_000_000


class Dataset(NamedTuple):
    """A bucket with audit logs, which is only read."""

    bucket: str
    events: int
    objects: int


class Case(NamedTuple):
    """One row of the table."""

    sender: str
    batch_size: int
    latency_ms: int
    dataset: Dataset
    runs: int

    @property
    def title(self) -> str:
        """The case in words."""
        objects = f"{self.dataset.events:,} events in {self.dataset.objects:,} objects"
        return f"{self.sender}, batches of {self.batch_size:,}, {self.latency_ms} ms, {objects}"


class Run(NamedTuple):
    """One run of a case."""

    usage: Usage
    puts: int
    is_once: bool


class Row(NamedTuple):
    """A case and its runs."""

    case: Case
    runs: Sequence[Run]

    def median(self, figure: Callable[[Usage], float]) -> float:
        """Returns the median of a figure over the runs."""
        return median(figure(run.usage) for run in self.runs)

    @property
    def events_a_second(self) -> float:
        """Events by the wall clock, process start included."""
        return self.case.dataset.events / self.median(lambda usage: usage.wall_seconds)


HEADINGS = (
    "sender",
    "batch",
    "ms",
    "objects",
    "events",
    "wall s",
    "min-max",
    "CPU/100k",
    "MB",
    "events/s",
    "ratio",
    "puts",
    "once",
)


def cells(row: Row, base: Row) -> list[str]:
    """Returns a row of the table as text.

    Args:
        row: what is shown.
        base: whose events a second are 1.
    """
    case, walls = row.case, [run.usage.wall_seconds for run in row.runs]
    cpu_seconds = row.median(lambda usage: usage.cpu_seconds) / case.dataset.events * EVENTS
    return [
        case.sender,
        f"{case.batch_size:,}",
        f"{case.latency_ms}",
        f"{case.dataset.objects:,}",
        f"{case.dataset.events:,}",
        f"{median(walls):.2f}",
        f"{min(walls):.2f}-{max(walls):.2f}",
        f"{cpu_seconds:.2f}",
        f"{row.median(lambda usage: usage.peak_bytes) / MB:.0f}",
        f"{row.events_a_second:,.0f}",
        f"{row.events_a_second / base.events_a_second:.1f}",
        f"{max(run.puts for run in row.runs):,}",
        "yes" if all(run.is_once for run in row.runs) else "NO",
    ]


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the table in columns of text, the numbers to the right."""
    widths = [max(len(row[index]) for row in [HEADINGS, *rows]) for index in range(len(HEADINGS))]
    return "\n".join(
        " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in [HEADINGS, *rows]
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns the table as Markdown."""
    rule = ["---", *["---:"] * (len(HEADINGS) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [HEADINGS, rule, *rows])


def machine() -> str:
    """Returns what this was measured on."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    model = next(names, platform.machine())
    load = os.getloadavg()[0]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {python}, load {load:.1f} at the start"
