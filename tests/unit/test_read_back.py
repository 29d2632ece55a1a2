"""Read back is what CloudWatch answers to the question: nothing twice, nothing left out."""

from collections.abc import Callable, Mapping
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.parsers import ResponseParserError

from services.reading.read_back import ReadBack
from tests.world.in_memory import source_of
from tests.world.in_memory_time import NoWait, VirtualTime
from utils.errors import ServiceError
from utils.model import Gauge

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient

Answer = Mapping[str, object] | Exception
_numbers = count(1)


class Client:
    """Gives answers in their order, the last one again and again.

    Args:
        answers: the first ones, or a function that makes them by the number of the call.
    """

    def __init__(self, *answers: Answer, make: Callable[[int], Answer] | None = None) -> None:
        self._answers = answers
        self._make = make or (lambda number: self._answers[min(number, len(answers)) - 1])
        self.meta = SimpleNamespace(endpoint_url=f"http://read-back-{next(_numbers)}.invalid")
        self.asked: list[str | None] = []

    def get_log_events(self, **request: Any) -> Mapping[str, object]:
        self.asked.append(request.get("nextToken"))
        answer = self._make(len(self.asked))
        if isinstance(answer, Exception):
            raise answer
        return answer


def page(token: object, *messages: str, at_ms: object = 5, **changes: object) -> dict[str, object]:
    """Returns a page as CloudWatch gives it, with changes."""
    return {
        "events": [{"timestamp": at_ms, "message": message} for message in messages],
        "nextForwardToken": token,
        "ResponseMetadata": {"RequestId": f"read-{next(_numbers)}"},
        **changes,
    }


def read(client: Client) -> list[str]:
    """Returns the messages of the milliseconds 1 to 9."""
    known = cast("CloudWatchLogsClient", client)
    read_back = ReadBack(known, source_of(), Gauge(), NoWait(VirtualTime()))
    return [message for _, message in read_back.stored(1, 10)]


NO_PAGES = {
    "an empty body": {},
    "no token": {"events": [], "ResponseMetadata": {"RequestId": "no token"}},
    "no events": page("f/1", events=None),
    "a token that is a number": page(5, "a"),
    "no request id": page("f/1", "a", ResponseMetadata={}),
    "an event before the time": page("f/1", "a", at_ms=0),
    "an event behind the time": page("f/1", "a", at_ms=10),
    "a time that is none": page("f/1", "a", at_ms="x"),
    "JSON of another shape": ResponseParserError("an answer of another shape"),
}


@pytest.mark.parametrize("wrong", NO_PAGES.values(), ids=NO_PAGES)
@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_is_not_the_page_is_asked_for_again(wrong: Answer, place: int) -> None:
    """Else events in doubt count as missing, and are sent twice."""
    good = [page("f/1", "a", "b"), page("f/2", "c"), page("f/2")]
    answers: list[Answer] = [*good[: place - 1], wrong, *good[place - 1 :]]
    assert read(Client(*answers)) == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", NO_PAGES.values(), ids=NO_PAGES)
def test_an_answer_that_stays_wrong_is_an_error(wrong: Answer) -> None:
    client = Client(page("f/0", "a"), wrong)
    with pytest.raises(ServiceError, match="Can't read back from the log group"):
        read(client)
    assert len(client.asked) == 6


def test_identical_lines_count_each_and_a_page_that_comes_again_counts_once() -> None:
    """A twin that is counted twice is taken for one that was never stored."""
    again = [page("f/1", "a", "a"), page("f/1", "a", "a"), page("f/1")]
    assert read(Client(*again)) == ["a", "a"]
    first = page("f/1", "a")
    assert read(Client(first, first, page("f/2", "b"), first, page("f/2"))) == ["a", "b"]
    older = [page("f/1", "a"), page("f/2", "b"), page("f/1", "a"), page("f/2")]
    assert read(Client(*older)) == ["a", "b"]


def test_tokens_in_a_circle_end_in_an_error() -> None:
    client = Client(make=lambda number: page(f"f/{number % 3}", "a"))
    with pytest.raises(ServiceError, match="a page that was read before"):
        read(client)
    assert len(client.asked) < 20


def test_empty_pages_without_end_are_an_error() -> None:
    client = Client(make=lambda number: page(f"f/{number}"))
    with pytest.raises(ServiceError, match="pages without an event"):
        read(client)
    assert len(client.asked) == 1001


def test_empty_pages_on_the_way_are_none() -> None:
    pages = [page(f"f/{number}") for number in range(900)]
    ends = [page("f/900", "a"), page("f/901"), page("f/901")]
    assert read(Client(*pages, *ends)) == ["a"]
