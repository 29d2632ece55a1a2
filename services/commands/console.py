"""Prints what a person asked for on the terminal, as a table for each source."""

from collections.abc import Sequence
from threading import Event

from services.commands.check import check
from services.commands.plan import preview
from services.commands.terminal import show
from services.output.status import Clock, tell
from utils.config.settings import Source
from utils.errors import ForwarderError, StoppedError, unexpected
from utils.model import Start
from utils.report.failures import Failure, by_cause
from utils.report.findings import Outcome, lines, summary, title
from utils.report.preview import Preview, rows


def print_plans(sources: Sequence[Source], start: Start, clock: Clock, stop: Event) -> bool:
    """Prints what the next iteration would ship of each source; returns if all could be told.

    Behind the last of several sources stands the total, and how many it lacks because they failed.

    Args:
        sources: what to ship where.
        start: when the iteration would begin.
        clock: how the time is read.
        stop: set when the process is to end.
    """
    failures: list[Failure] = []
    told = [_print_plan(source, start, clock, stop, failures) for source in sources]
    for time, text, pairs in by_cause(failures):
        tell(time, "ERROR", text, pairs)
    previews = [one for one in told if one]
    failed = len(sources) - len(previews)
    if len(sources) > 1:
        lacking = f"{failed}, of which nothing is known or counted here"
        table = [("failed", lacking)] if failed else []
        _print_table(f"{len(sources)} sources", table + (rows(previews) if previews else []))
    return not failed


def print_checks(sources: Sequence[Source], clock: Clock, stop: Event) -> bool:
    """Tries every access that the daemon needs, and prints each; returns if none failed.

    What several sources share is printed once, below all their names. Behind the last of several
    sources stands the total of all.

    Args:
        sources: what to ship where.
        clock: how the time is read.
        stop: set when the process is to end.
    """
    text = "Trying every access that the daemon needs."
    names = ", ".join(source.name for source in sources)
    line = tell(clock.now(), "INFO", text, {"source": names})
    outcomes: list[Outcome] = []
    try:
        for sharing, found in check(sources, line, clock, stop):
            show(*title(sharing))
            start = len(outcomes)
            for what, finding in found:
                outcomes.append(finding.outcome)
                show(*lines(what, finding))
            show(f"  {summary(outcomes[start:])}", "")
    except StoppedError as exc:
        tell(clock.now(), "WARN", str(exc), {})
        return False
    if len(sources) > 1:
        show(f"{len(sources)} sources", f"  {summary(outcomes)}", "")
    return "failed" not in outcomes


def _print_plan(
    source: Source, start: Start, clock: Clock, stop: Event, failures: list[Failure]
) -> Preview | None:
    """Prints the plan of a source, or adds to `failures` what went wrong."""
    try:
        found = preview(source, start, stop)
    except Exception as exc:  # noqa: BLE001 - a person reads this, not a traceback
        error = exc if isinstance(exc, ForwarderError) else unexpected(exc)
        failures.append(Failure(source.name, error, clock.now()))
        return None
    _print_table(source.name, rows([found]))
    return found


def _print_table(title: str, table: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in table)
    show(title, *(f"  {name:<{width}}  {value}" for name, value in table), "")
