"""Makes what is costly once for the same arguments, whichever thread asks for it first."""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


class _Kept(Generic[Made]):
    """What was made for some arguments; threads wait for it one by one."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.made: list[Made] = []


class MadeOnce(Generic[Arguments, Made]):
    """A function whose result is kept: threads that ask at the same time all get the same one.

    A cache of the standard library has each of them make its own. Those that ask with other
    arguments do not wait.

    Args:
        make: the function; its arguments are hashable.
    """

    def __init__(self, make: Callable[Arguments, Made]) -> None:
        self.__doc__ = make.__doc__
        self._make = make
        self._lock = Lock()
        self._kept: dict[Hashable, _Kept[Made]] = {}

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        """Returns what was made for the arguments."""
        with self._lock:
            kept = self._kept.setdefault((args, *sorted(kwargs.items())), _Kept())
        with kept.lock:
            if not kept.made:
                kept.made.append(self._make(*args, **kwargs))
            return kept.made[0]

    def forget(self) -> None:
        """Makes all anew from now on."""
        with self._lock:
            self._kept = {}
