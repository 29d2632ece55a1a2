"""Ships what is due for one source: the only module that knows the order of steps."""

from services.aws_clients import s3_client
from services.due_service import DueObjects, Outset
from services.resume_service import Report, Resumption
from services.ship_service import Shipper
from services.succession_service import Handover
from services.tools import Shared
from utils.model import Start
from utils.planning import MAX_PLAN_OBJECTS, Survey, oldest
from utils.progress import Progress
from utils.settings import Source


class Forwarder:
    """One iteration of one source.

    Args:
        source: what to ship where.
        report: takes what becomes of it.
        shared: with the other sources.
    """

    def __init__(self, source: Source, report: Report, shared: Shared) -> None:
        self._report = report
        self.client = s3_client(source.lyve)
        self._due = DueObjects(source, self.client, shared.stop)
        self._resumption = Resumption(self._due, self.client, report, shared)
        self._handover = Handover(self._due, self.client, report, shared)

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
        with self._resumption.under_way(outset, start.owner) as (shipper, progress):
            self._ship_due(shipper, progress, outset)

    def _ship_due(self, shipper: Shipper, progress: Progress, outset: Outset) -> None:
        is_complete = False
        while not is_complete:
            survey = Survey()
            plan = oldest(self._due.listed(outset, survey))
            positions = [outset.position(due) for due in plan]
            progress.plan(positions)
            shipper.ship(positions)
            is_complete = len(plan) < MAX_PLAN_OBJECTS
            newest_ms = survey.newest_ms if is_complete else plan[-1].last_modified_ms
            # An object from the future must not hide those that are written from now on.
            if progress.close_plan(survey, min(newest_ms, outset.now_ms)):
                text = "So many objects are new that late ones are found for less than 24 hours."
                self._report.status.write("WARN", text, {})
