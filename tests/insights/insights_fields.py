"""The fields that Logs Insights discovers in events, and which type of audit log has which.

Field discovery: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

from tests.insights.insights_functions import Kind
from tests.insights.insights_syntax import InsightsError
from tests.world.audit_events import Period, audit_lines

LOG_TYPES = ("S3", "IAM", "Console")
# What the service adds to each event.
SYSTEM_KINDS: dict[str, Kind] = {
    "@timestamp": "time",
    "@ingestionTime": "time",
    "@message": "text",
    "@logStream": "text",
}
MOST_FIELDS = 200
SAMPLE = Period(datetime(2024, 2, 29, tzinfo=UTC), timedelta(hours=1))
SAMPLE_LINES = 3000

FieldValue = str | float


def discovered(message: str) -> dict[str, FieldValue]:
    """Returns the fields of an event, nested ones with dots; none where it is no JSON object."""
    try:
        document = json.loads(message)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    fields = dict(_flat(document, ""))
    if len(fields) > MOST_FIELDS:
        raise InsightsError(f"an event has more than {MOST_FIELDS} fields")
    return fields


def _flat(value: object, name: str) -> Iterator[tuple[str, FieldValue]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _flat(inner, f"{name}.{key}" if name else key)
        case list():
            for place, inner in enumerate(value):
                yield from _flat(inner, f"{name}.{place}")
        case bool():
            yield name, str(int(value))
        case str() | int() | float():
            yield name, value
        case _:
            raise InsightsError(f"{name} is a {type(value).__name__}")


def kind_of(value: FieldValue) -> Kind:
    """Returns what a field's value is."""
    return "text" if isinstance(value, str) else "number"


@cache
def fields_of_types() -> dict[str, dict[str, Kind]]:
    """Returns for each type of audit log the fields of its sample events, with their kinds."""
    return {log_type: _kinds(audit_lines(log_type, SAMPLE_LINES, SAMPLE)) for log_type in LOG_TYPES}


def _kinds(lines: Iterable[bytes]) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for line in lines:
        for name, value in discovered(line.decode()).items():
            if kinds.setdefault(name, kind_of(value)) != kind_of(value):
                raise InsightsError(f"{name} is at times a text and at times a number")
    return kinds


@cache
def known_kinds() -> dict[str, Kind]:
    """Returns every field that a query can name before it makes its own, with its kind."""
    known = dict(SYSTEM_KINDS)
    for kinds in fields_of_types().values():
        for name, kind in kinds.items():
            if known.setdefault(name, kind) != kind:
                raise InsightsError(f"{name} is of another kind in another type of audit log")
    return known


def check_types(names: Iterable[str]) -> None:
    """Looks whether the sample events of one type have all of the fields.

    Raises:
        InsightsError: no type has.
    """
    named = set(names) - SYSTEM_KINDS.keys()
    if not any(named <= kinds.keys() for kinds in fields_of_types().values()):
        raise InsightsError(f"no type of audit log has all of these: {', '.join(sorted(named))}")
