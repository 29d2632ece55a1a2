"""One fault at a time, from Lyve Cloud's side: nothing is lost, and nothing stands twice."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler
from random import Random
from threading import Event

import pytest
from botocore.exceptions import ConnectionClosedError, IncompleteReadError, ReadTimeoutError

from tests.servers.installation import Installation
from tests.world.audit_events import gzip_lines
from tests.world.audit_objects import DAY_MS, AuditObject, event, text_of, whole
from tests.world.faults import Fault, Killed, Life, client_error, each
from tests.world.in_memory import STATE_KEY, World, source_of
from tests.world.in_memory_s3 import BUCKET, OUTPUT_BUCKET, StoredObject
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of

KEY = "February-2024/S3-a.log"
WINDOW_LINES = 28
# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0
DROPPED = ConnectionClosedError(endpoint_url="https://service.invalid")
# Where coverage begins, and what is planned.
SAVES_BEFORE_THE_FIRST_PUT = 3
DENIED = client_error("AccessDenied")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr("services.shipping.shipper._GRACE_SECONDS", 0.3)


def recent(count: int, first: int = 0) -> list[str]:
    """Returns events of the last hour, a millisecond apart."""
    return [event(number, NOON_MS - HOUR_MS + number) for number in range(first, first + count)]


def plain(lines: Sequence[str], key: str = KEY) -> AuditObject:
    """Returns an object of plain text: its pieces come in one by one."""
    return AuditObject(key, text_of(lines), NOON_MS, lines)


def errors_of(world: World) -> list[str]:
    """Returns the status lines that report a failure."""
    return [line for line in world.statuses() if " ERROR " in line]


# Bodies that break, and objects that change.


@pytest.mark.parametrize(
    "fault",
    [
        DROPPED,
        ReadTimeoutError(endpoint_url="https://service.invalid"),
        IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ConnectionResetError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_body_that_breaks_is_resumed(fault: Exception) -> None:
    lines = recent(40)
    world = world_of([plain(lines)])
    life = shipped(world, source_of(), {f"read {number}": fault for number in (3, 4, 9)})
    assert life.called("get") == 4
    assert_same(world.messages(), Counter(lines))


PART_BYTES = 70_000


@pytest.mark.usefixtures("s3_proxy")
def test_a_connection_that_breaks_in_mid_body_is_resumed_where_it_broke(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over HTTP: each answer ends too early, and the next request asks for the rest alone."""
    random = Random(1)
    lines = [b'{"text": "%s"}' % random.randbytes(100).hex().encode() for _ in range(3000)]
    content = gzip_lines(lines)
    installation.put("S3-a.gz", content)
    asked: list[tuple[str | None, str | None]] = []

    def answer_in_part(handler: BaseHTTPRequestHandler, response: HTTPResponse) -> None:
        body = response.read()
        handler.send_response_only(response.status, response.reason)
        for name, value in response.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        is_object = handler.command == "GET" and "/S3-a.gz" in handler.path
        handler.wfile.write(body[:PART_BYTES] if is_object else body)
        handler.close_connection = True
        if is_object:
            asked.append((handler.headers["Range"], handler.headers["If-Match"]))

    monkeypatch.setattr("tests.servers.s3_proxy._Handler._answer", answer_in_part)
    assert installation.once().exit_status == 0
    assert sorted(installation.messages()) == sorted(line.decode() for line in lines)
    etag = installation.s3.head_object(Bucket=BUCKET, Key="S3-a.gz")["ETag"]
    starts = range(0, len(content), PART_BYTES)
    assert len(starts) > 3
    assert asked == [(f"bytes={start}-", etag) for start in starts]


def replace(world: World, lines: Sequence[str]) -> Callable[[], None]:
    """Returns what writes the object anew, and breaks its body."""

    def strike() -> None:
        world.put(KEY, text_of(lines), NOON_MS + 1000)
        raise DROPPED

    return strike


@pytest.mark.parametrize("number", [1, 4, 12])
def test_an_object_that_grows_while_it_is_read_goes_on_behind_what_was_sent(number: int) -> None:
    lines = recent(40)
    world = world_of([plain(lines[:30])])
    shipped(world, source_of(), {f"read {number}": replace(world, lines)})
    (error,) = errors_of(world)
    assert KEY in error
    assert "replaced" in error
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize("number", [1, 4, 12])
def test_an_object_that_is_replaced_while_it_is_read_is_shipped_anew(number: int) -> None:
    before, after = recent(30), recent(30, first=100)
    world = world_of([plain(before)])
    shipped(world, source_of(), {f"read {number}": replace(world, after)})
    assert len(errors_of(world)) == 1
    sent = world.messages()
    assert sent == Counter(before[: sent.total()])
    shipped(world, source_of())
    assert_same(world.messages(), sent + Counter(after))


