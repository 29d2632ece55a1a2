"""The lines that a repair sends, and no others."""

from collections.abc import Iterable, Mapping, Sequence

from utils.model import Batch, LogEvent
from utils.state.uncertain import Recovered, Uncertain


class Missing(Recovered):
    """A filter in front of the ordinary puts: what is not missing is stored.

    Args:
        lines: the numbers of the missing ones, by the key of their object.
        ends: the number of the last line, by the key of its object.
    """

    def __init__(self, lines: Mapping[str, Iterable[int]], ends: dict[str, int]) -> None:
        super().__init__(Uncertain(), ends)
        self._lines = {key: frozenset(numbers) for key, numbers in lines.items()}

    def split(self, events: Sequence[LogEvent], of_object: str) -> tuple[Batch, list[LogEvent]]:
        """Returns the events that are stored, and those that are to be sent.

        Args:
            events: of one object.
            of_object: its key.
        """
        missing = self._lines.get(of_object, frozenset())
        stored = [event for event in events if event.line_number not in missing]
        return stored, [event for event in events if event.line_number in missing]
