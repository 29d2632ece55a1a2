"""Finds what is due for one source, from its checkpoints and its bucket."""

from collections.abc import Iterator
from threading import Event
from typing import TYPE_CHECKING

from msgspec.structs import replace

from services.pull_logs_service import AuditBucket, TopLevel
from services.shipping.partitions import Partition, Whole, load_partitions, load_whole
from utils.config.settings import Source
from utils.model import LogObject, Position, Start
from utils.state.planning import Backlog

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class DueObjects:
    """Lists the objects of one source that its checkpoints do not cover.

    `partitions` are those of this process, by their names, once they are loaded; `now_ms` is the
    store's time, in ms since 1970.
    """

    def __init__(self, source: Source, client: "S3Client", stop: Event) -> None:
        self.source = source
        self.bucket = AuditBucket(client, source, stop)
        self._client = client
        # No `cached_property`: up to Python 3.11 all sources would wait for the slowest listing.
        self._top: TopLevel | None = None
        self.now_ms = 0
        self.partitions: dict[str, Partition] = {}

    @property
    def since_ms(self) -> int:
        """Where coverage begins, in ms since 1970."""
        return min(one.ledger.coverage.since_ms for one in self.partitions.values())

    def at(self, start: Start) -> Start:
        """Returns the start by the store's time, if the store tells it.

        The store sets LastModified, and this machine's clock may be wrong.
        """
        store_ms = self._top_level().store_ms
        self.now_ms = start.now_ms if store_ms is None else store_ms
        return replace(start, now_ms=self.now_ms)

    def load(self, start: Start, whole: Whole | None = None) -> None:
        """Loads the partitions; nothing is written.

        Raises:
            ForwarderError: the buckets or a checkpoint can't be used.
        """
        start = self.at(start)
        whole = whole or load_whole(self.source, self._client)
        self.partitions = {one.source.part: one for one in load_partitions(whole, start)}

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of a due object begins: behind what is shipped of it already."""
        return self.partitions[self.source.part_with(due.key)].ledger.position(due)

    def find(self, key: str) -> LogObject | None:
        """Returns an object by its key, None if two ways say that it does not exist.

        Raises:
            ServiceError: it can't be told now.
        """
        return self.bucket.find(key) or self.bucket.head(key)

    def backlog(self) -> Backlog:
        """Returns one that takes what a listing shows."""
        return Backlog(self.source.prefix, self.now_ms)

    def owed(self) -> Iterator[LogObject]:
        """Yields the objects that are owed and still there."""
        for one in self.partitions.values():
            yield from filter(None, map(self.find, one.ledger.owed))

    def listed(self, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects that are due, in the order of the one listing for all partitions.

        Args:
            backlog: takes what the listing shows.
        """
        until_ms = self.source.until_ms
        ledgers = [one.ledger for one in self.partitions.values()]
        for place in backlog.places(ledgers, self._top_level().folders):
            backlog.begin(place)
            for listed in self._objects(place):
                is_of_type = self.source.is_of_type(listed)
                if is_of_type and listed.last_modified_ms > backlog.survey.newest_of_type_ms:
                    backlog.survey.newest_of_type_ms = listed.last_modified_ms
                if until_ms is not None and listed.last_modified_ms >= until_ms:
                    backlog.survey.count(listed)
                    continue
                is_due = is_of_type and self._is_due(listed)
                backlog.note(listed, is_due=is_due)
                if is_due:
                    yield listed

    def left(self, backlog: Backlog) -> Iterator[LogObject]:
        """Yields the objects for the next plan that are still due; one may appear twice.

        Args:
            backlog: of the listing, with a plan carried out.
        """
        for stretch in backlog.stretches():
            for listed in self._objects(stretch.place, stretch.after):
                is_planned = listed.last_modified_ms <= backlog.until_ms
                if is_planned and self.source.is_of_type(listed) and self._is_due(listed):
                    yield listed
                if listed.key == stretch.last:
                    break

    def _top_level(self) -> TopLevel:
        self._top = self._top or self.bucket.top_level()
        return self._top

    def _is_due(self, listed: LogObject) -> bool:
        owner = self.partitions.get(self.source.part_with(listed.key))
        return owner is not None and owner.ledger.is_due(listed)

    def _objects(self, place: str | None, after: str = "") -> Iterator[LogObject]:
        if place is None:
            return self.bucket.beside(self._top_level(), after)
        return self.bucket.objects(place, after)
