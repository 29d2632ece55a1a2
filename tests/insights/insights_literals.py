"""What stands for itself in a Logs Insights query: texts, numbers, patterns, periods and globs."""

import re
from collections.abc import Callable

from tests.insights.insights_syntax import (
    Expression,
    InsightsError,
    Number,
    Pattern,
    Period,
    Text,
)

UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def glob_regex(text: str) -> str:
    """Returns what a glob stands for: it may begin and end anywhere, but with a `*`."""
    parts = "(.*?)".join(re.escape(part) for part in text.split("*"))
    return "^" * text.startswith("*") + parts + "$" * text.endswith("*")


def named_groups(regex: str) -> tuple[str, tuple[str, ...]]:
    """Returns the regular expression with plain groups, and their names.

    Raises:
        InsightsError: a group has no name, or there is none.
    """
    names = re.findall(r"\(\?<(\w+)>", regex)
    plain = re.sub(r"\(\?<\w+>", "(", regex)
    if not names or re.compile(plain).groups != len(names):
        raise InsightsError(f"{regex!r} has another number of groups than there are names")
    return plain, tuple(names)


def period_of(text: str) -> Period:
    """Returns the period that a text such as `1h` names."""
    number, unit = re.fullmatch(r"(\d+)(\w+)", text).groups()  # type: ignore[union-attr]
    return Period(int(number) * UNIT_MS[unit], text)


LITERALS: dict[str, Callable[[str], Expression]] = {
    "text": lambda text: Text(text[1:-1]),
    "number": Number,
    "regex": lambda text: Pattern(text[1:-1].replace("\\/", "/")),
    "period": period_of,
}
