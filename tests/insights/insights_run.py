"""Takes the commands of one Logs Insights query in turn, each as a table in DuckDB."""

from collections.abc import Sequence

import duckdb

from tests.insights.insights_fields import check_types, known_kinds
from tests.insights.insights_functions import Value
from tests.insights.insights_result import Result
from tests.insights.insights_sql import Translation, as_kind, quoted
from tests.insights.insights_syntax import (
    Column,
    Command,
    Dedup,
    Display,
    Fields,
    Filter,
    InsightsError,
    Limit,
    Parse,
    Sort,
    Stats,
    Text,
)

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Limit.html
MOST_ROWS = 10_000


class Run:
    """One query: the table so far, what its columns are, which are shown, and in what order.

    Args:
        database: with the table of events.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._database = database
        self._table = "events"
        self._step = 0
        self._kinds = known_kinds()
        self._made: set[str] = set()
        self._shown: list[str] = []
        self._order = f"{quoted('@timestamp')} DESC"
        self._named: set[str] = set()
        self._taken: set[type[Command]] = set()

    def take(self, command: Command) -> None:
        """Runs one command."""
        self._check_order(command)
        match command:
            case Fields():
                self._extend(command.columns)
            case Filter():
                self._filter(command)
            case Parse():
                self._parse(command)
            case Stats():
                self._stats(command)
            case _:
                self._arrange(command)

    def result(self) -> Result:
        """Returns what the commands show."""
        check_types(self._named)
        if not self._shown:
            raise InsightsError("the query does not say which fields it shows")
        listed = ", ".join(quoted(name) for name in self._shown)
        sql = f"SELECT {listed} FROM {self._table} ORDER BY {self._full_order}"
        rows = self._database.execute(sql).fetchall()
        if len(rows) > MOST_ROWS:
            raise InsightsError(f"more than {MOST_ROWS} rows, of which the service shows some")
        return Result(tuple(self._shown), tuple(self._kinds[name] for name in self._shown), rows)

    def _arrange(self, command: Command) -> None:
        match command:
            case Display(names):
                self._display(names)
            case Sort(((name, is_descending),)):
                self._sort(name, is_descending)
            case Limit(count):
                self._make(f"SELECT * FROM {self._table} ORDER BY {self._full_order} LIMIT {count}")
            case Dedup(names):
                self._dedup(names)
            case _:
                raise InsightsError(f"not known: {command}")

    def _check_order(self, command: Command) -> None:
        if Dedup in self._taken and not isinstance(command, Limit):
            raise InsightsError("only limit may follow dedup")
        if isinstance(command, Stats) and {Stats, Sort, Limit} & self._taken:
            raise InsightsError("stats comes once, before sort and limit")
        self._taken.add(type(command))

    @property
    def _full_order(self) -> str:
        """The order of the query, with every other column behind it: the same each time."""
        return ", ".join([self._order, *(quoted(name) for name in self._shown)])

    def _translation(self) -> Translation:
        return Translation(self._kinds)

    def _make(self, sql: str) -> None:
        self._step += 1
        table = f"step_{self._step}"
        self._database.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {sql}")
        self._table = table

    def _note(self, translation: Translation) -> None:
        """Looks whether values are missing that must not be, and keeps the fields' names."""
        self._named |= translation.named - self._made
        for needed in translation.needed:
            (missing,) = self._database.execute(
                f"SELECT count(*) FROM {self._table} WHERE ({needed}) IS NULL"
            ).fetchall()[0]
            if missing:
                raise InsightsError(f"{needed} is missing in {missing} events: filter them before")

    def _extend(self, columns: Sequence[Column]) -> None:
        translation = self._translation()
        made = [(one, translation.value(one.expression)) for one in columns]
        self._note(translation)
        self._add([(one.name, value) for one, value in made if one.name not in translation.named])
        self._shown += [one.name for one in columns]

    def _display(self, names: Sequence[str]) -> None:
        translation = self._translation()
        for name in names:
            translation.column(name)
        self._note(translation)
        self._shown = [*names]

    def _add(self, made: Sequence[tuple[str, Value]]) -> None:
        for name, value in made:
            if name in self._kinds:
                raise InsightsError(f"{name} is there already")
            self._kinds = {**self._kinds, name: value.kind}
            self._made.add(name)
        if made:
            listed = ", ".join(f"{value.sql} AS {quoted(name)}" for name, value in made)
            self._make(f"SELECT *, {listed} FROM {self._table}")

    def _filter(self, command: Filter) -> None:
        translation = self._translation()
        condition = as_kind(translation.value(command.condition), "condition")
        self._note(translation)
        self._make(f"SELECT * FROM {self._table} WHERE {condition}")

    def _parse(self, command: Parse) -> None:
        translation = self._translation()
        text = as_kind(translation.value(command.source), "text")
        self._note(translation)
        regex = translation.value(Text(command.regex)).sql
        self._add(
            [
                (name, Value(_part(text, regex, number), "text"))
                for number, name in enumerate(command.names, 1)
            ]
        )

    def _stats(self, command: Stats) -> None:
        translation = self._translation()
        groups = [(one.name, translation.value(one.expression)) for one in command.groups]
        values = [(one.name, translation.aggregate(one.expression)) for one in command.aggregates]
        self._note(translation)
        if not groups:
            raise InsightsError("stats without by, which may show nothing where nothing matches")
        listed = ", ".join(f"{value.sql} AS {quoted(name)}" for name, value in groups + values)
        by = ", ".join(value.sql for _, value in groups)
        self._make(f"SELECT {listed} FROM {self._table} GROUP BY {by}")
        self._kinds = {name: value.kind for name, value in groups + values}
        self._made = {*self._kinds}
        self._shown = [*self._kinds]
        self._order = quoted(self._shown[0])

    def _sort(self, name: str, is_descending: bool) -> None:
        translation = self._translation()
        value = translation.column(name)
        translation.needed.append(value.sql)
        self._note(translation)
        key = f"natural_key({value.sql})" if value.kind == "text" else value.sql
        self._order = f"{key} {'DESC' if is_descending else 'ASC'}"

    def _dedup(self, names: Sequence[str]) -> None:
        translation = self._translation()
        columns = [translation.column(name).sql for name in names]
        self._note(translation)
        kept = " OR ".join(f"{column} IS NULL" for column in columns)
        window = f"PARTITION BY {', '.join(columns)} ORDER BY {self._full_order}"
        self._make(
            f"SELECT * FROM {self._table} QUALIFY {kept} OR row_number() OVER ({window}) = 1"
        )


def _part(text: str, regex: str, number: int) -> str:
    matches = f"regexp_matches({text}, {regex})"
    return f"CASE WHEN {matches} THEN regexp_extract({text}, {regex}, {number}) END"
