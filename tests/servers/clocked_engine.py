"""The engine with a clock that stands still until a test sets it, run as a process of its own.

Two variables more than the engine's: CLOCK_FILE names a file with the time, such as
`2026-11-01T05:59:59+00:00`; while the file that EXPLOSION_FILE names is there, each iteration
raises what nobody foresaw.
"""

import datetime
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import engine
from services.shipping.forward import Forwarder
from utils.model import Start

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


def main() -> int:
    """Runs the engine; returns its exit status."""
    run = Forwarder.run

    def exploding_run(forwarder: Forwarder, start: Start) -> None:
        if Path(os.environ["EXPLOSION_FILE"]).exists():
            raise ExplosionError(os.environ["LYVE_SECRET"])
        run(forwarder, start)

    patches: list[tuple[object, str, object]] = [
        (engine, "datetime", SetTime),
        (engine, "_LOOK_SECONDS", LOOK_SECONDS),
        (Forwarder, "run", exploding_run),
    ]
    for owner, name, value in patches:
        getattr(owner, name)  # a name that is gone would be patched in vain
        setattr(owner, name, value)
    return engine.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
