"""Ships planned objects into the log stream: chunks in order, their batches side by side."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from threading import Event

import msgspec

from services.checkpoint_service import CheckpointSaver
from services.pull_logs_service import AuditBucket
from services.read_ahead import read_ahead
from services.settle_service import ReadBackDeniedError, Settler
from services.status_service import Quarantine, StatusLog
from services.upload_cloudwatch_logs_service import Delivery, LogStream, UploadTimes
from services.worker_pool import WorkerPool
from utils.batching import Acceptance, batches, restamped
from utils.chunking import Chunk, ContentChangedError, chunks
from utils.errors import ForwarderError, StoppedError
from utils.model import Batch, Counts, Gauge, LogEvent, Position
from utils.progress import Mark, Progress
from utils.settling import Doubt, split_stored

_CHUNKS_READ_AHEAD = 1
_MOST_PENDING_BYTES = 12 * 1024 * 1024
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class Rules(msgspec.Struct, frozen=True):
    """How events become batches in one iteration."""

    batch_size: int
    acceptance: Acceptance
    settle_seconds: float
    concurrency: int


class Tools(msgspec.Struct, frozen=True):
    """What the shipping of one source works with."""

    bucket: AuditBucket
    log_stream: LogStream
    settler: Settler
    quarantine: Quarantine
    progress: Progress
    saver: CheckpointSaver
    status: StatusLog
    gauge: Gauge
    stop: Event


class _Pending(msgspec.Struct):
    """A chunk whose batches are under way."""

    chunk: Chunk
    upload_from_ms: int
    futures: "list[Future[Delivery]]"
    delivery: Delivery


class Shipper:
    """Ships one source's objects; what it acknowledges is always a beginning of what is planned.

    Args:
        tools: what it works with. Nothing is sent too far beyond what its saver saved.
        rules: how events become batches.
        upload_times: of the iteration.
        counts: takes what became of the lines.
    """

    def __init__(
        self, tools: Tools, rules: Rules, upload_times: UploadTimes, counts: Counts
    ) -> None:
        self._tools = tools
        self._rules = rules
        self._upload_times = upload_times
        self._pool = WorkerPool(self._deliver, rules.concurrency)
        self._pending: deque[_Pending] = deque()
        self._sent = Mark()
        self._counts = counts

    def ship(self, positions: list[Position]) -> None:
        """Ships the objects behind their positions, in their order.

        Raises:
            ForwarderError: something failed; `wind_up` is to be called in any case.
        """
        self._tools.progress.plan(positions)
        self._tools.gauge.expect(position.object for position in positions)
        stop = self._tools.stop
        for chunk in read_ahead(self._chunks(positions), _CHUNKS_READ_AHEAD, stop):
            self._await_room(chunk)
            self._send(chunk)
            while self._is_loaded():
                self._finish_oldest()
        while self._pending:
            self._finish_oldest()

    def wind_up(self) -> bool:
        """Waits a while for what is in flight; returns if nothing is left in doubt."""
        futures = [future for pending in self._pending for future in pending.futures]
        wait(futures, _GRACE_SECONDS)
        self._pool.close()
        try:
            while self._pending and _is_delivered(self._pending[0]):
                self._collect(self._pending[0])
                self._acknowledge_oldest()
        except ForwarderError:
            return False
        return all(_is_untouched(pending) for pending in self._pending)

    def _chunks(self, positions: Iterable[Position]) -> Iterator[Chunk]:
        for position in positions:
            try:
                yield from self._chunks_of(position)
            except ContentChangedError:
                yield from self._chunks_of(Position(position.object))

    def _chunks_of(self, position: Position) -> Iterator[Chunk]:
        lines = self._tools.bucket.lines(position.object)
        return chunks(position, lines, self._rules.batch_size)

    def _await_room(self, chunk: Chunk) -> None:
        """Stays within what the saved checkpoint says may be under way."""
        end = Mark(self._sent.lines + chunk.counts.read, self._sent.objects)
        while not self._tools.saver.has_room(end):
            if self._tools.stop.is_set():
                raise StoppedError("Stopped before everything was shipped")
            if self._pending:
                self._finish_oldest()
            else:
                self._tools.saver.wait_for_save(_LOOK_SECONDS)
        self._sent = Mark(end.lines, end.objects + chunk.is_last)

    def _send(self, chunk: Chunk) -> None:
        upload_from_ms = self._upload_times.next_ms
        acceptance = self._rules.acceptance
        futures = []
        for batch in batches(chunk.events, acceptance, self._rules.batch_size):
            is_in_time = acceptance.includes(batch[0].timestamp_ms)
            stamped = batch if is_in_time else restamped(batch, self._upload_times.take())
            futures.append(self._pool.submit(stamped))
        delivery = Delivery(accepted=list(chunk.stored))
        self._pending.append(_Pending(chunk, upload_from_ms, futures, delivery))

    def _is_loaded(self) -> bool:
        """Tells if enough is under way to keep all workers busy."""
        batches_pending = sum(len(pending.futures) for pending in self._pending)
        bytes_pending = sum(pending.chunk.size_bytes for pending in self._pending)
        return batches_pending > 2 * self._rules.concurrency or bytes_pending > _MOST_PENDING_BYTES

    def _deliver(self, batch: Batch) -> Delivery:
        return self._tools.log_stream.deliver(batch, self._upload_times)

    def _finish_oldest(self) -> None:
        self._collect(self._pending[0])
        if self._pending[0].delivery.uncertain:
            self._settle()
        self._acknowledge_oldest()

    def _collect(self, pending: _Pending) -> None:
        while pending.futures:
            future = pending.futures[0]
            while not future.done():
                wait([future], _LOOK_SECONDS)
                if self._tools.stop.is_set():
                    raise StoppedError("Stopped before everything was shipped")
            pending.delivery.add(future.result())
            pending.futures.pop(0)
        if pending.delivery.error:
            raise pending.delivery.error

    def _settle(self) -> None:
        """Finds out what became of the batches in doubt, and sends again what is missing."""
        for pending in self._pending:
            self._collect(pending)
        while any(pending.delivery.uncertain for pending in self._pending):
            if self._tools.stop.wait(self._rules.settle_seconds):
                raise StoppedError("Stopped before a batch in doubt was settled")
            doubt = self._look()
            for pending in self._pending:
                self._send_missing(pending, doubt)
            for pending in self._pending:
                self._collect(pending)

    def _look(self) -> Doubt:
        doubt = Doubt()
        for event in self._in_doubt():
            doubt.want(event.timestamp_ms, event.message)
        try:
            self._tools.settler.look(doubt, self._tools.progress.started())
        except ReadBackDeniedError:
            self._counts.possibly_duplicated += sum(1 for _ in self._in_doubt())
            return Doubt()
        for pending in self._pending:
            for event in pending.delivery.accepted:
                doubt.discount(event.timestamp_ms, event.message)
        return doubt

    def _in_doubt(self) -> Iterator[LogEvent]:
        for pending in self._pending:
            for batch in pending.delivery.uncertain:
                yield from batch

    def _send_missing(self, pending: _Pending, doubt: Doubt) -> None:
        uncertain, pending.delivery.uncertain = pending.delivery.uncertain, []
        for batch in uncertain:
            stored, missing = split_stored(batch, doubt)
            pending.delivery.accepted += stored
            if missing:
                pending.futures.append(self._pool.submit(missing))

    def _acknowledge_oldest(self) -> None:
        pending = self._pending[0]
        chunk, delivery = pending.chunk, pending.delivery
        for event, reason in delivery.refused:
            chunk.quarantine(event.line_number, event.message.encode(), reason)
        for line in chunk.quarantined:
            self._tools.quarantine.keep(chunk.position.object, line)
        chunk.counts.accepted = len(delivery.accepted)
        chunk.counts.restamped = sum(event.restamped for event in delivery.accepted)
        _check_balance(chunk)
        self._pending.popleft()
        self._note(chunk, delivery)

    def _note(self, chunk: Chunk, delivery: Delivery) -> None:
        upload_from_ms = self._upload_times.next_ms
        if self._pending:
            upload_from_ms = self._pending[0].upload_from_ms
        self._tools.progress.acknowledge(chunk.position, chunk.counts.read, delivery.accepted)
        self._tools.progress.upload_from(upload_from_ms)
        if chunk.is_last:
            self._tools.progress.complete(chunk.position)
        self._counts.add(chunk.counts)
        self._tools.gauge.note(chunk.counts, self._tools.bucket.bytes_read)
        if chunk.damage:
            self._tell_damage(chunk)
        self._tools.saver.advance(self._tools.progress.mark)

    def _tell_damage(self, chunk: Chunk) -> None:
        damaged = chunk.position.object
        text = f"The object {damaged.key} ends early: {chunk.damage}. "
        text += "Its good lines are sent; put it back whole, and the rest is sent too."
        self._tools.status.write(
            "ERROR", text, {"object": damaged.key, "lines": chunk.position.lines}
        )


def _check_balance(chunk: Chunk) -> None:
    if chunk.counts.imbalance:
        raise ForwarderError(
            f"Not every line of {chunk.position.object.key} is accounted for",
            f"{chunk.counts.imbalance} lines up to line {chunk.position.lines}",
            "Report this with the status line; nothing of it is marked as sent",
        )


def _is_delivered(pending: _Pending) -> bool:
    """Tells if all of the chunk is known to be accepted or refused."""
    deliveries = [future.result() for future in pending.futures if _has_result(future)]
    is_whole = len(deliveries) == len(pending.futures)
    known = [pending.delivery, *deliveries]
    return is_whole and not any(delivery.uncertain or delivery.error for delivery in known)


def _is_untouched(pending: _Pending) -> bool:
    """Tells if nothing of the chunk can have been stored in this iteration."""
    deliveries = [future.result() for future in pending.futures if _has_result(future)]
    is_known = len(deliveries) == len(pending.futures)
    stored = len(pending.delivery.accepted) - len(pending.chunk.stored)
    touched = [pending.delivery.uncertain, *(d.accepted or d.uncertain for d in deliveries)]
    return is_known and not stored and not any(touched)


def _has_result(future: "Future[Delivery]") -> bool:
    return future.done() and not future.exception()
