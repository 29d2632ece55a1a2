"""The cost of an iteration: calls, saves, list pages and memory; no time is asserted."""

import subprocess
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from threading import Thread

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shipping.shared import MAX_PLAN_OBJECTS
from tests.bench.bench_runs import usage_of
from tests.bench.measured_process import memory_bytes
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    LOOK_SECONDS,
    OUTPUT_BUCKET,
    Installation,
    empty,
    eventually,
)
from tests.servers.listing_server import KEYS_A_PAGE, ListingServer, OldObjects, Page
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import GZIP_WINDOW, Period, audit_lines, gzip_lines, object_key
from utils.model import LogObject, Position, SourceIdentity
from utils.state.checkpoint import Checkpoint
from utils.state.ledger import RECENT_ROW, Coverage, Ledger, Survey
from utils.state.progress import Progress

MB = 1_000_000
HOUR = timedelta(hours=1)
# More than a day ago: the time that a test lets pass is still in the past.
START = datetime.now(UTC).replace(microsecond=0) - 26 * HOUR
STREAM = f"lyve-cloud/{BUCKET}/S3"
STATE = f"/{OUTPUT_BUCKET}/integration-state/"
MONTHS = 48
# The main one, of the iteration, the saver and the reading ahead, and those that open objects.
MOST_OTHER_THREADS = 10
PEAK_RUNS = 2
MOST_PEAK_BYTES = 120 * MB
# What the interpreter's allocator makes of the same work, from run to run.
NOISE_BYTES = 6 * MB
# What piles up by chance where other work takes the same cores: a quarter of what the larger
# object has more.
BUSY_BYTES = 17 * MB
MOST_CHECKPOINT_BYTES = MB
DAY_MS = 24 * 60 * 60 * 1000
MINUTE_MS = 60_000
# 1 November 2026, at midnight.
BEGIN_MS = 1_793_491_200_000


@pytest.fixture
def standin() -> Iterator[CloudWatchStandin]:
    """A stand-in that keeps no messages, in the place of the one that does."""
    with CloudWatchStandin(discard_messages=True, credentials={ACCESS_KEY: SECRET_KEY}) as running:
        yield running


@pytest.fixture
def untraced(installation: Installation) -> Installation:
    """An installation whose runs are not measured for coverage, which takes memory too."""
    for name in [name for name in installation.environment if name.startswith("COVERAGE_")]:
        del installation.environment[name]
    return installation


def lines(count: int) -> list[bytes]:
    """Returns S3 events of one hour."""
    return list(audit_lines("S3", count, Period(START - 2 * HOUR, HOUR), seed=4))


def put_lines(installed: Installation, count: int) -> None:
    """Writes one object of S3 events."""
    installed.put(object_key("S3", START), gzip_lines(lines(count)))


