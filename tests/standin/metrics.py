"""What CloudWatch makes of events in the embedded metric format, and of alarms on these metrics."""

import json
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import NamedTuple

from jsonschema import Draft7Validator  # type: ignore[import-untyped]

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
_SIZES = [
    f"{scale}{unit}" for scale in ("Kilo", "Mega", "Giga", "Tera") for unit in ("bytes", "bits")
]
_RATES = ["Bytes", "Bits", *_SIZES, "Count"]
_UNITS = [
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "None"),
    *(*_RATES, *(f"{unit}/Second" for unit in _RATES)),
]
_NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "additionalProperties": False,
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": _NAME,
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 1,
                                    "maxItems": 30,
                                    "items": _NAME,
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": _NAME,
                                        "Unit": {
                                            "enum": [one[:1].upper() + one[1:] for one in _UNITS]
                                        },
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
_STATISTICS: dict[str, Callable[[list[float]], float]] = {"Sum": sum, "Maximum": max}


class Point(NamedTuple):
    """A value of a metric, at a time in ms since 1970."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    time_ms: int
    value: float


def points(messages: Iterable[str]) -> list[Point]:
    """Returns the metrics in the messages of events.

    Raises:
        jsonschema.ValidationError: an event is not as the specification has it.
        AssertionError: an event does not hold what it names, or holds it in another form.
    """
    found = []
    for message in messages:
        document = json.loads(message)
        Draft7Validator(SCHEMA).validate(document)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                assert all(isinstance(document[name], str) and document[name] for name in names)
                dimensions = frozenset((name, document[name]) for name in names)
                for metric in directive["Metrics"]:
                    value = document[metric["Name"]]
                    assert isinstance(value, int | float), metric
                    time_ms = document["_aws"]["Timestamp"]
                    found.append(
                        Point(directive["Namespace"], metric["Name"], dimensions, time_ms, value)
                    )
    return found


def rings(alarm: Mapping[str, object], held: Iterable[Point], now_ms: int) -> bool:
    """Returns if an alarm rings: each of its last periods breaches its threshold.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

    Args:
        alarm: as PutMetricAlarm takes it.
        held: what CloudWatch knows.
        now_ms: in ms since 1970; periods end at multiples of themselves.
    """
    dimensions = alarm["Dimensions"]
    assert isinstance(dimensions, list)
    wanted = frozenset((one["Name"], one["Value"]) for one in dimensions)
    known = [
        one
        for one in held
        if (one.namespace, one.name, one.dimensions)
        == (alarm["Namespace"], alarm["MetricName"], wanted)
    ]
    period_ms = int(str(alarm["Period"])) * 1000
    last = now_ms // period_ms
    periods = range(last - ceil(float(str(alarm["EvaluationPeriods"]))), last)
    threshold = float(str(alarm["Threshold"]))
    for period in periods:
        values = [one.value for one in known if one.time_ms // period_ms == period]
        if not values:
            if alarm["TreatMissingData"] != "breaching":
                return False
            continue
        value = _STATISTICS[str(alarm["Statistic"])](values)
        breaches = {
            "LessThanThreshold": value < threshold,
            "GreaterThanThreshold": value > threshold,
            "GreaterThanOrEqualToThreshold": value >= threshold,
        }
        if not breaches[str(alarm["ComparisonOperator"])]:
            return False
    return True
