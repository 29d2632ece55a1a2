"""Tells what is due for one source, from its checkpoint and its bucket."""

from collections.abc import Iterator, Sequence
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.output.checkpoints import CheckpointStore, shards_with_state
from services.pull_logs_service import AuditBucket, TopLevel
from utils.config.settings import Source
from utils.config.sharding import Shard
from utils.model import LogObject, Position, Start
from utils.state.checkpoint import Checkpoint, Succession, check_identity
from utils.state.coverage import Coverage
from utils.state.coverage_state import CoverageState
from utils.state.planning import Backlog
from utils.state.predecessors import Predecessor, Predecessors, kind_of

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Outset(msgspec.Struct, frozen=True):
    """What an iteration begins with; `now_ms` is the store's time, in ms since 1970.

    `is_new` says that replicas of this kind did not ship the source up to now.
    """

    now_ms: int
    top: TopLevel
    checkpoint: Checkpoint
    is_new: bool
    coverage: Coverage
    predecessors: Predecessors

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        return self.predecessors.position(due, self.coverage)


class DueObjects:
    """Lists the objects of one source that its checkpoint does not cover.

    Args:
        source: what to ship where.
        client: of Lyve Cloud's S3.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, client: "S3Client", stop: Event) -> None:
        self.source = source
        self.client = client
        self.bucket = AuditBucket(client, source, stop)
        self.store = CheckpointStore(client, source.output_bucket, source.state_name)
        # No `cached_property`: up to Python 3.11 all sources would wait for the slowest listing.
        self._top: TopLevel | None = None

    def outset(self, start: Start) -> Outset:
        """Returns what an iteration begins with; nothing is written.

        Args:
            start: when and as whom it begins.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        self._top = top = self._top or self.bucket.top_level()
        # The store sets LastModified, and this machine's clock may be wrong.
        now_ms = start.now_ms if top.store_ms is None else top.store_ms
        found = self._load(self.source.shard)
        history = found.history if found else Succession()
        is_new = history.after is None or history.over_ms is not None
        shards = self.shards() if is_new else _shards_of(history.after or [])
        others = [one for shard in shards if (one := self._other(shard))]
        since_ms = self._since_ms(now_ms, start, others)
        first = Checkpoint(self.source.identity, start.owner, CoverageState(since_ms))
        checkpoint = found or first
        coverage = Coverage(checkpoint.coverage, self.source.prefix)
        # `lasthour` moves the beginning only where it lies ahead, after a date still to come.
        if self.source.since_ms is not None or coverage.state.since_ms > now_ms:
            coverage.begin_at(since_ms)
        kind = kind_of(self.source.shard)
        predecessors = Predecessors(one for one in others if kind_of(one.shard) != kind)
        return Outset(now_ms, top, checkpoint, is_new, coverage, predecessors)

    def shards(self) -> list[Shard | None]:
        """Returns all replicas that have a checkpoint of the source, of whatever kind."""
        return shards_with_state(self.client, self.source.output_bucket, self.source.name)

    def find(self, key: str) -> LogObject | None:
        """Returns an object by its key, None if two ways say that it is not there.

        Args:
            key: of an object that is owed.

        Raises:
            ServiceError: it can't be told now.
        """
        return self.bucket.find(key) or self.bucket.head(key)

    def backlog(self) -> Backlog:
        """Returns one that takes what a listing shows."""
        return Backlog(self.source.prefix)

    def owed(self, outset: Outset) -> Iterator[LogObject]:
        """Yields the objects that are owed and still there.

        Args:
            outset: of the iteration.
        """
        found = (self.find(key) for key in outset.coverage.owed)
        return (one for one in found if one)

    def listed(self, outset: Outset, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects that are due, in the order of the listing.

        Args:
            outset: of the iteration.
            backlog: takes what the listing shows.
        """
        folders = outset.coverage.folders_to_list(outset.top.folders, outset.now_ms)
        parts = [
            self.bucket.beside(outset.top),
            *(self.bucket.objects(folder) for folder in folders),
        ]
        for listed in chain.from_iterable(parts):
            is_newest = listed.last_modified_ms > backlog.survey.newest_of_type_ms
            if is_newest and self.bucket.is_of_type(listed):
                backlog.survey.newest_of_type_ms = listed.last_modified_ms
            if self._is_left_out(listed):
                backlog.survey.leave_out(listed)
                continue
            is_due = self._is_due(listed, outset)
            backlog.note(listed, is_due=is_due)
            if is_due:
                yield listed

    def left(self, outset: Outset, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects for the next plan that are still due; one may appear twice.

        Args:
            outset: of the iteration.
            backlog: of the listing, with a plan carried out.
        """
        for part in backlog.parts():
            beside = self.bucket.beside(outset.top, part.after)
            in_folder = self.bucket.objects(part.folder, part.after)
            for listed in in_folder if part.folder else beside:
                if listed.last_modified_ms <= backlog.until_ms and self._is_due(listed, outset):
                    yield listed
                if listed.key == part.last:
                    break

    def _is_left_out(self, listed: LogObject) -> bool:
        until_ms = self.source.until_ms
        return until_ms is not None and listed.last_modified_ms >= until_ms

    def _is_due(self, listed: LogObject, outset: Outset) -> bool:
        is_due = self.bucket.is_of_type(listed) and outset.coverage.is_due(listed)
        is_own = is_due and self.source.owns(listed.key)
        return is_own and not outset.predecessors.have_shipped(listed)

    def _other(self, shard: Shard | None) -> Predecessor | None:
        found = self._load(shard) if shard != self.source.shard else None
        if found is None:
            return None
        return Predecessor(shard, found, Coverage(found.coverage, self.source.prefix))

    def _load(self, shard: Shard | None) -> Checkpoint | None:
        source, store = self.source, self.store
        if shard != source.shard:
            source = source.of_shard(shard)
            store = CheckpointStore(self.client, source.output_bucket, source.state_name)
        found = store.load()
        if found is None:
            return None
        endpoint_url = source.lyve.endpoint_url
        return check_identity(found, source.identity, store.name, endpoint_url)

    def _since_ms(self, now_ms: int, start: Start, others: list[Predecessor]) -> int:
        if self.source.since_ms is not None:
            return self.source.since_ms
        began = [one.coverage.state.since_ms for one in others]
        return min([now_ms - start.lasthour_ago_ms, *began])


def _shards_of(kinds: Sequence[int]) -> list[Shard | None]:
    """Returns all replicas of the kinds; one of the kind 0 is the only one."""
    shared = [Shard(number, kind) for kind in kinds for number in range(1, kind + 1)]
    return [*([None] if 0 in kinds else []), *shared]
