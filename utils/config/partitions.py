"""Shares the objects of a source out among fixed partitions, by their keys."""

import re

from utils.config.sharding import parse_shard

# It divides well among replicas, and a checkpoint of each holds the day of some 4 TB.
PARTITIONS = 24
_PARTITION = re.compile(r"p(?:[01][0-9]|2[0-3])")


def is_stream_of(source_stream: str, name: str) -> bool:
    """Tells if a log stream may hold events of a source: its own, a partition's or a replica's.

    A replica's, such as `<stream>/2-of-3`, is what a source was shared by before version 2.

    Args:
        source_stream: the source's log stream as it is configured, which is that of a source that
            is not shared.
        name: of the log stream in question, in the same log group.
    """
    if name == source_stream:
        return True
    head, _, tail = name.rpartition("/")
    is_replica = "-of-" in tail and parse_shard(tail) is not None
    return head == source_stream and (is_replica or _PARTITION.fullmatch(tail) is not None)
