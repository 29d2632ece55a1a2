"""`--plan`: what the next iteration would ship, how large, how old, how dear and how long."""

import json
import re
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Event

import pytest

from services.commands.plan import print_plans
from tests.servers.installation import BUCKET, Installation, eventually
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from tests.world.faults import Life, Line
from tests.world.in_memory import World, source_of
from tests.world.in_memory_s3 import MemoryS3
from utils.lines.batching import EVENT_OVERHEAD_BYTES
from utils.model import Clock, LogObject, Start
from utils.report.preview import EVENTS_PER_SECOND, PRICE_PER_GB, Preview, Sample, rows

DAY = timedelta(days=1)
DAY_MS = 24 * 60 * 60 * 1000
NOON_MS = 1_709_208_000_000


def tables(stdout: str) -> dict[str, dict[str, str]]:
    """Returns what is printed, by source and row."""
    found: dict[str, dict[str, str]] = {}
    for block in stdout.strip().split("\n\n"):
        source, *lines = block.splitlines()
        pairs = (re.fullmatch(r"  (\S+(?: \S+)*)  +(.*)", line) for line in lines)
        found[source] = {pair[1]: pair[2] for pair in pairs if pair}
    return found


def estimated(plan: dict[str, str]) -> int:
    """Returns how many events there are by a plan."""
    events = re.match(r"about ([\d,]+), ", plan["events"])
    assert events
    return int(events[1].replace(",", ""))


def puts(standin: CloudWatchStandin) -> int:
    """Returns how many PutLogEvents requests have arrived."""
    return standin.calls().operations.get("PutLogEvents", 0)


def random_lines(count: int) -> list[bytes]:
    """Returns lines that compress about as well as real ones."""
    random = Random(0)
    return [b'{"number": %d, "id": "%x"}' % (n, random.getrandbits(512)) for n in range(count)]


def timed(time: datetime, count: int) -> list[bytes]:
    return [json.dumps({"auditEntry": {"time": time.isoformat()}}).encode()] * count


def numbered(count: int, name: str = "") -> list[bytes]:
    return [b'{"name": "%s", "number": %d}' % (name.encode(), number) for number in range(count)]


def test_it_says_what_the_next_iteration_ships_and_sends_nothing(
    installation: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    bodies = {"May-2024/S3-a.gz": gzip_lines(numbered(3000)), "S3-b.gz": gzip_lines(numbered(9))}
    for days, (key, body) in zip((20, 1), bodies.items(), strict=True):
        s3_proxy.dates[key] = now - days * DAY
        installation.put(key, body)
    outcome = installation.run("--plan")
    assert (outcome.exit_status, outcome.stderr) == (0, "")
    plan = tables(outcome.stdout)[f"{BUCKET}-S3"]
    sizes = [len(body) for body in bodies.values()]
    assert plan["objects due"] == "2"
    assert plan["size"] == f"{sum(sizes):,} bytes as stored"
    first, last = (f"{now - days * DAY:%Y-%m-%d %H:%M}" for days in (20, 1))
    assert plan["last modified"] == f"{first} to {last}"
    assert plan["events"].endswith(", by a sample of 3,000 lines")
    assert estimated(plan) == pytest.approx(3009, rel=0.05)
    assert plan["past 14 days"].startswith(f"about {sizes[0] / sum(sizes):.0%}: ")
    assert plan["ingestion"] == f"about $0.00 at ${PRICE_PER_GB:.2f} a GB"
    assert plan["time"] == f"about 0:00:00 at {EVENTS_PER_SECOND:,} events a second"
    assert installation.output_keys() == []
    assert set(standin.calls().operations) == {"CreateLogGroup"}
    assert installation.once().done.pairs["objects"] == "2"


def test_of_what_is_shipped_nothing_is_due(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(5)))
    installation.once()
    outcome = installation.run("--plan")
    assert outcome.exit_status == 0
    assert tables(outcome.stdout) == {
        f"{BUCKET}-S3": {
            "covers": "everything ever written",
            "objects due": "0",
            "last modified": "-",
        }
    }


