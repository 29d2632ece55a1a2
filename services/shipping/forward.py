"""Ships what is due for one source: the only module that knows the order of steps."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

import msgspec

from services.aws.clients import s3_client
from services.shipping.due import Basis, DueObjects
from services.shipping.partitions import Partition, Whole, load_whole
from services.shipping.recovery import Recovery
from services.shipping.shared import Report, Shared
from services.shipping.sharing import SharedSource, open_alone
from services.shipping.shipper import Shipper
from services.upload_cloudwatch_logs_service import LogStream
from utils.config.settings import Source
from utils.errors import CheckpointError
from utils.model import LogObject, Start
from utils.state.planning import Survey, oldest
from utils.state.progress import Progress

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

    `survey` is what the listing that it is at, or was at last, has shown; `now_ms` the store's time
    at its beginning, in ms since 1970.

    Args:
        source: what to ship where.
        report: takes what becomes of it.
        shared: with the other sources.
    """

    def __init__(self, source: Source, report: Report, shared: Shared) -> None:
        self._source = source
        self._report = report
        self._shared = shared
        self.client = s3_client(source.lyve)
        self._due = DueObjects(source, self.client, shared.stop)
        self._sharing = (
            SharedSource(source, source.shard, self.client, self._recover, shared.stop)
            if source.shard
            else None
        )
        self._partitions: Sequence[Partition] = []
        self._newest_shipped_ms = 0
        self._claims: dict[str, Claim] = {}
        self._failures: dict[str, CheckpointError] = {}
        self._is_crowded = False
        self.survey = Survey()
        self.now_ms = 0

    @property
    def failures(self) -> list[CheckpointError]:
        """What failed of single partitions, by the checkpoint of each."""
        return list(self._failures.values())

    @property
    def newest_shipped_ms(self) -> int:
        """The newest `LastModified` that is known to be shipped, in ms since 1970, 0 for none."""
        claimed = (one.progress.newest_shipped_ms for one in self._claims.values())
        return max([self._newest_shipped_ms, *claimed])

    @property
    def owed(self) -> int:
        """How many objects were tried and are not wholly shipped."""
        return sum(len(one.ledger.owed) for one in self._partitions)

    def open(self, start: Start) -> None:
        """Makes the checkpoint where there is none, so that coverage begins now.

        Raises:
            ForwarderError: the buckets, the checkpoint or the log group can't be used.
        """
        self._prove_access(self._basis(start))

    def run(self, start: Start) -> None:
        """Ships everything that is due.

        A partition that fails only for its checkpoint keeps no other from being shipped.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        basis = self._basis(start)
        with self._shared.memory.joined(), ExitStack() as stack:
            # If there is only one, its claim begins to hold while the bucket is listed.
            is_alone = len(self._partitions) == 1
            begun = [one for one in self._partitions if is_alone or one.is_begun]
            for partition in begun:
                with self._apart(partition):
                    self._claimed(partition, start, stack)
            if len(self._failures) < len(self._partitions):
                self._ship_due(basis, start, stack)
            if not self._claims:
                self._prove_access(basis)
        if self._failures:
            raise self.failures[-1]

    def look(self, start: Start) -> None:
        """Lists the bucket for `survey`, and ships nothing.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        backlog = self._due.backlog()
        basis = self._due.basis(start)
        self.now_ms = basis.now_ms
        for _ in self._due.listed(basis, backlog):
            pass
        self.survey = backlog.survey

    def _basis(self, start: Start) -> Basis:
        now_ms = self._due.now_ms(start)
        found = self._whole()
        if found.is_new:
            self._check_first_start(found, now_ms)
        if self._sharing:
            whole = self._sharing.open(found, start, now_ms)
        else:
            whole = open_alone(found, start, now_ms)
        basis = self._due.basis(start, whole)
        self.now_ms = basis.now_ms
        self._partitions = list(basis.partitions.values())
        shipped = (one.ledger.coverage.newest_shipped_ms() for one in self._partitions)
        self._newest_shipped_ms = max(shipped)
        return basis

    def _check_first_start(self, whole: Whole, now_ms: int) -> None:
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
            if stream.holds_events(now_ms) and self._whole().is_new:
                raise CheckpointError(
                    f"There is no checkpoint {whole.part.store.name}, but the log stream "
                    f"{stream.log_stream} holds events",
                    "not found",
                    "Run --repair, which finds out what was shipped; or set log_stream to a new "
                    "name",
                )

    def _whole(self) -> Whole:
        return load_whole(self._source, self.client, self._shared.stop)

    def _log_stream(self, part: str) -> LogStream:
        return LogStream(self._source.of_part(part), self._report.gauge, self._shared.stop)

    def _recover(self, partition: Partition, start: Start) -> None:
        """Ends what an unfinished iteration has left, and ships nothing else."""
        with Recovery(partition, self._report, self._shared).under_way(start.owner):
            pass

    def _prove_access(self, basis: Basis) -> None:
        """Makes sure that the log group can be used, even if nothing is to be shipped."""
        first = next(iter(basis.partitions.values()))
        Recovery(first, self._report, self._shared).log_stream().prepare()

    @contextmanager
    def _apart(self, partition: Partition) -> Iterator[None]:
        """Ends a partition's claim if its checkpoint fails, and lets the others go on.

        Raises:
            CheckpointError: replicas of another number have taken over, so nothing goes on.
        """
        if self._sharing and partition.source.part not in self._claims:
            self._sharing.check()
        try:
            yield
        except CheckpointError as exc:
            self._failures[partition.source.part] = exc
            claim = self._claims.get(partition.source.part)
            if claim:
                with suppress(CheckpointError):
                    claim.stack.__exit__(*sys.exc_info())

    def _claimed(self, partition: Partition, start: Start, stack: ExitStack) -> Claim:
        """Claims a partition, and ships what was begun and what is owed of it."""
        part = partition.source.part
        if part not in self._claims:
            recovery = Recovery(partition, self._report, self._shared)
            own = stack.enter_context(ExitStack())
            shipper, progress = own.enter_context(recovery.under_way(start.owner))
            self._claims[part] = Claim(partition, shipper, progress, own)
            self._ship_owed(self._claims[part])
        return self._claims[part]

    def _ship_owed(self, claim: Claim) -> None:
        """Tries again what is owed, and lets go of what the bucket no longer holds."""
        found = []
        for key in claim.progress.ledger.owed:
            listed = claim.partition.find(key)
            if listed:
                found.append(claim.partition.position(listed))
            else:
                text = f"The object {key} is not there any more, so the rest of it is not owed."
                pairs = {"object": key, "lines": claim.progress.let_go(key)}
                self._report.status.write("WARN", text, pairs)
        claim.shipper.ship(claim.progress.plan(found))

    def _ship_due(self, basis: Basis, start: Start, stack: ExitStack) -> None:
        """Plans what is due of all partitions by one listing, and ships each one's part in turn."""
        backlog = self._due.backlog()
        self.survey = backlog.survey
        due = self._due.listed(basis, backlog)
        is_complete = False
        while not is_complete:
            if self._sharing and self._claims:
                self._sharing.check()
            most = self._shared.memory.plan_objects()
            plan = oldest(due, most)
            frontier_ms = backlog.carry_out(plan, most)
            is_complete = not backlog
            planned: dict[str, list[LogObject]] = {}
            for one in dict.fromkeys(plan):
                planned.setdefault(self._source.part_with(one.key), []).append(one)
            self._ship_plan(planned, frontier_ms, start, stack, is_last=is_complete)
            due = self._due.left(basis, backlog)
        if self._is_crowded:
            text = "So many objects are new that late ones are found for less than 24 hours."
            self._report.status.write("WARN", text, {})

    def _ship_plan(
        self,
        planned: Mapping[str, Sequence[LogObject]],
        frontier_ms: int,
        start: Start,
        stack: ExitStack,
        *,
        is_last: bool,
    ) -> None:
        """Ships a plan partition by partition, while the claims of the next ones hold already."""
        at_work = [
            one
            for one in self._partitions
            if one.source.part in {*planned, *self._claims} or one.ledger.is_sweeping
        ]
        for place, partition in enumerate(at_work):
            for ahead in at_work[place : place + _CLAIMED_AHEAD]:
                if ahead.source.part not in {*self._claims, *self._failures}:
                    with self._apart(ahead):
                        self._claimed(ahead, start, stack)
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
        progress.plan_from(self.survey, partition.now_ms)
        # The plan did not know what had been begun, which is shipped by now.
        due = (one for one in planned if partition.ledger.is_due(one))
        claim.shipper.ship(progress.plan(partition.position(one) for one in due))
        self._is_crowded |= progress.close_plan(frontier_ms)
        if is_last:
            claim.stack.close()
        else:
            partition.bucket.reader.close()
