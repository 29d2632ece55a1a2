"""Keeps the memory of all threads together, where the C library is glibc."""

import ctypes
from contextlib import suppress

# https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """Lets all threads allocate from one arena: what one frees, another can use at once.

    Python runs one thread at a time, so none waits for another there. To be called before the
    first thread is started; another C library is left as it is.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
