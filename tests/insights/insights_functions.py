"""The functions of the Logs Insights language that the dashboards use, in DuckDB's SQL.

The functions: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-operations-functions.html
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Kind = Literal["text", "number", "time", "condition"]


class Value(NamedTuple):
    """SQL for a value, and what it is. A time is a number of ms since 1970."""

    sql: str
    kind: Kind


class Function(NamedTuple):
    """What a function takes and returns; `sql` has a `{}` for each argument.

    Of an aggregate that returns one of the values, the kind is that of its argument: None.
    """

    takes: tuple[Kind, ...]
    returns: Kind | None
    sql: str


FUNCTIONS = {
    "toMillis": Function(("time",), "number", "{}"),
    "abs": Function(("number",), "number", "abs({})"),
    "floor": Function(("number",), "number", "floor({})"),
    # From an index that counts from 0: so many characters.
    "substr": Function(("text", "number", "number"), "text", "substr({}, {} + 1, {})"),
    "replace": Function(("text", "text", "text"), "text", "replace({}, {}, {})"),
    "strcontains": Function(("text", "text"), "number", "contains({}, {})::INT"),
}
# count(*), concat, ispresent, coalesce and bin take other numbers or kinds of arguments: the
# translation knows them.
AGGREGATES = {
    "count": Function(("text",), "number", "count({})"),
    "count_distinct": Function(("text",), "number", "count(DISTINCT {})"),
    "sum": Function(("number",), "number", "sum({})"),
    "avg": Function(("number",), "number", "avg({})"),
    "min": Function(("number",), None, "min({})"),
    "max": Function(("number",), None, "max({})"),
    # The service's own way between two values is not documented: the nearest rank.
    "pct": Function(("number", "number"), "number", "quantile_disc({}, {} / 100)"),
    # Of events of one time, the service may show any.
    "earliest": Function(("text",), "text", 'arg_min({}, "@timestamp")'),
    "latest": Function(("text",), "text", 'arg_max({}, "@timestamp")'),
    "sortsFirst": Function(("text",), "text", "arg_min({0}, natural_key({0}))"),
    "sortsLast": Function(("text",), "text", "arg_max({0}, natural_key({0}))"),
}


# Texts sort as `sort` has them by this key: runs of digits in the order of their length, then of
# their value; what is no number before what is one.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Sort.html
NATURAL_KEY = r"""
CREATE MACRO natural_key(text) AS
    regexp_full_match(text, '\d+')::INT || array_to_string(list_transform(
        regexp_extract_all(text, '\d+|\D+'),
        lambda run: CASE WHEN regexp_full_match(run, '\d+')
            THEN '0' || lpad(length(run)::VARCHAR, 4, '0') || run ELSE run END
    ), '')
"""


def applied(
    function: Function, arguments: Sequence[Value], cast: Callable[[Value, Kind], str]
) -> Value:
    """Returns a function's SQL with its arguments.

    Args:
        function: the function.
        arguments: as many as it takes.
        cast: returns a value's SQL as of another kind.
    """
    parts = [cast(value, kind) for value, kind in zip(arguments, function.takes, strict=True)]
    return Value(function.sql.format(*parts), function.returns or arguments[0].kind)
