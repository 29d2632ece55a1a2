"""The instants at which a process is killed, told by what the servers and the process say."""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from subprocess import TimeoutExpired
from typing import NamedTuple

from tests.servers.installation import RunningEngine, eventually
from tests.standin.cloudwatch_process import CloudWatchStandin

RECOVERY = "An iteration was not finished"
_LONGEST_DELAY_SECONDS = 0.05
_START_SECONDS = 1.5
_MOST_PUTS = 9


class Instant(NamedTuple):
    """So long after something is seen."""

    is_near: Callable[[], bool]
    delay_seconds: float


class Watch:
    """Waits for an instant in the life of a process.

    Args:
        standin: counts the calls.
        engine: the process, which was started just now.
    """

    def __init__(self, standin: CloudWatchStandin, engine: RunningEngine) -> None:
        self._standin = standin
        self._engine = engine
        self._calls = standin.calls().operations

    def wait(self, random: Random, settle_seconds: float) -> bool:
        """Waits for a random instant; returns if the process has lived to see it.

        Args:
            random: chooses the instant.
            settle_seconds: how long the process waits before it takes over.
        """
        instant = self._instant(random, settle_seconds)
        eventually(lambda: self._has_ended() or instant.is_near(), "the instant of a kill")
        with suppress(TimeoutExpired):
            self._engine.process.wait(instant.delay_seconds)
        return not self._has_ended()

    def occasion(self) -> str:
        """Returns what the process was about."""
        if self._called("PutLogEvents", 1):
            return "while it ships"
        return "while it recovers" if RECOVERY in self._engine.stderr else "before its first put"

    def _instant(self, random: Random, settle_seconds: float) -> Instant:
        puts = random.randint(1, _MOST_PUTS)
        soon = random.uniform(0, _LONGEST_DELAY_SECONDS)
        in_the_wait = random.uniform(0, settle_seconds + 1)
        kinds = {
            "put": Instant(lambda: self._called("PutLogEvents", puts), soon),
            "wait": Instant(lambda: self._takes_over_or_puts(puts), in_the_wait),
            "look back": Instant(lambda: self._looks_back_or_puts(puts), soon),
            "start": Instant(lambda: True, random.uniform(0, _START_SECONDS)),
        }
        return kinds[random.choices([*kinds], [6, 2, 2, 2])[0]]

    def _takes_over_or_puts(self, puts: int) -> bool:
        return RECOVERY in self._engine.stderr or self._called("PutLogEvents", puts)

    def _looks_back_or_puts(self, puts: int) -> bool:
        return self._called("GetLogEvents", 1) or self._called("PutLogEvents", 2 * puts)

    def _called(self, operation: str, count: int) -> bool:
        """Tells if the process has made so many calls."""
        calls = self._standin.calls().operations
        return calls.get(operation, 0) - self._calls.get(operation, 0) >= count

    def _has_ended(self) -> bool:
        return self._engine.process.poll() is not None
