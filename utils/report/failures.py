"""Failures of sources, those of one cause together: a person puts a cause right once."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from utils.errors import ForwarderError

# Of what failed by one cause; each source's own status object says the rest.
_MOST_MESSAGES = 3


class Failure(NamedTuple):
    """What failed of a source and when, and the pairs of its status line."""

    source: str
    error: ForwarderError
    time: datetime
    pairs: Mapping[str, object] = {}


def by_cause(failures: Iterable[Failure]) -> Iterator[tuple[datetime, str, dict[str, object]]]:
    """Yields a status line's time, text and pairs for each cause, in the order of the failures.

    Where several sources share a cause, their pairs are left out.
    """
    causes: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        causes.setdefault((failure.error.detail, failure.error.hint), []).append(failure)
    for alike in causes.values():
        sources = dict.fromkeys(one.source for one in alike)
        pairs = alike[0].pairs if len(sources) == 1 else {}
        yield alike[0].time, _text(alike), {"source": ", ".join(sources), **pairs}


def _text(alike: list[Failure]) -> str:
    first, *others = dict.fromkeys(one.error.message for one in alike)
    shown = [first, *(f"{one[0].lower()}{one[1:]}" for one in others[: _MOST_MESSAGES - 1])]
    left = 1 + len(others) - len(shown)
    more = [f"and {left} more like these"] if left else []
    return str(
        ForwarderError("; ".join([*shown, *more]), alike[0].error.detail, alike[0].error.hint)
    )
