"""The partitions of a source that this process owns; a source that is not shared is one."""

from collections.abc import Iterable
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.output.checkpoints import CheckpointStore, parts_with_state
from services.pull_logs_service import AuditBucket
from utils.config.partitions import PARTITIONS, parse_partition, parse_shard
from utils.config.settings import Source
from utils.errors import CheckpointError
from utils.model import LogObject, Position, Start
from utils.state.checkpoint import Checkpoint, Sharing, check_identity, split
from utils.state.ledger import Coverage, Ledger

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_REPAIR = "Stop all that ship this source, and run without SHARD: python engine.py --repair"


class Partition(msgspec.Struct, frozen=True):
    """A part of a source as an iteration begins with it; `now_ms` is the store's time, since 1970.

    `origin` is the part that it was split from, whose log stream holds what was shipped of it
    before.
    """

    source: Source
    client: "S3Client"
    bucket: AuditBucket
    store: CheckpointStore
    now_ms: int
    checkpoint: Checkpoint
    ledger: Ledger
    origin: Source | None

    @property
    def is_begun(self) -> bool:
        """Tells if there is something to do for it, whatever the bucket holds."""
        return self.checkpoint.running or bool(self.checkpoint.open or self.ledger.owed)

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        return self.ledger.position(due)

    def find(self, key: str) -> LogObject | None:
        """Returns an object by its key, None if two ways say that it does not exist.

        Args:
            key: of an object that is owed.

        Raises:
            ServiceError: it can't be told now.
        """
        return self.bucket.find(key) or self.bucket.head(key)


