"""Makes what is costly once for the same arguments, whichever thread asks for it first."""

from collections.abc import Callable
from functools import lru_cache
from threading import RLock
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")

# What was not used for long is forgotten: no more tenants than that ship at a time.
_MOST_KEPT = 256
# Sessions of boto3 are not made for several threads:
# https://boto3.amazonaws.com/v1/documentation/api/latest/guide/resources.html#multithreading-or-multiprocessing-with-resources
_making = RLock()


class MadeOnce(Generic[Arguments, Made]):
    """A function whose result is kept: threads that ask at the same time all get the same one.

    A cache of the standard library has each of them make its own.

    Args:
        make: the function.
    """

    def __init__(self, make: Callable[Arguments, Made]) -> None:
        self.__doc__ = make.__doc__
        self._kept = lru_cache(maxsize=_MOST_KEPT)(make)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        """Returns what was made for the arguments."""
        with _making:
            return self._kept(*args, **kwargs)  # type: ignore[arg-type] # they are hashable

    def forget(self) -> None:
        """Makes all anew from now on."""
        self._kept.cache_clear()
