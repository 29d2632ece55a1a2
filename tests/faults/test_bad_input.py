"""Damaged objects and lines that CloudWatch can't take: a clear error, and nothing else is lost."""

import base64
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from tests.servers.installation import Installation, Outcome
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

KEY = "May-2024/S3-media-2024-05-01-00-00-00.gz"
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LONGEST_MESSAGE_BYTES = 1_048_576 - 26


def numbered(first: int, count: int) -> list[bytes]:
    """Returns events with a number and a text that gzip can't shorten much."""
    rng = random.Random(first)
    return [
        b'{"number": %d, "noise": "%s"}' % (number, rng.randbytes(60).hex().encode())
        for number in range(first, first + count)
    ]


def texts(lines: Iterable[bytes]) -> Counter[str]:
    """Returns the lines as messages."""
    return Counter(line.decode() for line in lines)


def good_lines(packed: bytes) -> list[bytes]:
    """Returns the whole lines that gzip data of one member gives before it breaks off."""
    unpacker = zlib.decompressobj(31)
    content = b""
    for at in range(len(packed)):
        try:
            content += unpacker.decompress(packed[at : at + 1])
        except zlib.error:
            break
    return content.split(b"\n")[:-1]


def flipped(packed: bytes, place: int) -> bytes:
    """Returns the data with all bits of a byte turned."""
    return packed[:place] + bytes([packed[place] ^ 0xFF]) + packed[place + 1 :]


# Damaged objects.

LINES = numbered(0, 250)
PACKED = gzip_lines(LINES)
assert len(PACKED) > 10_000


class Damage(NamedTuple):
    """What an object holds in the place of `LINES`, and what is good of it."""

    body: bytes
    good: list[bytes]
    reason: str


