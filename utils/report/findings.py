"""What trying an access showed, and its lines on a terminal."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import msgspec

from utils.wording import printable

Outcome = Literal["passed", "warning", "failed", "not tried"]

# What a terminal shows without breaking lines by itself.
COLUMNS = 100
_INDENT = "  "
_WHAT_WIDTH = 26
_OUTCOME_WIDTH = 9
_COMMAND = re.compile(r"`(aws [^`]+)`")


class Finding(msgspec.Struct, frozen=True):
    """What one try showed, and what to do about it."""

    outcome: Outcome
    detail: str = ""
    fix: str = ""


def passed(detail: str) -> Finding:
    """Returns that the access is there."""
    return Finding("passed", detail)


def warning(detail: str, fix: str) -> Finding:
    """Returns that the daemon works with less, or perhaps not as meant."""
    return Finding("warning", detail, fix)


def failed(detail: str, fix: str) -> Finding:
    """Returns that the daemon can't work."""
    return Finding("failed", detail, fix)


def lacking(what: str) -> Finding:
    """Returns that there was no point in trying without something else."""
    return Finding("not tried", f"it needs: {what}")


def title(names: Iterable[str]) -> list[str]:
    """Returns the lines that name the sources whose accesses follow."""
    return _wrapped(printable(", ".join(names)), COLUMNS)


def lines(what: str, finding: Finding) -> Iterator[str]:
    """Yields a try's line of the table, broken where it is too long, and what to do about it below.

    A command is not broken: it has a line of its own, to be copied.
    """
    start = f"{_INDENT}{what:<{_WHAT_WIDTH}}{_INDENT}{finding.outcome:<{_OUTCOME_WIDTH}}{_INDENT}"
    blank = " " * len(start)
    parts = _wrapped(printable(finding.detail), COLUMNS - len(start))
    fix = f"fix: {finding.fix.rstrip('.')}." if finding.fix else ""
    for number, text in enumerate(_COMMAND.split(printable(fix))):
        is_command = number % 2 == 1
        parts += [text] if is_command else _wrapped(text.strip(), COLUMNS - len(start))
    for number, part in enumerate(parts or [""]):
        yield f"{blank if number else start}{part}".rstrip()


def summary(outcomes: Iterable[Outcome]) -> str:
    """Returns how many tries came to what, such as `passed: 14, failed: 1`."""
    counts = Counter(outcomes)
    names: tuple[Outcome, ...] = get_args(Outcome)
    return ", ".join(f"{name}: {counts[name]}" for name in names if counts[name])


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)
