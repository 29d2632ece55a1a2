"""What the times of events say: of the last iteration, of the retention, of other times."""

from typing import Literal

import msgspec

from utils.lines.batching import MAX_AHEAD_MS, oldest_age_ms
from utils.model import DAY_MS, Interval, union

# Events stored closer together than this are of one iteration, and so is what it reconciled.
_SHORTEST_GAP_MS = 500
_MOST_LOOSE = 10_000

Timing = Literal["own", "restamped", "wrong"]


class Bursts:
    """When events of a source were stored, of the last day that any was.

    A daemon that is at work may store nothing for `gap_ms`.
    """

    def __init__(self, gap_ms: float) -> None:
        self._gap_ms = max(_SHORTEST_GAP_MS, round(gap_ms))
        self._bursts: list[Interval] = []
        self._loose: set[int] = set()
        self.newest_ms = 0

    def note(self, ingested_ms: int) -> None:
        """Takes an event into account, stored then; 0 if CloudWatch does not say when."""
        if not ingested_ms or ingested_ms < self.newest_ms - DAY_MS:
            return
        self.newest_ms = max(self.newest_ms, ingested_ms)
        self._loose.add(ingested_ms)
        if len(self._loose) > _MOST_LOOSE:
            self._merge()

    @property
    def began_ms(self) -> int | None:
        """When the last iteration began to send, in ms since 1970, None if nothing is stored."""
        self._merge()
        return self._bursts[-1][0] if self._bursts else None

    def _merge(self) -> None:
        """A burst ends one gap behind its last event: one that begins later is another."""
        loose = ((one, one + self._gap_ms) for one in self._loose)
        oldest_ms = self.newest_ms - DAY_MS
        self._bursts = [one for one in union([*self._bursts, *loose]) if one[1] >= oldest_ms]
        self._loose.clear()


class Retention(msgspec.Struct, frozen=True):
    """What the log group's settings let CloudWatch accept and keep.

    `days` is the group's retention, None if its events never expire; `now_ms` the time, in ms since
    1970.
    """

    days: int | None
    now_ms: int

    def timing(self, own_ms: int | None, stored_ms: int, ingested_ms: int) -> Timing:
        """Tells whether an event is stored at its own time, had to be restamped, or is misplaced.

        Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html

        Args:
            own_ms: the time that it names, in ms since 1970, None if it names none.
            stored_ms: the time that it has in the log stream.
            ingested_ms: when CloudWatch took it.
        """
        if own_ms is None or own_ms == stored_ms:
            return "own"
        # The daemon decides a while before the event is stored, at its upload time.
        first_ms, last_ms = min(stored_ms, ingested_ms), max(stored_ms, ingested_ms)
        was_needed = own_ms < last_ms - oldest_age_ms(self.days) or own_ms > first_ms + MAX_AHEAD_MS
        return "restamped" if was_needed else "wrong"

    def has_expired(self, own_ms: int, modified_ms: int) -> bool:
        """Tells if a line may have been stored and be gone by now.

        One that was too old when its object was written was stored at an upload time, which is not
        before that. A line without a time has its object's.
        """
        if self.days is None:
            return False
        oldest_ms = self.now_ms - self.days * DAY_MS
        may_have_own = own_ms >= modified_ms - oldest_age_ms(self.days)
        return own_ms < oldest_ms and (may_have_own or modified_ms < oldest_ms)
