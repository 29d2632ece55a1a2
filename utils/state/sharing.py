"""Splits the checkpoint of a source into those of its partitions."""

import msgspec
from msgspec.structs import replace

from utils.config.partitions import PARTITIONS, partition_of
from utils.model import SourceIdentity
from utils.state.checkpoint import VERSION, Checkpoint
from utils.state.ledger import Coverage


def split(whole: Checkpoint, partition: int, source: SourceIdentity, generation: str) -> Checkpoint:
    """Returns what a checkpoint says of the objects of one partition.

    Args:
        whole: of all of the source, or of a replica of version 1 that had all of the partition.
        partition: its number.
        source: what the partition's checkpoint is for.
        generation: names the sharing.
    """
    coverage = whole.coverage.of_keys(lambda key_hash: key_hash % PARTITIONS == partition)
    begun = [one for one in whole.open if partition_of(one.object.key) == partition]
    return replace(
        whole,
        source=source,
        version=VERSION,
        coverage=coverage,
        open=begun,
        succession=msgspec.UNSET,
        sharing=msgspec.UNSET,
        generation=generation,
    )


def without_coverage(whole: Checkpoint) -> Checkpoint:
    """Returns the checkpoint of a source of which each partition has its own."""
    coverage = Coverage(whole.coverage.since_ms)
    return replace(whole, coverage=coverage, open=[], running=False)
