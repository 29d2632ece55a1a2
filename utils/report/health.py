"""What a running program says of itself, and whether it is well by that."""

from collections.abc import Iterable, Iterator

import msgspec

# The program says something at least every half minute, while it waits and while it works.
MOST_SILENCE_SECONDS = 5 * 60
# An iteration begins in time, but the clock may be set by a little.
MOST_LATE_SECONDS = 10 * 60
# A request with all its retries takes a small part of this.
MOST_STANDSTILL_SECONDS = 30 * 60
MOST_FAILURES = 3


class Work(msgspec.Struct, frozen=True):
    """A source under way: when it came to where it is, and how long it may wait in a doubt."""

    progress_seconds: float
    settle_seconds: float


class Heartbeat(msgspec.Struct, frozen=True):
    """What a running program says of itself, times in seconds of the monotonic clock.

    `said_seconds` is when it said so. `slot_seconds` is when iterations were last due, or when it
    began to wait for the first; None if it waits for none. They are due each `every_minutes`.
    `failures` has for each source how many of its iterations in a row have failed, the last one
    that ended included, and `working` has each source under way. `unproven` are the sources of
    which nothing has succeeded yet.
    """

    said_seconds: float
    slot_seconds: float | None = None
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    working: dict[str, Work] = msgspec.field(default_factory=dict)
    unproven: list[str] = msgspec.field(default_factory=list)
    every_minutes: int = 60


def ailments(heartbeats: Iterable[Heartbeat], now_seconds: float) -> list[str]:
    """Returns what is wrong with the programs that run here, nothing if all are well.

    Args:
        heartbeats: what each has said last. One long silent has ended, or it hangs.
        now_seconds: the time by the same clock.
    """
    heard = [
        heartbeat
        for heartbeat in heartbeats
        if 0 <= now_seconds - heartbeat.said_seconds <= MOST_SILENCE_SECONDS
    ]
    if not heard:
        return [f"No sign of life for {_minutes(MOST_SILENCE_SECONDS)}."]
    return [ailment for heartbeat in heard for ailment in _ailments(heartbeat, now_seconds)]


def _ailments(heartbeat: Heartbeat, now_seconds: float) -> Iterator[str]:
    for source, work in heartbeat.working.items():
        standstill_seconds = now_seconds - work.progress_seconds
        if standstill_seconds > MOST_STANDSTILL_SECONDS + work.settle_seconds:
            yield f"{source} has come no further for {_minutes(standstill_seconds)}."
    if heartbeat.slot_seconds is not None:
        idle_seconds = now_seconds - heartbeat.slot_seconds
        if idle_seconds > heartbeat.every_minutes * 60 + MOST_LATE_SECONDS:
            yield f"No iteration has begun for {_minutes(idle_seconds)}."
    for source, failures in heartbeat.failures.items():
        if failures >= MOST_FAILURES:
            yield f"The last {failures} iterations of {source} failed."
        elif failures and source in heartbeat.unproven:
            yield f"{source} has failed since the start."


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} minutes"
