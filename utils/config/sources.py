"""The document config.json and the environment to sources, or to all that is wrong with them."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain, combinations
from typing import NamedTuple

import msgspec

from utils.config.document import (
    ALLOWED,
    MOST_STREAM_CHARACTERS,
    Entry,
    Keys,
    day_ms,
    day_of,
    read_entries,
)
from utils.config.environment import (
    SECRETS,
    SESSION_TOKEN,
    Variables,
    prefix_of,
    process_variables,
    unread,
)
from utils.config.partitions import PARTITION_NAMES, Shard
from utils.config.settings import METRICS_NAMESPACE, AwsAccess, LogType, LyveAccess, Source
from utils.errors import ConfigurationError, ForwarderError
from utils.model import midnight_ms
from utils.wording import found, printable

# A shorter value is no secret, and could be part of any word.
_SHORTEST_SECRET = 8
# Each source has threads of its own, so that one that hangs holds up no other.
_MOST_IN_FLIGHT = 64
_LEAST_IN_FLIGHT = 2
_OTHER_OUTPUT = "Use another bucket for the output: the audit logs' bucket is never written to"


class _Accessed(NamedTuple):
    """An entry with its accesses, None where something is wrong with one."""

    entry: Entry
    lyve: LyveAccess | None
    aws: AwsAccess | None


def parse_sources(
    document: bytes,
    environment: Mapping[str, str],
    read_file: Callable[[str], str],
    *,
    file: str = "config.json",
    today: date = date.max,
) -> tuple[Source, ...]:
    """Returns a source for each log type of each source of the document.

    Args:
        document: the bytes of the configuration.
        environment: the variables with the keys, the regions and the endpoints.
        read_file: returns the text of the file that an `X_FILE` variable names.
        file: the configuration's name, for the messages.
        today: the day of UTC, behind which no coverage can begin.

    Raises:
        ConfigurationError: all that is wrong with the document and the variables, without secrets.
    """
    secrets = {
        value.strip()
        for name, value in environment.items()
        if name.endswith((*SECRETS, SESSION_TOKEN))
    }

    def read_secret(path: str) -> str:
        text = read_file(path)
        secrets.add(text.strip())
        return text

    entries, problems = read_entries(document, file)
    shard, process_problems = process_variables(environment)
    problems += _same_names(entries, file)
    for entry in entries:
        problems += _contradictions(entry, file, today, shard)
    strays = unread(environment, [prefix_of(entry.name) for entry in entries])
    buckets = sorted(
        bucket
        for entry in entries
        for bucket in (entry.keys.get("bucket_name"), entry.keys.get("output_bucket"))
        if isinstance(bucket, str)
    )
    accessed = []
    for entry in entries:
        variables = Variables(environment, read_secret, entry.name, strays)
        accessed.append(_Accessed(entry, variables.lyve(buckets), variables.aws()))
        variables.report_slips()
        problems += variables.problems
    problems += [*_written_inputs(accessed), *process_problems]
    if problems:
        raise ConfigurationError(_presentable(problems, secrets))
    sources = [source for one in accessed for source in _sources(one, shard)]
    streams = Counter(map(_stream_of, sources))
    share = max(_LEAST_IN_FLIGHT, _MOST_IN_FLIGHT // len(sources))
    return tuple(
        replace(
            source,
            concurrency=min(source.concurrency, share),
            shares_stream=streams[_stream_of(source)] > 1,
        )
        for source in sources
    )


def stored_twice(sources: Iterable[Source], today: date) -> Iterator[str]:
    """Yields what to say of each two sources that store the same events in one log stream.

    Sources with other credentials may be of another account.

    Args:
        sources: as they are configured.
        today: where a source of the mode lasthour begins.
    """
    today_ms = midnight_ms(today)

    def begins_ms(source: Source) -> int:
        return today_ms if source.since_ms is None else source.since_ms

    alike = defaultdict(list)
    for source in sources:
        place = source.lyve.endpoint_url, source.bucket_name, source.log_type
        alike[place, source.aws, _stream_of(source)].append(source)
    pairs = chain.from_iterable(combinations(group, 2) for group in alike.values())
    for one, other in pairs:
        is_nested = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
        ends_ms = [each.until_ms for each in (one, other) if each.until_ms is not None]
        meet = not ends_ms or max(begins_ms(one), begins_ms(other)) < min(ends_ms)
        if is_nested and meet:
            yield (
                f'The sources "{one.name}" and "{other.name}" store each event twice, in the log '
                f"stream {one.log_stream}. Remove one of them, or give it another log_stream."
            )


# --- What is wrong with several keys together -----------------------------------------------------


def _contradictions(
    entry: Entry, file: str, today: date, shard: Shard | None
) -> Iterator[ForwarderError]:
    """Yields what is wrong with a source's keys together, inherited ones included."""
    keys = entry.keys
    bucket, mode, until = (keys.get(key) for key in ("bucket_name", "mode", "until"))
    if isinstance(bucket, str) and bucket == keys.get("output_bucket"):
        what = f"bucket_name and output_bucket are both {found(bucket)}"
        yield ForwarderError(f"{entry.where}: {what}", hint=_OTHER_OUTPUT)
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
    stream = keys.get("log_stream")
    suffix = f"/{PARTITION_NAMES[-1]}" if shard else ""
    most = MOST_STREAM_CHARACTERS - len(suffix)
    if isinstance(stream, str) and most < len(stream) <= MOST_STREAM_CHARACTERS:
        allowed = f"allowed: 1 to {most} characters, because SHARD adds {suffix} to it"
        yield ForwarderError(f"{entry.where}: log_stream is {found(stream)}", allowed)


