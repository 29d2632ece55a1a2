"""Runs the stand-in for CloudWatch Logs as a process, and asks it what it holds."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

from msgspec import Struct, json

from tests.standin.cloudwatch_account import Calls

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_SECONDS = 5


class Ready(Struct):
    """The line that the process prints when it listens."""

    port: int
    pid: int


class Event(Struct, frozen=True, rename="camel"):
    """An event as it was stored, times in milliseconds since 1970."""

    timestamp: int
    message: str
    ingestion_time: int


class Digest(Struct, frozen=True):
    """How many events a stream has, and how many different ones."""

    stored: int
    distinct: int


class CloudWatchStandin:
    """A running stand-in; leaving the context ends it.

    Args:
        host: the address to listen on.
        discard_messages: whether it keeps 16 bytes of each event only, for large runs.
        settings: of `cloudwatch_settings.Settings`, to begin with.

    Raises:
        RuntimeError: the process ended before it was ready.
    """

    def __init__(
        self, host: str = "127.0.0.1", discard_messages: bool = False, **settings: object
    ) -> None:
        arguments = ["--host", host, "--settings", json.encode(settings).decode()]
        if discard_messages:
            arguments.append("--discard-messages")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.standin.cloudwatch_standin", *arguments],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self.port = self._ready().port
        self.endpoint_url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def stop(self) -> int:
        """Ends the process and returns its exit status; does nothing the second time."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.returncode

    def control(self, **settings: object) -> None:
        """Changes settings of the running process.

        Args:
            settings: of `cloudwatch_settings.Settings`; the others stay as they are.

        Raises:
            ValueError: an unknown setting or a wrong value; nothing has changed.
        """
        with self._asked("POST", "/_control", json.encode(settings)):
            pass

    def settings(self) -> dict[str, object]:
        """Returns the settings as `control` takes them."""
        with self._asked("GET", "/_control") as response:
            return json.decode(response.read(), type=dict[str, object])

    def calls(self) -> Calls:
        """Returns the counts of all calls since the start."""
        with self._asked("GET", "/_calls") as response:
            return json.decode(response.read(), type=Calls)

    def events(self, group: str, stream: str) -> Iterator[Event]:
        """Yields everything stored in a stream in the order of ingestion, readable yet or not.

        Raises:
            ValueError: no such group or stream, or the messages were discarded.
        """
        with self._asked("GET", f"/_events?{_query(group, stream)}") as response:
            for line in response:
                yield json.decode(line, type=Event)

    def rewrite(self, group: str, stream: str, events: Iterable[Event]) -> None:
        """Gives a stream other events than it was sent, behind the sender's back.

        Args:
            group: of the stream.
            stream: an existing one.
            events: all that it holds from now on.

        Raises:
            ValueError: no such group or stream.
        """
        body = json.encode([*events])
        with self._asked("POST", f"/_events?{_query(group, stream)}", body):
            pass

    def digest(self, group: str, stream: str) -> Digest:
        """Returns how many events a stream has, and how many different ones.

        Raises:
            ValueError: no such group or stream.
        """
        with self._asked("GET", f"/_digest?{_query(group, stream)}") as response:
            return json.decode(response.read(), type=Digest)

    @contextmanager
    def _asked(self, method: str, path: str, body: bytes = b"") -> Iterator[HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self.port)
        try:
            connection.request(method, path, body or None)
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(response.read().decode())
            yield response
        finally:
            connection.close()

    def _ready(self) -> Ready:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stand-in ended with status {self.stop()}")
        return json.decode(line, type=Ready)


def _query(group: str, stream: str) -> str:
    return urlencode({"group": group, "stream": stream})
