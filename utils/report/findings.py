"""What trying an access showed, and its lines on a terminal."""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple, get_args

import msgspec

from utils.wording import printable

Outcome = Literal["passed", "warning", "failed", "not tried"]

# What a terminal shows without breaking lines by itself.
COLUMNS = 100
_INDENT = "  "
_WHAT_WIDTH = 26
_OUTCOME_WIDTH = 9


class Finding(msgspec.Struct, frozen=True):
    """What one try showed, and how to mend it."""

    outcome: Outcome
    detail: str = ""
    mend: str = ""


class Try(NamedTuple):
    """One access to try: `needs` is the one before it without which it can't succeed."""

    what: str
    run: Callable[[], Finding]
    needs: str = ""


def passed(detail: str) -> Finding:
    """Returns that the access is there."""
    return Finding("passed", detail)


def warning(detail: str, mend: str) -> Finding:
    """Returns that the daemon works with less, or perhaps not as meant."""
    return Finding("warning", detail, mend)


def failed(detail: str, mend: str) -> Finding:
    """Returns that the daemon can't work."""
    return Finding("failed", detail, mend)


def lacking(what: str) -> Finding:
    """Returns that there was no point in trying without something else."""
    return Finding("not tried", f"it needs: {what}")


def lines(what: str, finding: Finding) -> Iterator[str]:
    """Yields a try's line of the table, broken where it is too long, and how to mend it below.

    Args:
        what: was tried.
        finding: what that showed.
    """
    start = f"{_INDENT}{what:<{_WHAT_WIDTH}}{_INDENT}{finding.outcome:<{_OUTCOME_WIDTH}}{_INDENT}"
    blank = " " * len(start)
    texts = [finding.detail, f"fix: {finding.mend.rstrip('.')}." if finding.mend else ""]
    parts = [part for text in texts for part in _wrapped(printable(text), COLUMNS - len(start))]
    for number, part in enumerate(parts or [""]):
        yield f"{blank if number else start}{part}".rstrip()


def summary(outcomes: Iterable[Outcome]) -> str:
    """Returns how many tries came to what, such as `passed: 14, failed: 1`."""
    counts = Counter(outcomes)
    names: tuple[Outcome, ...] = get_args(Outcome)
    return ", ".join(f"{name}: {counts[name]}" for name in names if counts[name])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)
