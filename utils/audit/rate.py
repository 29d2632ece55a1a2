"""Keeps requests below a number a second."""


class Rate:
    """Says how long to wait before each request.

    Args:
        per_second: how many requests are to be sent in a second, at most.
    """

    def __init__(self, per_second: float) -> None:
        self._interval_seconds = 1 / per_second
        self._next_seconds = float("-inf")

    def wait_seconds(self, now_seconds: float) -> float:
        """Returns how long to wait before the next request, which is then counted as sent.

        Args:
            now_seconds: a time that nobody sets.
        """
        at_seconds = max(now_seconds, self._next_seconds)
        self._next_seconds = at_seconds + self._interval_seconds
        return at_seconds - now_seconds
