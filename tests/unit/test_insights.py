"""The evaluator of Logs Insights queries: what it answers, and what it refuses to answer.

The examples follow the pages below
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html.
"""

import json

import pytest

from tests.insights.insights import Insights
from tests.insights.insights_parser import parse_query
from tests.insights.insights_result import Cell
from tests.insights.insights_syntax import InsightsError
from tests.standin.stored_event import StoredEvent

START_MS = 1_709_208_000_000
STREAM = "lyve-cloud/audit-logs/S3"


def s3_event(number: int, name: str, status: int = 200, **more: object) -> StoredEvent:
    api = {"name": name, "statusCode": status, "timeToResponse": f"{number}000000ns"}
    entry = {"api": api, "requestID": f"{number:03X}", **more}
    time_ms = START_MS + number * 60_000
    return StoredEvent(time_ms, time_ms + 500, STREAM, json.dumps({"auditEntry": entry}))


@pytest.fixture(scope="module")
def insights() -> Insights:
    return Insights(
        [
            s3_event(1, "GetObject"),
            s3_event(2, "GetObject", 404),
            s3_event(3, "PutObject", requestHeader={"X-Forwarded-For": "192.0.2.1, 192.0.2.9"}),
            s3_event(61, "PutObject", 403),
            s3_event(61, "PutObject", 403),
            StoredEvent(START_MS, START_MS, STREAM, "no JSON"),
        ]
    )


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("stats count(*) as n by @logStream", [(STREAM, 6)]),
        (
            "filter auditEntry.api.statusCode >= 400 | stats count(*) as n by @logStream",
            [(STREAM, 3)],
        ),
        (
            "stats count(auditEntry.requestID) as n by bin(1h) | sort n desc",
            [(START_MS, 3), (START_MS + 3_600_000, 2)],
        ),
        (
            "fields auditEntry.api.name as name | stats count_distinct(auditEntry.requestID) as n"
            " by name | sort n desc | limit 2",
            [("GetObject", 2), ("PutObject", 2)],
        ),
        (
            "filter auditEntry.api.name like /^Put/ | fields auditEntry.requestID as id"
            " | sort @timestamp desc | display id | dedup id",
            [("03D",), ("003",)],
        ),
        (
            "fields auditEntry.requestID as id | sort @timestamp asc | display id | dedup id"
            " | limit 2",
            [(None,), ("001",)],
        ),
        (
            'parse auditEntry.api.timeToResponse "*ns" as ns | filter ns > 2000000'
            " | stats max(ns / 1000000) as ms, pct(ns / 1000000, 50) as p50 by @logStream",
            [(STREAM, 61.0, 61.0)],
        ),
        (
            'parse `auditEntry.requestHeader.X-Forwarded-For` "*,*" as address, others'
            " | filter ispresent(address) | display address",
            [("192.0.2.1",)],
        ),
        (
            r"parse auditEntry.api.timeToResponse /^(?<digits>\d+)(?<unit>n|m)s$/"
            " | filter unit = 'n' and digits > 2000000 | stats max(digits) as ns by unit",
            [("n", 61000000.0)],
        ),
        (
            "fields strcontains(auditEntry.api.name, 'Put') as puts"
            " | stats sum(puts) as n by @logStream",
            [(STREAM, 3)],
        ),
        (
            "fields (toMillis(@ingestionTime) - toMillis(@timestamp)) / 1000 as lag"
            " | stats max(lag) as longest by @logStream",
            [(STREAM, 0.5)],
        ),
        (
            "filter not (auditEntry.api.name like 'Get') and auditEntry.api.statusCode = 200"
            " | display auditEntry.requestID",
            "missing",
        ),
        (
            "filter ispresent(auditEntry.api.name) | filter not (auditEntry.api.name like 'Get')"
            " | filter auditEntry.api.statusCode = 200 | display auditEntry.requestID",
            [("003",)],
        ),
        ("stats sortsFirst(auditEntry.requestID) as first by @logStream", [(STREAM, "03D")]),
    ],
)
def test_answers(insights: Insights, query: str, rows: list[tuple[Cell, ...]] | str) -> None:
    if isinstance(rows, str):
        with pytest.raises(InsightsError, match=rows):
            insights.ask(query)
    else:
        assert insights.ask(query).rows == rows


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("stats count(*) as n by auditEntry.api.nam", "perhaps auditEntry.api.name"),
        ("filter auditEntry.requestID = 200 | display @message", "Could not convert|number"),
        ("filter auditEntry.api.statusCode != 200 | display @message", "missing in 1 events"),
        ("filter auditEntry.api.statusCode = 'OK' | display @message", "Could not convert|number"),
        ("filter auditEntry.api.name | display @message", "a condition is needed"),
        ("filter auditEntry.api.name like 3 | display @message", "like takes"),
        ("filter user_name = 'a' and auditEntry.api.name = 'b' | display @message", "no type"),
        ("stats count(*) by @logStream", "'as' is needed"),
        ("stats count(*) as n", "stats without by"),
        ("stats stddev(auditEntry.api.statusCode) as n by @logStream", "an unknown aggregate"),
        ("stats pct(auditEntry.api.statusCode) as n by @logStream", "takes 2 arguments"),
        ("stats count(*) as n by @logStream | stats count(*) as m by n", "stats comes once"),
        ("sort @timestamp desc | stats count(*) as n by @logStream", "stats comes once"),
        ("fields @message | dedup @message | sort @timestamp desc", "only limit"),
        ("sort @timestamp | display @message", "'asc' is needed"),
        ("sort auditEntry.api.name desc | display @message", "missing in 1 events"),
        ("fields tolower(@message) as m", "an unknown function"),
        ("fields bin(1y) as year", "not understood|is needed"),
        ("fields @message as user_name", "is there already"),
        ("fields @timestamp as t, t as u", "an unknown field"),
        ("filter ispresent(@message)", "does not say which fields"),
        ("filter ispresent(@message", r"'\)' is needed"),
        ('parse @message "* *" as one', "another number of parts"),
        ("parse @message /a(?<b>c)(d)/ | display b", "another number of groups"),
        ("unmask @message", "an unknown command"),
        ("fields @message; limit 3", "not understood"),
        ("fields @message limit 3", "not understood"),
        ("fields @message # the line", "not understood"),
        ("", "is needed"),
    ],
)
def test_what_is_not_certain_is_refused(insights: Insights, query: str, reason: str) -> None:
    with pytest.raises(InsightsError, match=reason):
        insights.ask(query)


