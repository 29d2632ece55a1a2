"""The words of status lines."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from utils.model import Counts, Gauge
from utils.wording import pair_value, pairless, printable

_BAR_WIDTH = 20
# The most that a duration can show.
_LONGEST_SECONDS = 10**9

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST_KEY_BYTES = 1024
_HASH_DIGITS = 32
_MOST_NUMBER_DIGITS = 20
# A server's own text may have any length, and lines are held until the iteration ends.
_LONGEST_TEXT = 4000

Pairs = Mapping[str, object]


class Seconds(float):
    """A duration, which a status line shows with its unit."""

    def __str__(self) -> str:
        return f"{self:.1f}s"


def status_line(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Returns one status line: `<ISO time> <level> <text> key=value ...`.

    It is one line, safe to show on a terminal, and has only the given pairs, whatever others wrote
    into the text and the values.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures and names; a value that could be misread is a JSON string.
    """
    shown = (f"{key}={pair_value(_cut(str(value)))}" for key, value in pairs.items())
    return " ".join([stamp(now), level, pairless(_cut(text)), *shown])


def json_line(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Returns one status line as a JSON object, the pairs behind time, level and message.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures, which stay numbers, and names.
    """
    line = {"time": stamp(now), "level": level, "message": text, **pairs}
    return json.dumps(line, default=str).replace("\x7f", "\\u007f")


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


def quarantine_key(source: str, key: str, line_number: int) -> str:
    """Returns the key of an object of quarantined lines.

    Args:
        source: the source's name.
        key: of the object that holds the lines. One too long for that is cut, and ends in a hash of
            the whole.
        line_number: of the first of them, from 1.
    """
    start, end = f"integration-quarantine/{source}/", f"/{line_number}.jsonl"
    room = _LONGEST_KEY_BYTES - len((start + end).encode())
    if len(key.encode()) > room:
        tail = f"-{hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS]}"
        key = key.encode()[: room - len(tail)].decode(errors="ignore") + tail
    return f"{start}{key}{end}"


def quarantine_prefix(source: str, key: str) -> str:
    """Returns how the keys of all objects begin that may hold quarantined lines of an object.

    Args:
        source: the source's name.
        key: of the object that holds the lines.
    """
    name = quarantine_key(source, key, 10**_MOST_NUMBER_DIGITS).rpartition("/")[0]
    if name.endswith(f"/{key}"):
        return f"{name}/"
    # Of one that is cut, where it is cut depends on the number.
    return name[: -_HASH_DIGITS - 1]


def stamp(now: datetime) -> str:
    """Returns a time as status lines show it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def progress_text(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns how far an iteration or a comparison is: objects, amounts and the time left.

    Args:
        gauge: of it.
        elapsed_seconds: since it began.
    """
    left = "unknown"
    if gauge.share:
        seconds = elapsed_seconds * (1 - gauge.share) / gauge.share
        left = str(timedelta(seconds=min(round(seconds), _LONGEST_SECONDS)))
    objects = f"{gauge.objects:,} of {gauge.objects_total:,} objects"
    text = f"{objects}, {gauge.amounts(elapsed_seconds)}, {left} left"
    trouble = printable(gauge.trouble)
    return f"{text}, nothing gets through now ({trouble})" if trouble else text


def progress_bar(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns the same as `progress_text` behind a bar.

    Args:
        gauge: of it.
        elapsed_seconds: since it began.
    """
    filled = round(gauge.share * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    return f"[{bar}] {progress_text(gauge, elapsed_seconds)}\x1b[K"
