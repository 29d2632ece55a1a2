"""What a time that is not the event's own says, and which lines may be gone by the retention."""

from typing import Literal

import msgspec

from utils.lines.batching import MAX_AGE_MS, MAX_AHEAD_MS

_DAY_MS = 24 * 60 * 60 * 1000

Timing = Literal["own", "restamped", "wrong"]


class Retention(msgspec.Struct, frozen=True):
    """What the log group's settings let CloudWatch accept and keep.

    `days` is the group's retention, None if its events never expire; `now_ms` the time, in ms since
    1970.
    """

    days: int | None
    now_ms: int

    @property
    def age_ms(self) -> int:
        """How old an event may be when it is put."""
        return MAX_AGE_MS if self.days is None else min(MAX_AGE_MS, self.days * _DAY_MS)

    def timing(self, own_ms: int, stored_ms: int, ingested_ms: int) -> Timing:
        """Tells whether an event stands at its own time, or had to stand elsewhere, or does.

        Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html

        Args:
            own_ms: the time that it names, in ms since 1970.
            stored_ms: the time that it has in the log stream.
            ingested_ms: when it was stored.
        """
        if own_ms == stored_ms:
            return "own"
        # The daemon decides a while before an event is stored, at the time that it gives it.
        first_ms, last_ms = min(stored_ms, ingested_ms), max(stored_ms, ingested_ms)
        was_needed = own_ms < last_ms - self.age_ms or own_ms > first_ms + MAX_AHEAD_MS
        return "restamped" if was_needed else "wrong"

    def has_expired(self, own_ms: int, modified_ms: int) -> bool:
        """Tells if a line may have been stored and be gone by now.

        One that was too old when its object was written was stored at an upload time, which is not
        before that.

        Args:
            own_ms: the line's own time in ms since 1970, else the object's.
            modified_ms: the object's `LastModified`.
        """
        if self.days is None:
            return False
        oldest_ms = self.now_ms - self.days * _DAY_MS
        may_have_own = own_ms >= modified_ms - self.age_ms
        return own_ms < oldest_ms and (may_have_own or modified_ms < oldest_ms)
