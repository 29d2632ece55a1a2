"""Ships what is due for one source: the only module that knows the order of steps."""

from services.aws.clients import s3_client
from services.shipping.due import DueObjects, Outset
from services.shipping.resume import Report, Resumption
from services.shipping.shipper import Shipper
from services.shipping.succession import Handover
from services.shipping.tools import Shared
from utils.config.settings import Source
from utils.model import Start
from utils.state.planning import Survey, oldest
from utils.state.progress import Progress


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
        self._report = report
        self._memory = shared.memory
        self.client = s3_client(source.lyve)
        self._due = DueObjects(source, self.client, shared.stop)
        self._resumption = Resumption(self._due, report, shared)
        self._handover = Handover(self._due, report, shared)
        self._progress: Progress | None = None
        self.survey = Survey()
        self.now_ms = 0

    @property
    def newest_shipped_ms(self) -> int:
        """The newest `LastModified` that is known to be shipped, in ms since 1970, 0 for none."""
        return self._progress.newest_shipped_ms if self._progress else 0

    @property
    def owed(self) -> int:
        """How many objects were tried and are not wholly shipped."""
        return len(self._progress.coverage.owed) if self._progress else 0

    def open(self, start: Start) -> None:
        """Makes the checkpoint where there is none, so that coverage begins now.

        Raises:
            ForwarderError: the buckets, the checkpoint or the log group can't be used.
        """
        self._handover.open(start)
        self._resumption.log_stream().prepare()

    def run(self, start: Start) -> None:
        """Ships everything that is due.

        Raises:
            ForwarderError: something failed; what was acknowledged before is saved.
        """
        outset = self._handover.complete(self._handover.open(start), start)
        self.now_ms = outset.now_ms
        with self._resumption.under_way(outset, start.owner) as (shipper, progress):
            self._progress = progress
            self._ship_owed(shipper, progress, outset)
            self._ship_due(shipper, progress, outset)

    def look(self, start: Start) -> None:
        """Lists the bucket for `survey`, and ships nothing.

        Raises:
            ForwarderError: the buckets or the checkpoint can't be used.
        """
        backlog = self._due.backlog()
        outset = self._due.outset(start)
        self.now_ms = outset.now_ms
        for _ in self._due.listed(outset, backlog):
            pass
        self.survey = backlog.survey

    def _ship_owed(self, shipper: Shipper, progress: Progress, outset: Outset) -> None:
        """Tries again what is owed, and lets go of what the bucket does not hold any more."""
        found = []
        for key in progress.coverage.owed:
            listed = self._due.find(key)
            if listed:
                found.append(outset.position(listed))
            else:
                text = f"The object {key} is not there any more, so the rest of it is not owed."
                pairs = {"object": key, "lines": progress.let_go(key)}
                self._report.status.write("WARN", text, pairs)
        shipper.ship(progress.plan(found))

    def _ship_due(self, shipper: Shipper, progress: Progress, outset: Outset) -> None:
        backlog = self._due.backlog()
        self.survey = backlog.survey
        progress.plan_from(backlog.survey, outset.now_ms)
        due = self._due.listed(outset, backlog)
        is_complete = False
        while not is_complete:
            most = self._memory.plan_objects()
            plan = oldest(due, most)
            positions = progress.plan(outset.position(one) for one in dict.fromkeys(plan))
            shipper.ship(positions)
            if progress.close_plan(backlog.carry_out(plan, most)):
                text = "So many objects are new that late ones are found for less than 24 hours."
                self._report.status.write("WARN", text, {})
            is_complete = not backlog
            due = self._due.left(outset, backlog)
