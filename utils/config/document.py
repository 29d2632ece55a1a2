"""The document config.json: its keys, what each may hold, and what was perhaps meant."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from utils.config.settings import LogType
from utils.errors import ForwarderError
from utils.model import Exclusion, midnight_ms
from utils.wording import did_you_mean, found, suggestion

# --- The keys of a source -------------------------------------------------------------------------

MOST_STREAM_CHARACTERS = 512
LOG_TYPES: tuple[str, ...] = get_args(LogType)
_MODES = ("all", "lasthour")
_DAY = re.compile(r"[0-9]{2}/[0-9]{2}/[0-9]{4}")
_EPOCH = date(1970, 1, 1)
# A bucket's URL, or a log group's ARN.
_AROUND_A_NAME = re.compile(r"^s3://|/+$|^arn:.*:log-group:|:\*$", re.IGNORECASE)
_DATE_FORM = "Write a date as dd/mm/yyyy, with zeros: 05/01/2024 is 5 January 2024"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_Bucket = Annotated[
    str,
    Meta(
        pattern=r"\A(?![0-9]+\.[0-9]+\.[0-9]+\.[0-9]+\Z)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z",
        description="3 to 63 lower-case letters, digits, dots and hyphens, with a letter or a "
        "digit at both ends, no two dots in a row, and not an IP address",
    ),
]
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogStream.html
_STREAM = rf"\A[^:*]{{1,{MOST_STREAM_CHARACTERS}}}\Z"
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Namespace
_NAMESPACE = r"\A(?!AWS/|(?i:true|false)\Z)[A-Za-z0-9._/#-][A-Za-z0-9._/#: -]{0,254}\Z"


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one source. A description says to a person what is allowed.

    A default stands for a missing key, and need not be an allowed value.
    """

    bucket_name: _Bucket
    output_bucket: _Bucket
    log_type: Annotated[
        LogType | Annotated[list[LogType], Meta(min_length=1)],
        Meta(description='"S3", "IAM", "Console", "Access" or a list of them'),
    ]
    mode: Annotated[
        str, Meta(description='"all", "lasthour" or a date dd/mm/yyyy such as "05/01/2024"')
    ]
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
    log_group: Annotated[
        str,
        Meta(
            pattern=r"\A[.\-_/#A-Za-z0-9]{1,512}\Z",
            description="1 to 512 of the letters a to z and A to Z, the digits and . - _ / #",
        ),
    ]
    log_stream: Annotated[
        str, Meta(pattern=_STREAM, description="1 to 512 characters without : and *")
    ] = ""
    batch_size: Annotated[
        int, Meta(ge=1, le=10_000, description="a whole number from 1 to 10000")
    ] = 100
    concurrency: Annotated[int, Meta(ge=1, le=64, description="a whole number from 1 to 64")] = 32
    settle_seconds: Annotated[float, Meta(ge=0, le=3600, description="a number from 0 to 3600")] = (
        30.0
    )
    gap_hours: Annotated[
        float, Meta(ge=0.001, le=8760, description="a number from 0.001 to 8760")
    ] = 0.0
    prefix: Annotated[
        str,
        Meta(pattern=r"\A(?![sS]3://)", description="0 to 1024 bytes of UTF-8, such as logs/"),
    ] = ""
    until: Annotated[str, Meta(description='a date dd/mm/yyyy such as "05/02/2024"')] = ""
    every_minutes: Annotated[
        Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60],
        Meta(description="1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 or 60"),
    ] = 60
    metrics: Annotated[
        bool | Annotated[str, Meta(pattern=_NAMESPACE)],
        Meta(
            description="true, false, or 1 to 255 of the letters a to z and A to Z, the digits, "
            "spaces and . - _ / # :, not beginning with AWS/, a space or a colon"
        ),
    ] = False
    exclude: Annotated[
        tuple[Exclusion, ...],
        Meta(
            description="a list of objects such as "
            '{"field": "auditEntry.api.name", "values": ["HeadObject"]}'
        ),
    ] = ()
    name: Annotated[
        str,
        Meta(
            pattern=r"\A[A-Za-z0-9._-]{1,64}\Z",
            description="1 to 64 of the letters a to z and A to Z, the digits and . _ -",
        ),
    ] = ""


_FIELDS = {field.name: field for field in msgspec.structs.fields(Keys)}
REQUIRED = tuple(name for name, field in _FIELDS.items() if field.required)
ALLOWED: dict[str, str] = {
    name: f"allowed: {field.type.__metadata__[0].description}" for name, field in _FIELDS.items()
}


def day_of(written: object) -> date | None:
    """Returns the day that is written in a value, None if it is not a day since 1970."""
    if not isinstance(written, str) or not _DAY.fullmatch(written):
        return None
    try:
        day = date.fromisoformat("-".join(reversed(written.split("/"))))
    except ValueError:
        return None
    return day if day >= _EPOCH else None


