"""Faults to inject: types of their own, and where they strike."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from threading import Lock, RLock
from typing import TypeVar

from botocore.exceptions import ClientError

Result = TypeVar("Result")

_CHANGES = {"put", "save", "stream", "integration-logs", "integration-quarantine"}
_numbers = count(1)


class Killed(BaseException):
    """The process ends here, and does nothing more."""


class Answered(Exception):  # noqa: N818 - it is an answer
    """The service answers this instead of doing what it is asked, or after it.

    Args:
        status: of HTTP.
        body: of the answer.
    """

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


THROTTLED = Answered(400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
UNAVAILABLE = Answered(503, b'{"__type": "ServiceUnavailableException"}')
FAILED = Answered(500, b'{"__type": "InternalFailure"}')
EXPIRED = Answered(400, b'{"__type": "ExpiredTokenException"}')

Fault = Killed | Exception | Callable[[], object]
"""What strikes at a point: an error, the end of the process, or something that happens there."""


class Life:
    """One process on services in memory: its calls are counted, and faults strike at points.

    A point is named by the kind of call and its number, from 1: `put 3` before the call is carried
    out, `put 3 done` behind it.

    Args:
        faults: what strikes, by the name of the point.
    """

    def __init__(self, faults: Mapping[str, Fault]) -> None:
        self._faults = faults
        self._lock = Lock()
        self._calls: Counter[str] = Counter()
        self._is_over = False
        self.name = f"owner-{next(_numbers)}"
        self.points: list[str] = []
        self.is_killed = False
        self.is_good = False
        self.owed = 0

    def reach(self, kind: str) -> int:
        """Begins a call; returns its number among those of its kind."""
        with self._lock:
            self._calls[kind] += 1
            number = self._calls[kind]
        self._pass(f"{kind} {number}")
        return number

    def reach_end(self, kind: str, number: int) -> None:
        """Ends a call that changed something."""
        self._pass(f"{kind} {number} done")

    def called(self, kind: str) -> int:
        """Returns how many calls of a kind there were."""
        with self._lock:
            return self._calls[kind]

    def check(self) -> None:
        """Makes sure that the process still runs.

        Raises:
            Killed: it does not.
        """
        with self._lock:
            if self._is_over:
                raise Killed

    def end(self) -> None:
        """Lets nothing more of this process act."""
        with self._lock:
            self._is_over = True

    def _pass(self, point: str) -> None:
        self.check()
        self.points.append(point)
        fault = self._faults.get(point)
        try:
            if isinstance(fault, BaseException):
                raise fault
            if fault:
                fault()
        except Killed:
            self.end()
            raise


class Line:
    """A process's line to the services, on which every call is carried out whole or not at all.

    Args:
        life: of the process.
        lock: held by the services while they carry out a call.
    """

    def __init__(self, life: Life, lock: RLock) -> None:
        self.life = life
        self._lock = lock

    def call(self, kind: str, work: Callable[[], Result]) -> Result:
        """Returns the result of one call."""
        number = self.life.reach(kind)
        with self._lock:
            self.life.check()
            result = work()
            if kind in _CHANGES:
                self.life.reach_end(kind, number)
            return result


def client_error(code: str, kind: type[ClientError] = ClientError) -> ClientError:
    """Returns botocore's exception for a service's error code."""
    return kind({"Error": {"Code": code, "Message": ""}}, "operation")


def each(kind: str, numbers: range, fault: Fault) -> dict[str, Fault]:
    """Returns the same fault for several calls of a kind."""
    return {f"{kind} {number}": fault for number in numbers}
