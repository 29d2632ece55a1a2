"""The ledger: what of the bucket is shipped, and what is owed, in memory that does not grow."""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

import msgspec
from msgspec.structs import replace

from utils.config.partitions import key_hash
from utils.model import LogObject, Position
from utils.state.intervals import Interval, union
from utils.state.planning import STRETCH_OBJECTS, Survey

# An object that appears this far behind the newest one is still found.
LATE_WINDOW_MS = 24 * 60 * 60 * 1000
# Folders in which nothing is new are listed this often.
SWEEP_EVERY_MS = 24 * 60 * 60 * 1000
# What keeps the checkpoint below 1 MB, with the open objects besides.
MAX_RECENT_OBJECTS = 15_000
MAX_DORMANT_FOLDERS = 11_000
# So many more objects may be remembered before it is looked for what can be forgotten.
ADVANCE_EVERY_OBJECTS = 1_000
# What of the checkpoint is kept for objects that are owed. What does not fit stays due, because
# nothing is covered beyond it.
MAX_OWED_OBJECTS = 1_000
MAX_OWED_BYTES = 100_000


class Owed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object that was due and tried, and is not wholly shipped: as far as it is.

    `last_modified_ms` is that of the content of which its first `lines` lines are shipped. If it is
    in doubt, `uploads_ms` are the upload times at which the log stream may hold its lines. `is_cut`
    says that the line that is cut off behind these is in the quarantine.
    """

    last_modified_ms: int
    lines: int = 0
    line_hash: int = 0
    uploads_ms: tuple[int, ...] = ()
    is_cut: bool = False


class Shipped(msgspec.Struct, frozen=True):
    """A recently shipped object: which content of it, how many lines, and the last one's hash."""

    last_modified_ms: int
    content: int
    lines: int
    line_hash: int


# The hash of the key, and what is `Shipped` of it; of the folder, and its newest `LastModified`.
RECENT_ROW = Struct(">QqIII")
DORMANT_ROW = Struct(">Iq")


class Coverage(msgspec.Struct, forbid_unknown_fields=True):
    """What the checkpoint says of the objects that are shipped, and of those that are owed.

    `covered` are half-open ranges of `LastModified` in which everything is shipped; `recent` the
    shipped objects outside of these; `dormant` the folders in which nothing was new when all were
    listed, at `swept_ms`, with `swept_objects` in them; `since_ms` where it begins; `owed` what is
    due by its key, wherever it lies. All times in ms since 1970.
    """

    since_ms: int
    covered: list[Interval] = msgspec.field(default_factory=list)
    recent: bytearray = msgspec.field(default_factory=bytearray)
    dormant: bytearray = msgspec.field(default_factory=bytearray)
    swept_ms: int | None = None
    swept_objects: int = 0
    owed: dict[str, Owed] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.recent) % RECENT_ROW.size or len(self.dormant) % DORMANT_ROW.size:
            raise ValueError("a row is cut off")

    def newest_shipped_ms(self) -> int:
        """Returns the newest `LastModified` of the recently shipped objects, 0 without any."""
        return max((row[1] for row in RECENT_ROW.iter_unpack(self.recent)), default=0)

    def of_keys(self, is_kept: Callable[[int], bool]) -> "Coverage":
        """Returns what it says of some objects.

        Args:
            is_kept: tells it by the hash of the key.
        """
        recent = _Rows(RECENT_ROW, bytearray(self.recent))
        recent.keep(lambda key, *_: is_kept(key))
        return Coverage(
            self.since_ms,
            list(self.covered),
            recent.packed,
            bytearray(self.dormant),
            self.swept_ms,
            self.swept_objects,
            {key: one for key, one in self.owed.items() if is_kept(key_hash(key))},
        )


