"""What a comparison came to: its verdict in words, as a table, as a document, as a status line."""

from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from utils.audit.findings import Difference
from utils.report.metrics import Verified
from utils.version import VERSION
from utils.wording import printable

_SHOWN_DIFFERENCES = 3
_SHOWN_LINES = 8
_SHOWN_KEY = 60
_FIGURES = (
    *("objects", "lines", "found", "missing", "doubled", "foreign", "quarantined", "blank"),
    *("excluded", "expired", "restamped", "wrong_time", "left_out", "damaged", "unreadable"),
)


class Audit(msgspec.Struct):
    """What a comparison of one source came to.

    `repaired` is how many logs a repair has sent, None if there was none. `from_day` and `to_day`
    are the days that were asked for, as ISO 8601 has them. `left_out` are lines that need not be in
    a log stream yet, `left_out_objects` those of which there is none.
    """

    source: str
    repaired: int | None = None
    from_day: str | None = None
    to_day: str | None = None
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
    differences: list[Difference] = msgspec.field(default_factory=list)
    log_streams: list[str] = msgspec.field(default_factory=list)
    retention_days: int | None = None
    lyve_requests: int = 0
    cloudwatch_requests: int = 0
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

    @property
    def metrics(self) -> Verified:
        """The figures that are watched."""
        return Verified(
            verified=self.found,
            missing=self.missing,
            doubled=self.doubled,
            foreign=self.foreign,
            expired=self.expired,
            unreadable=self.unreadable,
            differences=self.missing + self.doubled,
        )


def key_of(audit: Audit) -> str:
    """Returns the key of the report in the output bucket."""
    moment = audit.ended.astimezone(UTC)
    stamp = f"{moment:%Y-%m-%dT%H-%M-%S}.{moment.microsecond // 1000:03}Z"
    return f"integration-verify/{audit.source}/{stamp}.json"


def encoded(audit: Audit) -> bytes:
    """Returns the report as a JSON document."""
    listed = {"missing": 0, "doubled": 0, "unreadable": 0}
    for one in audit.differences:
        listed[one.kind] += 1 if one.kind == "unreadable" else one.count
    document = {
        "source": audit.source,
        "verdict": verdict(audit),
        "whole": audit.is_whole,
        "repaired": audit.repaired,
        "from": audit.from_day,
        "to": audit.to_day,
        "began": audit.began,
        "ended": audit.ended,
        **figures(audit),
        "left_out_objects": audit.left_out_objects,
        "differences": audit.differences,
        "differences_not_listed": {
            kind: getattr(audit, kind) - count for kind, count in listed.items()
        },
        "log_streams": audit.log_streams,
        "retention_days": audit.retention_days,
        "requests": {"lyve_cloud": audit.lyve_requests, "cloudwatch": audit.cloudwatch_requests},
        "sha256": audit.sha256,
        "version": VERSION,
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
    for name in _FIGURES:
        count = getattr(audit, name)
        if count or name in {"objects", "lines", "found", "missing", "doubled"}:
            yield name.replace("_", " "), f"{count:,}{_MEANING.get(name, '') if count else ''}"
    for one in audit.differences[:_SHOWN_DIFFERENCES]:
        yield one.kind, _in_words(one)
    if len(audit.differences) > _SHOWN_DIFFERENCES:
        yield "", "and more: see the report"
    requests = f"{audit.lyve_requests:,} to Lyve Cloud, {audit.cloudwatch_requests:,} to CloudWatch"
    yield "requests", requests


_MEANING = {
    "doubled": " events more than there are lines",
    "foreign": " events that are of no line compared here",
    "quarantined": " lines that CloudWatch can't take, all in the quarantine",
    "expired": " lines so old that the log group's retention may have removed them",
    "restamped": " events at the time of their upload, for their age",
    "wrong_time": " events at another time than their own, without need",
    "left_out": " lines that were written or are shipped since the last iteration",
    "damaged": " objects that end early",
    "unreadable": " objects that can't be compared",
}


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
