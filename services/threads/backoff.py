"""How long to wait between tries."""

import random
from collections.abc import Iterator

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 20.0
_GROWTH = 1.5


def pause_seconds(number: int) -> float:
    """Returns how long to wait behind one of a few tries: each time twice as long.

    Args:
        number: of the try, from 0.
    """
    return _FIRST_PAUSE_SECONDS * 2.0**number


def pauses() -> Iterator[float]:
    """Yields the seconds to wait before the next try: longer and longer, with full jitter."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(0, longest)  # noqa: S311 - jitter is no secret
        longest = min(_LONGEST_PAUSE_SECONDS, _GROWTH * longest)
