"""The forms that the lines of audit logs have, by the type of audit log."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from utils.access_log import FIELDS, access_time_ms, field_of
from utils.json_extractor import NotJsonError, event_time_ms
from utils.lines.exclusion import FieldOf, excluding, json_field
from utils.model import Exclusion


class LineForm(msgspec.Struct, frozen=True):
    """How the lines of one type of audit log are read.

    Attributes:
        time_ms: returns an event's own time in ms since 1970, None if it names none, and raises
            OtherFormError for a line of another form, ExcludedError for one that is not sent.
        is_whole: tells if a line whose end was not read is complete.
        field: returns what reads the field of a name out of a line.
        others: the count of `Counts` that lines of another form are counted in.
    """

    time_ms: Callable[[bytes], int | None]
    is_whole: Callable[[bytes], bool]
    field: Callable[[str], FieldOf]
    others: str


def _is_whole_json(line: bytes) -> bool:
    """Tells if a line is complete: no beginning of a JSON object is one."""
    try:
        event_time_ms(line)
    except NotJsonError:
        return False
    return line.lstrip().startswith(b"{")


def _is_whole_access(_: bytes) -> bool:
    """Says no: the beginning of a last field looks like a whole one."""
    return False


def _access_field(name: str) -> FieldOf:
    """Returns what reads a field; a name that the guide lacks has none."""
    return (lambda line: field_of(line, name)) if name in FIELDS else (lambda _: None)


JSON = LineForm(event_time_ms, _is_whole_json, json_field, "not_json")
ACCESS = LineForm(access_time_ms, _is_whole_access, _access_field, "not_access")
FORMS = {"S3": JSON, "IAM": JSON, "Console": JSON, "Access": ACCESS}


def form_of(log_type: str, exclude: Iterable[Exclusion] = ()) -> LineForm:
    """Returns the form of the lines of a type of audit log.

    Args:
        log_type: the type.
        exclude: which lines are not sent.
    """
    form, exclude = FORMS[log_type], tuple(exclude)
    if not exclude:
        return form
    return replace(form, time_ms=excluding(form.time_ms, exclude, form.field))
