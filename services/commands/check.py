"""Tries every access that the daemon needs, each apart from the others, and prints what shows."""

from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from threading import Event
from typing import NamedTuple

from services.commands.cloudwatch_check import CloudWatchCheck
from services.commands.lyve_check import LyveCheck
from services.commands.terminal import show
from services.commands.tries import Try
from services.output.status import tell
from services.threads.executor import begin
from utils.config.settings import Source
from utils.errors import StoppedError
from utils.model import Clock
from utils.report.findings import Finding, Outcome, failed, lacking, lines, summary, title

# Longer than the clients wait for one answer; it ends whatever else may hang.
MOST_SECONDS = 25.0
_LOOK_SECONDS = 0.1


class _Shared(NamedTuple):
    """A try, its key, that of the try that it needs, and the names of the sources that share it."""

    row: Try
    key: object
    need: object
    names: list[str]


def print_checks(sources: Sequence[Source], clock: Clock, stop: Event) -> bool:
    """Tries every access that the daemon needs, and prints each; returns if none failed.

    What several sources share is tried once, before what each has for itself, and printed below all
    their names. A failed try ends only those that need it. Behind the last of several sources
    stands the total of all.

    Args:
        sources: what to ship where.
        clock: how the time is read.
        stop: set when the process is to end.
    """
    text = "Trying every access that the daemon needs."
    names = ", ".join(source.name for source in sources)
    line = tell(clock.now(), "INFO", text, {"source": names})
    tries = _shared(sources, line, clock, stop)
    causes: dict[object, str] = {}
    outcomes: list[Outcome] = []
    try:
        # What a try needs is shared by at least those that share the try.
        for sharing in sorted({tuple(one.names): 0 for one in tries}, key=len, reverse=True):
            show(*title(sharing))
            start = len(outcomes)
            own = [one for one in tries if tuple(one.names) == sharing]
            for what, finding in _found(own, causes, clock, stop):
                outcomes.append(finding.outcome)
                show(*lines(what, finding))
            show(f"  {summary(outcomes[start:])}", "")
    except StoppedError as exc:
        tell(clock.now(), "WARN", str(exc), {})
        return False
    if len(sources) > 1:
        show(f"{len(sources)} sources", f"  {summary(outcomes)}", "")
    return "failed" not in outcomes


def _shared(sources: Sequence[Source], line: str, clock: Clock, stop: Event) -> list[_Shared]:
    tries: dict[object, _Shared] = {}
    for source in sources:
        part = source.of_part(source.parts()[0])
        rows = [*LyveCheck(source, line, clock, stop).tries(), *CloudWatchCheck(part).tries()]
        keys = {row.what: (row.what, row.subject) for row in rows}
        for row in rows:
            key = keys[row.what]
            first = tries.setdefault(key, _Shared(row, key, keys.get(row.needs), []))
            first.names.append(source.name)
    return list(tries.values())


def _found(
    tries: Sequence[_Shared], causes: dict[object, str], clock: Clock, stop: Event
) -> Iterator[tuple[str, Finding]]:
    """Yields what was tried and what it showed; `causes` has what keeps others from being tried."""
    for row, key, need, _ in tries:
        cause = causes.get(need, "")
        finding = lacking(cause) if cause else _in_time(row, clock, stop)
        if finding and finding.outcome in {"failed", "not tried"}:
            causes[key] = cause or row.what
        if finding and not (cause and row.is_hint):
            yield row.what, finding


def _in_time(row: Try, clock: Clock, stop: Event) -> Finding | None:
    """Returns what the try shows, or that it took longer than a person would wait."""
    finding = begin(row.finding)
    ends_seconds = clock.elapsed_seconds() + MOST_SECONDS
    while clock.elapsed_seconds() < ends_seconds:
        if stop.is_set():
            raise StoppedError
        if wait([finding], _LOOK_SECONDS).done:
            return finding.result()
    detail = f"{row.call}: no answer within {MOST_SECONDS:.0f} s"
    return failed(detail, "Try again; check the network")
