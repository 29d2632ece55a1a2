"""The dashboards' queries, run on events: each shows what is counted in plain Python."""

import json
import re
from collections import Counter

import pytest

from tests.bench.counted import Event, events_of
from tests.insights.dashboard_files import FOLDER, NAMES, Widget, widgets
from tests.insights.expected import EXPECTED
from tests.insights.insights import Insights
from tests.insights.insights_fields import fields_of_types, known_kinds
from tests.insights.insights_parser import parse_query
from tests.insights.insights_syntax import Call, InsightsError, Sort, Stats
from tests.insights.sample_group import ODD_MESSAGE, sample_group
from utils.report.metrics import STREAM, Figures, Verified

GROUP = "<AWS_CLOUDWATCH_LOG_GROUP_NAME>"
ACCESS = {"access_requests", "access_failed", "access_security", "access_usage"}
ISSUE = {"requests_count", "failed_requests", "security", "usage", "integration", *ACCESS}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
KEYS = {"type", "x", "y", "width", "height", "properties"}
PROPERTIES = {
    "text": {"markdown"},
    "log": {"title", "region", "view", "query", "stacked"},
    "metric": {"title", "region", "view", "stacked", "period", "metrics"},
}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
SEARCH = re.compile(
    r"""SEARCH\('\{"<METRICS_NAMESPACE>",source\} MetricName="(\w+)"', '(Sum|Maximum)', 3600\)"""
)
MOST_HEIGHT = 1000
NAME = re.compile(r"`[^`]+`|@?[A-Za-z_][\w.]*")


@pytest.fixture(scope="module")
def insights() -> Insights:
    return Insights(sample_group())


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return events_of(one for one in sample_group() if not one.stream.endswith(f"/{STREAM}"))


def stats_of(widget: Widget) -> Stats | None:
    found = [one for one in parse_query(widget.query).commands if isinstance(one, Stats)]
    return found[0] if found else None


def test_there_is_a_result_for_each_widget() -> None:
    assert set(NAMES) == ISSUE
    titles = [(widget.dashboard, widget.title) for widget in widgets()]
    assert sorted(titles) == sorted((name, title) for name in EXPECTED for title in EXPECTED[name])


@pytest.mark.parametrize("widget", widgets(), ids=str)
def test_a_widget_shows_what_is_counted_in_another_way(
    widget: Widget, insights: Insights, events: list[Event]
) -> None:
    counted = EXPECTED[widget.dashboard][widget.title](events)
    if widget.title == "Events by stream":
        # The one line that is no JSON is an event too.
        counted = [(name, times + name.endswith("/S3")) for name, times in counted]
    elif widget.title == "Events an hour, by stream":
        odd = next(one for one in sample_group() if one.message == ODD_MESSAGE)
        hour_ms = odd.timestamp_ms - odd.timestamp_ms % 3_600_000
        counted = [
            (name, hour, times + ((name, hour) == (odd.stream, hour_ms)))
            for name, hour, times in counted
        ]
    assert counted
    assert Counter(insights.ask(widget.query).rows) == Counter(counted)


@pytest.mark.parametrize("widget", widgets(), ids=str)
def test_a_widget_is_in_the_order_that_it_asks_for(widget: Widget, insights: Insights) -> None:
    result = insights.ask(widget.query)
    sorts = [one for one in parse_query(widget.query).commands if isinstance(one, Sort)]
    assert len(sorts) == (widget.view != "timeSeries")
    if not sorts:
        return
    ((name, is_descending),) = sorts[0].keys
    assert is_descending
    if name in {"@timestamp", "first_ms", "first_seen"}:
        return
    column = result.columns.index(name)
    cells = [row[column] for row in result.rows]
    assert cells == sorted(cells, reverse=True)  # type: ignore[type-var]


@pytest.mark.parametrize("widget", widgets(), ids=str)
def test_a_misspelt_field_fails(widget: Widget, insights: Insights) -> None:
    names = {name.strip("`") for name in NAME.findall(widget.query)} & known_kinds().keys()
    assert names
    for name in names:
        misspelt = re.sub(rf"(?<![\w.@-]){re.escape(name)}(?![\w.-])", f"{name}x", widget.query)
        with pytest.raises(InsightsError, match="an unknown field"):
            insights.ask(misspelt)


@pytest.mark.parametrize("widget", widgets(), ids=str)
def test_a_widget_has_the_columns_that_its_view_needs(widget: Widget) -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Stats.html."""
    stats = stats_of(widget)
    if widget.view == "table":
        return
    assert stats
    bins = [one for one in stats.groups if isinstance(one.expression, Call)]
    if widget.view == "timeSeries":
        assert len(bins) == 1
        assert len(stats.groups) <= 2
        assert len(stats.aggregates) == 1 or len(stats.groups) == 1
    else:
        assert not bins
        assert len(stats.groups) == len(stats.aggregates) == 1


def test_each_type_of_audit_log_has_widgets() -> None:
    shown = {
        log_type
        for widget in widgets()
        for log_type, kinds in fields_of_types().items()
        if {name.strip("`") for name in NAME.findall(widget.query)} & kinds.keys()
    }
    assert shown == {"S3", "IAM", "Console"}


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_nothing_but_what_the_service_knows(name: str) -> None:
    body = json.loads((FOLDER / f"{name}.json").read_text())
    assert set(body) == {"start", "widgets"}
    assert re.fullmatch(r"-P(T\d+H|\d+D)", body["start"])
    for widget in body["widgets"]:
        assert set(widget) == KEYS
        assert set(widget["properties"]) <= PROPERTIES[widget["type"]]
        assert 0 < widget["height"] <= MOST_HEIGHT
    titles = [widget["properties"].get("title") for widget in body["widgets"]]
    assert len(set(titles)) == len(titles)


def test_the_metrics_of_an_iteration_are_charted_by_source_and_no_other() -> None:
    """Counts are summed up; how it is now is not."""
    found: dict[str, str] = {}
    for widget in json.loads((FOLDER / "integration.json").read_text())["widgets"]:
        for metric in widget["properties"].get("metrics", []):
            (search,) = metric
            parts = SEARCH.fullmatch(search["expression"])
            assert parts, search
            assert search["id"] == parts[1]
            found[parts[1]] = parts[2]
    # The figures of a verification are of its whole range; their sum is for the alarm.
    verified = {*Verified.__struct_fields__} - {"differences"}
    now = {"owed", "lag", "duration", *verified}
    shown = {*Figures.__struct_fields__, *verified}
    assert found == {name: "Maximum" if name in now else "Sum" for name in shown}


@pytest.mark.parametrize("widget", widgets(), ids=str)
def test_a_query_names_its_log_group_once(widget: Widget) -> None:
    assert parse_query(widget.query).log_group == GROUP
    assert widget.query.count(GROUP) == 1
