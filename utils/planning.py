"""Decides which listed objects are shipped next, and in what order."""

import heapq
from collections.abc import Iterable

import msgspec

from utils.model import LogObject

# What keeps planning flat in memory; the rest is planned once these are shipped.
MAX_PLAN_OBJECTS = 10_000


class Survey(msgspec.Struct):
    """What one listing showed, all times in ms since 1970."""

    newest_ms: int = 0
    newest_by_folder: dict[str, int] = msgspec.field(default_factory=dict)

    def note(self, listed: LogObject) -> None:
        """Takes one listed object into account."""
        self.newest_ms = max(self.newest_ms, listed.last_modified_ms)
        newest_ms = self.newest_by_folder.get(listed.folder, 0)
        self.newest_by_folder[listed.folder] = max(newest_ms, listed.last_modified_ms)


def oldest(due: Iterable[LogObject]) -> list[LogObject]:
    """Returns the oldest `MAX_PLAN_OBJECTS` of the due objects, oldest first."""
    return heapq.nsmallest(MAX_PLAN_OBJECTS, due, key=lambda one: (one.last_modified_ms, one.key))


def is_of_type(key: str, log_type: str) -> bool:
    """Tells if the object is an audit log of the type, by the beginning of its base name.

    Args:
        key: the object's key.
        log_type: `S3`, `IAM` or `Console`.
    """
    return key.rpartition("/")[2].lower().startswith(f"{log_type.lower()}-")
