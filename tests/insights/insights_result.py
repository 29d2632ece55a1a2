"""What a Logs Insights query shows."""

from typing import NamedTuple

from tests.insights.insights_functions import Kind

Cell = str | float | int | None


class Result(NamedTuple):
    """What a query shows: the names of the columns, what they are, and the rows."""

    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    rows: list[tuple[Cell, ...]]
