"""Finds what is due for one source, from its checkpoints and its bucket."""

from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.pull_logs_service import AuditBucket, TopLevel
from services.shipping.partitions import Partition, Whole, load_partitions, load_whole
from utils.config.settings import Source
from utils.model import LogObject, Position, Start
from utils.state.ledger import places_to_list
from utils.state.planning import Backlog

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Basis(msgspec.Struct, frozen=True):
    """What an iteration is based on; `now_ms` is the store's time, in ms since 1970."""

    source: Source
    now_ms: int
    top: TopLevel
    partitions: dict[str, Partition]

    @property
    def since_ms(self) -> int:
        """Where coverage begins, in ms since 1970."""
        return min(one.ledger.coverage.since_ms for one in self.partitions.values())

    def is_due(self, listed: LogObject) -> bool:
        """Tells if an object of the type is still to be shipped, by this replica."""
        owner = self.partitions.get(self.source.part_with(listed.key))
        return owner is not None and owner.ledger.is_due(listed)

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of a due object begins: behind what is shipped of it already."""
        return self.partitions[self.source.part_with(due.key)].position(due)


class DueObjects:
    """Lists the objects of one source that its checkpoints do not cover.

    Args:
        source: what to ship where.
        client: of Lyve Cloud's S3.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, client: "S3Client", stop: Event) -> None:
        self.source = source
        self.client = client
        self._stop = stop
        self.bucket = AuditBucket(client, source, stop)
        # No `cached_property`: up to Python 3.11 all sources would wait for the slowest listing.
        self._top: TopLevel | None = None

    def top_level(self) -> TopLevel:
        """Lists the top of the bucket, once."""
        self._top = self._top or self.bucket.top_level()
        return self._top

    def now_ms(self, start: Start) -> int:
        """Returns the time in ms since 1970.

        The store sets LastModified, and this machine's clock may be wrong.
        """
        store_ms = self.top_level().store_ms
        return start.now_ms if store_ms is None else store_ms

    def basis(self, start: Start, whole: Whole | None = None) -> Basis:
        """Returns what an iteration is based on; nothing is written.

        Args:
            start: when and as whom it begins.
            whole: what is known of all of the source, if it is known already.

        Raises:
            ForwarderError: the buckets or a checkpoint can't be used.
        """
        now_ms = self.now_ms(start)
        whole = whole or load_whole(self.source, self.client, self._stop)
        found = load_partitions(whole, start, now_ms)
        return Basis(self.source, now_ms, self.top_level(), {one.source.part: one for one in found})

    def backlog(self) -> Backlog:
        """Returns one that takes what a listing shows."""
        return Backlog(self.source.prefix)

    def owed(self, basis: Basis) -> Iterator[LogObject]:
        """Yields the objects that are owed and still there.

        Args:
            basis: of the iteration.
        """
        for one in basis.partitions.values():
            yield from filter(None, (one.find(key) for key in one.ledger.owed))

    def listed(self, basis: Basis, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects that are due, in the order of the one listing for all partitions.

        Args:
            basis: of the iteration.
            backlog: takes what the listing shows.
        """
        ledgers = [one.ledger for one in basis.partitions.values()]
        folders, prefix = basis.top.folders, self.source.prefix
        until_ms = self.source.until_ms
        for place in places_to_list(ledgers, folders, prefix, basis.now_ms):
            backlog.begin(place)
            for listed in self._objects(basis, place):
                is_of_type = self.bucket.is_of_type(listed)
                if is_of_type and listed.last_modified_ms > backlog.survey.newest_of_type_ms:
                    backlog.survey.newest_of_type_ms = listed.last_modified_ms
                if until_ms is not None and listed.last_modified_ms >= until_ms:
                    backlog.survey.count(listed)
                    continue
                is_due = is_of_type and basis.is_due(listed)
                backlog.note(listed, is_due=is_due)
                if is_due:
                    yield listed

    def left(self, basis: Basis, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects for the next plan that are still due; one may appear twice.

        Args:
            basis: of the iteration.
            backlog: of the listing, with a plan carried out.
        """
        for stretch in backlog.stretches():
            for listed in self._objects(basis, stretch.place, stretch.after):
                is_planned = listed.last_modified_ms <= backlog.until_ms
                if is_planned and self.bucket.is_of_type(listed) and basis.is_due(listed):
                    yield listed
                if listed.key == stretch.last:
                    break

    def _objects(self, basis: Basis, place: str | None, after: str = "") -> Iterator[LogObject]:
        if place is None:
            return self.bucket.beside(basis.top, after)
        return self.bucket.objects(place, after)
