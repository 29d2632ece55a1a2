"""The ledger: what of the bucket is shipped, and what is owed, small unless too much is owed."""

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from struct import Struct

import msgspec

from utils.config.partitions import key_hash
from utils.model import DAY_MS, Interval, LogObject, Position, union

# An object that appears this far behind the newest one is still found.
LATE_WINDOW_MS = DAY_MS
# Folders in which nothing is new are listed this often.
SWEEP_EVERY_MS = DAY_MS
# What keeps the checkpoint below 1 MB, with the open objects besides.
MAX_RECENT_OBJECTS = 15_000
MAX_DORMANT_FOLDERS = 11_000
# So many more objects may be remembered before it is looked for what can be forgotten.
ADVANCE_EVERY_OBJECTS = 1_000
# What of the checkpoint is kept for objects that are owed. What does not fit stays due, because
# nothing is covered beyond it.
MAX_OWED_OBJECTS = 1_000
MAX_OWED_BYTES = 100_000

# Of a shipped object: the hash of its key, `LastModified`, the hash of its content, its lines, and
# the last one's hash. Of a folder: its hash, and the newest `LastModified` in it.
RECENT_ROW = Struct(">QqIII")
DORMANT_ROW = Struct(">Iq")


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


class Survey(msgspec.Struct):
    """What one listing showed below a prefix, all times in ms since 1970.

    It began at `now_ms`, by the store's clock; `is_sweep` if it is of all folders.
    """

    prefix: str = ""
    now_ms: int = 0
    is_sweep: bool = False
    listed: int = 0
    newest_ms: int = 0
    newest_of_type_ms: int = 0
    newest_by_folder: dict[str, int] = msgspec.field(default_factory=dict)

    def note(self, listed: LogObject) -> None:
        """Takes one listed object into account."""
        self.count(listed)
        self.newest_ms = max(self.newest_ms, listed.last_modified_ms)

    def count(self, listed: LogObject) -> None:
        """Counts an object and notes that its folder holds it, so it is found if it becomes due.

        Of one that is left out no more is noted: it does not say how far everything is shipped.
        """
        self.listed += 1
        folder = listed.folder(self.prefix)
        newest_ms = self.newest_by_folder.get(folder, 0)
        self.newest_by_folder[folder] = max(newest_ms, listed.last_modified_ms)


