"""Splits the checkpoint of a source into those of its partitions."""

import msgspec
from msgspec.structs import replace

from utils.config.partitions import PARTITIONS, partition_of
from utils.model import SourceIdentity
from utils.state.checkpoint import VERSION, Checkpoint
from utils.state.coverage_state import CoverageState, of_keys


def split(whole: Checkpoint, partition: int, source: SourceIdentity, generation: str) -> Checkpoint:
    """Returns what a checkpoint says of the objects of one partition.

    Args:
        whole: of all of the source, or of a replica of version 1 that had all of the partition.
        partition: its number.
        source: what the partition's checkpoint is for.
        generation: names the sharing.
    """
    recent, owed = of_keys(whole.coverage, lambda key_hash: key_hash % PARTITIONS == partition)
    known = whole.coverage
    coverage = replace(
        known,
        covered=list(known.covered),
        recent=recent,
        dormant=dict(known.dormant),
        owed=owed or msgspec.UNSET,
    )
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
    coverage = CoverageState(whole.coverage.since_ms)
    return replace(whole, coverage=coverage, open=[], running=False)
