"""A bucket with everything that can stand in it, and what is to become of each line."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tests.world.in_memory import World
from tests.world.in_memory_time import HOUR_MS, NOON_MS

DAY_MS = 24 * HOUR_MS
REFUSED = "refused by the service"
NOT_UTF8 = b"\xff\xfe is no text"


class AuditObject(NamedTuple):
    """An object, its lines that are events, and the numbers of those that go to quarantine."""

    key: str
    content: bytes
    modified_ms: int
    messages: Sequence[str]
    quarantined: Sequence[int] = ()


def event(number: int, time_ms: int) -> str:
    """Returns an S3 audit event.

    Args:
        number: tells it from others of its time.
        time_ms: its own time, in ms since 1970.
    """
    time = datetime.fromtimestamp(time_ms // 1000, UTC)
    return (
        f'{{"auditEntry": {{"time": "{time:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z", '
        f'"requestID": "{number:08X}", "api": {{"name": "GetObject"}}}}}}'
    )


def text_of(lines: Iterable[str]) -> bytes:
    """Returns the lines, each with its end."""
    return "".join(f"{line}\n" for line in lines).encode()


def packed(lines: Iterable[str]) -> bytes:
    """Returns the lines as gzip."""
    return gzip.compress(text_of(lines), mtime=0)


def whole(key: str, modified_ms: int, lines: Sequence[str]) -> AuditObject:
    """Returns a gzip object of which each line is an event."""
    return AuditObject(key, packed(lines), modified_ms, lines)


TWIN = event(7, NOON_MS - HOUR_MS)
OLD_TWIN = event(7, NOON_MS - 30 * DAY_MS)


def everything() -> list[AuditObject]:
    """Returns the objects: some of the last hour, some of today, some of two days ago."""
    recent_ms, today_ms, before_ms = NOON_MS - HOUR_MS // 2, NOON_MS - 5 * HOUR_MS, NOON_MS
    before_ms -= 2 * DAY_MS
    return [
        _mixed("February-2024/S3-first-2024-02-29-11-30-00.gz", recent_ms, 100),
        _mixed("February-2024/a b//S3-\u00fc%20+&.gz", recent_ms, 200),
        _unpacked("plain/s3-plain.log", recent_ms + 400),
        _cut_off("February-2024/S3-cut-off.gz", recent_ms + 1000),
        AuditObject("February-2024/S3-empty.gz", b"", recent_ms + 2000, ()),
        _mixed("February-2024/S3-today.gz", today_ms, 300),
        whole("February-2024/S3-twins.gz", today_ms, [TWIN] * 11),
        whole("January-2024/S3-old-twins.gz", before_ms, [OLD_TWIN] * 11),
        *(
            whole(f"S3-{number}.gz", before_ms + number, [event(number, before_ms + number)] * 2)
            for number in range(5)
        ),
    ]


def fill(world: World, objects: Iterable[AuditObject]) -> None:
    """Writes the objects into the audit bucket, and some that are none of the source's."""
    for one in objects:
        world.put(one.key, one.content, one.modified_ms)
    others = packed([event(1, NOON_MS)])
    world.put("February-2024/IAM-2024-02-29-11-30-00.gz", others, NOON_MS - HOUR_MS // 2)
    world.put("February-2024/readme.txt", others, NOON_MS - HOUR_MS // 2)


def messages_of(objects: Iterable[AuditObject], since_ms: int) -> Counter[str]:
    """Returns how often each message is to be stored."""
    due = [one for one in objects if one.modified_ms >= since_ms]
    return Counter(message for one in due for message in one.messages)


def quarantine_of(objects: Iterable[AuditObject], since_ms: int) -> list[tuple[str, int]]:
    """Returns key and number of each line that is to be in quarantine."""
    due = [one for one in objects if one.modified_ms >= since_ms]
    return sorted((one.key, number) for one in due for number in one.quarantined)


def quarantined(world: World) -> list[tuple[str, int]]:
    """Returns key and number of each line in quarantine, however often it stands there."""
    entries = [
        json.loads(line)
        for key in world.keys("integration-quarantine/audit-logs-S3/")
        for line in world.output(key).splitlines()
    ]
    return sorted({(entry["key"], entry["line_number"]) for entry in entries})


def _mixed(key: str, modified_ms: int, seed: int) -> AuditObject:
    base_ms = modified_ms - HOUR_MS
    # Equal lines of one time in several objects are told apart by `--repair` alone.
    twin, no_json = event(seed + 9, NOON_MS - HOUR_MS), f"no JSON at all in {seed}"
    events = [
        event(seed, base_ms),
        event(seed + 1, base_ms - DAY_MS - 1),
        twin,
        event(seed + 2, NOON_MS - 20 * DAY_MS),
        OLD_TWIN,
        twin,
        no_json,
        event(seed + 3, base_ms - 5000),
        OLD_TWIN,
        event(seed + 4, NOON_MS + 5 * HOUR_MS),
        twin,
        event(seed + 5, base_ms + 7),
        no_json,
        OLD_TWIN,
        event(seed + 6, NOON_MS - 40 * DAY_MS),
    ]
    refused = event(seed, base_ms).replace("GetObject", REFUSED)
    lines = [line.encode() for line in events]
    lines[4:4] = [b"", NOT_UTF8, refused.encode(), b"  "]
    content = gzip.compress(b"\r\n".join(lines) + b"\r\n", mtime=0)
    return AuditObject(key, content, modified_ms, events, (6, 7))


def _unpacked(key: str, modified_ms: int) -> AuditObject:
    """Returns plain text without a line end behind its last line."""
    events = [event(400 + number, modified_ms - number) for number in range(4)]
    return AuditObject(key, text_of(events).removesuffix(b"\n"), modified_ms, events)


def _cut_off(key: str, modified_ms: int) -> AuditObject:
    """Returns gzip that ends in its fifth line."""
    events = [event(500 + number, modified_ms - number) for number in range(8)]
    stored = zlib.compressobj(0, wbits=31)
    content = stored.compress(text_of(events)) + stored.flush()
    cut = content.index(b"000001F8") + 4
    return AuditObject(key, content[:cut], modified_ms, events[:4], (5,))
