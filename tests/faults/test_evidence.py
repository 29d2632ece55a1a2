"""No single answer of the store is proof: not that a checkpoint is gone, nor that an object is."""

from collections import Counter
from collections.abc import Callable

import pytest

from services.aws.clients import s3_client
from services.output.checkpoints import CheckpointStore
from tests.standin.fake_server import FakeServer, Reply
from tests.unit.test_get_client import access_to
from tests.world.audit_objects import AuditObject, event, packed
from tests.world.faults import client_error, each
from tests.world.in_memory import STATE_KEY, World, source_of
from tests.world.in_memory_s3 import OUTPUT_BUCKET, MemoryAsked, MemoryBody, MemoryS3
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of
from utils.errors import OwnerError
from utils.model import LogObject

KEY = "February-2024/S3-a.gz"
OTHER_KEY = "February-2024/S3-b.gz"
LATEST_KEY = "integration-logs/latest-audit-logs-S3.json"
MISSING = client_error("NoSuchKey")
GONE = client_error("404")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    take_small_steps(monkeypatch)
    monkeypatch.setattr("services.threads.backoff._FIRST_PAUSE_SECONDS", 0.0)


def recent(count: int, first: int = 0) -> list[str]:
    """Returns events of the last hour, a millisecond apart."""
    return [event(number, NOON_MS - HOUR_MS + number) for number in range(first, first + count)]


def zipped(key: str, lines: list[str]) -> AuditObject:
    return AuditObject(key, packed(lines), NOON_MS, lines)


LINES, OTHERS = recent(20), recent(9, first=100)


def two_objects() -> World:
    return world_of([zipped(KEY, LINES), zipped(OTHER_KEY, OTHERS)])


# The checkpoint.


def test_a_checkpoint_that_is_not_found_once_is_not_gone() -> None:
    """A start from the beginning would store everything twice."""
    world = two_objects()
    shipped(world, source_of())
    shipped(world, source_of(), {"load 1": MISSING})
    assert_same(world.messages(), Counter(LINES + OTHERS))


def test_a_checkpoint_that_is_listed_and_not_found_is_an_error() -> None:
    world = two_objects()
    shipped(world, source_of())
    life = world.run(source_of(), each("load", range(1, 99), MISSING))
    assert (life.is_good, life.called("put"), life.called("save")) == (False, 0, 0)
    assert "Can't read the checkpoint" in world.statuses()[-1]
    assert "put back the object's last version" in world.statuses()[-1]


def test_a_checkpoint_that_is_gone_while_the_last_status_says_what_was_shipped() -> None:
    world = two_objects()
    shipped(world, source_of())
    state = world.buckets[OUTPUT_BUCKET].pop(STATE_KEY)
    life = world.run(source_of())
    assert (life.is_good, life.called("put"), life.called("save")) == (False, 0, 0)
    line = world.statuses()[-1]
    assert f"{STATE_KEY} is gone, but {OUTPUT_BUCKET}/{LATEST_KEY} says" in line
    world.buckets[OUTPUT_BUCKET][STATE_KEY] = state
    shipped(world, source_of())
    assert_same(world.messages(), Counter(LINES + OTHERS))


def test_who_moves_both_away_starts_anew() -> None:
    world = two_objects()
    shipped(world, source_of())
    for key in (STATE_KEY, LATEST_KEY):
        del world.buckets[OUTPUT_BUCKET][key]
    shipped(world, source_of())
    assert_same(world.messages(), Counter(2 * (LINES + OTHERS)))


def test_a_source_that_has_shipped_nothing_starts_anew() -> None:
    world = world_of([])
    shipped(world, source_of())
    del world.buckets[OUTPUT_BUCKET][STATE_KEY]
    shipped(world, source_of())


@pytest.mark.parametrize("numbers", [range(1, 2), range(2, 3), range(3, 4), range(1, 99)], ids=str)
def test_a_checkpoint_that_is_not_found_before_a_save_is_not_gone(numbers: range) -> None:
    """What HEAD does not show, GET does."""
    world = two_objects()
    shipped(world, source_of(), each("look", numbers, GONE))
    assert_same(world.messages(), Counter(LINES + OTHERS))


