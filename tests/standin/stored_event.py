"""An event as CloudWatch holds it."""

from typing import NamedTuple


class StoredEvent(NamedTuple):
    """An event of a log stream, times in ms since 1970."""

    timestamp_ms: int
    ingestion_ms: int
    stream: str
    message: str
