"""Makes what is costly once for the same arguments, whichever thread asks first."""

from collections.abc import Callable, Hashable
from functools import cache
from threading import Lock
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


class Singleflight(Generic[Arguments, Made]):
    """A function whose result is kept: threads that ask at the same time all get the same one.

    With a cache of the standard library each of them would make its own. Threads that ask with
    other arguments do not wait.

    Args:
        make: the function; its arguments are hashable.
    """

    def __init__(self, make: Callable[Arguments, Made]) -> None:
        self.__doc__ = make.__doc__
        self._make = cache(make)
        self._locks: dict[Hashable, Lock] = {}

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        """Returns what was made for the arguments."""
        with self._locks.setdefault((args, *sorted(kwargs.items())), Lock()):
            return self._make(*args, **kwargs)  # type: ignore[arg-type] # they are hashable

    def forget(self) -> None:
        """Makes all anew from now on."""
        self._locks = {}
        self._make.cache_clear()