class Store:
    """One checkpoint over HTTP, with the ETags that a test wants.

    Args:
        of_put: the ETag in an answer to PUT, "" for none.
        of_look: the one in an answer to HEAD and GET.
    """

    def __init__(self, of_put: str = "", of_look: str = "") -> None:
        self._etags = {"PUT": of_put, "HEAD": of_look, "GET": of_look}
        self.body: bytes | None = None
        self.asked: list[str] = []

    def answer(self, method: str, path: str) -> Reply:
        self.asked.append(f"{method} {path.partition('?')[0]}")
        if "list-type" in path:
            return Reply(
                200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            )
        if method == "PUT":
            self.body = b"stored"
        if self.body is None:
            return Reply(404)
        etag = self._etags[method]
        return Reply(200, self.body if method == "GET" else b"", {"ETag": etag} if etag else {})


@pytest.mark.parametrize(
    ("of_put", "of_look"),
    [
        ('"a"', '"a"'),
        ('"a"', "a"),
        ('"a"', 'W/"a"'),
        ("", '"a"'),
        ('"a"', ""),
        ("", ""),
        ('"a"', '"another form"'),
    ],
)
def test_a_checkpoint_is_its_own_whatever_the_store_does_with_etags(
    of_put: str, of_look: str
) -> None:
    """Else it takes itself for another daemon, or ends in an unexpected error."""
    state = Store(of_put, of_look)
    with FakeServer(state.answer) as server:
        store = CheckpointStore(s3_client(access_to(server), 1), "output", "audit-S3")
        assert store.load() is None
        for _ in range(3):
            store.save(b"stored")
        assert state.body == b"stored"


@pytest.mark.parametrize(("of_put", "of_look"), [("", ""), ('"a"', '"b"'), ("", '"a"')])
def test_another_checkpoint_is_seen_without_an_etag_to_compare(of_put: str, of_look: str) -> None:
    state = Store(of_put, of_look)
    with FakeServer(state.answer) as server:
        store = CheckpointStore(s3_client(access_to(server), 1), "output", "audit-S3")
        assert store.load() is None
        store.save(b"stored")
        state.body = b"of another"
        with pytest.raises(OwnerError):
            store.save(b"stored")
        assert state.body == b"of another"


# Objects.


def test_an_object_that_is_not_found_once_is_shipped() -> None:
    world = two_objects()
    shipped(world, source_of(), {"get 1": MISSING, "get 3": client_error("PreconditionFailed")})
    assert_same(world.messages(), Counter(LINES + OTHERS))


def turning(monkeypatch: pytest.MonkeyPatch, times: int, change: Callable[[bytes], bytes]) -> None:
    """Changes the bytes of an object on their way, the first times that it is read."""
    ask, left = MemoryS3.ask, iter(range(times))

    def turned(self: MemoryS3, log_object: LogObject, offset: int) -> MemoryAsked:
        asked = ask(self, log_object, offset)
        if log_object.key != KEY or next(left, None) is None:
            return asked
        part = asked.body()
        assert isinstance(part.body, MemoryBody)
        content = change(part.body.read())
        return MemoryAsked(part._replace(body=MemoryBody(content, self._line.life)))

    monkeypatch.setattr(MemoryS3, "ask", turned)


def turned_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def of_html(content: bytes) -> bytes:
    return b"<html>".ljust(len(content), b" ")


@pytest.mark.parametrize("verified_bytes", [0, 10**6])
@pytest.mark.parametrize("change", [turned_byte, of_html])
def test_what_was_wrong_on_its_way_is_not_booked_as_damaged(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes], verified_bytes: int
) -> None:
    """The other object is shipped, and this one is whole in the next iteration."""
    monkeypatch.setattr("services.reading.object_reader.VERIFIED_BYTES", verified_bytes)
    turning(monkeypatch, 1, change)
    world = two_objects()
    world.run(source_of())
    assert not [line for line in world.statuses() if "ends early" in line]
    shipped(world, source_of())
    if verified_bytes:
        assert_same(world.messages(), Counter(LINES + OTHERS))
    else:  # what came before the wrong byte was sent as it came
        assert world.messages() >= Counter(LINES + OTHERS)


def test_damage_that_two_looks_agree_on_is_told() -> None:
    cut = packed(LINES)[:-20]
    world = world_of([AuditObject(KEY, cut, NOON_MS, [])])
    world.run(source_of())
    assert [line for line in world.statuses() if "ends early: its gzip data is truncated" in line]
