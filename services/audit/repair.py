"""Sends exactly what is missing of a source, and makes its checkpoint cover what is proven."""

from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from itertools import islice

from msgspec.structs import replace

from services.audit.verification import EVERYTHING, Auditor, Verification
from services.aws.clients import s3_client
from services.output.checkpoints import CheckpointStore, parts_with_state
from services.output.quarantine import AddingQuarantine
from services.pull_logs_service import AuditBucket
from services.shipping.shared import Report, Shared
from services.shipping.shipper import Context, Shipper, shipping
from services.threads.executor import Workers
from services.upload_cloudwatch_logs_service import LogStream
from utils.config.settings import Source
from utils.errors import CheckpointError, ForwarderError, OwnerError, StoppedError
from utils.lines.batching import acceptance
from utils.model import LogEvent, Position, Start, union
from utils.state.checkpoint import Checkpoint, check_identity, decode_checkpoint
from utils.state.ledger import LATE_WINDOW_MS, MAX_OWED_OBJECTS, Coverage, Ledger
from utils.state.progress import Progress
from utils.state.uncertain import Uncertain

# Each sends what is still missing: one more is needed if the outcome of a put was unknown.
_MOST_SENDINGS = 4


class _Missing(Uncertain):
    """A filter in front of the ordinary puts: what is not missing is stored.

    The keys of objects lead to the numbers of the missing `lines`, and to that of the last one.
    """

    def __init__(self, lines: Mapping[str, Iterable[int]], ends: dict[str, int]) -> None:
        super().__init__()
        self.ends = ends
        self._lines = {key: frozenset(numbers) for key, numbers in lines.items()}

    def split(self, events: Iterable[LogEvent]) -> tuple[list[LogEvent], list[LogEvent]]:
        """Returns the events that are stored, and those that are to be sent."""
        stored: list[LogEvent] = []
        missing: list[LogEvent] = []
        for event in events:
            is_missing = event.line_number in self._lines.get(event.object_key, ())
            (missing if is_missing else stored).append(event)
        return stored, missing


