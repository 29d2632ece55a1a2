"""What a comparison came to: its verdict in words, as a table, as a document, as a status line."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from utils.version import VERSION
from utils.wording import printable

# So much of each kind is in the report.
MOST_LINES = 1_000
MOST_OBJECTS = 1_000
_SHOWN_DIFFERENCES = 3
_SHOWN_LINES = 8
_SHOWN_KEY = 60
_ALWAYS_SHOWN = {"objects", "lines", "found", "missing", "doubled"}
# What is counted, and how the table goes on behind the number.
_FIGURES = {
    "objects": "",
    "lines": "",
    "found": "",
    "missing": "",
    "doubled": " events more than there are lines",
    "foreign": " events that are of no line compared here",
    "quarantined": " lines that CloudWatch can't take, all in the quarantine",
    "blank": "",
    "excluded": "",
    "expired": " lines so old that the log group's retention may have removed them",
    "restamped": " events at the time of their upload, for their age",
    "wrong_time": " events at another time than their own, without need",
    "left_out": " lines that were written or are shipped since the last iteration",
    "damaged": " objects that end early",
    "unreadable": " objects that can't be compared",
}


class Difference(msgspec.Struct, omit_defaults=True):
    """Lines of one object that are missing, or of which there are too many copies.

    `lines` are the numbers of the first of them, from 1, and `count` how many there are. `figures`
    say what became of all lines of the object; `reason` is why it can't be read.
    """

    object: str
    kind: Literal["missing", "doubled", "unreadable"]
    lines: list[int] = []
    count: int = 0
    figures: dict[str, int] = {}
    reason: str = ""


class Audit(msgspec.Struct):
    """What a comparison of one source came to, as its report has it.

    `repaired` is how many logs a repair has sent, None if there was none. `from_day` and `to_day`
    are the days that were asked for, as ISO 8601 has them, and `since` says in words where the
    objects begin. `left_out` are lines that need not be in a log stream yet, `left_out_objects` the
    objects of which there is none. `requests` went to each witness.
    """

    source: str
    repaired: int | None = None
    from_day: str | None = msgspec.field(default=None, name="from")
    to_day: str | None = msgspec.field(default=None, name="to")
    since: str = ""
    began: datetime = datetime.min.replace(tzinfo=UTC)
    ended: datetime = datetime.min.replace(tzinfo=UTC)
    objects: int = 0
    lines: int = 0
    missing: int = 0
    doubled: int = 0
    foreign: int = 0
    quarantined: int = 0
    blank: int = 0
    excluded: int = 0
    expired: int = 0
    restamped: int = 0
    wrong_time: int = 0
    left_out: int = 0
    left_out_objects: int = 0
    damaged: int = 0
    unreadable: int = 0
    differences: list[Difference] = []
    log_streams: list[str] = []
    retention_days: int | None = None
    requests: dict[str, int] = {}
    sha256: str = ""

    @property
    def found(self) -> int:
        """How many lines are in a log stream: what is left of all, less the other figures."""
        others = self.blank + self.excluded + self.quarantined + self.expired
        return self.lines - others - self.missing - self.left_out

    @property
    def is_whole(self) -> bool:
        """Tells if nothing is missing or doubled; what may have expired is neither."""
        return not (self.missing or self.doubled or self.unreadable)


def key_of(audit: Audit) -> str:
    """Returns the key of the report in the output bucket."""
    moment = audit.ended.astimezone(UTC)
    stamp = f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03}Z"
    return f"integration-verify/{audit.source}/{stamp}.json"


def encoded(audit: Audit) -> bytes:
    """Returns the report as a JSON document."""
    listed: Counter[str] = Counter()
    for one in audit.differences:
        listed[one.kind] += one.count
    document = {
        "verdict": verdict(audit),
        "whole": audit.is_whole,
        "version": VERSION,
        **msgspec.to_builtins(audit),
        "found": audit.found,
        "differences_not_listed": {
            kind: getattr(audit, kind) - listed[kind]
            for kind in ("missing", "doubled", "unreadable")
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def figures(audit: Audit) -> dict[str, int]:
    """Returns the figures by their names."""
    return {name: getattr(audit, name) for name in _FIGURES}


def verdict(audit: Audit) -> str:
    """Returns in a sentence or two whether all is there once, and what can't be told any more."""
    if not audit.is_whole:
        return f"Not whole: {' and '.join(_faults(audit))}."
    if not audit.objects:
        return "Nothing to compare: the bucket holds no object of the type in the range."
    expired = f"{audit.expired:,} logs are so old that the retention may have removed them"
    if audit.expired and not audit.found:
        return f"Nothing left to compare: {expired}."
    whole = f"Whole: CloudWatch holds each of {audit.found:,} logs once."
    return f"{whole} Besides, {expired}." if audit.expired else whole


def status(audit: Audit) -> tuple[str, str]:
    """Returns the level and the text of the status line."""
    if audit.is_whole:
        return "INFO", f"Verified {audit.found:,} logs"
    hints = [
        *([". `--repair` sends what is missing"] if audit.missing else []),
        *([". CloudWatch has no call to remove an event"] if audit.doubled else []),
    ]
    return "WARN", " and ".join(_faults(audit)) + "".join(hints)


def _faults(audit: Audit) -> list[str]:
    return [
        *([f"{audit.missing:,} logs are missing"] if audit.missing else []),
        *([f"{audit.doubled:,} logs are stored more than once"] if audit.doubled else []),
        *([f"{audit.unreadable:,} objects can't be compared"] if audit.unreadable else []),
    ]


def rows(audit: Audit) -> Iterator[tuple[str, str]]:
    """Yields the report as rows of a table: what, and how much."""
    yield "compared", _range(audit)
    if audit.repaired is not None:
        yield "repaired", f"{audit.repaired:,} missing logs are sent"
    for name, meaning in _FIGURES.items():
        count = getattr(audit, name)
        if count or name in _ALWAYS_SHOWN:
            yield name.replace("_", " "), f"{count:,}{meaning if count else ''}"
    for one in audit.differences[:_SHOWN_DIFFERENCES]:
        yield one.kind, _in_words(one)
    if len(audit.differences) > _SHOWN_DIFFERENCES:
        yield "", "and more: see the report"
    lyve_cloud, cloudwatch = audit.requests["lyve_cloud"], audit.requests["cloudwatch"]
    yield "requests", f"{lyve_cloud:,} to Lyve Cloud, {cloudwatch:,} to CloudWatch"


def _range(audit: Audit) -> str:
    ended = f"to {audit.to_day}" if audit.to_day else f"up to {audit.began:%Y-%m-%d %H:%M} UTC"
    return f"from {audit.from_day} {ended}" if audit.from_day else f"{audit.since}, {ended}"


def _in_words(one: Difference) -> str:
    key = printable(one.object)
    if len(key) > _SHOWN_KEY:
        key = f"...{key[-_SHOWN_KEY:]}"
    if one.kind == "unreadable":
        return f"{key}: {printable(one.reason)}"
    numbers = ", ".join(str(number) for number in one.lines[:_SHOWN_LINES])
    more = "" if one.count <= _SHOWN_LINES else f" and more, {one.count:,} in all"
    return f"{key}: lines {numbers}{more}"
