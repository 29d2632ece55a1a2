"""Docker as a test uses it, and containers that run the program on this machine's servers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from types import TracebackType
from typing import Self

from tests.servers.installation import REPOSITORY, STOP_SECONDS, Installation, Outcome, eventually

# The options that documentation/image.md recommends.
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
# The test's servers listen on this machine's loopback interface only.
ON_THIS_MACHINE = ("--network", "host")
PASSED_ON = ("AWS_", "LYVE_", "NO_PROXY", "LOG_FORMAT", "CLOCK_FILE", "EXPLOSION_FILE")


def docker(
    *arguments: str, client: str = "docker", variables: Mapping[str, str] | None = None
) -> str:
    """Returns what a call of Docker prints on standard output.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [client, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def has_engine() -> bool:
    """Tells if a Docker engine answers, and its containers reach this machine's loopback."""
    if sys.platform != "linux" or not shutil.which("docker"):
        return False
    return not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode


def clients() -> Iterator[str]:
    """Yields each client of Docker that is on the PATH."""
    for directory in dict.fromkeys(os.get_exec_path()):
        path = shutil.which("docker", path=directory)
        if path:
            yield path


class Container:
    """A container that runs in the background; leaving the context removes it.

    Args:
        container_id: as `docker run --detach` prints it.
    """

    def __init__(self, container_id: str) -> None:
        self.id = container_id.strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        docker("rm", "--force", "--volumes", self.id)

    @property
    def is_running(self) -> bool:
        """Whether its program has not ended."""
        return self.state("{{.State.Running}}") == "true"

    @property
    def stderr(self) -> str:
        """What it said so far."""
        return self._logs()[1]

    def state(self, template: str) -> str:
        """Returns what `docker inspect` says, by a template of Go."""
        return docker("inspect", "--format", template, self.id).strip()

    def wait(self) -> Outcome:
        """Waits for its end."""
        status = int(docker("wait", self.id))
        return Outcome(status, *self._logs())

    def stop(self) -> Outcome:
        """Asks it to end as `docker stop` does, which kills it when the time is over."""
        docker("stop", "--time", f"{STOP_SECONDS:.0f}", self.id)
        return self.wait()

    def wait_until_said(self, text: str) -> None:
        """Waits until it has written a text on standard error."""
        eventually(lambda: text in self.stderr or not self.is_running, f"{text!r} in the log")
        assert text in self.stderr

    def wait_until_health_is(self, status: str) -> None:
        """Waits until the health check says so."""
        eventually(
            lambda: self.state("{{.State.Health.Status}}") == status, f"{status}: {self.health()}"
        )

    def health(self) -> str:
        """Returns what the health check printed last."""
        log = json.loads(self.state("{{json .State.Health.Log}}")) or [{"Output": ""}]
        said: str = log[-1]["Output"]
        return said.strip()

    def _logs(self) -> tuple[str, str]:
        done = subprocess.run(
            ["docker", "logs", self.id], capture_output=True, text=True, check=True
        )
        return done.stdout, done.stderr


class Containers:
    """Containers that run the image on an installation's servers, with its configuration.

    Args:
        installation: with its servers.
        image: the image's name.
    """

    def __init__(self, installation: Installation, image: str) -> None:
        self._installation = installation
        self._image = image

    def start(self, *arguments: str, options: Sequence[str] = ()) -> Container:
        """Starts a new container with the configuration and the environment as they are now."""
        path = self._installation.write_configuration()
        environment = self._installation.environment
        names = [name for name in environment if name.startswith(PASSED_ON)]
        named = [part for name in names for part in ("--env", name)]
        mounted = ("--volume", f"{path}:/app/config.json:ro")
        all_options = (*ON_THIS_MACHINE, *HARDENED, *mounted, *named, *options)
        command = ("run", "--detach", *all_options, self._image, *arguments)
        return Container(docker(*command, variables=environment))

    def run(self, *arguments: str) -> Outcome:
        """Runs a new container to its end."""
        with self.start(*arguments) as container:
            outcome = container.wait()
        self.keep(outcome)
        return outcome

    def keep(self, outcome: Outcome) -> None:
        """Keeps what a container said for the search for secrets."""
        directory = self._installation.directory
        path = directory / f"{len(list(directory.iterdir()))}-container.stderr"
        path.write_text(outcome.stdout + outcome.stderr)
