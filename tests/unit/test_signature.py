"""The signature is the one that botocore makes, for whatever is signed."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.aws.signature import Signer

NAMES = st.sampled_from(["Content-Type", "If-Match", "Range", "X-Amz-Target", "x-lower"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip)
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
BEGIN = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)
HOSTS = st.sampled_from(["logs.example.com", "127.0.0.1:8080", "[::1]:9", "Host:80", "host:443"])


class Asked(NamedTuple):
    """A request, and who signs it when."""

    headers: dict[str, str]
    keys: tuple[str, str, str | None]
    host: str
    path: str
    body: bytes
    moment: datetime


ASKED = st.builds(
    Asked,
    headers=st.dictionaries(NAMES, VALUES, max_size=4),
    keys=st.tuples(WORDS, WORDS, st.none() | WORDS),
    host=HOSTS,
    path=st.text(max_size=30),
    body=st.binary(max_size=100),
    moment=st.datetimes(BEGIN, BEGIN + timedelta(days=36_500)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=ASKED)
@pytest.mark.parametrize("service", ["logs", "s3"])
def test_the_signature_is_botocores(
    monkeypatch: pytest.MonkeyPatch, service: str, asked: Asked
) -> None:
    """A wrong one would stop every put, or every object, at a service that tests can't ask."""
    for name in ("botocore.auth", "services.aws.signature"):
        monkeypatch.setattr(f"{name}.get_current_datetime", lambda **_: asked.moment)
    # By https botocore leaves the digest of an S3 body out, which the connection protects.
    url = f"http://{asked.host}/{quote('' if service == 'logs' else asked.path, safe='/~')}"
    keys = Credentials(*asked.keys)
    botocores = AWSRequest("POST", url, asked.headers, asked.body)
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, "us-east-1").add_auth(botocores)
    own = Signer(keys, service, "us-east-1", url).request("POST", url, asked.headers, asked.body)
    assert own.headers["Authorization"] == botocores.headers["Authorization"]
    sent = {name.lower() for name, _ in own.headers.items()}
    assert sent == {name.lower() for name, _ in botocores.headers.items()} | {"host"}


def test_keys_that_change_are_asked_for_at_each_request() -> None:
    """Those of a role change within hours."""
    credentials = Credentials("first", "secret")
    signer = Signer(credentials, "logs", "us-east-1", "http://host")
    assert "first" in signer.request("POST", "http://host", {}, b"{}").headers["Authorization"]
    credentials.access_key = "second"
    assert "second" in signer.request("POST", "http://host", {}, b"{}").headers["Authorization"]
