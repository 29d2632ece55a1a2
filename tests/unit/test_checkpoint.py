"""A checkpoint is read back as it was written, or refused with a clear error.

Whatever else it did, a source would start from the beginning or leave something out.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from struct import Struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from utils.errors import CheckpointError
from utils.model import WINDOW_OBJECTS, LogObject, Position, SourceIdentity
from utils.state.checkpoint import (
    VERSION,
    Checkpoint,
    check_identity,
    decode_checkpoint,
    encode_checkpoint,
)
from utils.state.ledger import (
    DORMANT_ROW,
    LATE_WINDOW_MS,
    MAX_DORMANT_FOLDERS,
    MAX_OWED_OBJECTS,
    RECENT_ROW,
    Coverage,
    Ledger,
    Survey,
)
from utils.state.progress import Progress

NOW_MS = 1_709_208_000_000

NAME = "output/integration-state/audit-S3.json"
ENDPOINT = "https://s3.us-west-1.lyvecloud.seagate.com"
IDENTITY = SourceIdentity("audit", "S3", "eu-central-1", "/lyve/audit", "lyve-cloud/audit/S3")

MS = st.integers(0, 2**62)
HASHES = st.integers(0, 2**32 - 1)
TEXTS = st.text(max_size=8)
POSITIONS = st.builds(
    Position,
    object=st.builds(LogObject, MS, TEXTS, TEXTS, MS),
    lines=st.integers(0, 10**9),
    line_hash=HASHES,
    uploads_ms=st.lists(MS, max_size=2).map(tuple),
    earlier_ms=st.none() | MS,
    in_doubt=st.booleans(),
)


def rows(form: Struct) -> st.SearchStrategy[bytearray]:
    row = st.binary(min_size=form.size, max_size=form.size)
    return st.lists(row, max_size=3).map(lambda some: bytearray().join(some))


COVERAGES = st.builds(
    Coverage,
    since_ms=MS,
    covered=st.lists(st.tuples(MS, MS), max_size=3),
    recent=rows(RECENT_ROW),
    dormant=rows(DORMANT_ROW),
    swept_ms=st.none() | MS,
)
CHECKPOINTS = st.builds(
    Checkpoint,
    source=st.builds(SourceIdentity, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
    owner=TEXTS,
    coverage=COVERAGES,
    running=st.booleans(),
    saves=st.integers(0, 10**9),
    upload_ms=MS,
    open=st.lists(POSITIONS, max_size=3),
)


def small() -> Checkpoint:
    """Returns a checkpoint with something of everything."""
    coverage = Coverage(NOW_MS, covered=[(1, 2)], dormant=bytearray(DORMANT_ROW.pack(4, 3)))
    ledger = Ledger(coverage)
    for number in range(3):
        ledger.record_shipped(position(number))
    return Checkpoint(IDENTITY, "owner", coverage, running=True, open=[position(9)])


def position(number: int, key: str = "March-2024/S3-") -> Position:
    listed = LogObject(NOW_MS + number * 3456, f"{key}{number}.gz", f"{number:032x}", 5 * 10**8)
    return Position(listed, number, 2**32 - 1 - number)


def changed(document: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    members = json.loads(document)
    change(members)
    return json.dumps(members).encode()


@given(checkpoint=CHECKPOINTS)
def test_a_checkpoint_is_read_as_it_was_written(checkpoint: Checkpoint) -> None:
    document = encode_checkpoint(checkpoint)
    found = decode_checkpoint(document, NAME)
    assert replace(found, checksum="") == checkpoint
    assert json.loads(document)["version"] == VERSION


def test_the_state_can_change_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that ships goes on while the one that saves makes the checksum.

    A checksum of another moment would read as a change by hand, and stop the source for good.
    """
    checkpoint = small()

    def slow_digest(content: bytes) -> object:
        checkpoint.coverage.swept_ms = len(content)
        return sha256(content)

    monkeypatch.setattr("utils.state.checkpoint.sha256", slow_digest)
    document = encode_checkpoint(checkpoint)
    monkeypatch.undo()
    decode_checkpoint(document, NAME)


