"""Measures the daemon, and a straightforward sequential sender beside it, on this machine alone.

    python -m tests.bench.bench [--quick] [--runs N] [--markdown]

The data are made by a fixed seed. SeaweedFS stands in the place of Lyve Cloud, the strict stand-in
in the place of CloudWatch; each run has an output bucket, a log group and a stand-in of its own. It
shows times and asserts none; it fails where an event is missing or stored twice. Linux alone tells
what an idle process costs. What other programs took of the same work is quoted, not measured.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.bench_runs import (
    Bench,
    audit_events,
    crowded_month,
    lean_events,
    many_folders,
)
from tests.bench.bench_table import (
    EVENTS,
    MB,
    PEERS,
    Case,
    Row,
    Run,
    cells,
    machine,
    markdown_table,
    plain_table,
    quiet_line,
)
from tests.bench.measured_process import MeasuringError
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.moto_process import LOOPBACK

QUICK_EVENTS = 10_000
QUIET_KEYS = 100_000
QUIET_FOLDERS = 10_000
LATENCY_MS = 30
# How often the large objects hold the events: one as Lyve Cloud's largest, one that takes so long
# that the start does not count.
LARGE_PARTS = 40
LONG_PARTS = 10
IDLE_SECONDS = 60


def cases(bench: Bench, options: argparse.Namespace) -> Iterator[Case]:
    """Writes the data and yields the cases that are measured."""
    runs = options.runs
    tell(f"making {EVENTS:,} events")
    lines = audit_events(EVENTS)
    one = bench.dataset("bench-1", lines, 1)
    few = bench.dataset("bench-quick", lines[:QUICK_EVENTS], 1) if options.quick else one
    yield Case("sequential", 100, LATENCY_MS, few, runs)
    for batch_size in (100, 1_000, 10_000):
        yield Case("daemon", batch_size, LATENCY_MS, one, runs)
    for latency_ms in (0, 100):
        yield Case("daemon", 100, latency_ms, one, runs)
    access = bench.dataset("bench-access", audit_events(EVENTS, "Access"), 1, "Access")
    yield Case("daemon", 100, LATENCY_MS, access, runs)
    for objects in (100, 4_000):
        dataset = bench.dataset(f"bench-{objects}", lines, objects)
        yield Case("daemon", 100, LATENCY_MS, dataset, runs)
    if not options.quick:
        tell(f"making {len(lines) * (LARGE_PARTS + LONG_PARTS):,} events in two objects")
        long = bench.large_dataset("bench-long", lines, LONG_PARTS)
        yield Case("daemon", 100, 100, long, 1, concurrency=64)
        large = bench.large_dataset("bench-large", lines, LARGE_PARTS)
        yield Case("daemon", 100, LATENCY_MS, large, 1)


def measured_rows(bench: Bench, planned: Sequence[Case]) -> list[Row]:
    """Runs all cases in turn, again and again, so that all meet the same weather."""
    runs: dict[Case, list[Run]] = {case: [] for case in planned}
    total = sum(case.runs for case in planned)
    done = count(1)
    for number in range(max(case.runs for case in planned)):
        for case in planned:
            if number < case.runs:
                run = bench.run(case)
                runs[case].append(run)
                tell(f"[{next(done)}/{total}] {case.title}: {run.usage.wall_seconds:.2f} s")
    return [Row(case, runs[case]) for case in planned]


def notes(options: argparse.Namespace) -> str:
    """Returns what is to be said of the table."""
    text = [
        "",
        f"Each figure is the median of {options.runs} runs, of a million events and more one run.",
        "The start of the process counts, and so does the second for which a claim has to hold",
        "before anything is sent. CPU/100k: seconds of CPU for each 100,000 events. MB: peak",
        "memory in millions of bytes. Ratio: of events a second, to the sequential sender's.",
    ]
    if options.quick:
        text.append(f"The sequential sender had {QUICK_EVENTS:,} events; CPU/100k is scaled up.")
    return "\n".join([*text, ""])


def beside_peers(bench: Bench, runs: int) -> Row:
    """Measures events of the size that other programs had, and shows both."""
    lines = lean_events(EVENTS)
    case = Case("daemon", 100, LATENCY_MS, bench.dataset("bench-lean", lines, 1), runs)
    (row,) = measured_rows(bench, [case])
    figures = {
        "wall": row.median(lambda usage: usage.wall_seconds),
        "cpu": row.median(lambda usage: usage.cpu_seconds),
        "mb": row.median(lambda usage: usage.peak_bytes) / MB,
    }
    show(PEERS.format(bytes=sum(map(len, lines)) // len(lines), **figures))
    return row


def report(bench: Bench, options: argparse.Namespace) -> bool:
    """Measures and prints everything; returns if every event arrived once."""
    rows = measured_rows(bench, list(cases(bench, options)))
    table = [cells(row, rows[0]) for row in rows]
    show(markdown_table(table) if options.markdown else plain_table(table))
    show(notes(options))
    rows.append(beside_peers(bench, options.runs))
    some = bench.dataset("bench-start", audit_events(QUICK_EVENTS), 1)
    starts = [bench.first_put(some) for _ in range(options.runs)]
    wall_seconds = median(start.wall_seconds for start in starts)
    cpu_seconds = median(start.cpu_seconds for start in starts)
    show(f"start to the first put: {wall_seconds:.2f} s, {cpu_seconds:.2f} s of CPU")
    for title, old in (
        (f"{QUIET_KEYS:,} keys in this month's folder", crowded_month(QUIET_KEYS)),
        (f"{QUIET_FOLDERS:,} folders", many_folders(QUIET_FOLDERS)),
    ):
        show(quiet_line(bench.quiet_hour(title, old, options.runs)))
    plans = [bench.plan() for _ in range(options.runs)]
    cpu_seconds = median(plan.cpu_seconds for plan in plans)
    peak_bytes = median(plan.peak_bytes for plan in plans)
    show(f"--plan, empty bucket: {cpu_seconds:.2f} s of CPU, {peak_bytes / MB:.0f} MB")
    tell(f"watching the idle daemon for {IDLE_SECONDS} s")
    idle = bench.idle(IDLE_SECONDS)
    show(f"idle daemon: {idle.cpu_seconds:.2f} s of CPU a minute, {idle.peak_bytes / MB:.0f} MB")
    return all(run.is_once for row in rows for run in row.runs)


def tell(text: str) -> None:
    """Shows how far this is, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """Shows a result."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Runs the bench and returns its exit status: 0 when each event arrived once.

    Args:
        arguments: of the command line, without the program's name.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("FAILED: asked to end by SIGTERM"))
    # Nothing of this machine's set-up for AWS or a proxy has a part in this.
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update(nowhere, NO_PROXY=LOOPBACK, no_proxy=LOOPBACK)
    show(machine())
    try:
        with TemporaryDirectory() as name, SeaweedFS(Path(name)) as lyve_cloud:
            return 0 if report(Bench(lyve_cloud, Path(name)), options) else 1
    except MeasuringError as exc:
        show(f"FAILED: {exc}")
        return 1
    except KeyboardInterrupt:
        show("Interrupted; all that was started has ended.")
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measures the daemon on this machine alone.")
    parser.add_argument("--quick", action="store_true", help="fewer events, no large object")
    parser.add_argument("--runs", type=int, default=3, help="of each case, for the median")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
