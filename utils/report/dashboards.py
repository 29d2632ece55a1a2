"""Fills a dashboard's template in for a log group, and names what CloudWatch stores."""

import json
import re
from collections.abc import Iterable
from hashlib import sha256

import msgspec

from utils.config.settings import METRICS_NAMESPACE, AwsAccess, Source
from utils.errors import ForwarderError

# https://docs.aws.amazon.com/general/latest/gr/rande.html
_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
_CONSOLE = "console.aws.amazon.com"
# A log group's name may have 512 characters, a dashboard's 255 in all.
_MOST_GROUP_CHARACTERS = 200
_HASH_CHARACTERS = 8


class Target(msgspec.Struct, frozen=True):
    """A log group that has dashboards, where its metrics are, and how its account is reached."""

    aws: AwsAccess
    log_group: str
    metrics_namespace: str = METRICS_NAMESPACE

    def __str__(self) -> str:
        return f"{self.log_group} in {self.aws.region}"


def targets(sources: Iterable[Source]) -> list[Target]:
    """Returns each log group that the sources fill, once, with the first namespace of theirs."""
    found: dict[tuple[AwsAccess, str], Target] = {}
    for one in sorted(sources, key=lambda source: source.metrics_namespace is None):
        namespace = one.metrics_namespace or METRICS_NAMESPACE
        found.setdefault((one.aws, one.log_group), Target(one.aws, one.log_group, namespace))
    return list(found.values())


def shows(dashboard: str, types: Iterable[str]) -> bool:
    """Tells if a dashboard, as its file is called, shows events of one of the types."""
    if dashboard == "integration":
        return True
    return dashboard.startswith("access_") in {one == "Access" for one in types}


def filled(template: str, target: Target) -> str:
    """Returns a dashboard's JSON, ready to paste, of a template with placeholders."""
    values = {
        "<AWS_REGION>": target.aws.region,
        "<AWS_CLOUDWATCH_LOG_GROUP_NAME>": target.log_group,
        "<METRICS_NAMESPACE>": target.metrics_namespace,
    }
    for placeholder, value in values.items():
        template = template.replace(placeholder, json.dumps(value)[1:-1])
    return template


def stored_name(dashboard: str, target: Target) -> str:
    """Returns the name under which CloudWatch holds a dashboard: one name space for all regions.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    """
    group = re.sub("[^A-Za-z0-9_-]", "-", target.log_group)
    if len(group) > _MOST_GROUP_CHARACTERS:
        digest = sha256(target.log_group.encode()).hexdigest()[:_HASH_CHARACTERS]
        group = f"{group[: _MOST_GROUP_CHARACTERS - _HASH_CHARACTERS - 1]}-{digest}"
    return f"{group}-{target.aws.region}-{dashboard}"


def check_apart(found: Iterable[Target]) -> None:
    """Looks whether no two log groups would have the same dashboards.

    Raises:
        ForwarderError: two would.
    """
    groups: dict[str, str] = {}
    for one in found:
        name = stored_name("...", one)
        other = groups.setdefault(name, one.log_group)
        if other != one.log_group:
            raise ForwarderError(
                f"The log groups {other} and {one.log_group} would share the dashboards {name}",
                hint="Make those of one by hand, with --dashboard",
            )


def console_address(region: str, name: str) -> str:
    """Returns the address of a dashboard in the CloudWatch console."""
    hosts = (host for beginning, host in _CONSOLES.items() if region.startswith(beginning))
    host = f"{region}.{next(hosts, _CONSOLE)}"
    return f"https://{host}/cloudwatch/home?region={region}#dashboards/dashboard/{name}"
