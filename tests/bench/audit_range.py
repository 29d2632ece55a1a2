"""Verifies a made-up range of any size, which nothing holds, and prints what that took.

    python -m tests.bench.audit_range 10000000

The objects, lines and events follow from their numbers alone, so that the memory is that of the
comparison.
"""

import resource
import sys
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from msgspec import Struct, json

from services.audit.streams import LogStreams, StoredEvent
from services.audit.verification import AuditGauge, Verification, Witnesses
from services.pull_logs_service import AuditBucket, TopLevel
from tests.world.in_memory import source_of
from utils.lines.forms import JSON
from utils.model import FOREVER_MS, Interval, LogObject

if TYPE_CHECKING:
    from services.output.quarantine import QuarantinedLines

LINES_AN_OBJECT = 1_000
BEGIN_MS = 1_700_000_000_000
YEAR_MS = 365 * 24 * 60 * 60 * 1000


class Taken(Struct):
    """What a verification took."""

    lines: int
    found: int
    seconds: float
    peak_bytes: int


class MadeUp:
    """Both witnesses of so many events of one year.

    Args:
        events: how many.
    """

    def __init__(self, events: int) -> None:
        self._events = events
        self.names: list[str] = []
        self.form = JSON
        self.reader = SimpleNamespace(ahead=lambda items, _: items)

    def top_level(self) -> TopLevel:
        return TopLevel(store_ms=BEGIN_MS + 2 * YEAR_MS)

    def retention_days(self) -> int | None:
        return None

    def objects(self, _: str) -> Iterator[LogObject]:
        for first in range(0, self._events, LINES_AN_OBJECT):
            yield LogObject(self._time_ms(first + LINES_AN_OBJECT), f"S3-{first:012}", "e", 1)

    def blocks(self, one: LogObject) -> Iterator[list[bytes]]:
        first = int(one.key[3:])
        yield [self._message(event) for event in range(first, first + LINES_AN_OBJECT)]

    def events(self, spans: Sequence[Interval]) -> Iterator[StoredEvent]:
        for first_ms, end_ms in spans:
            for event in range(self._events):
                time_ms = self._time_ms(event)
                if first_ms <= time_ms < end_ms:
                    yield time_ms, time_ms + 1000, self._message(event)

    def _time_ms(self, event: int) -> int:
        return BEGIN_MS + event * YEAR_MS // self._events

    def _message(self, event: int) -> bytes:
        return b'{"date": "%d", "number": %d}' % (self._time_ms(event), event)


def main(events: int) -> Taken:
    """Verifies a range, and returns what that took.

    Args:
        events: how many it has.
    """
    made_up = MadeUp(events)
    nothing = cast("QuarantinedLines", SimpleNamespace(holds=lambda *_: False))
    witnesses = Witnesses(
        cast("AuditBucket", made_up), cast("LogStreams", made_up), lambda _: nothing
    )
    verification = Verification(source_of(), (0, FOREVER_MS), witnesses, AuditGauge())
    began_seconds = time.perf_counter()
    audit = verification.run(0)
    seconds = time.perf_counter() - began_seconds
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Taken(audit.lines, audit.found, seconds, peak_bytes)


if __name__ == "__main__":
    sys.stdout.write(json.encode(main(int(sys.argv[1]))).decode())
