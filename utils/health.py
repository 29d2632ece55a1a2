"""What a running program says of itself, and whether it is well by that."""

from collections.abc import Iterable

import msgspec

# The program says something at least every half minute, while it waits and while it works.
MOST_SILENCE_SECONDS = 5 * 60
# An iteration begins each round hour, of which the clock may be set by a little.
MOST_IDLE_SECONDS = 70 * 60
# The longest request with all its retries takes a small part of this.
MOST_STANDSTILL_SECONDS = 30 * 60
MOST_FAILURES = 3


class Work(msgspec.Struct, frozen=True):
    """A source under way: when it last came further, and how long it may stand still."""

    progress_seconds: float
    patience_seconds: float


class Sign(msgspec.Struct, frozen=True):
    """What a running program says of itself, times in seconds of a clock that nobody sets.

    `said_seconds` is when it said so, `idle_seconds` when its last iteration ended, or when it
    began to wait for the first; None if none is to come. `failures` is how many iterations failed
    one after the other, the last one included, and `working` has each source under way.
    """

    said_seconds: float
    idle_seconds: float | None = None
    failures: int = 0
    working: dict[str, Work] = msgspec.field(default_factory=dict)


def is_heard(sign: Sign, now_seconds: float) -> bool:
    """Tells if the program has said this lately; otherwise it has ended, or hangs."""
    return 0 <= now_seconds - sign.said_seconds <= MOST_SILENCE_SECONDS


def ailments(signs: Iterable[Sign], now_seconds: float) -> list[str]:
    """Returns what is wrong with the programs that run here; nothing if all is well.

    Args:
        signs: what each has said last.
        now_seconds: the time by the same clock.
    """
    heard = [sign for sign in signs if is_heard(sign, now_seconds)]
    if not heard:
        return [f"No program has given a sign for {MOST_SILENCE_SECONDS // 60} minutes."]
    return [ailment for sign in heard for ailment in _ailments(sign, now_seconds)]


def _ailments(sign: Sign, now_seconds: float) -> Iterable[str]:
    for source, work in sign.working.items():
        if now_seconds - work.progress_seconds > work.patience_seconds:
            minutes = int(now_seconds - work.progress_seconds) // 60
            yield f"{source} has come no further for {minutes} minutes."
    is_waiting = sign.idle_seconds is not None and not sign.working
    if is_waiting and now_seconds - (sign.idle_seconds or 0.0) > MOST_IDLE_SECONDS:
        minutes = int(now_seconds - (sign.idle_seconds or 0.0)) // 60
        yield f"No iteration has ended for {minutes} minutes."
    if sign.failures >= MOST_FAILURES:
        yield f"The last {sign.failures} iterations failed."
