"""The last status of a source as a document, and what the next iteration takes from it."""

from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import asdict, replace

from utils.model import Counts
from utils.version import VERSION


class Trail(msgspec.Struct, frozen=True):
    """What one iteration of a source hands to the next.

    `newest_shipped` is the newest `LastModified` of all that was shipped. `quiet_since` is the
    newest one of the source's type in the bucket; where none has been seen, it is when this was
    first looked at. `gap_since` is where a reported gap began, None if there is none.
    `complete_until` is the source's `until`, once it was told that all before it is shipped.
    """

    newest_shipped: datetime | None = None
    quiet_since: datetime | None = None
    gap_since: datetime | None = None
    complete_until: datetime | None = None

    def shipped(self, newest_ms: int) -> "Trail":
        """Returns the trail after objects were shipped; `newest_ms` is 0 if there were none."""
        newest = max(filter(None, [self.newest_shipped, _moment(newest_ms)]), default=None)
        return replace(self, newest_shipped=newest)

    def listed(self, newest_ms: int, now: datetime) -> "Trail":
        """Returns the trail after a listing; `newest_ms` is 0 if it has no object of the type."""
        newest = max(filter(None, [self.quiet_since, _moment(newest_ms)]), default=now)
        is_over = self.gap_since is not None and newest > self.gap_since
        gap_since = None if is_over else self.gap_since
        return replace(self, quiet_since=newest, gap_since=gap_since)

    def has_new_gap(self, gap_hours: float | None, now: datetime) -> bool:
        """Tells if there is a gap that was not reported; None as `gap_hours` is never one."""
        if gap_hours is None or self.quiet_since is None or self.gap_since is not None:
            return False
        return now - self.quiet_since >= timedelta(hours=gap_hours)


class Outcome(msgspec.Struct, frozen=True):
    """What an iteration came to: the level and the text of its last line, and its figures."""

    level: str
    message: str
    began: datetime
    ended: datetime
    counts: Counts


def latest_key(source: str) -> str:
    """Returns the key of the last status, the one key that is overwritten.

    Args:
        source: the source's name, and that of its replica where it is shared.
    """
    return f"integration-logs/latest-{source.replace('/', '-')}.json"


def encode_latest(source: str, outcome: Outcome, trail: Trail) -> bytes:
    """Returns the last status as a JSON document."""
    lag_seconds = None
    if trail.newest_shipped:
        # Clocks that are apart must not make it negative.
        seconds = (outcome.ended - trail.newest_shipped).total_seconds()
        lag_seconds = round(max(0.0, seconds), 3)
    latest = {
        "source": source,
        "version": VERSION,
        **asdict(outcome),
        "lag_seconds": lag_seconds,
        **asdict(trail),
    }
    return msgspec.json.format(msgspec.json.encode(latest), indent=2)


# Made once, before any thread: msgspec can crash where several are the first to use a type.
_decode_trail = msgspec.json.Decoder(Trail).decode


def decode_trail(document: bytes) -> Trail:
    """Returns what the document says for the next iteration, or nothing if it can't be read.

    It decides nothing but when a gap is reported, and is written anew after the iteration.
    """
    try:
        return _decode_trail(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Trail()


def _moment(time_ms: int) -> datetime | None:
    return datetime.fromtimestamp(time_ms / 1000, UTC) if time_ms else None
