"""Runs Logs Insights queries over stored events, strictly: what is not certain is an error."""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from tests.insights.insights_fields import discovered, known_kinds
from tests.insights.insights_functions import NATURAL_KEY, Kind
from tests.insights.insights_parser import parse_query
from tests.insights.insights_result import Result
from tests.insights.insights_run import Run
from tests.insights.insights_syntax import InsightsError
from tests.standin.stored_event import StoredEvent

SQL_TYPES: dict[Kind, str] = {"text": "VARCHAR", "number": "DOUBLE", "time": "BIGINT"}


class Insights:
    """A log group that can be asked.

    Args:
        events: what it holds.
    """

    def __init__(self, events: Iterable[StoredEvent]) -> None:
        self._database = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self._database.execute(NATURAL_KEY)
        self._load(events)

    def ask(self, query: str) -> Result:
        """Returns what a query shows.

        Raises:
            InsightsError: it is not in the known part of the language, names a field that the
                sample events do not have, or asks for what is not certain.
        """
        run = Run(self._database)
        try:
            for command in parse_query(query).commands:
                run.take(command)
            return run.result()
        except duckdb.Error as exc:
            raise InsightsError(str(exc)) from exc

    def _load(self, events: Iterable[StoredEvent]) -> None:
        columns = {name: SQL_TYPES[kind] for name, kind in known_kinds().items()}
        with TemporaryDirectory() as directory:
            path = Path(directory) / "events.json"
            with path.open("w") as file:
                file.writelines(f"{json.dumps(_row(event))}\n" for event in events)
            self._database.read_json(str(path), columns=columns, format="newline_delimited").create(
                "events"
            )


def _row(event: StoredEvent) -> dict[str, str | float]:
    return {
        **discovered(event.message),
        "@timestamp": event.timestamp_ms,
        "@ingestionTime": event.ingestion_ms,
        "@logStream": event.stream,
        "@message": event.message,
    }
