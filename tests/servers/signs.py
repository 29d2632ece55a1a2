"""What a running program says of itself, for the tests that wait for it."""

from collections.abc import Callable

import msgspec

from services.daemon.health import sign_path
from tests.servers.installation import RunningEngine, eventually
from utils.report.health import Sign


def sign_of(engine: RunningEngine) -> Sign | None:
    """Returns what a running engine says of itself, None before its first word."""
    path = sign_path(engine.process.pid)
    return msgspec.json.decode(path.read_bytes(), type=Sign) if path.exists() else None


def wait_for_sign(engine: RunningEngine, condition: Callable[[Sign], bool]) -> Sign:
    """Returns what a running engine says of itself, once a condition holds."""
    found: list[Sign] = []

    def is_found() -> bool:
        sign = sign_of(engine)
        if sign is not None and condition(sign):
            found.append(sign)
        return bool(found)

    eventually(is_found, "a sign", engine.process)
    return found[0]


def wait_for_hour(engine: RunningEngine, since_seconds: float, source: str | None) -> None:
    """Waits until a round hour has come since a time, and its iterations have ended.

    Args:
        engine: the daemon.
        since_seconds: by the clock that nobody sets.
        source: whose iteration counts, None for those of all.
    """

    def is_over(sign: Sign) -> bool:
        has_come = sign.slot_seconds is not None and sign.slot_seconds > since_seconds
        return has_come and not (sign.working if source is None else source in sign.working)

    wait_for_sign(engine, is_over)
