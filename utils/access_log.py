"""Reads a line of the newer platform's access log: one request, its fields separated by spaces."""

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from utils.model import OtherFormError, since_1970_ms

# The names and their order: Lyve Cloud Object Storage API User Guide (June 2025), Bucket Logging.
FIELDS = (
    "BucketOwner",
    "Bucket",
    "Ts",
    "RemoteIp",
    "Requester",
    "RequestId",
    "Operation",
    "Key",
    "RequestUri",
    "HttpStatus",
    "ErrorCode",
    "BytesSent",
    "ObjectSize",
    "TotalTime",
    "TurnAroundTime",
    "Referer",
    "UserAgent",
    "VersionId",
    "HostId",
    "SignatureVersion",
    "CipherSuite",
    "Auth",
    "HostHeader",
    "TlsVer",
)
# Clients write these. The guide does not say which are quoted. AWS quotes all but the key, and
# leaves spaces and quotation marks in them as they came:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
_OF_CLIENTS = {"Key", "RequestUri", "Referer", "UserAgent"}
_FORMS = {
    "Key": r'[^\s"]\S*',
    "Ts": r"\[[^\]]*\]",
    "HttpStatus": r"[1-5]\d\d|-",
    **dict.fromkeys(("BytesSent", "ObjectSize", "TotalTime", "TurnAroundTime"), r"\d+|-"),
    "SignatureVersion": r"SigV\w+|-",
    "Auth": "AuthHeader|QueryString|-",
}
_UNQUOTED = r'[^\s"]+'
# A quoted field may end at each quotation mark, and every combination is tried.
_MOST_QUOTATION_MARKS = 48

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS, 1)}
_BEGINNING = re.compile(rb"[^\s\[\"]+ [^\s\[\"]+ \[([^\]\s]{20} [+-]\d{4})\](?: |\Z)")
_TIME = re.compile(
    r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):([0-5]\d|60) ([+-])(\d\d)([0-5]\d)", re.ASCII
)
# An object's requests come from few different seconds.
_KNOWN_TIMES = 4096


class NotAccessError(OtherFormError):
    """The line is not one of an access log."""


def access_time_ms(line: bytes) -> int:
    """Returns when the request was, in ms since 1970: the third field, a time with its offset.

    Nothing behind it is read, so fields of a later version change nothing.

    Args:
        line: one line of an access log's object.

    Raises:
        NotAccessError: it does not begin with an owner, a bucket and a time in brackets.
    """
    beginning = _BEGINNING.match(line)
    time_ms = _bracketed_ms(beginning[1]) if beginning else None
    if time_ms is None:
        raise NotAccessError
    return time_ms


def access_fields(line: bytes) -> tuple[str, ...] | None:
    """Returns the line's fields as they are written, in the order of `FIELDS`.

    What a later version appends is one more field behind them. Joined by spaces, they are the line.
    Whoever sends a request writes parts of its line, quotation marks included. So a line that can
    be read in two ways has no fields: none can be forged.

    Args:
        line: one line of an access log's object.

    Returns:
        None if the line is not of the form, or can be read in more than one way.
    """
    if line.count(b'"') > _MOST_QUOTATION_MARKS:
        return None
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    # Of all readings, the first has the shortest quoted fields, the last the longest.
    first = _SHORTEST.fullmatch(text)
    last = _LONGEST.fullmatch(text) if first else None
    if first is None or last is None or first.regs != last.regs:
        return None
    return tuple(field for field in first.groups() if field is not None)


def field_of(line: bytes, name: str) -> str | None:
    """Returns one field, without its brackets or quotation marks; `-` as it is written.

    Args:
        line: one line of an access log's object.
        name: one of `FIELDS`.

    Returns:
        None where `access_fields` finds none.
    """
    fields = access_fields(line)
    if fields is None:
        return None
    field = fields[FIELDS.index(name)]
    return field[1:-1] if field[:1] in {'"', "["} else field


def _pattern(quoted: str) -> re.Pattern[str]:
    """Returns the form of a line, in which a quoted field is as short or as long as said."""
    forms = ((name, _FORMS.get(name, _UNQUOTED)) for name in FIELDS)
    parts = (f"({quoted}|{form})" if name in _OF_CLIENTS else f"({form})" for name, form in forms)
    return re.compile(" ".join(parts) + "(?: (.*))?", re.ASCII | re.DOTALL)


_SHORTEST = _pattern('".*?"')
_LONGEST = _pattern('".*"')


@lru_cache(_KNOWN_TIMES)
def _bracketed_ms(written: bytes) -> int | None:
    found = _TIME.fullmatch(written.decode("ascii", "replace"))
    if found is None or found[2] not in _MONTH_NUMBERS:
        return None
    day, year, hour, minute, second, hours, minutes = map(int, found.group(1, 3, 4, 5, 6, 8, 9))
    ahead = timedelta(hours=hours, minutes=minutes) * (-1 if found[7] == "-" else 1)
    try:
        zone = timezone(ahead)
        # A leap second is the first one of the next minute, as in POSIX.
        moment = datetime(year, _MONTH_NUMBERS[found[2]], day, hour, minute, tzinfo=zone)
        return since_1970_ms(moment) + 1000 * second
    except (ValueError, OverflowError):
        return None
