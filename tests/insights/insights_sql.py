"""Turns the expressions of a Logs Insights query into DuckDB's SQL, each with what it is."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from tests.insights.insights_functions import AGGREGATES, FUNCTIONS, Function, Kind, Value, applied
from tests.insights.insights_syntax import (
    Call,
    Expression,
    InsightsError,
    Name,
    Negation,
    Number,
    Operation,
    Pattern,
    Period,
    Star,
    Text,
)

COMPARISONS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
ARITHMETIC = {"+", "-", "*", "/", "%"}
LOGIC = {"and": "AND", "or": "OR"}


class Translation:
    """Expressions over a table's columns.

    Args:
        kinds: of the columns, by their names.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        # Values that must not be missing, or what the service does is not certain.
        self.needed: list[str] = []
        # Columns that are named outside of `coalesce`.
        self.named: set[str] = set()

    def column(self, name: str) -> Value:
        """Returns a column.

        Raises:
            InsightsError: there is none of that name.
        """
        if name not in self.kinds:
            near = get_close_matches(name, self.kinds, 1)
            raise InsightsError(f"an unknown field: {name}{f', perhaps {near[0]}' if near else ''}")
        self.named.add(name)
        return Value(quoted(name), self.kinds[name])

    def value(self, expression: Expression) -> Value:
        """Returns an expression of one event.

        Raises:
            InsightsError: it is not in the known part of the language.
        """
        match expression:
            case Name(text):
                return self.column(text)
            case Text(text):
                return Value("'" + text.replace("'", "''") + "'", "text")
            case Number(text):
                return Value(text, "number")
            case Call(function, arguments):
                return self._call(function, arguments)
            case Operation(operator, left, right):
                return self._operation(operator, left, right)
            case Negation(condition):
                inner = as_kind(self.value(condition), "condition")
                self.needed.append(inner)
                return Value(f"(NOT {inner})", "condition")
        raise InsightsError(f"out of place: {expression}")

    def aggregate(self, expression: Expression) -> Value:
        """Returns an aggregate over events.

        Raises:
            InsightsError: it is none that is known.
        """
        match expression:
            case Call("count", (Star(),)):
                return Value("count(*)", "number")
            case Call(name, arguments) if name in AGGREGATES:
                return self._applied(AGGREGATES[name], name, arguments)
        raise InsightsError(f"an unknown aggregate: {expression}")

    def _call(self, name: str, arguments: tuple[Expression, ...]) -> Value:
        match name, arguments:
            case "bin", (Period(ms, _),):
                time = as_kind(self.column("@timestamp"), "time")
                return Value(f"({time} // {ms} * {ms})", "time")
            case "ispresent", (Name(field),):
                return Value(f"({self.column(field).sql} IS NOT NULL)", "condition")
            case "concat", _:
                parts = (as_kind(self.value(one), "text") for one in arguments)
                return Value(f"({' || '.join(parts)})", "text")
            case "coalesce", _:
                inner = Translation(self.kinds)
                values = [inner.value(one) for one in arguments]
                if len({one.kind for one in values}) > 1:
                    raise InsightsError("coalesce of different kinds")
                return Value(f"coalesce({', '.join(one.sql for one in values)})", values[0].kind)
        if name not in FUNCTIONS:
            raise InsightsError(f"an unknown function: {name}")
        return self._applied(FUNCTIONS[name], name, arguments)

    def _applied(self, function: Function, name: str, arguments: tuple[Expression, ...]) -> Value:
        if len(arguments) != len(function.takes):
            raise InsightsError(f"{name} takes {len(function.takes)} arguments")
        values = [self.value(one) for one in arguments]
        if name in {"count", "count_distinct"}:
            return Value(function.sql.format(values[0].sql), "number")
        return applied(function, values, as_kind)

    def _operation(self, operator: str, left: Expression, right: Expression) -> Value:
        if operator == "like":
            return self._like(left, right)
        one, other = self.value(left), self.value(right)
        if operator in LOGIC:
            parts = as_kind(one, "condition"), as_kind(other, "condition")
            return Value(f"({parts[0]} {LOGIC[operator]} {parts[1]})", "condition")
        if operator in ARITHMETIC:
            parts = as_kind(one, "number"), as_kind(other, "number")
            return Value(f"({parts[0]} {operator} {parts[1]})", "number")
        if operator == "!=":
            self.needed += [one.sql, other.sql]
        kind: Kind = "number" if "number" in {one.kind, other.kind} else one.kind
        parts = as_kind(one, kind), as_kind(other, kind)
        return Value(f"({parts[0]} {COMPARISONS[operator]} {parts[1]})", "condition")

    def _like(self, left: Expression, right: Expression) -> Value:
        text = as_kind(self.value(left), "text")
        match right:
            case Pattern(regex):
                re.compile(regex)
                pattern = self.value(Text(regex)).sql
                return Value(f"regexp_matches({text}, {pattern})", "condition")
            case Text():
                return Value(f"contains({text}, {self.value(right).sql})", "condition")
        raise InsightsError("like takes a text or a regular expression")


def quoted(name: str) -> str:
    """Returns a name as SQL has it."""
    return f'"{name}"'


def as_kind(value: Value, kind: Kind) -> str:
    """Returns a value's SQL as of another kind. A text that is no number fails when it is run.

    Raises:
        InsightsError: there is no such change.
    """
    if value.kind == kind:
        return value.sql
    if (value.kind, kind) == ("text", "number"):
        return f"CAST({value.sql} AS DOUBLE)"
    raise InsightsError(f"a {kind} is needed, not a {value.kind}: {value.sql}")