def test_more_rows_than_the_service_shows_are_refused() -> None:
    many = Insights(s3_event(number, "GetObject") for number in range(10_001))
    with pytest.raises(InsightsError, match="more than 10000 rows"):
        many.ask("fields auditEntry.requestID")
    assert len(many.ask("fields auditEntry.requestID | limit 10000").rows) == 10_000


def test_texts_sort_as_in_the_example_of_the_documentation() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Sort.html."""
    order = ["!:", "#", "*%04", "0#", "5A", "111A", "2345_", "@", "@_", "A", "A9876fghj"]
    order += ["a12345hfh", "0", "1", "2", "3", "10"]
    names = [json.dumps({"serviceAccountName": name}) for name in reversed(order)]
    events = [StoredEvent(START_MS, START_MS, STREAM, name) for name in names]
    found = Insights(events).ask(
        "stats count(*) as n by serviceAccountName | sort serviceAccountName asc"
    )
    assert [row[0] for row in found.rows] == order


def test_a_glob_takes_the_parts_of_the_example_of_the_documentation() -> None:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax-Parse.html."""
    line = (
        "25 May 2019 10:24:39,474 [ERROR] {foo=2, bar=data} The error was: DataIntegrityException"
    )
    insights = Insights([StoredEvent(START_MS, START_MS, STREAM, line)])
    found = insights.ask(
        'parse @message "[*] * The error was: *" as level, config, exception'
        " | display level, config, exception"
    )
    assert found.rows == [("ERROR", "{foo=2, bar=data}", "DataIntegrityException")]


def test_the_log_group_of_a_query_is_read() -> None:
    assert parse_query("SOURCE 'a/b' | fields @message").log_group == "a/b"
