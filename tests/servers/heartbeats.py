"""What a running program says of itself, for the tests that wait for it."""

from collections.abc import Callable

import msgspec

from services.daemon.health import heartbeat_path
from tests.servers.installation import RunningEngine, eventually
from utils.report.health import Heartbeat


def heartbeat_of(engine: RunningEngine) -> Heartbeat | None:
    """Returns what a running engine says of itself, None before its first word."""
    path = heartbeat_path(engine.process.pid)
    return msgspec.json.decode(path.read_bytes(), type=Heartbeat) if path.exists() else None


def wait_for_heartbeat(engine: RunningEngine, condition: Callable[[Heartbeat], bool]) -> Heartbeat:
    """Returns what a running engine says of itself, once a condition holds."""
    found: list[Heartbeat] = []

    def is_found() -> bool:
        beat = heartbeat_of(engine)
        if beat is not None and condition(beat):
            found.append(beat)
        return bool(found)

    eventually(is_found, "a heartbeat", engine.process)
    return found[0]


def wait_for_hour(engine: RunningEngine, since_seconds: float, source: str | None) -> None:
    """Waits until a round hour has come since a time, and its iterations have ended.

    Args:
        engine: the daemon.
        since_seconds: by the clock that nobody sets.
        source: whose iteration counts, None for those of all.
    """

    def is_over(beat: Heartbeat) -> bool:
        has_come = beat.slot_seconds is not None and beat.slot_seconds > since_seconds
        return has_come and not (beat.working if source is None else source in beat.working)

    wait_for_heartbeat(engine, is_over)
