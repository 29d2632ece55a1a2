"""The dashboards as they stand in the project, and their widgets."""

import json
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[2] / "dashboards"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


class Widget(NamedTuple):
    """A widget with a query."""

    dashboard: str
    title: str
    view: str
    query: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.title}"


def widgets() -> list[Widget]:
    """Returns every widget with a query, of all dashboards."""
    found = []
    for name in NAMES:
        for widget in json.loads((FOLDER / f"{name}.json").read_text())["widgets"]:
            if widget["type"] == "log":
                properties = widget["properties"]
                found.append(
                    Widget(name, properties["title"], properties["view"], properties["query"])
                )
    return found
