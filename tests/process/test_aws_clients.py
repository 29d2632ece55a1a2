"""The clients of many sources: what they have in common is held once."""

from pathlib import Path
from socket import socket

import pytest
from botocore.loaders import JSONFileLoader
from botocore.model import Shape
from botocore.session import Session
from botocore.utils import parse_timestamp

from services.aws.clients import aws_credentials, logs_client, s3_client
from services.aws.errors import lyve_errors
from services.aws.list_request import moment
from services.aws.session import USED_OPERATIONS, botocore_session
from services.daemon.iterations import forget_clients
from tests.standin.fake_server import FakeServer, Reply, always
from utils.config.settings import AwsAccess, LyveAccess
from utils.errors import ServiceError

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
ROLE = b"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>
<SecretAccessKey>secret</SecretAccessKey><SessionToken>of-the-session</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


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

    monkeypatch.setattr("services.aws.session._Files.load_file", record)
    make_clients("america")
    assert loaded == []


def described(shape: Shape | None, above: tuple[str, ...] = ()) -> object:
    """Returns all that a shape says of requests and answers."""
    if shape is None or shape.name in above:
        return shape and shape.name
    parts = dict(getattr(shape, "members", {}))
    parts |= {
        name: getattr(shape, name) for name in ("member", "key", "value") if name in dir(shape)
    }
    within = {name: described(one, (*above, shape.name)) for name, one in parts.items()}
    return shape.name, shape.type_name, shape.serialization, within


@pytest.mark.parametrize("service", USED_OPERATIONS)
def test_what_is_read_of_a_service_is_what_botocore_has_of_it(service: str) -> None:
    """Only the operations that the program calls are read, and all that these refer to."""
    session = botocore_session()
    used = session.get_service_model(service)
    whole = Session().get_service_model(service)
    assert set(used.operation_names) == USED_OPERATIONS[service]
    assert used.metadata == whole.metadata
    for name in USED_OPERATIONS[service]:
        one, other = used.operation_model(name), whole.operation_model(name)
        assert one.http["method"] == other.http["method"], "the path is changed by a client"
        assert described(one.input_shape) == described(other.input_shape)
        assert described(one.output_shape) == described(other.output_shape)


def test_tenants_of_one_endpoint_share_its_connections(opened: list[socket]) -> None:
    """With TLS, each client of its own has 0.7 MB of certificates, which each connection reads."""
    with FakeServer(always(Reply(200, b"<ListBucketResult/>"))) as server:
        for tenant in ("europe", "america"):
            access = LyveAccess(tenant, tenant, "us-east-1", server.url)
            assert "Contents" not in s3_client(access).list_objects_v2(Bucket="audit")
    assert len(opened) == 1


def test_a_role_by_web_identity_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes gives it; boto3 makes a client of its own for it."""
    token = tmp_path / "token"
    token.write_text("a-token-of-kubernetes")
    asked: list[str] = []

    def answer(*request: str) -> Reply:
        asked.append(" ".join(request))
        return Reply(200, ROLE)

    with FakeServer(answer) as server:
        variables = {
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/forwarder",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
            "AWS_ENDPOINT_URL_STS": server.url,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        forget_clients()
        found = aws_credentials(AwsAccess(None, None, "eu-west-1"))
        assert found is not None
        keys = found.get_frozen_credentials()
    assert (keys.access_key, keys.token) == ("ASIAROLE", "of-the-session")
    assert asked == ["POST /"]


def test_a_bucket_of_another_region_is_told() -> None:
    """Botocore asks by itself where it is."""
    body = b"<Error><Code>PermanentRedirect</Code></Error>"
    with FakeServer(always(Reply(301, body))) as server:
        client = s3_client(LyveAccess("key", "secret", "us-east-1", server.url))
        with pytest.raises(ServiceError, match="LYVE_REGION"), lyve_errors("list it", {}):
            client.list_objects_v2(Bucket="audit")


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
    ],
)
def test_times_are_those_that_botocore_reads(written: str) -> None:
    own, botocores = moment(written), parse_timestamp(written)
    assert (own, own.utcoffset()) == (botocores, botocores.utcoffset())
