"""What can't be shipped now is owed: named, tried in each iteration, and no reason to stop."""

from collections import Counter
from collections.abc import Iterator
from gzip import compress

import pytest
from msgspec.json import decode

from services.reading.object_reader import ObjectReader
from tests.world.audit_objects import DAY_MS, event, quarantined, text_of
from tests.world.faults import Killed
from tests.world.in_memory import STATE_KEY, World, source_of
from tests.world.in_memory_s3 import BUCKET
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from tests.world.in_memory_trial import assert_same, shipped, take_small_steps, world_of
from utils.errors import UnreadableError
from utils.model import LogObject

BAD = "May-2024/S3-bad.gz"
GOOD = "May-2024/S3-good.gz"
LATER = "May-2024/S3-later.gz"


def lines_of(number: int) -> list[str]:
    return [event(10 * number + one, NOON_MS - HOUR_MS) for one in range(4)]


def put(world: World, key: str, number: int) -> Counter[str]:
    world.put(key, text_of(lines_of(number)), world.time.now_ms)
    return Counter(lines_of(number))


class Shut:
    """Keeps an object from being read, behind so many of its pieces."""

    def __init__(self, patch: pytest.MonkeyPatch, key: str, pieces: int = 0) -> None:
        pieces_of = ObjectReader.stream
        self.is_shut = True

        def shut(reader: ObjectReader, known: LogObject) -> Iterator[bytes]:
            for number, piece in enumerate(pieces_of(reader, known)):
                if self.is_shut and known.key == key and number == pieces:
                    raise UnreadableError(f"Can't read {key}", "AccessDenied", "Permit it")
                yield piece

        patch.setattr(ObjectReader, "stream", shut)
        patch.setattr("services.reading.object_reader.VERIFIED_BYTES", 100)


