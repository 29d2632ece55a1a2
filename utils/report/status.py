"""The words of status lines."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from utils.model import Counts, Gauge

_BAR_WIDTH = 20
# The most that a duration can show.
_LONGEST_SECONDS = 10**9

Pairs = Mapping[str, object]


class Seconds(float):
    """A duration, which a status line shows with its unit."""

    def __str__(self) -> str:
        return f"{self:.1f}s"


def status_line(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Returns one status line: `<ISO time> <level> <text> key=value ...`.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures and names; a value with white space is put in quotes.
    """
    words = [stamp(now), level, text, *(f"{key}={_value(value)}" for key, value in pairs.items())]
    return " ".join(" ".join(words).splitlines())


def json_line(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Returns one status line as a JSON object, the pairs behind time, level and message.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures, which stay numbers, and names.
    """
    return json.dumps({"time": stamp(now), "level": level, "message": text, **pairs}, default=str)


def count_pairs(counts: Counts) -> dict[str, object]:
    """Returns the counts as pairs of a status line."""
    return {name: getattr(counts, name) for name in counts.__struct_fields__}


def status_key(now: datetime, source: str, unique: str) -> str:
    """Returns the key of an iteration's status object.

    Args:
        now: when the iteration ended.
        source: the source's name.
        unique: tells two iterations of one second apart.
    """
    moment = now.astimezone(UTC)
    return f"integration-logs/{moment:%Y/%m/%d}/{moment:%H-%M-%S}-{source}-{unique}.log"


def stamp(now: datetime) -> str:
    """Returns a time as status lines show it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _value(value: object) -> str:
    text = str(value)
    return f'"{text}"' if any(char.isspace() for char in text) else text


def progress_text(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns how far an iteration is: objects, events, rate and the time left.

    Args:
        gauge: the iteration's.
        elapsed_seconds: since it began.
    """
    rate = gauge.events / elapsed_seconds if elapsed_seconds else 0.0
    left = "unknown"
    if gauge.bytes:
        seconds = elapsed_seconds * max(0, gauge.bytes_total - gauge.bytes) / gauge.bytes
        left = str(timedelta(seconds=min(round(seconds), _LONGEST_SECONDS)))
    objects = f"{gauge.objects:,} of {gauge.objects_total:,} objects"
    text = f"{objects}, {gauge.events:,} events, {rate:,.0f} events/s, {left} left"
    return f"{text}, nothing gets through now ({gauge.trouble})" if gauge.trouble else text


def progress_bar(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns the same as `progress_text` behind a bar.

    Args:
        gauge: the iteration's.
        elapsed_seconds: since it began.
    """
    share = min(1.0, gauge.bytes / gauge.bytes_total) if gauge.bytes_total else 0.0
    filled = round(share * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    return f"[{bar}] {progress_text(gauge, elapsed_seconds)}\x1b[K"
