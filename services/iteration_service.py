"""Runs one iteration of one source, and reports it in status lines."""

from collections.abc import Callable

from services.forward_service import Forwarder
from services.resume_service import Report
from services.status_service import StatusLog
from services.tools import Shared
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.model import Counts, Gauge, Start
from utils.settings import Source
from utils.status import count_pairs


class Iteration:
    """One iteration of one source, from its first request to its status object.

    Args:
        source: what to ship where.
        shared: with the other sources.
    """

    def __init__(self, source: Source, shared: Shared) -> None:
        self._source = source
        self._shared = shared
        self._status = StatusLog(source.name, shared.clock)
        self._began_seconds = shared.clock.elapsed_seconds()
        self._counts = Counts()
        self._forwarder: Forwarder | None = None
        self.gauge = Gauge()

    def open(self, start: Start) -> bool:
        """Marks where coverage begins; returns if that went well. Only a failure is reported."""
        is_good = self._attempt(lambda forwarder: forwarder.open(start))
        return is_good or self._upload_status(is_good)

    def run(self, start: Start) -> bool:
        """Ships what is due and reports it; returns if all went well."""
        is_good = self._attempt(lambda forwarder: self._ship(forwarder, start))
        return self._upload_status(is_good)

    def _ship(self, forwarder: Forwarder, start: Start) -> None:
        forwarder.run(start)
        self._status.write("INFO", f"Done sending {self._counts.accepted} logs", self._pairs())

    def _attempt(self, work: Callable[[Forwarder], None]) -> bool:
        try:
            report = Report(self._status, self._counts, self.gauge)
            self._forwarder = Forwarder(self._source, report, self._shared)
            work(self._forwarder)
        except StoppedError as exc:
            self._status.write("WARN", f"{exc} The next start goes on there.", self._pairs())
        except ForwarderError as exc:
            self._status.write("ERROR", str(exc), self._pairs())
            return False
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next iteration runs
            self._status.write("ERROR", str(unexpected(exc)), self._pairs())
            return False
        return True

    def _upload_status(self, is_good: bool) -> bool:
        if self._forwarder is None:
            return False
        try:
            self._status.upload(self._forwarder.client, self._source.output_bucket)
        except ForwarderError as exc:
            self._status.write("ERROR", str(exc), {})
            return False
        return is_good

    def _pairs(self) -> dict[str, object]:
        seconds = self._shared.clock.elapsed_seconds() - self._began_seconds
        return {**count_pairs(self._counts), "took": f"{seconds:.1f}s"}
