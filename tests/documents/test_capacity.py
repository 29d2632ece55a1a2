"""The figures of documentation/capacity.md follow from its table of the measured speed."""

import math
import re
from pathlib import Path

import pytest

from utils.config.partitions import PARTITIONS
from utils.lines.batching import EVENT_OVERHEAD_BYTES, MAX_BATCH_BYTES
from utils.state.ledger import MAX_RECENT_OBJECTS

DOCUMENT = (Path(__file__).parents[2] / "documentation" / "capacity.md").read_text()
EVENT_BYTES = 1_500
PUTS_A_SECOND = 5_000
TB = 10**12
DAY_SECONDS = 86_400


def measured(events: str, batch: str, column: str) -> float:
    """Returns what the table says of the daemon with one object, at 30 ms."""
    rows = [[cell.strip() for cell in line.split("|")] for line in DOCUMENT.splitlines()]
    (head,) = (row for row in rows if row[1:2] == ["sender"])
    (row,) = (row for row in rows if row[1:7] == ["daemon", batch, "32", "30", "1", events])
    return float(row[head.index(column)].replace(",", ""))


# Of the long run, in which the start is little.
SPEED = measured("4,000,000", "100", "events/s")
CPU_SECONDS = measured("4,000,000", "100", "CPU/100k")
A_DAY = SPEED * EVENT_BYTES * DAY_SECONDS
PUTS = {size: SPEED * measured("100,000", size, "puts") / 100_000 for size in ("100", "1,000")}


def test_what_one_replica_does() -> None:
    figures = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    assert {
        ("events a second", f"{SPEED:,.0f}"),
        ("cores that it keeps busy", f"{SPEED * CPU_SECONDS / 100_000:.2f}"),
        ("events a second on a quarter of a core", f"{25_000 / CPU_SECONDS:,.0f}"),
        ("memory", f"{measured('4,000,000', '100', 'MB'):.0f} MB"),
        ("to CloudWatch", f"{SPEED * (EVENT_BYTES + EVENT_OVERHEAD_BYTES) * 8 / 1e6:.0f} Mbit/s"),
        *((f"requests a second, `batch_size` {size}", f"{PUTS[size]:.0f}") for size in PUTS),
        ("in a day without a rest", f"{A_DAY / TB:.1f} TB"),
    } <= {*figures}


def test_what_a_days_logs_take() -> None:
    loads = [TB, 100 * TB]
    counts = [math.ceil(load / (A_DAY / 2)) for load in loads]
    rows = [
        [
            "events a second, on average",
            *(f"{one / EVENT_BYTES / DAY_SECONDS:,.0f}" for one in loads),
        ],
        ["replicas", *(f"{one}" for one in counts)],
    ]
    for size, puts in PUTS.items():
        at_work = [one * puts for one in counts]
        share = [f"{one:,.0f} ({one / PUTS_A_SECOND:.0%} of the quota)" for one in at_work]
        rows.append([f"requests a second at work, `batch_size` {size}", *share])
    for row in rows:
        assert f"| {' | '.join(row)} |" in DOCUMENT


@pytest.mark.parametrize(
    "said",
    [
        f"above {A_DAY / 2 / TB:.1f} TB a day",
        *(f"with more than {int(PUTS_A_SECOND / puts)} replicas at work" for puts in PUTS.values()),
        f"above {MAX_RECENT_OBJECTS:,} new objects of a type a day, "
        f"{PARTITIONS * MAX_RECENT_OBJECTS:,} with `SHARD`",
        f"above {PARTITIONS * A_DAY / 2 / TB:.0f} TB a day, with {PARTITIONS} replicas",
        f"is {MAX_BATCH_BYTES // (EVENT_BYTES + EVENT_OVERHEAD_BYTES)} events of this size",
        f"takes one replica {10 * TB / EVENT_BYTES / SPEED / 3600:.0f} hours",
        f"and {10 * TB / EVENT_BYTES / PUTS_A_SECOND / 100 / 3600:.1f} hours are the least",
    ],
)
def test_a_limit(said: str) -> None:
    assert said in DOCUMENT
