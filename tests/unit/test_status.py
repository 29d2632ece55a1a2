"""A status line is one line that a person and a program can read, whatever is in it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from io import StringIO
from time import sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.output.status import tell
from utils.model import Counts, Gauge, LogObject
from utils.report.status import count_pairs, progress_bar, progress_text, status_key, status_line

NOON = datetime(2024, 2, 29, 12, 30, 5, tzinfo=UTC)

PROPERTY = settings(max_examples=200, deadline=None, derandomize=True)
COUNTS = st.integers(0, 10**7)


def test_a_status_line_has_time_level_text_and_pairs() -> None:
    line = status_line(NOON, "INFO", "Done sending 1234 logs", {"source": "audit-S3", "read": 1300})
    assert line == "2024-02-29T12:30:05Z INFO Done sending 1234 logs source=audit-S3 read=1300"


def test_a_status_line_is_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert status_line(there, "WARN", "x", {}) == status_line(NOON, "WARN", "x", {})


def test_a_value_with_white_space_is_put_in_quotes() -> None:
    line = status_line(NOON, "ERROR", "Ends early.", {"object": "March-2024/S3-a b.gz", "n": 1})
    assert line.endswith('Ends early. object="March-2024/S3-a b.gz" n=1')


@PROPERTY
@given(
    text=st.text(max_size=30),
    pairs=st.dictionaries(st.sampled_from(["object", "read"]), st.text(max_size=30) | COUNTS),
)
def test_a_status_line_is_one_line(text: str, pairs: dict[str, object]) -> None:
    line = status_line(NOON, "INFO", text, pairs)
    assert len(line.splitlines()) == 1
    assert line.startswith("2024-02-29T12:30:05Z INFO ")


def test_all_counts_are_pairs() -> None:
    counts = Counts(objects=2, read=10, accepted=7, quarantined=2, blank=1, restamped=3)
    assert count_pairs(counts) == {
        "objects": 2,
        "read": 10,
        "accepted": 7,
        "quarantined": 2,
        "blank": 1,
        "not_json": 0,
        "restamped": 3,
        "damaged": 0,
        "owed": 0,
        "possibly_duplicated": 0,
    }


@PROPERTY
@given(rows=st.lists(st.lists(COUNTS, min_size=9, max_size=9), max_size=5))
def test_counts_add_up_and_the_imbalance_is_what_is_not_accounted_for(
    rows: list[list[int]],
) -> None:
    total = Counts()
    for row in rows:
        total.add(Counts(*row))
    sums = [sum(row[index] for row in rows) for index in range(9)]
    assert total == Counts(*sums)
    _, read, accepted, quarantined, blank, *_ = sums
    assert total.imbalance == read - accepted - quarantined - blank


def test_a_status_key_is_by_day_and_unique() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-13)))
    key = status_key(there, "audit-S3", "0a1b")
    assert key == "integration-logs/2024/02/29/12-30-05-audit-S3-0a1b.log"


def test_progress_tells_objects_events_rate_and_the_time_left() -> None:
    gauge = Gauge(objects=1, objects_total=2000, bytes=25, bytes_total=100, events=3000)
    text = "1 of 2,000 objects, 3,000 events, 300 events/s, 0:00:30 left"
    assert progress_text(gauge, 10.0) == text
    assert progress_bar(gauge, 10.0).startswith(f"[#####---------------] {text}")


@pytest.mark.parametrize("gauge", [Gauge(), Gauge(objects_total=3, bytes_total=30)])
def test_progress_is_unknown_before_anything_is_done(gauge: Gauge) -> None:
    assert progress_text(gauge, 0.0).endswith("unknown left")
    assert progress_bar(gauge, 0.0).startswith("[--------------------]")


@PROPERTY
@given(
    gauge=st.builds(
        Gauge,
        objects=COUNTS,
        objects_total=COUNTS,
        bytes=st.integers(0, 10**13),
        bytes_total=st.integers(0, 10**13),
        events=COUNTS,
    ),
    elapsed_seconds=st.floats(0, 10**7),
)
def test_progress_can_always_be_shown(gauge: Gauge, elapsed_seconds: float) -> None:
    bar = progress_bar(gauge, elapsed_seconds)
    assert bar[0] + bar[21] == "[]"
    assert bar.removesuffix("\x1b[K").endswith(progress_text(gauge, elapsed_seconds))


def test_bytes_that_are_read_again_do_not_burst_the_bar() -> None:
    bar = progress_bar(Gauge(objects_total=3, bytes=50, bytes_total=10), 1.0)
    assert bar.startswith("[####################] ")
    assert "0:00:00 left" in bar


def test_a_gauge_takes_plans_and_acknowledged_lines() -> None:
    gauge = Gauge()
    gauge.expect([LogObject(0, "a", "", 30), LogObject(0, "b", "", 12)])
    gauge.note(Counts(objects=1, read=9, accepted=7), bytes_read=35)
    gauge.note(Counts(read=5, accepted=5), bytes_read=40)
    expected = Gauge(objects=1, objects_total=2, bytes=40, bytes_total=42, events=12)
    assert gauge == expected


def test_lines_of_several_sources_at_once_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line in pieces is lost to whoever reads them by the line."""
    written = WrittenInPieces()
    monkeypatch.setattr("sys.stderr", written)
    texts = [f"source {number} " + "x" * 50 for number in range(8)]
    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(lambda text: [tell(NOON, "INFO", text, {}) for _ in range(50)], texts))
    expected = [status_line(NOON, "INFO", text, {}) for text in texts for _ in range(50)]
    assert sorted(written.text.splitlines()) == sorted(expected)


class WrittenInPieces(StringIO):
    """Standard error that lets other threads come between two writes."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        sleep(0)
        return len(text)
