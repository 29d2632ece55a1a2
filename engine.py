"""Turns arguments, signals and the time into iterations, and results into exit codes."""

import gc
import os
import signal
import sys
import time
from _thread import start_new_thread
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import NoReturn
from uuid import uuid4

from services.commands.options import read_options
from services.commands.settings import read_sources
from services.daemon.allocator import use_one_arena
from services.daemon.health import HeartbeatFile
from services.daemon.iterations import Iterations, Starting
from services.output.status import tell
from services.shipping.iteration import Iteration
from services.threads.executor import REFRESH_SECONDS, attend
from utils.config.settings import Source
from utils.config.sources import stored_twice
from utils.errors import ConfigurationError, OutputError, problems_of
from utils.model import Clock, Start, since_1970_ms

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_HOUR = timedelta(hours=1)
# The clock may jump while the daemon waits, so it looks this often.
_LOOK_SECONDS = 30.0


class Engine:
    """The process: one iteration of each source, or one at each of its minutes of the hour.

    Args:
        config_path: of the configuration document.
    """

    def __init__(self, config_path: Path) -> None:
        self._config_path = config_path
        self._owner = uuid4().hex
        self._clock = Clock(_now, time.monotonic)
        self._began_seconds = self._clock.elapsed_seconds()
        self.health = HeartbeatFile(time.monotonic)
        self.stop = Event()
        self._iterations = Iterations(self._clock, self.stop, Iteration)
        # As last read, for the time while the configuration is wrong.
        self._known: tuple[Source, ...] = ()

    def read_sources(self) -> tuple[Source, ...]:
        """Returns the sources as they are configured now.

        Raises:
            ConfigurationError: all that is wrong with it and with the environment.
        """
        self._known = read_sources(self._config_path, _now().date())
        return self._known

    def run(self, options: Namespace) -> int:
        """Does what the options ask for; returns the exit status."""
        # A command imports what only it needs: that would be a tenth of the daemon's start.
        sources, clock, stop = self._known, self._clock, self.stop
        for text in stored_twice(sources, _now().date()):
            tell(_now(), "WARN", text, {})
        hour_ago_seconds = clock.elapsed_seconds() - _HOUR.total_seconds()
        start = self._start(hour_ago_seconds)
        refresh: Callable[[], object] = self._refresh
        work: Callable[[], bool]
        is_begun = True
        if options.check:
            from services.commands.check import print_checks

            work = partial(print_checks, sources, clock, stop)
        elif options.plan:
            from services.commands.plan import print_plans

            work = partial(print_plans, sources, start, clock, stop)
        elif options.verify or options.repair:
            from services.commands.audit import Auditing

            auditing = Auditing(options, clock, stop)
            refresh = auditing.refresh
            repair = partial(auditing.repair, sources, start)
            work = repair if options.repair else partial(auditing.verify, sources)
        elif options.install_dashboards:
            from services.commands.dashboards import install_dashboards

            work = partial(install_dashboards, sources, clock)
        elif options.once:
            is_begun = self._begin(self._iterations.run, hour_ago_seconds, lambda _: True)
            work = self._iterations.join
        else:
            return self._run_daemon()
        return EXIT_OK if self._attend(work, refresh) and is_begun else EXIT_FAILED

    def run_dashboard(self, name: str) -> int:
        """Prints a dashboard for each log group; returns the exit status."""
        from services.commands.dashboards import print_dashboard

        print_dashboard(name, self.read_sources(), self._clock)
        return EXIT_OK

    def _run_daemon(self) -> int:
        """Runs an iteration of each source at its minutes until the stop; returns the status."""
        started_seconds = self._clock.elapsed_seconds()
        looked = _now()
        self._begin(self._iterations.start_up, started_seconds, lambda _: True)
        self._iterations.await_start_up()
        self._announce(looked)
        is_announced = True
        while not self.stop.is_set():
            is_working = self._refresh()
            if not (is_working or is_announced):
                self._announce(looked)
                is_announced = True
            look_seconds = REFRESH_SECONDS if is_working else _LOOK_SECONDS
            next_seconds = (self._next_slot(looked) - _now()).total_seconds()
            self.stop.wait(min(look_seconds, max(0.0, next_seconds)))
            before, looked = looked, _now()
            # A clock that was set back reaches its minutes again.
            is_announced &= before <= looked
            is_due = partial(_is_due, before, looked)
            if not self.stop.is_set() and any(map(is_due, self._known)):
                self._begin(self._iterations.run, started_seconds, is_due)
                is_announced = False
        ended = self._attend(self._iterations.join, self._refresh)
        return EXIT_OK if ended is not None else EXIT_FAILED

    def _next_slot(self, moment: datetime) -> datetime:
        """Returns when the next iteration of any source is due."""
        return min(_next_slot(moment, source) for source in self._known)

    def _announce(self, now: datetime) -> None:
        text = f"The next iteration begins at {self._next_slot(now):%H:%M} UTC."
        tell(_now(), "INFO", text, {})

    def _attend(self, work: Callable[[], bool], refresh: Callable[[], object]) -> bool | None:
        try:
            result = attend(work, self.stop, refresh)
        except Exception as exc:  # noqa: BLE001 - a person reads this, not a traceback
            print_problems(exc)
            return None
        if result is None:
            text = "A connection hangs, and this ends without it. The next start goes on there."
            tell(_now(), "ERROR", text, {})
        return result

    def _refresh(self) -> bool:
        """Shows how far it is, says that it is alive; returns if anything is under way."""
        working = self._iterations.working()
        self._iterations.refresh()
        self.health.say(working, self._iterations.failures(), self._iterations.unproven())
        return bool(working)

    def _begin(
        self,
        work: Callable[[Sequence[Source], Starting], None],
        since_seconds: float,
        is_due: Callable[[Source], bool],
    ) -> bool:
        """Begins work of each source that is due; returns if it could. It never raises."""
        try:
            sources = self.read_sources()
            self._iterations.expect(sources)
            work([*filter(is_due, sources)], lambda: self._start(since_seconds))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the next iteration comes
            print_problems(exc)
            self._iterations.skip(source.name for source in self._known if is_due(source))
            return False
        return True

    def _start(self, since_seconds: float) -> Start:
        """Counts back by the monotonic clock."""
        elapsed_seconds = self._clock.elapsed_seconds()
        now_ms = since_1970_ms(_now())
        since_ago_ms = round((elapsed_seconds - since_seconds) * 1000)
        process_ago_ms = round((elapsed_seconds - self._began_seconds) * 1000)
        return Start(self._owner, now_ms, since_ago_ms, process_ago_ms)


