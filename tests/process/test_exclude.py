"""Lines that are read and not sent, over kills, doubts and changes of what they are."""

import re
from collections import Counter

import pytest

from tests.process.test_sources import texts
from tests.servers.installation import Installation
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from tests.world.audit_objects import event, whole
from tests.world.faults import Killed
from tests.world.in_memory import source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of
from utils.model import Exclusion

EXCLUDE = [{"field": "auditEntry.api.name", "values": ["HeadObject", "ListObjectsV2"]}]


def requests(count: int, *names: str) -> list[bytes]:
    """Returns S3 events in turns."""
    return [
        b'{"auditEntry": {"api": {"name": "%s"}}, "number": %d}'
        % (names[number % len(names)].encode(), number)
        for number in range(count)
    ]


def sent(lines: list[bytes]) -> Counter[str]:
    return Counter(text for text in texts(lines) if "HeadObject" not in text)


@pytest.fixture
def excluding(installation: Installation) -> Installation:
    """An installation that leaves out half of what is in its one object."""
    installation.configuration["exclude"] = EXCLUDE
    lines = requests(600, "HeadObject", "GetObject")
    installation.put("May-2024/S3-a.gz", gzip_lines([*lines, b"HeadObject", b"", b"\xff"]))
    return installation


def test_an_excluded_line_is_read_and_not_sent(excluding: Installation) -> None:
    outcome = excluding.once()
    figures = outcome.done.figures("read", "accepted", "quarantined", "blank", "excluded")
    assert figures == {
        "read": 603,
        "accepted": 301,
        "quarantined": 1,
        "blank": 1,
        "excluded": 300,
    }
    wanted = sent(requests(600, "HeadObject", "GetObject")) + Counter(["HeadObject"])
    assert Counter(excluding.messages()) == wanted
    counts = excluding.latest()["counts"]
    assert isinstance(counts, dict)
    assert counts["excluded"] == 300
    assert "exclude" not in str(excluding.checkpoint())


def test_what_is_excluded_by_a_change_concerns_only_what_is_not_shipped_yet(
    excluding: Installation,
) -> None:
    excluding.once()
    shipped = Counter(excluding.messages())
    del excluding.configuration["exclude"]
    assert excluding.once().done.figures("read") == {"read": 0}
    later = requests(10, "HeadObject", "PutObject")
    excluding.put("May-2024/S3-b.gz", gzip_lines(later))
    excluding.once()
    assert Counter(excluding.messages()) == shipped + Counter(texts(later))


def test_a_doubt_about_a_batch_is_settled_without_what_is_excluded(
    excluding: Installation, standin: CloudWatchStandin
) -> None:
    standin.control(fail_next=["dropped_after", "dropped_before", "none", "dropped_after"])
    outcome = excluding.once()
    assert outcome.exit_status == 0
    assert outcome.done.figures("accepted", "excluded") == {"accepted": 301, "excluded": 300}
    assert len(excluding.messages()) == 301


def test_verify_misses_no_excluded_line_and_says_how_many_there_are(
    excluding: Installation,
) -> None:
    excluding.configuration.pop("exclude")
    excluding.once()
    sent_before = len(excluding.messages())
    excluding.configuration["exclude"] = EXCLUDE
    excluding.put("May-2024/S3-b.gz", gzip_lines(requests(100, "HeadObject", "PutObject")))
    assert excluding.once().done.figures("excluded") == {"excluded": 50}
    outcome = excluding.run("--verify", "--rate", "1000")
    assert outcome.exit_status == 0, outcome.stderr
    (line,) = (line for line in outcome.lines if line.text.startswith("Verified"))
    # What was sent before it was excluded is more than is to be there, and not missing.
    wanted = {"lines": 703, "excluded": 350, "found": 351, "missing": 0, "foreign": 300}
    assert line.figures(*wanted) == wanted
    assert len(excluding.messages()) == sent_before + 50


def test_the_plan_estimates_what_is_saved(excluding: Installation) -> None:
    excluding.put("May-2024/S3-a.gz", gzip_lines(requests(600, "HeadObject", "GetObject")))
    stdout = excluding.run("--plan").stdout
    assert re.search(r"^  events +about 300, by a sample of 600 lines$", stdout, re.MULTILINE)
    assert re.search(
        r"^  excluded +about 300 lines, which saves about \$0\.00$", stdout, re.MULTILINE
    )
    excluding.configuration["exclude"] = [{"field": "api.name", "values": ["HeadObject"]}]
    assert re.search(r"^  excluded +about 0 lines,", excluding.run("--plan").stdout, re.MULTILINE)
    del excluding.configuration["exclude"]
    assert "excluded" not in excluding.run("--plan").stdout


def test_a_kill_at_any_call_loses_and_doubles_nothing_where_lines_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading back must not take a line that was never sent for one that is missing."""
    take_small_steps(monkeypatch)
    lines = [event(number, NOON_MS - HOUR_MS + number) for number in range(40)]
    kept = [line for number, line in enumerate(lines) if number % 3]
    ids = tuple(f"{number:08X}" for number in range(0, 40, 3))
    objects = [
        whole("February-2024/S3-a.gz", NOON_MS - HOUR_MS, lines[:25]),
        whole("February-2024/S3-b.gz", NOON_MS - HOUR_MS + 1, lines[25:]),
    ]
    source = source_of(exclude=(Exclusion("auditEntry.requestID", ids),))
    points = shipped(world_of(objects), source).points
    killed = 0
    for point in points:
        world = world_of(objects)
        killed += world.run(source, {point: Killed()}).is_killed
        shipped(world, source)
        assert_same(world.messages(), Counter(kept))
    assert killed > 20
