"""Prints the dashboards for the configured log groups, and stores them in CloudWatch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import ClientError

from services.aws.clients import aws_client
from services.aws.errors import aws_errors, endpoint_errors
from services.aws.outcomes import error_code
from services.commands.terminal import show
from services.output.status import tell
from utils.config.settings import Source
from utils.errors import ConfigurationError, ForwarderError, unexpected
from utils.model import Clock
from utils.report.dashboards import (
    Target,
    check_apart,
    console_address,
    filled,
    shows,
    stored_name,
    targets,
)
from utils.wording import did_you_mean, found, printable

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

_FOLDER = Path(__file__).parents[2] / "dashboards"
_PERMISSION = "cloudwatch:PutDashboard"
_HINTS = {"InvalidParameterInput": "CloudWatch's own words on standard output say what is wrong"}


def print_dashboard(name: str, sources: Sequence[Source], clock: Clock) -> None:
    """Prints a dashboard's JSON for each log group that holds what it shows.

    Args:
        name: of the dashboard, as its file is called.
        sources: what to ship where.
        clock: how the time is read.

    Raises:
        ConfigurationError: there is no such dashboard, or it shows no type of the sources.
    """
    templates = _templates()
    fitting = _names(templates, sources)
    if name not in fitting:
        allowed = f"allowed: {', '.join(fitting)}"
        if name in templates:
            message, hint = f"The dashboard {name} shows no configured log_type", ""
        else:
            message, hint = f"There is no dashboard {found(name)}", did_you_mean(name, fitting)
        raise ConfigurationError([ForwarderError(message, allowed, hint)])
    shown = [one for one in sources if shows(name, [one.log_type])]
    documents = {filled(templates[name], target): target for target in targets(shown)}
    for document, target in documents.items():
        if len(documents) > 1:
            tell(clock.now(), "INFO", f"The dashboard {name} for the log group {target}:", {})
        show(document)


def install_dashboards(sources: Sequence[Source], clock: Clock) -> bool:
    """Stores for each log group the dashboards of its types; returns if all are stored.

    Prints the address of each in the console, and what CloudWatch says of it.

    Args:
        sources: what to ship where.
        clock: how the time is read.
    """
    several, templates = targets(sources), _templates()
    is_stored = True
    try:
        check_apart(several)
    except ForwarderError as exc:
        tell(clock.now(), "ERROR", str(exc), {})
        return False
    for target in several:
        show(str(target))
        own = [one for one in sources if targets([one]) == [target]]
        try:
            _install(target, {name: templates[name] for name in _names(templates, own)})
        except Exception as exc:  # noqa: BLE001 - a person reads this, not a traceback
            error = exc if isinstance(exc, ForwarderError) else unexpected(exc)
            tell(clock.now(), "ERROR", str(error), {})
            is_stored = False
    return is_stored


def _install(target: Target, templates: Mapping[str, str]) -> None:
    doing, variable = "set up the connection to AWS", "AWS_ENDPOINT_URL_CLOUDWATCH and AWS_REGION"
    with aws_errors(doing, _PERMISSION, {}), endpoint_errors(doing, variable):
        config = Config(retries={"mode": "standard"})
        client = cast("CloudWatchClient", aws_client("cloudwatch", target.aws, config))
    for name, template in templates.items():
        stored = stored_name(name, target)
        with aws_errors(f"store the dashboard {stored}", _PERMISSION, _HINTS):
            try:
                answer = client.put_dashboard(
                    DashboardName=stored, DashboardBody=filled(template, target)
                )
            except ClientError as exc:
                if error_code(exc) in _HINTS:
                    _print_line(exc.response["Error"].get("Message", ""))
                raise
        _print_line(f"{name}: {console_address(target.aws.region, stored)}")
        for one in answer.get("DashboardValidationMessages", []):
            _print_line(f"  {one.get('DataPath', '')}: {one.get('Message', '')}")


def _names(templates: Iterable[str], sources: Sequence[Source]) -> list[str]:
    """Returns the dashboards that show events of the sources."""
    return [name for name in templates if shows(name, {one.log_type for one in sources})]


def _templates() -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in sorted(_FOLDER.glob("*.json"))}


def _print_line(line: str) -> None:
    show(f"  {printable(line)}")
