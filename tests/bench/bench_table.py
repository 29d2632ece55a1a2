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
    """A bucket with audit logs of one type, which is only read."""

    bucket: str
    events: int
    objects: int
    log_type: str = "S3"


class Case(NamedTuple):
    """One row of the table."""

    sender: str
    batch_size: int
    latency_ms: int
    dataset: Dataset
    runs: int
    concurrency: int = 32

    @property
    def title(self) -> str:
        """The case in words."""
        events = f"{self.dataset.events:,} events of {self.dataset.log_type}"
        objects = f"{events} in {self.dataset.objects:,} objects"
        batches = f"batches of {self.batch_size:,}, {self.concurrency} in flight"
        return f"{self.sender}, {batches}, {self.latency_ms} ms, {objects}"


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


class Quiet(NamedTuple):
    """An hour in which nothing is new: what it lists, and what that took."""

    title: str
    pages: int
    usages: Sequence[Usage]


PEERS = """\
Beside other programs, which were measured once, on a machine of 2 cores: 100,000 events of 1,020
bytes in one object, batches of 100, 30 ms. This program with the same, and events of {bytes:,}
bytes:

program                                 wall s  CPU s   MB  lost and doubled where puts fail
this program                            {wall:>6.1f} {cpu:>6.2f} {mb:>4.0f}  see tests/run soak
Tenzir 6.20 (C++), 32 in flight            2.1    2.0  270  stops at the first throttle
OpenTelemetry collector (Go) *             2.7    1.1  218  not run
syslog-ng, unsigned *                      2.9    1.5   71  not run
boto3, 16 threads                          5.0    4.1   90  of 20,000: 500 to 900, 500 to 600
a lean C program, 32 in flight             1.1   0.22   13  -

Of those with a * the version is not known; lines are handed to them.
"""

HEADINGS = (
    "sender",
    "batch",
    "in flight",
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
    is_s3 = case.dataset.log_type == "S3"
    return [
        case.sender if is_s3 else f"{case.sender}, {case.dataset.log_type}",
        f"{case.batch_size:,}",
        f"{case.concurrency if case.sender == 'daemon' else 1}",
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


def quiet_line(hour: Quiet) -> str:
    """Returns what an hour in which nothing is new takes, as a line of text."""
    cpu_seconds = median(usage.cpu_seconds for usage in hour.usages)
    wall_seconds = median(usage.wall_seconds for usage in hour.usages)
    peak_mb = median(usage.peak_bytes for usage in hour.usages) / MB
    took = f"{cpu_seconds:.2f} s of CPU, {wall_seconds:.2f} s, {peak_mb:.0f} MB"
    return f"an hour with nothing new, {hour.title}: {took}, {hour.pages:,} list pages"


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
