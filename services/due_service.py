"""Tells what is due for one source, from its checkpoint and its bucket."""

from collections.abc import Iterator
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING

import msgspec

from services.checkpoint_service import CheckpointStore
from services.pull_logs_service import AuditBucket, TopLevel
from utils.checkpoint import Checkpoint, check_identity
from utils.coverage import Coverage
from utils.coverage_state import CoverageState
from utils.model import LogObject, Start
from utils.planning import Survey, is_of_type
from utils.settings import Source

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class Outset(msgspec.Struct, frozen=True):
    """What an iteration begins with; `now_ms` is the store's time, in ms since 1970."""

    now_ms: int
    top: TopLevel
    checkpoint: Checkpoint
    is_first: bool
    coverage: Coverage


class DueObjects:
    """Lists the objects of one source that its checkpoint does not cover.

    Args:
        source: what to ship where.
        client: of Lyve Cloud's S3.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, client: "S3Client", stop: Event) -> None:
        self._source = source
        self.bucket = AuditBucket(client, source.bucket_name, stop)
        self.store = CheckpointStore(client, source.output_bucket, source.name)

    def outset(self, start: Start) -> Outset:
        """Returns what an iteration begins with; nothing is written.

        Args:
            start: when and as whom it begins.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        top = self.bucket.top_level()
        # The store sets LastModified, and this machine's clock may be wrong.
        now_ms = start.now_ms if top.store_ms is None else top.store_ms
        found = self.store.load()
        if found:
            check_identity(found, self._source.identity, self.store.name)
        since_ms = self._since_ms(now_ms, start)
        first = Checkpoint(self._source.identity, start.owner, CoverageState(since_ms))
        checkpoint = found or first
        coverage = Coverage(checkpoint.coverage)
        # `lasthour` moves the beginning only where it lies ahead, after a date still to come.
        if self._source.since_ms is not None or coverage.state.since_ms > now_ms:
            coverage.begin_at(since_ms)
        return Outset(now_ms, top, checkpoint, found is None, coverage)

    def listed(self, outset: Outset, survey: Survey) -> Iterator[LogObject]:
        """Yields the objects that are due, in the order of the listing.

        Args:
            outset: of the iteration.
            survey: takes what the listing shows.
        """
        folders = outset.coverage.folders_to_list(outset.top.folders, outset.now_ms)
        parts = [iter(outset.top.objects), *(self.bucket.objects(folder) for folder in folders)]
        for listed in chain.from_iterable(parts):
            survey.note(listed)
            if is_of_type(listed.key, self._source.log_type) and outset.coverage.is_due(listed):
                yield listed

    def _since_ms(self, now_ms: int, start: Start) -> int:
        if self._source.since_ms is None:
            return now_ms - start.lasthour_ago_ms
        return self._source.since_ms
