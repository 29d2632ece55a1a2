"""Ships planned objects into the log stream, and acknowledges them run by run, in order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain

import msgspec
from msgspec.structs import replace

from services.output.checkpoint_saver import CheckpointSaver
from services.output.quarantine import Quarantine
from services.output.status import StatusLog
from services.pull_logs_service import AuditBucket
from services.shipping.reconcile import Reconciler
from services.shipping.shared import Shared
from services.threads.executor import RAISE_THE_LIMIT, Workers, awaited, read_ahead
from services.upload_cloudwatch_logs_service import LogStream
from utils.errors import ForwarderError, StoppedError
from utils.lines.batching import Acceptance, batches, restamped
from utils.lines.delivery import Delivery
from utils.lines.runs import Part, Run, runs
from utils.model import Batch, Counts, Gauge, LogEvent, Position
from utils.state.progress import Mark, Progress
from utils.state.uncertain import Uncertain

_RUNS_READ_AHEAD = 2
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# In a row, and `settle_seconds` apart: a CloudWatch that does not answer, or another that answers
# in its place, may stay so, and the next iteration goes on there.
_MOST_FRUITLESS_LOOKS = 10


class Rules(msgspec.Struct, frozen=True):
    """How events become batches."""

    batch_size: int
    acceptance: Acceptance
    settle_seconds: float
    concurrency: int


class Context(msgspec.Struct, frozen=True):
    """The services and the state of one iteration of one source."""

    bucket: AuditBucket
    log_stream: LogStream
    puts: Workers
    reconciler: Reconciler
    quarantine: Quarantine
    progress: Progress
    saver: CheckpointSaver
    status: StatusLog
    gauge: Gauge
    counts: Counts
    shared: Shared


class Pending(msgspec.Struct):
    """A run whose batches are under way; `is_submitted` is set once all of them are submitted."""

    run: Run
    delivery: Delivery
    futures: "list[Future[Delivery]]" = msgspec.field(default_factory=list)
    is_submitted: bool = False

    def is_delivered(self) -> bool:
        """Tells if all of the run is known to be accepted or refused."""
        known = [self.delivery, *self._deliveries()]
        is_whole = self.is_submitted and len(known) == 1 + len(self.futures)
        return is_whole and not any(delivery.uncertain or delivery.error for delivery in known)

    def is_untouched(self) -> bool:
        """Tells if nothing of the run can have been stored in this iteration."""
        known = self._deliveries()
        touched = [self.delivery.uncertain, *(one.accepted or one.uncertain for one in known)]
        has_stored = bool(self.delivery.accepted)
        return len(known) == len(self.futures) and not has_stored and not any(touched)

    def _deliveries(self) -> list[Delivery]:
        done = [future for future in self.futures if future.done() and not future.exception()]
        return [future.result() for future in done]


class InFlight:
    """Sends runs and hands them back in order, once the fate of all their events is known.

    `recovered` is a filter in front of the puts: what it claims is stored already.

    Args:
        context: what it works with.
        rules: how events become batches.
    """

    def __init__(self, context: Context, rules: Rules) -> None:
        self._context = context
        self._rules = rules
        self._pending: deque[Pending] = deque()
        self.recovered = Uncertain()
        self._has_told_missing = False
        context.log_stream.open(context.saver.may_send)

    def __bool__(self) -> bool:
        """Tells if a run is under way."""
        return bool(self._pending)

    def is_loaded(self) -> bool:
        """Tells if enough is under way to keep all workers busy."""
        count = sum(len(pending.futures) for pending in self._pending)
        size_bytes = sum(pending.run.size_bytes for pending in self._pending)
        most_bytes = self._context.shared.memory.in_flight_bytes()
        return count > 2 * self._rules.concurrency or size_bytes > most_bytes

    def send(self, run: Run) -> None:
        """Sends the run's events in batches, except those that are known to be stored.

        What may be sent is noted before it can be sent: whatever is raised here leaves nothing out.

        Raises:
            ForwarderError: there is no thread to send it.
        """
        stored, events = self.recovered.split(run.events)
        pending = Pending(run, Delivery(accepted=stored))
        self._pending.append(pending)
        in_doubt = {key for key, part in run.parts.items() if part.begin.in_doubt}
        if in_doubt:
            doubtful = [event for event in events if event.object_key in in_doubt]
            events = [event for event in events if event.object_key not in in_doubt]
            pending.delivery.uncertain += self._batches(doubtful)
        for batch in self._batches(events):
            self._deliver(pending, batch)
        pending.is_submitted = True
        self._tell_missing_threads()

    def complete_oldest(self) -> Pending:
        """Waits until all of the oldest run is accepted or refused, and returns it.

        Raises:
            ForwarderError: that can't be found out now.
        """
        self._collect(self._pending[0])
        if self._pending[0].delivery.uncertain:
            self._reconcile()
        return self._pending[0]

    def remove_oldest(self) -> None:
        """Forgets the oldest run, once it is acknowledged."""
        self._pending.popleft()

    def wait(self, timeout_seconds: float) -> None:
        """Waits for what is under way, and makes sure that nothing is sent after that."""
        wait([future for one in self._pending for future in one.futures], timeout_seconds)
        self._context.log_stream.close()

    def is_oldest_delivered(self) -> bool:
        """Tells if the oldest run can be acknowledged without sending or waiting."""
        return bool(self._pending) and self._pending[0].is_delivered()

    def is_clean(self) -> bool:
        """Tells if nothing under way can have been stored."""
        return not self.recovered and all(pending.is_untouched() for pending in self._pending)

    def _batches(self, events: list[LogEvent]) -> Iterator[Batch]:
        return batches(events, self._rules.acceptance, self._rules.batch_size)

    def _deliver(self, pending: Pending, batch: Batch) -> None:
        is_in_time = self._rules.acceptance.includes(batch[0].timestamp_ms)
        stamped = batch if is_in_time else restamped(batch)
        deliver = partial(self._context.log_stream.deliver, stamped)
        self._context.puts.submit(deliver, pending.futures)

    def _tell_missing_threads(self) -> None:
        missing = self._context.puts.missing
        if missing and not self._has_told_missing:
            self._has_told_missing = True
            text = f"Not all threads could be started; the others go on. {RAISE_THE_LIMIT}."
            self._context.status.write("WARN", text, {"missing": missing})

    def _collect(self, pending: Pending) -> None:
        while pending.futures:
            pending.delivery.add(awaited(pending.futures[0], self._context.shared.stop))
            pending.futures.pop(0)
        if pending.delivery.error:
            raise pending.delivery.error

    def _reconcile(self) -> None:
        """Finds out what became of the batches in doubt, and sends again what is missing."""
        for pending in self._pending:
            self._collect(pending)
        fruitless = 0
        while any(pending.delivery.uncertain for pending in self._pending):
            if self._context.shared.stop.wait(self._rules.settle_seconds):
                raise StoppedError("Stopped before a batch in doubt was looked up")
            before = self._events_in_doubt()
            uncertain = self._reconciled()
            for pending in self._pending:
                self._send_missing(pending, uncertain)
            for pending in self._pending:
                self._collect(pending)
            fruitless = fruitless + 1 if self._events_in_doubt() >= before else 0
            if fruitless >= _MOST_FRUITLESS_LOOKS:
                raise self._context.log_stream.unknown_error()

    def _events_in_doubt(self) -> int:
        return sum(1 for _ in self._in_doubt())

    def _reconciled(self) -> Uncertain:
        """Returns what is in doubt, with what the log stream holds of it."""
        uncertain = Uncertain()
        for event in self._in_doubt():
            uncertain.expect(event)
        parts = chain.from_iterable(one.run.parts.items() for one in self._pending)
        in_doubt = {key for key, part in parts if part.begin.in_doubt}
        self._context.reconciler.look(uncertain, self._known(), self.recovered, in_doubt)
        return uncertain

    def _in_doubt(self) -> Iterator[LogEvent]:
        for pending in self._pending:
            yield from chain.from_iterable(pending.delivery.uncertain)

    def _known(self) -> Iterator[LogEvent]:
        """Yields what is certainly stored: of what is under way, and before it in its objects."""
        begins: dict[str, Position] = {}
        for pending in self._pending:
            yield from pending.delivery.accepted
            for key, part in pending.run.parts.items():
                begins.setdefault(key, part.begin)
        for key in {event.object_key for event in self._in_doubt()}:
            yield from self._context.reconciler.shipped(begins[key])

    def _send_missing(self, pending: Pending, uncertain: Uncertain) -> None:
        batches_left = pending.delivery.uncertain
        while batches_left:
            stored, missing = uncertain.split(batches_left[0])
            if missing:
                self._deliver(pending, missing)
            pending.delivery.accepted += stored
            batches_left.pop(0)


class Shipper:
    """Ships one source's objects; what is acknowledged is always a beginning of what is planned.

    Args:
        context: what it works with. Nothing is sent too far beyond what its saver saved.
        rules: how events become batches.
    """

    def __init__(self, context: Context, rules: Rules) -> None:
        self._context = context
        self._rules = rules
        self._in_flight = InFlight(context, rules)
        self._sent = Mark()
        self._objects_to_save = 0
        self._quarantined = 0

    def ship(self, positions: list[Position]) -> None:
        """Ships planned objects behind their positions, in their order.

        Raises:
            ForwarderError: something failed; `shut_down` is to be called in any case.
        """
        self._context.gauge.expect(position.object for position in positions)
        reading = read_ahead(self._runs(positions), _RUNS_READ_AHEAD, self._context.shared.stop)
        with closing(reading):  # its thread ends with it
            for run in reading:
                self._await_room(run)
                self._in_flight.send(run)
                while self._in_flight.is_loaded():
                    self._finish_oldest()
        while self._in_flight:
            self._finish_oldest()

    def recover(self, positions: list[Position], recovered: Uncertain) -> None:
        """Ships what was begun, except what is stored; until that is through, it can be repeated.

        Raises:
            ForwarderError: something failed; `shut_down` is to be called in any case.
        """
        self._in_flight.recovered = recovered
        self.ship(positions)
        self._in_flight.recovered = Uncertain()

    def shut_down(self) -> bool:
        """Waits a while for what is in flight; returns if nothing is left in doubt."""
        self._context.bucket.reader.close()
        self._in_flight.wait(_GRACE_SECONDS)
        try:
            while self._in_flight.is_oldest_delivered():
                self._finish_oldest()
        except ForwarderError:
            return False
        return self._in_flight.is_clean()

    def _runs(self, positions: list[Position]) -> Iterator[Run]:
        bucket, memory = self._context.bucket, self._context.shared.memory
        opened = bucket.reader.ahead(positions, lambda position: position.object)
        return runs(opened, bucket.blocks, self._rules.batch_size, memory.run_bytes, bucket.form)

    def _await_room(self, run: Run) -> None:
        """Stays within what the saved checkpoint says may be under way."""
        self._context.saver.confirm(self._context.shared.stop)
        lines = sum(part.counts.read for part in run.parts.values())
        end = Mark(self._sent.lines + lines, self._sent.objects + len(run.parts) - 1)
        # A recovery counts the lines of each object as it can read them then: of one that could not
        # be read, these may be more than were, so it is no longer open once others are sent.
        objects_to_save = self._objects_to_save if run.events else 0
        while not self._context.saver.has_room(end, objects_to_save):
            if self._context.shared.stop.is_set():
                raise StoppedError("Stopped before everything was shipped")
            if self._in_flight:
                self._finish_oldest()
            else:
                self._context.saver.wait_for_save(_LOOK_SECONDS)
        completed = sum(part.is_last for part in run.parts.values())
        self._sent = Mark(end.lines, self._sent.objects + completed)
        if run.ends_in_trouble:
            self._objects_to_save = self._sent.objects

    def _finish_oldest(self) -> None:
        """Acknowledges the oldest run, once its events are stored or in quarantine."""
        pending = self._in_flight.complete_oldest()
        parts, delivery = pending.run.parts, pending.delivery
        for event, reason in delivery.refused:
            part = parts[event.object_key]
            part.quarantine(event.line_number, event.message.encode(), reason)
        for event in delivery.accepted:
            counts = parts[event.object_key].counts
            counts.accepted += 1
            counts.restamped += event.restamped
        for part in parts.values():
            if part.quarantined:
                self._context.quarantine.keep(part.position.object, part.quarantined)
            _check_balance(part)
        self._in_flight.remove_oldest()
        self._acknowledge(list(parts.values()))

    def _acknowledge(self, parts: list[Part]) -> None:
        for part in parts:
            if part.trouble and self._in_flight.recovered.reaches_behind(part.position):
                part.position = replace(part.position, in_doubt=True)
        for part in parts:
            lines = part.counts.read
            if part.is_last:
                self._context.progress.complete(part.position, lines, is_owed=part.is_owed)
            else:
                self._context.progress.acknowledge(part.position, lines)
        for part in parts:
            self._tell(part)
            self._context.counts.add(part.counts)
            self._context.gauge.note(part.counts, self._context.bucket.reader.bytes_read)
        self._context.saver.advance(self._context.progress.mark)

    def _tell(self, part: Part) -> None:
        """Says what a person is to know of an object."""
        self._quarantined += part.counts.quarantined
        if part.is_last:
            self._tell_quarantined(part.position)
            if part.position.in_doubt and not part.trouble:
                self._tell_changed(part.position)
        if part.trouble:
            pairs = {"object": part.position.object.key, "lines": part.position.lines}
            self._context.status.write("ERROR", str(part.trouble), pairs)

    def _tell_changed(self, position: Position) -> None:
        key = position.object.key
        text = f"The object {key} is not as it was shipped: its lines were looked up before they \
were sent. Run --repair, which sends any that is missing and names any that is stored twice."
        self._context.status.write("WARN", text, {"object": key, "lines": position.lines})

    def _tell_quarantined(self, position: Position) -> None:
        if self._quarantined:
            key = position.object.key
            text = f"CloudWatch can't take some lines of {key}. They are kept in the quarantine."
            pairs = {"object": key, "quarantined": self._quarantined}
            self._context.status.write("WARN", text, pairs)
        self._quarantined = 0


def _check_balance(part: Part) -> None:
    if part.counts.imbalance:
        raise ForwarderError(
            f"Not every line of {part.position.object.key} is accounted for",
            f"{part.counts.imbalance} lines up to line {part.position.lines}",
            "Report this with the status line; nothing of it is marked as sent",
        )


@contextmanager
def shipping(context: Context, rules: Rules) -> Iterator[Shipper]:
    """Ends what is under way and saves how far it came, also when something fails.

    Args:
        context: what it works with.
        rules: how events become batches.

    Raises:
        ForwarderError: another process is at work, or something failed.
    """
    shipper = Shipper(context, rules)
    context.saver.start()
    try:
        yield shipper
    except BaseException:
        with suppress(ForwarderError):
            _shut_down(shipper, context)
        raise
    _shut_down(shipper, context)


def _shut_down(shipper: Shipper, context: Context) -> None:
    is_clean = shipper.shut_down()
    context.saver.close()
    if is_clean:
        context.progress.end()
    context.saver.save_last()
