"""Ships what is due for one source: the only module that knows the order of steps."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import msgspec
from msgspec.structs import replace

from services.aws.clients import s3_client
from services.output.quarantine import Quarantine
from services.shipping.due import DueObjects
from services.shipping.partitions import (
    Partition,
    SharedSource,
    Whole,
    ensure_checkpoint,
    load_whole,
)
from services.shipping.reconcile import Reconciler
from services.shipping.shared import Report, Shared
from services.shipping.shipper import Context, Shipper, shipping
from services.threads.executor import Workers
from services.upload_cloudwatch_logs_service import LogStream
from utils.config.settings import Source
from utils.errors import CheckpointError
from utils.lines.batching import acceptance
from utils.model import LogObject, Position, Start
from utils.state.ledger import Survey
from utils.state.planning import oldest
from utils.state.progress import Progress
from utils.state.uncertain import Uncertain

# Each claim has to hold for a second before anything is sent.
_CLAIMED_AHEAD = 4


class Claim(msgspec.Struct, frozen=True):
    """A partition that this process has claimed; `stack` holds what ends the claim."""

    partition: Partition
    shipper: Shipper
    progress: Progress
    stack: ExitStack


class Forwarder:
    """One iteration of one source.

    `survey` is what the listing that it is at, or was at last, has shown.

    Args:
        source: what to ship where.
        start: when and as whom it begins.
        report: takes what becomes of it.
        shared: with the other sources.
    """

    def __init__(self, source: Source, start: Start, report: Report, shared: Shared) -> None:
        self._source = source
        self._start = start
        self._report = report
        self._shared = shared
        self.client = s3_client(source.lyve)
        self._puts = Workers(source.concurrency)
        self._due = DueObjects(source, self.client, shared.stop)
        self._shared_source = (
            SharedSource(source, self.client, self._recover, shared.stop) if source.shard else None
        )
        self._stack = ExitStack()
        self._claims: dict[str, Claim] = {}
        self._failures: dict[str, CheckpointError] = {}
        self.survey = Survey()

    @property
    def failures(self) -> list[CheckpointError]:
        """What failed of single partitions, by the checkpoint of each."""
        return list(self._failures.values())

    @property
    def now_ms(self) -> int:
        """The store's time at its beginning, in ms since 1970."""
        return self._due.now_ms

    @property
    def _partitions(self) -> list[Partition]:
        return list(self._due.partitions.values())

    @property
    def newest_shipped_ms(self) -> int:
        """The newest `LastModified` that is known to be shipped, in ms since 1970, 0 for none."""
        return max((one.ledger.newest_shipped_ms for one in self._partitions), default=0)

    @property
    def owed(self) -> int:
        """How many objects were tried and are not wholly shipped."""
        return sum(len(one.ledger.owed) for one in self._partitions)

    def start_up(self) -> None:
        """Makes the checkpoint where there is none, so that coverage begins now.

        Raises:
            ForwarderError: the buckets, the checkpoint or the log group can't be used.
        """
        self._begin()
        self._prove_access()

    def run(self) -> None:
        """Ships everything that is due.

        A partition that fails only for its checkpoint keeps no other from being shipped.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        self._begin()
        with self._shared.memory.joined(), self._stack:
            # If there is only one, its claim begins to hold while the bucket is listed.
            is_alone = len(self._partitions) == 1
            for partition in self._partitions:
                if is_alone or partition.is_begun:
                    self._claim(partition)
            if len(self._failures) < len(self._partitions):
                self._ship_due()
            if not self._claims:
                self._prove_access()
        if self._failures:
            raise self.failures[-1]

    def look(self) -> None:
        """Lists the bucket for `survey`, and ships nothing.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        if not self._due.partitions:
            self._due.load(self._start)
        backlog = self._due.backlog()
        for _ in self._due.listed(backlog):
            pass
        self.survey = backlog.survey

    def close(self) -> None:
        """Lets its threads end."""
        self._puts.close()

    def _begin(self) -> None:
        start = self._due.at(self._start)
        found = self._whole()
        if found.is_new:
            self._check_first_start(found)
        ensured = (
            self._shared_source.ensure_checkpoints(found, start)
            if self._shared_source
            else ensure_checkpoint(found, start)
        )
        self._due.load(start, ensured)

    def _check_first_start(self, whole: Whole) -> None:
        """Makes sure that nothing was shipped before and is forgotten: that would be doubled.

        Raises:
            CheckpointError: a log stream holds events. Of one that several sources are shipped into
                that says nothing.
        """
        if self._source.shares_stream:
            return
        parts = self._source.parts()
        self._log_stream(parts[0]).prepare()
        for part in dict.fromkeys([*parts, ""]):
            stream = self._log_stream(part)
            # Another replica may have begun meanwhile.
            if stream.holds_events(self.now_ms) and self._whole().is_new:
                raise CheckpointError(
                    f"There is no checkpoint {whole.part.store.name}, but the log stream "
                    f"{stream.log_stream} holds events",
                    "not found",
                    "Run --repair, which finds out what was shipped; or set log_stream to a new "
                    "name",
                )

    def _whole(self) -> Whole:
        return load_whole(self._source, self.client)

    def _log_stream(self, part: str) -> LogStream:
        return LogStream(self._source.of_part(part), self._report.gauge, self._shared.stop)

    @contextmanager
    def _under_way(self, partition: Partition) -> Iterator[tuple[Shipper, Progress]]:
        """Ships what was begun of a partition, lets more be shipped, and saves how far it came."""
        source, found, bucket = partition.source, partition.checkpoint, self._due.bucket
        log_stream = self._log_stream(source.part)
        accepted = acceptance(partition.now_ms, log_stream.prepare())
        reconciler = Reconciler(bucket, log_stream.read_back, partition.origin, self._report)
        positions = [self._as_it_is(one, partition) for one in found.open]
        recovered = Uncertain()
        if found.running:
            text = "An iteration was not finished; reading back what it sent."
            self._report.status.write("WARN", text, {"settle_seconds": source.settle_seconds})
            partition.await_owner(self._shared.stop)
            positions, recovered = reconciler.recover(positions)
        upload_ms = max(partition.now_ms, found.upload_ms)
        begun = replace(found, owner=self._start.owner, upload_ms=upload_ms)
        progress = Progress(begun, partition.ledger)
        positions = progress.plan(positions)
        context = Context(
            source=source,
            bucket=bucket,
            log_stream=log_stream,
            acceptance=accepted,
            look=reconciler.look,
            quarantine=Quarantine(self.client, source.output_bucket, source.name),
            store=partition.store,
            progress=progress,
            puts=self._puts,
            report=self._report,
            shared=self._shared,
        )
        with shipping(context) as shipper:
            shipper.recover(positions, recovered)
            yield shipper, progress

    def _as_it_is(self, position: Position, partition: Partition) -> Position:
        """Returns the position in the object as it is now."""
        now = self._due.bucket.current(position.object)
        if now == position.object:
            return position
        earlier_ms = position.object.last_modified_ms
        in_doubt = partition.checkpoint.running or position.in_doubt
        return replace(position, object=now, earlier_ms=earlier_ms, in_doubt=in_doubt)

    def _recover(self, partition: Partition) -> None:
        """Ends what an unfinished iteration has left, and ships nothing else."""
        with self._under_way(partition):
            pass

    def _prove_access(self) -> None:
        """Makes sure that the log group can be used, even if nothing is to be shipped."""
        self._log_stream(self._source.parts()[0]).prepare()

    @contextmanager
    def _apart(self, partition: Partition) -> Iterator[None]:
        """Ends a partition's claim if its checkpoint fails, and lets the others go on.

        Raises:
            CheckpointError: replicas of another number have taken over, so nothing goes on.
        """
        if self._shared_source and partition.source.part not in self._claims:
            self._shared_source.check()
        try:
            yield
        except CheckpointError as exc:
            self._failures[partition.source.part] = exc
            claim = self._claims.get(partition.source.part)
            if claim:
                with suppress(CheckpointError):
                    claim.stack.__exit__(*sys.exc_info())

    def _claim(self, partition: Partition) -> None:
        """Claims a partition, and ships what was begun and what is owed of it."""
        part = partition.source.part
        if part in self._claims or part in self._failures:
            return
        with self._apart(partition):
            own = self._stack.enter_context(ExitStack())
            shipper, progress = own.enter_context(self._under_way(partition))
            self._claims[part] = Claim(partition, shipper, progress, own)
            self._ship_owed(self._claims[part])

    def _ship_owed(self, claim: Claim) -> None:
        """Tries again what is owed, and lets go of what the bucket no longer holds."""
        found = []
        begun = {one.object.key for one in claim.partition.checkpoint.open}
        for key in claim.progress.ledger.owed:
            if key in begun:  # it was tried a moment ago
                continue
            listed = self._due.find(key)
            if listed:
                found.append(claim.partition.ledger.position(listed))
            else:
                text = f"The object {key} is not there any more, so the rest of it is not owed."
                pairs = {"object": key, "lines": claim.progress.let_go(key)}
                self._report.status.write("WARN", text, pairs)
        claim.shipper.ship(claim.progress.plan(found))

    def _ship_due(self) -> None:
        """Plans what is due of all partitions by one listing, and ships each one's part in turn."""
        backlog = self._due.backlog()
        self.survey = backlog.survey
        due = self._due.listed(backlog)
        is_complete = False
        while not is_complete:
            if self._shared_source and self._claims:
                self._shared_source.check()
            most = self._shared.memory.plan_objects()
            plan = oldest(due, most)
            frontier_ms = backlog.carry_out(plan, most)
            is_complete = not backlog
            planned: dict[str, list[LogObject]] = {}
            for one in dict.fromkeys(plan):
                planned.setdefault(self._source.part_with(one.key), []).append(one)
            self._ship_plan(planned, frontier_ms, is_last=is_complete)
            due = self._due.left(backlog)
        if any(one.ledger.is_crowded for one in self._partitions):
            text = "So many objects are new that late ones are found for less than 24 hours."
            self._report.status.write("WARN", text, {})
        unfit = sum(one.ledger.unfit for one in self._partitions)
        if unfit:
            text = f"The checkpoint has no room for {unfit:,} of the objects that are owed, so it \
grows with all that is shipped meanwhile. Put them back whole, permit reading them, or move them \
away."
            self._report.status.write("WARN", text, {})

    def _ship_plan(
        self, planned: Mapping[str, Sequence[LogObject]], frontier_ms: int, *, is_last: bool
    ) -> None:
        """Ships a plan partition by partition, while the claims of the next ones hold already."""
        at_work = [
            one
            for one in self._partitions
            if one.source.part in {*planned, *self._claims} or self.survey.is_sweep
        ]
        for place, partition in enumerate(at_work):
            for ahead in at_work[place : place + _CLAIMED_AHEAD]:
                self._claim(ahead)
            part = partition.source.part
            if part not in self._failures:
                with self._apart(partition):
                    own = planned.get(part, [])
                    self._ship(self._claims[part], own, frontier_ms, is_last=is_last)

    def _ship(
        self, claim: Claim, planned: Iterable[LogObject], frontier_ms: int, *, is_last: bool
    ) -> None:
        """Ships a partition's part of a plan; behind the last plan its claim ends."""
        partition, progress = claim.partition, claim.progress
        progress.survey = self.survey
        # The plan did not know what had been begun, which is shipped by now.
        due = (one for one in planned if partition.ledger.is_due(one))
        claim.shipper.ship(progress.plan(partition.ledger.position(one) for one in due))
        progress.close_plan(frontier_ms)
        if is_last:
            claim.stack.close()
