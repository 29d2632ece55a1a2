"""What the templates for CloudFormation take from the policy and the dashboards."""

import json
import textwrap
from collections.abc import Iterable
from pathlib import Path

from tests.documents.rooms import ROOT

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_TEMPLATE_BYTES = 51_200
SOURCES = 8
# One template with all of them would not be deployed without a bucket: those of the newer
# platform's access logs have their own.
ACCESS_DASHBOARDS = sorted(ROOT.glob("dashboards/access_*.json"))
DASHBOARDS = sorted({*ROOT.glob("dashboards/*.json")} - {*ACCESS_DASHBOARDS})
# As in utils.report.dashboards.
OF_ALL_TYPES = "integration"
DOCUMENTATION = ROOT / "documentation"
POLICY = DOCUMENTATION / "iam-policy.json"
PLACEHOLDERS = {
    "<AWS_REGION>": "${AWS::Region}",
    "<ACCOUNT_ID>": "${AWS::AccountId}",
    "<AWS_CLOUDWATCH_LOG_GROUP_NAME>": "${LogGroupName}",
    "<METRICS_NAMESPACE>": "${MetricsNamespace}",
    "arn:aws:": "arn:${AWS::Partition}:",
}
HEARTBEAT = """\
Heartbeat{number}:
  Type: AWS::CloudWatch::Alarm
  Condition: HasSource{number}
  Properties:
    AlarmDescription: !Sub
      - "No iteration of ${{Source}} ended for two hours: the daemon is down, stuck or denied."
      - Source: {entry}
    Namespace: !Ref MetricsNamespace
    MetricName: iterations
    Dimensions:
      - {{Name: source, Value: !Select [0, !Split [":", {entry}]]}}
      - !If [HasReplica{number}, {{Name: replica, Value: {replica}}}, !Ref AWS::NoValue]
    Statistic: Sum
    Period: 3600
    EvaluationPeriods: 2
    Threshold: 1
    ComparisonOperator: LessThanThreshold
    TreatMissingData: breaching
    AlarmActions: [!Ref Topic]
    OKActions: [!Ref Topic]
"""
DASHBOARD = """\
{title}Dashboard:
  Type: AWS::CloudWatch::Dashboard
{condition}  Properties:
    DashboardName: !Sub
      - ${{Group}}-${{AWS::Region}}-{name}
      - Group: {group}
    DashboardBody: !Sub |
{body}
"""


def conditions() -> str:
    """Returns which of the sources are named, and which with a replica."""
    lines = []
    for number in range(SOURCES):
        lines.append(f'HasSource{number + 1}: !Not [!Equals [{_entry(number)}, ""]]')
        lines.append(f'HasReplica{number + 1}: !Not [!Equals [{_replica(number)}, ""]]')
    return _indented(1, "\n".join(lines))


def heartbeats() -> str:
    """Returns the alarm for each source that may be named."""
    made = (
        HEARTBEAT.format(number=number + 1, entry=_entry(number), replica=_replica(number))
        for number in range(SOURCES)
    )
    return _indented(1, "\n".join(made))


def policy() -> str:
    """Returns the policy that README's steps have, with what the stack knows filled in."""
    document = json.loads(POLICY.read_text())
    lines = [f'Version: "{document["Version"]}"', "Statement:"]
    for statement in document["Statement"]:
        actions = statement["Action"]
        named = actions if isinstance(actions, list) else [actions]
        lines += [
            f"  - Sid: {statement['Sid']}",
            f"    Effect: {statement['Effect']}",
            f"    Action: [{', '.join(named)}]",
            f'    Resource: !Sub "{filled(statement["Resource"])}"',
        ]
    return _indented(4, "\n".join(lines))


def dashboards() -> str:
    """Returns each dashboard but those of access logs, made for the types that it shows."""
    return _dashboards(DASHBOARDS)


def access_dashboards() -> str:
    """Returns each dashboard of access logs."""
    return _dashboards(ACCESS_DASHBOARDS)


def filled(text: str) -> str:
    """Returns a text with CloudFormation's own variables in the place of its placeholders."""
    for placeholder, variable in PLACEHOLDERS.items():
        text = text.replace(placeholder, variable)
    return text


def _dashboards(paths: Iterable[Path]) -> str:
    """Returns dashboards, a widget a line."""
    made = []
    for path in paths:
        document = json.loads(path.read_text())
        widgets = ",\n".join(_compact(widget) for widget in document.pop("widgets"))
        body = filled(f'{_compact(document)[:-1]},"widgets":[\n{widgets}\n]}}')
        title = "".join(word.title() for word in path.stem.split("_"))
        group = "!Ref LogGroupName"
        for other in "#./":  # as in utils.report.dashboards.stored_name
            group = f'!Join ["-", !Split ["{other}", {group}]]'
        body = _indented(3, body)
        needs_a_type = path in DASHBOARDS and path.stem != OF_ALL_TYPES
        condition = "  Condition: HasOtherTypes\n" if needs_a_type else ""
        made.append(
            DASHBOARD.format(
                title=title, condition=condition, name=path.stem, group=group, body=body
            )
        )
    return _indented(1, "\n".join(made))


def _entry(number: int) -> str:
    padded = "," * (SOURCES - 1)
    return f'!Select [{number}, !Split [",", !Sub "${{Sources}}{padded}"]]'


def _replica(number: int) -> str:
    return f'!Select [1, !Split [":", !Join ["", [{_entry(number)}, ":"]]]]'


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _indented(levels: int, text: str) -> str:
    return textwrap.indent(text.rstrip("\n"), "  " * levels)
