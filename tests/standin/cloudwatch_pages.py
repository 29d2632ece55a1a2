"""Pages of events and the tokens that lead from one to the next.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import replace

from tests.standin.cloudwatch_rules import MAXIMUM_TIMESTAMP_MS, event_bytes, invalid_parameter
from tests.standin.cloudwatch_store import Position, StoredEvent

MAXIMUM_PAGE_BYTES = 1_048_576

position_of = attrgetter("position")


class Token(Struct, frozen=True):
    """A place between two events, and the direction to read on in.

    Args:
        direction: `f` for what follows the position, `b` for what precedes it.
        timestamp: of the position, in milliseconds.
        number: of the position, by ingestion.
        rests: how many empty pages were returned here.
    """

    direction: str
    timestamp: int
    number: int
    rests: int = 0

    @property
    def position(self) -> Position:
        """The place in the stream's order."""
        return self.timestamp, self.number

    @property
    def is_forward(self) -> bool:
        """Whether it leads to later events."""
        return self.direction == "f"

    def rested(self) -> "Token":
        """Returns another token for the same place."""
        return replace(self, rests=self.rests + 1)

    def turned(self) -> "Token":
        """Returns the token that leads back from here."""
        if self.is_forward:
            return Token("b", self.timestamp, self.number + 1)
        return Token("f", self.timestamp, self.number - 1)

    def __str__(self) -> str:
        return f"{self.direction}/{self.timestamp}/{self.number}/{self.rests}"


HEAD = Token("f", 0, 0)
END = Token("b", MAXIMUM_TIMESTAMP_MS + 1, 1)


class EventPage(Struct, frozen=True):
    """Events in chronological order, and the tokens that lead on and back."""

    events: Sequence[StoredEvent]
    forward: Token
    backward: Token

    def rested(self, token: Token) -> "EventPage":
        """Returns an empty page that comes before this one at a token."""
        if token.is_forward:
            return EventPage([], token.rested(), token.turned())
        return EventPage([], token.turned(), token.rested())


def parsed(text: str) -> Token:
    """Returns the token that a text stands for.

    Raises:
        RefusalError: it is none of the service's.
    """
    direction, *numbers = text.split("/")
    if direction not in ("f", "b") or len(numbers) != 3 or not all(map(str.isdecimal, numbers)):
        raise invalid_parameter("The specified nextToken is invalid.")
    timestamp, number, rests = map(int, numbers)
    return Token(direction, timestamp, number, rests)


def filled(
    events: Iterable[StoredEvent], limit: int, now_seconds: float
) -> tuple[list[StoredEvent], bool]:
    """Returns the visible events that one page holds, and whether more of them follow.

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
            return page, True
        page.append(event)
    return page, False


def after(events: Sequence[StoredEvent], token: Token) -> Sequence[StoredEvent]:
    """Returns the ordered events that follow a token's place."""
    return events[bisect_right(events, token.position, key=position_of) :]


def read_page(
    events: Sequence[StoredEvent], token: Token, limit: int, now_seconds: float
) -> EventPage:
    """Returns the page that a token leads to; without events, the token leads to itself.

    Args:
        events: in their order.
        token: the place and the direction.
        limit: of the number of events.
        now_seconds: the monotonic clock.
    """
    if token.is_forward:
        page, _ = filled(after(events, token), limit, now_seconds)
        forward = Token("f", *page[-1].position) if page else token
        backward = Token("b", *page[0].position) if page else token.turned()
        return EventPage(page, forward, backward)
    before = events[: bisect_left(events, token.position, key=position_of)]
    page, _ = filled(reversed(before), limit, now_seconds)
    forward = Token("f", *page[0].position) if page else token.turned()
    backward = Token("b", *page[-1].position) if page else token
    return EventPage(page[::-1], forward, backward)
