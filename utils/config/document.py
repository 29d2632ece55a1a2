"""The document config.json to an entry for each source, and to all that is wrong with its form."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from utils.config.environment import VARIABLES
from utils.config.keys import ALLOWED, REQUIRED, value_faults
from utils.errors import ForwarderError
from utils.wording import did_you_mean, found

_TOP_KEYS = (*(key for key in ALLOWED if key != "name"), "sources")
_ELSEWHERE = {
    "name": 'Only an object in "sources" has a name',
    "sources": "It belongs at the top level only",
    **dict.fromkeys(VARIABLES, "It is a variable of the environment: set it there"),
}


class Entry(NamedTuple):
    """The keys of one source, as JSON has them.

    Attributes:
        where: what a message about the source begins with.
        name: empty in a document without sources, and where it can't be used.
        own: the keys of the source's own object.
        keys: its own keys and those it inherits.
    """

    where: str
    name: str
    own: Mapping[str, object]
    keys: Mapping[str, object]


def read_entries(document: bytes, file: str) -> tuple[list[Entry], list[ForwarderError]]:
    """Returns an entry for each named source, and what is wrong with the document key by key.

    Without sources, the document itself is the one entry. Wrong values stay in.

    Args:
        document: JSON in UTF-8, with or without a byte order mark.
        file: its name, with which the messages begin.
    """
    content, problems = _decoded(document, file)
    if content is None:
        # With sources, nobody can tell which variables they need.
        return [] if b'"sources"' in document else [Entry(file, "", {}, {})], problems
    problems += _key_problems(file, content, _TOP_KEYS)
    if "sources" not in content:
        problems += _missing_keys(file, content, "", REQUIRED)
        return [Entry(file, "", content, content)], problems
    sources, its, allowed = content["sources"], f"{file}: sources", "allowed: a list of objects"
    if not isinstance(sources, list) or not sources:
        return [], [*problems, ForwarderError(f"{its} is {found(sources)}", allowed)]
    inherited = {key: value for key, value in content.items() if key in ALLOWED and key != "name"}
    entries = []
    for number, own in enumerate(sources, 1):
        if not isinstance(own, dict):
            problems.append(ForwarderError(f"{its} holds {found(own)}", allowed))
            continue
        name = own.get("name", "")
        is_named = name and not any(value_faults("name", name))
        where = f"{file}: " + (f'source "{name}"' if is_named else f"source number {number}")
        keys = {**inherited, **own}
        problems += _key_problems(where, own, tuple(ALLOWED))
        problems += _missing_keys(where, own, "", ("name",))
        problems += _missing_keys(where, keys, " here and at the top level", REQUIRED)
        if is_named:
            entries.append(Entry(where, name, own, keys))
    return entries, problems


def _decoded(
    document: bytes, file: str
) -> tuple[Mapping[str, object] | None, list[ForwarderError]]:
    """Returns the object in the document, None if there is none, and its problems as JSON."""
    problems: list[ForwarderError] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        name = dict(pairs).get("name")
        where = f"{file}: source {found(name)}" if isinstance(name, str) else file
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                what = f"{where}: the key {found(key)} is there {count} times"
                problems.append(ForwarderError(what, hint="Keep one of them"))
        return dict(pairs)

    try:
        content = json.loads(document.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as exc:
        return None, [*problems, _unreadable(document, file, exc)]
    if isinstance(content, dict):
        return content, problems
    return None, [*problems, ForwarderError(f"{file} is {found(content)}, not an object")]


def _unreadable(document: bytes, file: str, exc: Exception) -> ForwarderError:
    if not document.strip():
        return ForwarderError(f"{file} is empty", hint="Write the required keys into it")
    if isinstance(exc, json.JSONDecodeError):
        place = f"line {exc.lineno}, column {exc.colno}: {exc.msg}"
        hint = "Look there, and just before, for a comma, a quotation mark or a bracket too many \
or too few"
        return ForwarderError(f"{file} is not JSON", place, hint)
    if isinstance(exc, UnicodeDecodeError):
        line = document.count(b"\n", 0, exc.start) + 1
        return ForwarderError(f"{file} is not UTF-8 text", f"line {line}", "Save it as UTF-8")
    too = "brackets nested too deep" if isinstance(exc, RecursionError) else "a number too long"
    return ForwarderError(f"{file} can't be read", f"it has {too}")


def _key_problems(
    where: str, keys: Mapping[str, object], known: tuple[str, ...]
) -> Iterator[ForwarderError]:
    for key, value in keys.items():
        if key not in known:
            hint = _ELSEWHERE.get(key) or did_you_mean(key, known)
            allowed = f"allowed: {', '.join(known)}"
            yield ForwarderError(f"{where}: {found(key)} is not a known key", allowed, hint)
        elif key in ALLOWED:
            for fault in value_faults(key, value):
                yield ForwarderError(f"{where}: {key} {fault.what}", ALLOWED[key], fault.hint)


def _missing_keys(
    where: str, keys: Mapping[str, object], place: str, needed: Iterable[str]
) -> Iterator[ForwarderError]:
    for key in needed:
        if key not in keys:
            what = f"{where}: {key} is missing{place}"
            yield ForwarderError(what, ALLOWED[key], f"Add {key}")
