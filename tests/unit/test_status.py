"""A status line is one line that a person and a program can read, whatever is in it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from hashlib import md5
from io import BytesIO, StringIO
from itertools import count
from time import sleep
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.output.quarantine import Quarantine
from services.output.status import (
    MOST_OF_A_KIND,
    MOST_OF_OBJECTS,
    StatusLog,
    tell,
)
from tests.world.faults import client_error
from tests.world.in_memory_time import NOON_MS
from utils.model import Clock, Counts, Gauge, LogObject, QuarantinedLine
from utils.report.status import (
    progress_bar,
    progress_text,
    quarantine_key,
    quarantine_prefix,
    status_key,
    status_line,
)

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NOON = datetime(2024, 2, 29, 12, 30, 5, tzinfo=UTC)

COUNTS = st.integers(0, 10**7)
HARMFUL = "\x00\t\n\r\x1b\x07\x7f\x85\x9b\x9d\xa0\xad\u061c\u200b\u200d\u200f\u2028\u2029\u202e"
HARMFUL += "\u2066\u3164\ufe0f\ufeff\ud800\U000e0041 \"='\\"
PAIR = re.compile(r"""(\w+)=(?:("(?:[^"\\]|\\.)*")|([^\s"]*))""")


def test_a_status_line_has_time_level_text_and_pairs() -> None:
    line = status_line(NOON, "INFO", "Done sending 1234 logs", {"source": "audit-S3", "read": 1300})
    assert line == "2024-02-29T12:30:05Z INFO Done sending 1234 logs source=audit-S3 read=1300"


def test_a_status_line_is_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert status_line(there, "WARN", "x", {}) == status_line(NOON, "WARN", "x", {})


@given(
    text=st.text(max_size=30),
    value=st.text(max_size=30) | st.text(HARMFUL, max_size=10),
    names=st.permutations(["object", "read", "level"]),
)
def test_a_line_has_the_given_pairs_alone_and_nothing_that_a_terminal_obeys(
    text: str, value: str, names: list[str]
) -> None:
    """An object's key is another's text: it must not set a title, turn a line, forge a figure."""
    pairs = dict.fromkeys(names, value)
    line = status_line(NOON, "WARN", f"It {text} {value} is", pairs)
    assert all(char.isprintable() for char in line)
    assert not set(line) & set(HARMFUL) - set(" \"=\\'")
    found = PAIR.findall(line)
    assert [name for name, _, _ in found] == names
    assert {json.loads(quoted) if quoted else plain for _, quoted, plain in found} == {value}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("S3-a.gz", "S3-a.gz"),
        ("Förderung/S3-中😀.gz", "Förderung/S3-中😀.gz"),
        ('S3-" read="0', r'"S3-\" read=\"0"'),
        ("read=0", '"read=0"'),
        ("a\\b", r'"a\\b"'),
        ("\x1b]0;title\x07", r'"\u001b]0;title\u0007"'),
        ("\x9b2J\x7f", r'"\u009b2J\u007f"'),
        ("\u202egnp.exe", r'"\u202egnp.exe"'),
        ("a\u200bb", r'"a\u200bb"'),
        ("a\u2028b", r'"a\u2028b"'),
        ("a\u3164b", r'"a\u3164b"'),
    ],
)
def test_what_could_be_misread_is_a_json_string(value: str, shown: str) -> None:
    assert status_line(NOON, "WARN", "x", {"object": value}).endswith(f" x object={shown}")


def test_a_key_in_the_text_forges_no_pair() -> None:
    text = 'The object S3-a source=b read="0"\x1b[2J\n.gz ends early.'
    line = status_line(NOON, "ERROR", text, {"source": "a"})
    assert line.endswith(
        r'ERROR The object S3-a source\x3db read\x3d"0"\x1b[2J\n.gz ends early. source=a'
    )


def test_a_text_without_end_is_cut() -> None:
    line = status_line(NOON, "ERROR", "x" * 10**6, {"object": "y" * 10**6})
    assert len(line) < 10_000


def test_a_value_with_white_space_is_put_in_quotes() -> None:
    line = status_line(NOON, "ERROR", "Ends early.", {"object": "March-2024/S3-a b.gz", "n": 1})
    assert line.endswith('Ends early. object="March-2024/S3-a b.gz" n=1')


@given(
    text=st.text(max_size=30),
    pairs=st.dictionaries(st.sampled_from(["object", "read"]), st.text(max_size=30) | COUNTS),
)
def test_a_status_line_is_one_line(text: str, pairs: dict[str, object]) -> None:
    line = status_line(NOON, "INFO", text, pairs)
    assert len(line.splitlines()) == 1
    assert line.startswith("2024-02-29T12:30:05Z INFO ")


@given(rows=st.lists(st.lists(COUNTS, min_size=9, max_size=9), max_size=5))
def test_counts_add_up_and_the_imbalance_is_what_is_not_accounted_for(
    rows: list[list[int]],
) -> None:
    total = Counts()
    for row in rows:
        total.add(Counts(*row))
    sums = [sum(row[index] for row in rows) for index in range(9)]
    assert total == Counts(*sums)
    _, read, accepted, quarantined, blank, excluded, *_ = sums
    assert total.imbalance == read - accepted - quarantined - blank - excluded


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


@pytest.mark.parametrize("stream", [None, StringIO()], ids=["none", "closed"])
def test_standard_error_that_is_not_there_decides_nothing(
    stream: StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stream:
        stream.close()
    monkeypatch.setattr("sys.stderr", stream)
    assert tell(NOON, "INFO", "x", {}) == status_line(NOON, "INFO", "x", {})


class Bucket:
    """Takes objects, in the place of a client of S3."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Key: str, Body: bytes, **_: str) -> dict[str, str]:  # noqa: N803 - boto3's names
        self.objects[Key] = Body
        return {"ETag": f'"{md5(Body, usedforsecurity=False).hexdigest()}"'}

    def get_object(self, Key: str, **_: str) -> dict[str, BytesIO]:  # noqa: N803 - boto3's names
        if Key not in self.objects:
            raise client_error("NoSuchKey")
        return {"Body": BytesIO(self.objects[Key])}


