"""The clients of many sources: what they have in common is held once."""

from socket import socket

import pytest
from botocore.loaders import JSONFileLoader
from botocore.utils import parse_timestamp
from urllib3.util import connection

from services.aws_clients import logs_client, s3_client
from services.boto3_session import moment
from tests.fake_server import FakeServer, Reply, always
from utils.settings import AwsAccess, LyveAccess


def make_clients(source: str) -> None:
    """Makes the clients of one source, each with keys of its own."""
    s3_client(LyveAccess(source, source, "us-east-1", f"https://{source}.example.com"))
    logs_client(AwsAccess(source, source, "us-east-1"))


def test_botocores_data_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read for each session, they take 10 MB of memory and 0.1 s for each client."""
    make_clients("europe")
    loaded: list[str] = []
    load_file = JSONFileLoader.load_file

    def record(self: JSONFileLoader, path: str) -> object:
        loaded.append(path)
        return load_file(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", record)
    make_clients("america")
    assert loaded == []


def test_tenants_of_one_endpoint_share_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS, each client of its own has 0.7 MB of certificates, which each connection reads."""
    opened: list[socket] = []
    create_connection = connection.create_connection

    def record(*args: object, **options: object) -> socket:
        opened.append(create_connection(*args, **options))  # type: ignore[arg-type]
        return opened[-1]

    monkeypatch.setattr(connection, "create_connection", record)
    with FakeServer(always(Reply(200, b"<ListBucketResult/>"))) as server:
        for tenant in ("europe", "america"):
            access = LyveAccess(tenant, tenant, "us-east-1", server.url)
            assert "Contents" not in s3_client(access).list_objects_v2(Bucket="audit")
    assert len(opened) == 1


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-24T15:57:05.123Z",
        "2026-11-24T15:57:05.123456789Z",
        "2026-11-24T15:57:05Z",
        "2026-11-24T15:57:05+02:00",
        "2026-11-24T15:57:05",
        "Tue, 24 Nov 2026 15:57:05 GMT",
        "20261124",
        "1793491200",
        "1793491200.5",
        1_793_491_200,
        1_793_491_200.5,
    ],
)
def test_times_are_those_that_botocore_reads(written: str | float) -> None:
    own, botocores = moment(written), parse_timestamp(written)  # type: ignore[arg-type]
    assert (own, own.utcoffset()) == (botocores, botocores.utcoffset())
