"""The newer platform's access logs, and sources of any type below a prefix, as a process."""

import gzip
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from tests.process.test_kills_as_process import puts_of
from tests.process.test_plan import tables
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
    empty,
    eventually,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import (
    ACCESS_PREFIX,
    Period,
    audit_lines,
    gzip_lines,
    object_key,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SOURCE = f"{BUCKET}-Access"


class NewerPlatform(SeaweedFS):
    """An S3 server that accepts another key only."""

    access_key = "newer-platform-access"
    secret_key = "newer-platform-secret"


@pytest.fixture(scope="module")
def newer_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with NewerPlatform(tmp_path_factory.mktemp("newer-platform")) as running:
        for bucket in (BUCKET, OUTPUT_BUCKET):
            running.client().create_bucket(Bucket=bucket)
        yield running


@pytest.fixture
def newer_bucket(newer_platform: SeaweedFS) -> Iterator[SeaweedFS]:
    yield newer_platform
    for bucket in (BUCKET, OUTPUT_BUCKET):
        empty(newer_platform.client(), bucket)


@pytest.fixture
def below(installation: Installation) -> Installation:
    """A source of the type Access below a folder."""
    installation.configuration |= {"log_type": "Access", "prefix": ACCESS_PREFIX}
    return installation


def lines_of(count: int, seed: int = 0, ago: timedelta = 2 * HOUR) -> list[bytes]:
    return list(audit_lines("Access", count, Period(datetime.now(UTC) - ago, HOUR), seed))


def expected(lines: list[bytes]) -> Counter[tuple[int, str]]:
    """Returns what a log stream should hold, the times found in another way than the program's."""
    texts = [line.decode() for line in lines]
    written = [re.search(r"\[(.*?)\]", text) for text in texts]
    moments = [datetime.strptime(one[1], "%d/%b/%Y:%H:%M:%S %z") for one in written if one]
    return Counter(
        (int(moment.timestamp()) * 1000, text) for moment, text in zip(moments, texts, strict=True)
    )


def plain(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def test_a_name_decides_nothing_and_first_bytes_tell_gzip(below: Installation) -> None:
    bodies: dict[str, Callable[[list[bytes]], bytes]] = {
        "access/a.gz": plain,
        "access/b": gzip_lines,
        "access/S3-like-the-older.gz": gzip_lines,
        "access/deep/er/c.log": lambda lines: plain(lines).rstrip(b"\n"),
        "access/2024-02-29-00-00-00-AAFF/x": lambda lines: plain(lines).replace(b"\n", b"\r\n"),
    }
    written = {key: lines_of(50, seed) for seed, key in enumerate(bodies)}
    for key, body in bodies.items():
        below.put(key, body(written[key]))
    below.put("access/folder/", b"")
    for key in ("accessory/x", "Access/x", "access-2", "February-2024/S3-a.gz"):
        below.put(key, plain(lines_of(1, 99)))
    outcome = below.once()
    assert outcome.exit_status == 0, outcome.stderr
    assert Counter(below.stored("Access")) == expected([*chain.from_iterable(written.values())])
    assert outcome.done.figures("objects", "accepted", "not_access") == {
        "objects": 5,
        "accepted": 250,
        "not_access": 0,
    }
    assert below.once().done.figures("objects") == {"objects": 0}


def test_a_line_of_another_form_is_shipped_as_it_is_and_counted(
    below: Installation, s3_proxy: S3Proxy
) -> None:
    written_at = datetime.now(UTC).replace(microsecond=0) - HOUR
    good = lines_of(3)
    odd = [b'{"auditEntry": {"time": "2024-02-29T00:00:00Z"}}', b"owner bucket - x", b"\tx  y"]
    appended = [line + b' new "later version" -' for line in lines_of(2, 1)]
    s3_proxy.dates["access/a"] = written_at
    below.put("access/a", plain([*good, *odd, b"", *appended]))
    outcome = below.once()
    assert outcome.done.figures("read", "accepted", "blank", "not_json", "not_access") == {
        "read": 9,
        "accepted": 8,
        "blank": 1,
        "not_json": 0,
        "not_access": 3,
    }
    of_others = Counter((int(written_at.timestamp()) * 1000, line.decode()) for line in odd)
    assert Counter(below.stored("Access")) == expected([*good, *appended]) + of_others
    counts = below.latest(SOURCE)["counts"]
    assert isinstance(counts, dict)
    assert counts["not_access"] == 3


def test_a_cut_off_line_is_kept_until_the_object_is_whole(below: Installation) -> None:
    """The beginning of an access line can look like a whole one."""
    lines = lines_of(40)
    # Blocks that are stored, not packed: what is cut off ends at a byte of the content.
    whole = gzip.compress(plain(lines), compresslevel=0)
    below.put("access/a", whole[: len(whole) - 12])
    outcome = below.once()
    assert outcome.exit_status == 1
    assert outcome.done.figures("accepted", "quarantined", "damaged") == {
        "accepted": 39,
        "quarantined": 1,
        "damaged": 1,
    }
    below.put("access/a", whole)
    assert below.once().exit_status == 0
    assert Counter(below.stored("Access")) == expected(lines)


def test_accounts_of_both_platforms_are_two_sources(
    installation: Installation, newer_bucket: SeaweedFS
) -> None:
    installation.configuration["sources"] = [
        {"name": "older", "log_stream": "older"},
        {"name": "newer", "log_type": "Access", "prefix": "logs/acc", "log_stream": "newer"},
    ]
    installation.environment |= {
        "NEWER_LYVE_ACCESS": newer_bucket.access_key,
        "NEWER_LYVE_SECRET": newer_bucket.secret_key,
        "NEWER_LYVE_ENDPOINT": newer_bucket.endpoint_url,
    }
    installation.secrets.add(newer_bucket.secret_key)
    s3 = list(audit_lines("S3", 60, Period(datetime.now(UTC) - 2 * HOUR, HOUR)))
    access = lines_of(70)
    installation.put(object_key("S3", datetime.now(UTC)), gzip_lines(s3))
    client = newer_bucket.client()
    client.put_object(Bucket=BUCKET, Key="logs/acc-1", Body=gzip_lines(access[:30]))
    client.put_object(Bucket=BUCKET, Key="logs/access/2", Body=plain(access[30:]))
    client.put_object(Bucket=BUCKET, Key="logs/other", Body=plain(lines_of(1, 5)))
    outcome = installation.once()
    assert outcome.exit_status == 0, outcome.stderr
    stored = {
        stream: Counter(
            (one.timestamp, one.message)
            for one in installation.cloudwatch.events(LOG_GROUP, stream)
        )
        for stream in ("older", "newer")
    }
    assert stored["newer"] == expected(access)
    assert Counter(message for _, message in stored["older"].elements()) == Counter(
        line.decode() for line in s3
    )


def test_access_logs_below_a_folder_beside_the_older_types(installation: Installation) -> None:
    """One bucket, two sources: the older one sees all of it, and takes its own objects."""
    installation.configuration["sources"] = [
        {"name": "audit", "log_stream": "audit"},
        {"name": "access", "log_type": "Access", "prefix": ACCESS_PREFIX, "log_stream": "access"},
    ]
    s3 = list(audit_lines("S3", 60, Period(datetime.now(UTC) - 2 * HOUR, HOUR)))
    access = lines_of(70)
    installation.put(object_key("S3", datetime.now(UTC)), gzip_lines(s3))
    installation.put(object_key("Access", datetime.now(UTC)), gzip_lines(access))
    assert installation.once().exit_status == 0
    found = {
        stream: sorted(one.message for one in installation.cloudwatch.events(LOG_GROUP, stream))
        for stream in ("audit", "access")
    }
    assert found == {
        "audit": sorted(line.decode() for line in s3),
        "access": sorted(line.decode() for line in access),
    }


@pytest.mark.parametrize("prefix", ["tenants/one/", "tenants/o"])
def test_month_folders_below_a_prefix_are_left_out_once_they_are_quiet(
    prefix: str, installation: Installation, s3_proxy: S3Proxy
) -> None:
    installation.configuration["prefix"] = prefix
    old, new = f"{prefix}April-2024/S3-a.gz", f"{prefix}May-2024/S3-b.gz"
    others = ["May-2024/S3-c.gz", "tenants/two/May-2024/S3-d.gz"]
    for number, key in enumerate([old, new, *others]):
        installation.put(key, b'{"number": %d}\n' % number)
    s3_proxy.dates[old] = datetime.now(UTC).replace(microsecond=0) - 30 * DAY
    assert installation.once().done.figures("accepted") == {"accepted": 2}
    assert sorted(installation.messages()) == ['{"number": 0}', '{"number": 1}']
    listed = [line for line in s3_proxy.asked("list-type=2") if f"/{BUCKET}?" in line]
    assert all("prefix=tenants%2Fo" in line for line in listed)
    s3_proxy.requests.clear()
    installation.put(f"{prefix}May-2024/S3-e.gz", b'{"number": 9}\n')
    assert installation.once().done.figures("accepted") == {"accepted": 1}
    listed = [line for line in s3_proxy.asked("list-type=2") if f"/{BUCKET}?" in line]
    assert not [line for line in listed if "April" in line]
    assert [line for line in listed if "May" in line]


def test_another_prefix_is_another_origin(below: Installation) -> None:
    below.put("access/a", plain(lines_of(5)))
    assert below.once().exit_status == 0
    below.configuration["prefix"] = "other/"
    outcome = below.once()
    assert outcome.exit_status == 1
    (error,) = outcome.errors
    assert "prefix was 'access/', is 'other/'" in error.text
    assert "Set prefix back" in error.text
    identity = below.checkpoint(SOURCE)["source"]
    assert isinstance(identity, dict)
    assert identity["prefix"] == "access/"


def test_without_a_prefix_the_checkpoint_is_written_as_before(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines([b'{"number": 1}']))
    installation.once()
    identity = installation.checkpoint()["source"]
    assert isinstance(identity, dict)
    assert "prefix" not in identity


def test_the_plan_knows_the_time_of_an_access_line(below: Installation) -> None:
    below.put("access/a", plain([*lines_of(300, ago=20 * DAY), *lines_of(100, 1)]))
    plan = tables(below.run("--plan").stdout)[SOURCE]
    assert plan["past 14 days"].startswith("about 75%: ")
    assert below.once().done.figures("restamped") == {"restamped": 300}


def test_a_kill_in_the_midst_loses_and_doubles_nothing(
    below: Installation, standin: CloudWatchStandin
) -> None:
    lines = lines_of(4000)
    below.put("access/a", gzip_lines(lines))
    below.configuration |= {"batch_size": 10, "concurrency": 2}
    standin.control(latency_ms=50)
    with below.start("--once") as engine:
        eventually(lambda: puts_of(standin) > 20, "the 20th put", engine.process)
    standin.control(latency_ms=0)
    outcome = below.once()
    assert outcome.exit_status == 0
    assert any(line.text.startswith("An iteration was not finished") for line in outcome.lines)
    assert Counter(below.stored("Access")) == expected(lines)


def test_the_start_says_what_is_shipped(below: Installation) -> None:
    below.put("access/a", plain(lines_of(5)))
    with below.start() as engine:
        engine.wait_until_said(f"Ready to ship Access logs from {BUCKET}")
        engine.wait_until_said("Objects due now: 1")
        engine.stop()


def test_a_gap_names_the_type(below: Installation, s3_proxy: S3Proxy) -> None:
    below.configuration["gap_hours"] = 1
    below.put("access/a", plain(lines_of(5)))
    s3_proxy.dates["access/a"] = datetime.now(UTC).replace(microsecond=0) - 3 * HOUR
    below.put("S3-new.gz", b"{}\n")
    texts = [line.text for line in below.once().lines]
    assert [text for text in texts if text.startswith("No new object of the type Access for 1 ")]


def test_the_check_reads_an_access_object(below: Installation) -> None:
    below.put("access/deep/a", gzip_lines(lines_of(5)))
    assert "access/deep/a" in below.run("--check").stdout