def threads(pid: int) -> int:
    """Returns how many threads a process has now."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("Threads:"))
    return int(line.split()[1])


# Calls.


@pytest.mark.parametrize("events", [1, 100, 101, 20_050])
def test_a_put_for_each_hundred_events_and_no_other_call_for_each(
    untraced: Installation, standin: CloudWatchStandin, events: int
) -> None:
    put_lines(untraced, events)
    assert untraced.once().exit_status == 0
    calls = standin.calls().operations
    assert calls.pop("PutLogEvents") == -(-events // 100)
    assert calls.pop("CreateLogGroup") == 1, "the installation's own"
    # A first start looks besides if the log stream is empty.
    assert 1 <= calls.pop("GetLogEvents") <= 2
    assert calls == {"CreateLogStream": 2, "DescribeLogGroups": 2}


def test_a_put_for_each_hundred_tiny_lines(
    untraced: Installation, standin: CloudWatchStandin
) -> None:
    untraced.put(object_key("S3", START), b'{"number": 1}\n' * 20_000)
    assert untraced.once().done.figures("read", "accepted") == {"read": 20_000, "accepted": 20_000}
    assert standin.calls().operations["PutLogEvents"] == 200


def test_saves_are_bounded_by_the_events(untraced: Installation, s3_proxy: S3Proxy) -> None:
    untraced.configuration["settle_seconds"] = 600
    put_lines(untraced, 30_000)
    done = untraced.once().done
    seconds = float(done.pairs["took"].removesuffix("s"))
    # Two before anything is sent, one for each 10,000 events and each 5 seconds, one in the end.
    most = 3 + 3 + int(seconds / 5)
    assert 2 <= len(s3_proxy.asked(f"PUT {STATE}")) <= most
    # When it begins, before it makes it, and once it has claimed the source.
    assert len(s3_proxy.asked(f"GET {STATE}")) == 3


def test_saves_are_bounded_by_the_objects(untraced: Installation, s3_proxy: S3Proxy) -> None:
    untraced.configuration["settle_seconds"] = 600
    for number in range(100):
        untraced.put(f"May-2024/S3-{number}", b'{"number": %d}' % number)
    done = untraced.once().done
    assert done.figures("objects") == {"objects": 100}
    seconds = float(done.pairs["took"].removesuffix("s"))
    # As before, and one for each 32 objects.
    assert 2 <= len(s3_proxy.asked(f"PUT {STATE}")) <= 3 + 100 // 32 + int(seconds / 5)


def test_an_object_is_asked_for_once(untraced: Installation, s3_proxy: S3Proxy) -> None:
    """Neither its size nor its content takes another request."""
    keys = [f"May-2024/S3-{number}" for number in range(20)]
    for number, key in enumerate(keys):
        untraced.put(key, b'{"number": %d}\n' % number * (1 if number else 20_000))
    assert untraced.once().exit_status == 0
    asked = s3_proxy.asked(f"GET /{BUCKET}/May-2024/")
    assert sorted(asked) == sorted(f"GET /{BUCKET}/{key}" for key in keys)
    assert s3_proxy.asked(f"HEAD /{BUCKET}/") == []


def test_threads_are_those_of_the_puts_and_a_few(
    untraced: Installation, standin: CloudWatchStandin
) -> None:
    standin.control(latency_ms=600, fault_operations=["PutLogEvents"])
    untraced.configuration["concurrency"] = 64
    put_lines(untraced, 20_000)
    counted = [0]
    with untraced.start("--once") as engine:
        while engine.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                engine.process.wait(LOOK_SECONDS)
            with suppress(FileNotFoundError, ValueError):
                counted.append(threads(engine.process.pid))
        assert engine.wait().exit_status == 0
    # How many are needed at once, the machine decides.
    assert 1 < max(counted) <= 64 + MOST_OTHER_THREADS


# Pages of the listing.


def months_until(last: datetime, count: int) -> Iterator[str]:
    """Yields the folders of consecutive months, the last one last."""
    for ago in reversed(range(count)):
        year, month = divmod(last.year * 12 + last.month - 1 - ago, 12)
        yield f"{datetime(year, month + 1, 1, tzinfo=UTC):%B-%Y}/"


FOLDERS = tuple(months_until(START, MONTHS))
CURRENT = FOLDERS[-1]


def old_objects(total: int) -> list[OldObjects]:
    """Returns old objects in all months, the newest of them two hours and more before the start."""
    return [
        OldObjects(folder, total // MONTHS, START - 2 * HOUR - 30 * 24 * HOUR * ago)
        for ago, folder in enumerate(reversed(FOLDERS))
    ]


Serve = Callable[..., ListingServer]


@pytest.fixture
def serve(untraced: Installation) -> Iterator[Serve]:
    """Starts a listing with so many old objects, for an installation of the mode lasthour."""
    running: list[ListingServer] = []

    def start(total: int, others: Sequence[OldObjects] = ()) -> ListingServer:
        server = ListingServer(BUCKET, [*old_objects(total), *others], START).__enter__()
        running.append(server)
        untraced.environment["LYVE_ENDPOINT"] = server.endpoint_url
        untraced.configuration["mode"] = "lasthour"
        return server

    yield start
    for server in running:
        server.__exit__(None, None, None)


def put_now(server: ListingServer, folder: str) -> None:
    """Writes an object of one event into a folder."""
    number = len(server.stored)
    server.put(f"{folder}S3-vm-backups-{number}", b'{"number": %d}' % number)


def pages_asked(installed: Installation, server: ListingServer) -> list[Page]:
    """Runs an iteration and returns the pages that it asked for."""
    server.pages.clear()
    assert installed.once().exit_status == 0
    return sorted(server.pages)


def pages_of(folders: Sequence[str], objects: int) -> list[Page]:
    """Returns the pages of folders with so many objects each, and the one of the top level."""
    offsets = range(0, objects, KEYS_A_PAGE)
    asked = [Page(folder, offset) for folder in folders for offset in offsets]
    return sorted([Page("", 0), *asked])


def all_pages(objects: int) -> list[Page]:
    """Returns the pages of a listing of everything, and the one of the top level."""
    return sorted([Page("", 0), *(Page("", offset) for offset in range(0, objects, KEYS_A_PAGE))])


def events_stored(standin: CloudWatchStandin) -> int:
    """Returns how many events the log stream holds, none of them twice."""
    digest = standin.digest(LOG_GROUP, STREAM)
    assert digest.stored == digest.distinct
    return digest.stored


def test_200_000_old_objects_are_listed_once_and_take_no_memory(
    untraced: Installation, serve: Serve
) -> None:
    few, many = 1_000 // MONTHS, 200_000 // MONTHS
    server = serve(MONTHS * few)
    put_now(server, CURRENT)
    with_few = usage_of(untraced, "daemon")
    server = serve(MONTHS * many)
    put_now(server, CURRENT)
    with_many = usage_of(untraced, "daemon")
    assert sorted(server.pages) == all_pages(MONTHS * many + 1)
    assert with_many.peak_bytes < with_few.peak_bytes + NOISE_BYTES
    server.now += HOUR
    assert pages_asked(untraced, server) == pages_of([CURRENT], many), "and no other month"


def test_an_object_in_an_old_month_is_found_by_the_daily_sweep(
    untraced: Installation, serve: Serve, standin: CloudWatchStandin
) -> None:
    server = serve(MONTHS)
    put_now(server, CURRENT)
    assert pages_asked(untraced, server) == all_pages(MONTHS)
    server.now += HOUR
    put_now(server, FOLDERS[0])
    assert pages_asked(untraced, server) == pages_of([CURRENT], 1)
    assert events_stored(standin) == 1
    server.now += 24 * HOUR
    assert pages_asked(untraced, server) == all_pages(MONTHS)
    assert events_stored(standin) == 2


def test_an_hour_with_nothing_new_lists_none_of_10_000_quiet_folders(
    untraced: Installation, serve: Serve, standin: CloudWatchStandin
) -> None:
    """No more than the pages that name them are asked for, however many are remembered."""
    folders = [OldObjects(f"tenant-{one:05d}/", 1, START - 60 * 24 * HOUR) for one in range(10_000)]
    server = serve(MONTHS, folders)
    put_now(server, CURRENT)
    names, objects = len(folders) + MONTHS, len(folders) + MONTHS + 1
    top_level = [Page("", offset) for offset in range(0, names, KEYS_A_PAGE)]
    everything = [Page("", offset) for offset in range(0, objects, KEYS_A_PAGE)]
    assert pages_asked(untraced, server) == sorted([*top_level, *everything])
    server.now += HOUR
    put_now(server, folders[5_000].folder)
    awake = sorted([*top_level, Page(CURRENT, 0)])
    assert pages_asked(untraced, server) == awake
    server.now += 24 * HOUR
    assert pages_asked(untraced, server) == sorted([*top_level, *everything])
    assert events_stored(standin) == 2


def test_thousands_of_folders_with_something_new_are_listed_at_once(
    untraced: Installation, serve: Serve
) -> None:
    server = serve(MONTHS, [OldObjects(f"tenant-{n}/", 1, START - 2 * HOUR) for n in range(3_000)])
    pages = sorted(2 * [Page("", offset) for offset in range(0, 3_000 + MONTHS, KEYS_A_PAGE)])
    for _ in range(2):
        assert pages_asked(untraced, server) == pages
        server.now += HOUR


def test_the_month_of_the_newest_object_is_listed_however_quiet_it_was(
    untraced: Installation, serve: Serve, standin: CloudWatchStandin
) -> None:
    """A first start after a quiet time must not leave the next hour's objects to the sweep."""
    server = serve(MONTHS)
    pages_asked(untraced, server)
    server.now += HOUR
    put_now(server, CURRENT)
    assert pages_asked(untraced, server) == pages_of([CURRENT], 1)
    assert events_stored(standin) == 1