class Ledger:
    """Knows which objects are shipped, and which are owed.

    `newest_shipped_ms` is the newest `LastModified` that is known to be shipped, 0 without any;
    `is_crowded` says that late objects are found for less than a day, so many are new.

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
        # What is owed and does not fit, with its `LastModified`.
        self._unfit: dict[str, int] = {}
        self.newest_shipped_ms = max((row[1] for row in self._recent), default=0)
        self.is_crowded = False

    @property
    def owed(self) -> list[str]:
        """The keys of the objects that were tried and are not wholly shipped."""
        return [*self.coverage.owed, *sorted(self._unfit)]

    @property
    def unfit(self) -> int:
        """How many owed objects the checkpoint has no room for: coverage ends before them."""
        return len(self._unfit)

    def begin_at(self, since_ms: int) -> None:
        """Moves the beginning to an earlier time; a later one changes nothing."""
        if since_ms < self.coverage.since_ms:
            self.coverage.since_ms = since_ms
            self.coverage.swept_ms = None

    def is_due(self, listed: LogObject) -> bool:
        """Tells if the object, or this content of it, is still to be shipped; not what is owed."""
        if listed.key in self.coverage.owed or listed.key in self._unfit:
            return False
        row = self._recent.find(key_hash(listed.key))
        if row:
            return row[2] != _content_hash(listed)
        last_modified_ms = listed.last_modified_ms
        if last_modified_ms < self.coverage.since_ms:
            return False
        if not self._covers(last_modified_ms):
            return True
        # Its folder may not have been listed since, while time went on elsewhere.
        dormant = self._dormant.find(folder_hash(listed.folder(self._prefix)))
        return dormant is not None and last_modified_ms > dormant[1]

    def position(self, due: LogObject) -> Position:
        """Returns where shipping of the object begins: behind what is shipped of it already."""
        owed = self.coverage.owed.get(due.key)
        if owed:
            before_ms = owed.last_modified_ms
            is_cut = owed.is_cut and before_ms == due.last_modified_ms
            return Position(
                due, owed.lines, owed.line_hash, owed.uploads_ms, before_ms, is_cut=is_cut
            )
        row = self._recent.find(key_hash(due.key))
        if row:
            _, before_ms, _, lines, line_hash = row
            return Position(due, lines, line_hash, earlier_ms=before_ms)
        return Position(due)

    def is_sweep_due(self, now_ms: int) -> bool:
        """Tells if all folders are to be listed, as they are once a day.

        Args:
            now_ms: the time in ms since 1970.
        """
        swept_ms = self.coverage.swept_ms
        return swept_ms is None or not 0 <= now_ms - swept_ms < SWEEP_EVERY_MS

    def is_dormant(self, folder: str) -> bool:
        """Tells if nothing was new in the folder when all were listed."""
        return self._dormant.find(folder_hash(folder)) is not None

    def record_shipped(self, position: Position) -> None:
        """Records an object as shipped up to the position, which is behind its last line."""
        self.coverage.owed.pop(position.object.key, None)
        self._remember(position.as_left())
        self.newest_shipped_ms = max(self.newest_shipped_ms, position.object.last_modified_ms)

    def owe(self, position: Position) -> None:
        """Records an object that can't be shipped beyond the position now."""
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
        if before or has_room:
            known[listed.key] = owed
        else:
            self._unfit[listed.key] = listed.last_modified_ms

    def let_go(self, key: str) -> int:
        """Forgets an object that is owed and is not there any more; returns the lines sent of it.

        If it comes back, it goes on behind these.
        """
        self._unfit.pop(key, None)
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

    def advance(self, survey: Survey, frontier_ms: int) -> None:
        """Moves on up to where everything is shipped, and forgets single objects there.

        Args:
            survey: the listing that the plan was made of.
            frontier_ms: everything listed before this time is shipped, in ms since 1970.
        """
        # An object from the future must not hide those that are written from now on.
        frontier_ms = min(frontier_ms, survey.now_ms, *self._unfit.values())
        self._note_folders(survey, frontier_ms)
        self._cover(frontier_ms - LATE_WINDOW_MS, frontier_ms)
        surplus = len(self._recent) - MAX_RECENT_OBJECTS
        if surplus > 0:
            oldest_ms = sorted(row[1] for row in self._recent)[surplus - 1]
            before = self.coverage.covered
            self._cover(min(oldest_ms + 1, frontier_ms), frontier_ms)
            self.is_crowded |= self.coverage.covered != before
        self._most_recent = max(MAX_RECENT_OBJECTS, len(self._recent)) + ADVANCE_EVERY_OBJECTS

    def _remember(self, position: Position) -> None:
        listed = position.object
        row = listed.last_modified_ms, _content_hash(listed), min(position.lines, 0xFFFFFFFF)
        self._recent.put(key_hash(listed.key), *row, position.line_hash)

    def _covers(self, last_modified_ms: int) -> bool:
        # Asked for each listed object: a generator takes three times as long.
        for start_ms, end_ms in self.coverage.covered:
            if start_ms <= last_modified_ms < end_ms:
                return True
        return False

    def _cover(self, end_ms: int, frontier_ms: int) -> None:
        """Takes everything before the end for shipped; at the frontier some may still be due."""
        self.coverage.covered = union([*self.coverage.covered, (self.coverage.since_ms, end_ms)])
        self._recent.keep(lambda _, ms, *__: ms >= frontier_ms or not self._covers(ms))

    def _note_folders(self, survey: Survey, frontier_ms: int) -> None:
        """Notes how far the folders are shipped, and at the end of a sweep which are dormant."""
        newest_by_hash: dict[int, int] = {}
        for folder, newest_ms in survey.newest_by_folder.items():
            # Of two folders with one hash, none is dormant while something is new in the other.
            known = folder_hash(folder)
            newest_by_hash[known] = max(newest_ms, newest_by_hash.get(known, 0))
        if survey.is_sweep and frontier_ms >= min(survey.newest_ms, survey.now_ms):
            quiet_ms = frontier_ms - LATE_WINDOW_MS
            quiet = sorted(one for one in newest_by_hash.items() if one[1] < quiet_ms)
            self._dormant.fill(quiet[:MAX_DORMANT_FOLDERS])
            self.coverage.swept_ms = survey.now_ms
            self.coverage.swept_objects = survey.listed
            return
        for known, newest_ms in newest_by_hash.items():
            dormant = self._dormant.find(known)
            reach_ms = min(newest_ms, frontier_ms - 1)
            if dormant is not None and reach_ms > dormant[1]:
                self._dormant.put(known, reach_ms)


class _Rows:
    """Rows of numbers in the order of the first, as the bytes that stand in the checkpoint.

    A dictionary of them would take seven times as much memory.

    Args:
        form: of a row.
        packed: the rows; they are changed in place.
    """

    def __init__(self, form: Struct, packed: bytearray) -> None:
        self._form = form
        self._packed = packed
        self._keys = array("Q", (row[0] for row in self))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return self._form.iter_unpack(self._packed)

    def find(self, key: int) -> tuple[int, ...] | None:
        """Returns the row that begins with the key."""
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        return self._form.unpack_from(self._packed, place * self._form.size)

    def put(self, key: int, *values: int) -> None:
        """Puts a row in the place of the one that begins with the key."""
        place = bisect_left(self._keys, key)
        start = end = place * self._form.size
        if place < len(self._keys) and self._keys[place] == key:
            end += self._form.size
        else:
            self._keys.insert(place, key)
        self._packed[start:end] = self._form.pack(key, *values)

    def keep(self, is_kept: Callable[..., bool]) -> None:
        """Removes all other rows."""
        kept = [row for row in self if is_kept(*row)]
        if len(kept) < len(self):
            self.fill(kept)

    def fill(self, rows: Iterable[tuple[int, ...]]) -> None:
        """Puts rows in the place of all; they are in their order."""
        self._packed[:] = b"".join(self._form.pack(*row) for row in rows)
        self._keys = array("Q", (row[0] for row in self))


def folder_hash(folder: str) -> int:
    """Returns a folder's hash: another with the same one is listed as seldom, and loses no object.

    Two in a million other folders share one with any of 10,000 dormant folders.
    """
    return zlib.crc32(folder.encode())


def _content_hash(listed: LogObject) -> int:
    """Returns what tells two contents of one key apart."""
    return zlib.crc32(f"{listed.etag} {listed.size_bytes}".encode())
