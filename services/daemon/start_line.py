"""Says at the start what a source ships where, since when, and how much of it is due."""

from itertools import islice
from threading import Event

from services.aws.clients import s3_client
from services.output.status import tell
from services.shipping.due import DueObjects
from utils.config.settings import Source
from utils.errors import ForwarderError
from utils.model import Clock, Start
from utils.report.status import span

# Enough to see that it is a backfill; `--plan` counts them all.
_MOST_COUNTED = 10_000


def tell_start(source: Source, start: Start, clock: Clock, stop: Event) -> None:
    """Says it in a line on standard error, or nothing if it can't be found out.

    Args:
        source: what to ship where.
        start: when the process began.
        clock: how the time is read.
        stop: set when the process is to end.
    """
    try:
        due = DueObjects(source, s3_client(source.lyve), stop)
        due.load(start)
        counted = sum(1 for _ in islice(due.listed(due.backlog()), _MOST_COUNTED + 1))
    except ForwarderError:  # the first iteration says it, with what to do
        return
    if stop.is_set():
        return
    covered = span(due.since_ms, source.until_ms)
    due_now = f"{counted:,}" if counted <= _MOST_COUNTED else f"more than {_MOST_COUNTED:,}"
    text = f"Ready to ship {source.log_type} logs from {source.bucket_name} to \
{source.log_group} in {source.aws.region}: {covered}. Objects due now: {due_now}."
    tell(clock.now(), "INFO", text, {"source": source.name})