class Ledger:
    """Knows which objects are shipped, and which are owed.

    Args:
        coverage: what the checkpoint says; it is changed in place.
        prefix: what the source's keys begin with.
    """

    def __init__(self, coverage: Coverage, prefix: str = "") -> None:
        self.coverage = coverage
        self._prefix = prefix
        self._recent = _Rows(RECENT_ROW, coverage.recent)
        self._dormant = _Rows(DORMANT_ROW, coverage.dormant)
        self._most_recent = MAX_RECENT_OBJECTS + ADVANCE_EVERY_OBJECTS
        self._sweep_ms: int | None = None
        # Of what is owed and does not fit: the keys, and the oldest `LastModified`.
        self._unfit: set[str] = set()
        self._unfit_ms: int | None = None

    # What is due.

    @property
    def owed(self) -> list[str]:
        """The keys of the objects that were tried and are not wholly shipped."""
        return [*self.coverage.owed, *sorted(self._unfit)]

    def begin_at(self, since_ms: int) -> None:
        """Moves the beginning to an earlier time; a later one changes nothing.

        Args:
            since_ms: ms since 1970.
        """
        if since_ms < self.coverage.since_ms:
            self.coverage.since_ms = since_ms
            self.coverage.swept_ms = None

    def is_due(self, listed: LogObject) -> bool:
        """Tells if the object, or this content of it, is still to be shipped; not what is owed."""
        if listed.key in self.coverage.owed or listed.key in self._unfit:
            return False
        shipped = self._shipped(listed.key)
        if shipped:
            return shipped.content != _content_hash(listed)
        last_modified_ms = listed.last_modified_ms
        if last_modified_ms < self.coverage.since_ms:
            return False
        return not self._covers(last_modified_ms) or self._is_new_in_dormant(listed)

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        owed = self.coverage.owed.get(due.key)
        known = owed or self._shipped(due.key)
        if known is None:
            return Position(due)
        position = Position(due, known.lines, known.line_hash, earlier_ms=known.last_modified_ms)
        if owed is None:
            return position
        is_cut = owed.is_cut and owed.last_modified_ms == due.last_modified_ms
        return replace(position, uploads_ms=owed.uploads_ms, is_cut=is_cut)

    # What is listed.

    def is_sweep_due(self, now_ms: int) -> bool:
        """Tells if all folders are to be listed, as they are once a day.

        Args:
            now_ms: the time in ms since 1970.
        """
        swept_ms = self.coverage.swept_ms
        return swept_ms is None or not 0 <= now_ms - swept_ms < SWEEP_EVERY_MS

    def begin_sweep(self, now_ms: int) -> None:
        """Says that all folders are listed; it is over once what that shows is shipped.

        Args:
            now_ms: the time in ms since 1970.
        """
        self._sweep_ms = now_ms

    @property
    def is_sweeping(self) -> bool:
        """Tells if all folders are listed, which is to be noted."""
        return self._sweep_ms is not None

    def is_dormant(self, folder: str) -> bool:
        """Tells if nothing was new in the folder when all were listed."""
        return self._dormant.find(_folder_hash(folder)) is not None

    # What becomes of it.

    def record_shipped(self, position: Position) -> None:
        """Records an object as shipped up to the position.

        Args:
            position: behind its last line.
        """
        self.coverage.owed.pop(position.object.key, None)
        self._remember(position.as_left())

    def owe(self, position: Position) -> None:
        """Records an object that can't be shipped beyond the position now.

        Args:
            position: behind its last shipped line.
        """
        listed, left = position.object, position.as_left()
        known = self.coverage.owed
        uploads_ms = position.uploads_ms if position.in_doubt else ()
        before = known.get(listed.key)
        if before and before.uploads_ms and before.lines == left.lines:
            # Nothing more is sent of it, so the times don't grow while it stays as it is.
            uploads_ms = before.uploads_ms
        owed = Owed(listed.last_modified_ms, left.lines, left.line_hash, uploads_ms, left.is_cut)
        has_room = (
            len(known) < MAX_OWED_OBJECTS
            and len(msgspec.json.encode({**known, listed.key: owed})) <= MAX_OWED_BYTES
        )
        if listed.key in known or has_room:
            known[listed.key] = owed
            return
        self._unfit.add(listed.key)
        oldest_ms = listed.last_modified_ms if self._unfit_ms is None else self._unfit_ms
        self._unfit_ms = min(oldest_ms, listed.last_modified_ms)

    def let_go(self, key: str) -> int:
        """Forgets an object that is owed and is not there any more; returns the lines sent of it.

        If it comes back, it goes on behind these.

        Args:
            key: the object's.
        """
        self._unfit.discard(key)
        owed = self.coverage.owed.pop(key, None)
        if owed is None:
            return 0
        if owed.lines:
            gone = LogObject(owed.last_modified_ms, key, "", 0)
            self._remember(Position(gone, owed.lines, owed.line_hash))
        return owed.lines

    def is_full(self) -> bool:
        """Tells if so much is remembered that `advance` is to be called before a plan ends."""
        return len(self._recent) > self._most_recent

    def advance(self, survey: Survey, frontier_ms: int, now_ms: int) -> bool:
        """Moves on up to where everything is shipped, and forgets single objects there.

        Returns whether there were so many that late ones are found for less than a day.

        Args:
            survey: the listing that the plan was made of.
            frontier_ms: everything listed before this time is shipped, in ms since 1970.
            now_ms: when the listing began, in ms since 1970.
        """
        # An object from the future must not hide those that are written from now on.
        frontier_ms = min(frontier_ms, now_ms)
        if self._unfit_ms is not None:
            frontier_ms = min(frontier_ms, self._unfit_ms)
        self._cover_until(frontier_ms - LATE_WINDOW_MS)
        self._note_folders(survey, frontier_ms, now_ms)
        self._forget_covered(frontier_ms)
        is_crowded = self._forget_surplus(frontier_ms)
        self._most_recent = max(MAX_RECENT_OBJECTS, len(self._recent)) + ADVANCE_EVERY_OBJECTS
        return is_crowded

    def _shipped(self, key: str) -> Shipped | None:
        row = self._recent.find(key_hash(key))
        return Shipped(*row[1:]) if row else None

    def _remember(self, position: Position) -> None:
        listed = position.object
        lines = min(position.lines, 0xFFFFFFFF)
        content = _content_hash(listed)
        row = listed.last_modified_ms, content, lines, position.line_hash
        self._recent.put(key_hash(listed.key), *row)

    def _covers(self, last_modified_ms: int) -> bool:
        # Asked for each listed object: a generator takes three times as long.
        for start_ms, end_ms in self.coverage.covered:
            if start_ms <= last_modified_ms < end_ms:
                return True
        return False

    def _cover_until(self, end_ms: int) -> None:
        self.coverage.covered = union([*self.coverage.covered, (self.coverage.since_ms, end_ms)])

    def _is_new_in_dormant(self, listed: LogObject) -> bool:
        """Tells if the object's folder was not listed since, while time went on elsewhere."""
        dormant = self._dormant.find(_folder_hash(listed.folder(self._prefix)))
        return dormant is not None and listed.last_modified_ms > dormant[1]

    def _note_folders(self, survey: Survey, frontier_ms: int, now_ms: int) -> None:
        """Notes how far the folders are shipped, and at the end of a sweep which are dormant."""
        newest_by_hash: dict[int, int] = {}
        for folder, newest_ms in survey.newest_by_folder.items():
            folder_hash = _folder_hash(folder)
            # Of two folders with one hash, none is dormant while something is new in the other.
            newest_by_hash[folder_hash] = max(newest_ms, newest_by_hash.get(folder_hash, 0))
        if self._sweep_ms is not None and frontier_ms >= min(survey.newest_ms, now_ms):
            quiet_ms = frontier_ms - LATE_WINDOW_MS
            quiet = sorted(one for one in newest_by_hash.items() if one[1] < quiet_ms)
            self._dormant.fill(quiet[:MAX_DORMANT_FOLDERS])
            self.coverage.swept_ms, self._sweep_ms = self._sweep_ms, None
            self.coverage.swept_objects = survey.listed
            return
        for folder_hash, newest_ms in newest_by_hash.items():
            dormant = self._dormant.find(folder_hash)
            reach_ms = min(newest_ms, frontier_ms - 1)
            if dormant is not None and reach_ms > dormant[1]:
                self._dormant.put(folder_hash, reach_ms)

    def _forget_covered(self, frontier_ms: int) -> None:
        # Some of those at the frontier itself may still be due.
        self._recent.keep(lambda _, ms, *__: ms >= frontier_ms or not self._covers(ms))

    def _forget_surplus(self, frontier_ms: int) -> bool:
        surplus = len(self._recent) - MAX_RECENT_OBJECTS
        if surplus <= 0:
            return False
        times_ms = sorted(row[1] for row in self._recent)
        end_ms = min(times_ms[surplus - 1] + 1, frontier_ms)
        since_ms, covered = self.coverage.since_ms, self.coverage.covered
        if end_ms <= since_ms or any(start <= since_ms < end_ms <= end for start, end in covered):
            return False
        self._cover_until(end_ms)
        self._forget_covered(frontier_ms)
        return True


