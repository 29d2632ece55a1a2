"""The document config.json to an entry for each source, and to all that is wrong with it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from utils.config.environment import prefix_of
from utils.config.keys import ALLOWED, REQUIRED, day_of, value_faults
from utils.config.lookalikes import VARIABLES
from utils.errors import ForwarderError
from utils.wording import did_you_mean, found

_TOP_KEYS = (*(key for key in ALLOWED if key != "name"), "sources")
_ELSEWHERE = {
    "name": 'Only an object in "sources" has a name',
    "sources": "It belongs at the top level only",
    **dict.fromkeys(VARIABLES, "It is a variable of the environment: set it there"),
}
OTHER_OUTPUT = "Use another bucket for the output: the audit logs' bucket is never written to"


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


def read_entries(
    document: bytes, file: str, today: date
) -> tuple[list[Entry], list[ForwarderError]]:
    """Returns an entry for each named source, and all problems of the document.

    Without sources, the document itself is the one entry. Wrong values stay in.

    Args:
        document: JSON in UTF-8, with or without a byte order mark.
        file: its name, with which the messages begin.
        today: the day of UTC.
    """
    content, problems = _decoded(document, file)
    if content is None:
        # With sources, nobody can tell which variables they need.
        return [] if b'"sources"' in document else [Entry(file, "", {}, {})], problems
    problems += _key_problems(file, content, _TOP_KEYS)
    if "sources" not in content:
        entries = [Entry(file, "", content, content)]
        problems += _missing_keys(entries[0], "", REQUIRED)
    else:
        problems += _sources_problems(file, content["sources"])
        entries = _entries(content, file)
        for entry in entries:
            problems += _key_problems(entry.where, entry.own, tuple(ALLOWED))
            problems += _missing_keys(entry, "", ("name",))
            problems += _missing_keys(entry, " here and at the top level", REQUIRED)
        problems += _name_problems(file, entries)
        entries = [entry for entry in entries if entry.name]
    for entry in entries:
        problems += _contradictions(entry, file, today)
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


def _entries(content: Mapping[str, object], file: str) -> list[Entry]:
    inherited = {key: content[key] for key in _TOP_KEYS if key in content and key != "sources"}
    sources = content["sources"]
    entries = []
    for number, own in enumerate(sources if isinstance(sources, list) else [], 1):
        if isinstance(own, dict):
            name = own.get("name", "")
            is_named = name and not any(value_faults("name", name))
            where = f'source "{name}"' if is_named else f"source number {number}"
            keys = {**inherited, **own}
            entries.append(Entry(f"{file}: {where}", str(name) if is_named else "", own, keys))
    return entries


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


def _sources_problems(file: str, sources: object) -> Iterator[ForwarderError]:
    where, allowed = f"{file}: sources", "allowed: a list of objects"
    if not isinstance(sources, list) or not sources:
        yield ForwarderError(f"{where} is {found(sources)}", allowed)
        return
    for source in sources:
        if not isinstance(source, dict):
            yield ForwarderError(f"{where} holds {found(source)}", allowed)


def _missing_keys(entry: Entry, place: str, keys: Iterable[str]) -> Iterator[ForwarderError]:
    for key in keys:
        if key not in entry.keys:
            what = f"{entry.where}: {key} is missing{place}"
            yield ForwarderError(what, ALLOWED[key], f"Add {key}")


def _contradictions(entry: Entry, file: str, today: date) -> Iterator[ForwarderError]:
    """Yields what is wrong with a source's keys together, inherited ones included."""
    keys = entry.keys
    bucket, mode, until = (keys.get(key) for key in ("bucket_name", "mode", "until"))
    if isinstance(bucket, str) and bucket == keys.get("output_bucket"):
        what = f"bucket_name and output_bucket are both {found(bucket)}"
        yield ForwarderError(f"{entry.where}: {what}", hint=OTHER_OUTPUT)
    log_type = keys.get("log_type")
    types = log_type if isinstance(log_type, list) else [log_type]
    if "Access" in types and "prefix" not in keys:
        what = f"{entry.where}: prefix is missing, but log_type names Access"
        hint = "Add prefix: the target prefix of the bucket logging"
        yield ForwarderError(what, ALLOWED["prefix"], hint)
    first, last = day_of(mode), day_of(until)
    if first and first > today:
        # An inherited one is reported once.
        where = entry.where if "mode" in entry.own else file
        detail = f"today is {today:%d/%m/%Y} in UTC; {ALLOWED['mode']}"
        hint = "Write the day from which you want the logs, or lasthour to begin now"
        what = f"{where}: mode is {found(mode)}, which is still to come"
        yield ForwarderError(what, detail, hint)
    if first and last and last <= first:
        what = f"until is {found(until)}, which is not after the mode {found(mode)}"
        hint = "Write the first day from which you no longer want the logs"
        yield ForwarderError(f"{entry.where}: {what}", ALLOWED["until"], hint)


def _name_problems(file: str, entries: list[Entry]) -> Iterator[ForwarderError]:
    first: dict[str, Entry] = {}
    for entry in [entry for entry in entries if entry.name]:
        other = first.setdefault(prefix_of(entry.name), entry)
        if other.name != entry.name:
            both = f'sources "{other.name}" and "{entry.name}"'
            what = f"have the same variables, {prefix_of(entry.name)}LYVE_ACCESS and so on"
            yield ForwarderError(f"{file}: {both} {what}", hint="Rename one of them")
        elif other is not entry:
            what = f'the name "{entry.name}" is that of more than one source'
            yield ForwarderError(f"{file}: {what}", hint="Give each source its own name")
