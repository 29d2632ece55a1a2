"""The partitions of a source that this process owns; a source that is not shared is one."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from services.output.checkpoints import CheckpointStore, parts_with_state
from services.output.status import LatestStatus
from utils.config.partitions import PARTITION_NAMES, PARTITIONS, parse_shard
from utils.config.settings import Source
from utils.errors import CheckpointError, OwnerError, StoppedError
from utils.model import Start
from utils.state.checkpoint import (
    VERSION,
    Checkpoint,
    Sharing,
    check_identity,
    claim_seconds,
    encode_checkpoint,
    split,
)
from utils.state.ledger import Coverage, Ledger

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_REPAIR = "Stop all that ship this source, and run without SHARD: python engine.py --repair"
# The store's time comes in whole seconds.
_STORE_STEP_MS = 1000
_LOOKS = 5
# Names the sharing of a source that was not shipped as a whole before.
_FIRST = "first"


class Partition(msgspec.Struct, frozen=True):
    """A part of a source as an iteration begins with it; `now_ms` is the store's time, since 1970.

    `origin` is the part that it was split from, whose log stream holds what was shipped of it
    before.
    """

    source: Source
    store: CheckpointStore
    now_ms: int
    checkpoint: Checkpoint
    ledger: Ledger
    origin: Source | None

    @property
    def is_begun(self) -> bool:
        """Tells if there is something to do for it, whatever the bucket holds."""
        return self.checkpoint.running or bool(self.checkpoint.open or self.ledger.owed)

    def await_owner(self, stop: Event) -> None:
        """Waits until the puts of a dead process are readable, and sees that it is dead.

        Raises:
            OwnerError: another daemon is at work.
            StoppedError: the process is to end.
        """
        if stop.wait(self.source.settle_seconds):
            raise StoppedError
        again = self.store.load()
        if again is None or again.checksum != self.checkpoint.checksum:
            raise OwnerError(
                f"Another daemon ships this source: it changes the checkpoint {self.store.name}",
                f"owner {self.checkpoint.owner}",
                "Stop one of the two; this one has not sent anything",
            )


class SourcePart:
    """A part of a source by its name, and where its checkpoint is kept."""

    def __init__(self, source: Source, client: "S3Client") -> None:
        self.source = source
        self.client = client
        self.store = CheckpointStore(client, source.output_bucket, source.state_name)

    @property
    def number(self) -> int:
        """The partition's, from 0."""
        return PARTITION_NAMES.index(self.source.part)

    def of(self, part: str) -> "SourcePart":
        """Returns another part of the same source by its name, which is empty for all of it."""
        return SourcePart(self.source.of_part(part), self.client)

    def load(self) -> Checkpoint | None:
        """Returns its checkpoint, None if there is none yet.

        Raises:
            CheckpointError: it can't be trusted, is for something else, or is gone while something
                was shipped: a new start would double it.
            ServiceError: it can't be read.
        """
        found = self.store.load()
        if found is None:
            source = self.source
            latest = LatestStatus(self.client, source.output_bucket, source.state_name)
            if latest.trail().newest_shipped:
                raise CheckpointError(
                    f"The checkpoint {self.store.name} is gone, but {latest.name} says that this "
                    "source was shipped",
                    "not found",
                    "Put back its last version; or stop the daemon, and run --repair",
                )
            return None
        endpoint_url = self.source.lyve.endpoint_url
        return check_identity(found, self.source.identity, self.store.name, endpoint_url)

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes its checkpoint.

        Raises:
            OwnerError: another process wrote it since.
            ServiceError: it can't be written.
        """
        document = replace(checkpoint, version=VERSION, saves=checkpoint.saves + 1)
        self.store.save(encode_checkpoint(document))

    def partition(
        self, checkpoint: Checkpoint, start: Start, origin: Source | None = None
    ) -> Partition:
        """Returns it as an iteration begins with it."""
        ledger = Ledger(checkpoint.coverage, self.source.prefix)
        # `lasthour` moves the beginning only if that lies ahead, as after a date still to come.
        if self.source.since_ms is not None or ledger.coverage.since_ms > start.now_ms:
            ledger.begin_at(_since_ms(self.source, start))
        return Partition(
            source=self.source,
            store=self.store,
            now_ms=start.now_ms,
            checkpoint=checkpoint,
            ledger=ledger,
            origin=origin,
        )


class Whole(msgspec.Struct, frozen=True):
    """The checkpoint of a whole source, and how many replicas of version 1 have one.

    `checkpoint` is None if there is none; then the replicas' of version 1, if there are any, are
    split.
    """

    part: SourcePart
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

    def origins(self) -> list[SourcePart]:
        """Returns the parts that its partitions are split from."""
        count = self.sharing.origins if self.sharing else self.replicas_before
        return [self.part.of(f"{one}-of-{count}") for one in range(1, count + 1)] or [self.part]

    def split(
        self, first: Checkpoint, generation: str, parts: list[SourcePart]
    ) -> Iterator[Checkpoint]:
        """Yields the checkpoints that partitions begin with.

        Args:
            first: of the whole, or of an origin that has none.
            generation: names the sharing.
            parts: the partitions.
        """
        known = [(one.load() or first) if one.source.part else first for one in self.origins()]
        for part in parts:
            origin = known[part.number % len(known)]
            yield split(origin, part.number, part.source.identity, generation)


def load_whole(source: Source, client: "S3Client") -> Whole:
    """Returns what is known of all of a source; it only reads.

    Raises:
        CheckpointError: what is there is for another way of sharing, and can't be carried over.
        ForwarderError: the output bucket or a checkpoint can't be used.
    """
    part = SourcePart(source.of_part(""), client)
    found = part.load()
    if found:
        _check_alone(found, part)
        if found.sharing and source.shard is None:
            raise CheckpointError(
                f"The checkpoint {part.store.name} says that replicas share this source",
                f"{found.sharing.replicas} of them",
                f"Start it with SHARD, as before; or make it one again. {_REPAIR}",
            )
        return Whole(part, found)
    others = parts_with_state(client, source.output_bucket, source.name)
    # All objects of a partition fell to one of them if their number divides the partitions.
    counts = {shard.count if (shard := parse_shard(one)) else 0 for one in others}
    replicas = max(counts, default=0)
    are_all = counts == {len(others)} and PARTITIONS % replicas == 0
    if others and (source.shard is None or not are_all):
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise _mixed(part, f"there are {others[0]}.json{more}")
    return Whole(part, None, replicas)


def load_partitions(whole: Whole, start: Start) -> list[Partition]:
    """Returns the partitions that this process owns, as they are stored or will be; it only reads.

    Raises:
        CheckpointError: one is gone, or can't be trusted.
        ServiceError: one can't be read.
    """
    source = whole.part.source
    first = whole.checkpoint or _first_checkpoint(source, start)
    if source.shard is None:
        return [whole.part.partition(first, start)]
    parts = [whole.part.of(name) for name in source.parts()]
    origins = whole.origins()
    sharing = whole.sharing
    if sharing and sharing.is_complete:
        checkpoints = iter([_own(part, sharing.generation) for part in parts])
    else:
        checkpoints = whole.split(first, "", parts)
    return [
        part.partition(checkpoint, start, origins[part.number % len(origins)].source)
        for part, checkpoint in zip(parts, checkpoints, strict=True)
    ]


class SharedSource:
    """A source that several replicas share, by the checkpoint of all of it.

    Before anything is shipped of a partition that checkpoint says so: then no daemon without SHARD
    and no replica of another number takes the source for its own. Whoever comes first writes it;
    what it says is believed once it has held for a second, as a claim is. `recover` ends what an
    unfinished iteration of a part has left.
    """

    def __init__(
        self,
        source: Source,
        client: "S3Client",
        recover: Callable[[Partition], None],
        stop: Event,
    ) -> None:
        self._source = source
        self._replicas = source.shard.count if source.shard else 0
        self._client = client
        self._recover = recover
        self._stop = stop
        self._sharing: Sharing | None = None

    def ensure_checkpoints(self, whole: Whole, start: Start) -> Whole:
        """Returns the checkpoint of all of the source, once each partition has its own.

        Raises:
            CheckpointError: replicas of another number have taken over since the process began.
            ForwarderError: the output bucket or a checkpoint can't be used.
        """
        for _ in range(_LOOKS):
            if whole.sharing is None or whole.sharing.replicas != self._replicas:
                self._claim(whole, start)
            elif whole.sharing.is_complete:
                self._sharing = whole.sharing
                return whole
            # Nothing is written beside what has held for so long.
            if self._stop.wait(claim_seconds(self._source.settle_seconds)):
                raise StoppedError
            whole = self._load()
            if whole.sharing and whole.sharing.replicas == self._replicas:
                self._complete(whole)
                whole = self._load()
        raise _claimed_too(whole.part, f"{_LOOKS} times in a row")

    def check(self) -> None:
        """Makes sure that the source is still shared as it was when the iteration began.

        Raises:
            CheckpointError: replicas of another number have taken over.
            ServiceError: the checkpoint can't be read.
        """
        known, now = self._sharing, self._load().sharing
        if not (known and now) or (
            (now.generation, now.replicas) != (known.generation, known.replicas)
        ):
            raise self._superseded(now)

    def _load(self) -> Whole:
        return load_whole(self._source, self._client)

    def _claim(self, whole: Whole, start: Start) -> None:
        """Writes that so many replicas share the source from now on.

        Others may write at the same time: `ensure_checkpoints` looks at what is there then.
        """
        known, sharing = whole.checkpoint, whole.sharing
        began_ms = start.now_ms - start.process_ago_ms
        if sharing and sharing.since_ms > began_ms + _STORE_STEP_MS:
            raise self._superseded(sharing)
        before: list[SourcePart] = []
        if sharing is None:
            origins = whole.origins()
            for origin in origins:
                self._end(origin, start)
            known = whole.part.load()
            if known and (known.sharing or known.running):
                return
            before = origins if whole.replicas_before else []
            # Split from the same checkpoint it is the same, however late another's write arrives.
            generation = known.checksum if known else _FIRST
            sharing = Sharing(generation, 0, start.now_ms, origins=whole.replicas_before)
        shared = replace(sharing, replicas=self._replicas, since_ms=start.now_ms)
        first = _first_checkpoint(self._source, start)
        with suppress(OwnerError):
            # Those that still run as version 1 can't read it any more, and stop.
            for origin in before:
                origin.save(replace(origin.load() or first, sharing=shared))
            whole.part.save(replace(known or first, owner=start.owner, sharing=shared))

    def _end(self, origin: SourcePart, start: Start) -> None:
        """Ends what an unfinished iteration of all of the source has left: that is not split."""
        found = origin.load()
        if found:
            _check_alone(found, origin)
            if found.running:
                self._recover(origin.partition(found, start))

    def _complete(self, whole: Whole) -> None:
        """Gives each partition a checkpoint, and takes the coverage out of the whole source's.

        From then on, one that is missing is known to be lost.
        """
        sharing, checkpoint = whole.sharing, whole.checkpoint
        if checkpoint is None or sharing is None or sharing.is_complete:
            return
        parts = [whole.part.of(name) for name in PARTITION_NAMES]
        checkpoints = whole.split(checkpoint, sharing.generation, parts)
        present = parts_with_state(self._client, self._source.output_bucket, self._source.name)
        with suppress(OwnerError):
            for part, own in zip(parts, checkpoints, strict=True):
                known = part.store.load() if part.source.part in present else None
                if known is None or known.generation != sharing.generation:
                    part.save(own)
            shared = replace(
                checkpoint,
                coverage=Coverage(checkpoint.coverage.since_ms),
                open=[],
                running=False,
                sharing=replace(sharing, is_complete=True),
            )
            whole.part.save(shared)

    def _superseded(self, sharing: Sharing | None) -> CheckpointError:
        return CheckpointError(
            f"Replicas of another number ship this source now, instead of {self._source.shard}",
            f"{sharing.replicas} of them" if sharing else "none",
            "Stop this one, or start it again with the SHARD that is meant",
        )


def ensure_checkpoint(whole: Whole, start: Start) -> Whole:
    """Returns the checkpoint of a source that is not shared, made where there is none.

    Raises:
        OwnerError: another process made it at the same time.
        ForwarderError: it can't be written.
    """
    if whole.checkpoint:
        return whole
    part = whole.part
    part.save(_first_checkpoint(part.source, start))
    made = part.load()
    # Two may both look before either saves: what was loaded need not be what was saved.
    if made is None or made.owner != start.owner:
        raise _claimed_too(part, f"owner {made.owner if made else 'unknown'}")
    return Whole(part, made)


def _since_ms(source: Source, start: Start) -> int:
    """Returns where coverage begins, in ms since 1970."""
    return start.now_ms - start.since_ago_ms if source.since_ms is None else source.since_ms


def _first_checkpoint(source: Source, start: Start) -> Checkpoint:
    """Returns the checkpoint of a source of which nothing is shipped."""
    return Checkpoint(source.identity, start.owner, Coverage(_since_ms(source, start)))


def _own(part: SourcePart, generation: str) -> Checkpoint:
    """Returns a partition's own checkpoint, once each has one."""
    found = part.load()
    if found is None or found.generation != generation:
        raise CheckpointError(
            f"The checkpoint {part.store.name} is gone, but this source was shipped by partitions",
            "not found" if found is None else "it is of an earlier sharing",
            f"Put back its last version. Or: {_REPAIR}",
        )
    return found


def _check_alone(found: Checkpoint, part: SourcePart) -> None:
    """Makes sure that the checkpoint of a part alone says what was shipped of it."""
    if found.has_predecessors:
        raise _mixed(part, "it was shared by another number of replicas before")


def _mixed(part: SourcePart, detail: str) -> CheckpointError:
    return CheckpointError(
        f"What was shipped can't be told by the checkpoint {part.store.name} alone", detail, _REPAIR
    )


def _claimed_too(part: SourcePart, detail: str) -> OwnerError:
    return OwnerError(
        f"Another process claimed the checkpoint {part.store.name} at the same time",
        detail,
        "Stop one of the two: each source is shipped by one daemon, or by replicas with SHARD",
    )