def places_to_list(
    ledgers: Sequence[Ledger], folders: Iterable[str], prefix: str, now_ms: int
) -> list[str | None]:
    """Begins a sweep if one is due; returns what is to be listed.

    That is prefixes, and None for what stands beside the folders. For a sweep it is everything at
    once, by far fewer pages than of thousands of folders, and so it is where more folders have
    something new than everything has pages. All ledgers of a source sweep together, and list what
    one of them asks for.

    Args:
        ledgers: of the source's partitions.
        folders: of the top level.
        prefix: what the source's keys begin with.
        now_ms: the time in ms since 1970.
    """
    if any(one.is_sweep_due(now_ms) for one in ledgers):
        for one in ledgers:
            one.begin_sweep(now_ms)
        return [prefix]
    awake = [one for one in folders if not all(by.is_dormant(one) for by in ledgers)]
    pages = max(one.coverage.swept_objects for one in ledgers) // STRETCH_OBJECTS + 1
    return [prefix] if len(awake) > pages else [None, *awake]


class _Rows:
    """Rows of numbers in the order of the first, as the bytes that stand in the checkpoint.

    A dictionary of them would take seven times as much memory.

    Args:
        form: of a row.
        packed: the rows; they are changed in place.
    """

    def __init__(self, form: Struct, packed: bytearray) -> None:
        self._form = form
        self.packed = packed
        self._keys = array("Q", (row[0] for row in self))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return self._form.iter_unpack(self.packed)

    def find(self, key: int) -> tuple[int, ...] | None:
        """Returns the row that begins with the key."""
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        return self._form.unpack_from(self.packed, place * self._form.size)

    def put(self, key: int, *values: int) -> None:
        """Puts a row in the place of the one that begins with the key."""
        place = bisect_left(self._keys, key)
        start = end = place * self._form.size
        if place < len(self._keys) and self._keys[place] == key:
            end += self._form.size
        else:
            self._keys.insert(place, key)
        self.packed[start:end] = self._form.pack(key, *values)

    def keep(self, is_kept: Callable[..., bool]) -> None:
        """Removes all other rows."""
        kept = [row for row in self if is_kept(*row)]
        if len(kept) < len(self):
            self.fill(kept)

    def fill(self, rows: Iterable[tuple[int, ...]]) -> None:
        """Puts rows in the place of all; they are in their order."""
        self.packed[:] = b"".join(self._form.pack(*row) for row in rows)
        self._keys = array("Q", (row[0] for row in self))


