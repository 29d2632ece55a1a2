"""The forms that the lines of audit logs have, by the type of audit log."""

from collections.abc import Callable

import msgspec

from utils.access_log import access_time_ms
from utils.json_extractor import NotJsonError, event_time_ms


class LineForm(msgspec.Struct, frozen=True):
    """How the lines of one type of audit log are read.

    Attributes:
        time_ms: returns an event's own time in ms since 1970, None if it names none, and raises
            OtherFormError for a line of another form.
        is_whole: tells if a line whose end was not read is complete.
        others: the count of `Counts` that lines of another form are counted in.
    """

    time_ms: Callable[[bytes], int | None]
    is_whole: Callable[[bytes], bool]
    others: str


def _is_whole_json(line: bytes) -> bool:
    """Tells if a line is complete: no beginning of a JSON object is one."""
    try:
        event_time_ms(line)
    except NotJsonError:
        return False
    return line.lstrip().startswith(b"{")


def _is_whole_access(_: bytes) -> bool:
    """Tells that nothing is known: the beginning of a last field looks like a whole one."""
    return False


JSON = LineForm(event_time_ms, _is_whole_json, "not_json")
ACCESS = LineForm(access_time_ms, _is_whole_access, "not_access")
FORMS = {"S3": JSON, "IAM": JSON, "Console": JSON, "Access": ACCESS}
