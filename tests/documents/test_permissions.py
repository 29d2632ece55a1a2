"""The permissions in the documents are those that the program uses, no fewer and no more."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, quote

import botocore.session
from botocore import xform_name

from services.aws.session import USED_OPERATIONS
from tests.servers.installation import BUCKET, OUTPUT_BUCKET, REPOSITORY, Installation
from tests.servers.s3_proxy import S3Proxy
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

DOCUMENTATION = REPOSITORY / "documentation"
IAM_POLICIES = sorted(DOCUMENTATION.glob("iam-policy*.json"))
LYVE_POLICY = DOCUMENTATION / "lyve-policy.json"
PROGRAM = [
    *REPOSITORY.glob("services/**/*.py"),
    *REPOSITORY.glob("utils/**/*.py"),
    REPOSITORY / "engine.py",
]
SERVICES = ("s3", "logs", "cloudwatch")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
S3_ACTIONS = {
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
}
# What a person may leave out, by the action that the program calls only when asked to.
OPTIONAL = {"OptionalDashboards": {"cloudwatch:PutDashboard"}}
# What `--check` asks for its hints: where it is denied there are none.
OF_HINTS = {"s3:GetBucketLogging", "s3:GetBucketVersioning"}
PLACEHOLDERS = {
    "iam": {"<AWS_REGION>", "<ACCOUNT_ID>", "<AWS_CLOUDWATCH_LOG_GROUP_NAME>"},
    "lyve": {"<BUCKET_NAME>", "<OUTPUT_BUCKET>"},
}


def statements(paths: Iterable[Path]) -> Iterator[tuple[str, set[str], str]]:
    """Yields name, actions and resource of each statement, once for each resource."""
    for path in paths:
        policy = json.loads(path.read_text())
        assert policy["Version"] == "2012-10-17"
        for statement in policy["Statement"]:
            assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
            assert statement["Effect"] == "Allow"
            actions = statement["Action"]
            resources = statement["Resource"]
            for resource in resources if isinstance(resources, list) else [resources]:
                named = set(actions if isinstance(actions, list) else [actions])
                yield statement["Sid"], named, resource


def allowed(paths: Iterable[Path]) -> set[str]:
    """Returns the actions that policies allow, but for what is optional."""
    return {
        action
        for name, actions, _ in statements(paths)
        if name not in OPTIONAL
        for action in actions
    }


@cache
def operations() -> dict[str, str]:
    """Returns the action of each method of the clients."""
    session = botocore.session.Session()
    found = {}
    for service in SERVICES:
        for name in session.get_service_model(service).operation_names:
            action = S3_ACTIONS.get(name, f"s3:{name}") if service == "s3" else f"{service}:{name}"
            found[xform_name(name)] = action
    return found


def methods(source: str) -> Iterator[str]:
    """Yields the name of each method of a client that a module calls."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names = [node.func.attr]
            if node.func.attr in {"get_paginator", "get_waiter"}:
                names += [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            yield from (name for name in names if name in operations())


def called(source: str) -> Iterator[str]:
    """Yields the action of each call of a service in a module, PutLogEvents over HTTP included."""
    yield from (operations()[name] for name in methods(source))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            target = re.fullmatch(r"Logs_\d+\.(\w+)", node.value)
            if target:
                yield f"logs:{target[1]}"


def called_by_the_program() -> set[str]:
    return {action for path in PROGRAM for action in called(path.read_text())}


# The code.


def test_the_policies_allow_what_the_code_calls_and_no_more() -> None:
    optional = set().union(*OPTIONAL.values())
    assert allowed([*IAM_POLICIES, LYVE_POLICY]) == called_by_the_program() - optional - OF_HINTS


def test_the_clients_have_the_methods_that_the_code_calls_and_no_more() -> None:
    called = {name for path in PROGRAM for name in methods(path.read_text())}
    used = {xform_name(one) for operations in USED_OPERATIONS.values() for one in operations}
    assert used == called | {"head_bucket"}


def test_what_is_optional_stands_there_if_the_code_calls_it() -> None:
    named = {name: actions for name, actions, _ in statements(IAM_POLICIES) if name in OPTIONAL}
    program = called_by_the_program()
    assert named == {name: actions for name, actions in OPTIONAL.items() if actions & program}


def test_a_call_that_is_not_allowed_would_be_found() -> None:
    """This shows that the search for calls finds something."""
    source = 'self._client.delete_object(Key=1)\nlogs.get_paginator("filter_log_events")\n'
    assert {*called(source)} == {"s3:DeleteObject", "logs:FilterLogEvents"}
    assert "logs:PutLogEvents" in called_by_the_program()


def test_only_describing_groups_reaches_beyond_the_one_group() -> None:
    group = "arn:aws:logs:<AWS_REGION>:<ACCOUNT_ID>:log-group:"
    for name, actions, resource in statements(IAM_POLICIES):
        if name not in OPTIONAL:
            is_all = actions == {"logs:DescribeLogGroups"}
            rest = "*" if is_all else "<AWS_CLOUDWATCH_LOG_GROUP_NAME>:*"
            assert resource == group + rest


def test_the_audit_bucket_is_never_written_to() -> None:
    writes = {
        resource for _, actions, resource in statements([LYVE_POLICY]) if "s3:PutObject" in actions
    }
    assert writes == {"arn:aws:s3:::<OUTPUT_BUCKET>/*"}


def test_the_placeholders_are_those_that_are_explained() -> None:
    for kind, paths in (("iam", IAM_POLICIES), ("lyve", [LYVE_POLICY])):
        for path in paths:
            assert set(re.findall("<[^>]*>", path.read_text())) <= PLACEHOLDERS[kind]
    documents = (REPOSITORY / "README.md", DOCUMENTATION / "operations.md")
    named = {one for path in documents for one in re.findall("<[A-Z_]+>", path.read_text())}
    assert named >= set().union(*PLACEHOLDERS.values())


def test_the_documents_say_what_each_permission_for_aws_is_for() -> None:
    operations_document = (REPOSITORY / "documentation" / "operations.md").read_text()
    explained = set(re.findall(r"^\| `(\w+:\w+)` \|", operations_document, re.MULTILINE))
    assert explained == allowed(IAM_POLICIES) | set().union(*OPTIONAL.values())


# What both services see.


def test_the_policies_allow_what_a_day_of_work_asks_for_and_no_more(
    installation: Installation, standin: CloudWatchStandin, s3_proxy: S3Proxy
) -> None:
    """A check, an iteration with a doubt, one with quarantine, a plan and a proof."""
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}"]))
    assert installation.run("--check").exit_status == 0
    standin.control(fail_next=["dropped_after"])
    assert installation.once().exit_status == 0
    installation.put("May-2024/S3-b.gz", gzip_lines([b"\xff"]))
    assert installation.once().exit_status == 0
    assert installation.run("--plan").exit_status == 0
    assert installation.run("--verify").exit_status == 0
    # The test itself makes the group.
    seen = {f"logs:{name}" for name in standin.calls().operations} - {"logs:CreateLogGroup"}
    assert seen == allowed(IAM_POLICIES)
    for is_newer in (False, True):
        lines = [one for one in s3_proxy.requests if not one.endswith(("?versioning", "?logging"))]
        asked = {permission(line, is_newer=is_newer) for line in lines}
        used = [{(one, grant) for grant in granted() if covers(grant, one)} for one in asked]
        assert all(used), "a request is refused"
        others = {(action, f"{bucket}/*") for action, bucket in LISTINGS}
        assert {grant for one in used for _, grant in one} == granted() - (
            LISTINGS if is_newer else others
        )


