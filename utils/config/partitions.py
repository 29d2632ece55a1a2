"""Shares the objects of a source out among fixed partitions, by their keys."""

import re
from hashlib import blake2b

import msgspec

# It divides well among replicas; some 90 TB a day of one source.
PARTITIONS = 24
# What version 1 allowed, whose checkpoints and log streams may still be there.
MOST_REPLICAS_BEFORE = 1000
_FORM = re.compile(r"([0-9]{1,4})(/|-of-)([0-9]{1,4})")
# What follows the names of a source's checkpoint and log stream in those of its partitions.
PARTITION_NAMES = tuple(f"p{number:02d}" for number in range(PARTITIONS))


class Shard(msgspec.Struct, frozen=True):
    """Which one of several replicas this is: `number`, from 1. It owns some of the partitions."""

    number: int
    count: int

    @property
    def suffix(self) -> str:
        """What follows the source's name in the name of the replica's last status."""
        return f"/{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def parse_shard(text: str) -> Shard | None:
    """Returns the shard that is written like `1/3` or `1-of-3`, None if it is not one."""
    parts = _FORM.fullmatch(text)
    if not parts:
        return None
    number, count = int(parts[1]), int(parts[3])
    return Shard(number, count) if 1 <= number <= count <= MOST_REPLICAS_BEFORE else None


def key_hash(key: str) -> int:
    """Returns a key's hash: two of 25,000 keys share one in one of 10^10 checkpoints."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def partition_of(key: str) -> int:
    """Returns the partition that an object belongs to, everywhere and for ever."""
    return key_hash(key) % PARTITIONS


def owned_by(shard: Shard) -> list[int]:
    """Returns the partitions that a replica owns."""
    return list(range(shard.number - 1, PARTITIONS, shard.count))


def is_stream_of(source_stream: str, name: str) -> bool:
    """Tells if a log stream may hold events of a source: its own, a partition's or a replica's.

    In version 1 each replica had a log stream, such as `<stream>/2-of-3`.

    Args:
        source_stream: the source's log stream as it is configured, which is that of a source that
            is not shared.
        name: of the log stream in question, in the same log group.
    """
    if name == source_stream:
        return True
    head, _, tail = name.rpartition("/")
    is_replica = "-of-" in tail and parse_shard(tail) is not None
    return head == source_stream and (is_replica or tail in PARTITION_NAMES)
