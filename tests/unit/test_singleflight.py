"""What many threads ask for at the same time is made once, and shared."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from services.aws.clients import aws_credentials, logs_client, s3_client
from services.aws.http_session import http_session
from services.aws.session import botocore_session
from services.daemon.iterations import forget_clients
from services.threads.singleflight import Singleflight
from utils.config.settings import AwsAccess, LyveAccess

THREADS = 16
# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0
LYVE = LyveAccess("access", "secret", "us-east-1", "http://127.0.0.1:9")
AWS = AwsAccess("access", "secret", "us-east-1")


def asked_at_once(ask: Callable[[], object]) -> list[object]:
    together = Barrier(THREADS)

    def wait_and_ask(_: int) -> object:
        together.wait()
        return ask()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(wait_and_ask, range(THREADS)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: s3_client(LYVE),
        botocore_session,
        lambda: aws_credentials(AWS),
        lambda: logs_client(AWS),
        lambda: http_session("http://127.0.0.1:9"),
    ],
    ids=["s3", "session", "credentials", "logs", "http"],
)
def test_threads_that_ask_at_once_get_the_same(ask: Callable[[], object]) -> None:
    """With one each, 50 sources of one tenant took 40 MB more, and each its own connections."""
    forget_clients()
    first, *others = asked_at_once(ask)
    assert all(other is first for other in others)


def test_what_differs_in_an_argument_is_made_apart() -> None:
    other = LyveAccess("other", "secret", "us-east-1", "http://127.0.0.1:9")
    assert s3_client(LYVE) is not s3_client(other)
    assert s3_client(LYVE) is not s3_client(LYVE, attempts=1)


def test_what_is_forgotten_is_made_anew() -> None:
    before = s3_client(LYVE)
    forget_clients()
    assert s3_client(LYVE) is not before


def test_one_that_takes_long_holds_up_none_that_asks_for_another() -> None:
    """A tenant's credentials may come from a program that hangs."""
    begun, released = Event(), Event()

    @Singleflight
    def make(tenant: str) -> str:
        if tenant == "slow":
            begun.set()
            released.wait()
        return tenant

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(make, "slow")
        begun.wait()
        try:
            assert threads.submit(make, "quick").result(DEADLINE_SECONDS) == "quick"
        finally:
            released.set()
        assert slow.result() == "slow"


def test_a_failure_is_not_kept() -> None:
    asked = []

    @Singleflight
    def make(argument: str) -> str:
        asked.append(argument)
        if len(asked) == 1:
            raise ValueError(argument)
        return argument

    with pytest.raises(ValueError, match="a"):
        make("a")
    assert (make("a"), make("a")) == ("a", "a")
    assert len(asked) == 2