@pytest.mark.parametrize("number", [1, 4, 12])
def test_an_object_that_is_replaced_while_it_is_read_and_put_back(number: int) -> None:
    before = recent(30)
    world = world_of([plain(before)])
    kept = world.buckets[BUCKET][KEY]
    shipped(world, source_of(), {f"read {number}": replace(world, recent(30, first=100))})
    assert "replaced" in errors_of(world)[0]
    world.buckets[BUCKET][KEY] = kept
    shipped(world, source_of())
    assert_same(world.messages(), Counter(before))


@pytest.mark.parametrize("number", [1, 4, 12])
def test_an_object_that_is_deleted_while_it_is_read_and_put_back(number: int) -> None:
    lines = recent(40)
    world = world_of([plain(lines)])
    kept = world.buckets[BUCKET][KEY]

    def delete() -> None:
        world.buckets[BUCKET].pop(KEY, None)
        raise DROPPED

    shipped(world, source_of(), {f"read {number}": delete})
    (error,) = errors_of(world)
    assert KEY in error
    assert "deleted" in error
    assert world.messages() <= Counter(lines)
    world.buckets[BUCKET][KEY] = kept
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize("point", ["put 1 done", "put 5", "save 3", "put 9 done"])
def test_an_object_that_is_gone_when_its_dead_process_is_taken_over(point: str) -> None:
    lines, others = recent(40), recent(9, first=100)
    world = world_of([plain(lines), plain(others, "February-2024/S3-b.log")])
    world.run(source_of(), {point: Killed()})
    kept = world.buckets[BUCKET].pop(KEY)
    shipped(world, source_of())
    assert_same(world.messages() - Counter(lines), Counter(others))
    world.buckets[BUCKET][KEY] = kept
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines + others))


@pytest.mark.parametrize(
    "key",
    [
        "a b/S3-a b.gz",
        "a//b/S3-a.gz",
        "//S3-a.gz",
        "100%/S3-%20%2F%.gz",
        "\u00fc\u00df/S3-\u65e5\u672c \U0001f600.gz",
        "a+b=c&d?e#f/S3-'\"<>;.gz",
        "x/S3-" + "n" * 1000 + ".gz",
    ],
)
def test_any_key(key: str) -> None:
    """In memory, because SeaweedFS makes one slash of two; each is begun, killed and recovered."""
    lines = recent(20)
    world = world_of([whole(key, NOON_MS, lines)])
    world.run(source_of(), {"put 3 done": Killed()})
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize("late_ms", [1000, HOUR_MS, DAY_MS - 1000])
def test_an_object_that_appears_up_to_a_day_behind_the_newest_is_found(late_ms: int) -> None:
    lines = recent(12)
    world = world_of([plain(lines[:6])])
    shipped(world, source_of())
    world.time.now_ms += HOUR_MS
    shipped(world, source_of())
    late = plain(lines[6:], "January-2024/S3-late.log")
    world.put(late.key, late.content, NOON_MS - late_ms)
    shipped(world, source_of())
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


# The checkpoint and the output bucket.


def cut(state: bytes) -> bytes:
    return state[: len(state) // 2]


def of_a_newer_version(state: bytes) -> bytes:
    return json.dumps({**json.loads(state), "version": 2, "more": 1}).encode()


def changed_by_hand(state: bytes) -> bytes:
    return state.replace(b'"saves":', b'"saves":1')


def of_another_source(state: bytes) -> bytes:
    document = json.loads(state)
    document["source"]["log_group"] = "another"
    return json.dumps(document).encode()


def no_text(_state: bytes) -> bytes:
    return b"\xff\x00"


def nothing(_state: bytes) -> bytes:
    return b""


@pytest.mark.parametrize(
    "change", [cut, of_a_newer_version, changed_by_hand, of_another_source, no_text, nothing]
)
@pytest.mark.parametrize("faults", [{}, {"put 5 done": Killed()}], ids=["ended", "killed"])
def test_a_checkpoint_that_can_not_be_trusted_stops_the_source(
    change: Callable[[bytes], bytes], faults: dict[str, Fault]
) -> None:
    """A start from the beginning in its place would store everything twice."""
    lines = recent(40)
    world = world_of([plain(lines)])
    world.run(source_of(), faults)
    world.put("S3-b.gz", whole("S3-b.gz", 0, recent(3, first=100)).content, NOON_MS)
    state, stored = world.output(STATE_KEY), world.messages()
    damaged = change(state)
    assert damaged != state
    world.write_state(damaged)
    life = world.run(source_of())
    assert not life.is_good
    assert (life.called("put"), life.called("save")) == (0, 0)
    assert "checkpoint" in errors_of(world)[-1]
    assert world.output(STATE_KEY) == damaged
    assert world.messages() == stored
    world.write_state(state)
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines + recent(3, first=100)))


