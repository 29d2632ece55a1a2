"""How far the clocked engine is, for the tests that wait for it."""

from collections.abc import Callable

import msgspec

from services.daemon.health import heartbeat_path
from tests.servers.installation import RunningEngine, eventually


class Beat(msgspec.Struct, frozen=True):
    """How far the engine is.

    `slot_seconds` is when iterations were last due, by the monotonic clock, None if none was yet.
    `failures` has for each source how many of its iterations in a row have failed, and `working`
    has each source under way.
    """

    slot_seconds: float | None
    failures: dict[str, int]
    working: list[str]


def said_of_health(engine: RunningEngine) -> str:
    """Returns what a running engine says that is wrong with it."""
    return heartbeat_path(engine.process.pid).read_text()


def wait_for_heartbeat(engine: RunningEngine, condition: Callable[[Beat], bool]) -> Beat:
    """Returns how far a running engine is, once a condition holds.

    Args:
        engine: runs by the clock that a test sets.
        condition: that is waited for.
    """
    path = engine.directory / "progress"
    found: list[Beat] = []

    def is_found() -> bool:
        if path.exists():
            beat = msgspec.json.decode(path.read_bytes(), type=Beat)
            found.extend([beat] if condition(beat) else [])
        return bool(found)

    eventually(is_found, "a heartbeat", engine.process)
    return found[0]


def wait_for_hour(engine: RunningEngine, since_seconds: float, source: str | None) -> None:
    """Waits until a round hour has come since a time, and its iterations have ended.

    Args:
        engine: the daemon.
        since_seconds: by the monotonic clock.
        source: whose iteration counts, None for those of all.
    """

    def is_over(beat: Beat) -> bool:
        has_come = beat.slot_seconds is not None and beat.slot_seconds > since_seconds
        return has_come and not (beat.working if source is None else source in beat.working)

    wait_for_heartbeat(engine, is_over)
