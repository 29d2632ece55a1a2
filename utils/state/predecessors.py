"""Knows what replicas of other kinds have shipped of a source before this one."""

from collections.abc import Iterable, Iterator

import msgspec

from utils.config.sharding import Shard, shard_of
from utils.model import LogObject, Position
from utils.state.checkpoint import Checkpoint
from utils.state.coverage import Coverage


class Predecessor(msgspec.Struct, frozen=True):
    """A replica of another kind; without a shard it is the only one of its kind."""

    shard: Shard | None
    checkpoint: Checkpoint
    coverage: Coverage

    @property
    def is_over(self) -> bool:
        """Tells if it ships nothing any more."""
        return self.checkpoint.history.over_ms is not None


def kind_of(shard: Shard | None) -> int:
    """Returns how many replicas share the source, 0 if it is not shared."""
    return shard.count if shard else 0


class Predecessors:
    """The replicas of all other kinds.

    Args:
        known: those that have a checkpoint.
    """

    def __init__(self, known: Iterable[Predecessor]) -> None:
        self._known = {one.shard: one for one in known}
        self._kinds = {kind_of(shard) for shard in self._known}

    def __iter__(self) -> Iterator[Predecessor]:
        """Yields each of them."""
        return iter(self._known.values())

    def have_shipped(self, listed: LogObject) -> bool:
        """Tells if one of them has shipped this content of the object."""
        return any(one.coverage.has_shipped(listed) for one in self.of(listed.key))

    def position(self, due: LogObject, own: Coverage) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already.

        Args:
            due: the object.
            own: what the replica has shipped itself, which may be older than what they have.
        """
        coverages = [own, *(one.coverage for one in self.of(due.key))]
        positions = [coverage.position(due) for coverage in coverages]
        return max(positions, key=_age)

    def of(self, key: str) -> Iterator[Predecessor]:
        """Yields those that an object with the key fell to, one of each kind."""
        for kind in self._kinds:
            one = self._known.get(shard_of(key, kind) if kind else None)
            if one:
                yield one


def _age(position: Position) -> tuple[int, int]:
    """Returns what is greater the later the content behind the position was written."""
    earlier_ms = -1 if position.earlier_ms is None else position.earlier_ms
    return earlier_ms, position.lines
