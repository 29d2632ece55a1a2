"""Docker Swarm as a test uses it: a swarm of this machine alone, and a stack deployed on it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

from tests.servers.containers import docker
from tests.servers.installation import REPOSITORY, Installation, eventually
from tests.standin.moto_process import LOOPBACK

SWARM_FILE = REPOSITORY / "documentation" / "deploy" / "swarm.yml"
SERVICE = "logscollector"
SECRETS = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")
# The test's servers listen on this machine's loopback interface only.
PASSED_ON = ("LYVE_ENDPOINT", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "NO_PROXY")
# https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/
UNDER_WAY = {"starting", "running"}
AT_WORK = UNDER_WAY | {"new", "pending", "assigned", "accepted", "preparing", "ready"}


class Task(NamedTuple):
    """A task of the service: a try to run one of its replicas."""

    slot: int
    replicas: int
    state: str
    container_id: str


@contextmanager
def swarm() -> Iterator[None]:
    """Makes the engine a swarm of its own, unless it is in one."""
    is_in_one = docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() == "active"
    if not is_in_one:
        docker("swarm", "init", "--advertise-addr", LOOPBACK, "--listen-addr", LOOPBACK)
    try:
        yield
    finally:
        if not is_in_one:
            docker("swarm", "leave", "--force")


class Stack:
    """The swarm file on an installation's servers; leaving the context removes all of it.

    It runs one iteration in place of the daemon: nobody waits for the round hour.

    Args:
        installation: with its servers, its configuration and its secrets.
        image: what to run in place of the file's image.
    """

    def __init__(self, installation: Installation, image: str) -> None:
        self._name = f"logscollector-test-{os.getpid()}"
        self._installation = installation
        self._image = image
        self._count = 0
        self._secrets = {name.lower(): f"{self._name}-{name.lower()}" for name in SECRETS}

    def __enter__(self) -> Self:
        for name in SECRETS:
            path = self._installation.directory / name.lower()
            path.write_text(self._installation.environment[name])
            docker("secret", "create", self._secrets[name.lower()], str(path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error:
            error.add_note(f"{self.tasks()}\n{self.log()}")
        docker("stack", "rm", self._name)
        mine = ("--filter", f"label=com.docker.stack.namespace={self._name}")
        eventually(lambda: not docker("ps", "--all", "--quiet", *mine), "the end of the stack")
        docker("secret", "rm", *self._secrets.values())

    def deploy(self, count: int) -> None:
        """Deploys the file, edited for a number of replicas; of another number none is left."""
        if self._count:
            docker("service", "scale", f"{self._name}_{SERVICE}=0")
        self._count = count
        edited = self._installation.directory / "swarm.yml"
        text = SWARM_FILE.read_text()
        text = text.replace(".Task.Slot}}/3", f".Task.Slot}}}}/{count}")
        edited.write_text(text.replace("replicas: 3", f"replicas: {count}"))
        override = self._installation.directory / "override.yml"
        override.write_text(json.dumps(self._override()))
        docker("stack", "deploy", "-c", str(edited), "-c", str(override), self._name)

    def tasks(self) -> list[Task]:
        """Returns all tasks of the service, those that have ended included."""
        ids = docker("service", "ps", "--quiet", "--no-trunc", f"{self._name}_{SERVICE}").split()
        # One that is gone by now makes the call fail, and the others are printed all the same.
        command = ["docker", "inspect", "--type", "task", *ids]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [_task(one) for one in json.loads(done.stdout)]

    def running(self) -> Mapping[int, str]:
        """Returns the container of each replica that runs now, by its number.

        Swarm says "starting" until the first health check, half a minute later.
        """
        return {one.slot: one.container_id for one in self.tasks() if one.state in UNDER_WAY}

    def wait_for_end(self) -> None:
        """Waits until each replica has come to its end, and none will be started again."""
        eventually(self._has_ended, "the end of all replicas")

    def log(self) -> str:
        """Returns what all replicas said."""
        return docker("service", "logs", "--raw", f"{self._name}_{SERVICE}")

    def _has_ended(self) -> bool:
        tasks = self.tasks()
        complete = {
            one.slot for one in tasks if (one.replicas, one.state) == (self._count, "complete")
        }
        return len(complete) == self._count and not any(one.state in AT_WORK for one in tasks)

    def _override(self) -> dict[str, object]:
        path = self._installation.write_configuration()
        environment = self._installation.environment
        service = {
            "image": self._image,
            "command": ["--once"],
            "environment": {name: environment[name] for name in PASSED_ON},
            "networks": ["host"],
            "deploy": {
                "restart_policy": {"condition": "on-failure"},
                # Swarm takes an iteration that has come to its end for a replica that failed.
                "update_config": {
                    "order": "stop-first",
                    "parallelism": 0,
                    "failure_action": "continue",
                },
            },
        }
        return {
            "version": "3.8",
            "services": {SERVICE: service},
            "networks": {"host": {"external": True, "name": "host"}},
            "secrets": {
                name: {"external": True, "name": actual} for name, actual in self._secrets.items()
            },
            "configs": {"config": {"name": f"{self._name}-config", "file": str(path)}},
        }


def _task(found: Mapping[str, object]) -> Task:
    slot, status, spec = found["Slot"], found["Status"], found["Spec"]
    assert isinstance(slot, int)
    assert isinstance(status, dict)
    assert isinstance(spec, dict)
    (shard,) = (name for name in spec["ContainerSpec"]["Env"] if name.startswith("SHARD="))
    container = status.get("ContainerStatus", {}).get("ContainerID", "")
    return Task(slot, int(shard.rpartition("/")[2]), status["State"], container)
