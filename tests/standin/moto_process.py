"""Servers that tests and the demo start as processes of their own, moto's among them."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 60
# Below the range from which systems take the ports of outgoing connections, so that none is met.
# SeaweedFS serves gRPC 10,000 above each of its ports: below that range too, and beside this one.
PORTS = range(10_000, 20_000)
GRPC_OFFSET = 10_000

# In the background the shell waits for the end of its standard input, which the parent holds open,
# then ends the whole group: so nothing outlives a parent that is killed. The server itself takes
# the shell's process, so that its process id is known.
LEASH = 'exec 3<&0 </dev/null; (read -r _ <&3; kill -KILL 0) & exec 3<&-; exec "$@"'


class ServerStartError(Exception):
    """A server ended or stayed silent instead of getting ready; carries the end of its log."""


def free_ports(count: int) -> list[int]:
    """Returns distinct loopback ports, each free together with the port `GRPC_OFFSET` above it."""
    ports: set[int] = set()
    while len(ports) < count:
        port = secrets.choice(PORTS)
        if _is_free(port) and _is_free(port + GRPC_OFFSET):
            ports.add(port)
    return list(ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class ServerProcess:
    """A server, started at once; it ends with its `with` block, and if this process is killed.

    Args:
        command: the program and its arguments.
        log_path: what the server says is added to this file.
    """

    def __init__(self, command: Sequence[str], log_path: Path) -> None:
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", LEASH, "leash", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the server, which leads a process group of its own."""
        return self._process.pid

    def wait_until(self, is_ready: Callable[[], bool]) -> None:
        """Returns as soon as the server answers.

        Args:
            is_ready: asks the server; called again and again until it returns true.

        Raises:
            ServerStartError: the server ended, or was not ready after `START_TIMEOUT_S` seconds.
        """
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise ServerStartError(
                    f"{self.log_path.name}: the server did not get ready\n{self._log_end()}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends the server and all that it started, at once; its data is thrown away."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.communicate()

    def _log_end(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])


class MotoServer:
    """moto's stand-in for CloudWatch Logs and CloudWatch over HTTP, between `with` and its end.

    Args:
        directory: an existing one; the server's log stays in it.
    """

    def __init__(self, directory: Path) -> None:
        (self._port,) = free_ports(1)
        self.endpoint_url = f"http://{LOOPBACK}:{self._port}"
        self._log_path = directory / "moto.log"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self._port)]
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(ServerProcess(command, self._log_path))
            server.wait_until(self._is_ready)
            self._at_end = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._at_end.close()

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, self._port)):
            return True
        return False
