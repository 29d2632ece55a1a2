"""Shares the objects of a source among several replicas, by their keys."""

import re

import msgspec

from utils.state.coverage_state import key_hash

MOST_REPLICAS = 1000
_FORM = re.compile(r"([0-9]{1,4})(/|-of-)([0-9]{1,4})")


class Shard(msgspec.Struct, frozen=True):
    """The part of a source's objects that one of several replicas ships: `number`, from 1."""

    number: int
    count: int

    @property
    def suffix(self) -> str:
        """What stands behind the names of the source's checkpoint and log stream."""
        return f"/{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard | None:
    """Returns the shard that is written like `1/3` or `1-of-3`, None if it is none."""
    parts = _FORM.fullmatch(text)
    if not parts:
        return None
    number, count = int(parts[1]), int(parts[3])
    return Shard(number, count) if 1 <= number <= count <= MOST_REPLICAS else None


def shard_of(key: str, count: int) -> Shard:
    """Returns the shard of an object among `count` replicas, which is the same everywhere.

    Args:
        key: the object's key.
        count: how many replicas share the source.
    """
    return Shard(key_hash(key) % count + 1, count)