class Part:
    """A part of a source by its name, and where its checkpoint is kept.

    Args:
        source: the part; all of the source is one too.
        client: of Lyve Cloud's S3.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, client: "S3Client", stop: Event) -> None:
        self.source = source
        self.client = client
        self.store = CheckpointStore(client, source.output_bucket, source.state_name)
        self._stop = stop

    def of(self, part: str) -> "Part":
        """Returns another part of the same source.

        Args:
            part: its name, empty for all of the source.
        """
        return Part(self.source.of_part(part), self.client, self._stop)

    def load(self) -> Checkpoint | None:
        """Returns its checkpoint, None if there is none yet.

        Raises:
            CheckpointError: it can't be trusted, or is for something else.
            ServiceError: it can't be read.
        """
        found = self.store.load()
        if found is None:
            return None
        endpoint_url = self.source.lyve.endpoint_url
        return check_identity(found, self.source.identity, self.store.name, endpoint_url)

    def partition(
        self, checkpoint: Checkpoint, start: Start, now_ms: int, origin: Source | None = None
    ) -> Partition:
        """Returns it as an iteration begins with it.

        Args:
            checkpoint: its own.
            start: when and as whom the iteration begins.
            now_ms: the store's time in ms since 1970.
            origin: the part that it was split from.
        """
        ledger = Ledger(checkpoint.coverage, self.source.prefix)
        # `lasthour` moves the beginning only if that lies ahead, as after a date still to come.
        if self.source.since_ms is not None or ledger.coverage.since_ms > now_ms:
            ledger.begin_at(since_ms(self.source, start, now_ms))
        return Partition(
            source=self.source,
            client=self.client,
            bucket=AuditBucket(self.client, self.source, self._stop),
            store=self.store,
            now_ms=now_ms,
            checkpoint=checkpoint,
            ledger=ledger,
            origin=origin,
        )


class Whole(msgspec.Struct, frozen=True):
    """The checkpoint of a whole source, and how many replicas of version 1 have one.

    `checkpoint` is None if there is none; then the replicas' of version 1, if there are any, are
    split.
    """

    part: Part
    checkpoint: Checkpoint | None
    replicas_before: int = 0

    @property
    def sharing(self) -> Sharing | None:
        """How it is shared; None if it is not, or not yet."""
        return self.checkpoint.sharing if self.checkpoint else None

    @property
    def is_new(self) -> bool:
        """Tells if nothing is known of the source."""
        return self.checkpoint is None and not self.replicas_before

    def origins(self) -> list[Part]:
        """Returns the parts that its partitions are split from."""
        count = self.sharing.origins if self.sharing else self.replicas_before
        names = [f"{number}-of-{count}" for number in range(1, count + 1)]
        return [self.part.of(name) for name in names or [""]]


def load_whole(source: Source, client: "S3Client", stop: Event) -> Whole:
    """Returns what is known of all of a source; it only reads.

    Args:
        source: what to ship where.
        client: of Lyve Cloud's S3.
        stop: set when the process is to end.

    Raises:
        CheckpointError: what is there is for another way of sharing, and can't be carried over.
        ForwarderError: the output bucket or a checkpoint can't be used.
    """
    part = Part(source.of_part(""), client, stop)
    found = part.load()
    if found and found.has_predecessors:
        raise mixed(part, "it was shared by another number of replicas before")
    if found and found.sharing and source.shard is None:
        raise CheckpointError(
            f"The checkpoint {part.store.name} says that replicas share this source",
            f"{found.sharing.replicas} of them",
            f"Start it with SHARD, as before; or make it one again. {_REPAIR}",
        )
    others = [] if found else parts_with_state(client, source.output_bucket, source.name)
    if not others:
        return Whole(part, found)
    replicas = _replicas_before(others)
    if source.shard is None or not replicas:
        raise mixed(part, f"there are {_named(others)}")
    return Whole(part, None, replicas)


def load_partitions(whole: Whole, start: Start, now_ms: int) -> list[Partition]:
    """Returns the partitions that this process owns, as they are stored or will be; it only reads.

    Args:
        whole: of the source.
        start: when and as whom an iteration begins.
        now_ms: the store's time in ms since 1970.

    Raises:
        CheckpointError: one is gone, or can't be trusted.
        ServiceError: one can't be read.
    """
    source = whole.part.source
    first = whole.checkpoint or first_checkpoint(source, start, now_ms)
    if source.shard is None:
        return [whole.part.partition(first, start, now_ms)]
    origins = whole.origins()
    is_complete = whole.sharing is not None and whole.sharing.is_complete
    loaded = [None if is_complete else _loaded_origin(one, first) for one in origins]
    partitions = []
    for name in source.parts():
        number = parse_partition(name) or 0
        part = whole.part.of(name)
        origin, origin_checkpoint = origins[number % len(origins)], loaded[number % len(origins)]
        if origin_checkpoint is None:
            checkpoint = _own(part, whole)
        else:
            checkpoint = split(origin_checkpoint, number, part.source.identity, "")
        partitions.append(part.partition(checkpoint, start, now_ms, origin.source))
    return partitions


def first_checkpoint(source: Source, start: Start, now_ms: int) -> Checkpoint:
    """Returns the checkpoint of a source of which nothing is shipped.

    Args:
        source: what to ship where.
        start: when and as whom an iteration begins.
        now_ms: the store's time in ms since 1970.
    """
    coverage = Coverage(since_ms(source, start, now_ms))
    return Checkpoint(source.identity, start.owner, coverage)


def since_ms(source: Source, start: Start, now_ms: int) -> int:
    """Returns where coverage begins, in ms since 1970.

    Args:
        source: what to ship where.
        start: when and as whom an iteration begins.
        now_ms: the store's time in ms since 1970.
    """
    return now_ms - start.since_ago_ms if source.since_ms is None else source.since_ms


def _loaded_origin(origin: Part, first: Checkpoint) -> Checkpoint:
    """Returns the checkpoint that partitions are split from."""
    return (origin.load() or first) if origin.source.part else first


def _own(part: Part, whole: Whole) -> Checkpoint:
    """Returns a partition's own checkpoint, once each has one."""
    found = part.load()
    if found is None or whole.sharing is None or found.generation != whole.sharing.generation:
        raise CheckpointError(
            f"The checkpoint {part.store.name} is gone, but this source was shipped by partitions",
            "not found" if found is None else "it is of an earlier sharing",
            f"Put back its last version. Or: {_REPAIR}",
        )
    return found


def _replicas_before(names: Iterable[str]) -> int:
    """Returns how many replicas of version 1 there are, 0 unless partitions can be split of them.

    All objects of a partition fell to one of them if their number divides the partitions.
    """
    shards = [parse_shard(name) for name in names]
    counts = {shard.count if shard else 0 for shard in shards}
    count = counts.pop() if len(counts) == 1 else 0
    return count if count == len(shards) and PARTITIONS % count == 0 else 0


def mixed(part: Part, detail: str) -> CheckpointError:
    """Returns the error of a source whose one checkpoint does not say what is shipped.

    Args:
        part: all of the source, or one of its replicas of version 1.
        detail: what there is besides.
    """
    return CheckpointError(
        f"What was shipped can't be told by the checkpoint {part.store.name} alone", detail, _REPAIR
    )


def _named(parts: list[str]) -> str:
    others = len(parts) - 1
    return f"{parts[0]}.json and {others} more" if others else f"{parts[0]}.json"
