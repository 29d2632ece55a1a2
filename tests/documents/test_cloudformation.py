"""The templates for CloudFormation: linted, deployed, and the daemon runs with what it made."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest

from tests.conftest import MotoLogs
from tests.documents.cloudformation import (
    ACCESS_DASHBOARDS,
    DASHBOARDS,
    MOST_TEMPLATE_BYTES,
    PLACEHOLDERS,
    POLICY,
)
from tests.process.test_sources import numbered
from tests.servers.installation import AWS_REGION, BUCKET, REPOSITORY, Installation
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.metrics import points
from tests.standin.moto_process import MotoServer
from tests.standin.template import ACCESS_PATH, PATH, read, resources
from tests.world.audit_events import gzip_lines
from utils.config.settings import METRICS_NAMESPACE, AwsAccess
from utils.config.sources import parse_sources
from utils.errors import ConfigurationError
from utils.report.dashboards import Target, filled, shows, stored_name

GROUP = "/lyve/audit.logs"
PATHS = pytest.mark.parametrize("path", [PATH, ACCESS_PATH], ids=["one", "access"])
ACCOUNT = "123456789012"
VARIABLES = dict.fromkeys(
    ("LYVE_ACCESS", "LYVE_SECRET", "LYVE_REGION", "AWS_ACCESS", "AWS_SECRET", "AWS_REGION"),
    "us-east-1",
)


def client(service: str, moto: MotoServer) -> Any:
    """Returns a client of whoever deploys the stack."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=moto.endpoint_url,
        region_name=AWS_REGION,
        aws_access_key_id="an-administrator",
        aws_secret_access_key="of-the-account",
    )


def deployed(moto: MotoServer, name: str, path: Path = PATH, **parameters: str) -> dict[str, str]:
    """Deploys a stack; returns its outputs."""
    service = client("cloudformation", moto)
    service.create_stack(
        StackName=name,
        TemplateBody=path.read_text(),
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = service.describe_stacks(StackName=name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}


# By itself.


@PATHS
def test_cfn_lint_finds_nothing(path: Path) -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([linter, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@PATHS
def test_it_can_be_deployed_without_a_bucket(path: Path) -> None:
    assert len(path.read_bytes()) < MOST_TEMPLATE_BYTES


@pytest.mark.parametrize("types", ["S3", "S3,IAM,Console", "Access", "S3,Access"])
def test_the_dashboards_are_those_of_the_types(types: str) -> None:
    """Those of access logs have a template of their own."""
    made = resources("AWS::CloudWatch::Dashboard", LogTypes=types)
    wanted = {path.stem for path in DASHBOARDS if shows(path.stem, types.split(","))}
    target = Target(AwsAccess(None, None, AWS_REGION), "lyve-cloud-audit-logs")
    names = {str(one["DashboardName"]) for one in made.values()}
    assert names == {stored_name(name, target) for name in wanted}
    assert "integration" in wanted


def test_the_defaults_are_those_of_the_configuration() -> None:
    parameters = read()["Parameters"]
    configuration = json.loads((REPOSITORY / "config.json").read_text())
    sources = parse_sources(json.dumps(configuration).encode(), VARIABLES, str)
    assert parameters["Sources"]["Default"] == ",".join(source.name for source in sources)
    assert {source.log_group for source in sources} == {parameters["LogGroupName"]["Default"]}
    assert {source.metrics_namespace for source in sources} == {METRICS_NAMESPACE}
    assert parameters["MetricsNamespace"]["Default"] == METRICS_NAMESPACE


@pytest.mark.parametrize("namespace", ["LyveCloudLogs", "a b", "A:/#_-.", "AWS/x", "", " x", ":x"])
def test_a_namespace_is_taken_if_the_configuration_takes_it(namespace: str) -> None:
    pattern = str(read()["Parameters"]["MetricsNamespace"]["AllowedPattern"])
    is_taken = re.fullmatch(pattern, namespace) is not None and not namespace.startswith("AWS/")
    document = json.loads((REPOSITORY / "config.json").read_text()) | {"metrics": namespace}
    try:
        parse_sources(json.dumps(document).encode(), VARIABLES, str)
    except ConfigurationError:
        assert not is_taken
    else:
        assert is_taken


def test_the_policy_is_the_one_of_the_steps_by_hand() -> None:
    ((_, properties),) = resources("AWS::IAM::ManagedPolicy", LogGroupName=GROUP).items()
    text = POLICY.read_text()
    values = {
        "<AWS_REGION>": AWS_REGION,
        "<ACCOUNT_ID>": ACCOUNT,
        "<AWS_CLOUDWATCH_LOG_GROUP_NAME>": GROUP,
    }
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    document = json.loads(text)
    for statement in document["Statement"]:
        if isinstance(statement["Action"], str):
            statement["Action"] = [statement["Action"]]
    assert properties["PolicyDocument"] == document


def test_each_alarm_is_one_that_cloudwatch_takes(moto: MotoServer) -> None:
    service = client("cloudwatch", moto)
    alarms = resources("AWS::CloudWatch::Alarm", Sources="a,b,c,d,e,f,g,h:2/3")
    assert len(alarms) == 13
    for name, alarm in alarms.items():
        numbers = {
            key: int(str(alarm[key])) for key in ("Period", "EvaluationPeriods", "Threshold")
        }
        service.put_metric_alarm(AlarmName=name, **{**alarm, **numbers})
    heartbeats = [alarm for name, alarm in alarms.items() if name.startswith("Heartbeat")]
    assert {alarm["TreatMissingData"] for alarm in heartbeats} == {"breaching"}
    assert heartbeats[-1]["Dimensions"] == [
        {"Name": "source", "Value": "h"},
        {"Name": "replica", "Value": "2/3"},
    ]


@PATHS
def test_every_placeholder_is_filled_in(path: Path) -> None:
    text = path.read_text()
    assert not [placeholder for placeholder in PLACEHOLDERS if placeholder in text]


# Deployed.


@pytest.fixture
def stack_installation(
    moto: MotoServer, buckets: SeaweedFS, tmp_path: Path
) -> Iterator[Installation]:
    """An installation on moto and what a stack makes there."""
    installed = Installation(tmp_path, buckets, MotoLogs(moto.endpoint_url))
    yield installed
    installed.close()
    for group in installed.logs.describe_log_groups()["logGroups"]:
        installed.logs.delete_log_group(logGroupName=group["logGroupName"])


def run_with(installation: Installation, outputs: dict[str, str]) -> list[str]:
    """Runs an iteration with the outputs of a stack; returns what it put into the log group."""
    installation.configuration |= {
        "log_group": outputs["LogGroup"],
        "metrics": outputs["Metrics"],
    }
    installation.environment["AWS_REGION"] = outputs["Region"]
    installation.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 10)))
    outcome = installation.once()
    assert outcome.exit_status == 0, outcome.stderr
    stream = f"lyve-cloud/{BUCKET}/S3"
    events = installation.cloudwatch.events(outputs["LogGroup"], f"{stream}/integration")
    beats = points(event.message for event in events)
    assert {point.namespace for point in beats} == {outputs["Metrics"]}
    return [event.message for event in installation.cloudwatch.events(outputs["LogGroup"], stream)]


