"""What the checkpoint says of shipped objects, packed small."""

import zlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from struct import Struct

import msgspec
from msgspec.structs import replace

from utils.model import LogObject
from utils.state.intervals import Interval

# Key, content, lines, hash of the last line, ms within the minute.
_ENTRY = Struct(">QIIIH")
MINUTE_MS = 60_000
ENTRY_BYTES = _ENTRY.size
# The most that a minute takes in the checkpoint beside its objects: its time of 64 bits, the name
# of its field, and what base64 fills up.
_MINUTE_DOCUMENT_BYTES = 40


class RecentMinute(msgspec.Struct):
    """The shipped objects last modified in one minute.

    What older checkpoints say besides, the range of their events' times, is not read any more.
    """

    objects: bytes = b""

    def add(self, entry: bytes) -> None:
        """Adds a shipped object.

        Args:
            entry: the packed object.
        """
        self.objects += entry

    def remove(self, key: int) -> None:
        """Takes a shipped object out.

        Args:
            key: the hash of its key.
        """
        self.objects = b"".join(
            entry for entry in _split(self.objects) if _ENTRY.unpack(entry)[0] != key
        )

    def forget(self, minute_ms: int, is_covered: Callable[[int], bool]) -> None:
        """Takes out the objects that are covered.

        Args:
            minute_ms: when the minute begins, in ms since 1970.
            is_covered: tells it by the object's `LastModified`, in ms since 1970.
        """
        self.objects = b"".join(
            entry
            for entry in _split(self.objects)
            if not is_covered(minute_ms + _ENTRY.unpack(entry)[-1])
        )


class Owed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object that was due and tried, and is not wholly shipped: as far as it is.

    `last_modified_ms` is that of the content of which its first `lines` lines are shipped.
    """

    last_modified_ms: int
    lines: int = 0
    line_hash: int = 0


class CoverageState(msgspec.Struct, forbid_unknown_fields=True):
    """What the checkpoint says of the objects that are shipped.

    `covered` are half-open ranges of `LastModified` in which everything is shipped; `recent` the
    shipped objects outside of these, by minute; `dormant` the folders in which nothing is new, with
    their newest `LastModified`; `since_ms` where coverage begins; `owed` what is due by its key,
    wherever it lies. All times in ms since 1970.
    """

    since_ms: int
    covered: list[Interval] = msgspec.field(default_factory=list)
    recent: dict[int, RecentMinute] = msgspec.field(default_factory=dict)
    dormant: dict[str, int] = msgspec.field(default_factory=dict)
    swept_ms: int | None = None
    # Left out where nothing is owed, as before version 3.
    owed: dict[str, Owed] | msgspec.UnsetType = msgspec.UNSET


def of_keys(
    state: CoverageState, is_kept: Callable[[int], bool]
) -> tuple[dict[int, RecentMinute], dict[str, Owed]]:
    """Returns the recent and the owed objects of some keys.

    Args:
        state: of all of them.
        is_kept: tells it by the hash of the key.
    """
    recent: dict[int, RecentMinute] = {}
    for minute_ms, minute in state.recent.items():
        kept = [entry for entry in _split(minute.objects) if is_kept(_ENTRY.unpack(entry)[0])]
        if kept:
            recent[minute_ms] = replace(minute, objects=b"".join(kept))
    owed = state.owed or {}
    return recent, {key: one for key, one in owed.items() if is_kept(key_hash(key))}


class Shipped(msgspec.Struct, frozen=True):
    """A recently shipped object: which content of it, how many lines, and the last one's hash."""

    last_modified_ms: int
    content: int
    lines: int
    line_hash: int


def _split(objects: bytes) -> Iterator[bytes]:
    starts = range(0, len(objects), ENTRY_BYTES)
    return (objects[start : start + ENTRY_BYTES] for start in starts)


def pack(key: int, shipped: Shipped) -> bytes:
    """Returns a shipped object in `ENTRY_BYTES` bytes.

    Args:
        key: the hash of its key.
        shipped: what is known of it.
    """
    lines = min(shipped.lines, 0xFFFFFFFF)
    within_ms = shipped.last_modified_ms % MINUTE_MS
    return _ENTRY.pack(key, shipped.content, lines, shipped.line_hash, within_ms)


def entries(state: CoverageState) -> Iterator[tuple[int, Shipped]]:
    """Yields the recently shipped objects with the hash of their key, the latest content last."""
    for minute_ms in sorted(state.recent):
        for packed in _ENTRY.iter_unpack(state.recent[minute_ms].objects):
            key, content, lines, line_hash, within_ms = packed
            yield key, Shipped(minute_ms + within_ms, content, lines, line_hash)


def recent_bytes(objects: int, minutes: int) -> int:
    """Returns the most that recently shipped objects take in the checkpoint.

    Args:
        objects: how many.
        minutes: how many they were last modified in.
    """
    return objects * ENTRY_BYTES * 4 // 3 + minutes * _MINUTE_DOCUMENT_BYTES


def newest_shipped_ms(state: CoverageState) -> int:
    """Returns the newest `LastModified` of the recently shipped objects, 0 without any."""
    return max((shipped.last_modified_ms for _, shipped in entries(state)), default=0)


def minute_of(moment_ms: int) -> int:
    """Returns when the minute of a time begins, both in ms since 1970."""
    return moment_ms // MINUTE_MS * MINUTE_MS


def key_hash(key: str) -> int:
    """Returns what stands for a key: of 25,000 keys, two share it once in 10^10 checkpoints."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")


def content_hash(listed: LogObject) -> int:
    """Returns what tells two contents of one key apart."""
    return zlib.crc32(f"{listed.etag} {listed.size_bytes}".encode())
