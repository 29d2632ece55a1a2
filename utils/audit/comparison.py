"""Compares lines with events as multisets, one by one."""

from collections import Counter


class Comparison:
    """The events of some intervals, of which each line takes one."""

    def __init__(self) -> None:
        self._left: Counter[int] = Counter()
        self._late: Counter[int] = Counter()
        self._surplus: dict[int, tuple[str, int]] = {}

    def note(self, digest: int, *, is_late: bool) -> None:
        """Takes an event into account.

        Args:
            digest: of its message.
            is_late: whether it was stored after the bucket was listed.
        """
        self._left[digest] += 1
        if is_late:
            self._late[digest] += 1

    def take(self, digest: int, key: str, number: int) -> bool:
        """Takes one event for a line; returns whether there was one.

        Args:
            digest: of the line.
            key: of its object.
            number: of the line, from 1.
        """
        left = self._left.get(digest, 0)
        if not left:
            return False
        if left > 1:
            self._left[digest] = left - 1
            self._surplus[digest] = (key, number)
        else:
            del self._left[digest]
            self._surplus.pop(digest, None)
        return True

    def is_late(self, digest: int) -> bool:
        """Tells if an event of this message was stored after the bucket was listed."""
        return digest in self._late

    @property
    def has_surplus(self) -> bool:
        """Tells if any line has more copies than there are lines."""
        return bool(self._surplus)

    def discount(self, digest: int) -> None:
        """Takes one event for a line of an object that is not compared."""
        if digest in self._surplus:
            self._left[digest] -= 1
            if not self._left[digest]:
                del self._left[digest], self._surplus[digest]

    def doubled(self) -> list[tuple[str, int, int]]:
        """Returns the lines of which there are more copies: key, number, and how many more."""
        return sorted((*self._surplus[one], self._left[one]) for one in self._surplus)

    def foreign(self) -> int:
        """Returns how many events are of no line, except for objects written meanwhile."""
        return sum(
            max(0, copies - self._late[digest])
            for digest, copies in self._left.items()
            if digest not in self._surplus
        )
