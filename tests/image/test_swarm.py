"""The swarm file, deployed for real: `tests/run swarm`. Without a Docker engine it is left out."""

import json
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.servers.containers import docker, has_engine
from tests.servers.installation import BUCKET, LOG_GROUP, Installation, eventually
from tests.servers.swarm import SECRETS, Stack, swarm
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from utils.config.partitions import PARTITION_NAMES, Shard, owned_by, partition_of

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not has_engine(), reason="no Docker engine answers"),
]

OBJECTS = 30
LINES_AN_OBJECT = 400
# One batch of a hundred events in flight takes this long: nobody comes to the end by chance.
LATENCY_MS = 1000
COUNTS = (3, 5, 2)
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image, built with the classic builder."""
    name = f"logscollector-swarm-test:{os.getpid()}"
    variables = {"DOCKER_BUILDKIT": "0"}
    docker("build", "--file", "Dockerfile", "--tag", name, ".", variables=variables)
    yield name
    docker("image", "rm", name)


@pytest.fixture(scope="module", autouse=True)
def in_a_swarm() -> Iterator[None]:
    """The engine's swarm mode."""
    with swarm():
        yield


def backlog() -> dict[str, list[bytes]]:
    """Returns the objects of the audit bucket with their events, each of which is another one."""
    return {
        f"May-2024/S3-{number:02d}.gz": [
            b'{"number": %d}' % line
            for line in range(number * LINES_AN_OBJECT, (number + 1) * LINES_AN_OBJECT)
        ]
        for number in range(OBJECTS)
    }


def share(objects: dict[str, list[bytes]], shard: Shard) -> Counter[str]:
    """Returns what one replica is to ship."""
    own = (lines for key, lines in objects.items() if partition_of(key) in owned_by(shard))
    return Counter(line.decode() for lines in own for line in lines)


def stored(standin: CloudWatchStandin, shard: Shard) -> Counter[str]:
    """Returns what the partitions of one replica hold."""
    return sum((stored_of(standin, one) for one in owned_by(shard)), Counter[str]())


def stored_of(standin: CloudWatchStandin, partition: int) -> Counter[str]:
    """Returns what one partition holds; nothing where it has not begun."""
    stream = f"lyve-cloud/{BUCKET}/S3/{PARTITION_NAMES[partition]}"
    try:
        return Counter(event.message for event in standin.events(LOG_GROUP, stream))
    except ValueError:
        return Counter()


def replicas_of(count: int) -> list[Shard]:
    """Returns all replicas where there are so many."""
    return [Shard(number, count) for number in range(1, count + 1)]


def put_backlog(installation: Installation) -> dict[str, list[bytes]]:
    """Writes the objects into the audit bucket, and returns them."""
    installation.configuration |= {"concurrency": 1, "batch_size": 100}
    objects = backlog()
    for key, lines in objects.items():
        installation.put(key, gzip_lines(lines))
    return objects


def test_three_replicas_ship_a_backlog_while_one_is_killed(
    installation: Installation, standin: CloudWatchStandin, image: str
) -> None:
    """A machine of the swarm fails in mid-backlog: its replica is started again."""
    objects = put_backlog(installation)
    standin.control(latency_ms=LATENCY_MS)
    victim = Shard(2, 3)
    with Stack(installation, image) as stack:
        stack.deploy(3)
        eventually(
            lambda: all(stored(standin, one) for one in replicas_of(3)), "events of each replica"
        )
        container_id = stack.running()[victim.number]
        assert limits(container_id) == LIMITS
        docker("kill", container_id)
        assert stored(standin, victim).total() < share(objects, victim).total()
        standin.control(latency_ms=0)
        stack.wait_for_end()
        assert {one: stored(standin, one) for one in replicas_of(3)} == {
            one: share(objects, one) for one in replicas_of(3)
        }
        tries = sorted((one.slot, one.state) for one in stack.tasks())
        assert tries == [(1, "complete"), (2, "complete"), (2, "failed"), (3, "complete")]
        assert_all_is_well(installation, stack.log())


def test_another_number_goes_on_in_mid_backlog(
    installation: Installation, standin: CloudWatchStandin, image: str
) -> None:
    """The operator edits both places and deploys again, while all replicas are at work."""
    objects = put_backlog(installation)
    everything = Counter(line.decode() for lines in objects.values() for line in lines)
    standin.control(latency_ms=LATENCY_MS)
    with Stack(installation, image) as stack:
        for count in COUNTS:
            before = stored_by_all(standin).total()
            stack.deploy(count)
            await_more(standin, before)
            assert stored_by_all(standin).total() < everything.total()
        standin.control(latency_ms=0)
        stack.wait_for_end()
        assert stored_by_all(standin) == everything
        assert_all_is_well(installation, stack.log())


def await_more(standin: CloudWatchStandin, before: int) -> None:
    """Waits until something more is shipped."""
    eventually(lambda: stored_by_all(standin).total() > before, "events of the new replicas")


def stored_by_all(standin: CloudWatchStandin) -> Counter[str]:
    """Returns what all partitions hold."""
    return stored(standin, Shard(1, 1))


LIMITS = {
    "ReadonlyRootfs": True,
    "CapDrop": ["ALL"],
    "Memory": 256 * MIB,
    "NanoCpus": 10**9,
    "Privileged": False,
}


def limits(container_id: str) -> dict[str, object]:
    """Returns what a container may do."""
    found = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", container_id))
    return {name: found[name] for name in LIMITS}


def assert_all_is_well(installation: Installation, log: str) -> None:
    assert "ERROR" not in log
    secrets = [installation.environment[name] for name in SECRETS]
    assert [secret for secret in secrets if secret in log] == []
