"""Tells from the times at which events were stored when the last iteration began to send."""

from utils.state.intervals import Interval, union

# What was stored closer together than this is of one iteration, and so is what was settled in it.
_SHORTEST_GAP_MS = 500
_REMEMBERED_MS = 24 * 60 * 60 * 1000
_MOST_LOOSE = 10_000


class Bursts:
    """When events of a source were stored, of the last day that any was.

    Args:
        gap_ms: how long a daemon that is at work may store nothing.
    """

    def __init__(self, gap_ms: float) -> None:
        self._gap_ms = max(_SHORTEST_GAP_MS, round(gap_ms))
        self._bursts: list[Interval] = []
        self._loose: set[int] = set()
        self.newest_ms = 0

    def note(self, ingested_ms: int) -> None:
        """Takes an event into account.

        Args:
            ingested_ms: when it was stored, in ms since 1970; 0 if CloudWatch does not say so.
        """
        if not ingested_ms or ingested_ms < self.newest_ms - _REMEMBERED_MS:
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
        """Each burst ends behind the gap that would have made the next one another."""
        loose = ((one, one + self._gap_ms) for one in self._loose)
        oldest_ms = self.newest_ms - _REMEMBERED_MS
        self._bursts = [one for one in union([*self._bursts, *loose]) if one[1] >= oldest_ms]
        self._loose.clear()
