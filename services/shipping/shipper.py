"""Ships planned objects into the log stream, and acknowledges them in order."""

from collections.abc import Iterator
from contextlib import closing

from msgspec.structs import replace

from services.shipping.in_flight import InFlight
from services.shipping.object_reader import OBJECTS_OPENED_AHEAD
from services.shipping.tools import Rules, Tools
from services.threads.read_ahead import read_ahead
from utils.errors import ForwarderError, StoppedError
from utils.lines.chunking import Chunk, ContentChangedError, chunks
from utils.model import Position
from utils.state.progress import Mark
from utils.state.uncertain import Recovered, Uncertain

_CHUNKS_READ_AHEAD = 1
_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5


class Shipper:
    """Ships one source's objects; what it acknowledges is always a beginning of what is planned.

    Args:
        tools: what it works with. Nothing is sent too far beyond what its saver saved.
        rules: how events become batches.
    """

    def __init__(self, tools: Tools, rules: Rules) -> None:
        self._tools = tools
        self._rules = rules
        self._in_flight = InFlight(tools, rules)
        self._sent = Mark()
        self._quarantined = 0

    def ship(self, positions: list[Position]) -> None:
        """Ships planned objects behind their positions, in their order.

        Raises:
            ForwarderError: something failed; `wind_up` is to be called in any case.
        """
        self._tools.gauge.expect(position.object for position in positions)
        reading = read_ahead(self._chunks(positions), _CHUNKS_READ_AHEAD, self._tools.shared.stop)
        with closing(reading):  # its thread ends with it
            for chunk in reading:
                self._await_room(chunk)
                self._in_flight.send(chunk)
                while self._in_flight.is_loaded():
                    self._finish_oldest()
        while self._in_flight:
            self._finish_oldest()

    def recover(self, positions: list[Position], recovered: Recovered) -> None:
        """Ships what was begun, but for what is stored; till it is through, it can be repeated.

        Raises:
            ForwarderError: something failed; `wind_up` is to be called in any case.
        """
        self._in_flight.recovered = recovered
        self.ship(positions)
        self._in_flight.recovered = Recovered(Uncertain(), {})

    def wind_up(self) -> bool:
        """Waits a while for what is in flight; returns if nothing is left in doubt."""
        self._tools.bucket.reader.close()
        self._in_flight.wait(_GRACE_SECONDS)
        try:
            while self._in_flight.is_oldest_delivered():
                self._finish_oldest()
        except ForwarderError:
            return False
        return self._in_flight.is_clean()

    def _chunks(self, positions: list[Position]) -> Iterator[Chunk]:
        reader = self._tools.bucket.reader
        for index, position in enumerate(positions):
            near = positions[index : index + OBJECTS_OPENED_AHEAD]
            reader.open_ahead(one.object for one in near)
            try:
                yield from self._chunks_of(position)
            except ContentChangedError:
                yield from self._chunks_of(position.begun_anew())

    def _chunks_of(self, position: Position) -> Iterator[Chunk]:
        blocks = self._tools.bucket.blocks(position.object)
        full_bytes = self._tools.shared.memory.chunk_bytes
        form = self._tools.bucket.form
        return chunks(position, blocks, self._rules.batch_size, full_bytes, form)

    def _await_room(self, chunk: Chunk) -> None:
        """Stays within what the saved checkpoint says may be under way."""
        self._tools.saver.confirm(self._tools.shared.stop)
        end = Mark(self._sent.lines + chunk.counts.read, self._sent.objects)
        while not self._tools.saver.has_room(end):
            if self._tools.shared.stop.is_set():
                raise StoppedError("Stopped before everything was shipped")
            if self._in_flight:
                self._finish_oldest()
            else:
                self._tools.saver.wait_for_save(_LOOK_SECONDS)
        self._sent = Mark(end.lines, end.objects + chunk.is_last)

    def _finish_oldest(self) -> None:
        """Acknowledges the oldest chunk, once its events are stored or in quarantine."""
        pending = self._in_flight.settle_oldest()
        chunk, delivery = pending.chunk, pending.delivery
        for event, reason in delivery.refused:
            chunk.quarantine(event.line_number, event.message.encode(), reason)
        if chunk.quarantined:
            self._tools.quarantine.keep(chunk.position.object, chunk.quarantined)
        chunk.counts.accepted = len(delivery.accepted)
        chunk.counts.restamped = sum(event.restamped for event in delivery.accepted)
        _check_balance(chunk)
        self._in_flight.remove_oldest()
        self._acknowledge(chunk)

    def _acknowledge(self, chunk: Chunk) -> None:
        progress = self._tools.progress
        if chunk.trouble and self._in_flight.recovered.reaches_behind(chunk.position):
            chunk.position = replace(chunk.position, in_doubt=True)
        progress.acknowledge(chunk.position, chunk.counts.read)
        self._quarantined += chunk.counts.quarantined
        if chunk.is_last:
            if chunk.trouble and not chunk.is_gone:
                progress.owe(chunk.position)
            else:
                progress.complete(chunk.position)
            self._tell_quarantined(chunk.position)
            if chunk.position.in_doubt and not chunk.trouble:
                self._tell_changed(chunk.position)
        self._tools.counts.add(chunk.counts)
        self._tools.gauge.note(chunk.counts, self._tools.bucket.reader.bytes_read)
        if chunk.trouble:
            pairs = {"object": chunk.position.object.key, "lines": chunk.position.lines}
            self._tools.status.write("ERROR", str(chunk.trouble), pairs)
        self._tools.saver.advance(progress.mark)

    def _tell_changed(self, position: Position) -> None:
        key = position.object.key
        text = f"The object {key} is not as it was shipped: its lines were looked up before they \
were sent. Run --repair, which sends any that is missing and names any that is stored twice."
        self._tools.status.write("WARN", text, {"object": key, "lines": position.lines})

    def _tell_quarantined(self, position: Position) -> None:
        if self._quarantined:
            key = position.object.key
            text = f"CloudWatch can't take some lines of {key}. They are kept in the quarantine."
            pairs = {"object": key, "quarantined": self._quarantined}
            self._tools.status.write("WARN", text, pairs)
        self._quarantined = 0


def _check_balance(chunk: Chunk) -> None:
    if chunk.counts.imbalance:
        raise ForwarderError(
            f"Not every line of {chunk.position.object.key} is accounted for",
            f"{chunk.counts.imbalance} lines up to line {chunk.position.lines}",
            "Report this with the status line; nothing of it is marked as sent",
        )