def carried_over(coverage: dict[str, Any]) -> dict[str, Any]:
    """Returns what an older version says in the form of this one.

    That one kept shipped objects by the minute of their `LastModified`, and folders by their names.
    """
    entry = Struct(">QIIIH")
    # Of two contents of one key the latest counts.
    recent: dict[int, tuple[int, ...]] = {}
    for minute_ms, minute in sorted((int(ms), one) for ms, one in coverage["recent"].items()):
        objects = msgspec.convert(minute.get("objects", ""), bytes)
        for key, content, lines, line_hash, within_ms in entry.iter_unpack(objects):
            recent[key] = minute_ms + within_ms, content, lines, line_hash
    dormant = {_folder_hash(folder): ms for folder, ms in coverage.get("dormant", {}).items()}
    rows = _Rows(RECENT_ROW, bytearray()), _Rows(DORMANT_ROW, bytearray())
    rows[0].fill((key, *row) for key, row in sorted(recent.items()))
    rows[1].fill(sorted(dormant.items()))
    return {**coverage, "recent": rows[0].packed, "dormant": rows[1].packed}


def _folder_hash(folder: str) -> int:
    """Returns a folder's hash: another with the same one is listed as seldom, and loses no object.

    Two in a million other folders share one with any of 10,000 dormant folders.
    """
    return zlib.crc32(folder.encode())


def _content_hash(listed: LogObject) -> int:
    """Returns what tells two contents of one key apart."""
    return zlib.crc32(f"{listed.etag} {listed.size_bytes}".encode())
