"""One account in one region: log groups, clock, settings, and a record of all calls."""

from collections.abc import Callable
from random import Random
from time import time_ns

from msgspec import Struct

from tests.standin.cloudwatch_rules import RefusalError
from tests.standin.cloudwatch_settings import Fault, Settings, changed
from tests.standin.cloudwatch_store import Archive, LogGroup

ACCOUNT_ID = "123456789012"
EMPTY_PAGE_PROBABILITY = 0.5


class Calls(Struct, kw_only=True):
    """What was called: counted at arrival by operation, at the end by outcome.

    The batches are those of all readable PutLogEvents requests, whatever became of them.
    """

    operations: dict[str, int] = {}
    outcomes: dict[str, dict[str, int]] = {}
    largest_batch_events: int = 0
    largest_batch_bytes: int = 0
    batch_lengths: dict[int, int] = {}
    events_rejected: int = 0
    under_way: dict[str, int] = {}
    most_at_once: dict[str, int] = {}

    def arrived(self, operation: str) -> None:
        """Counts a call."""
        self.operations[operation] = self.operations.get(operation, 0) + 1
        self.under_way[operation] = self.under_way.get(operation, 0) + 1
        most = self.most_at_once.get(operation, 0)
        self.most_at_once[operation] = max(most, self.under_way[operation])

    def left(self, operation: str) -> None:
        """Notes that a call is answered, or never will be."""
        self.under_way[operation] -= 1

    def ended(self, operation: str, outcome: str) -> None:
        """Counts what a call came to: accepted, a fault, or the name of a refusal."""
        outcomes = self.outcomes.setdefault(operation, {})
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    def batch(self, length: int, size: int) -> None:
        """Records a batch by its number of events and its bytes as the service counts them."""
        self.largest_batch_events = max(length, self.largest_batch_events)
        self.largest_batch_bytes = max(size, self.largest_batch_bytes)
        self.batch_lengths[length] = self.batch_lengths.get(length, 0) + 1


class Account:
    """Everything that the operations work on.

    Args:
        settings: to begin with.
        archive: makes what keeps the events of a new stream.
    """

    def __init__(self, settings: Settings, archive: Callable[[], Archive]) -> None:
        self.settings = settings
        self.archive = archive
        self.groups: dict[str, LogGroup] = {}
        self.calls = Calls()
        self._ingested = 0
        self._seed()

    def change(self, changes: bytes) -> None:
        """Lays a JSON object over the settings; a change of the seed starts the chances anew.

        Raises:
            msgspec.ValidationError: an unknown key or a wrong value; nothing has changed.
        """
        before, self.settings = self.settings, changed(self.settings, changes)
        if before.seed != self.settings.seed:
            self._seed()

    def now_ms(self) -> int:
        """Returns the service's clock in milliseconds since 1970."""
        return time_ns() // 1_000_000 + self.settings.clock_offset_ms

    def next_number(self) -> int:
        """Returns the number of one more ingested event."""
        self._ingested += 1
        return self._ingested

    def is_troubled(self, operation: str, group: str) -> bool:
        """Tells if faults and latency apply to calls of an operation on a log group."""
        groups = self.settings.fault_groups
        return operation in self.settings.fault_operations and (not groups or group in groups)

    def draw_fault(self, operation: str, group: str) -> Fault:
        """Returns what befalls the next call of an operation on a log group."""
        if not self.is_troubled(operation, group):
            return "none"
        if self.settings.fail_next:
            return self.settings.fail_next.pop(0)
        point = self._fault_chance.random()
        for fault, probability in self.settings.probabilities.items():
            point -= probability
            if point < 0:
                return fault
        return "none"

    def draws_empty_page(self) -> bool:
        """Returns whether an empty page comes before the next events."""
        if not self.settings.empty_pages:
            return False
        return self._page_chance.random() < EMPTY_PAGE_PROBABILITY

    def group(self, name: str) -> LogGroup:
        """Returns a log group.

        Raises:
            RefusalError: there is none of this name.
        """
        if name not in self.groups:
            raise RefusalError(
                "ResourceNotFoundException", "The specified log group does not exist."
            )
        return self.groups[name]

    def group_arn(self, name: str) -> str:
        """Returns a group's ARN without its trailing `:*`."""
        return f"arn:aws:logs:{self.settings.region}:{ACCOUNT_ID}:log-group:{name}"

    def stream_arn(self, group: str, stream: str) -> str:
        """Returns a stream's ARN."""
        return f"{self.group_arn(group)}:log-stream:{stream}"

    def _seed(self) -> None:
        self._fault_chance = Random(self.settings.seed)
        self._page_chance = Random(self.settings.seed)
