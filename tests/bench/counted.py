"""Ways to count events in plain Python, for what the dashboards are to show."""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.standin.stored_event import StoredEvent
from utils.json_extractor import event_time_ms

HOUR_MS = 3_600_000
# What an empty cell says.
NOTHING = "(none)"
Row = tuple[Any, ...]
# The order in which an access log's line has its fields.
ACCESS = (
    *("owner", "bucket", "time", "address", "requester", "request", "operation", "key", "uri"),
    *("status", "error", "sent", "size", "took_ms", "turnaround_ms", "referer", "program"),
    *("version", "host", "signature", "cipher", "auth", "header", "tls"),
)


class Event(NamedTuple):
    """A stored event with its document."""

    stored: StoredEvent
    document: dict[str, Any]

    @property
    def hour_ms(self) -> int:
        """The beginning of the hour at which it is stored."""
        return self.stored.timestamp_ms - self.stored.timestamp_ms % HOUR_MS

    @property
    def entry(self) -> dict[str, Any]:
        """What an S3 event has below `auditEntry`."""
        entry: dict[str, Any] = self.document["auditEntry"]
        return entry

    @property
    def api(self) -> dict[str, Any]:
        """What an S3 event has below `auditEntry.api`."""
        api: dict[str, Any] = self.entry["api"]
        return api

    @property
    def account(self) -> str:
        """The service account of an S3 event."""
        return str(self.document.get("serviceAccountName") or NOTHING)

    @property
    def address(self) -> str:
        """The client's address of an S3 event."""
        forwarded: str | None = self.entry["requestHeader"].get("X-Forwarded-For")
        return forwarded.split(",")[0] if forwarded else NOTHING

    @property
    def time_ms(self) -> int | None:
        """Its own time."""
        if self.access:
            moment = datetime.strptime(self.access["time"], "%d/%b/%Y:%H:%M:%S %z")
            return int(moment.timestamp()) * 1000
        return event_time_ms(self.stored.message.encode())

    @property
    def access_time(self) -> str:
        """The own time of an access log's line, in the form that can be sorted."""
        moment = datetime.strptime(self.access["time"], "%d/%b/%Y:%H:%M:%S %z")
        return f"{moment:%Y-%m-%d %H:%M:%S %z}"

    @property
    def access(self) -> dict[str, str]:
        """The fields of an access log's line; none for another event."""
        access: dict[str, str] = self.document.get("access", {})
        return access


def events_of(stored: Iterable[StoredEvent]) -> list[Event]:
    """Returns the events that are JSON or of an access log, with their documents."""
    return [
        Event(one, json.loads(one.message) if one.message.startswith("{") else _access(one.message))
        for one in stored
        if one.message.startswith("{") or " [" in one.message
    ]


def _access(message: str) -> dict[str, dict[str, str]]:
    """Cuts a line at its quotation marks: of the sample's, only those of programs hold some."""
    before, uri, answer, referer, _, *program, behind = message.split('"')
    values = [*re.split(r" \[|\] | ", before.strip(), maxsplit=8), uri, *answer.split(), referer]
    values = [*values[:2], f"{values[2]} {values[3]}", *values[4:]]
    return {"access": dict(zip(ACCESS, [*values, '"'.join(program), *behind.split()], strict=True))}


def of_s3(events: Iterable[Event], *operations: str) -> list[Event]:
    """Returns the S3 requests, of some operations or of all."""
    found = [one for one in events if "auditEntry" in one.document]
    return [one for one in found if not operations or one.api["name"] in operations]


def of_access(events: Iterable[Event], *operations: str) -> list[Event]:
    """Returns the requests of access logs, of some operations or of all."""
    found = [one for one in events if one.access]
    return [
        one
        for one in found
        if not operations or one.access["operation"].removeprefix("s3.") in operations
    ]


def of_iam(events: Iterable[Event]) -> list[Event]:
    """Returns the IAM events."""
    return [one for one in events if "user_name" in one.document]


def of_console(events: Iterable[Event]) -> list[Event]:
    """Returns the console events."""
    return [one for one in events if "ConsoleEvent" in one.document]


def failed(events: Iterable[Event]) -> list[Event]:
    """Returns the S3 requests that failed."""
    return [one for one in of_s3(events) if one.api["statusCode"] >= 400]


def denied(events: Iterable[Event]) -> list[Event]:
    """Returns the S3 requests that were refused."""
    return [one for one in of_s3(events) if one.api["statusCode"] == 403]


def failed_logins(events: Iterable[Event]) -> list[Event]:
    """Returns the IAM events of sign-ins that failed."""
    codes = {"fp", "fu", "limit_wc"}
    return [one for one in of_iam(events) if one.document["type"] in codes]


def action(one: Event) -> dict[str, Any]:
    """Returns what a console event has below `ConsoleEvent`."""
    found: dict[str, Any] = one.document["ConsoleEvent"]
    return found


def user(one: Event) -> str:
    """Returns the user of a console event."""
    return str(one.document["UserIdentity"]["UserName"])


def counts(events: Iterable[Event], key: Callable[[Event], Row]) -> list[Row]:
    """Returns a row for each key, with the number of its events behind it."""
    return [(*found, times) for found, times in Counter(map(key, events)).items()]


def grouped(events: Iterable[Event], key: Callable[[Event], Row]) -> Mapping[Row, list[Event]]:
    """Returns the events of each key."""
    groups: dict[Row, list[Event]] = defaultdict(list)
    for one in events:
        groups[key(one)].append(one)
    return groups


def percentile(values: Sequence[float], percent: int) -> float:
    """Returns the smallest value that so many percent of the values do not exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def percentiles(values: Sequence[float]) -> Row:
    """Returns the median, the 95th and the 99th percentile."""
    return tuple(percentile(values, percent) for percent in (50, 95, 99))


def listed(events: Iterable[Event], cells: Callable[[Event], Row]) -> list[Row]:
    """Returns the rows of a list: the latest hundred requests, each once."""
    latest = sorted(events, key=_moment, reverse=True)
    by_request = {one.access.get("request") or one.entry["requestID"]: one for one in latest}
    return [cells(one) for one in by_request.values()][:100]


def _moment(one: Event) -> str:
    """Returns what orders events: the own time as the queries write it."""
    return one.access_time if one.access else str(one.entry["time"])


def response_ms(one: Event) -> float:
    """Returns how long the service took for an S3 request."""
    return int(one.api["timeToResponse"].removesuffix("ns")) / 1_000_000


def is_restamped(one: Event) -> bool:
    """Returns if the event is stored at another time than its own."""
    return one.time_ms != one.stored.timestamp_ms


def own_day(one: Event) -> str:
    """Returns the day that the event itself names."""
    if one.access:
        return one.access["time"].partition(":")[0]
    document = one.document
    console = document.get("ConsoleEvent", {})
    written = document.get("auditEntry", {}).get("time") or console.get("EventTime")
    return str(written or document["date"])[:10]


def lag_minutes(one: Event) -> float:
    """Returns how long the event took to be stored."""
    return (one.stored.ingestion_ms - one.stored.timestamp_ms) / 60_000


def is_protection(name: str) -> bool:
    """Returns if an operation changes who may do what, or how long objects are kept."""
    settings = ("BucketPolicy", "BucketObjectLockConfig", "BucketLifecycle", "BucketVersioning")
    objects = ("ObjectRetention", "ObjectLegalHold")
    return re.sub("^(Put|Delete)", "", name) in {*settings, *objects} and name[:3] in {"Put", "Del"}
