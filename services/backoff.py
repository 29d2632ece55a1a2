"""How long to wait between tries."""

import random
from collections.abc import Iterator

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 20.0


def pauses() -> Iterator[float]:
    """Yields the seconds to wait before the next try: longer and longer, with full jitter."""
    longest = _FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(0, longest)  # noqa: S311 - jitter is no secret
        longest = min(_LONGEST_PAUSE_SECONDS, 2 * longest)
