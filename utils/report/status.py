"""The words of status lines."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from utils.model import Gauge
from utils.wording import pair_value, pairless, printable

_BAR_WIDTH = 20
# The most that a duration can show.
_LONGEST_SECONDS = 10**9

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST_KEY_BYTES = 1024
_HASH_DIGITS = 32
# So much is kept of one that is cut: behind it are a hash and a number of at most 20 digits.
_LEAST_KEPT_BYTES = _LONGEST_KEY_BYTES - _HASH_DIGITS - 32
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
    into the text and the values. A value that could be misread is a JSON string.

    Args:
        now: the time of the line.
        level: INFO, WARN or ERROR.
        text: what happened, and for a failure what to do.
        pairs: figures and names.
    """
    shown = (f"{key}={pair_value(_cut(str(value)))}" for key, value in pairs.items())
    return " ".join([stamp(now), level, pairless(_cut(text)), *shown])


def json_line(now: datetime, level: str, text: str, pairs: Pairs) -> str:
    """Returns the same line as a JSON object, the pairs behind time, level and message.

    Figures stay numbers.
    """
    line = {"time": stamp(now), "level": level, "message": text, **pairs}
    return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def status_key(now: datetime, source: str, unique: str) -> str:
    """Returns the key of an iteration's status object, by when it ended.

    `unique` tells two iterations of one second apart.
    """
    moment = now.astimezone(UTC)
    return f"integration-logs/{moment:%Y/%m/%d}/{moment:%H-%M-%S}-{source}-{unique}.log"


def quarantine_key(source: str, key: str, line_number: int) -> str:
    """Returns the key of an object of quarantined lines, by the number of the first of them.

    A key of the lines' object that is too long for that is cut, and ends in a hash of the whole.
    """
    start, end = f"integration-quarantine/{source}/", f"/{line_number}.jsonl"
    room = _LONGEST_KEY_BYTES - len((start + end).encode())
    if len(key.encode()) > room:
        tail = f"-{hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS]}"
        key = key.encode()[: room - len(tail)].decode(errors="ignore") + tail
    return f"{start}{key}{end}"


def quarantine_prefix(source: str, key: str) -> str:
    """Returns how the keys of all objects begin that may hold quarantined lines of an object."""
    name = f"integration-quarantine/{source}/{key}/"
    return name.encode()[:_LEAST_KEPT_BYTES].decode(errors="ignore")


def stamp(now: datetime) -> str:
    """Returns a time as status lines show it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(since_ms: int, until_ms: int | None) -> str:
    """Returns in words where coverage begins and ends.

    Args:
        since_ms: in ms since 1970; 0 for the mode all.
        until_ms: likewise; None where it does not end.
    """
    end = "" if until_ms is None else f"before {_words(until_ms)}"
    if until_ms is not None and until_ms <= since_ms:
        return f"nothing: it begins on {_words(since_ms)}, and ends {end}"
    if not since_ms:
        return f"everything written {end}" if end else "everything ever written"
    beginning = f"everything written since {_words(since_ms)}"
    return f"{beginning} and {end}" if end else beginning


def _words(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


def progress_text(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns how far an iteration or a comparison is: objects, amounts and the time left."""
    left = "unknown"
    if gauge.share:
        seconds = elapsed_seconds * (1 - gauge.share) / gauge.share
        left = str(timedelta(seconds=min(round(seconds), _LONGEST_SECONDS)))
    objects = f"{gauge.objects:,} of {gauge.objects_total:,} objects"
    text = f"{objects}, {gauge.amounts(elapsed_seconds)}, {left} left"
    trouble = printable(gauge.trouble)
    return f"{text}, nothing gets through now ({trouble})" if trouble else text


def progress_bar(gauge: Gauge, elapsed_seconds: float) -> str:
    """Returns the same as `progress_text` behind a bar."""
    filled = round(gauge.share * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    return f"[{bar}] {progress_text(gauge, elapsed_seconds)}\x1b[K"