DAMAGES = {
    "truncated": Damage(PACKED[:-5000], good_lines(PACKED[:-5000]), "truncated"),
    "truncated in its trailer": Damage(PACKED[:-3], LINES, "truncated"),
    "truncated in its header": Damage(PACKED[:5], [], "truncated"),
    "wrong checksum": Damage(flipped(PACKED, len(PACKED) - 8), LINES, "damaged"),
    "wrong length": Damage(flipped(PACKED, len(PACKED) - 1), LINES, "damaged"),
    "zeros in the middle": Damage(
        PACKED[:6000] + bytes(4000) + PACKED[10_000:], good_lines(PACKED[:6000]), "damaged"
    ),
    "junk behind": Damage(PACKED + b"junk" * 50, LINES, "something else follows"),
    "plain text behind": Damage(PACKED + b"\n".join(LINES), LINES, "something else follows"),
    "broken second member": Damage(
        gzip_lines(LINES[:200]) + gzip_lines(LINES[200:])[:20], LINES[:200], "truncated"
    ),
    "empty": Damage(b"", [], "empty"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_good_lines_of_a_damaged_object_are_shipped_and_the_rest_once_it_is_whole(
    name: str, installation: Installation
) -> None:
    """One damaged object must not keep the others back; it is owed until it is whole."""
    damage = DAMAGES[name]
    installation.put(KEY, damage.body)
    installation.put("May-2024/S3-good.gz", gzip_lines(numbered(1000, 10)))
    outcome = installation.once()
    sent = Counter(installation.messages())
    assert sent >= texts([*damage.good, *numbered(1000, 10)])
    (error,) = outcome.errors
    assert f"The object {KEY} ends early" in error.text
    assert damage.reason in error.text
    assert error.pairs["object"] == KEY
    assert balanced(outcome)
    assert outcome.done.pairs["damaged"] == "1"

    assert (outcome.done.pairs["owed"], outcome.exit_status) == ("1", 1)

    again = installation.once()
    assert len(again.errors) == 1
    assert again.done.figures("accepted", "quarantined", "owed") == {
        "accepted": 0,
        "quarantined": 0,
        "owed": 1,
    }
    assert Counter(installation.messages()) == sent

    installation.put(KEY, PACKED)
    assert installation.once().errors == []
    due = texts([*LINES, *numbered(1000, 10)])
    # Damaged bytes may decompress into other text, which nobody can tell from the log's.
    other_text = sent - due
    assert Counter(installation.messages()) - other_text == due


def balanced(outcome: Outcome) -> bool:
    """Tells if each line that was read was accepted, or quarantined, or blank."""
    figures = outcome.done.figures("read", "accepted", "quarantined", "blank")
    return figures.pop("read") == sum(figures.values())


@pytest.mark.parametrize("place", [3000, 9666, 16332])
def test_turned_bits_cost_at_most_the_lines_behind_them(
    place: int, installation: Installation
) -> None:
    """Turned bits may decompress into other text, up to the checksum at the very end."""
    damaged = flipped(PACKED, place)
    good = good_lines(PACKED[:place])
    assert len(good) > 10
    installation.put(KEY, damaged)
    outcome = installation.once()
    assert Counter(installation.messages()) >= texts(good)
    (error,) = outcome.errors
    assert f"The object {KEY} ends early" in error.text
    assert balanced(outcome)
    installation.put(KEY, PACKED)
    assert installation.once().errors == []
    sent = Counter(installation.messages())
    assert sent >= texts(LINES)
    assert {sent[line.decode()] for line in good} == {1}


def test_what_is_no_log_at_all_goes_to_quarantine_and_is_named(installation: Installation) -> None:
    """A picture, for one. Nothing of it may break a batch of good lines."""
    noise = random.Random(1).randbytes(4000)
    installation.put(KEY, b"\x89PNG\r\n\x1a\n" + noise)
    installation.put("May-2024/S3-good.gz", gzip_lines(numbered(0, 10)))
    outcome = installation.once()
    assert Counter(installation.messages()) >= texts(numbered(0, 10))
    assert int(outcome.done.pairs["quarantined"]) > 0
    assert balanced(outcome)
    assert KEY in outcome.stderr
    assert installation.once().done.text == "Done sending 0 logs"


# Lines.


class Line(NamedTuple):
    """A line and what becomes of it: shipped as it is, or the reason of its quarantine."""

    content: bytes
    reason: str = ""


def long(size: int, end: bytes = b'"}') -> bytes:
    """Returns an event of so many bytes."""
    start = b'{"x": "'
    return start + b"x" * (size - len(start) - len(end)) + end


LINE_FORMS = {
    "JSON": Line(b'{"number": 1}'),
    "not JSON": Line(b"just words"),
    "half an event": Line(b'{"auditEntry": {"time": "2026-11-'),
    "white space around": Line(b'  {"number": 2}\t'),
    "another JSON value": Line(b'"text"'),
    "a time that is none": Line(b'{"date": "yesterday", "auditEntry": 5, "ConsoleEvent": []}'),
    "escapes without UTF-8": Line(b'{"half a pair": "\\ud800"}'),
    "separators that are no line ends": Line("a\u2028b\u2029c\x85d\x0be\x0cf\rg".encode()),
    "control characters": Line(b"\0\x01\x1b[31m\x7f"),
    "all planes": Line("\u00e9 \u4e2d \U0001f600 \uffff \U0010ffff".encode()),
    "a byte order mark": Line(b'\xef\xbb\xbf{"number": 3}'),
    "nested deeply": Line(b"[" * 200_000),
    "a number too long": Line(b'{"number": ' + b"9" * 10_000 + b"}"),
    "not UTF-8": Line(b'{"name": "\xff"}', "UTF-8"),
    "UTF-8 cut off": Line("{\u4e2d".encode()[:-1], "UTF-8"),
    "surrogates in UTF-8": Line(b"\xed\xa0\x80", "UTF-8"),
    "UTF-16": Line('{"number": 4}'.encode("utf-16"), "UTF-8"),
    "as long as can be": Line(long(LONGEST_MESSAGE_BYTES)),
    "as long as can be, in wide characters": Line(
        long(LONGEST_MESSAGE_BYTES, "\u4e2d".encode() * 300_000 + b'"}')
    ),
    "a byte too long": Line(long(LONGEST_MESSAGE_BYTES + 1), str(LONGEST_MESSAGE_BYTES)),
}
BLANK = (b"", b" ", b"\t \r", b"\x0b\x0c")


def test_each_line_is_shipped_as_it_is_or_quarantined_or_blank(installation: Installation) -> None:
    """All forms stand in one object: what is bad must not harm its neighbours."""
    forms = list(LINE_FORMS.values())
    lines = [line for form in forms for line in (form.content, *BLANK)]
    installation.configuration["batch_size"] = 10_000
    installation.put(KEY, gzip_lines(lines))
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert Counter(installation.messages()) == texts(
        form.content for form in forms if not form.reason
    )
    bad = [form for form in forms if form.reason]
    assert outcome.done.figures("read", "accepted", "quarantined", "blank") == {
        "read": len(lines),
        "accepted": len(forms) - len(bad),
        "quarantined": len(bad),
        "blank": len(BLANK) * len(forms),
    }
    quarantine = installation.quarantine()
    assert len(quarantine) == len(bad)
    for form in bad:
        number = lines.index(form.content) + 1
        entry = quarantine[KEY, number]
        assert form.reason in str(entry["reason"])
        assert (entry["key"], entry["line_number"]) == (KEY, number)
        assert content_of(entry) == form.content


def test_a_line_far_too_long_is_quarantined_whole_or_up_to_a_cut_that_is_named(
    installation: Installation,
) -> None:
    """It is not held whole in memory; but what is kept of it must not look like all of it."""
    line = random.Random(1).randbytes(2_500_000).hex().encode()
    installation.put(KEY, gzip_lines([line, b"{}"]))
    assert installation.once().done.figures("accepted", "quarantined") == {
        "accepted": 1,
        "quarantined": 1,
    }
    (entry,) = installation.quarantine().values()
    kept = content_of(entry)
    assert line.startswith(kept)
    assert len(kept) > LONGEST_MESSAGE_BYTES
    assert kept == line or "cut" in str(entry["reason"])


def content_of(entry: dict[str, object]) -> bytes:
    """Returns the quarantined line's bytes."""
    if "line" in entry:
        return str(entry["line"]).encode()
    return base64.b64decode(str(entry["line_base64"]))


def test_of_a_refused_batch_only_the_bad_line_is_held_back(
    installation: Installation, standin: CloudWatchStandin
) -> None:
    """What CloudWatch refuses in whole for one event must not cost the other 99."""
    standin.control(refuse_containing="forbidden")
    lines = numbered(0, 100)
    lines[37] = b'{"forbidden": 37}'
    lines[99] = b'{"forbidden": 99}'
    installation.put(KEY, gzip_lines(lines))
    outcome = installation.once()
    assert outcome.done.figures("accepted", "quarantined") == {"accepted": 98, "quarantined": 2}
    assert Counter(installation.messages()) == texts(lines) - texts([lines[37], lines[99]])
    quarantine = installation.quarantine()
    assert set(quarantine) == {(KEY, 38), (KEY, 100)}
    entry = quarantine[KEY, 38]
    assert content_of(entry) == lines[37]
    assert "refused by CloudWatch" in str(entry["reason"])
    assert "not acceptable" in str(entry["reason"])
    assert installation.once().done.text == "Done sending 0 logs"


def test_quarantine_holds_a_line_of_any_object_once(installation: Installation) -> None:
    """Two objects may not share a place in it, whatever their keys are.

    SeaweedFS deletes an emptied folder seconds later, so no other test has an object of its name.
    """
    keys = ["S3-both.gz", "S3-both.gz/S3-b.gz", "May 2024/S3-ü+%25.gz", "S3-\u4e2d.gz"]
    for number, key in enumerate(keys):
        installation.put(key, b'{"a": %d}\n\xff%d\n' % (number, number))
    installation.once()
    quarantine = installation.quarantine()
    assert {name: content_of(entry) for name, entry in quarantine.items()} == {
        (key, 2): b"\xff%d" % number for number, key in enumerate(keys)
    }


def test_the_cut_end_of_a_truncated_object_is_kept_for_a_person_to_see(
    installation: Installation,
) -> None:
    packed = gzip_lines(LINES)[:-3000]
    installation.put(KEY, packed)
    installation.once()
    ((name, entry),) = installation.quarantine().items()
    good = good_lines(packed)
    assert name == (KEY, len(good) + 1)
    assert LINES[len(good)].startswith(content_of(entry))
    assert "truncated" in str(entry["reason"])
    assert json.dumps(entry).isascii()


def test_thousands_of_bad_lines_and_the_longest_key_are_an_object_for_each_chunk(
    installation: Installation,
) -> None:
    """75 bytes of gzip were 20,000 objects; a key of 1,016 bytes stopped its source for ever."""
    key = f"{'d' * 200}/" * 5 + "S3-" + "x" * 8
    installation.put(key, gzip_lines([b"\xff"] * 20_000))
    outcome = installation.once()
    assert outcome.exit_status == 0
    assert set(installation.quarantine()) == {(key, number) for number in range(1, 20_001)}
    names = [one for one in installation.output_keys() if one.startswith("integration-quarantine/")]
    assert len(names) < 10
