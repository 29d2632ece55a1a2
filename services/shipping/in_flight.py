"""The runs under way, oldest first: their batches side by side, reconciled if in doubt."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from itertools import chain

import msgspec

from services.shipping.context import Context, Rules
from services.threads.start import RAISE_THE_LIMIT
from utils.errors import StoppedError
from utils.lines.batching import batches, restamped
from utils.lines.delivery import Delivery
from utils.lines.runs import Run
from utils.model import Batch, LogEvent, Position
from utils.state.uncertain import Recovered, Uncertain, split_stored

_LOOK_SECONDS = 0.5
# In a row, and `settle_seconds` apart: a CloudWatch that does not answer, or another that answers
# in its place, may stay so, and the next iteration goes on there.
_MOST_FRUITLESS_LOOKS = 10


class Pending(msgspec.Struct):
    """A run whose batches are under way; `is_sent` is set once all of them are submitted."""

    run: Run
    delivery: Delivery
    futures: "list[Future[Delivery]]" = msgspec.field(default_factory=list)
    is_sent: bool = False

    def is_delivered(self) -> bool:
        """Tells if all of the run is known to be accepted or refused."""
        known = [self.delivery, *self._deliveries()]
        is_whole = self.is_sent and len(known) == 1 + len(self.futures)
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
        self.recovered = Recovered(Uncertain(), {})
        self._has_told_missing = False
        self._lane = context.shared.puts.lane(rules.concurrency)
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
        pending = Pending(run, Delivery(accepted=list(stored)))
        self._pending.append(pending)
        in_doubt = {key for key, part in run.parts.items() if part.begin.in_doubt}
        if in_doubt:
            doubtful = [event for event in events if event.object_key in in_doubt]
            events = [event for event in events if event.object_key not in in_doubt]
            pending.delivery.uncertain += self._batches(doubtful)
        for batch in self._batches(events):
            self._deliver(pending, batch)
        pending.is_sent = True
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
        self._lane.close()

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
        self._lane.submit(self._context.log_stream.deliver(stamped), pending.futures)

    def _tell_missing_threads(self) -> None:
        missing = self._context.shared.puts.missing
        if missing and not self._has_told_missing:
            self._has_told_missing = True
            text = f"Not all threads could be started; the others go on. {RAISE_THE_LIMIT}."
            self._context.status.write("WARN", text, {"missing": missing})

    def _collect(self, pending: Pending) -> None:
        while pending.futures:
            future = pending.futures[0]
            while not future.done():
                wait([future], _LOOK_SECONDS)
                if self._context.shared.stop.is_set() and not future.done():
                    raise StoppedError("Stopped before everything was shipped")
            pending.delivery.add(future.result())
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
        self._context.reconciler.look(uncertain, self._known(), self.recovered.uncertain, in_doubt)
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
            stored, missing = split_stored(batches_left[0], uncertain)
            if missing:
                self._deliver(pending, missing)
            pending.delivery.accepted += stored
            batches_left.pop(0)
