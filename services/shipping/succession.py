"""Hands a source over when the number of replicas that share it has changed."""

from collections.abc import Iterable

from msgspec.structs import replace

from services.shipping.due import DueObjects, Outset
from services.shipping.reconcile import await_owner
from services.shipping.resume import Report, Resumption
from services.shipping.tools import Shared
from utils.config.sharding import Shard
from utils.errors import CheckpointError, OwnerError, StoppedError
from utils.model import Start
from utils.state.checkpoint import VERSION, Checkpoint, Succession, encode_checkpoint
from utils.state.coverage import Coverage
from utils.state.predecessors import Predecessor, kind_of
from utils.state.progress import Progress

# The store's time comes in whole seconds.
_STORE_STEP_MS = 1000
_SHORTEST_WAIT_SECONDS = 1.0


class Handover:
    """Makes this kind of replica the one that ships a source, and ends the kinds before.

    A kind is how many replicas share the source. Each replica of the kinds before is ended by
    whichever comes first: what it had begun is shipped into its own log stream, then its checkpoint
    says that it is over. What it covers stays known; the rest is for the new kind.

    Args:
        due: of the source.
        report: takes what becomes of it.
        shared: with the other sources.
    """

    def __init__(self, due: DueObjects, report: Report, shared: Shared) -> None:
        self._due = due
        self._source = due.source
        self._report = report
        self._shared = shared
        self._awaited: set[Shard | None] = set()

    def open(self, start: Start) -> Outset:
        """Returns what an iteration begins with, once the checkpoint says that this kind ships.

        Args:
            start: when and as whom it begins.

        Raises:
            CheckpointError: another kind has taken over from this process.
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        outset = self._due.outset(start)
        history = outset.checkpoint.history
        ahead = (_from_ms(one) for one in outset.predecessors if not one.is_over)
        # One that has claimed the source since may have died before it ended this kind.
        claimed_ms = 0 if outset.is_new else max(ahead, default=0)
        is_passed = claimed_ms > history.from_ms
        ended_ms = max(history.over_ms or 0, claimed_ms if is_passed else 0)
        if ended_ms > outset.now_ms + _STORE_STEP_MS - start.process_ago_ms:
            raise self._superseded()
        if not outset.is_new and not is_passed:
            return outset
        self._begin(outset, start)
        begun = self._due.outset(start)
        _check_owner(begun, start, self._due.store.name)
        return begun

    def complete(self, outset: Outset, start: Start) -> Outset:
        """Returns the same once no other kind ships the source any more.

        Args:
            outset: what the iteration begins with.
            start: when and as whom it began.

        Raises:
            CheckpointError: another kind has taken over.
            ForwarderError: what another one had begun can't be shipped.
        """
        while ahead := [one for one in outset.predecessors if not one.is_over]:
            if any(_from_ms(one) > outset.checkpoint.history.from_ms for one in ahead):
                raise self._superseded()
            for one in self._in_turn(ahead):
                try:
                    self._end(one.shard, outset, start)
                except OwnerError:
                    self._wait_for(one.shard)
            outset = self._due.outset(start)
        return outset

    def _begin(self, outset: Outset, start: Start) -> None:
        """Claims the source and looks for others again: of two that begin, one sees the other."""
        from_ms = max([outset.now_ms, *(_from_ms(one) + 1 for one in outset.predecessors)])
        kinds: list[int] | None = None
        saves = outset.checkpoint.saves
        while kinds != (found := self._other_kinds()):
            kinds, saves = found, saves + 1
            claim = replace(outset.checkpoint, owner=start.owner, saves=saves)
            self._due.store.save(_of_kind(claim, Succession(from_ms, kinds)))

    def _other_kinds(self) -> list[int]:
        kinds = {kind_of(shard) for shard in self._due.shards()}
        return sorted(kinds - {kind_of(self._source.shard)})

    def _in_turn(self, ahead: Iterable[Predecessor]) -> list[Predecessor]:
        """Begins with another one than the other replicas of this kind do."""
        own = self._source.shard.number if self._source.shard else 1
        numbers = {one.shard: one.shard.number if one.shard else 1 for one in ahead}
        return sorted(ahead, key=lambda one: (numbers[one.shard] < own, numbers[one.shard]))

    def _end(self, shard: Shard | None, outset: Outset, start: Start) -> None:
        due = DueObjects(self._source.of_shard(shard), self._due.client, self._shared.stop)
        found = due.store.load()
        if found is None or found.history.over_ms is not None:
            return
        progress = Progress(found, Coverage(found.coverage, self._source.prefix))
        if found.running or found.open:
            progress = self._ship_begun(due, found, start)
        progress.hand_over(outset.now_ms)
        due.store.save(progress.snapshot().document)

    def _ship_begun(self, due: DueObjects, found: Checkpoint, start: Start) -> Progress:
        if found.running:
            # Twice as long as one that has just claimed it takes to go on.
            wait_seconds = 2 * self._source.settle_seconds
            await_owner(due.store, found, wait_seconds, self._shared.stop)
        claim = replace(found, owner=start.owner, running=True, saves=found.saves + 1)
        due.store.save(_of_kind(claim, found.history))
        # Of several that claim it at once, only the last one finds its own claim.
        begun = due.outset(start)
        _check_owner(begun, start, due.store.name)
        resumption = Resumption(due, self._report, self._shared)
        with resumption.under_way(begun, start.owner) as (_, progress):
            return progress

    def _wait_for(self, shard: Shard | None) -> None:
        if shard not in self._awaited:
            self._awaited.add(shard)
            text = f"Waiting for {_name(shard)}, which is still at work on this source."
            self._report.status.write("WARN", text, {})
        seconds = max(_SHORTEST_WAIT_SECONDS, self._source.settle_seconds)
        if self._shared.stop.wait(seconds):
            raise StoppedError("Stopped before another replica had ended")

    def _superseded(self) -> CheckpointError:
        name = _name(self._source.shard)
        return CheckpointError(
            f"Replicas of another number ship this source now, instead of {name}",
            self._due.store.name,
            "Stop this one, or start it again with the SHARD that is meant",
        )


def _check_owner(claimed: Outset, start: Start, name: str) -> None:
    """Makes sure that what was loaded after a claim is that claim: two may pass the look before."""
    if claimed.checkpoint.owner != start.owner:
        raise OwnerError(
            f"Another process claimed the checkpoint {name} at the same time",
            f"owner {claimed.checkpoint.owner}",
            "Nothing is to be done if it is another replica; stop one of two daemons",
        )


def _from_ms(one: Predecessor) -> int:
    return one.checkpoint.history.from_ms


def _name(shard: Shard | None) -> str:
    return f"the replica {shard}" if shard else "the daemon without SHARD"


def _of_kind(checkpoint: Checkpoint, history: Succession) -> bytes:
    return encode_checkpoint(replace(checkpoint, version=VERSION, succession=history))
