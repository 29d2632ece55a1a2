"""Writes the computed parts of documentation/capacity.md, from its table of the measured speed.

.venv/bin/python -m tests.bench.capacity_document
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench.capacity import (
    DAY_SECONDS,
    EVENT_BYTES,
    GB,
    MEMORY_LIMIT_BYTES,
    PUTS_A_SECOND,
    SHARE_AT_WORK,
    STREAMS_A_SECOND,
    TB,
    TYPES,
    Replica,
    busiest,
    puts_a_second_on_average,
    read_back_seconds,
    simulated,
)
from utils.config.partitions import PARTITIONS
from utils.state.ledger import MAX_RECENT_OBJECTS

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "documentation" / "capacity.md"

SMALL, LARGE = 100, 1_000
LOADS = (TB, 100 * TB)
BACKFILL_BYTES = 10 * TB
BACKFILL_REPLICAS = (1, 5, 10, 20, 50)
SIMULATED_REPLICAS = (1, 5, 13, 20, 50)
SIMULATED_SECONDS = 180
OBJECTS_EACH = (10, 100, 1_000)
# A third party's figures for us-east-1.
STANDARD_DOLLARS = 0.50
INFREQUENT_DOLLARS = 0.25
DAYS_A_MONTH = 30

Row = Mapping[str, str]


def speed_row(text: str, events: str, batch_size: int) -> Row:
    """Returns the row of the table of speed for the daemon with one object, at 30 ms."""
    wanted = {
        "sender": "daemon",
        "batch": f"{batch_size:,}",
        "ms": "30",
        "objects": "1",
        "events": events,
    }
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    (head,) = (line for line in lines if line[1:2] == ["sender"])
    rows = (dict(zip(head, line, strict=False)) for line in lines)
    return next(row for row in rows if {name: row.get(name) for name in wanted} == wanted)


def number(text: str) -> float:
    """Returns a number that is written with commas."""
    return float(text.replace(",", ""))


def measured(text: str) -> Replica:
    """Returns what the table says of one replica: of its long run, in which the start is little.

    Args:
        text: the document.
    """
    long_run = speed_row(text, "4,000,000", SMALL)
    short = {size: speed_row(text, "100,000", size) for size in (SMALL, LARGE)}
    events_a_put = {
        size: number(row["events"]) / number(row["puts"]) for size, row in short.items()
    }
    memory_bytes = number(long_run["MB"]) * 10**6
    speed, cpu_seconds = number(long_run["events/s"]), number(long_run["CPU/100k"])
    return Replica(speed, cpu_seconds, memory_bytes, events_a_put)


def table(*rows: tuple[str, ...]) -> str:
    """Returns rows as a table, the first one as its head."""
    head, *rest = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *rest])


def dollars(bytes_: float, dollars_a_gb: float) -> str:
    """Returns what ingestion costs."""
    return f"${bytes_ / GB * dollars_a_gb:,.0f}"


def one_replica(one: Replica) -> str:
    """Returns the table of one replica."""
    return table(
        ("one replica at work", "figure"),
        ("events a second", f"{one.events_a_second:,.0f}"),
        ("CPU for 100,000 events", f"{one.cpu_seconds:.2f} s"),
        ("cores that it keeps busy", f"{one.cores:.2f}"),
        ("events a second on a quarter of a core", f"{0.25 / one.cpu_seconds * 100_000:,.0f}"),
        ("memory", f"{one.memory_bytes / 10**6:.0f} MB"),
        ("to CloudWatch", f"{one.bits_a_second / 10**6:,.0f} Mbit/s"),
        ("requests a second, `batch_size` 100", f"{one.puts_a_second(SMALL):,.0f}"),
        ("requests a second, `batch_size` 1,000", f"{one.puts_a_second(LARGE):,.0f}"),
        ("in a day without a rest", f"{one.bytes_a_day / TB:.1f} TB"),
        ("in a day, half of each hour at work", f"{SHARE_AT_WORK * one.bytes_a_day / TB:.1f} TB"),
    )


def loads(one: Replica) -> str:
    """Returns the table of what so much a day takes."""
    counts = [one.replicas_for(load) for load in LOADS]

    def row(name: str, value: Callable[[float, int], str]) -> tuple[str, ...]:
        return (name, *(value(load, count) for load, count in zip(LOADS, counts, strict=True)))

    def average(load: float, size: int) -> str:
        return f"{puts_a_second_on_average(load, one.events_a_put[size]):,.0f}"

    def at_work(count: int, size: int) -> str:
        puts = count * one.puts_a_second(size)
        return f"{puts:,.0f} ({puts / PUTS_A_SECOND:.0%} of the quota)"

    def price(load: float, dollars_a_gb: float) -> str:
        a_month = dollars(DAYS_A_MONTH * load, dollars_a_gb)
        return f"{dollars(load, dollars_a_gb)} a day, {a_month} a month"

    return table(
        ("", *(f"{load / TB:.0f} TB a day" for load in LOADS)),
        row(
            "events a second, on average",
            lambda load, _: f"{load / EVENT_BYTES / DAY_SECONDS:,.0f}",
        ),
        row("replicas", lambda _, count: f"{count}"),
        row("cores busy, while at work", lambda _, count: f"{count * one.cores:.1f}"),
        row("memory in use", lambda _, count: f"{count * one.memory_bytes / GB:.1f} GB"),
        row("memory, by the limits", lambda _, count: f"{count * MEMORY_LIMIT_BYTES / GB:.1f} GB"),
        row(
            "network, while at work",
            lambda _, count: f"{count * one.bits_a_second / GB:.1f} Gbit/s",
        ),
        row("requests a second on average, `batch_size` 100", lambda load, _: average(load, SMALL)),
        row("requests a second at work, `batch_size` 100", lambda _, count: at_work(count, SMALL)),
        row(
            "requests a second on average, `batch_size` 1,000", lambda load, _: average(load, LARGE)
        ),
        row(
            "requests a second at work, `batch_size` 1,000", lambda _, count: at_work(count, LARGE)
        ),
        row("ingestion, Standard", lambda load, _: price(load, STANDARD_DOLLARS)),
        row(
            "ingestion, Infrequent Access (no dashboards, delivery at least once)",
            lambda load, _: price(load, INFREQUENT_DOLLARS),
        ),
    )


def limits(one: Replica) -> str:
    """Returns the table of what gives way, in the order in which it does."""
    count = one.replicas_for(LOADS[-1])
    streams = PARTITIONS * TYPES
    return table(
        ("", "gives way", "then"),
        (
            "one replica's speed",
            f"above {SHARE_AT_WORK * one.bytes_a_day / TB:.1f} TB a day",
            "more replicas",
        ),
        (
            "the quota of puts, `batch_size` 100",
            f"with more than {one.most_within_quota(SMALL)} replicas at work at once",
            "`batch_size` 1,000",
        ),
        (
            "objects that a checkpoint remembers",
            f"above {MAX_RECENT_OBJECTS:,} new objects of a type a day, "
            f"{PARTITIONS * MAX_RECENT_OBJECTS:,} with `SHARD`",
            "`SHARD`, `1/1` will do; else the late window is shorter, and a WARN line says so",
        ),
        (
            "the partitions of a source",
            f"above {PARTITIONS * SHARE_AT_WORK * one.bytes_a_day / TB:.0f} TB a day, "
            f"with {PARTITIONS} replicas",
            "split the source: several audit buckets, each a source with replicas of its own",
        ),
        (
            "the quota of puts, `batch_size` 1,000",
            f"with more than {one.most_within_quota(LARGE)} replicas at work at once",
            "a higher quota, or another account or region for some of the sources",
        ),
        (
            f"the quota of `CreateLogStream`, {STREAMS_A_SECOND} a second",
            f"{streams} at the round hour with all partitions of {TYPES} types: "
            f"{streams / STREAMS_A_SECOND:.1f} s",
            "nothing: it is tried again",
        ),
        (
            "the quota of `GetLogEvents`, 25 a second",
            f"if all {count} replicas are killed at once: {read_back_seconds(count):,.0f} s, "
            f"against {read_back_seconds(1):,.0f} s for one",
            "nothing: it delays the next iteration",
        ),
    )


def backfill(one: Replica) -> str:
    """Returns the table of how long much takes that is there already."""

    def hours(replicas: int, size: int) -> str:
        return f"{one.backfill_seconds(BACKFILL_BYTES, replicas, size) / 3600:.1f} h"

    rows = [(f"{one_}", hours(one_, SMALL), hours(one_, LARGE)) for one_ in BACKFILL_REPLICAS]
    return table(("replicas", "`batch_size` 100", "`batch_size` 1,000"), *rows)


def simulation(one: Replica) -> str:
    """Returns the table of what the simulation shows."""
    rows = []
    for count in SIMULATED_REPLICAS:
        settings, result = simulated(one.puts_a_second(SMALL), count, SIMULATED_SECONDS)
        rows.append(
            (
                f"{count}",
                f"{count * settings.most_a_second / PUTS_A_SECOND:.1f}",
                f"{result.throttled / result.puts:.2f}",
                f"{result.goodput / min(PUTS_A_SECOND, count * settings.most_a_second):.1%}",
                f"{result.unfairness:.2f}",
                f"{result.seconds / settings.ideal_seconds - 1:.1%}",
            )
        )
    head = ("replicas", "asked for / quota", "refused / stored", "stored / possible")
    return table((*head, "most / least of a replica", "longer than ideal"), *rows)


def shares(_: Replica) -> str:
    """Returns the table of how evenly the objects are shared."""
    counts = (3, 5, PARTITIONS)
    head = ("objects a replica", *(f"{count} replicas" for count in counts))
    rows = [
        (f"{each:,}", *(f"{busiest(count, each) - 1:.0%}" for count in counts))
        for each in OBJECTS_EACH
    ]
    return table(head, *rows)


def backfill_account(one: Replica) -> str:
    """Returns what a backfill takes whatever the number of replicas."""
    days = math.ceil(one.backfill_seconds(BACKFILL_BYTES, 1, SMALL) / DAY_SECONDS)
    standard = dollars(BACKFILL_BYTES, STANDARD_DOLLARS)
    infrequent = dollars(BACKFILL_BYTES, INFREQUENT_DOLLARS)
    text = f"One replica is done within {days} days. Ingestion costs {standard}"
    return f"{text} (Infrequent Access: {infrequent}), however many replicas there are."


PARTS: dict[str, Callable[[Replica], str]] = {
    "one-replica": one_replica,
    "loads": loads,
    "limits": limits,
    "shares": shares,
    "simulation": simulation,
    "backfill": backfill,
    "backfill-account": backfill_account,
}


def computed(document: str, one: Replica) -> str:
    """Returns the document with its computed parts as they are to be."""

    def part(found: re.Match[str]) -> str:
        return f"<!-- computed: {found[1]} -->\n{PARTS[found[1]](one)}\n<!-- end -->"

    pattern = r"<!-- computed: ([\w-]+) -->\n.*?<!-- end -->"
    return re.sub(pattern, part, document, flags=re.DOTALL)


def main() -> None:
    """Writes the document."""
    document = DOCUMENT.read_text()
    DOCUMENT.write_text(computed(document, measured(document)))


if __name__ == "__main__":
    main()