# The checkpoint.


def checkpoint_of(coverage: Coverage) -> Checkpoint:
    """Returns a checkpoint of the state."""
    source = SourceIdentity(BUCKET, "S3", "us-east-1", LOG_GROUP, STREAM)
    return Checkpoint(source, "owner", coverage)


def audit_object(number: int, modified_ms: int) -> LogObject:
    """Returns an object as it is listed."""
    key = f"November-2026/S3-vm-backups-{number:08d}.gz"
    return LogObject(modified_ms, key, f"{number:032x}", 1_000)


Plans = Iterable[Sequence[LogObject]]


def checkpoint_sizes(plans: Plans, coverage: Coverage) -> Iterator[int]:
    """Ships plans and yields what the checkpoint took now and then."""
    progress = Progress(checkpoint_of(coverage), Ledger(coverage))
    for plan in plans:
        progress.survey = Survey(now_ms=plan[-1].last_modified_ms)
        for due in plan:
            progress.survey.note(due)
        progress.plan(Position(due) for due in plan)
        for number, due in enumerate(plan):
            progress.complete(Position(due, 1), 1, is_owed=False)
            if number % 500 == 0:
                yield len(progress.snapshot().document)
        yield len(progress.snapshot().document)
        progress.close_plan(plan[-1].last_modified_ms)