def test_a_change_of_any_byte_is_noticed() -> None:
    checkpoint = small()
    document = encode_checkpoint(checkpoint)
    for place, byte in enumerate(document):
        for other in {byte ^ 1, byte ^ 0x80, ord("0"), ord(" "), ord('"')} - {byte}:
            altered = document[:place] + bytes([other]) + document[place + 1 :]
            try:
                found = decode_checkpoint(altered, NAME)
            except CheckpointError as exc:
                assert NAME in str(exc)  # noqa: PT017 - most changes raise, a few change nothing
            else:
                assert replace(found, checksum="") == checkpoint


def test_a_document_that_is_cut_off_is_refused() -> None:
    document = encode_checkpoint(small())
    for size in range(len(document)):
        with pytest.raises(CheckpointError):
            decode_checkpoint(document[:size], NAME)


@given(document=st.binary(max_size=60) | st.text('{}[]":,version01e-. ').map(str.encode))
@example(b'{"version":1,"x":' + b"[" * 100_000)
@example(b'{"version":1,"\xff":0}')
@example(b"[" * 100_000)
@example(b'{"version":1e400}')
@example(b'{"version":-1}')
def test_any_other_bytes_are_refused_with_a_hint(document: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        decode_checkpoint(document, NAME)
    assert caught.value.hint


def test_a_newer_version_is_refused_and_named() -> None:
    def make_newer(members: dict[str, object]) -> None:
        members.update(version=VERSION + 1, something_new={"a": 1})

    with pytest.raises(CheckpointError, match="newer version") as caught:
        decode_checkpoint(changed(encode_checkpoint(small()), make_newer), NAME)
    assert caught.value.detail == f"version {VERSION + 1}, this program reads {VERSION}"
    assert "or a newer one" in caught.value.hint


@pytest.mark.parametrize("place", ["", "source", "coverage"])
def test_an_unknown_field_is_refused(place: str) -> None:
    members = json.loads(encode_checkpoint(small()))
    (members[place] if place else members)["something_new"] = 1
    with pytest.raises(CheckpointError, match="unreadable"):
        decode_checkpoint(json.dumps(members).encode(), NAME)


@pytest.mark.parametrize("version", [1, VERSION])
@pytest.mark.parametrize(
    "coverage",
    [
        None,
        {},
        {"recent": {}},
        {"since_ms": 1, "recent": {"x": {}}},
        {"since_ms": 1, "recent": {"1": {"objects": "AAAA"}}},
        {"since_ms": 1, "recent": "AAAA"},
        {"since_ms": 1, "recent": []},
    ],
)
def test_a_checksum_alone_makes_no_checkpoint(version: int, coverage: object) -> None:
    members: dict[str, object] = {"version": version, "open": [], "coverage": coverage}
    content = msgspec.json.encode({**members, "checksum": ""})
    members["checksum"] = sha256(content).hexdigest()
    with pytest.raises(CheckpointError, match="unreadable"):
        decode_checkpoint(msgspec.json.encode(members), NAME)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda members: members.update(saves=77), id="a number"),
        pytest.param(lambda members: members.update(running=False), id="a flag"),
        pytest.param(lambda members: members["open"].clear(), id="a position less"),
        pytest.param(lambda members: members["coverage"]["covered"].append([5, 6]), id="a range"),
        pytest.param(lambda members: members.pop("checksum"), id="no checksum"),
        pytest.param(lambda members: members.update(checksum=""), id="an empty checksum"),
    ],
)
def test_a_change_by_hand_is_refused(change: Callable[[dict[str, object]], object]) -> None:
    with pytest.raises(CheckpointError, match="changed by hand") as caught:
        decode_checkpoint(changed(encode_checkpoint(small()), change), NAME)
    assert NAME in caught.value.hint


def test_another_layout_of_the_same_content_is_no_change() -> None:
    document = json.dumps(json.loads(encode_checkpoint(small())), indent=2).encode()
    assert replace(decode_checkpoint(document, NAME), checksum="") == small()


