"""Shares a source out among its partitions, once, and lets only one number of replicas ship it."""

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

from msgspec.structs import replace

from services.output.checkpoint_saver import claim_seconds
from services.output.checkpoints import parts_with_state
from services.shipping.partitions import (
    Part,
    Partition,
    Whole,
    first_checkpoint,
    load_whole,
    mixed,
)
from utils.config.partitions import PARTITIONS, Shard, partition_name
from utils.config.settings import Source
from utils.errors import CheckpointError, OwnerError, StoppedError
from utils.model import Start
from utils.state.checkpoint import (
    VERSION,
    Checkpoint,
    Sharing,
    encode_checkpoint,
    split,
    without_coverage,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# The store's time comes in whole seconds.
_STORE_STEP_MS = 1000
_LOOKS = 5
# Names the sharing of a source that was not shipped as a whole before.
_FIRST = "first"


class SharedSource:
    """A source that several replicas share, by the checkpoint of all of it.

    Before anything is shipped of a partition that checkpoint says so: then no daemon without SHARD
    and no replica of another number takes the source for its own. Whoever comes first writes it;
    what it says is believed once it has held for a second, as a claim is.

    Args:
        source: what to ship where.
        client: of Lyve Cloud's S3.
        recover: ends what an unfinished iteration of a part has left.
        stop: set when the process is to end.
    """

    def __init__(
        self,
        source: Source,
        shard: Shard,
        client: "S3Client",
        recover: Callable[[Partition, Start], None],
        stop: Event,
    ) -> None:
        self._source = source
        self._shard = shard
        self._client = client
        self._recover = recover
        self._stop = stop
        self._sharing: Sharing | None = None

    def open(self, whole: Whole, start: Start, now_ms: int) -> Whole:
        """Returns the checkpoint of all of the source, once each partition has its own.

        Args:
            whole: what is known of the source.
            start: when and as whom an iteration begins.
            now_ms: the store's time in ms since 1970.

        Raises:
            CheckpointError: replicas of another number have taken over since the process began.
            ForwarderError: the output bucket or a checkpoint can't be used.
        """
        for number in range(_LOOKS):
            whole = self._load() if number else whole
            sharing = whole.sharing
            if sharing and sharing.replicas != self._shard.count:
                began_ms = now_ms - start.process_ago_ms
                if sharing.since_ms > began_ms + _STORE_STEP_MS:
                    raise self._superseded(sharing)
            if sharing is None or sharing.replicas != self._shard.count:
                self._claim(whole, start, now_ms)
            elif sharing.is_complete:
                self._sharing = sharing
                return whole
            held = self._held()
            if held:
                self._complete(held)
        raise _claimed_too(self._load().part, f"{_LOOKS} times in a row")

    def check(self) -> None:
        """Makes sure that the source is still shared as it was when the iteration began.

        Raises:
            CheckpointError: replicas of another number have taken over.
            ServiceError: the checkpoint can't be read.
        """
        now = self._load().sharing
        if not _is_same(now, self._sharing):
            raise self._superseded(now)

    def _load(self) -> Whole:
        return load_whole(self._source, self._client, self._stop)

    def _claim(self, whole: Whole, start: Start, now_ms: int) -> None:
        """Writes that so many replicas share the source from now on.

        Others may write at the same time: `_held` looks at what is there then.
        """
        known, sharing = whole.checkpoint, whole.sharing
        before = [] if sharing or not whole.replicas_before else whole.origins()
        if sharing is None:
            for origin in whole.origins():
                self._end(origin, start, now_ms)
            known = whole.part.load()
            if known and (known.sharing or known.running):
                return
            # Split from the same checkpoint it is the same, however late another's write arrives.
            generation = known.checksum if known else _FIRST
            sharing = Sharing(generation, 0, now_ms, origins=whole.replicas_before)
        shared = replace(sharing, replicas=self._shard.count, since_ms=now_ms)
        first = first_checkpoint(self._source, start, now_ms)
        with suppress(OwnerError):
            # Those that still run as version 1 can't read it any more, and stop.
            for origin in before:
                _save(origin, replace(origin.load() or first, sharing=shared))
            _save(whole.part, replace(known or first, owner=start.owner, sharing=shared))

    def _end(self, origin: Part, start: Start, now_ms: int) -> None:
        """Ends what an unfinished iteration of all of the source has left: that is not split."""
        found = origin.load()
        if found and found.has_predecessors:
            raise mixed(origin, "it was shared by another number of replicas before")
        if found and found.running:
            self._recover(origin.partition(found, start, now_ms), start)

    def _held(self) -> Whole | None:
        """Returns what has held for so long that nothing else was written beside it, if anything.

        Raises:
            StoppedError: the process is to end.
        """
        before = self._load().sharing
        if self._stop.wait(claim_seconds(self._source.settle_seconds)):
            raise StoppedError("Stopped before everything was shipped")
        whole = self._load()
        is_own = before is not None and before.replicas == self._shard.count
        return whole if is_own and _is_same(before, whole.sharing) else None

    def _complete(self, whole: Whole) -> None:
        """Gives each partition a checkpoint, and takes the coverage out of the whole source's.

        From then on, one that is missing is known to be lost.
        """
        sharing, checkpoint = whole.sharing, whole.checkpoint
        if checkpoint is None or sharing is None or sharing.is_complete:
            return
        origins = [origin.load() or checkpoint for origin in whole.origins()]
        present = parts_with_state(self._client, self._source.output_bucket, self._source.name)
        with suppress(OwnerError):
            for number in range(PARTITIONS):
                part = whole.part.of(partition_name(number))
                known = part.store.load() if part.source.part in present else None
                if known is None or known.generation != sharing.generation:
                    origin = origins[number % len(origins)]
                    _save(part, split(origin, number, part.source.identity, sharing.generation))
            shared = replace(
                without_coverage(checkpoint), sharing=replace(sharing, is_complete=True)
            )
            _save(whole.part, shared)

    def _superseded(self, sharing: Sharing | None) -> CheckpointError:
        return CheckpointError(
            f"Replicas of another number ship this source now, instead of {self._shard}",
            f"{sharing.replicas} of them" if sharing else "none",
            "Stop this one, or start it again with the SHARD that is meant",
        )


def open_alone(whole: Whole, start: Start, now_ms: int) -> Whole:
    """Returns the checkpoint of a source that is not shared, made where there is none.

    Args:
        whole: what is known of the source.
        start: when and as whom an iteration begins.
        now_ms: the store's time in ms since 1970.

    Raises:
        OwnerError: another process made it at the same time.
        ForwarderError: it can't be written.
    """
    if whole.checkpoint:
        return whole
    part = whole.part
    _save(part, first_checkpoint(part.source, start, now_ms))
    made = part.load()
    # Two may both look before either saves: what was loaded need not be what was saved.
    if made is None or made.owner != start.owner:
        raise _claimed_too(part, f"owner {made.owner if made else 'unknown'}")
    return Whole(part, made)


def _save(part: Part, checkpoint: Checkpoint) -> None:
    document = replace(checkpoint, version=VERSION, saves=checkpoint.saves + 1)
    part.store.save(encode_checkpoint(document))


def _is_same(one: Sharing | None, other: Sharing | None) -> bool:
    if one is None or other is None:
        return False
    return (one.generation, one.replicas) == (other.generation, other.replicas)


def _claimed_too(part: Part, detail: str) -> OwnerError:
    return OwnerError(
        f"Another process claimed the checkpoint {part.store.name} at the same time",
        detail,
        "Stop one of the two: each source is shipped by one daemon, or by replicas with SHARD",
    )