@pytest.mark.parametrize("fault", [DENIED, client_error("InternalError"), DROPPED])
def test_a_checkpoint_that_can_not_be_read_stops_the_source(fault: Exception) -> None:
    lines = recent(9)
    world = world_of([plain(lines)])
    shipped(world, source_of())
    world.put("S3-b.gz", whole("S3-b.gz", 0, recent(3, first=100)).content, NOON_MS)
    life = world.run(source_of(), {"load 1": fault})
    assert (life.is_good, life.called("put")) == (False, 0)
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines + recent(3, first=100)))


@pytest.mark.parametrize("code", ["AccessDenied", "InsufficientStorage", "NoSuchBucket"])
@pytest.mark.parametrize("kind", ["save", "look"])
@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_an_output_bucket_that_is_full_or_forbidden_stops_shipping(
    first: int, kind: str, code: str
) -> None:
    """What goes on without a record can't be told from what was never sent."""
    lines = recent(200)
    world = world_of([plain(lines)])
    faults = each(kind, range(first, 999), client_error(code)) | {"integration-logs 1": DENIED}
    assert not world.run(source_of(), faults).is_good
    assert world.messages().total() <= first * WINDOW_LINES
    assert (world.messages().total() == 0) == (first <= SAVES_BEFORE_THE_FIRST_PUT)
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))


def test_a_quarantine_that_can_not_be_written_stops_shipping() -> None:
    lines = [*recent(30), "\udcff", *recent(30, first=100)]
    content = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    world = world_of([AuditObject(KEY, content, NOON_MS, lines)])
    assert not world.run(source_of(), {"integration-quarantine 1": DENIED}).is_good
    assert world.messages().total() < 60
    shipped(world, source_of())
    assert_same(world.messages(), Counter(recent(30) + recent(30, first=100)))
    assert len(world.keys("integration-quarantine/")) == 1


# Two daemons on one source.


def test_a_newcomer_stops_when_the_other_daemon_is_at_work() -> None:
    """It looks twice, and the checkpoint has changed in between."""
    lines = recent(200)
    world = world_of([plain(lines)])
    source = source_of(settle_seconds=0.1)
    is_saved = Event()

    def wait_for_the_other() -> None:
        is_saved.clear()
        assert is_saved.wait(DEADLINE_SECONDS)

    newcomer = Life({"load 2": wait_for_the_other})
    faults: dict[str, Fault] = {"put 20": lambda: world.iterate(newcomer, source)}
    shipped(world, source, faults | each("save", range(1, 999), is_saved.set))
    assert (newcomer.is_good, newcomer.called("load")) == (False, 2)
    assert (newcomer.called("put"), newcomer.called("save")) == (0, 0)
    (error,) = errors_of(world)
    assert "Another daemon ships this source" in error
    assert_same(world.messages(), Counter(lines))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_daemon_that_finds_another_owner_at_a_save_stops(number: int) -> None:
    lines = recent(200)
    world = world_of([plain(lines)])
    other = b'{"another": "owner"}'
    faults = {f"look {number}": lambda: world.write_state(other)}
    life = world.run(source_of(), faults)
    assert not life.is_good
    assert "Another daemon ships this source" in errors_of(world)[0]
    assert world.output(STATE_KEY) == other
    assert world.messages().total() <= number * WINDOW_LINES
    assert (world.messages().total() == 0) == (number <= SAVES_BEFORE_THE_FIRST_PUT)


def test_a_daemon_that_another_has_overtaken_before_its_first_save_sends_nothing() -> None:
    lines = recent(40)
    world = world_of([plain(lines)])
    faults = {"look 1": lambda: shipped(world, source_of())}
    life = world.run(source_of(), faults)
    assert (life.is_good, life.called("put")) == (False, 0)
    assert_same(world.messages(), Counter(lines))


def test_a_checkpoint_that_vanishes_in_mid_run_is_not_made_anew() -> None:
    """Somebody has moved it away to start anew, and is not to be overruled."""
    world = world_of([plain(recent(200))])

    def remove() -> None:
        del world.buckets[OUTPUT_BUCKET][STATE_KEY]

    life = world.run(source_of(), {"look 2": remove})
    assert not life.is_good
    assert world.keys("integration-state/") == []


def test_the_state_of_a_bucket_that_is_empty_is_kept() -> None:
    """Nothing is due, and the bucket is filled before the next iteration."""
    world = world_of([])
    shipped(world, source_of())
    lines = recent(9)
    world.buckets[BUCKET][KEY] = StoredObject(text_of(lines), NOON_MS)
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines))