def test_a_listing_by_prefix_is_granted_as_both_platforms_read_it() -> None:
    """On the newer one a listing by prefix is one of `bucket/prefix`, and not of `bucket`."""
    for prefix in ("access/", "tenants/one", "March-2024/"):
        line = f"GET /{BUCKET}?list-type=2&prefix={quote(prefix, safe='')}&max-keys=1000"
        for is_newer in (False, True):
            needed = permission(line, is_newer=is_newer)
            assert any(covers(grant, needed) for grant in granted())


def test_no_statement_allows_to_list_without_a_bucket() -> None:
    """MinIO, on which the older platform is built, refuses such a policy as a whole."""
    for statement in json.loads(LYVE_POLICY.read_text())["Statement"]:
        if "s3:ListBucket" in statement["Action"]:
            assert [one for one in statement["Resource"] if "/" not in one]


LISTINGS = {("s3:ListBucket", "<BUCKET_NAME>"), ("s3:ListBucket", "<OUTPUT_BUCKET>")}


def granted() -> set[tuple[str, str]]:
    """Returns the actions and the resources of the policy for Lyve Cloud."""
    return {
        (action, resource.removeprefix("arn:aws:s3:::"))
        for _, actions, resource in statements([LYVE_POLICY])
        for action in actions
    }


def covers(grant: tuple[str, str], needed: tuple[str, str]) -> bool:
    """Tells if a grant, perhaps with a star at its end, is of what a request needs."""
    return grant[0] == needed[0] and fnmatchcase(needed[1], grant[1])


def permission(line: str, *, is_newer: bool) -> tuple[str, str]:
    """Returns the action and the resource that a request over HTTP needs.

    Args:
        line: of the request.
        is_newer: whether the newer platform reads the policy, or the older one.
    """
    resources = {BUCKET: "<BUCKET_NAME>", OUTPUT_BUCKET: "<OUTPUT_BUCKET>"}
    method, target = line.split(" ", 1)
    path, _, query = target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    if not key:
        assert (method, "list-type=2" in query) == ("GET", True), line
        prefix = parse_qs(query, keep_blank_values=True).get("prefix", [""])[0]
        resource = resources[bucket]
        return "s3:ListBucket", f"{resource}/{prefix}" if is_newer else resource
    action = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject"}[method]
    return action, f"{resources[bucket]}/{key}"
