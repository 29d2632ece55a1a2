"""PutLogEvents over TLS: the put client trusts whom botocore's own clients trust."""

from pathlib import Path

import boto3
import pytest

from services.put_client import PutClient, RejectedInfo, UnknownOutcomeError
from tests.fake_server import Authority, FakeServer, Reply, always
from tests.in_memory import source_of
from utils.model import LogEvent

BATCH = [LogEvent(1, "{}", 2, 1)]


def test_a_companys_own_authority_is_trusted_where_boto3_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everything works but the puts, and each of them passes for an unknown outcome."""
    authority = Authority(tmp_path)
    session = boto3.Session("key", "secret", region_name="us-east-1")
    with FakeServer(always(Reply(200, b"{}")), authority.context()) as server:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
        found = PutClient(session, server.url, source_of()).put(BATCH)
        assert (found.too_old_log_event_end_index, found.expired_log_event_end_index) == (0, 0)
        assert isinstance(found, RejectedInfo)
        monkeypatch.delenv("AWS_CA_BUNDLE")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        with pytest.raises(UnknownOutcomeError):
            PutClient(session, server.url, source_of()).put(BATCH)