def plans_of(total: int, span_ms: int) -> Plans:
    """Yields plans of objects that are evenly spread over a time."""
    for first in range(0, total, MAX_PLAN_OBJECTS):
        numbers = range(first, min(total, first + MAX_PLAN_OBJECTS))
        yield [audit_object(one, BEGIN_MS + one * span_ms // total) for one in numbers]


@pytest.mark.parametrize(
    ("total", "span_ms"),
    [
        (60_000, DAY_MS),
        (60_000, MINUTE_MS),
        (40_000, 2 * DAY_MS),
        (20_000, 14 * DAY_MS),
        (10_000, 3_000 * DAY_MS),
    ],
)
def test_the_checkpoint_stays_below_a_megabyte(total: int, span_ms: int) -> None:
    """The objects of a day, of years, or those that a copy of a whole bucket dates alike."""
    sizes = checkpoint_sizes(plans_of(total, span_ms), Coverage(BEGIN_MS))
    assert max(sizes) <= MOST_CHECKPOINT_BYTES


@settings(max_examples=15)
@given(
    bursts=st.lists(
        st.tuples(st.integers(1, 6_000), st.sampled_from([0, 1, 999, MINUTE_MS, 7 * MINUTE_MS])),
        min_size=1,
        max_size=5,
    ),
    folder=st.sampled_from(["May-2024/", 900 * "\x01" + "/", 450 * "ü" + "/"]),
)
def test_the_checkpoint_stays_below_a_megabyte_however_objects_come(
    bursts: list[tuple[int, int]], folder: str
) -> None:
    """Also with keys that JSON has to escape, and the ETag of an upload in parts."""

    def plans() -> Plans:
        moment_ms, number = BEGIN_MS, 0
        for count, step_ms in bursts:
            plan = []
            for _ in range(count):
                number, moment_ms = number + 1, moment_ms + step_ms
                key = f"{folder}S3-{number:08d}"
                plan.append(LogObject(moment_ms, key, f"{number:032x}-10000", 5 * 10**12))
            yield plan

    sizes = checkpoint_sizes(plans(), Coverage(BEGIN_MS))
    assert max(sizes) <= MOST_CHECKPOINT_BYTES


def test_single_objects_are_forgotten_wherever_coverage_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Coverage that begins within a minute must not keep that minute's objects for ever."""
    monkeypatch.setattr("utils.state.ledger.MAX_RECENT_OBJECTS", 10)
    ledger = Ledger(Coverage(BEGIN_MS + MINUTE_MS // 2))
    survey = Survey()
    for number in range(100):
        shipped = audit_object(number, BEGIN_MS + MINUTE_MS // 2 + number * MINUTE_MS // 10)
        survey.note(shipped)
        ledger.record_shipped(Position(shipped, 1))
    survey.now_ms = survey.newest_ms
    advancing = Thread(target=ledger.advance, args=(survey, survey.newest_ms), daemon=True)
    advancing.start()
    advancing.join(10)
    assert not advancing.is_alive()
    assert len(ledger.coverage.recent) <= 10 * RECENT_ROW.size


# Memory.


def packed(content: bytes) -> bytes:
    """Returns gzip data."""
    pack = zlib.compressobj(1, wbits=GZIP_WINDOW)
    return pack.compress(content) + pack.flush()


def dense_lines(size: int, sign: str = "") -> bytes:
    """Returns events that gzip can't make much smaller, so that few of them are a large object."""
    rng = Random(4)
    line = b'{"auditEntry": {"time": "%s", "nonce": "%s", "sign": "' + sign.encode() + b'"}}\n'
    time = (START - HOUR).isoformat().encode()
    count = size // 1_500
    return b"".join(line % (time, b64encode(rng.randbytes(1_050))) for _ in range(count))


def peak_bytes(installed: Installation, *members: bytes) -> int:
    """Ships an object of gzip members and returns the daemon's peak memory."""
    empty(installed.s3, OUTPUT_BUCKET)
    installed.put("November-2026/S3-large.gz", b"".join(members))
    return usage_of(installed, "daemon").peak_bytes


def test_peak_memory_is_that_of_an_object_a_fifth_as_large(untraced: Installation) -> None:
    untraced.configuration["settle_seconds"] = 30
    member = packed(dense_lines(17 * MB))
    assert len(member) > 12 * MB
    small = min(peak_bytes(untraced, member) for _ in range(PEAK_RUNS))
    large = min(peak_bytes(untraced, *[member] * 5) for _ in range(PEAK_RUNS))
    assert large <= MOST_PEAK_BYTES
    # The larger object has 68 MB of lines more: were it held, or a half of it, it would show.
    assert large <= small + BUSY_BYTES


@pytest.mark.parametrize(
    "sign", ["🙂", *(pytest.param(sign, marks=pytest.mark.soak) for sign in "é€")]
)
def test_peak_memory_is_the_same_whatever_signs_lines_hold(
    untraced: Installation, sign: str
) -> None:
    """One sign can make Python hold four bytes for each of a line."""
    untraced.configuration |= {"settle_seconds": 30, "batch_size": 10_000}
    ascii_only = peak_bytes(untraced, *[packed(dense_lines(17 * MB))] * 5)
    with_sign = peak_bytes(untraced, *[packed(dense_lines(17 * MB, sign))] * 5)
    assert with_sign <= min(ascii_only + NOISE_BYTES, MOST_PEAK_BYTES)


@pytest.mark.parametrize(
    "members",
    [
        pytest.param([packed(b"x" * 100 * MB)], id="a-line-of-100-MB"),
        pytest.param([packed(b" " * 10 * MB)] * 100, id="a-line-of-1-GB-of-blanks"),
    ],
)
def test_a_huge_line_takes_no_memory(
    untraced: Installation, standin: CloudWatchStandin, members: list[bytes]
) -> None:
    before, behind = packed(b'{"number": 1}\n'), packed(b'\n{"number": 2}\n')
    peak = peak_bytes(untraced, before, *members, behind)
    assert peak <= MOST_PEAK_BYTES
    assert events_stored(standin) == 2


def test_a_gigabyte_of_line_ends_takes_no_memory(untraced: Installation) -> None:
    """It takes long to read, so this looks at the beginning only, and asks for an end."""
    untraced.put("November-2026/S3-large.gz", packed(b"\n" * 10 * MB) * 100)
    with untraced.start("--once") as engine:
        eventually(lambda: shipped_lines(untraced) > 500_000, "progress", engine.process)
        assert memory_bytes(engine.process.pid, "VmHWM") <= MOST_PEAK_BYTES
        assert engine.stop().exit_status == 0


def shipped_lines(installed: Installation) -> int:
    """Returns how far the first open object is shipped."""
    if not any(STATE.endswith(key.rpartition("/")[0] + "/") for key in installed.output_keys()):
        return 0
    checkpoint = msgspec.convert(installed.checkpoint(), Checkpoint)
    return checkpoint.open[0].lines if checkpoint.open else 0