def test_the_daemon_runs_with_what_a_stack_with_a_user_made(
    moto: MotoServer, stack_installation: Installation
) -> None:
    outputs = deployed(
        moto, "with-a-user", LogGroupName=GROUP, MetricsNamespace="Ours", AlarmAddress="a@b.example"
    )
    key = client("iam", moto).create_access_key(UserName=outputs["User"])["AccessKey"]
    stack_installation.environment |= {
        "AWS_ACCESS": key["AccessKeyId"],
        "AWS_SECRET": key["SecretAccessKey"],
    }
    assert len(run_with(stack_installation, outputs)) == 10
    (group,) = client("logs", moto).describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]
    assert group["retentionInDays"] == 365
    deployed(moto, "access", ACCESS_PATH, LogGroupName=GROUP)
    service = client("cloudwatch", moto)
    target = Target(AwsAccess(None, None, AWS_REGION), GROUP, "Ours")
    for path in [*DASHBOARDS, *ACCESS_DASHBOARDS]:
        stored = stored_name(path.stem, target)
        kept = service.get_dashboard(DashboardName=stored)["DashboardBody"]
        assert json.loads(kept) == json.loads(filled(path.read_text(), target))
    subscriptions = client("sns", moto).list_subscriptions()["Subscriptions"]
    assert [one["Endpoint"] for one in subscriptions if one["TopicArn"] == outputs["Topic"]] == [
        "a@b.example"
    ]
    attached = client("iam", moto).list_attached_user_policies(UserName=outputs["User"])
    assert len(attached["AttachedPolicies"]) == 1


def test_the_daemon_runs_with_the_role_that_a_stack_made(
    moto: MotoServer, stack_installation: Installation
) -> None:
    outputs = deployed(
        moto, "with-a-role", LogGroupName=f"{GROUP}-2", Identity="role", ExternalId="customer:42"
    )
    service = client("iam", moto)
    name = outputs["RoleArn"].rpartition("/")[2]
    role = service.get_role(RoleName=name)["Role"]
    (statement,) = cast("dict[str, list[object]]", role["AssumeRolePolicyDocument"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Condition": {"StringEquals": {"sts:ExternalId": "customer:42"}},
    }
    stack_installation.environment |= {
        "AWS_ASSUME_ROLE_ARN": outputs["RoleArn"],
        "AWS_ASSUME_ROLE_EXTERNAL_ID": "customer:42",
        "AWS_ENDPOINT_URL_STS": moto.endpoint_url,
    }
    assert len(run_with(stack_installation, outputs)) == 10
