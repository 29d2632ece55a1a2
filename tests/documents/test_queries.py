"""The queries of documentation/queries.md, run on events, and their answers counted otherwise."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tests.bench.counted import (
    NOTHING,
    Event,
    Row,
    action,
    denied,
    events_of,
    failed_logins,
    grouped,
    is_protection,
    listed,
    of_access,
    of_console,
    of_s3,
    user,
)
from tests.insights.dashboard_files import widgets
from tests.insights.expected_access import DELETING, PROTECTING
from tests.insights.insights import Insights
from tests.insights.insights_fields import known_kinds
from tests.insights.sample_group import sample_group

DOCUMENT = (Path(__file__).parents[2] / "documentation" / "queries.md").read_text()
QUESTION = re.compile(r"^## ([^\n]*\?)\n.*?```text\n(.*?)```", re.MULTILINE | re.DOTALL)
QUERIES = dict(QUESTION.findall(DOCUMENT))
NAME = re.compile(r"`[^`]+`|@?[A-Za-z_][\w.]*")
DAY_MS = 86_400_000


def requests(events: Iterable[Event], *names: str) -> list[Row]:
    """Returns the latest of some S3 requests, each once: the time and what the names say."""

    def cells(one: Event) -> Row:
        cells = {**one.api, "account": one.account, "request": one.entry["requestID"]}
        return one.entry["time"], *(cells.get(name, NOTHING) for name in names)

    return listed(events, cells)


def first_and_last(times: Iterable[str]) -> Row:
    """Returns the first and the last of some times, in the order of their written digits."""

    def key(time: str) -> Row:
        second, _, fraction = time.rstrip("Z").partition(".")
        return second, len(fraction), fraction

    ordered = sorted(times, key=key)
    return ordered[0], ordered[-1]


def once(events: Sequence[Event]) -> int:
    return len({one.entry["requestID"] for one in events})


def counted_once(events: Iterable[Event], key: Callable[[Event], Row]) -> list[Row]:
    return [
        (*found, once(same), *first_and_last(one.entry["time"] for one in same))
        for found, same in grouped(events, key).items()
    ]


def deletions(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_s3(events) if one.api["bucket"] == "media-archive"]
    deleting = [one for one in found if one.api["name"].startswith("Delete")]
    return requests(deleting, "account", "name", "object", "status", "request")


def object_access(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_s3(events) if "nightly/host-07/" in one.api.get("object", "")]
    return requests(found, "account", "name", "bucket", "object", "status", "request")


def protections(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_s3(events) if is_protection(one.api["name"])]
    return requests(found, "account", "name", "bucket", "object", "status", "request")


def sign_ins(events: Sequence[Event]) -> list[Row]:
    found = grouped(
        failed_logins(events), lambda one: (one.document["user_name"], one.document["ip"])
    )
    return [
        (*key, len(same), *first_and_last(one.document["date"] for one in same))
        for key, same in found.items()
    ]


def console_of_auditor(events: Sequence[Event]) -> list[Row]:
    return [
        (
            *(action(one)[name] for name in ("EventTime", "Eventname", "StatusCode", "Status")),
            one.document["UserIdentity"]["Role"],
            one.document["UserIdentity"]["IPAddress"].split(":")[0],
        )
        for one in of_console(events)
        if user(one) == "auditor@example.com"
    ]


def downloads(events: Sequence[Event]) -> list[Row]:
    answered = [one for one in of_s3(events, "GetObject") if one.api["statusCode"] == 200]
    days = grouped(answered, lambda one: (one.account, one.stored.timestamp_ms // DAY_MS * DAY_MS))
    return [
        (
            *key,
            sum(int(one.entry["responseHeader"]["Content-Length"]) for one in same),
            len({one.api["object"] for one in same}),
        )
        for key, same in days.items()
    ]


def access_requests(events: Iterable[Event], *names: str) -> list[Row]:
    return listed(events, lambda one: (one.access_time, *(one.access[name] for name in names)))


def access_counted(events: Iterable[Event], *names: str) -> list[Row]:
    """Returns how many requests there are by some fields, each once, and the first and the last."""
    rows = []
    for key, same in grouped(events, lambda one: tuple(one.access[n] for n in names)).items():
        times = [one.access_time for one in same]
        rows.append((*key, len({one.access["request"] for one in same}), min(times), max(times)))
    return rows


def access_downloads(events: Sequence[Event]) -> list[Row]:
    answered = [one for one in of_access(events, "GetObject") if one.access["status"] == "200"]
    days = grouped(
        answered,
        lambda one: (one.access["requester"], one.stored.timestamp_ms // DAY_MS * DAY_MS),
    )
    return [
        (
            *key,
            sum(int(one.access["sent"]) for one in same),
            len({one.access["key"] for one in same}),
        )
        for key, same in days.items()
    ]


def access_where(events: Iterable[Event], name: str, *values: str) -> list[Event]:
    return [one for one in of_access(events) if one.access[name] in values]


ACCESS_ANSWERS: dict[str, Callable[[Sequence[Event]], list[Row]]] = {
    "who deleted something from a bucket?": lambda events: access_requests(
        access_where(of_access(events, *DELETING), "bucket", "media-archive"),
        *("requester", "operation", "key", "status", "request"),
    ),
    "who read or wrote an object?": lambda events: access_requests(
        [one for one in of_access(events) if "nightly/host-07/" in one.access["key"]],
        *("requester", "operation", "bucket", "key", "status", "request"),
    ),
    "which requests were refused, whose, and from where?": lambda events: access_counted(
        access_where(events, "error", "AccessDenied"), "requester", "address"
    ),
    "what did an access key do?": lambda events: access_counted(
        access_where(events, "requester", "EXAMPLEBACKUP"), "operation", "bucket"
    ),
    "from which addresses was each access key used?": lambda events: access_counted(
        [one for one in of_access(events) if one.access["requester"] != "-"],
        *("requester", "address"),
    ),
    "who changed a policy, the object lock, the versioning or the logging?": lambda events: (
        access_requests(
            of_access(events, *PROTECTING),
            *("requester", "operation", "bucket", "key", "status", "request"),
        )
    ),
    "which requests were not signed, or signed the old way?": lambda events: access_counted(
        access_where(events, "signature", "-", "SigV2"),
        *("signature", "requester", "address", "status"),
    ),
    "which requests came without TLS?": lambda events: access_counted(
        access_where(events, "tls", "-"), "requester", "address"
    ),
    "how much did each access key download, day by day?": access_downloads,
    "how many requests were there, each counted once?": lambda events: [
        (*key, len(same), len({one.access["request"] for one in same}))
        for key, same in grouped(of_access(events), lambda one: (one.access["bucket"],)).items()
    ],
}
ANSWERS: dict[str, Callable[[Sequence[Event]], list[Row]]] = {
    "Who deleted something from a bucket?": deletions,
    "Who read or wrote an object?": object_access,
    "Which requests were refused, whose, and from where?": lambda events: counted_once(
        denied(events), lambda one: (one.account, one.address)
    ),
    "What did a service account do?": lambda events: counted_once(
        [one for one in of_s3(events) if one.account == "backup"],
        lambda one: (one.api["name"], one.api["bucket"]),
    ),
    "From which addresses was each service account used?": lambda events: counted_once(
        [one for one in of_s3(events) if one.address], lambda one: (one.account, one.address)
    ),
    "Who changed a policy, the object lock, the lifecycle or the versioning?": protections,
    "Which users failed to sign in, and from where?": sign_ins,
    "What did a user do in the console?": console_of_auditor,
    "How much did each service account download, day by day?": downloads,
    "How many requests were there, each counted once?": lambda events: [
        (*key, len(same), once(same))
        for key, same in grouped(of_s3(events), lambda one: (one.api["bucket"],)).items()
    ],
}


ANSWERS |= {f"Access logs: {question}": answer for question, answer in ACCESS_ANSWERS.items()}


@pytest.fixture(scope="module")
def insights() -> Insights:
    return Insights(sample_group())


def test_there_are_ten_questions_of_each_platform_with_an_answer_each() -> None:
    assert len(QUERIES) == 20
    assert sum(question.startswith("Access logs: ") for question in QUERIES) == 10
    assert set(QUERIES) == set(ANSWERS)


@pytest.mark.parametrize("question", QUERIES)
def test_a_query_answers_its_question(question: str, insights: Insights) -> None:
    expected = ANSWERS[question](events_of(sample_group()))
    assert expected
    assert Counter(insights.ask(QUERIES[question]).rows) == Counter(expected)


def test_some_requests_of_the_sample_are_stored_twice(insights: Insights) -> None:
    """Or counting each once would show nothing."""
    (last, *_) = reversed(QUERIES.values())
    rows = insights.ask(last).rows
    assert any(stored != requests for _, stored, requests in rows)


def test_the_table_of_fields_has_those_of_the_dashboards_and_queries_and_no_other() -> None:
    table = re.findall(r"^\| (`.*?) \|", DOCUMENT.partition("## The fields")[2], re.MULTILINE)
    written = {name for cell in table for name in re.findall(r"`([^`]+)`", cell)}
    asked = [widget.query for widget in widgets()] + [*QUERIES.values()]
    # What a query makes may be called as a field of another type: it then stands behind an "as".
    used = {
        name.strip("`")
        for query in asked
        for name in NAME.findall(re.sub(r"'[^']*'|\"[^\"]*\"|/.*/|\bas \w+", "", query))
    }
    assert written == {name for name in used & known_kinds().keys() if name[0] != "@"}
