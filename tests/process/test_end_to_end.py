"""The program as a process: what CloudWatch holds equals what the audit bucket held."""

import gzip
import json
import re
import time
from calendar import timegm
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.servers.installation import BUCKET, LOG_GROUP, OUTPUT_BUCKET, Installation
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import Period, audit_lines, gzip_lines, object_key

TYPES = ("S3", "IAM", "Console")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MIB = 1_048_576
BYTES_AN_EVENT = 26

Arrived = Counter[tuple[int, str]]


def lines_of(log_type: str, count: int, seed: int = 0, ago: timedelta = 2 * HOUR) -> list[bytes]:
    """Returns events of the hour that begins so long ago."""
    return list(audit_lines(log_type, count, Period(datetime.now(UTC) - ago, HOUR), seed))


def written_ms(line: bytes) -> int:
    """Returns an event's time in ms, found in another way than the program's."""
    event = json.loads(line)
    text = (
        event.get("date")
        or event.get("auditEntry", {}).get("time")
        or event["ConsoleEvent"]["EventTime"]
    )
    fraction = re.search(r"\.(\d+)", text)
    whole = time.strptime(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S")
    return timegm(whole) * 1000 + int((fraction[1] if fraction else "").ljust(3, "0")[:3])


def expected(lines: Iterable[bytes]) -> Arrived:
    """Returns what a log stream should hold of the lines."""
    return Counter((written_ms(line), line.decode()) for line in lines)


def numbered(first: int, count: int) -> list[bytes]:
    """Returns short events without a time, each with a number."""
    return [b'{"number": %d}' % number for number in range(first, first + count)]


def texts(lines: Iterable[bytes]) -> Counter[str]:
    """Returns the lines as messages."""
    return Counter(line.decode() for line in lines)


def now_ms() -> int:
    """Returns this machine's clock in ms since 1970, which is the servers' too."""
    return time.time_ns() // 1_000_000


def mode_of(ago: timedelta) -> str:
    """Returns the mode that begins at the midnight before so long ago."""
    return f"{datetime.now(UTC) - ago:%d/%m/%Y}"


# Types and modes.


@pytest.mark.parametrize("server", ["installation", "moto_installation"])
def test_three_types_arrive_byte_for_byte_at_their_own_times(
    server: str, request: pytest.FixtureRequest
) -> None:
    installed: Installation = request.getfixturevalue(server)
    installed.configuration["log_type"] = list(TYPES)
    written: dict[str, list[bytes]] = {}
    for seed, log_type in enumerate(TYPES):
        written[log_type] = lines_of(log_type, 230, seed)
        key = object_key(log_type, datetime.now(UTC))
        installed.put(key, gzip_lines(written[log_type]))
    outcome = installed.once()
    assert outcome.exit_status == 0
    for log_type in TYPES:
        assert Counter(installed.stored(log_type)) == expected(written[log_type])
    assert [line.text for line in outcome.lines] == ["Done sending 230 logs"] * 3
    sources = [line.pairs["source"] for line in outcome.lines]
    assert sorted(sources) == sorted(f"{BUCKET}-{one}" for one in TYPES)


@pytest.mark.parametrize("mode", ["all", mode_of(DAY), "lasthour"])
def test_each_mode_ships_what_it_covers_and_then_nothing(
    mode: str, moto_installation: Installation
) -> None:
    moto_installation.configuration["mode"] = mode
    lines = lines_of("S3", 120)
    moto_installation.put("March-2024/S3-media-2024-03-01-00-00-00.gz", gzip_lines(lines))
    assert moto_installation.once().done.pairs["accepted"] == "120"
    assert moto_installation.once().done.text == "Done sending 0 logs"
    assert Counter(moto_installation.stored()) == expected(lines)


def test_an_object_belongs_to_a_type_by_the_beginning_of_its_base_name(
    installation: Installation,
) -> None:
    keys = {
        "S3": [
            "November-2026/S3-IAM-console-2026-11-01-00-00-00.gz",
            "November-2026/s3-console-exports-2026-11-01-00-00-00.gz",
            "S3-at-the-top-2026-11-01-00-00-00.gz",
            "October-2022/S3-2022-20-10-14-09-31.gz",
            "IAM-/Console-/S3-deep/S3-folders-of-other-types.gz",
            "S3-",
        ],
        "IAM": ["November-2026/IAM-2026-11-01-00-00-00.gz", "November-2026/iam-console-x.gz"],
        "Console": ["November-2026/console-2026-11-01-00-00-00.gz", "Console-x", "CONSOLE-s3-.gz"],
    }
    unrelated = [
        "November-2026/README.txt",
        "S3-folder/notes.txt",
        "November-2026/S3_media-2026-11-01-00-00-00.gz",
        "November-2026/xS3-media-2026-11-01-00-00-00.gz",
        "November-2026/S3.gz",
        "November-2026/IAMs-2026-11-01-00-00-00.gz",
        "November-2026/account-api-2026-11-01-00-00-00.gz",
    ]
    all_keys = [key for part in keys.values() for key in part]
    for number, key in enumerate(all_keys):
        installation.put(key, gzip_lines(numbered(number, 1)))
    for key in unrelated:
        installation.put(key, b'{"unrelated": true}\n')
    installation.configuration["log_type"] = ["Console", "S3", "IAM"]
    assert installation.once().exit_status == 0
    for log_type, of_type in keys.items():
        sent = [number for number, key in enumerate(all_keys) if key in of_type]
        assert sorted(installation.messages(log_type)) == sorted(
            f'{{"number": {number}}}' for number in sent
        )


def test_any_key_is_read(installation: Installation, s3_proxy: S3Proxy) -> None:
    """A key that is quoted once too often, or not at all, is an object that is never shipped."""
    keys = [
        "a b/S3-with spaces in it.gz",
        "plus+and/S3-1+1=2.gz",
        "percent%/S3-100%25.gz",
        "S3-?&#;:@!$'()*,.gz",
        "Förderung/S3-\u00fc\u4e2d\U0001f600.gz",
        'quotes/S3-"<&>".gz',
        "tilde~/S3-~.gz",
    ]
    for number, key in enumerate(keys):
        installation.put(key, gzip_lines(numbered(number, 1)))
    assert installation.once().exit_status == 0
    assert Counter(installation.messages()) == texts(numbered(0, len(keys)))
    assert installation.once().done.text == "Done sending 0 logs"
    assert len(s3_proxy.asked("/S3-")) == len(keys)


def test_gzip_and_plain_text_of_any_form(installation: Installation) -> None:
    parts = [gzip_lines(numbered(0, 3)), gzip_lines(numbered(3, 2)), b"\0\0\0"]
    bodies = {
        "several members, with padding behind": b"".join(parts),
        "a member that ends in a line": gzip.compress(b'{"num') + gzip.compress(b'ber": 5}\n'),
        "plain text, named as if it were gzip": b"".join(b"%b\n" % n for n in numbered(6, 3)),
        "no line end at the end": gzip.compress(b"\n".join(numbered(9, 2))),
        "plain, no line end at the end": b"\n".join(numbered(11, 2)),
        "lines with carriage returns": gzip.compress(b"\r\n".join(numbered(13, 2))),
        "not compressed inside": gzip.compress(b'{"number": 15}\n', 0),
    }
    for name, body in bodies.items():
        installation.put(f"S3-{name}.gz", body)
    outcome = installation.once()
    assert (outcome.exit_status, outcome.errors) == (0, [])
    assert Counter(installation.messages()) == texts(numbered(0, 16))


def test_log_stream_and_group_can_be_chosen(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A name is matched whole: the groups and streams whose names go on get nothing."""
    group, stream = "audit/a", "lyve #1/S3 [x]"
    for name in (group, f"{group}-2"):
        installation.logs.create_log_group(logGroupName=name)
    installation.logs.put_retention_policy(logGroupName=f"{group}-2", retentionInDays=1)
    installation.logs.create_log_stream(logGroupName=group, logStreamName=f"{stream}-2")
    installation.configuration |= {"log_group": group, "log_stream": stream}
    installation.put("S3-a.gz", gzip_lines(lines_of("S3", 3, ago=5 * DAY)))
    assert installation.once().done.figures("accepted", "restamped") == {
        "accepted": 3,
        "restamped": 0,
    }
    assert standin.digest(group, stream).stored == 3
    assert standin.digest(group, f"{stream}-2").stored == 0


# Requests.


def test_events_are_sent_in_groups_of_100(
    installation: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    """Calls are counted, because each has its price and its quota."""
    installation.put("S3-a.gz", gzip_lines(lines_of("S3", 250)))
    assert installation.once().done.pairs["accepted"] == "250"
    calls = standin.calls()
    assert calls.batch_lengths == {100: 2, 50: 1}
    puts = calls.operations.pop("PutLogEvents")
    assert puts == 3
    del calls.operations["CreateLogGroup"]  # this test's own
    # A first start looks besides if the log stream is empty.
    assert 1 <= calls.operations.pop("GetLogEvents") <= 2
    assert calls.operations == {"CreateLogStream": 2, "DescribeLogGroups": 2}
    assert len(s3_proxy.asked("S3-a.gz")) == 1


def test_large_batches_are_cut_at_the_megabyte(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    lines = lines_of("S3", 1600)
    installation.configuration["batch_size"] = 10_000
    installation.put("S3-a.gz", gzip_lines(lines))
    assert installation.once().exit_status == 0
    assert Counter(installation.stored()) == expected(lines)
    calls = standin.calls()
    total_bytes = sum(len(line) + BYTES_AN_EVENT for line in lines)
    assert total_bytes > 2 * MIB
    assert calls.operations["PutLogEvents"] == total_bytes // MIB + 1
    assert set(calls.outcomes["PutLogEvents"]) == {"accepted"}
    assert MIB - max(map(len, lines)) - BYTES_AN_EVENT < calls.largest_batch_bytes <= MIB


def test_a_batch_of_exactly_a_megabyte_is_sent_and_one_of_a_byte_more_is_cut(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    half = json.dumps({"x": "x" * (MIB // 2 - BYTES_AN_EVENT - len('{"x": ""}'))}).encode()
    installation.put("S3-a.gz", gzip_lines([half, half]))
    installation.put("S3-b.gz", gzip_lines([half, half + b" "]))
    assert installation.once().done.pairs["accepted"] == "4"
    assert standin.calls().outcomes["PutLogEvents"] == {"accepted": 3}
    assert standin.calls().batch_lengths == {2: 1, 1: 2}


def test_ten_thousand_small_events_are_one_batch(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    installation.configuration["batch_size"] = 10_000
    installation.put("S3-a.gz", gzip_lines(numbered(0, 10_001)))
    assert installation.once().exit_status == 0
    assert Counter(installation.messages()) == texts(numbered(0, 10_001))
    assert standin.calls().batch_lengths == {10_000: 1, 1: 1}


def test_pages_of_a_listing_are_read_to_the_last_one_and_each_once(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    """A thousand keys is a page; the audit objects here stand on the first and on the last.

    A first start lists the top level, and then everything.
    """
    keys = ["May-2024/S3-a.gz", *(f"May-2024/a-{n}" for n in range(999)), "May-2024/s3-z.gz"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(installation.put, body=b'{"a": 1}\n'), keys))
    assert installation.once().done.pairs["accepted"] == "2"
    assert len(s3_proxy.asked("/audit-logs?list-type=2")) == 3
    assert len(s3_proxy.asked("delimiter=%2F")) == len(s3_proxy.asked("continuation-token")) == 1
    assert len(s3_proxy.asked("May-2024/")) == 2


def test_the_audit_bucket_is_only_read(installation: Installation, s3_proxy: S3Proxy) -> None:
    """It is immutable: a write would fail, and one that did not would stay for years."""
    installation.put("S3-a.gz", b'{"a": 1}\n\xff\n')
    installation.put("S3-b.gz", b"")
    installation.once()
    installation.once()
    of_bucket = s3_proxy.asked(f" /{BUCKET}/") + s3_proxy.asked(f" /{BUCKET}?")
    assert {line.split()[0] for line in of_bucket} <= {"GET", "HEAD"}
    assert of_bucket


# What is due.


def test_a_second_iteration_sends_nothing_and_a_third_the_new_object_alone(
    installation: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    lines = lines_of("S3", 130)
    installation.put("May-2024/S3-a.gz", gzip_lines(lines))
    installation.once()
    before = standin.calls().operations["PutLogEvents"]
    second = installation.once()
    assert second.done.text == "Done sending 0 logs"
    assert second.done.figures("objects", "read", "accepted") == {
        "objects": 0,
        "read": 0,
        "accepted": 0,
    }
    assert standin.calls().operations["PutLogEvents"] == before
    assert len(s3_proxy.asked("S3-a.gz")) == 1
    more = lines_of("S3", 20, seed=1)
    installation.put("May-2024/S3-b.gz", gzip_lines(more))
    assert installation.once().done.text == "Done sending 20 logs"
    assert Counter(installation.stored()) == expected([*lines, *more])
    assert len(s3_proxy.asked("S3-a.gz")) == 1


def test_objects_that_appear_late_are_found(installation: Installation, s3_proxy: S3Proxy) -> None:
    """The service writes objects "periodically": one may appear behind newer ones.

    The first here shares its second with a shipped one.
    """
    shipped_at = datetime.now(UTC) - HOUR
    s3_proxy.dates["May-2024/S3-shipped.gz"] = shipped_at
    installation.put("May-2024/S3-shipped.gz", gzip_lines(numbered(100, 1)))
    installation.once()
    late = [timedelta(0), timedelta(seconds=1), 3 * HOUR, 23 * HOUR]
    for number, behind in enumerate(late):
        s3_proxy.dates[f"May-2024/S3-{number}.gz"] = shipped_at - behind
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(numbered(number, 1)))
    assert installation.once().done.text == f"Done sending {len(late)} logs"
    assert installation.once().done.text == "Done sending 0 logs"
    assert Counter(installation.messages()) == texts([*numbered(0, 4), *numbered(100, 1)])


def test_after_days_of_downtime_all_of_them_are_shipped(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    """What is due comes from the checkpoint, never from "the last hour by the clock"."""
    now = datetime.now(UTC)
    ages = {f"S3-{days}.gz": days for days in range(9)}
    s3_proxy.dates |= {key: now - days * DAY for key, days in ages.items()}
    s3_proxy.dates["S3-first.gz"] = now - 9 * DAY
    installation.put("S3-first.gz", gzip_lines(numbered(100, 1)))
    assert installation.once().done.text == "Done sending 1 logs"
    for key, days in ages.items():
        installation.put(key, gzip_lines(numbered(days, 1)))
    assert installation.once().done.text == "Done sending 9 logs"
    assert Counter(installation.messages()) == texts([*numbered(0, 9), *numbered(100, 1)])


def test_a_new_object_in_a_folder_of_long_ago_is_found(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    """Folders in which nothing is new for long are listed once a day alone."""
    s3_proxy.dates["October-2022/S3-old.gz"] = datetime.now(UTC) - 400 * DAY
    installation.put("October-2022/S3-old.gz", gzip_lines(numbered(0, 1)))
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(1, 1)))
    installation.once()
    for number, folder in enumerate(("October-2022", "May-2024", "June-2024"), start=2):
        installation.put(f"{folder}/S3-new.gz", gzip_lines(numbered(number, 1)))
    listed = len(s3_proxy.asked("prefix=October-2022"))
    installation.once()
    assert {f'{{"number": {number}}}' for number in (3, 4)} <= set(installation.messages())
    assert len(s3_proxy.asked("prefix=October-2022")) == listed
    s3_proxy.ahead = DAY + HOUR
    installation.once()
    assert Counter(installation.messages()) == texts(numbered(0, 5))


AGES = {
    "May-2024/S3-0.gz": timedelta(0),
    "April-2024/S3-1.gz": 2 * HOUR,
    "March-2024/S3-2.gz": 3 * DAY,
    "February-2022/S3-3.gz": 500 * DAY,
}


def put_aged(installation: Installation, s3_proxy: S3Proxy) -> None:
    """Writes an event in an object of each of the ages."""
    now = datetime.now(UTC)
    for number, (key, age) in enumerate(AGES.items()):
        s3_proxy.dates[key] = now - age
        installation.put(key, gzip_lines(numbered(number, 1)))


def test_each_mode_begins_where_it_says(installation: Installation, s3_proxy: S3Proxy) -> None:
    """And an earlier beginning in a later configuration ships the earlier range, once."""
    put_aged(installation, s3_proxy)
    for mode, numbers in [
        ("lasthour", [0]),
        (mode_of(4 * DAY), [1, 2]),
        ("all", [3]),
        ("lasthour", []),
    ]:
        before = Counter(installation.messages()) if installation.status_objects() else Counter()
        installation.configuration["mode"] = mode
        outcome = installation.once()
        assert outcome.done.text == f"Done sending {len(numbers)} logs", mode
        sent = Counter(installation.messages()) - before
        assert sent == Counter(f'{{"number": {number}}}' for number in numbers), mode


def test_a_date_begins_at_its_midnight_of_utc(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    midnight = (datetime.now(UTC) - 5 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    s3_proxy.dates |= {"S3-0.gz": midnight, "S3-1.gz": midnight - timedelta(seconds=1)}
    for number, key in enumerate(("S3-0.gz", "S3-1.gz")):
        installation.put(key, gzip_lines(numbered(number, 1)))
    installation.configuration["mode"] = mode_of(5 * DAY)
    installation.environment["TZ"] = "America/New_York"
    installation.run_as_process("--once")
    assert installation.messages() == ['{"number": 0}']


def test_a_later_beginning_in_a_later_configuration_loses_nothing(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    installation.once()
    put_aged(installation, s3_proxy)
    installation.configuration["mode"] = "lasthour"
    assert installation.once().done.text == f"Done sending {len(AGES)} logs"


@pytest.mark.parametrize(
    ("key", "value"),
    [("log_group", "another-group"), ("log_stream", "another"), ("bucket_name", "another-bucket")],
)
def test_a_checkpoint_serves_no_other_origin_or_destination(
    key: str, value: str, installation: Installation, standin: CloudWatchStandin
) -> None:
    """A silent start from the beginning would store everything twice."""
    installation.logs.create_log_group(logGroupName="another-group")
    installation.s3.create_bucket(Bucket="another-bucket")
    source = {"name": "acme", "log_stream": "x"}
    installation.configuration["sources"] = [source]
    installation.put("S3-a.gz", gzip_lines(numbered(0, 3)))
    installation.once()
    before = installation.checkpoint("acme-S3")
    installation.configuration["sources"] = [source | {key: value}]
    outcome = installation.once()
    installation.s3.delete_bucket(Bucket="another-bucket")
    (error,) = outcome.errors
    assert outcome.exit_status == 1
    assert repr(value) in error.text
    assert f"{OUTPUT_BUCKET}/integration-state/acme-S3.json" in error.text
    assert installation.checkpoint("acme-S3") == before
    assert standin.digest(LOG_GROUP, "x").stored == 3


# Objects that change.


@pytest.mark.parametrize("pack", [gzip_lines, b"\n".join], ids=["gzip", "plain"])
def test_of_an_object_that_has_grown_only_the_new_lines_are_sent(
    pack: Callable[[Iterable[bytes]], bytes], installation: Installation
) -> None:
    installation.put("S3-a.gz", pack(numbered(0, 30)))
    installation.once()
    installation.put("S3-a.gz", pack(numbered(0, 50)))
    assert installation.once().done.text == "Done sending 20 logs"
    assert Counter(installation.messages()) == texts(numbered(0, 50))
    assert installation.once().done.text == "Done sending 0 logs"


def test_an_object_with_another_content_is_another_object(installation: Installation) -> None:
    installation.put("S3-a.gz", gzip_lines(numbered(0, 30)))
    installation.once()
    installation.put("S3-a.gz", gzip_lines(numbered(100, 31)))
    assert installation.once().done.text == "Done sending 31 logs"
    installation.put("S3-a.gz", gzip_lines(numbered(200, 5)))
    assert installation.once().done.text == "Done sending 5 logs"
    sent = [*numbered(0, 30), *numbered(100, 31), *numbered(200, 5)]
    assert Counter(installation.messages()) == texts(sent)


def test_the_same_content_put_again_is_not_sent_again(installation: Installation) -> None:
    for _ in range(2):
        installation.put("S3-a.gz", gzip_lines(numbered(0, 30)))
        installation.once()
    assert Counter(installation.messages()) == texts(numbered(0, 30))


def test_equal_lines_are_events_of_their_own(installation: Installation) -> None:
    installation.put("S3-a.gz", gzip_lines([b'{"same": 1}'] * 150))
    installation.put("S3-b.gz", gzip_lines([b'{"same": 1}'] * 10))
    installation.once()
    assert Counter(installation.messages()) == {'{"same": 1}': 160}


# Timestamps.


def at(moment: datetime, number: int = 0) -> bytes:
    """Returns an event of a time."""
    return json.dumps({"date": moment.isoformat(timespec="milliseconds"), "n": number}).encode()


@pytest.mark.parametrize(
    ("retention_days", "restamped"),
    [(None, [15 * DAY, 14 * DAY + HOUR, 400 * DAY, -3 * HOUR]), (3, [4 * DAY, 15 * DAY])],
)
def test_what_cloudwatch_would_reject_for_its_time_gets_a_time_of_upload(
    retention_days: int | None,
    restamped: list[timedelta],
    installation: Installation,
    standin: CloudWatchStandin,
) -> None:
    """Rejected events are lost while the call succeeds, so none may be rejected."""
    if retention_days:
        installation.logs.put_retention_policy(
            logGroupName=LOG_GROUP, retentionInDays=retention_days
        )
    kept = [timedelta(0), 2 * DAY, HOUR, -HOUR, 3 * DAY - HOUR]
    now = datetime.now(UTC)
    lines = {age: at(now - age) for age in [*restamped, *kept]}
    installation.put("S3-a.gz", gzip_lines(lines.values()))
    before_ms = now_ms()
    outcome = installation.once()
    assert outcome.done.figures("accepted", "restamped") == {
        "accepted": len(lines),
        "restamped": len(restamped),
    }
    times = {message: timestamp_ms for timestamp_ms, message in installation.stored()}
    for age, line in lines.items():
        timestamp_ms = times.pop(line.decode())
        if age in restamped:
            assert before_ms - 1000 <= timestamp_ms <= now_ms() + 1000, age
        else:
            assert timestamp_ms == written_ms(line), age
    assert not times
    assert standin.calls().events_rejected == 0


def test_retention_that_may_not_be_asked_for_is_learnt_from_the_answers(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """CloudWatchAgentServerPolicy, which the card asks for, has no logs:DescribeLogGroups."""
    installation.logs.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=1)
    standin.control(denied=["DescribeLogGroups"])
    now = datetime.now(UTC)
    lines = [at(now - timedelta(hours=hours), hours) for hours in range(48)]
    installation.put("S3-a.gz", gzip_lines(lines))
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert Counter(installation.messages()) == texts(lines)
    assert 23 <= int(outcome.done.pairs["restamped"]) <= 25
    assert standin.calls().events_rejected > 0


def test_an_event_without_a_time_has_the_time_of_its_object(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    lines = [*lines_of("AccountAPI", 5), b"[1]", b"no JSON", b"{}"]
    written_at = (datetime.now(UTC) - 3 * HOUR).replace(microsecond=0)
    s3_proxy.dates["S3-a.gz"] = written_at
    installation.put("S3-a.gz", gzip_lines(lines))
    assert installation.once().done.figures("accepted", "not_json") == {
        "accepted": 8,
        "not_json": 1,
    }
    written_at_ms = timegm(written_at.timetuple()) * 1000
    assert Counter(installation.stored()) == Counter(
        (written_at_ms, line.decode()) for line in lines
    )


def test_events_in_any_order_over_days_arrive_with_their_times(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """A request that is out of order, or wider than 24 hours, is refused in whole."""
    now = datetime.now(UTC)
    hours = [(7 * n) % 299 for n in range(299)]
    lines = [at(now - timedelta(hours=hour), hour) for hour in hours]
    installation.configuration["batch_size"] = 10_000
    installation.put("S3-a.gz", gzip_lines(lines))
    outcome = installation.once()
    assert outcome.done.figures("accepted", "restamped") == {"accepted": 299, "restamped": 0}
    assert Counter(installation.stored()) == expected(lines)
    assert set(standin.calls().outcomes["PutLogEvents"]) == {"accepted"}


# Status lines.


def test_status_objects_hold_what_standard_error_said(installation: Installation) -> None:
    installation.configuration["log_type"] = ["S3", "IAM"]
    lines = [*numbered(0, 5), b"", b"  ", b"no JSON", b"\xff", at(datetime.now(UTC) - 15 * DAY)]
    installation.put("S3-a.gz", gzip_lines(lines))
    began = datetime.now(UTC).replace(microsecond=0)
    outcome = installation.once()
    ended = datetime.now(UTC)
    objects = installation.status_objects()
    written = [line for content in objects.values() for line in content.splitlines(True)]
    assert sorted(written) == sorted(outcome.stderr.splitlines(True))
    assert outcome.stdout == ""
    for key in objects:
        assert re.fullmatch(
            rf"integration-logs/\d{{4}}/\d\d/\d\d/\d\d-\d\d-\d\d-{BUCKET}-(S3|IAM)-[0-9a-f]+\.log",
            key,
        )
        day = key.removeprefix("integration-logs/")[:19]
        assert began <= datetime.strptime(day, "%Y/%m/%d/%H-%M-%S").replace(tzinfo=UTC) <= ended
    warned, of_s3 = (line for line in outcome.lines if line.pairs["source"] == f"{BUCKET}-S3")
    assert (warned.level, warned.pairs["quarantined"]) == ("WARN", "1")
    assert began <= of_s3.time <= ended
    figures = {
        "objects": 1,
        "read": 10,
        "accepted": 7,
        "quarantined": 1,
        "blank": 2,
        "not_json": 1,
        "restamped": 1,
        "possibly_duplicated": 0,
    }
    assert of_s3.figures(*figures) == figures
    assert re.fullmatch(r"\d+\.\ds", of_s3.pairs["took"])


def test_status_objects_are_never_overwritten(installation: Installation) -> None:
    installation.once()
    first = installation.status_objects()
    installation.once()
    both = installation.status_objects()
    assert len(both) == 2
    assert first.items() <= both.items()


def test_an_output_object_has_a_documented_key(installation: Installation) -> None:
    installation.put("May-2024/S3-a b.gz", b"\xff\n")
    installation.once()
    (status,) = installation.status_objects()
    assert installation.output_keys() == [
        status,
        f"integration-logs/latest-{BUCKET}-S3.json",
        f"integration-quarantine/{BUCKET}-S3/May-2024/S3-a b.gz/1.jsonl",
        f"integration-state/{BUCKET}-S3.json",
    ]
    assert isinstance(installation.checkpoint()["version"], int)
