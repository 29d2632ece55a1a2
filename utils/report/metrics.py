"""What an iteration or a verification came to as an event from which CloudWatch makes metrics.

The embedded metric format:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

import msgspec
from msgspec.structs import asdict, replace

from utils.config.settings import Source
from utils.model import Counts, since_1970_ms

STREAM = "integration"
"""Behind the name of a source's log stream: the one that takes these events."""

_OF_NOW = {"owed", "lag", "duration"}
_UNITS = {"lag": "Seconds", "duration": "Seconds", "bytes": "Bytes"}


class Figures(msgspec.Struct, frozen=True):
    """What a source came to: counts since the last event that was put, and how it is now.

    `lag` and `duration`, the last iteration's, are in seconds. `bytes` were read, as they are
    stored.
    """

    # What an alarm for all sources of a log group looks at. Each metric is billed, so no more of
    # them are made of the whole group.
    of_the_group: ClassVar = ("failures", "lag", "quarantined", "owed")

    iterations: int = 0
    failures: int = 0
    accepted: int = 0
    restamped: int = 0
    quarantined: int = 0
    owed: int = 0
    possibly_duplicated: int = 0
    lag: float = 0.0
    duration: float = 0.0
    bytes: int = 0

    def followed_by(self, later: "Figures") -> "Figures":
        """Returns the figures of both, with those of the later iteration for how it is now."""
        if not later.iterations:
            return self
        counted = {*self.__struct_fields__} - _OF_NOW
        sums = {name: getattr(self, name) + getattr(later, name) for name in counted}
        return replace(later, **sums)


class Verified(msgspec.Struct, frozen=True):
    """What comparing a source with its log streams has shown, all but `unreadable` in lines.

    `differences` are those that are missing or doubled.
    """

    of_the_group: ClassVar = ("differences",)

    verified: int
    missing: int
    doubled: int
    foreign: int
    expired: int
    unreadable: int
    differences: int


def figures_of(
    counts: Counts, bytes_read: int, lag_seconds: float, duration_seconds: float, *, failed: bool
) -> Figures:
    """Returns the figures of one iteration.

    Args:
        counts: of its lines.
        bytes_read: from objects, as they are stored.
        lag_seconds: what was written so long ago may be missing in CloudWatch.
        duration_seconds: from its first request to its end.
        failed: whether it did.
    """
    return Figures(
        iterations=1,
        failures=int(failed),
        accepted=counts.accepted,
        restamped=counts.restamped,
        quarantined=counts.quarantined,
        owed=counts.owed,
        possibly_duplicated=counts.possibly_duplicated,
        # Clocks that are apart must not make it negative.
        lag=round(max(0.0, lag_seconds), 3),
        duration=round(max(0.0, duration_seconds), 3),
        bytes=bytes_read,
    )


def metrics_stream(source: Source) -> str:
    """Returns the name of the log stream that takes these events, of all replicas of a source."""
    return f"{source.of_part('').log_stream}/{STREAM}"


def encode_metrics(source: Source, figures: Figures | Verified, now: datetime) -> str:
    """Returns the event as JSON; the source has a namespace for its metrics."""
    replica = {"replica": str(source.shard)} if source.shard else {}
    sets = [["source"], ["source", *replica]] if replica else [["source"]]
    event = {
        "_aws": {
            "Timestamp": since_1970_ms(now),
            "CloudWatchMetrics": [
                _directive(source, sets, figures.__struct_fields__),
                _directive(source, [["log_group"]], figures.of_the_group),
            ],
        },
        "source": source.name,
        **replica,
        "log_group": source.log_group,
        **asdict(figures),
    }
    return msgspec.json.encode(event).decode()


def _directive(
    source: Source, dimensions: list[list[str]], names: Sequence[str]
) -> dict[str, object]:
    metrics = [{"Name": name, "Unit": _UNITS.get(name, "Count")} for name in names]
    return {"Namespace": source.metrics_namespace, "Dimensions": dimensions, "Metrics": metrics}