def test_it_says_in_words_where_coverage_begins(installation: Installation) -> None:
    installation.configuration["mode"] = "29/02/2024"
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert plan["covers"] == "everything written since 29 February 2024, 00:00 UTC"


def test_events_of_long_ago_in_a_new_object_are_past_14_days(installation: Installation) -> None:
    """Such as samples of another year, put into the bucket today."""
    now = datetime.now(UTC)
    ages = [900 * DAY, 15 * DAY, 13 * DAY, 0 * DAY]
    written = [line for age in ages for line in timed(now - age, 100)]
    lines = [*written, b"", b"no JSON", b'{"LoginTime": "2022-01-25T09:22:30Z"}']
    installation.put("May-2024/S3-a.gz", gzip_lines(lines))
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert plan["past 14 days"].startswith("about 50%: ")
    assert installation.once().done.figures("restamped") == {"restamped": 201}


def test_the_events_of_an_old_object_do_not_make_a_new_one_old(
    installation: Installation, s3_proxy: S3Proxy
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    bodies = [gzip_lines(timed(now - days * DAY, count)) for days, count in [(20, 300), (0, 20)]]
    s3_proxy.dates["S3-a.gz"] = now - 20 * DAY
    for key, body in zip(("S3-a.gz", "S3-b.gz"), bodies, strict=True):
        installation.put(key, body)
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    sizes = [len(body) for body in bodies]
    assert plan["past 14 days"].startswith(f"about {sizes[0] / sum(sizes):.0%}: ")


def test_of_an_object_that_is_shipped_in_part_the_rest_is_counted(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    count = 40_000
    installation.configuration |= {"concurrency": 1}
    installation.put("May-2024/S3-a.gz", gzip_lines(random_lines(count)))
    standin.control(latency_ms=10)
    with installation.start("--once") as engine:
        eventually(lambda: puts(standin) > count / 100 / 4, "a quarter of it", engine.process)
        outcome = engine.stop()
    shipped = outcome.lines[-1].figures("accepted")["accepted"]
    assert 0 < shipped < count
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert estimated(plan) == pytest.approx(count - shipped, abs=count / 100)
    assert installation.once().done.figures("accepted") == {"accepted": count - shipped}


def test_of_an_object_that_has_grown_the_new_lines_are_counted(installation: Installation) -> None:
    lines = numbered(3000)
    installation.put("May-2024/S3-a.gz", gzip_lines(lines[:2000]))
    installation.once()
    installation.put("May-2024/S3-a.gz", gzip_lines(lines))
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert plan["events"] == "about 1,000, by a sample of 3,000 lines"


def test_of_objects_that_were_replaced_all_lines_are_counted(installation: Installation) -> None:
    """It said "about 0" where 1,050 events came."""
    for name in ("a", "b", "c"):
        installation.put(f"May-2024/S3-{name}.gz", gzip_lines(numbered(350)))
    installation.once()
    for name in ("a", "b", "c"):
        installation.put(f"May-2024/S3-{name}.gz", gzip_lines(numbered(350, "new")))
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert estimated(plan) == 1050
    assert installation.once().done.figures("accepted") == {"accepted": 1050}


def test_of_many_changed_objects_some_are_read(installation: Installation) -> None:
    for number in range(110):
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(numbered(4)))
    installation.once()
    for number in range(110):
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(numbered(4, "new")))
    plan = tables(installation.run("--plan").stdout)[f"{BUCKET}-S3"]
    assert estimated(plan) == 440


def test_each_source_has_a_block_and_one_that_fails_does_not_stop_the_next(
    installation: Installation,
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(5)))
    broken = {"name": "broken", "bucket_name": "no-such-bucket"}
    installation.configuration["sources"] = [broken, {"name": "good"}]
    outcome = installation.run("--plan")
    assert outcome.exit_status == 1
    assert list(tables(outcome.stdout)) == ["good-S3", "2 sources"]
    (error,) = outcome.errors
    assert error.pairs["source"] == "broken-S3"
    assert "NoSuchBucket" in error.text