def main(arguments: Sequence[str]) -> int:
    """Runs the program; returns its exit status.

    Args:
        arguments: of the command line, without the program's name.
    """
    use_one_arena()
    try:
        options = read_options(arguments, Path(__file__).with_name("config.json"), _now().date())
        engine = Engine(options.config)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: _set_aside(engine.stop))
        engine.read_sources()
        if options.dashboard is not None:
            return engine.run_dashboard(options.dashboard)
    except (ConfigurationError, OutputError) as exc:
        print_problems(exc)
        return EXIT_FAILED if isinstance(exc, OutputError) else EXIT_CONFIGURATION
    # What is loaded stays: to look through it whenever memory is tidied is a fifth of a listing.
    gc.freeze()
    with closing(engine.health):
        return engine.run(options)


def _set_aside(stop: Event) -> None:
    """Sets it on a thread of its own: the one that a signal interrupts may hold its lock."""
    try:
        start_new_thread(stop.set, ())
    except RuntimeError:  # CPython's "can't start new thread"
        stop.set()


def end_process(status: int) -> NoReturn:
    """Ends the process at once.

    Python would first wait for each thread, however long its connection hangs, and take the
    handlers of signals away: one that comes then would kill what has succeeded.

    Args:
        status: its exit status.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def print_problems(error: Exception) -> None:
    """Writes all that an error says on standard error, a line each."""
    for problem in problems_of(error):
        tell(_now(), "ERROR", str(problem), {})


def _is_due(since: datetime, now: datetime, source: Source) -> bool:
    """Tells if an iteration of the source has become due since a time."""
    return _next_slot(now, source) > _next_slot(since, source)


def _next_slot(moment: datetime, source: Source) -> datetime:
    """Returns when the next iteration of a source is due: the hours and their parts are UTC's."""
    seconds = 60 * source.every_minutes
    return datetime.fromtimestamp((moment.timestamp() // seconds + 1) * seconds, UTC)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    end_process(main(sys.argv[1:]))
