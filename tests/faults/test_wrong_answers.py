"""Answers that are wrong once: afterwards everything is there once, and nothing passed silently.

First any wrong answer of any endpoint, by a seed; then those that stand in public reports of
stores, gateways and shippers, with the numbers with which they lost or doubled events.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tests.servers.installation import LOG_GROUP, Outcome
from tests.servers.lying_proxy import (
    HTML,
    Answer,
    Exchange,
    Lie,
    changed,
    cut_in_head,
    instead,
    of_another,
    page,
    turned,
)
from tests.servers.seaweedfs import SeaweedFS
from tests.wrong_answers import MOST_ITERATIONS, NOT_UTF8, Round, Trial

ROUNDS = 40
FOR_GOOD = 10_000
BREAK_BYTES = 70_000
# Of one object that can't be read: tries with a bound, however they are counted.
MOST_REQUESTS = 40
OLD = timedelta(days=30)
NEW = timedelta(hours=1)
REQUEST_ID = ("x-amzn-RequestId", "0bf6c3ae-d8f0-4d7f-a0a6-5b1c0a5c6a32")
NOT_FOUND = page(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, seaweedfs: SeaweedFS) -> Iterator[Trial]:
    """The program between two services that lie."""
    with Trial(tmp_path_factory.mktemp("wrong-answers"), seaweedfs) as trial:
        yield trial


@pytest.fixture
def trial(running: Trial) -> Iterator[Trial]:
    """The same with empty buckets and an empty log stream."""
    running.begin()
    yield running
    running.begin()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up soon, where an answer is wrong for long."""
    monkeypatch.setattr("services.reading.object_reader._RESUMES", 2)


@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_a_wrong_answer_loses_and_doubles_nothing(running: Trial, seed: int) -> None:
    Round(running, seed).run()


