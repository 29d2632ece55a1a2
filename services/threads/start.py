"""Starts threads, as far as the system allows."""

from collections.abc import Callable
from threading import Thread

from utils.errors import ForwarderError

RAISE_THE_LIMIT = (
    "Raise the limit on processes and threads: --pids-limit of the container, the pod's, or "
    "ulimit -u"
)


def started(work: Callable[..., object], *arguments: object) -> Thread | None:
    """Starts a thread that does not keep the process from ending; None if the system allows none.

    Args:
        work: what it does.
        arguments: of the work.
    """
    thread = Thread(target=work, args=arguments, daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):  # CPython's "can't start new thread"
        return None
    return thread


def no_thread(needed: int) -> ForwarderError:
    """Returns the error of work that has no thread at all.

    Args:
        needed: how many threads the work is to have.
    """
    return ForwarderError("No thread can be started", f"{needed} are needed", RAISE_THE_LIMIT)
