"""The document config.json to an entry for each source, and to all that is wrong with it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from utils.config.environment import prefix_of
from utils.config.lookalikes import VARIABLES
from utils.config.rules import NAME, REQUIRED, RULES, value_problems
from utils.errors import ForwarderError
from utils.wording import did_you_mean, found

_SOURCES = "sources"
_TOP_KEYS = (*(key for key in RULES if key != NAME), _SOURCES)
_ELSEWHERE = {
    NAME: f'Only an object in "{_SOURCES}" has a name',
    _SOURCES: "It stands at the top level only",
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
    """Returns an entry for each named source, and all problems of the document.

    Where there are no sources, the document itself is the one entry. Wrong values are left in.

    Args:
        document: JSON in UTF-8, with or without a byte order mark.
        file: its name, with which the messages begin.
    """
    problems: list[ForwarderError] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        problems.extend(_repeated_keys(file, pairs))
        return dict(pairs)

    try:
        content = json.loads(document.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as exc:
        content = None
        problems.append(_unreadable(document, file, exc))
    else:
        if not isinstance(content, dict):
            problems.append(ForwarderError(f"{file} is {found(content)}, not an object"))
    if not isinstance(content, dict):
        # With sources, nobody can tell which variables they need.
        return [] if b'"sources"' in document else [Entry(file, "", {}, {})], problems
    entries = _entries(content, file)
    problems += _problems(content, file, entries)
    return [entry for entry in entries if entry.name or _SOURCES not in content], problems


def _repeated_keys(file: str, pairs: list[tuple[str, object]]) -> Iterator[ForwarderError]:
    name = dict(pairs).get(NAME)
    where = f"{file}: source {found(name)}" if isinstance(name, str) else file
    for key, count in Counter(key for key, _ in pairs).items():
        if count > 1:
            what = f"the key {found(key)} stands {count} times"
            yield ForwarderError(f"{where}: {what}", hint="Keep one of them")


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


def _entries(content: Mapping[str, object], file: str) -> list[Entry]:
    if _SOURCES not in content:
        return [Entry(file, "", {}, content)]
    inherited = {key: content[key] for key in _TOP_KEYS if key in content and key != _SOURCES}
    sources = content[_SOURCES]
    return [
        _entry(f"{file}: source", number, own, inherited)
        for number, own in enumerate(sources if isinstance(sources, list) else [], 1)
        if isinstance(own, dict)
    ]


def _entry(
    where: str, number: int, own: Mapping[str, object], inherited: Mapping[str, object]
) -> Entry:
    name, keys = own.get(NAME), {**inherited, **own}
    if not isinstance(name, str) or any(RULES[NAME].check(name)):
        return Entry(f"{where} number {number}", "", own, keys)
    return Entry(f'{where} "{name}"', name, own, keys)


def _problems(
    content: Mapping[str, object], file: str, entries: list[Entry]
) -> Iterator[ForwarderError]:
    yield from _key_problems(file, content, _TOP_KEYS)
    if _SOURCES in content:
        yield from _sources_problems(file, content[_SOURCES])
        for entry in entries:
            yield from _key_problems(entry.where, entry.own, tuple(RULES))
            yield from _whole_problems(entry, (NAME, *REQUIRED))
        yield from _name_problems(file, entries)
    else:
        yield from _whole_problems(entries[0], REQUIRED)


def _key_problems(
    where: str, keys: Mapping[str, object], known: tuple[str, ...]
) -> Iterator[ForwarderError]:
    for key, value in keys.items():
        if key not in known:
            hint = _ELSEWHERE.get(key) or did_you_mean(key, known)
            allowed = f"allowed: {', '.join(known)}"
            yield ForwarderError(f"{where}: {found(key)} is not a known key", allowed, hint)
        elif key in RULES:
            yield from value_problems(where, key, value)


def _sources_problems(file: str, sources: object) -> Iterator[ForwarderError]:
    where, allowed = f"{file}: {_SOURCES}", "allowed: a list of objects"
    if not isinstance(sources, list) or not sources:
        yield ForwarderError(f"{where} is {found(sources)}", allowed)
        return
    for source in sources:
        if not isinstance(source, dict):
            yield ForwarderError(f"{where} holds {found(source)}", allowed)


def _whole_problems(entry: Entry, required: tuple[str, ...]) -> Iterator[ForwarderError]:
    """Yields what is wrong with a source's keys together, inherited ones included."""
    for key in required:
        if key not in entry.keys:
            place = " here and at the top level" if entry.own and key != NAME else ""
            allowed = f"allowed: {RULES[key].allowed}"
            yield ForwarderError(f"{entry.where}: {key} is missing{place}", allowed, f"Add {key}")
    bucket, output = entry.keys.get("bucket_name"), entry.keys.get("output_bucket")
    if isinstance(bucket, str) and bucket == output:
        yield ForwarderError(
            f"{entry.where}: bucket_name and output_bucket are both {found(bucket)}",
            hint="Use another bucket for the output: the audit logs' bucket is never written to",
        )


def _name_problems(file: str, entries: list[Entry]) -> Iterator[ForwarderError]:
    first: dict[str, Entry] = {}
    for entry in filter(attrgetter("name"), entries):
        other = first.setdefault(prefix_of(entry.name), entry)
        if other.name != entry.name:
            both = f'sources "{other.name}" and "{entry.name}"'
            what = f"have the same variables, {prefix_of(entry.name)}LYVE_ACCESS and so on"
            yield ForwarderError(f"{file}: {both} {what}", hint="Rename one of them")
        elif other is not entry:
            what = f'the name "{entry.name}" stands for more than one source'
            yield ForwarderError(f"{file}: {what}", hint="Give each source its own name")