def events(count: int, name: str = "a", size: int = 150, ago: timedelta = NEW) -> list[bytes]:
    """Returns events that hardly can be packed, each different.

    Args:
        count: how many.
        name: tells them from those of other objects.
        size: of each in bytes, at least.
        ago: how long ago they happened.
    """
    random = Random(name)
    time = f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%SZ}".encode()
    return [
        b'{"auditEntry": {"time": "%s", "requestID": "%s-%d"}, "more": "%s"}'
        % (time, name.encode(), number, random.randbytes(size // 2).hex().encode())
        for number in range(count)
    ]


def put(trial: Trial, key: str, count: int, ago: timedelta = NEW) -> bytes:
    """Writes an object of events, some time old; returns its bytes."""
    return trial.put(key, events(count, key, ago=ago), datetime.now(UTC) - ago)


def begin_in(trial: Trial, folder: str) -> None:
    """Ships an object of a folder, so that it is listed by itself from then on."""
    put(trial, f"{folder}S3-0.gz", 1, 2 * NEW)
    assert trial.once().exit_status == 0


def well(trial: Trial) -> list[Outcome]:
    """Runs iterations until one ends with 0, and weighs what is stored.

    Raises:
        AssertionError: something is lost or doubled, or was left out silently.
    """
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1].exit_status:
        assert len(outcomes) < MOST_ITERATIONS, said(outcomes)
        outcomes.append(trial.once())
    assert trial.lost().total() == 0, said(outcomes)
    assert trial.doubled().total() == 0, said(outcomes)
    assert trial.store.told or trial.logs.told, "no lie was told"
    return outcomes


def said(outcomes: Sequence[Outcome]) -> str:
    """Returns what iterations said, for the message of a failure."""
    return "\n".join(f"exit status {one.exit_status}\n{one.stderr}" for one in outcomes)


def well_at_once(trial: Trial) -> Outcome:
    """Runs one iteration, which comes through in spite of the lie."""
    first, *others = well(trial)
    assert not others, said([first, *others])
    return first


def cut_at(size: int) -> Lie:
    """Breaks off behind some bytes of the body."""
    return changed(lambda one: one._replace(cut=len(one.head) + size))


def served(content: bytes, first: int, status: int = 206) -> Answer:
    """Returns an object's bytes from one on, as S3 answers."""
    answer = page(status, content[first:], "binary/octet-stream")
    answer = answer.with_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')  # noqa: S324 - S3's
    if status == 206:
        span = f"bytes {first}-{len(content) - 1}/{len(content)}"
        answer = answer.with_header("Content-Range", span)
    return answer


def refusal(code: str, status: int = 400) -> Answer:
    """Returns a refusal as CloudWatch writes it."""
    body = b'{"__type":"%s","message":"No."}' % code.encode()
    return page(status, body, "application/x-amz-json-1.1").with_header(*REQUEST_ID)


# A. A 200 is taken as proof.


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        page(200, b"{}", "application/x-amz-json-1.1"),
        page(200, HTML),
        page(200, HTML).with_header(*REQUEST_ID),
        page(200, b"[]", "application/x-amz-json-1.1").with_header(*REQUEST_ID),
        page(200).with_header(*REQUEST_ID),
        page(204),
        page(206, b"{}", "application/x-amz-json-1.1"),
        page(302),
    ],
    ids=["empty", "no-id", "html", "html-id", "list", "empty-id", "204", "206", "302"],
)
@pytest.mark.parametrize("is_stored", [False, True], ids=["not-stored", "stored"])
def test_a_put_that_is_answered_by_nobody_we_know(
    trial: Trial, answer: Answer, is_stored: bool
) -> None:
    """Taken for stored, 100 of 250 events were lost; taken for not stored, 100 doubled."""
    put(trial, "S3-a.gz", 250)
    trial.logs.lie("PutLogEvents", instead(answer, is_stored), first=2)
    assert well_at_once(trial).done.text == "Done sending 250 logs"


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_an_answer_cut_in_its_head_hides_what_was_rejected(trial: Trial, share: float) -> None:
    """The end of a connection looks like the end of the headers: 500 of 3,000 were lost."""
    logs = trial.installation.logs
    put(trial, "S3-a.gz", 300, timedelta(days=3))
    # The program does not know beforehand what CloudWatch finds too old.
    logs.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=1)
    trial.standin.control(denied=["DescribeLogGroups"])
    trial.logs.lie("PutLogEvents", cut_in_head(share), first=2)
    try:
        assert well_at_once(trial).done.text == "Done sending 300 logs"
    finally:
        trial.standin.control(denied=[])
        logs.delete_retention_policy(logGroupName=LOG_GROUP)


@pytest.mark.parametrize(
    "lie",
    [instead(page(200)), instead(page(200, HTML)), instead(page(204)), of_another()],
    ids=["empty", "html", "204", "another's"],
)
@pytest.mark.parametrize("kind", ["PUT quarantine", "PUT checkpoint"])
def test_an_object_that_the_store_says_it_has_and_has_not(
    trial: Trial, kind: str, lie: Lie
) -> None:
    """The only copy of a line that CloudWatch can't take, and what is shipped."""
    trial.put("S3-a.gz", [*events(60), NOT_UTF8])
    trial.store.lie(kind, lie)
    well(trial)
    keys = trial.installation.output_keys()
    assert [key for key in keys if key.startswith("integration-quarantine/")]


def without_the_last(answer: Answer) -> Answer:
    """Returns a page of a listing without its last object, which says that more follows."""
    head, _, rest = answer.body.rpartition(b"<Contents>")
    body = head + rest.partition(b"</Contents>")[2]
    found = re.subn(b"<IsTruncated>false", b"<IsTruncated>true", body)
    assert found[1] == 1
    return answer.with_body(found[0])