@pytest.fixture
def bucket() -> Bucket:
    """An empty one."""
    return Bucket()


def status_log() -> StatusLog:
    return StatusLog("audit-S3", Clock(lambda: NOON, lambda: 0.0))


def uploaded(log: StatusLog, bucket: Bucket) -> list[str]:
    log.upload(cast("S3Client", bucket), "audit-output")
    (content,) = bucket.objects.values()
    return content.decode().splitlines()


@pytest.mark.parametrize("kinds", [1, 3, 5000])
def test_thousands_of_lines_about_objects_are_counted_and_the_others_all_shown(
    kinds: int, bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are held to the end, and 100,000 damaged objects would be 40 MB of one status object."""
    log = status_log()
    for number in range(5000):
        key = f"S3-{number}.gz"
        log.write("ERROR", f"The object {key} ends early: {number % kinds}.", {"object": key})
    assert log.text == f"The object S3-4999.gz ends early: {4999 % kinds}."
    log.write("INFO", "Done sending 0 logs", {"damaged": 5000})
    lines = uploaded(log, bucket)
    most = min(kinds * MOST_OF_A_KIND, MOST_OF_OBJECTS)
    assert len(lines) == most + 2
    assert lines[-2].endswith(f"source=audit-S3 left_out={5000 - most}")
    assert lines[-1].endswith("INFO Done sending 0 logs source=audit-S3 damaged=5000")
    assert capsys.readouterr().err.splitlines() == lines


def test_lines_about_objects_that_are_left_out_last_are_counted_too(bucket: Bucket) -> None:
    log = status_log()
    for number in range(MOST_OF_A_KIND + 7):
        log.write("WARN", "Some lines.", {"object": f"S3-{number}.gz"})
    assert uploaded(log, bucket)[-1].endswith("left_out=7")


# The quarantine.


def quarantine(bucket: Bucket) -> Quarantine:
    return Quarantine(cast("S3Client", bucket), "audit-output", "audit-S3")


def test_lines_that_are_shipped_together_are_one_object_of_a_json_object_a_line(
    bucket: Bucket,
) -> None:
    log_object = LogObject(NOON_MS, "May-2024/S3-a b.gz", "etag", 5)
    kept = [QuarantinedLine(9, "not UTF-8", b"\xff\n"), QuarantinedLine(3, "too long", b"a\r\nb")]
    for _ in range(2):
        quarantine(bucket).keep(log_object, kept)
    ((key, content),) = bucket.objects.items()
    assert key == "integration-quarantine/audit-S3/May-2024/S3-a b.gz/3.jsonl"
    known = {"key": "May-2024/S3-a b.gz", "etag": "etag"}
    assert [json.loads(line) for line in content.split(b"\n")[:-1]] == [
        {"reason": "too long", **known, "line_number": 3, "line": "a\r\nb"},
        {"reason": "not UTF-8", **known, "line_number": 9, "line_base64": "/wo="},
    ]


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9),
    size=st.integers(900, 1024),
    number=st.integers(1, 10**9),
)
def test_any_key_has_a_quarantine_that_s3_takes(text: str, size: int, number: int) -> None:
    """A key of 1,016 bytes with one bad line stopped its source for ever."""
    key = (text * 1024).encode()[:size].decode(errors="ignore")
    found = quarantine_key("audit-S3", key, number)
    assert len(found.encode()) <= 1024
    assert found.startswith(quarantine_prefix("audit-S3", key))
    start, end = "integration-quarantine/audit-S3/", f"/{number}.jsonl"
    assert found.startswith(start)
    assert found.endswith(end)
    name = found.removeprefix(start).removesuffix(end)
    is_cut = len(f"{start}{key}{end}".encode()) > 1024
    assert name == key or (is_cut and re.search("-[0-9a-f]{32}$", name))


def test_two_keys_that_are_cut_have_a_place_each() -> None:
    keys = [f"{'x' * 1015}{number}" for number in range(10)]
    found = {quarantine_key("audit-S3", key, number) for key, number in zip(keys, count(1))}
    assert len({name.rpartition("/")[0] for name in found}) == len(keys)


class WrittenInPieces(StringIO):
    """Standard error that lets other threads come between two writes."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        sleep(0)
        return len(text)
