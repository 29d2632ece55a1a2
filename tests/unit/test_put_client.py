"""The put client does as botocore's own clients do: whom it trusts, and how it sends."""

from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY, socket

import pytest

from services.aws.put_request import NotStoredError, PutClient, RejectedInfo, UnknownOutcomeError
from services.daemon.rounds import forget_clients
from tests.standin.fake_server import Authority, FakeServer, Reply, always
from tests.world.in_memory import source_of
from utils.model import LogEvent

BATCH = [LogEvent(1, "{}", 2, 1)]


def test_a_companys_own_authority_is_trusted_where_boto3_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everything works but the puts, and each of them passes for an unknown outcome."""
    authority = Authority(tmp_path)
    with FakeServer(always(Reply(200, b"{}")), authority.context()) as server:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.path))
        found = PutClient(server.url, source_of()).put(BATCH, lambda: True)
        assert (found.too_old_log_event_end_index, found.expired_log_event_end_index) == (0, 0)
        assert isinstance(found, RejectedInfo)
        monkeypatch.delenv("AWS_CA_BUNDLE")
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
        forget_clients()
        with pytest.raises(UnknownOutcomeError):
            PutClient(server.url, source_of()).put(BATCH, lambda: True)


def test_the_end_of_a_request_does_not_wait_for_an_answer(opened: list[socket]) -> None:
    """Else each small put takes 40 ms longer, where the server acknowledges late."""
    with FakeServer(always(Reply(200, b"{}"))) as server:
        client = PutClient(server.url, source_of())
        client.put(BATCH, lambda: True)
        assert [one.getsockopt(IPPROTO_TCP, TCP_NODELAY) for one in opened] == [1]


def test_nothing_is_sent_while_it_may_not() -> None:
    asked: list[str] = []

    def answer(*request: str) -> Reply:
        asked.append(" ".join(request))
        return Reply(200, b"{}")

    with FakeServer(answer) as server:
        client = PutClient(server.url, source_of())
        with pytest.raises(NotStoredError):
            client.put(BATCH, lambda: False)
        assert asked == []
        client.put(BATCH, lambda: True)
    assert asked == ["POST /"]