class Repair:
    """One repair of one source.

    While it is at work the checkpoint says so, and no daemon goes on from it. A repair that was
    killed is repeated from the start: it finds what was sent, and does not send it again.
    """

    def __init__(self, source: Source, auditor: Auditor, report: Report, shared: Shared) -> None:
        self._source = source
        self._auditor = auditor
        self._report = report
        self._shared = shared
        self._client = s3_client(source.lyve)
        self._bucket = AuditBucket(self._client, source, shared.stop)
        self._store = self._store_of(source.state_name)
        self._others: dict[str, bytes | None] = {}
        self._has_sent = False

    def run(self, start: Start) -> Verification:
        """Compares, sends what is missing, and compares again; returns the last comparison.

        Raises:
            OwnerError: a daemon is at work.
            ForwarderError: something failed; until a repair ends well, no daemon ships the source.
        """
        document = self._store.look()
        found = self._await_owners(document)
        if self._auditor.is_limited and (found is None or found.running or found.open):
            raise CheckpointError(
                f"The checkpoint {self._store.name} does not say what was shipped on other days",
                "an iteration was not finished" if found else "it is not there, or not usable",
                "Run --repair without --from and --to",
            )
        try:
            with closing(Workers(self._source.concurrency)) as puts:
                return self._run(found, start, puts)
        except ForwarderError:
            if document is not None and not self._has_sent:
                with suppress(ForwarderError):
                    self._store.save(document)
            raise

    def _run(self, found: Checkpoint | None, start: Start, puts: Workers) -> Verification:
        progress = self._progress(found, start)
        context = self._context(progress, start, puts)
        need = replace(EVERYTHING, since_ms=found.coverage.since_ms if found else None)
        with self._shared.memory.joined(), shipping(context) as shipper:
            shipper.saver.confirm(self._shared.stop)
            self._check_others()
            proof = self._auditor.compare(self._source, need)
            found_before = proof.audit.found
            need = replace(need, young_ms=proof.young_ms)
            for _ in range(_MOST_SENDINGS):
                if not proof.audit.missing:
                    break
                self._send(shipper, progress, proof)
                proof = self._auditor.compare(self._source, need)
            if proof.audit.missing:
                raise ForwarderError(
                    f"Lines of {self._source.name} are still missing after they were sent",
                    f"{proof.audit.missing} of them",
                    "Raise settle_seconds, if CloudWatch shows them later; then run --repair again",
                )
            self._cover(progress.ledger, proof)
            progress.end_repair()
        proof.audit.repaired = proof.audit.found - found_before
        return proof

    # Who is at work.

    def _store_of(self, name: str) -> CheckpointStore:
        return CheckpointStore(self._client, self._source.output_bucket, name)

    def _await_owners(self, document: bytes | None) -> Checkpoint | None:
        """Returns the checkpoint, if it can be believed, once nobody is at work on it.

        Raises:
            OwnerError: a daemon is at work.
        """
        self._others = self._look_at_others()
        found = self._decoded(document)
        known = [found, *(self._decoded(one) for one in self._others.values())]
        if any(one is None or one.running or one.repairing for one in known):
            # What a dead process has sent is readable then.
            if self._shared.stop.wait(self._source.settle_seconds):
                raise StoppedError
            if self._store.look() != document:
                raise self._at_work(self._store.name)
            self._check_others()
        if found is None or found.repairing:
            return None
        try:
            endpoint_url = self._source.lyve.endpoint_url
            return check_identity(found, self._source.identity, self._store.name, endpoint_url)
        except CheckpointError:
            return None

    def _look_at_others(self) -> dict[str, bytes | None]:
        """Returns the checkpoints of the parts that the source is or was shared by."""
        parts = parts_with_state(self._client, self._source.output_bucket, self._source.name)
        return {part: self._store_of(f"{self._source.name}/{part}").look() for part in parts}

    def _check_others(self) -> None:
        now = self._look_at_others()
        for part in now.keys() | self._others.keys():
            if now.get(part) != self._others.get(part):
                raise self._at_work(f"{self._store.name} ({part})")

    def _decoded(self, document: bytes | None) -> Checkpoint | None:
        try:
            return decode_checkpoint(document, self._store.name) if document else None
        except CheckpointError:
            return None

    # What is sent.

    def _progress(self, found: Checkpoint | None, start: Start) -> Progress:
        coverage = found.coverage if found and self._auditor.is_limited else Coverage(0)
        checkpoint = Checkpoint(
            self._source.identity,
            start.owner,
            coverage,
            saves=found.saves + 1 if found else 0,
            upload_ms=max(start.now_ms, found.upload_ms if found else 0),
            repairing=True,
        )
        return Progress(checkpoint, Ledger(coverage, self._source.prefix))

    def _context(self, progress: Progress, start: Start, puts: Workers) -> Context:
        source, report = self._source, self._report
        log_stream = LogStream(source, report.gauge, self._shared.stop)
        retention_days = log_stream.prepare()
        store_ms = self._bucket.top_level().store_ms
        return Context(
            source=source,
            bucket=self._bucket,
            log_stream=log_stream,
            acceptance=acceptance(start.now_ms if store_ms is None else store_ms, retention_days),
            look=_believe,
            quarantine=AddingQuarantine(self._client, source.output_bucket, source.name),
            store=self._store,
            progress=progress,
            puts=puts,
            report=report,
            shared=self._shared,
        )

    def _send(self, shipper: Shipper, progress: Progress, proof: Verification) -> None:
        """Ships the objects that lack lines, taking all but these lines for stored."""
        lines = proof.findings.missing_lines
        lacking = (one.end for one in proof.tallies if one.object.key in lines)
        self._has_sent = True
        while ends := list(islice(lacking, self._shared.memory.plan_objects())):
            reach = {end.object.key: end.lines for end in ends}
            missing = _Missing({key: lines[key] for key in reach}, reach)
            positions = progress.plan(Position(end.object) for end in ends)
            shipper.recover(positions, missing)

    # What is proven.

    def _cover(self, ledger: Ledger, proof: Verification) -> None:
        """Lets the ledger say what is proven: all but what is left out or can't be read."""
        young, since_ms = proof.findings.young, proof.within[0]
        if not self._auditor.is_limited:
            ledger.coverage.since_ms = since_ms
            frontier_ms = proof.findings.newest_ms - LATE_WINDOW_MS
            ledger.coverage.covered = union([(since_ms, frontier_ms)])
        owed = {*ledger.owed}
        for one in proof.tallies:
            key = one.object.key
            if key in young:
                continue
            if key in proof.unreadable:
                ledger.owe(replace(Position(one.object), in_doubt=True))
            elif one.is_damaged:
                ledger.owe(one.end)
            elif key in owed or ledger.is_due(one.object):
                ledger.record_shipped(one.end)
        if len(ledger.owed) > MAX_OWED_OBJECTS:
            raise CheckpointError(
                f"More objects can't be read to their end than the checkpoint "
                f"{self._store.name} can name",
                f"{len(ledger.owed)}, of at most {MAX_OWED_OBJECTS}",
                "Put them back whole, or move them away; then run --repair again",
            )

    def _at_work(self, name: str) -> OwnerError:
        return OwnerError(
            f"A daemon is at work on this source: it changes the checkpoint {name}",
            "another owner",
            "Stop it, and run --repair again",
        )


def _believe(uncertain: Uncertain, *_: object) -> None:
    """Leaves what is in doubt to the next comparison."""
    uncertain.believe()
