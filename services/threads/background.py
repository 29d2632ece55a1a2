"""Does work on a thread for which a stop waits no longer than it may."""

from collections.abc import Callable
from threading import Event

from services.threads.start import no_thread, started

# Docker kills ten seconds after its signal, so a stop leaves the work less than this.
_STOP_SECONDS = 8.0
REFRESH_SECONDS = 0.2


def attend(work: Callable[[], bool], stop: Event, refresh: Callable[[], object]) -> bool | None:
    """Returns the work's result, None if a stop left it behind.

    Args:
        work: what is done.
        stop: set when the process is to end.
        refresh: called now and then meanwhile.

    Raises:
        ForwarderError: no thread can be started for it.
        Exception: what the work raises.
    """
    results: list[bool] = []
    errors: list[Exception] = []
    done = Event()

    def run() -> None:
        try:
            results.append(work())
        except Exception as exc:  # noqa: BLE001 - raised where the work is waited for
            errors.append(exc)
        finally:
            done.set()

    if not started(run):
        raise no_thread(1)
    while not done.wait(REFRESH_SECONDS) and not stop.is_set():
        refresh()
    done.wait(_STOP_SECONDS)
    if errors:
        raise errors[0]
    return results[0] if results else None
