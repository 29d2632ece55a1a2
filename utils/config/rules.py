"""What each key of config.json may hold, and what is wrong with a value."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from itertools import chain
from typing import NamedTuple, get_args

import msgspec

from utils.config.settings import LogType
from utils.errors import ForwarderError
from utils.model import Exclusion
from utils.wording import did_you_mean, found, suggestion

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(
    r"(?![0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)
_AROUND_A_BUCKET = re.compile("^s3://|/+$", re.IGNORECASE)
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
_LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
# A lone half of a surrogate pair, which JSON can escape, has no UTF-8.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html
MOST_STREAM_CHARACTERS = 512
_LOG_STREAM = re.compile(rf"[^:*\ud800-\udfff]{{1,{MOST_STREAM_CHARACTERS}}}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Namespace
_NAMESPACE = re.compile(r"(?!AWS/)[A-Za-z0-9._/#-][A-Za-z0-9._/#: -]{0,254}")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MOST_KEY_BYTES = 1024

LOG_TYPES: tuple[str, ...] = get_args(LogType)
_DAY = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_EPOCH = date(1970, 1, 1)
_DAY_MS = 24 * 60 * 60 * 1000
_DATE_FORM = "Write a date as dd/mm/yyyy, with zeros: 05/01/2024 is 5 January 2024"


class Fault(NamedTuple):
    """What is wrong with a value, as the end of a sentence that begins with its key."""

    what: str
    hint: str = ""


Check = Callable[[object], Iterator[Fault]]


class Rule(NamedTuple):
    """What is allowed, in words, and the check of it."""

    allowed: str
    check: Check


def value_problems(where: str, key: str, value: object) -> Iterator[ForwarderError]:
    """Yields what is wrong with the value of a known key.

    Args:
        where: the document and the source, to begin the message with.
        key: one of the keys of `RULES`.
        value: as JSON has it.
    """
    rule = RULES[key]
    for fault in rule.check(value):
        yield ForwarderError(f"{where}: {key} {fault.what}", f"allowed: {rule.allowed}", fault.hint)


def since_ms(mode: str) -> int | None:
    """Returns where coverage begins, in ms since 1970; None for `lasthour`.

    Args:
        mode: a mode in which `RULES` finds no fault.
    """
    return 0 if mode == "all" else day_ms(mode)


def day_ms(written: str | None) -> int | None:
    """Returns the beginning of a written day in UTC, in ms since 1970; None if none is written."""
    day = day_of(written) if written else None
    return (day - _EPOCH).days * _DAY_MS if day else None


def day_of(mode: str) -> date | None:
    """Returns the day that a mode names, None if it names none.

    Args:
        mode: as it is written.
    """
    parts = _DAY.fullmatch(mode)
    if not parts:
        return None
    day, month, year = (int(part) for part in parts.groups())
    try:
        midnight = date(year, month, day)
    except ValueError:
        return None
    return midnight if midnight >= _EPOCH else None


def _text(form: re.Pattern[str]) -> Check:
    def check(value: object) -> Iterator[Fault]:
        if not isinstance(value, str):
            yield Fault(f"is {found(value)}")
        elif not form.fullmatch(value):
            bare = _AROUND_A_BUCKET.sub("", value.strip())
            tidy = value.strip(), value.strip().lower(), bare, bare.lower()
            meant = next(filter(form.fullmatch, tidy), None)
            yield Fault(f"is {found(value)}", did_you_mean(meant, [meant]) if meant else "")

    return check


def _number(kind: type[int] | type[float], lowest: float, highest: float) -> Check:
    def check(value: object) -> Iterator[Fault]:
        if isinstance(value, str):
            yield Fault(f"is {found(value)}", "Write a number, without quotation marks")
        elif (
            isinstance(value, bool)  # which Python takes for an int
            or not isinstance(value, int | kind)
            or not lowest <= value <= highest
        ):
            yield Fault(f"is {found(value)}")

    return check


def _check_log_type(value: object) -> Iterator[Fault]:
    types, verb = (value, "holds") if isinstance(value, list) and value else ([value], "is")
    for index, log_type in enumerate(types):
        if not isinstance(log_type, str):
            yield Fault(f"{verb} {found(log_type)}")
        elif log_type not in LOG_TYPES:
            hint = _several_types(types) or did_you_mean(log_type, LOG_TYPES)
            yield Fault(f"{verb} {found(log_type)}", hint)
        elif types.index(log_type) != index:
            yield Fault(f"holds {found(log_type)} more than once", "Write each type once")


def _several_types(written: list[object]) -> str:
    """Returns a hint at the list of types that stand in one text, or nothing if others do too."""
    words = [re.findall(r"\w+", text) for text in written if isinstance(text, str)]
    by_folded = {log_type.casefold(): log_type for log_type in LOG_TYPES}
    named = [by_folded.get(word.casefold()) for word in chain.from_iterable(words) if word != "and"]
    is_whole = len(words) == len(written) and None not in named
    if not is_whole or max(map(len, words)) <= 1:
        return ""
    return suggestion(json.dumps([*dict.fromkeys(named)]))


def _check_prefix(value: object) -> Iterator[Fault]:
    try:
        is_key = isinstance(value, str) and len(value.encode()) <= _MOST_KEY_BYTES
    except UnicodeEncodeError:
        is_key = False
    if not is_key:
        yield Fault(f"is {found(value)}")
    elif str(value).casefold().startswith("s3://"):
        hint = "Leave out s3:// and the bucket: they are no part of an object's key"
        yield Fault(f"is {found(value)}", hint)


def _check_every(value: object) -> Iterator[Fault]:
    yield from (fault := [*_number(int, 1, 60)(value)])
    if not fault and isinstance(value, int) and 60 % value:
        yield Fault(f"is {found(value)}", "Write a number that divides 60 without a rest")


def _check_metrics(value: object) -> Iterator[Fault]:
    if not isinstance(value, bool):
        yield from _text(_NAMESPACE)(value)


def _check_exclude(value: object) -> Iterator[Fault]:
    try:
        msgspec.convert(value, list[Exclusion])
    except msgspec.ValidationError as exc:
        yield Fault(f"is wrong: {exc}")


def _check_day(value: object) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield Fault(f"is {found(value)}")
    elif not day_of(value):
        yield Fault(f"is {found(value)}", _mode_hint(value) or _DATE_FORM)


def _check_mode(value: object) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield Fault(f"is {found(value)}")
    elif value not in {"all", "lasthour"} and not day_of(value):
        yield Fault(f"is {found(value)}", _mode_hint(value))


def _mode_hint(value: str) -> str:
    if _DAY.fullmatch(value):
        wrong = "01/01/1970 is the first day" if value[-4:] < "1970" else "There is no such day"
        return f"{wrong}. {_DATE_FORM}"
    if any(char.isdigit() for char in value):
        return _DATE_FORM
    return did_you_mean(value, ("all", "lasthour"))


_BUCKET_NAME = Rule(
    "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or a digit at both ends, "
    "no two dots in a row, and not an IP address",
    _text(_BUCKET),
)
NAME = "name"
RULES = {
    "bucket_name": _BUCKET_NAME,
    "output_bucket": _BUCKET_NAME,
    "log_type": Rule('"S3", "IAM", "Console", "Access" or a list of them', _check_log_type),
    "mode": Rule('"all", "lasthour" or a date dd/mm/yyyy such as "05/01/2024"', _check_mode),
    "log_group": Rule(
        "1 to 512 of the letters a to z and A to Z, the digits and . - _ / #", _text(_LOG_GROUP)
    ),
    "log_stream": Rule("1 to 512 characters without : and *", _text(_LOG_STREAM)),
    "batch_size": Rule("a whole number from 1 to 10000", _number(int, 1, 10_000)),
    "concurrency": Rule("a whole number from 1 to 64", _number(int, 1, 64)),
    "settle_seconds": Rule("a number from 0 to 3600", _number(float, 0, 3600)),
    "gap_hours": Rule("a number from 0.001 to 8760", _number(float, 0.001, 8760)),
    "prefix": Rule("0 to 1024 bytes of UTF-8, such as logs/", _check_prefix),
    "until": Rule('a date dd/mm/yyyy such as "05/02/2024"', _check_day),
    "every_minutes": Rule("1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 or 60", _check_every),
    "metrics": Rule(
        "true, false, or 1 to 255 of the letters a to z and A to Z, the digits, spaces and "
        ". - _ / # :, not beginning with AWS/, a space or a colon",
        _check_metrics,
    ),
    "exclude": Rule(
        'a list of objects such as {"field": "auditEntry.api.name", "values": ["HeadObject"]}',
        _check_exclude,
    ),
    NAME: Rule("1 to 64 of the letters a to z and A to Z, the digits and . _ -", _text(_NAME)),
}
REQUIRED = ("bucket_name", "output_bucket", "log_type", "mode", "log_group")
