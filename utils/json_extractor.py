"""Finds an event's own time in its JSON line."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import msgspec
from dateutil import parser as dateutil_parser

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Go's time.String(): "2021-01-25 09:22:30.1 +0000 UTC", at times with " m=+0.1" behind it.
_GO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d{1,9})? ([+-]\d{4})(?: [A-Z]{3,4})?(?: m=.*)?"
)
_DATE_PARTS = (datetime(1, 1, 1, tzinfo=UTC), datetime(2, 2, 2, tzinfo=UTC))


class _AuditEntry(msgspec.Struct, gc=False):
    time: str | None = None


class _ConsoleEvent(msgspec.Struct, gc=False, rename="pascal"):
    event_time: str | None = None


class _Content(msgspec.Struct, gc=False):
    date: str | None = None


class _Event(msgspec.Struct, gc=False):
    audit_entry: _AuditEntry | None = msgspec.field(default=None, name="auditEntry")
    console_event: _ConsoleEvent | None = msgspec.field(default=None, name="ConsoleEvent")
    login_time: str | None = msgspec.field(default=None, name="LoginTime")
    date: str | None = None
    content: _Content | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class NotJsonError(ValueError):
    """The line is not a JSON document."""


def event_time_ms(line: bytes) -> int | None:
    """Returns the time that the event names, in ms since 1970, or None if it names none.

    The fields are those of Lyve Cloud's S3, Console and IAM audit logs.

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
        return timestamp_ms(event.audit_entry.time)
    return _first_time(_other_times(event))


def timestamp_ms(text: str) -> int | None:
    """Returns a written time in ms since 1970, cut off, or None if it is not a whole one.

    Args:
        text: RFC 3339, Go's `time.String()` or another form that names year, month, day and time;
            UTC where it names no zone.
    """
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _from_other_form(text)
    if moment is None:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def _other_times(event: _Event) -> list[str | None]:
    return [
        event.console_event.event_time if event.console_event else None,
        event.date,
        event.content.date if event.content else None,
        event.login_time,
    ]


def _first_time(texts: list[str | None]) -> int | None:
    times = (timestamp_ms(text) for text in texts if text)
    return next((time for time in times if time is not None), None)


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
        _member(document, "LoginTime"),
    ]
    return _first_time([text for text in candidates if isinstance(text, str)])


def _member(document: object, name: str) -> object:
    return document.get(name) if isinstance(document, dict) else None


def _from_other_form(text: str) -> datetime | None:
    go_time = _GO_TIME.fullmatch(text)
    if go_time:
        day, clock, fraction, offset = go_time.groups()
        text = f"{day}T{clock}{fraction or ''}{offset}"
    try:
        # What dateutil does not find it takes from the default: two defaults show if it did.
        first, second = (
            dateutil_parser.parse(text, default=default, tzinfos=_zone) for default in _DATE_PARTS
        )
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        return None
    return first if first == second else None


def _zone(name: str | None, offset_seconds: int | None) -> tzinfo | None:
    """Takes no zone by its name: many share one."""
    if offset_seconds is not None:
        return timezone(timedelta(seconds=offset_seconds))
    if name not in {None, "UTC", "GMT", "Z"}:
        raise ValueError(name)
    return UTC
