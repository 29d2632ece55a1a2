"""The part of the Logs Insights language that the dashboards use, as a tree.

The language: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from dataclasses import dataclass


class InsightsError(Exception):
    """A query is not in the known part of the language, or what it asks for is not certain."""


@dataclass(frozen=True)
class Name:
    """A field of the events, or one that the query has made."""

    text: str


@dataclass(frozen=True)
class Text:
    """A string in quotes."""

    value: str


@dataclass(frozen=True)
class Number:
    """A number, as written."""

    value: str


@dataclass(frozen=True)
class Pattern:
    """A regular expression between slashes."""

    regex: str


@dataclass(frozen=True)
class Period:
    """A period of `bin`, in ms, and as written."""

    ms: int
    written: str


@dataclass(frozen=True)
class Star:
    """The `*` of `count(*)`."""


@dataclass(frozen=True)
class Call:
    """A function with its arguments."""

    function: str
    arguments: "tuple[Expression, ...]"


@dataclass(frozen=True)
class Operation:
    """An operator between two expressions."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Negation:
    """`not` before a condition."""

    condition: "Expression"


Expression = Name | Text | Number | Pattern | Period | Star | Call | Operation | Negation


@dataclass(frozen=True)
class Column:
    """An expression and the name that its values get."""

    expression: Expression
    name: str


@dataclass(frozen=True)
class Fields:
    """`fields`: makes fields, and shows them."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Display:
    """`display`: shows these fields alone."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Filter:
    """`filter`: keeps the events for which a condition holds."""

    condition: Expression


@dataclass(frozen=True)
class Parse:
    """`parse`: makes fields of parts of a text, by a regular expression with a group for each."""

    source: Expression
    regex: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Stats:
    """`stats`: aggregates, for each combination of what stands after `by`."""

    aggregates: tuple[Column, ...]
    groups: tuple[Column, ...]


@dataclass(frozen=True)
class Sort:
    """`sort`: orders by fields; true is for descending."""

    keys: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Limit:
    """`limit`: keeps the first results."""

    count: int


@dataclass(frozen=True)
class Dedup:
    """`dedup`: keeps the first result for each combination of values."""

    names: tuple[str, ...]


Command = Fields | Display | Filter | Parse | Stats | Sort | Limit | Dedup


@dataclass(frozen=True)
class Query:
    """A log group, where the query names one, and the commands."""

    log_group: str
    commands: tuple[Command, ...]
