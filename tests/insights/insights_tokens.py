"""Cuts a Logs Insights query into its smallest pieces."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.insights.insights_syntax import InsightsError

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<field>`[^`]+`)
    |(?P<period>\d+(?:ms|[smhdw])\b)
    |(?P<number>\d+(?:\.\d+)?\b)
    |(?P<name>@?[A-Za-z_][\w]*(?:\.[A-Za-z_0-9]\w*)*)
    |(?P<regex>(?<=[ ])/(?![ ])(?:[^/\\\n]|\\.)+/)
    |(?P<sign>!=|<=|>=|[=<>+\-*/%(),|])""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the query: its kind, as the expression above names them, and its text."""

    kind: str
    text: str


END = Token("end", "")


def tokens(text: str) -> Iterator[Token]:
    """Yields the pieces of a query.

    Raises:
        InsightsError: a piece is none that is known.
    """
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise InsightsError(f"not understood: {text[place : place + 30]!r}")
        place = found.end()
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found[0])