@pytest.mark.parametrize("pieces", [0, 1])
def test_an_object_that_cannot_be_read_keeps_no_other_back(
    pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of([])
    due = put(world, BAD, 1)
    world.time.now_ms += 1000
    others = put(world, GOOD, 2)
    shut = Shut(monkeypatch, BAD, pieces)
    # However long it lasts: coverage has passed the object long since.
    for _ in range(3):
        life = shipped(world, source_of())
        assert life.owed == 1
        (error,) = [line for line in world.statuses()[-2:] if " ERROR " in line]
        assert f"Can't read {BAD} (AccessDenied). Permit it." in error
        assert "owed=1" in world.statuses()[-1]
        latest = decode(world.output("integration-logs/latest-audit-logs-S3.json"))
        assert latest["counts"]["owed"] == 1
        world.time.now_ms += 2 * DAY_MS
        others += put(world, f"{LATER}{world.time.now_ms}", world.time.now_ms)
        others -= due
    shut.is_shut = False
    life = shipped(world, source_of())
    assert life.owed == 0
    assert_same(world.messages(), due + others)
    assert decode(world.output(STATE_KEY))["coverage"]["owed"] == {}


def test_what_is_not_there_any_more_is_let_go_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of([])
    put(world, BAD, 1)
    Shut(monkeypatch, BAD)
    shipped(world, source_of())
    del world.buckets[BUCKET][BAD]
    assert shipped(world, source_of()).owed == 0
    text = f"The object {BAD} is not there any more, so the rest of it is not owed."
    assert sum(text in line for line in world.statuses()) == 1
    shipped(world, source_of())
    assert sum(text in line for line in world.statuses()) == 1


def test_what_comes_back_goes_on_behind_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of([])
    put(world, BAD, 1)
    shut = Shut(monkeypatch, BAD, pieces=2)
    shipped(world, source_of())
    sent = world.messages()
    assert 0 < sent.total() < 4
    content = world.buckets[BUCKET].pop(BAD).content
    shipped(world, source_of())
    shut.is_shut = False
    world.put(BAD, content, world.time.now_ms)
    shipped(world, source_of())
    assert_same(world.messages(), Counter(lines_of(1)))


def test_what_does_not_fit_is_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.state.ledger.MAX_OWED_OBJECTS", 0)
    world = world_of([])
    due = put(world, BAD, 1)
    shut = Shut(monkeypatch, BAD)
    for number in range(2, 5):
        world.time.now_ms += 2 * DAY_MS
        due += put(world, f"{GOOD}{number}", number)
        assert shipped(world, source_of()).owed == 1
    assert number_told(world) == 3
    shut.is_shut = False
    shipped(world, source_of())
    assert number_told(world) == 3
    assert_same(world.messages(), due)


def number_told(world: World) -> int:
    """Returns how many iterations said that what is owed does not fit."""
    return sum("WARN The checkpoint has no room for 1 of the" in one for one in world.statuses())


def test_wrong_bytes_of_a_large_object_lose_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """That they were wrong shows at the end: by then lines of them are sent."""
    monkeypatch.setattr("services.reading.object_reader.VERIFIED_BYTES", 100)
    monkeypatch.setattr("utils.lines.runs.MAX_RUN_LINES", 4)
    world = world_of([])
    lines = [event(number, NOON_MS - HOUR_MS) for number in range(30)]
    world.put(BAD, text_of(lines), NOON_MS)
    pieces_of = ObjectReader.stream
    is_wrong = True

    def turned(reader: ObjectReader, known: LogObject) -> Iterator[bytes]:
        nonlocal is_wrong
        for number, piece in enumerate(pieces_of(reader, known)):
            if is_wrong and number == 1:
                is_wrong = False
                yield piece.replace(b"auditEntry", b"auditEntri")
            else:
                yield piece

    monkeypatch.setattr(ObjectReader, "stream", turned)
    assert shipped(world, source_of()).owed == 1
    assert shipped(world, source_of()).owed == 0
    sent = world.messages()
    assert not Counter(lines) - sent
    # What was wrong was not to be told from the log's own lines when it was sent.
    assert all("auditEntri" in line for line in sent - Counter(lines))


def test_what_is_sent_behind_an_object_that_can_be_read_after_a_kill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has more lines than the window, so a recovery would not look for those behind it."""
    take_small_steps(monkeypatch)
    world = world_of([])
    due = [event(number, NOON_MS - HOUR_MS) for number in range(40)]
    world.put(BAD, text_of(due), NOON_MS - 2000)
    behind = put(world, GOOD, 9)
    shut = Shut(monkeypatch, BAD)
    assert world.run(source_of(), {"put 2 done": Killed()}).is_killed
    shut.is_shut = False
    shipped(world, source_of())
    assert_same(world.messages(), Counter(due) + behind)


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_killed_object_that_cannot_be_read_for_a_while_keeps_its_upload_time(
    iterations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines may be stored at that time, so they are looked for there."""
    world = world_of([])
    due = [event(number, NOON_MS - 30 * DAY_MS) for number in range(9)]
    world.put(BAD, text_of(due), NOON_MS - 30 * DAY_MS)
    shut = Shut(monkeypatch, BAD)
    shut.is_shut = False
    assert world.run(source_of(), {"put 2 done": Killed()}).is_killed
    assert world.messages()
    shut.is_shut = True
    for number in range(1, iterations + 1):
        assert shipped(world, source_of()).owed == 1
        assert sum(f"Can't read {BAD}" in line for line in world.statuses()) == number
        world.time.now_ms += DAY_MS
    (owed,) = decode(world.output(STATE_KEY))["coverage"]["owed"].values()
    assert len(owed["uploads_ms"]) == 1
    shut.is_shut = False
    shipped(world, source_of())
    assert_same(world.messages(), Counter(due))


def test_the_line_that_is_cut_off_of_an_object_that_could_not_be_read_is_kept_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was owed before anything was known of that line."""
    world = world_of([])
    world.put(BAD, compress(text_of(lines_of(1)), mtime=0)[:-30], NOON_MS - 1000)
    shut = Shut(monkeypatch, BAD)
    shipped(world, source_of())
    shut.is_shut = False
    life = shipped(world, source_of())
    assert life.called("integration-quarantine") == 1
    assert len(quarantined(world)) == 1
    assert shipped(world, source_of()).called("integration-quarantine") == 0
    # Another content, of which one more piece is there.
    world.put(BAD, compress(text_of(lines_of(1)), mtime=0)[:-28], NOON_MS)
    assert shipped(world, source_of()).called("integration-quarantine") == 1
