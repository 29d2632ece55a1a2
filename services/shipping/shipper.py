"""Ships planned objects into the log stream, and acknowledges them in order."""

from collections.abc import Iterator
from contextlib import closing

from msgspec.structs import replace

from services.shipping.context import Context, Rules
from services.shipping.in_flight import InFlight
from services.shipping.object_reader import OBJECTS_OPENED_AHEAD
from services.threads.read_ahead import read_ahead
from utils.errors import ForwarderError, StoppedError
from utils.lines.runs import Part, Run, runs
from utils.model import Position
from utils.state.progress import Mark
from utils.state.uncertain import Recovered, Uncertain

_RUNS_READ_AHEAD = 1
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5


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

    def recover(self, positions: list[Position], recovered: Recovered) -> None:
        """Ships what was begun, except what is stored; until that is through, it can be repeated.

        Raises:
            ForwarderError: something failed; `shut_down` is to be called in any case.
        """
        self._in_flight.recovered = recovered
        self.ship(positions)
        self._in_flight.recovered = Recovered(Uncertain(), {})

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
        opened = self._opened_ahead(positions)
        return runs(opened, bucket.blocks, self._rules.batch_size, memory.run_bytes, bucket.form)

    def _opened_ahead(self, positions: list[Position]) -> Iterator[Position]:
        """Yields the positions, and asks for the bodies of the next objects meanwhile."""
        for index, position in enumerate(positions):
            near = positions[index : index + OBJECTS_OPENED_AHEAD]
            self._context.bucket.reader.open_ahead(one.object for one in near)
            yield position

    def _await_room(self, run: Run) -> None:
        """Stays within what the saved checkpoint says may be under way."""
        self._context.saver.confirm(self._context.shared.stop)
        lines = sum(part.counts.read for part in run.parts.values())
        end = Mark(self._sent.lines + lines, self._sent.objects + len(run.parts) - 1)
        while not self._context.saver.has_room(end):
            if self._context.shared.stop.is_set():
                raise StoppedError("Stopped before everything was shipped")
            if self._in_flight:
                self._finish_oldest()
            else:
                self._context.saver.wait_for_save(_LOOK_SECONDS)
        completed = sum(part.is_last for part in run.parts.values())
        self._sent = Mark(end.lines, self._sent.objects + completed)

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
        self._context.progress.acknowledge(parts)
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
