"""The options of the command line."""

import re
import textwrap
from argparse import ArgumentError, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from services.commands.terminal import show
from utils.config.document import day_of
from utils.errors import ConfigurationError, ForwarderError
from utils.version import VERSION
from utils.wording import did_you_mean, found, printable

_KINDS = {
    "--once": "run one iteration now, and end",
    "--check": "try each access, and end",
    "--plan": "say what would be sent, and end",
    "--verify": "compare the bucket with the log streams, and end",
    "--repair": "the same, then send what is missing, and end",
    "--install-dashboards": "store the dashboards of your types, and end",
}
_EPILOG = """\
variables:
  LYVE_ACCESS, LYVE_SECRET, LYVE_REGION   the Lyve Cloud service account and its region
  AWS_ACCESS, AWS_SECRET, AWS_REGION      the IAM user's keys, and the region of the log group
  LYVE_ENDPOINT                           where Lyve Cloud is, instead of by LYVE_REGION
  <secret>_FILE                           a file that holds a key, such as LYVE_SECRET_FILE
  AWS_SESSION_TOKEN                       of a temporary key, which begins with ASIA
  AWS_ASSUME_ROLE_ARN                     a role that the credentials for AWS assume
  AWS_ASSUME_ROLE_EXTERNAL_ID             the external id that the role asks for
  SHARD, LOG_FORMAT                       a part such as 1/3; text or json

exit status:
  0  a clean stop, or all was done, or nothing is missing or doubled
  1  a source failed, or something is not shipped yet, missing or doubled
  2  the configuration, a variable or an option is wrong

example:
  docker run --rm --env-file logscollector.env logscollector --check
"""
_COLUMNS = 90
# Less than half of CloudWatch's quota for GetLogEvents, 25 a second in an account and region:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
_RATE = 10.0
_SLOWEST, _FASTEST = 0.1, 1_000_000
_BEFORE_THE_IMAGE = "Options of docker run, such as -e, go before the image's name"


def read_options(arguments: Sequence[str], config_path: Path, today: date) -> Namespace:
    """Returns what is asked for.

    Args:
        arguments: of the command line, without the program's name.
        config_path: of the configuration where no other is named.
        today: the day of UTC, behind which there is nothing to compare.

    Raises:
        ConfigurationError: all that is not an option, without what may be a secret.
        OutputError: the help or the version can't be written.
    """
    reader = _reader(config_path)
    usage = " ".join(reader.format_usage().split())
    try:
        options, unknown = reader.parse_known_args(arguments)
    except ArgumentError as exc:  # its own text holds the value
        message = f"The option {exc.argument_name} can't be used like this"
        raise ConfigurationError([ForwarderError(message, usage)]) from None
    except SystemExit:  # the help or the version is printed
        show()
        raise
    problems = [*_unknown_problems(unknown, usage), *_range_problems(options, today)]
    if problems:
        raise ConfigurationError(problems)
    options.first, options.last = (day and day_of(day) for day in (options.first, options.last))
    return options


def _range_problems(options: Namespace, today: date) -> Iterator[ForwarderError]:
    """Yields what is wrong with the options that go with a comparison."""
    written = {"--from": options.first, "--to": options.last}
    for name, day in written.items():
        if day is not None and not (options.verify or options.repair):
            hint = "Add --verify or --repair"
            yield ForwarderError(f"{name} is of no use without --verify", hint=hint)
        elif day is not None and not day_of(day):
            yield ForwarderError(
                f"{name} is {found(day)}",
                "allowed: a date dd/mm/yyyy such as 05/01/2024",
                "Write a day that there is, with zeros: 05/01/2024 is 5 January 2024",
            )
    first, last = (day_of(day or "") for day in written.values())
    if first and first > today:
        detail = f"today is {today:%d/%m/%Y} in UTC"
        yield ForwarderError(f"--from is {found(options.first)}, which is still to come", detail)
    if first and last and last < first:
        yield ForwarderError("--to lies before --from", f"{options.first} to {options.last}")
    if not _SLOWEST <= options.rate <= _FASTEST:
        allowed = f"allowed: a number from {_SLOWEST} to {_FASTEST:,}"
        yield ForwarderError(f"--rate is {options.rate:g}", allowed)


def _unknown_problems(unknown: Sequence[str], usage: str) -> Iterator[ForwarderError]:
    names = [one.partition("=")[0] for one in unknown if one.startswith("-")]
    for name in names:
        # Of a short option one letter, as its value may follow at once.
        shown = printable(found(name if name.startswith("--") else name[:2]))
        hint = did_you_mean(name, re.findall("--[a-z-]+", usage)) or _BEFORE_THE_IMAGE
        yield ForwarderError(f"There is no option {shown}", usage, hint)
    if unknown and not names:
        message = "An argument is not an option, so it is not shown"
        yield ForwarderError(message, usage, _BEFORE_THE_IMAGE)


def _reader(config_path: Path) -> ArgumentParser:
    reader = ArgumentParser(
        prog="engine.py",
        description="Ships Lyve Cloud audit logs to AWS CloudWatch Logs, each hour or more often.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
    )
    kinds = reader.add_mutually_exclusive_group()
    for name, words in _KINDS.items():
        kinds.add_argument(name, action="store_true", help=words)
    kinds.add_argument("--dashboard", metavar="NAME", help="print a dashboard's JSON, and end")
    kinds.add_argument("--version", action="version", version=f"logscollector {VERSION}")
    reader.add_argument(
        "--from",
        dest="first",
        metavar="DD/MM/YYYY",
        help="with --verify or --repair: the first day, by when the objects were written (UTC)",
    )
    reader.add_argument("--to", dest="last", metavar="DD/MM/YYYY", help="likewise: the last day")
    reader.add_argument(
        "--rate",
        type=float,
        default=_RATE,
        metavar="N",
        help=f"likewise: requests to CloudWatch in a second, at most ({_RATE:g} by default; "
        "the account's quota is 25)",
    )
    reader.add_argument(
        "--config",
        type=Path,
        default=config_path,
        metavar="PATH",
        help="another configuration than the config.json beside engine.py",
    )
    # argparse breaks no line within options that exclude one another.
    usage = reader.format_usage().removeprefix("usage: ")
    reader.usage = textwrap.fill(" ".join(usage.split()), _COLUMNS, break_on_hyphens=False)
    return reader