def day_ms(written: str) -> int | None:
    """Returns the beginning of a written day in UTC, in ms since 1970; None if it is not a day."""
    day = day_of(written)
    return midnight_ms(day) if day else None


# --- The document ---------------------------------------------------------------------------------

_TOP_KEYS = (*(key for key in ALLOWED if key != "name"), "sources")
_ELSEWHERE = {
    "name": 'Only an object in "sources" has a name',
    "sources": "It belongs at the top level only",
}
_VARIABLE = re.compile("(LYVE|AWS)_[A-Z_]+|SHARD|LOG_FORMAT")


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
or too few, or for a comment, which JSON has not"
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
            if _VARIABLE.fullmatch(key):
                hint = "It is a variable of the environment: set it there"
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


# --- What is wrong with a value -------------------------------------------------------------------

# Rules that a type and its limits can't express.
_FURTHER: dict[str, Callable[[str], object]] = {
    "mode": lambda mode: mode in _MODES or day_of(mode),
    "until": day_of,
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
    "prefix": lambda prefix: len(prefix.encode()) <= 1024,  # noqa: PLR2004 - S3's own limit
}


class Fault(NamedTuple):
    """What is wrong with a value, as the end of a sentence that begins with its key."""

    what: str
    hint: str = ""


def value_faults(key: str, value: object) -> Iterator[Fault]:
    """Yields what is wrong with the value of a key.

    Args:
        key: one of `ALLOWED`.
        value: as JSON has it.
    """
    if key == "log_type" and isinstance(value, list) and value:
        yield from _type_faults(value)
        return
    wrong = _wrong(key, value)
    if wrong and key == "exclude":
        yield Fault(f"is wrong: {wrong}")
    elif wrong:
        yield Fault(f"is {found(value)}", _hint(key, value) if isinstance(value, str) else "")


def _wrong(key: str, value: object) -> str:
    """Returns what is wrong in msgspec's words, or nothing."""
    try:
        # JSON can escape half a surrogate pair, which UTF-8 can't encode.
        json.dumps(value, ensure_ascii=False).encode()
        right = msgspec.convert(value, _FIELDS[key].type)
    except UnicodeEncodeError:
        return "it has half a character in it"
    except msgspec.ValidationError as exc:
        return str(exc)
    return "" if key not in _FURTHER or _FURTHER[key](right) else "it is not allowed"


def _hint(key: str, value: str) -> str:
    """Returns what to write instead, if that is clear."""
    if isinstance(_FIELDS[key].default, int | float) and key != "metrics":
        return "Write a number, without quotation marks"
    if key == "metrics" and value.lower() in {"true", "false"}:
        return f"Write {value.lower()}, without quotation marks"
    if key == "log_type":
        return _several_types([value]) or did_you_mean(value, LOG_TYPES)
    if key in {"mode", "until"}:
        return _day_hint(key, value)
    if key == "prefix":
        is_url = value[:5].lower() == "s3://"
        return "Leave out s3:// and the bucket: they are no part of a key" if is_url else ""
    bare = _AROUND_A_NAME.sub("", value.strip())
    tidy = (value.strip(), bare, bare.lower())
    meant = next((one for one in tidy if not _wrong(key, one)), None)
    return suggestion(found(meant)) if meant else ""


def _day_hint(key: str, value: str) -> str:
    if _DAY.fullmatch(value):
        wrong = "01/01/1970 is the first day" if value[-4:] < "1970" else "There is no such day"
        return f"{wrong}. {_DATE_FORM}"
    if key == "until" or any(char.isdigit() for char in value):
        return _DATE_FORM
    return did_you_mean(value, _MODES)


def _type_faults(types: list[object]) -> Iterator[Fault]:
    for index, log_type in enumerate(types):
        if log_type not in LOG_TYPES:
            hint = did_you_mean(log_type, LOG_TYPES) if isinstance(log_type, str) else ""
            yield Fault(f"holds {found(log_type)}", _several_types(types) or hint)
        elif types.index(log_type) != index:
            yield Fault(f"holds {found(log_type)} more than once", "Write each type once")


def _several_types(written: list[object]) -> str:
    """Returns a hint at the list of types in one text, or nothing if it names anything else."""
    words = [re.findall(r"\w+", text) for text in written if isinstance(text, str)]
    by_folded = {log_type.casefold(): log_type for log_type in LOG_TYPES}
    named = [by_folded.get(word.casefold()) for text in words for word in text if word != "and"]
    is_whole = len(words) == len(written) and None not in named
    if not is_whole or max(map(len, words)) <= 1:
        return ""
    return suggestion(json.dumps([*dict.fromkeys(named)]))