def test_a_stop_is_told_once_and_no_other_source_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world, life, stop = World(), Life({}), Event()
    world.put("May-2024/S3-a.gz", gzip_lines(numbered(5)), NOON_MS)
    s3 = MemoryS3(world.buckets, world.time, Line(life, world.lock))
    monkeypatch.setattr("services.commands.plan.s3_client", lambda *_: s3)
    monkeypatch.setattr("services.pull_logs_service.GetClient", lambda *_: s3)
    clock = Clock(world.time.machine_now, world.time.seconds)
    sources = [source_of(), source_of(name="next")]
    stop.set()
    assert not print_plans(sources, Start("owner", NOON_MS, 0), clock, stop)
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.endswith(" WARN Stopped before the end. source=audit-logs-S3")


def test_the_total_says_how_many_sources_it_lacks(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(5)))
    broken = [
        {"name": name, "bucket_name": "no-such-bucket", "log_stream": name}
        for name in ("first", "second")
    ]
    installation.configuration["sources"] = [*broken, {"name": "good"}]
    total = tables(installation.run("--plan").stdout)["3 sources"]
    assert total["failed"] == "2, of which nothing is known or counted here"
    assert total["objects due"] == "1"


def test_where_all_sources_failed_there_is_no_total(installation: Installation) -> None:
    """An answer of 0 would be taken for one."""
    broken = [
        {"name": name, "bucket_name": "no-such-bucket", "log_stream": name}
        for name in ("first", "second")
    ]
    installation.configuration["sources"] = broken
    outcome = installation.run("--plan")
    (error,) = outcome.errors
    assert outcome.exit_status == 1
    assert error.pairs["source"] == "first-S3, second-S3"
    assert tables(outcome.stdout) == {
        "2 sources": {"failed": "2, of which nothing is known or counted here"}
    }


def test_behind_several_sources_stands_the_total(installation: Installation) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(5)))
    installation.put("May-2024/IAM-a.gz", gzip_lines(numbered(7)))
    installation.configuration["log_type"] = ["S3", "IAM", "Console"]
    plans = tables(installation.run("--plan").stdout)
    assert list(plans) == [*(f"{BUCKET}-{name}" for name in ("S3", "IAM", "Console")), "3 sources"]
    total = plans["3 sources"]
    assert total["objects due"] == "2"
    assert total["events"] == "about 12, by a sample of 12 lines"


def test_price_and_time_follow_from_the_sample() -> None:
    """A tenth of the bytes was read: 2 million lines of 474 bytes each, which is 1 GB."""
    preview = Preview(NOON_MS)
    preview.note(LogObject(NOON_MS - 15 * DAY_MS, "S3-a", "", 25_000_000))
    preview.note(LogObject(NOON_MS - 13 * DAY_MS, "S3-b", "", 75_000_000))
    lines = 200_000
    preview.sample = Sample(lines, lines * (474 + EVENT_OVERHEAD_BYTES), 10_000_000)
    plan = dict(rows([preview]))
    assert plan["events"] == "about 2,000,000, by a sample of 200,000 lines"
    assert plan["past 14 days"].startswith("about 25%")
    assert plan["ingestion"] == "about $0.50 at $0.50 a GB"
    assert plan["time"].startswith(f"about {timedelta(seconds=2_000_000 / EVENTS_PER_SECOND)} at")


def test_the_share_past_14_days_is_one_of_events() -> None:
    """Those of one source may be far smaller than those of another."""
    previews = []
    for lines, old_lines in [(100, 100), (300, 0)]:
        preview = Preview(NOON_MS, sample=Sample(lines, 1000, 1000, old_lines))
        preview.note(LogObject(NOON_MS, "S3-a", "", 1000))
        previews.append(preview)
    assert dict(rows(previews))["past 14 days"].startswith("about 25%")


def test_more_lines_shipped_than_the_sample_lets_expect_are_no_events() -> None:
    preview = Preview(NOON_MS)
    preview.note(LogObject(NOON_MS, "S3-a", "", 1000), shipped_lines=101)
    preview.sample = Sample(10, 1000, 100)
    plan = dict(rows([preview]))
    assert plan["events"].startswith("about 0, ")
    assert plan["ingestion"].startswith("about $0.00 ")