def _same_names(entries: Iterable[Entry], file: str) -> Iterator[ForwarderError]:
    first: dict[str, Entry] = {}
    for entry in entries:
        prefix = prefix_of(entry.name)
        other = first.setdefault(prefix, entry)
        if other.name != entry.name:
            both = f'sources "{other.name}" and "{entry.name}"'
            what = f"have the same variables, {prefix}LYVE_ACCESS and so on"
            yield ForwarderError(f"{file}: {both} {what}", hint="Rename one of them")
        elif other is not entry:
            what = f'the name "{entry.name}" is that of more than one source'
            yield ForwarderError(f"{file}: {what}", hint="Give each source its own name")


def _written_inputs(accessed: Sequence[_Accessed]) -> Iterator[ForwarderError]:
    """Yields each output bucket that is another source's audit bucket."""
    for entry, lyve, _ in accessed:
        output = entry.keys.get("output_bucket")
        for other, its_lyve, _ in accessed:
            is_same = isinstance(output, str) and output == other.keys.get("bucket_name")
            is_there = lyve and its_lyve and lyve.endpoint_url == its_lyve.endpoint_url
            if is_same and is_there and other is not entry:
                what = f"output_bucket {found(output)} is the bucket_name of the source"
                yield ForwarderError(f'{entry.where}: {what} "{other.name}"', hint=_OTHER_OUTPUT)


def _presentable(
    problems: Iterable[ForwarderError], secrets: Iterable[str]
) -> list[ForwarderError]:
    """Hides each secret, plain and as JSON quotes it, and drops what several sources repeat."""
    forms = {
        form
        for secret in secrets
        if len(secret) >= _SHORTEST_SECRET
        for form in (secret, json.dumps(secret, ensure_ascii=False)[1:-1])
    }
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    secret_form = re.compile("|".join(longest_first) or "(?!)")
    shown = {}
    for one in problems:
        parts = (one.message, one.detail, one.hint)
        clean = ForwarderError(*(printable(secret_form.sub("***", part)) for part in parts))
        shown[str(clean)] = clean
    return list(shown.values())


# --- The sources ----------------------------------------------------------------------------------


def _sources(one: _Accessed, shard: Shard | None) -> Iterator[Source]:
    entry, lyve, aws = one
    if lyve is None or aws is None:
        return
    keys = msgspec.convert(entry.keys, Keys)
    namespace = METRICS_NAMESPACE if keys.metrics is True else keys.metrics
    types: list[LogType] = keys.log_type if isinstance(keys.log_type, list) else [keys.log_type]
    for log_type in types:
        yield Source(
            name=f"{keys.name or keys.bucket_name}-{log_type}",
            bucket_name=keys.bucket_name,
            output_bucket=keys.output_bucket,
            log_type=log_type,
            since_ms=0 if keys.mode == "all" else day_ms(keys.mode),
            log_group=keys.log_group,
            log_stream=keys.log_stream or f"lyve-cloud/{keys.bucket_name}/{log_type}",
            batch_size=keys.batch_size,
            concurrency=keys.concurrency,
            settle_seconds=keys.settle_seconds,
            gap_hours=keys.gap_hours or None,
            prefix=keys.prefix,
            until_ms=day_ms(keys.until),
            every_minutes=keys.every_minutes,
            metrics_namespace=namespace or None,
            exclude=keys.exclude,
            lyve=lyve,
            aws=aws,
            shard=shard,
        )


def _stream_of(source: Source) -> tuple[str, str, str]:
    return source.aws.region, source.log_group, source.log_stream