def test_the_largest_checkpoint_stays_below_a_megabyte() -> None:
    """All of its parts are as large as they get: nothing more can be added to one of them."""
    later_ms = NOW_MS + LATE_WINDOW_MS + 1
    survey = Survey(now_ms=later_ms, is_sweep=True)
    for number in range(MAX_DORMANT_FOLDERS):
        survey.note(position(0, f"{number}/").object)
    coverage = Coverage(0)
    ledger = Ledger(coverage)
    ledger.advance(survey, later_ms)
    assert len(coverage.dormant) == MAX_DORMANT_FOLDERS * DORMANT_ROW.size
    for number in range(MAX_OWED_OBJECTS):
        ledger.owe(position(number, 40 * "k"))
    number = 0
    while not ledger.is_full():
        ledger.record_shipped(position(number))
        number += 20
    longest = SourceIdentity(63 * "b", "Console", 63 * "r", 512 * "g", 512 * "s")
    first = Checkpoint(longest, 32 * "f", coverage, saves=10**9, upload_ms=NOW_MS)
    progress = Progress(first, ledger)
    long_key = "März-2024/" + 160 * "\x01" + 840 * "k"
    progress.plan(position(10**6 + number, long_key) for number in range(WINDOW_OBJECTS))
    document = progress.snapshot().document
    assert len(document) <= 1_000_000
    found = decode_checkpoint(document, NAME)
    assert found.coverage == coverage
    assert 0 < len(found.open) < WINDOW_OBJECTS


def test_an_object_that_did_not_fit_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.state.ledger.MAX_OWED_OBJECTS", 1)
    ledger = Ledger(Coverage(0))
    fitting, unfit = position(1), position(2)
    ledger.owe(fitting)
    ledger.owe(unfit)
    assert ledger.owed == [fitting.object.key, unfit.object.key]
    assert ledger.let_go(unfit.object.key) == 0
    assert ledger.owed == [fitting.object.key]


@pytest.mark.parametrize(("filler", "named"), [("k", 98), ("\x01", 19)])
def test_fewer_objects_are_open_where_their_keys_are_long(filler: str, named: int) -> None:
    coverage = Coverage(0)
    progress = Progress(Checkpoint(IDENTITY, "owner", coverage), Ledger(coverage))
    planned = [position(one, 1_000 * filler + "/S3-") for one in range(WINDOW_OBJECTS)]
    progress.plan(Position(one.object) for one in planned)
    snapshot = progress.snapshot()
    assert snapshot.objects_named == named
    assert len(decode_checkpoint(snapshot.document, NAME).open) == named


@pytest.mark.parametrize("field", SourceIdentity.__struct_fields__)
def test_a_checkpoint_for_something_else_is_refused(field: str) -> None:
    other = replace(IDENTITY, **{field: "another"})
    with pytest.raises(CheckpointError) as caught:
        check_identity(shipped(), other, NAME, ENDPOINT)
    setting = "AWS_REGION" if field == "aws_region" else field
    assert caught.value.detail == f"{setting} was {getattr(IDENTITY, field)!r}, is 'another'"
    assert f"Set {setting} back" in caught.value.hint


@pytest.mark.parametrize("field", SourceIdentity.__struct_fields__)
def test_a_checkpoint_behind_which_nothing_was_put_follows_the_configuration(field: str) -> None:
    other = replace(IDENTITY, **{field: "another"})
    first = Checkpoint(IDENTITY, "owner", Coverage(5), running=True, saves=3)
    assert check_identity(first, other, NAME, ENDPOINT) == replace(first, source=other)
    begun = replace(first, open=[Position(LogObject(1, "S3-a", "", 9))])
    with pytest.raises(CheckpointError):
        check_identity(begun, other, NAME, ENDPOINT)


def shipped() -> Checkpoint:
    return Checkpoint(IDENTITY, "owner", Coverage(5, covered=[(5, 9)]))


def test_a_checkpoint_for_the_same_is_accepted() -> None:
    same = msgspec.convert(msgspec.to_builtins(IDENTITY), SourceIdentity)
    assert check_identity(small(), same, NAME, ENDPOINT) == small()
