"""Ships planned objects into the log stream, and acknowledges them run by run, in order."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain

import msgspec
from msgspec.structs import replace

from services.output.checkpoint_saver import CheckpointSaver
from services.output.checkpoints import CheckpointStore
from services.output.quarantine import Quarantine
from services.pull_logs_service import AuditBucket
from services.shipping.shared import Report, Shared
from services.threads.executor import RAISE_THE_LIMIT, Workers, await_all, read_ahead
from services.upload_cloudwatch_logs_service import LogStream
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError
from utils.lines.batching import Acceptance, batches, restamped
from utils.lines.delivery import Delivery
from utils.lines.runs import ObjectPart, Run, runs
from utils.model import Batch, LogEvent, Position
from utils.state.progress import Mark, Progress
from utils.state.uncertain import Uncertain

_RUNS_READ_AHEAD = 2
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
# In a row, and `settle_seconds` apart: a CloudWatch that does not answer, or another that answers
# in its place, may stay so, and the next iteration goes on there.
_MOST_FRUITLESS_LOOKS = 10


# Observes what the log stream holds of events in doubt, given those that are known to be stored
# besides, where the objects in question begin, and what a recovery will claim for other lines.
Look = Callable[[Uncertain, Iterable[LogEvent], Collection[Position], Uncertain], None]


class Context(msgspec.Struct, frozen=True):
    """What a source, or a partition of it, is shipped with in one iteration."""

    source: Source
    bucket: AuditBucket
    log_stream: LogStream
    acceptance: Acceptance
    look: Look
    quarantine: Quarantine
    store: CheckpointStore
    progress: Progress
    puts: Workers
    report: Report
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

    def account(self) -> None:
        """Books what became of the events on their objects."""
        parts = self.run.parts
        for event, reason in self.delivery.refused:
            part = parts[event.object_key]
            part.quarantine(event.line_number, event.message.encode(), reason)
        for event in self.delivery.accepted:
            counts = parts[event.object_key].counts
            counts.accepted += 1
            counts.restamped += event.restamped

    def _deliveries(self) -> list[Delivery]:
        done = [future for future in self.futures if future.done() and not future.exception()]
        return [future.result() for future in done]


class InFlight:
    """Sends runs and hands them back in order, once the fate of all their events is known.

    `pending` are the runs under way, the oldest first; `recovered` is a filter in front of the
    puts: what it claims is stored already.

    Args:
        context: what it works with.
        may_send: asked right before each put.
    """

    def __init__(self, context: Context, may_send: Callable[[], bool]) -> None:
        self._context = context
        self._may_send = may_send
        self.pending: deque[Pending] = deque()
        self.recovered = Uncertain()
        self._has_told_missing = False

    def is_loaded(self) -> bool:
        """Tells if enough is under way to keep all threads busy."""
        count = sum(len(pending.futures) for pending in self.pending)
        size_bytes = sum(pending.run.size_bytes for pending in self.pending)
        concurrency = self._context.source.concurrency
        most_bytes = self._context.shared.memory.in_flight_bytes(concurrency)
        return count > 2 * concurrency or size_bytes > most_bytes

    def send(self, run: Run) -> None:
        """Sends the run's events in batches, except those that are known to be stored.

        What may be sent is noted before it can be sent: whatever is raised here leaves nothing out.

        Raises:
            ForwarderError: there is no thread to send it.
        """
        stored, events = self.recovered.split(run.events)
        pending = Pending(run, Delivery(accepted=stored))
        self.pending.append(pending)
        in_doubt = {key for key, part in run.parts.items() if part.begin.in_doubt}
        if in_doubt:
            doubtful = [event for event in events if event.object_key in in_doubt]
            events = [event for event in events if event.object_key not in in_doubt]
            pending.delivery.uncertain += self._batches(doubtful)
        for batch in self._batches(events):
            self._deliver(pending, batch)
        pending.is_submitted = True
        missing = self._context.puts.missing
        if missing and not self._has_told_missing:
            self._has_told_missing = True
            text = f"Not all threads could be started; the others go on. {RAISE_THE_LIMIT}."
            self._context.report.status.write("WARN", text, {"missing": missing})

    def complete_oldest(self) -> Pending:
        """Waits until all of the oldest run is accepted or refused, and returns it.

        Raises:
            ForwarderError: that can't be found out now.
        """
        oldest = self.pending[0]
        self._collect(oldest)
        if oldest.delivery.uncertain:
            self._reconcile()
        return oldest

    def is_clean(self) -> bool:
        """Tells if nothing under way can have been stored."""
        return not self.recovered and all(pending.is_untouched() for pending in self.pending)

    def _batches(self, events: list[LogEvent]) -> Iterator[Batch]:
        return batches(events, self._context.acceptance, self._context.source.batch_size)

    def _deliver(self, pending: Pending, batch: Batch) -> None:
        is_in_time = self._context.acceptance.includes(batch[0].timestamp_ms)
        stamped = batch if is_in_time else restamped(batch)
        deliver = partial(self._context.log_stream.deliver, stamped, self._may_send)
        self._context.puts.submit(deliver, pending.futures)

    def _collect(self, pending: Pending) -> None:
        await_all(pending.futures, self._context.shared.stop)
        while pending.futures:
            pending.delivery.add(pending.futures[0].result())
            pending.futures.pop(0)
        if pending.delivery.error:
            raise pending.delivery.error

    def _reconcile(self) -> None:
        """Finds out what became of the batches in doubt, and sends again what is missing."""
        for pending in self.pending:
            self._collect(pending)
        fruitless = 0
        while in_doubt := self._in_doubt():
            if self._context.shared.stop.wait(self._context.source.settle_seconds):
                raise StoppedError
            uncertain = Uncertain()
            for event in in_doubt:
                uncertain.expect(event)
            accepted = chain.from_iterable(one.delivery.accepted for one in self.pending)
            self._context.look(uncertain, accepted, self._begins(in_doubt), self.recovered)
            for pending in self.pending:
                self._send_missing(pending, uncertain)
            for pending in self.pending:
                self._collect(pending)
            fruitless = fruitless + 1 if len(self._in_doubt()) >= len(in_doubt) else 0
            if fruitless >= _MOST_FRUITLESS_LOOKS:
                raise self._context.log_stream.unknown_error()

    def _in_doubt(self) -> list[LogEvent]:
        uncertain = chain.from_iterable(one.delivery.uncertain for one in self.pending)
        return list(chain.from_iterable(uncertain))

    def _begins(self, events: list[LogEvent]) -> list[Position]:
        """Returns where what is under way of the events' objects begins."""
        begins: dict[str, Position] = {}
        for key, part in chain.from_iterable(one.run.parts.items() for one in self.pending):
            begins.setdefault(key, part.begin)
        return [begins[key] for key in dict.fromkeys(event.object_key for event in events)]

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

    Nothing is sent too far beyond what its saver saved.

    Args:
        context: what it works with.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self.saver = CheckpointSaver(
            context.store.save,
            context.progress.snapshot,
            context.source.settle_seconds,
            context.shared.clock.elapsed_seconds,
        )
        self._in_flight = InFlight(context, self.saver.may_send)
        self._sent = Mark()
        self._objects_to_save = 0
        self._quarantined = 0

    def ship(self, positions: list[Position]) -> None:
        """Ships planned objects behind their positions, in their order.

        Raises:
            ForwarderError: something failed; `shut_down` is to be called in any case.
        """
        self._context.report.gauge.expect(position.object for position in positions)
        reading = read_ahead(self._runs(positions), _RUNS_READ_AHEAD, self._context.shared.stop)
        with closing(reading):  # its thread ends with it
            for run in reading:
                self._await_room(run)
                self._in_flight.send(run)
                while self._in_flight.is_loaded():
                    self._finish_oldest()
        while self._in_flight.pending:
            self._finish_oldest()

    def recover(self, positions: list[Position], recovered: Uncertain) -> None:
        """Ships what was begun, except what is stored; until that is through, it can be repeated.

        Raises:
            ForwarderError: something failed; `shut_down` is to be called in any case.
        """
        self._in_flight.recovered = recovered
        self.ship(positions)
        self._in_flight.recovered = Uncertain()

    def shut_down(self) -> None:
        """Waits a while for what is in flight, and saves how far it came.

        Raises:
            ForwarderError: it can't be saved.
        """
        pending = self._in_flight.pending
        self._context.bucket.reader.close()
        wait([future for one in pending for future in one.futures], _GRACE_SECONDS)
        self._context.log_stream.close()
        try:
            while pending and pending[0].is_delivered():
                self._finish_oldest()
            is_clean = self._in_flight.is_clean()
        except ForwarderError:
            is_clean = False
        finally:  # whatever it is: a saver at work would show a living daemon
            self.saver.close()
        if is_clean:
            self._context.progress.end()
        self.saver.save_last()

    def _runs(self, positions: list[Position]) -> Iterator[Run]:
        bucket, memory = self._context.bucket, self._context.shared.memory
        batch_size = self._context.source.batch_size
        opened = bucket.reader.ahead(positions, lambda position: position.object)
        return runs(opened, bucket.blocks, batch_size, memory.run_bytes, bucket.form)

    def _await_room(self, run: Run) -> None:
        """Stays within what the saved checkpoint says may be under way."""
        self.saver.confirm(self._context.shared.stop)
        lines = sum(part.counts.read for part in run.parts.values())
        end = Mark(self._sent.lines + lines, self._sent.objects + len(run.parts) - 1)
        # A recovery counts the lines of each object as it can read them then: of one that could not
        # be read, these may be more than were, so it is no longer open once others are sent.
        objects_to_save = self._objects_to_save if run.events else 0
        while not self.saver.has_room(end, objects_to_save):
            if self._context.shared.stop.is_set():
                raise StoppedError
            if self._in_flight.pending:
                self._finish_oldest()
            else:
                self.saver.wait_for_save(_LOOK_SECONDS)
        completed = sum(part.is_last for part in run.parts.values())
        self._sent = Mark(end.lines, self._sent.objects + completed)
        if run.ends_in_trouble:
            self._objects_to_save = self._sent.objects

    def _finish_oldest(self) -> None:
        """Acknowledges the oldest run, once its events are stored or in quarantine."""
        pending = self._in_flight.complete_oldest()
        pending.account()
        parts = pending.run.parts
        for part in parts.values():
            if part.quarantined:
                self._context.quarantine.keep(part.position.object, part.quarantined)
            if part.counts.imbalance:
                raise ForwarderError(
                    f"Not every line of {part.position.object.key} is accounted for",
                    f"{part.counts.imbalance} lines up to line {part.position.lines}",
                    "Report this with the status line; nothing of it is marked as sent",
                )
        self._in_flight.pending.popleft()
        progress, report = self._context.progress, self._context.report
        for part in parts.values():
            if part.trouble and self._in_flight.recovered.reaches_behind(part.position):
                part.position = replace(part.position, in_doubt=True)
            lines = part.counts.read
            if part.is_last:
                progress.complete(part.position, lines, is_owed=part.is_owed)
            else:
                progress.acknowledge(part.position, lines)
        for part in parts.values():
            self._tell(part)
            report.counts.add(part.counts)
            report.gauge.note(part.counts, self._context.bucket.reader.bytes_read)
        self.saver.advance(progress.mark)

    def _tell(self, part: ObjectPart) -> None:
        """Says what a person is to know of an object."""
        write, key, lines = (
            self._context.report.status.write,
            part.position.object.key,
            part.position.lines,
        )
        self._quarantined += part.counts.quarantined
        if part.is_last and self._quarantined:
            text = f"CloudWatch can't take some lines of {key}. They are kept in the quarantine."
            write("WARN", text, {"object": key, "quarantined": self._quarantined})
        if part.is_last:
            self._quarantined = 0
        if part.trouble:
            write("ERROR", str(part.trouble), {"object": key, "lines": lines})
        elif part.is_last and part.position.in_doubt:
            text = (
                f"The object {key} is not as it was shipped: its lines were looked up before they \
were sent. Run --repair, which sends any that is missing and names any that is stored twice."
            )
            write("WARN", text, {"object": key, "lines": lines})


@contextmanager
def shipping(context: Context) -> Iterator[Shipper]:
    """Ends what is under way and saves how far it came, also when something fails.

    Args:
        context: what it works with.

    Raises:
        ForwarderError: another process is at work, or something failed.
    """
    shipper = Shipper(context)
    shipper.saver.start()
    try:
        yield shipper
    except BaseException:
        with suppress(ForwarderError):
            shipper.shut_down()
        raise
    shipper.shut_down()
