"""Tries every access that the daemon needs, each apart from the others."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from threading import Event
from typing import NamedTuple

from services.commands.cloudwatch_check import CloudWatchCheck
from services.commands.lyve_check import LyveCheck
from services.output.status import Clock
from services.threads.worker_pool import WorkerPool
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.report.findings import Finding, Try, failed, lacking

# Longer than the clients wait for one answer; it ends whatever else may hang.
MOST_SECONDS = 25.0
_LOOK_SECONDS = 0.1

Names = tuple[str, ...]
Found = Iterator[tuple[str, Finding]]


class _Keyed(NamedTuple):
    """A try, by which key it is known, and the key of the one that it needs."""

    one: Try
    key: object
    need: object


def check(
    sources: Sequence[Source], line: str, clock: Clock, stop: Event
) -> Iterator[tuple[Names, Found]]:
    """Yields, for sources that share accesses, what was tried and what it showed.

    What several sources share is tried once, before what each has for itself. A failed try ends
    only those that need it.

    Args:
        sources: what to ship where.
        line: a status line, which is written to try the output bucket.
        clock: how the time is read.
        stop: set when the process is to end.

    Raises:
        StoppedError: the process is to end.
    """
    tries: dict[object, _Keyed] = {}
    sharing: dict[object, Names] = {}
    for source in sources:
        own = [
            *LyveCheck(source, line, clock, stop).tries(),
            *CloudWatchCheck(source.of_part(source.parts()[0])).tries(),
        ]
        keys = {one.what: (one.what, one.subject) for one in own}
        for one in own:
            key = keys[one.what]
            tries.setdefault(key, _Keyed(one, key, keys.get(one.needs)))
            sharing[key] = (*sharing.get(key, ()), source.name)
    causes: dict[object, str] = {}
    # What a try needs is shared by at least those that share the try.
    for names in sorted(dict.fromkeys(sharing.values()), key=len, reverse=True):
        shared = [keyed for key, keyed in tries.items() if sharing[key] == names]
        yield names, _found(shared, causes, clock, stop)


def _found(tries: Iterable[_Keyed], causes: dict[object, str], clock: Clock, stop: Event) -> Found:
    for one, key, need in tries:
        cause = causes.get(need, "")
        finding = lacking(cause) if cause else _in_time(one.run, clock, stop)
        if finding and finding.outcome in {"failed", "not tried"}:
            causes[key] = cause or one.what
        if finding and not (cause and one.is_hint):
            yield one.what, finding


def _in_time(run: Callable[[], Finding | None], clock: Clock, stop: Event) -> Finding | None:
    """Returns what the try shows, or that it took longer than a person would wait."""
    pool: WorkerPool[None, Finding | None] = WorkerPool(lambda _: _told(run), 1)
    future = pool.submit(None)
    pool.close()
    ends_seconds = clock.elapsed_seconds() + MOST_SECONDS
    while clock.elapsed_seconds() < ends_seconds:
        if stop.is_set():
            raise StoppedError("Stopped before every access was tried")
        if wait([future], _LOOK_SECONDS).done:
            return future.result()
    return failed(f"no answer within {MOST_SECONDS:.0f} s", "Try again; check the network")


def _told(run: Callable[[], Finding | None]) -> Finding | None:
    try:
        return run()
    except ForwarderError as exc:
        detail = f"{exc.message} ({exc.detail})" if exc.detail else exc.message
        return failed(detail, exc.hint)
    except Exception as exc:  # noqa: BLE001 - the other accesses are tried all the same
        error = unexpected(exc)
        return failed(error.detail, error.hint)
