"""Several sources in one process: tenants with their own keys, of which none disturbs another."""

import json
import re
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from services.shipping.shared import MAX_PLAN_OBJECTS, MemoryShare
from tests.bench.measured_process import measured
from tests.servers.installation import (
    BUCKET,
    ENGINE,
    LOG_GROUP,
    OUTPUT_BUCKET,
    SLOW_GROUP,
    Installation,
    Outcome,
    StatusLine,
    empty,
    eventually,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from utils.model import LogObject, Position
from utils.state.ledger import Coverage, Ledger
from utils.state.planning import oldest

MANY = 50
MB = 1_000_000
# 145 MB, and what falls together by chance.
MOST_BYTES_WITH_MANY_SOURCES = 165 * MB
# What is left of these beside the process and the events under way.
MOST_BYTES_OF_BACKLOGS = 60 * MB
DUE_MS = 1_793_491_200_000


class OtherTenant(SeaweedFS):
    """An S3 server that accepts another key only."""

    access_key = "other-tenant-access"
    secret_key = "other-tenant-secret"


@pytest.fixture(scope="module")
def other_tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with OtherTenant(tmp_path_factory.mktemp("other-tenant")) as running:
        for bucket in (BUCKET, OUTPUT_BUCKET):
            running.client().create_bucket(Bucket=bucket)
        yield running


@pytest.fixture
def others_bucket(other_tenant: SeaweedFS) -> Iterator[SeaweedFS]:
    yield other_tenant
    for bucket in (BUCKET, OUTPUT_BUCKET):
        empty(other_tenant.client(), bucket)


def numbered(first: int, count: int) -> list[bytes]:
    return [f'{{"number": {number}}}'.encode() for number in range(first, first + count)]


def texts(lines: list[bytes]) -> list[str]:
    return [line.decode() for line in lines]


def lines_of(outcome: Outcome, source: str) -> list[StatusLine]:
    return [line for line in outcome.lines if line.pairs.get("source") == source]


def done_of(outcome: Outcome, source: str) -> StatusLine:
    (line,) = (one for one in lines_of(outcome, source) if one.text.startswith("Done sending"))
    return line


def messages(installation: Installation, group: str, stream: str) -> list[str]:
    return sorted(event.message for event in installation.cloudwatch.events(group, stream))


# Each tenant's keys are used for its own servers alone.


def test_two_tenants_with_a_key_and_a_server_each(
    installation: Installation, others_bucket: SeaweedFS, tmp_path: Path
) -> None:
    """Each server refuses the other tenant's key, and each tenant has buckets of the same names."""
    secret = tmp_path / "other-secret"
    secret.write_text(f"{others_bucket.secret_key}\n")
    installation.configuration["sources"] = [
        {"name": "main"},
        {"name": "other.one", "log_stream": "other"},
    ]
    installation.environment |= {
        "OTHER_ONE_LYVE_ACCESS": others_bucket.access_key,
        "OTHER_ONE_LYVE_SECRET_FILE": str(secret),
        "OTHER_ONE_LYVE_ENDPOINT": others_bucket.endpoint_url,
    }
    installation.secrets.add(others_bucket.secret_key)
    mine, theirs = numbered(0, 30), numbered(100, 40)
    installation.put("May-2024/S3-a.gz", gzip_lines(mine))
    others_bucket.client().put_object(
        Bucket=BUCKET, Key="May-2024/S3-a.gz", Body=gzip_lines(theirs)
    )
    outcome = installation.once()
    assert outcome.exit_status == 0, outcome.stderr
    assert sorted(installation.messages()) == sorted(texts(mine))
    assert messages(installation, LOG_GROUP, "other") == sorted(texts(theirs))
    own_keys = [key for key in installation.output_keys() if "other" in key]
    assert own_keys == []
    found = others_bucket.client().list_objects_v2(Bucket=OUTPUT_BUCKET)["Contents"]
    assert "integration-state/other.one-S3.json" in {one["Key"] for one in found}


def test_a_wrong_key_of_one_tenant_fails_that_one_alone(two: Installation) -> None:
    two.environment |= {"SLOW_AWS_ACCESS": "AKIAUNKNOWN", "SLOW_AWS_SECRET": "no-such-secret"}
    two.put("S3-a.gz", gzip_lines(numbered(0, 10)))
    two.put("IAM-a.gz", gzip_lines(numbered(50, 10)))
    outcome = two.once()
    assert outcome.exit_status == 1
    assert [line.level for line in lines_of(outcome, "slow-IAM")] == ["ERROR"]
    assert done_of(outcome, "other-S3").pairs["accepted"] == "10"
    del two.environment["SLOW_AWS_ACCESS"], two.environment["SLOW_AWS_SECRET"]
    assert done_of(two.once(), "slow-IAM").pairs["accepted"] == "10"


def test_half_of_a_tenants_pair_is_not_filled_up_with_anothers(two: Installation) -> None:
    two.environment["SLOW_LYVE_ACCESS"] = "tenant-key"
    outcome = two.once()
    assert outcome.exit_status == 2
    (line,) = outcome.lines
    assert 'source "slow": SLOW_LYVE_SECRET is missing' in line.text


# One that is in trouble neither delays nor fails the others.


@pytest.mark.parametrize("fault", ["throttled", "hung_before"])
def test_a_source_in_trouble_does_not_hold_up_another(
    two: Installation, standin: CloudWatchStandin, fault: str
) -> None:
    """The other one ships everything while nothing of the first gets through."""
    standin.control(fault_groups=[SLOW_GROUP], probabilities={fault: 1.0})
    two.configuration["batch_size"] = 10
    two.put("IAM-a.gz", gzip_lines(numbered(0, 2000)))
    two.put("S3-a.gz", gzip_lines(numbered(5000, 3000)))
    with two.start("--once") as engine:
        engine.wait_until_said("INFO Done sending 3000 logs")
        assert "source=slow-IAM" not in engine.stderr
        standin.control(probabilities={})
        if fault == "throttled":
            outcome = engine.wait()
            assert outcome.exit_status == 0
            slow = f"lyve-cloud/{BUCKET}/IAM"
            assert messages(two, SLOW_GROUP, slow) == sorted(texts(numbered(0, 2000)))
    assert sorted(two.messages()) == sorted(texts(numbered(5000, 3000)))


def test_a_source_that_hangs_before_another_begins_leaves_it_threads(
    two: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    """The other one ships everything before any of the first one's requests has come back."""
    standin.control(fault_groups=[SLOW_GROUP], probabilities={"hung_before": 1.0})
    two.configuration["batch_size"] = 10
    two.put("IAM-a.gz", gzip_lines(numbered(0, 2000)))
    two.put("S3-a.gz", gzip_lines(numbered(5000, 3000)))
    s3_proxy.hold(f"GET /{BUCKET}/S3-a.gz")
    with two.start("--once") as engine:
        assert s3_proxy.held.wait(30)

        def puts() -> int:
            return standin.calls().operations.get("PutLogEvents", 0)

        eventually(lambda: puts() >= 32, "all threads of the first", engine.process)
        s3_proxy.release()
        engine.wait_until_said("INFO Done sending 3000 logs")
        assert puts() == 32 + 300


def test_puts_under_way_of_a_source_stay_within_concurrency(
    two: Installation, standin: CloudWatchStandin
) -> None:
    two.configuration |= {"batch_size": 10, "concurrency": 4}
    standin.control(latency_ms=5)
    two.put("IAM-a.gz", gzip_lines(numbered(0, 500)))
    assert two.once().exit_status == 0
    assert standin.calls().most_at_once["PutLogEvents"] == 4
    two.put("IAM-b.gz", gzip_lines(numbered(500, 500)))
    two.put("S3-a.gz", gzip_lines(numbered(1000, 500)))
    assert two.once().exit_status == 0
    assert standin.calls().most_at_once["PutLogEvents"] <= 2 * 4


def test_a_bucket_that_is_not_there_fails_its_source_alone(two: Installation) -> None:
    sources = [{"name": "gone", "bucket_name": "no-such-bucket"}, {"name": "other"}]
    two.configuration["sources"] = sources
    two.put("S3-a.gz", gzip_lines(numbered(0, 10)))
    outcome = two.once()
    assert outcome.exit_status == 1
    (error,) = outcome.errors
    assert (error.pairs["source"], "no-such-bucket" in error.text) == ("gone-S3", True)
    assert done_of(outcome, "other-S3").pairs["accepted"] == "10"


# Many.


def test_fifty_sources_in_little_memory_and_the_smallest_first(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """Each has 20 objects and keys of its own; the last one's objects have ten times as much."""
    filler = "x" * 1400
    names = [f"tenant-{number}" for number in range(MANY)]
    installation.configuration |= {
        "sources": [{"name": name, "bucket_name": f"audit-{name}"} for name in names]
    }
    # So many checkpoints saved each 0.2 s are no one's daily work.
    del installation.configuration["settle_seconds"]
    standin.control(latency_ms=20, credentials=give_keys(installation, names))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(fill_bucket, installation, filler), names))
    try:
        installation.start("--help").wait()  # writes config.json
        command = [sys.executable, str(ENGINE), "--config", str(installation.config_path), "--once"]
        log_path = installation.directory / "many.stderr"
        usage = measured(command, installation.environment, log_path)
        said = log_path.read_text()
        assert usage.exit_status == 0, said
        assert usage.peak_bytes <= MOST_BYTES_WITH_MANY_SOURCES, usage
        done = re.findall(r"Done sending (\d+) logs .*?source=(\S+)", said)
        assert len(done) == MANY
        assert done[-1] == ("6000", f"tenant-{MANY - 1}-S3")
        assert {count for count, _ in done[:-1]} == {"600"}
    finally:
        for name in names:
            empty(installation.s3, f"audit-{name}")
            installation.s3.delete_bucket(Bucket=f"audit-{name}")


def test_fifty_backlogs_are_planned_in_little_memory() -> None:
    """Each source has 10,000 objects to ship, plans some of these, and remembers as many."""
    memory, measured_ones = MemoryShare(), 5
    with ExitStack() as stack:
        assert memory.plan_objects() == MAX_PLAN_OBJECTS
        stack.enter_context(memory.joined())
        assert memory.plan_objects() == MAX_PLAN_OBJECTS
        for _ in range(MANY - 1):
            stack.enter_context(memory.joined())
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        held = [backlog(memory) for _ in range(measured_ones)]
        taken, _ = tracemalloc.get_traced_memory()
    assert len(held) == measured_ones
    assert taken * MANY / measured_ones <= MOST_BYTES_OF_BACKLOGS


def due_objects() -> Iterator[LogObject]:
    for number in range(MAX_PLAN_OBJECTS):
        key = f"May-2024/S3-audited-bucket-2024-05-01-{number:06d}.gz"
        yield LogObject(DUE_MS + number * 8_000, key, f"{number:032x}", 1_234)


def backlog(memory: MemoryShare) -> tuple[list[Position], Ledger]:
    """Returns the plan of a source, and what it knows once all is shipped."""
    plan = [Position(one) for one in oldest(due_objects(), memory.plan_objects())]
    ledger = Ledger(Coverage(0))
    for one in due_objects():
        ledger.record_shipped(Position(one, 100, 5))
    return plan, ledger


def give_keys(installation: Installation, names: Sequence[str]) -> dict[str, str]:
    """Gives each source an access of its own, and returns the keys for AWS."""
    keys = {f"AKIA{name}": f"secret-of-{name}" for name in names}
    for name, (key, secret) in zip(names, keys.items(), strict=True):
        prefix = name.upper().replace("-", "_")
        installation.environment |= {
            f"{prefix}_LYVE_REGION": name,
            f"{prefix}_AWS_ACCESS": key,
            f"{prefix}_AWS_SECRET": secret,
        }
    return keys


def fill_bucket(installation: Installation, filler: str, name: str) -> None:
    bucket = f"audit-{name}"
    installation.s3.create_bucket(Bucket=bucket)
    count = 300 if name == f"tenant-{MANY - 1}" else 30
    for number in range(20):
        lines = [json.dumps({"n": n, "filler": filler}).encode() for n in range(count)]
        installation.put(f"May-2024/S3-{number}.gz", gzip_lines(lines), bucket)


def test_sources_that_store_the_same_events_twice_are_told_at_the_start(
    installation: Installation,
) -> None:
    installation.configuration["sources"] = [{"name": "one"}, {"name": "two"}]
    outcome = installation.run("--plan")
    assert outcome.exit_status == 0
    (line,) = outcome.lines
    assert (line.level, line.text) == (
        "WARN",
        f'The sources "one-S3" and "two-S3" store each event twice, in the log stream '
        f"lyve-cloud/{BUCKET}/S3. Remove one of them, or give it another log_stream.",
    )
