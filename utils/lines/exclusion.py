"""Tells which lines are read and not sent, by their fields."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import cast

import msgspec

from utils.model import Exclusion

FieldOf = Callable[[bytes], str | None]


class ExcludedError(Exception):
    """The line is not to be sent."""


def excluding(
    time_ms: Callable[[bytes], int | None],
    exclude: Iterable[Exclusion],
    reader: Callable[[str], FieldOf],
) -> Callable[[bytes], int | None]:
    """Returns what reads a line's own time, and raises ExcludedError for one that is excluded.

    It is not used if nothing is excluded, so no line is looked at in vain.

    Args:
        time_ms: reads the time of a line that is sent.
        exclude: which lines are not.
        reader: returns what reads the field of a name out of a line, None where it has none.
    """
    fields = [(reader(one.field), frozenset(one.values)) for one in exclude]

    def read(line: bytes) -> int | None:
        for field_of, values in fields:
            if field_of(line) in values:
                raise ExcludedError
        return time_ms(line)

    return read


def json_field(path: str) -> FieldOf:
    """Returns what reads a field of a JSON line as text: a text as it is, another value as JSON.

    Args:
        path: the names on the way to the field, with dots between them.
    """
    # Only the way to the field is decoded: nearly as fast as the line's time.
    *outer, last = path.split(".")
    missing = msgspec.field(default=msgspec.Raw(), name=last)
    kind = msgspec.defstruct("Level", [("inner", msgspec.Raw, missing)], gc=False)
    for name in reversed(outer):
        none = msgspec.field(default=None, name=name)
        kind = msgspec.defstruct("Level", [("inner", kind | None, none)], gc=False)
    return partial(_text_at, msgspec.json.Decoder(kind).decode)


def _text_at(decode: Callable[[bytes], object], line: bytes) -> str | None:
    try:
        found = decode(line)
        while isinstance(found, msgspec.Struct):
            found = getattr(found, "inner")  # noqa: B009 - of a type that is made above
        written = bytes(cast("msgspec.Raw", found or b""))
        if written[:1] == b'"':
            return msgspec.json.decode(written, type=str)
        return None if written[:1] in {b"", b"{", b"["} else written.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
