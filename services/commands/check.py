"""Tries every access that the daemon needs for a source, each apart from the others."""

from collections.abc import Callable, Iterator
from concurrent.futures import wait
from threading import Event

from services.commands.cloudwatch_check import CloudWatchCheck
from services.commands.lyve_check import LyveCheck
from services.output.status import Clock
from services.threads.worker_pool import WorkerPool
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.report.findings import Finding, failed, lacking

# Longer than the clients wait for one answer; what else may hang ends with this.
MOST_SECONDS = 25.0
_LOOK_SECONDS = 0.1


def check(source: Source, line: str, clock: Clock, stop: Event) -> Iterator[tuple[str, Finding]]:
    """Yields what was tried and what it showed; one that fails ends only what needs it.

    Args:
        source: what to ship where.
        line: a status line, which is written to try the output bucket.
        clock: how the time is read.
        stop: set when the process is to end.

    Raises:
        StoppedError: the process is to end.
    """
    causes: dict[str, str] = {}
    tries = [
        *LyveCheck(source, line, clock, stop).tries(),
        *CloudWatchCheck(source.of_part(source.parts()[0])).tries(),
    ]
    for one in tries:
        cause = causes.get(one.needs, "")
        finding = lacking(cause) if cause else _in_time(one.run, clock, stop)
        if finding.outcome in {"failed", "not tried"}:
            causes[one.what] = cause or one.what
        yield one.what, finding


def _in_time(run: Callable[[], Finding], clock: Clock, stop: Event) -> Finding:
    """Returns what the try shows, without waiting for it longer than a person would."""
    pool: WorkerPool[None, Finding] = WorkerPool(lambda _: _told(run), 1)
    future = pool.submit(None)
    pool.close()
    ends_seconds = clock.elapsed_seconds() + MOST_SECONDS
    while clock.elapsed_seconds() < ends_seconds:
        if stop.is_set():
            raise StoppedError("Stopped before every access was tried")
        if wait([future], _LOOK_SECONDS).done:
            return future.result()
    return failed(f"no answer within {MOST_SECONDS:.0f} s", "Try again; check the network")


def _told(run: Callable[[], Finding]) -> Finding:
    try:
        return run()
    except ForwarderError as exc:
        detail = f"{exc.message} ({exc.detail})" if exc.detail else exc.message
        return failed(detail, exc.hint)
    except Exception as exc:  # noqa: BLE001 - the other accesses are tried all the same
        error = unexpected(exc)
        return failed(error.detail, error.hint)
