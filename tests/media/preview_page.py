"""One self-contained page with every dashboard and its results, as CloudWatch lays them out."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from tests.demo import LOG_GROUP, REGION
from tests.insights.dashboard_files import FOLDER, NAMES
from tests.insights.insights import Insights
from tests.standin.stored_event import StoredEvent

HERE = Path(__file__).parent
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Lyve Cloud dashboards, a preview</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>Lyve Cloud dashboards, a preview</h1>
<p>{note}</p>
<nav></nav>
</header>
<main></main>
<script type="application/json" id="results">{results}</script>
<script>{script}</script>
</body>
</html>
"""
NOTE = (
    "{events:,} made-up events, shipped by the daemon to a stand-in for CloudWatch. The widgets"
    " stand as CloudWatch lays them out, with the results of their own queries. Times are UTC."
)

NO_METRICS = "CloudWatch draws this from the metrics of a daemon with metrics on. No preview."


def preview_page(events: Iterable[StoredEvent]) -> str:
    """Returns the page as HTML.

    Args:
        events: what the log group holds.
    """
    held = list(events)
    insights = Insights(held)
    dashboards = [
        {"name": name, "widgets": [_shown(widget, insights) for widget in _widgets(name)]}
        for name in NAMES
    ]
    return PAGE.format(
        style=(HERE / "preview.css").read_text(),
        script=(HERE / "preview.js").read_text(),
        note=escape(NOTE.format(events=len(held))),
        results=json.dumps(dashboards).replace("<", "\\u003c"),
    )


def _widgets(name: str) -> list[dict[str, object]]:
    text = (FOLDER / f"{name}.json").read_text()
    filled = text.replace("<AWS_REGION>", REGION).replace(
        "<AWS_CLOUDWATCH_LOG_GROUP_NAME>", LOG_GROUP
    )
    widgets: list[dict[str, object]] = json.loads(filled)["widgets"]
    return widgets


def _shown(widget: dict[str, object], insights: Insights) -> dict[str, object]:
    """Returns what the page's script needs of a widget."""
    properties = widget["properties"]
    assert isinstance(properties, dict)
    shown = {**{key: value for key, value in widget.items() if key != "properties"}, **properties}
    if shown["type"] == "metric":
        shown |= {"type": "text", "markdown": f"### {shown['title']}\n{NO_METRICS}"}
    if "query" in shown:
        shown |= insights.ask(str(shown.pop("query")))._asdict()
    return shown
