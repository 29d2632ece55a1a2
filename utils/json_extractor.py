"""Finds an event's own time in its JSON line."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TypeGuard

import msgspec
from dateutil import parser as dateutil_parser

from utils.model import OtherFormError, since_1970_ms

# Go's time.String(): "2021-01-25 09:22:30.1 +0000 UTC", at times with " m=+0.1" behind it.
_GO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{1,9})? ([+-]\d{4})(?: [A-Z]{3,4})?(?: m=.*)?"
)
# Epoch time: ten digits of seconds or thirteen of milliseconds, which is from 2001 to 2286. Other
# numbers are dates in digits, durations or counts.
_EPOCH_TIME = re.compile(r"([1-9]\d{9})(?:\.(\d+))?|([1-9]\d{12})(?:\.\d+)?", re.ASCII)
# What ISO 8601 has beyond Python: a leap second, and midnight as the end of its day.
_CLOCK = re.compile(r"(?<![\d:+-])(\d\d):(\d\d):(\d\d)(?![\d:])", re.ASCII)
# dateutil takes seconds for a text of a megabyte. Go's longest form has 64 characters.
_LONGEST_TIME = 64
_NO_FRACTION = re.compile(r"(?![.,])|[.,]0+(?!\d)", re.ASCII)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_DATE_PARTS = (datetime(1, 1, 1, tzinfo=UTC), datetime(2, 2, 2, tzinfo=UTC))

_Time = str | int | float | None


class _AuditEntry(msgspec.Struct, gc=False):
    # Nearly all lines have a text here; one with a number takes the slower way of an odd event.
    time: str | None = None


class _ConsoleEvent(msgspec.Struct, gc=False, rename="pascal"):
    event_time: _Time = None


class _Content(msgspec.Struct, gc=False):
    date: _Time = None


class _Event(msgspec.Struct, gc=False):
    audit_entry: _AuditEntry | None = msgspec.field(default=None, name="auditEntry")
    console_event: _ConsoleEvent | None = msgspec.field(default=None, name="ConsoleEvent")
    login_time: _Time = msgspec.field(default=None, name="LoginTime")
    date: _Time = None
    time: _Time = None
    content: _Content | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class NotJsonError(OtherFormError):
    """The line is not a JSON document."""


def event_time_ms(line: bytes) -> int | None:
    """Returns the time that the event names, in ms since 1970, or None if it names none.

    The fields are those of Lyve Cloud's S3, Console and IAM audit logs, and `time` as most other
    programs write it. The first that holds a time counts.

    Args:
        line: one line of an audit-log object.

    Raises:
        NotJsonError: the line is not JSON.
    """
    try:
        event = _decode_event(line)
    except msgspec.ValidationError:
        return _time_of_odd_event(_decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise NotJsonError from exc
    if event.audit_entry and event.audit_entry.time:
        own_ms = timestamp_ms(event.audit_entry.time)
        if own_ms is not None:
            return own_ms
    return _first_time(_other_times(event))


def timestamp_ms(text: str) -> int | None:
    """Returns a written time in ms since 1970, cut off, or None if it is not a whole one.

    A leap second, `23:59:60`, is the first second of the next minute, as in POSIX; `24:00:00` is
    the next day's midnight.

    Args:
        text: RFC 3339, Go's `time.String()`, epoch seconds or milliseconds, or another form that
            names year, month, day and time; UTC where it names no zone.
    """
    if len(text) > _LONGEST_TIME:
        return None
    # Before Python's own parser, which reads some of them as a date without separators.
    epoch_ms = None if text[4:5] == "-" else _epoch_ms(text)
    if epoch_ms is not None:
        return epoch_ms
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _from_other_form(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return since_1970_ms(moment)


def _epoch_ms(text: str) -> int | None:
    found = _EPOCH_TIME.fullmatch(text)
    if found is None:
        return None
    seconds, fraction, milliseconds = found.groups()
    return int(milliseconds or seconds + (fraction or "").ljust(3, "0")[:3])


def _without_surplus(text: str) -> tuple[str, timedelta]:
    """Returns a time that Python can read, and how much later the meant one is."""
    clock = _CLOCK.search(text)
    if clock is None:
        return text, timedelta()
    hour, minute, second = clock.groups()
    before, behind = text[: clock.start()], text[clock.end() :]
    if second == "60":
        return f"{before}{hour}:{minute}:59{behind}", _SECOND
    if (hour, minute, second) == ("24", "00", "00") and _NO_FRACTION.match(behind):
        return f"{before}00:00:00{behind}", _DAY
    return text, timedelta()


def _other_times(event: _Event) -> list[_Time]:
    return [
        event.console_event.event_time if event.console_event else None,
        event.date,
        event.content.date if event.content else None,
        event.time,
        event.login_time,
    ]


def _first_time(values: Iterable[_Time]) -> int | None:
    times = (_time_ms(value) for value in values if value)
    return next((time for time in times if time is not None), None)


def _time_ms(value: str | float) -> int | None:
    return timestamp_ms(value) if isinstance(value, str) else _epoch_ms(repr(value))


def _decode(line: bytes) -> object:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise NotJsonError from exc


def _time_of_odd_event(document: object) -> int | None:
    """Looks field by field, for a document in which one of the fields has another type."""
    entry = _member(document, "auditEntry")
    candidates = [
        _member(entry, "time"),
        _member(_member(document, "ConsoleEvent"), "EventTime"),
        _member(document, "date"),
        _member(_member(document, "content"), "date"),
        _member(document, "time"),
        _member(document, "LoginTime"),
    ]
    return _first_time(value for value in candidates if _is_time(value))


def _is_time(value: object) -> TypeGuard[str | int | float]:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _member(document: object, name: str) -> object:
    return document.get(name) if isinstance(document, dict) else None


def _from_other_form(text: str) -> datetime | None:
    text, later = _without_surplus(text)
    go_time = _GO_TIME.fullmatch(text)
    if go_time:
        day, clock, fraction, offset = go_time.groups()
        text = f"{day}T{clock}{fraction or ''}{offset}"
    try:
        # dateutil takes what it does not find from the default: with two defaults, that shows.
        first, second = (
            dateutil_parser.parse(text, default=default, tzinfos=_zone) for default in _DATE_PARTS
        )
        return first + later if first == second else None
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        return None


def _zone(name: str | None, offset_seconds: int | None) -> tzinfo | None:
    """Knows no zone by its name: several zones share one."""
    if offset_seconds is not None:
        return timezone(timedelta(seconds=offset_seconds))
    if name not in {None, "UTC", "GMT", "Z"}:
        raise ValueError(name)
    return UTC
