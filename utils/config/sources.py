"""The document config.json and the environment to sources, or to all that is wrong with them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date

import msgspec

from utils.config.access import aws_access, lyve_access
from utils.config.document import Entry, read_entries
from utils.config.environment import Variables, prefix_of
from utils.config.log_format import log_format_problems
from utils.config.lookalikes import SECRETS, SESSION_TOKEN, unread
from utils.config.rules import MOST_STREAM_CHARACTERS, RULES, day_ms, day_of, since_ms
from utils.config.settings import AwsAccess, LogType, LyveAccess, Source
from utils.config.sharding import MOST_REPLICAS, Shard, parse_shard
from utils.errors import ConfigurationError, ForwarderError
from utils.model import Exclusion
from utils.wording import found, printable

# A shorter value guards nothing, and might be part of any word.
_SHORTEST_SECRET = 8
# Of metrics whose setting is true.
_METRICS_NAMESPACE = "LyveCloudLogs"

_Access = tuple[LyveAccess | None, AwsAccess | None]


class _Settings(msgspec.Struct, frozen=True):
    """The keys of a source that have no fault, and the defaults of the optional ones."""

    bucket_name: str
    output_bucket: str
    log_type: LogType | list[LogType]
    mode: str
    log_group: str
    log_stream: str = ""
    batch_size: int = 100
    concurrency: int = 32
    settle_seconds: float = 30.0
    gap_hours: float | None = None
    prefix: str = ""
    until: str | None = None
    every_minutes: int = 60
    metrics: bool | str = False
    exclude: tuple[Exclusion, ...] = ()
    name: str = ""


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
    problems += _days_to_come(entries, file, today)
    problems += _contradictions(entries)
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
    if written_shard and not shard:
        problems.append(_malformed_shard(written_shard))
    problems += _long_streams(entries, shard)
    if problems:
        raise ConfigurationError(_presentable(problems, secrets))
    return tuple(source.of_shard(shard) for source in _sources(entries, accesses))


def _days_to_come(entries: Iterable[Entry], file: str, today: date) -> Iterator[ForwarderError]:
    """Yields each mode that names a day on which nothing can have been written yet."""
    written = {
        (entry.where if "mode" in entry.own else file, entry.keys.get("mode")): None
        for entry in entries
        if isinstance(entry.keys.get("mode"), str)
    }
    for where, mode in written:
        day = day_of(str(mode))
        if day and day > today:
            message = f"{where}: mode is {found(mode)}, which is still to come"
            detail = f"today is {today:%d/%m/%Y} in UTC; allowed: {RULES['mode'].allowed}"
            hint = "Write the day from which you want the logs, or lasthour to begin now"
            yield ForwarderError(message, detail, hint)


def _contradictions(entries: Iterable[Entry]) -> Iterator[ForwarderError]:
    """Yields where a key does not go with another one of the source."""
    for entry in entries:
        log_type, mode, until = (entry.keys.get(key) for key in ("log_type", "mode", "until"))
        types = log_type if isinstance(log_type, list) else [log_type]
        if "Access" in types and "prefix" not in entry.keys:
            message = f"{entry.where}: prefix is missing, but log_type names Access"
            allowed = f"allowed: {RULES['prefix'].allowed}"
            hint = "Add prefix: the target prefix of the bucket logging"
            yield ForwarderError(message, allowed, hint)
        first, last = (day_of(day) if isinstance(day, str) else None for day in (mode, until))
        if first and last and last <= first:
            what = f"until is {found(until)}, which is not after the mode {found(mode)}"
            hint = "Write the first day from which you no longer want the logs"
            yield ForwarderError(
                f"{entry.where}: {what}", f"allowed: {RULES['until'].allowed}", hint
            )


def _buckets(entries: Iterable[Entry]) -> set[str]:
    named = (entry.keys.get(key) for entry in entries for key in ("bucket_name", "output_bucket"))
    return {bucket for bucket in named if isinstance(bucket, str)}


def _malformed_shard(written: str) -> ForwarderError:
    allowed = f"allowed: i/N with i from 1 to N, and N at most {MOST_REPLICAS}, such as 1/3"
    return ForwarderError(f"environment: SHARD is {found(written)}", allowed)


def _long_streams(entries: Iterable[Entry], shard: Shard | None) -> Iterator[ForwarderError]:
    """Yields each log stream whose name is too long with what stands behind it for a replica."""
    # Of the replica with the longest name: what one of them may have, all may have.
    suffix = Shard(shard.count, shard.count).suffix if shard else ""
    most = MOST_STREAM_CHARACTERS - len(suffix)
    for entry in entries:
        stream = entry.keys.get("log_stream")
        if isinstance(stream, str) and most < len(stream) <= MOST_STREAM_CHARACTERS:
            allowed = f"allowed: 1 to {most} characters, because SHARD adds {suffix} to it"
            yield ForwarderError(f"{entry.where}: log_stream is {found(stream)}", allowed)


def _sources(entries: Iterable[Entry], accesses: Iterable[_Access]) -> Iterator[Source]:
    paired = zip(entries, accesses, strict=True)
    for entry, lyve, aws in [(entry, lyve, aws) for entry, (lyve, aws) in paired if lyve and aws]:
        settings = msgspec.convert(entry.keys, _Settings)
        types = settings.log_type if isinstance(settings.log_type, list) else [settings.log_type]
        yield from (_source(settings, log_type, lyve, aws) for log_type in types)


def _source(settings: _Settings, log_type: LogType, lyve: LyveAccess, aws: AwsAccess) -> Source:
    return Source(
        name=f"{settings.name or settings.bucket_name}-{log_type}",
        bucket_name=settings.bucket_name,
        output_bucket=settings.output_bucket,
        log_type=log_type,
        since_ms=since_ms(settings.mode),
        log_group=settings.log_group,
        log_stream=settings.log_stream or f"lyve-cloud/{settings.bucket_name}/{log_type}",
        batch_size=settings.batch_size,
        concurrency=settings.concurrency,
        settle_seconds=settings.settle_seconds,
        gap_hours=settings.gap_hours,
        prefix=settings.prefix,
        until_ms=day_ms(settings.until),
        every_minutes=settings.every_minutes,
        metrics_namespace=_METRICS_NAMESPACE
        if settings.metrics is True
        else settings.metrics or None,
        exclude=settings.exclude,
        lyve=lyve,
        aws=aws,
    )


def _written_inputs(
    entries: Iterable[Entry], accesses: Iterable[_Access]
) -> Iterator[ForwarderError]:
    """Yields each output bucket that is the audit logs' bucket of another source."""
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
                yield ForwarderError(
                    f"{entry.where}: output_bucket {found(output)} is the bucket_name of the "
                    f'source "{other.name}"',
                    hint="Use another bucket for the output: the audit logs' bucket is never "
                    "written to",
                )


def _presentable(
    problems: Iterable[ForwarderError], secrets: Iterable[str]
) -> list[ForwarderError]:
    """Hides each secret, as it is and as JSON quotes it, and drops what several sources repeat."""
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
