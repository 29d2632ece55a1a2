"""The engine with a clock that stands still until a test sets it, run as a process of its own.

Two variables more than the engine's: CLOCK_FILE names a file with the time, such as
`2026-11-01T05:59:59+00:00`; while the file that EXPLOSION_FILE names is there, each iteration
raises what nobody foresaw. The file `progress` beside the clock takes how far the engine is, as
`tests.servers.heartbeats.Beat` has it.
"""

import datetime
import json
import os
import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import engine
from services.daemon.health import HeartbeatFile
from services.daemon.iterations import Iterations, Starting
from services.shipping.forward import Forwarder
from utils.config.settings import Source

LOOK_SECONDS = 0.02


class ExplosionError(Exception):
    """What nobody foresaw."""


class SetTime(datetime.datetime):
    """A `datetime` whose `now` is what the file says."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        """Returns the set time, in local time where no zone is named."""
        text = Path(os.environ["CLOCK_FILE"]).read_text()
        moment = datetime.datetime.fromisoformat(text).astimezone(tz)
        return moment if tz else moment.replace(tzinfo=None)


def write_progress(progress: Mapping[str, object]) -> None:
    """Says how far the engine is, unless its folder is mounted to be read only."""
    path = Path(os.environ["CLOCK_FILE"]).with_name("progress")
    draft = path.with_suffix(".draft")
    with suppress(OSError):
        draft.write_text(json.dumps(progress))
        draft.replace(path)


def main() -> int:
    """Runs the engine; returns its exit status."""
    run = Forwarder.run

    def exploding_run(forwarder: Forwarder) -> None:
        if Path(os.environ["EXPLOSION_FILE"]).exists():
            raise ExplosionError(os.environ["LYVE_SECRET"])
        run(forwarder)

    slots: list[float] = []
    begin, skip, say = Iterations.run, Iterations.skip, HeartbeatFile.say

    def noted_begin(iterations: Iterations, sources: Sequence[Source], start: Starting) -> None:
        begin(iterations, sources, start)
        slots.append(time.monotonic())

    def noted_skip(iterations: Iterations, names: Iterable[str]) -> None:
        skip(iterations, names)
        slots.append(time.monotonic())

    def noted_say(
        health: HeartbeatFile,
        working: Mapping[str, tuple[object, float]],
        failures: Mapping[str, int],
        unproven: Collection[str],
    ) -> None:
        slot_seconds = slots[-1] if slots else None
        say(health, working, failures, unproven)
        write_progress({"slot_seconds": slot_seconds, "failures": failures, "working": [*working]})

    patches: list[tuple[object, str, object]] = [
        (engine, "datetime", SetTime),
        (engine, "_LOOK_SECONDS", LOOK_SECONDS),
        (Forwarder, "run", exploding_run),
        (Iterations, "run", noted_begin),
        (Iterations, "skip", noted_skip),
        (HeartbeatFile, "say", noted_say),
    ]
    for owner, name, value in patches:
        getattr(owner, name)  # a name that is gone would be patched in vain
        setattr(owner, name, value)
    return engine.main(sys.argv[1:])


if __name__ == "__main__":
    engine.end_process(main())
