"""The servers and installations that the end-to-end tests share."""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from socket import socket

import boto3
import pytest
from hypothesis import settings
from urllib3.util import connection

from services.daemon.iterations import forget_clients
from tests.servers.installation import (
    AWS_REGION,
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    SLOW_GROUP,
    Installation,
    empty,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin, Event
from tests.standin.moto_process import MotoServer

# Always the same examples, so that only a change turns a test red. The soak tries others, and many.
settings.register_profile("tests", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=3_000, deadline=None)
settings.load_profile("tests")

# https://github.com/seaweedfs/seaweedfs/wiki/Amazon-S3-API#authentication-with-s3
LIMITED = {
    "no-write": ["Read", "List"],
    "no-read": ["Write", "List"],
    "no-list": ["Read", "Write"],
}


class SeaweedFSWithIdentities(SeaweedFS):
    """The server with further identities; one's keys are its name with `-access` and `-secret`."""

    def _write_identity(self) -> Path:
        path = super()._write_identity()
        configuration = json.loads(path.read_text())
        for name, actions in LIMITED.items():
            credentials = {"accessKey": f"{name}-access", "secretKey": f"{name}-secret"}
            identity = {"name": name, "credentials": [credentials], "actions": actions}
            configuration["identities"].append(identity)
        path.write_text(json.dumps(configuration))
        return path


class MotoLogs:
    """moto's CloudWatch Logs as a test looks into it.

    Args:
        endpoint_url: of the running server.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._client = boto3.client(
            "logs",
            endpoint_url=endpoint_url,
            region_name=AWS_REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def events(self, group: str, stream: str) -> Iterable[Event]:
        """Yields what a stream holds."""
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=group, logStreamNames=[stream]
        )
        for page in pages:
            for event in page["events"]:
                yield Event(event["timestamp"], event["message"], event["ingestionTime"])


@pytest.fixture(autouse=True)
def _forget_clients() -> None:
    """A process keeps its clients; here the environment changes from test to test."""
    forget_clients()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A running S3 server with the two buckets."""
    with SeaweedFSWithIdentities(tmp_path_factory.mktemp("seaweedfs")) as running:
        for bucket in (BUCKET, OUTPUT_BUCKET):
            running.client().create_bucket(Bucket=bucket)
        yield running


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """A running server of moto."""
    with MotoServer(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture
def buckets(seaweedfs: SeaweedFS) -> Iterator[SeaweedFS]:
    """The S3 server with both buckets empty: an emptied bucket is faster than a new one."""
    yield seaweedfs
    for bucket in (BUCKET, OUTPUT_BUCKET):
        empty(seaweedfs.client(), bucket)


@pytest.fixture
def standin() -> Iterator[CloudWatchStandin]:
    """A strict stand-in for CloudWatch Logs of its own, which checks the requests' signatures."""
    with CloudWatchStandin(credentials={ACCESS_KEY: SECRET_KEY}) as running:
        yield running


@pytest.fixture
def installation(
    tmp_path: Path, buckets: SeaweedFS, standin: CloudWatchStandin
) -> Iterator[Installation]:
    """An installation on the S3 server and the strict stand-in."""
    with contextlib.closing(Installation(tmp_path, buckets, standin)) as installed:
        yield installed


@pytest.fixture
def moto_installation(
    tmp_path: Path, buckets: SeaweedFS, moto: MotoServer
) -> Iterator[Installation]:
    """An installation on the S3 server and moto."""
    with contextlib.closing(Installation(tmp_path, buckets, MotoLogs(moto.endpoint_url))) as ready:
        yield ready
        ready.logs.delete_log_group(logGroupName=LOG_GROUP)


@pytest.fixture
def s3_proxy(installation: Installation, buckets: SeaweedFS) -> Iterator[S3Proxy]:
    """A proxy between the installation and the S3 server."""
    with S3Proxy(buckets.endpoint_url) as proxy:
        installation.environment["LYVE_ENDPOINT"] = proxy.endpoint_url
        yield proxy


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket]:
    """The connections that this process opens from now on."""
    sockets: list[socket] = []
    create_connection = connection.create_connection

    def record(*args: object, **options: object) -> socket:
        sockets.append(create_connection(*args, **options))  # type: ignore[arg-type]
        return sockets[-1]

    monkeypatch.setattr(connection, "create_connection", record)
    return sockets


@pytest.fixture
def two(installation: Installation) -> Installation:
    """Two sources on one bucket each, with a log group each."""
    installation.logs.create_log_group(logGroupName=SLOW_GROUP)
    installation.configuration["sources"] = [
        {"name": "slow", "log_group": SLOW_GROUP, "log_type": "IAM"},
        {"name": "other"},
    ]
    return installation
