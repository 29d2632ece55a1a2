"""The document config.json and the environment to sources, or to all that is wrong with them."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date

import msgspec

from utils.config.access import aws_access, lyve_access
from utils.config.document import OTHER_OUTPUT, Entry, read_entries
from utils.config.environment import Variables, prefix_of
from utils.config.keys import MOST_STREAM_CHARACTERS, Keys, day_ms, since_ms
from utils.config.log_format import log_format_problems
from utils.config.lookalikes import SECRETS, SESSION_TOKEN, unread
from utils.config.partitions import PARTITIONS, Shard, parse_shard, partition_name
from utils.config.settings import METRICS_NAMESPACE, AwsAccess, LogType, LyveAccess, Source
from utils.errors import ConfigurationError, ForwarderError
from utils.wording import found, printable

# A shorter value is no secret, and could be part of any word.
_SHORTEST_SECRET = 8

_Access = tuple[LyveAccess | None, AwsAccess | None]


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

    entries, problems = read_entries(document, file, today)
    strays = unread(environment, [prefix_of(entry.name) for entry in entries])
    accesses: list[_Access] = []
    buckets = sorted(_buckets(entries))
    for entry in entries:
        variables = Variables(environment, read_secret, entry.name, strays)
        accesses.append((lyve_access(variables, buckets), aws_access(variables)))
        variables.report_slips()
        problems += variables.problems
    problems += [*_written_inputs(entries, accesses), *log_format_problems(environment)]
    written_shard = environment.get("SHARD", "").strip()
    shard = parse_shard(written_shard)
    if written_shard and (shard is None or shard.count > PARTITIONS):
        problems.append(_wrong_shard(written_shard, shard))
    problems += _long_streams(entries, shard)
    if problems:
        raise ConfigurationError(_presentable(problems, secrets))
    sources = list(_sources(entries, accesses))
    streams = Counter(map(_stream_of, sources))
    return tuple(
        replace(source, shard=shard, shares_stream=streams[_stream_of(source)] > 1)
        for source in sources
    )


def _stream_of(source: Source) -> tuple[str, str, str]:
    return source.aws.region, source.log_group, source.log_stream


def _buckets(entries: Iterable[Entry]) -> set[str]:
    named = (entry.keys.get(key) for entry in entries for key in ("bucket_name", "output_bucket"))
    return {bucket for bucket in named if isinstance(bucket, str)}


def _wrong_shard(written: str, shard: Shard | None) -> ForwarderError:
    allowed = f"allowed: i/N with i from 1 to N, and N at most {PARTITIONS}, such as 1/3"
    hint = ""
    if shard:
        hint = "For more replicas split the source: into several audit buckets, each a source"
    return ForwarderError(f"environment: SHARD is {found(written)}", allowed, hint)


def _long_streams(entries: Iterable[Entry], shard: Shard | None) -> Iterator[ForwarderError]:
    """Yields each log stream whose name leaves no room for that of a partition."""
    suffix = f"/{partition_name(PARTITIONS - 1)}" if shard else ""
    most = MOST_STREAM_CHARACTERS - len(suffix)
    for entry in entries:
        stream = entry.keys.get("log_stream")
        if isinstance(stream, str) and most < len(stream) <= MOST_STREAM_CHARACTERS:
            allowed = f"allowed: 1 to {most} characters, because SHARD adds {suffix} to it"
            yield ForwarderError(f"{entry.where}: log_stream is {found(stream)}", allowed)


def _sources(entries: Iterable[Entry], accesses: Iterable[_Access]) -> Iterator[Source]:
    for entry, (lyve, aws) in zip(entries, accesses, strict=True):
        if lyve and aws:
            keys = msgspec.convert(entry.keys, Keys)
            types = keys.log_type if isinstance(keys.log_type, list) else [keys.log_type]
            yield from (_source(keys, log_type, lyve, aws) for log_type in types)


def _source(keys: Keys, log_type: LogType, lyve: LyveAccess, aws: AwsAccess) -> Source:
    namespace = METRICS_NAMESPACE if keys.metrics is True else keys.metrics
    return Source(
        name=f"{keys.name or keys.bucket_name}-{log_type}",
        bucket_name=keys.bucket_name,
        output_bucket=keys.output_bucket,
        log_type=log_type,
        since_ms=since_ms(keys.mode),
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
    )


def _written_inputs(
    entries: Iterable[Entry], accesses: Iterable[_Access]
) -> Iterator[ForwarderError]:
    """Yields each output bucket that is another source's audit bucket."""
    reached = [
        (entry, lyve.endpoint_url)
        for entry, (lyve, _) in zip(entries, accesses, strict=True)
        if lyve
    ]
    for entry, endpoint_url in reached:
        output = entry.keys.get("output_bucket")
        for other, other_url in reached:
            same = isinstance(output, str) and output == other.keys.get("bucket_name")
            if same and other is not entry and other_url == endpoint_url:
                what = f"output_bucket {found(output)} is the bucket_name of the source"
                yield ForwarderError(f'{entry.where}: {what} "{other.name}"', hint=OTHER_OUTPUT)


def _presentable(
    problems: Iterable[ForwarderError], secrets: Iterable[str]
) -> list[ForwarderError]:
    """Hides each secret, plain and as JSON quotes it, and drops what several sources repeat."""
    longest_first = sorted(
        {
            form
            for secret in secrets
            if len(secret) >= _SHORTEST_SECRET
            for form in (secret, json.dumps(secret, ensure_ascii=False)[1:-1])
        },
        key=len,
        reverse=True,
    )

    def clean(text: str) -> str:
        for secret in longest_first:
            text = text.replace(secret, "***")
        return printable(text)

    cleaned = (
        ForwarderError(clean(problem.message), clean(problem.detail), clean(problem.hint))
        for problem in problems
    )
    return list({str(problem): problem for problem in cleaned}.values())
