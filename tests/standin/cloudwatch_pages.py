"""Pages of events and the tokens that lead from one to the next.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from tests.standin.cloudwatch_rules import event_bytes, invalid_parameter
from tests.standin.cloudwatch_store import StoredEvent

MAXIMUM_PAGE_BYTES = 1_048_576


class Token(Struct, frozen=True):
    """A place behind an event, to read on from.

    Args:
        timestamp: of the event, in milliseconds.
        number: of the event, by ingestion.
        rests: how many empty pages were returned here.
    """

    timestamp: int
    number: int
    rests: int = 0

    def rested(self) -> "Token":
        """Returns another token for the same place."""
        return replace(self, rests=self.rests + 1)

    def __str__(self) -> str:
        return f"f/{self.timestamp}/{self.number}/{self.rests}"


HEAD = Token(0, 0)


def parsed(text: str) -> Token:
    """Returns the token that a text stands for.

    Raises:
        RefusalError: it is none of the service's.
    """
    direction, *numbers = text.split("/")
    if direction != "f" or len(numbers) != 3 or not all(map(str.isdecimal, numbers)):
        raise invalid_parameter("The specified nextToken is invalid.")
    return Token(*map(int, numbers))


def filled(events: Iterable[StoredEvent], limit: int, now_seconds: float) -> list[StoredEvent]:
    """Returns the visible events that one page holds.

    Args:
        events: in the order of reading.
        limit: of the number of events.
        now_seconds: the monotonic clock.
    """
    page: list[StoredEvent] = []
    size = 0
    for event in events:
        if event.visible_at > now_seconds:
            continue
        size += event_bytes(event.message)
        if len(page) == limit or (page and size > MAXIMUM_PAGE_BYTES):
            break
        page.append(event)
    return page


def read_page(
    events: Sequence[StoredEvent], token: Token, limit: int, now_seconds: float
) -> tuple[list[StoredEvent], Token]:
    """Returns the events behind a token, and the token behind these: without any, the same.

    Args:
        events: in their order.
        token: the place.
        limit: of the number of events.
        now_seconds: the monotonic clock.
    """
    place = token.timestamp, token.number
    left = events[bisect_right(events, place, key=attrgetter("position")) :]
    page = filled(left, limit, now_seconds)
    return page, Token(*page[-1].position) if page else token