LISTINGS = {
    "empty": instead(page(200)),
    "html": instead(page(200, HTML)),
    "xml of another kind": instead(page(200, b"<Error/>", "application/xml")),
    "truncated": changed(without_the_last),
    "half": changed(lambda one: one._replace(cut=len(one.head) + len(one.body) // 2)),
    "another's": of_another(),
}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("lie", LISTINGS.values(), ids=LISTINGS)
@pytest.mark.parametrize("times", [1, FOR_GOOD], ids=["once", "for-a-while"])
def test_a_folder_whose_listing_is_none(trial: Trial, lie: Lie, times: int) -> None:
    """In a backfill coverage moved past what was not listed: 60 of 120 were lost for good."""
    begin_in(trial, "May-2024/")
    for key in ("May-2024/S3-a.gz", "May-2024/S3-b.gz"):
        put(trial, key, 30)
    put(trial, "S3-new.gz", 60)
    trial.store.lie("list folder", lie, times=times, about="=May-2024/")
    if times == FOR_GOOD:
        outcome = trial.once()
        assert outcome.exit_status == 1
        assert outcome.errors
        trial.store.be_well()
    well(trial)


@pytest.mark.parametrize("name", ["empty", "html", "xml of another kind", "truncated", "half"])
def test_a_bucket_whose_listing_is_none(trial: Trial, name: str) -> None:
    for key, ago in (("S3-a.gz", OLD), ("S3-b.gz", OLD), ("May-2024/S3-c.gz", OLD)):
        put(trial, key, 30, ago)
    put(trial, "June-2024/S3-new.gz", 30)
    trial.store.lie("list top", LISTINGS[name])
    well(trial)


RESUMED: dict[str, Callable[[bytes], Answer]] = {
    "200 from byte 0": lambda content: served(content, 0, status=200),
    "206 from byte 0": lambda content: served(content, 0),
    "206 from another byte": lambda content: served(content, BREAK_BYTES - 10_000),
    "206 behind it": lambda content: served(content, BREAK_BYTES + 10_000),
    "206 without a range": lambda content: served(content, 0).with_header("Content-Range", None),
    "another object's": lambda content: served(content[::-1], BREAK_BYTES),
    "a shorter one's": lambda content: served(content[:-5000], BREAK_BYTES),
    "200 and the rest": lambda content: served(content, BREAK_BYTES)._replace(status=200),
    "empty": lambda _: page(206),
    "html": lambda _: page(200, HTML),
}


@pytest.mark.parametrize("resumed", RESUMED.values(), ids=RESUMED)
@pytest.mark.parametrize("key", ["S3-a.gz", "S3-a.log"])
def test_a_resumed_read_that_is_answered_from_elsewhere(
    trial: Trial, key: str, resumed: Callable[[bytes], Answer]
) -> None:
    """343 of 1,500 were lost, the healthy object called damaged; of text, 71 lines were foreign."""
    content = put(trial, key, 1500)
    trial.store.lie("GET object", cut_at(BREAK_BYTES))
    trial.store.lie("GET object", instead(resumed(content)), first=2)
    assert well(trial)[-1].done.pairs["damaged"] == "0"


# B. Trouble in reading is booked as the object's own, for good.

READINGS: dict[str, Lie] = {
    "a bit turned": turned(0.5, 3),
    "its first bit turned": turned(0, 0),
    "a byte near its end turned": turned(0.999, 5),
    "html": instead(page(200, HTML)),
    "html as 206": instead(page(206, HTML)),
    "404": instead(NOT_FOUND),
    "404 of a gateway": instead(page(404, HTML)),
    "412": instead(page(412, b"<Error><Code>PreconditionFailed</Code></Error>")),
    "403 of a gateway": instead(page(403, HTML)),
    "416": instead(page(416)),
    "304": instead(page(304)),
    "shorter": changed(lambda one: one.with_body(one.body[:-100])),
    "longer": changed(lambda one: one.with_body(one.body + one.body)),
    "without an end": changed(lambda one: one.with_header("Content-Length", None)),
}


@pytest.mark.parametrize("lie", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("key", ["May-2024/S3-a.gz", "May-2024/S3-a.log"])
def test_an_object_that_is_read_wrongly_once(trial: Trial, key: str, lie: Lie) -> None:
    """It lies behind the late window when it is tried again: 308 and 600 of 600 were lost."""
    put(trial, key, 600, OLD)
    put(trial, "June-2024/S3-new.gz", 20)
    trial.store.lie("GET object", lie, about="/S3-a")
    outcome = well(trial)[-1]
    assert outcome.done.pairs["damaged"] == "0"
    keys = trial.installation.output_keys()
    assert not [key for key in keys if key.startswith("integration-quarantine/")]


def with_other_etags(answer: Answer) -> Answer:
    """Returns a listing in which each ETag is another one than HEAD's and GET's."""
    body, count = re.subn(
        rb"<ETag>(&#34;|&quot;|\")?[0-9a-f]{8}", rb"<ETag>\g<1>00000000", answer.body
    )
    assert count
    return answer.with_body(body)


def test_a_listing_whose_etag_is_not_that_of_the_object(trial: Trial) -> None:
    """It was never shipped, with `was replaced` in each hour and exit status 0."""
    begin_in(trial, "May-2024/")
    put(trial, "May-2024/S3-a.gz", 60)
    put(trial, "S3-new.gz", 20)
    trial.store.lie("list folder", changed(with_other_etags), times=FOR_GOOD, about="=May-2024/")
    for _ in range(2):
        outcome = trial.once()
        if trial.lost():
            assert outcome.exit_status == 1
            assert "S3-a.gz" in outcome.stderr
    trial.store.be_well()
    well(trial)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "answer",
    [
        page(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml"),
        page(403, b"<Error><Code>InvalidObjectState</Code></Error>", "application/xml"),
        NOT_FOUND,
        page(200, HTML),
    ],
    ids=["denied", "archived", "not-found", "html"],
)
def test_an_object_that_can_not_be_read_is_owed_and_stops_no_other(
    trial: Trial, answer: Answer
) -> None:
    put(trial, "May-2024/S3-a.gz", 20, OLD)
    put(trial, "May-2024/S3-owed.gz", 60, OLD + NEW)
    put(trial, "June-2024/S3-new.gz", 20)
    trial.store.lie("GET object", instead(answer), times=FOR_GOOD, about="/S3-owed")
    for _ in range(2):
        outcome = trial.once()
        assert outcome.exit_status == 1
        assert trial.lost().total() == 60, outcome.stderr
        assert {line.pairs.get("owed") for line in outcome.lines} & {"1"}, outcome.stderr
        assert any("S3-owed.gz" in line.text for line in outcome.lines), outcome.stderr
    counts = trial.installation.latest()["counts"]
    assert isinstance(counts, dict)
    assert counts["owed"] == 1
    trial.store.be_well()
    well(trial)


# C. A loop without a bound.


def emptied(answer: Answer) -> Answer:
    return answer.with_header("Content-Range", None).with_body(b"")._replace(status=200)


def test_a_body_without_a_byte_for_good(trial: Trial) -> None:
    """16,704 requests in 41 s, no ERROR, and the objects behind it waited."""
    put(trial, "S3-a.gz", 20, 3 * NEW)
    put(trial, "S3-nothing.gz", 60, 2 * NEW)
    put(trial, "S3-z.gz", 20)
    trial.store.lie("GET object", changed(emptied), times=FOR_GOOD, about="/S3-nothing")
    outcome = trial.once()
    assert outcome.exit_status == 1
    assert [line for line in outcome.errors if "S3-nothing.gz" in line.text], outcome.stderr
    assert trial.lost().total() == 60
    assert len(trial.store.told) < MOST_REQUESTS
    trial.store.be_well()
    well(trial)


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("times", [1, 3])
def test_a_store_that_undoes_the_encoding(trial: Trial, share: float, times: int) -> None:
    """More bytes come than are listed, and then no more: 1,200 of 1,500 were lost."""
    lines = events(1500)
    content = trial.put("S3-a.gz", lines)
    text = b"".join(line + b"\n" for line in lines)
    etag = f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324 - S3's
    answer = served(text, 0, status=200).with_header("ETag", etag)
    if share < 1:
        answer = answer._replace(cut=len(answer.head) + int(share * len(text)))
    trial.store.lie("GET object", instead(answer), times=times)
    well(trial)


# D. Answers that pass by themselves.

PASSING = {
    "429": page(429),
    "408": page(408, HTML),
    "400 RequestTimeout": page(400, b"<Error><Code>RequestTimeout</Code></Error>"),
    "503 SlowDown": page(503, b"<Error><Code>SlowDown</Code></Error>"),
    "502": page(502, HTML),
}


BUSY = {
    "GET object": tuple(PASSING),
    "list top": ("429", "408"),
    "list folder": ("429", "400 RequestTimeout"),
    "GET checkpoint": ("429", "400 RequestTimeout"),
    "HEAD checkpoint": ("429", "502"),
    "PUT checkpoint": ("429", "408", "400 RequestTimeout"),
    "PUT status": ("429", "400 RequestTimeout"),
    "PUT latest": ("408",),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in BUSY.items() for name in names]
)
def test_a_store_that_is_busy_once(trial: Trial, kind: str, name: str) -> None:
    """The source stopped for the hour."""
    if kind == "list folder":
        begin_in(trial, "May-2024/")
    put(trial, "May-2024/S3-a.gz", 60)
    trial.store.lie(kind, instead(PASSING[name]))
    well_at_once(trial)


def code_in_a_header(code: str, body: bytes = b"") -> Answer:
    return page(400, body).with_header("x-amzn-ErrorType", f"{code}:http://internal.example/")


PUTS_THAT_PASS = {
    "the code in a header": code_in_a_header("ThrottlingException"),
    "the code in a header, a message": code_in_a_header(
        "ThrottlingException", b'{"message":"Rate exceeded"}'
    ),
    "RequestThrottled": refusal("RequestThrottled"),
    "ServiceUnavailable as 400": refusal("ServiceUnavailable"),
    "ServiceUnavailableException as 400": refusal("ServiceUnavailableException"),
    "408": page(408, HTML),
    "429": page(429),
    "421": page(421, HTML),
    "400 of a gateway": page(400, HTML),
    "413 of a gateway": page(413, HTML),
}


@pytest.mark.parametrize("answer", PUTS_THAT_PASS.values(), ids=PUTS_THAT_PASS)
def test_a_put_that_is_turned_away_once(trial: Trial, answer: Answer) -> None:
    """The source stopped for the hour."""
    put(trial, "S3-a.gz", 250)
    trial.logs.lie("PutLogEvents", instead(answer), first=2)
    assert well_at_once(trial).done.text == "Done sending 250 logs"


@pytest.mark.parametrize(
    "answer",
    [page(408, HTML), page(204), page(400, HTML), page(403, HTML), page(421), page(500), None],
    ids=["408", "204", "400", "403", "421", "500", "closed"],
)
def test_a_put_that_is_stored_and_answered_by_a_gateway(
    trial: Trial, answer: Answer | None
) -> None:
    """300 of 300 were doubled."""
    put(trial, "S3-a.gz", 300)
    trial.logs.lie("PutLogEvents", instead(answer, is_forwarded=True), times=3)
    assert well_at_once(trial).done.text == "Done sending 300 logs"


@pytest.mark.parametrize(
    "answer",
    [refusal("OperationAbortedException"), page(429), page(408, HTML), page(503)],
    ids=["OperationAborted", "429", "408", "503"],
)
@pytest.mark.parametrize("kind", ["CreateLogStream", "DescribeLogGroups"])
def test_a_log_group_that_is_busy_once(trial: Trial, kind: str, answer: Answer) -> None:
    put(trial, "S3-a.gz", 20)
    trial.logs.lie(kind, instead(answer))
    well_at_once(trial)


# E. What S3 leaves open is assumed.


def listed_etags(replacement: bytes) -> Lie:
    """Writes the ETags of a listing in another way."""

    def change(answer: Answer) -> Answer:
        written = rb"<ETag>(?:&#34;|&quot;|\")?([^&\"<]+)(?:&#34;|&quot;|\")?</ETag>"
        return answer.with_body(re.sub(written, replacement, answer.body))

    return changed(change)


def header(name: str, write: Callable[[str], str | None]) -> Lie:
    """Writes a header in another way."""
    return changed(lambda one: one.with_header(name, write(one.header(name))))


PUTS = ("PUT checkpoint", "PUT status", "PUT latest")
READS = ("GET object", "HEAD object", "GET checkpoint", "HEAD checkpoint")
LISTS = ("list top", "list folder", "list output")
HABITS: dict[str, tuple[Sequence[str], Lie]] = {
    "no ETag on PUT": (PUTS, header("ETag", lambda _: None)),
    "no ETag in the listing": (LISTS, listed_etags(b"")),
    "no ETag anywhere but on GET": (
        (*PUTS, "HEAD object", "HEAD checkpoint"),
        header("ETag", lambda _: None),
    ),
    "weak ETags in the listing": (LISTS, listed_etags(rb"<ETag>W/&quot;\1&quot;</ETag>")),
    "unquoted ETags in the listing": (LISTS, listed_etags(rb"<ETag>\1</ETag>")),
    "weak ETags": ((*PUTS, *READS), header("ETag", lambda etag: f"W/{etag}")),
    "unquoted ETags on PUT": (PUTS, header("ETag", lambda etag: etag.strip('"'))),
    "unquoted ETags": ((*PUTS, *READS), header("ETag", lambda etag: etag.strip('"'))),
    "Date -0000": (
        (*LISTS, *PUTS, *READS),
        header("Date", lambda date: date.replace("GMT", "-0000")),
    ),
    "no Date": (LISTS, header("Date", lambda _: None)),
    "a Date that is none": (LISTS, header("Date", lambda _: "yesterday")),
}


@pytest.mark.parametrize(("kinds", "lie"), HABITS.values(), ids=HABITS)
def test_a_store_with_a_habit_of_its_own(trial: Trial, kinds: Sequence[str], lie: Lie) -> None:
    """It ended in an `unexpected error`, or a false `Another daemon`, while `--check` passed."""
    for kind in kinds:
        trial.store.lie(kind, lie, times=FOR_GOOD)
    for count, key in enumerate(["May-2024/S3-a.gz", "May-2024/S3-b.log"], start=1):
        put(trial, key, 60)
        outcome = trial.once()
        assert outcome.exit_status == 0, outcome.stderr
        assert trial.messages().total() == 60 * count
    assert trial.once().done.text == "Done sending 0 logs"
    assert (trial.lost().total(), trial.doubled().total()) == (0, 0)


def test_a_bucket_that_demands_a_content_md5(trial: Trial) -> None:
    def demand(exchange: Exchange) -> Answer:
        digest = hashlib.md5(exchange.body).digest()  # noqa: S324 - S3's
        if exchange.headers["Content-MD5"] == b64encode(digest).decode():
            return exchange.send()
        text = b"<Error><Code>InvalidRequest</Code><Message>Content-MD5</Message></Error>"
        return page(400, text, "application/xml")

    for kind in (*PUTS, "PUT quarantine"):
        trial.store.lie(kind, demand, times=FOR_GOOD)
    trial.put("S3-a.gz", [*events(60), NOT_UTF8])
    outcome = trial.once()
    assert outcome.exit_status == 0, outcome.stderr
    assert (trial.lost().total(), trial.doubled().total()) == (0, 0)
    assert outcome.done.figures("accepted", "quarantined") == {"accepted": 60, "quarantined": 1}
