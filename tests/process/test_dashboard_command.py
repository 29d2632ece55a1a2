"""`--dashboard` and `--install-dashboards`, the program as a process against moto's CloudWatch."""

import json
import re
from collections.abc import Mapping

import boto3
import pytest

from tests.insights.dashboard_files import FOLDER, NAMES
from tests.servers.installation import AWS_REGION, LOG_GROUP, Installation, Outcome
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.fake_server import FakeServer, Reply, always
from tests.standin.moto_process import MotoServer
from utils.config.settings import AwsAccess
from utils.report.dashboards import Target, stored_name

CONSOLE = "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
OF_ACCESS = ("access_failed", "access_requests", "access_security", "access_usage")
OLDER = tuple(name for name in NAMES if name not in OF_ACCESS)
STORED = {f"{LOG_GROUP}-{AWS_REGION}-{name}" for name in OLDER}


@pytest.fixture
def program(moto: MotoServer, moto_installation: Installation) -> Installation:
    moto_installation.environment["AWS_ENDPOINT_URL_CLOUDWATCH"] = moto.endpoint_url
    # Other tests leave theirs on the server that all share.
    for region in (AWS_REGION, "us-west-2"):
        look(moto, region)
    return moto_installation


def look(moto: MotoServer, region: str = AWS_REGION) -> dict[str, str]:
    """Returns the dashboards that CloudWatch holds, and removes them."""
    client = boto3.client(
        "cloudwatch",
        endpoint_url=moto.endpoint_url,
        region_name=region,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    entries = client.list_dashboards()["DashboardEntries"]
    names = [entry["DashboardName"] for entry in entries]
    bodies = {name: client.get_dashboard(DashboardName=name)["DashboardBody"] for name in names}
    if names:
        client.delete_dashboards(DashboardNames=names)
    return bodies


def filled(name: str, group: str = LOG_GROUP, region: str = AWS_REGION) -> object:
    text = (FOLDER / f"{name}.json").read_text()
    values = {
        "<AWS_REGION>": region,
        "<AWS_CLOUDWATCH_LOG_GROUP_NAME>": group,
        "<METRICS_NAMESPACE>": "LyveCloudLogs",
    }
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return json.loads(text)


def documents(text: str) -> list[object]:
    """Returns the JSON documents of a text that holds nothing else."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def use_two_groups(program: Installation) -> None:
    program.configuration["sources"] = [
        {"name": "europe", "log_type": ["S3", "IAM"]},
        {"name": "america", "log_group": "lyve/america"},
        {"name": "asia", "log_group": "lyve/america", "bucket_name": "audit-logs-asia"},
    ]
    program.environment["AMERICA_AWS_REGION"] = "us-west-2"
    program.environment["ASIA_AWS_REGION"] = "us-west-2"


# --dashboard


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_is_printed_ready_to_paste(name: str, program: Installation) -> None:
    if name in OF_ACCESS:
        program.configuration |= {"log_type": "Access", "prefix": "access/"}
    done = program.run("--dashboard", name)
    assert (done.exit_status, done.stderr) == (0, "")
    assert json.loads(done.stdout) == filled(name)
    assert not re.search(r"(?<!\?)<[A-Za-z_]+>", done.stdout)


def test_each_log_group_gets_its_own(program: Installation) -> None:
    use_two_groups(program)
    done = program.run("--dashboard", "security")
    assert documents(done.stdout) == [
        filled("security"),
        filled("security", "lyve/america", "us-west-2"),
    ]
    assert [line.text for line in done.lines] == [
        f"The dashboard security for the log group {LOG_GROUP} in {AWS_REGION}:",
        "The dashboard security for the log group lyve/america in us-west-2:",
    ]


def test_one_log_group_that_two_keys_reach_is_printed_once(program: Installation) -> None:
    program.configuration["sources"] = [{"name": "one"}, {"name": "two"}]
    program.environment |= {"TWO_AWS_ACCESS": "another-key", "TWO_AWS_SECRET": "another-secret"}
    assert documents(program.run("--dashboard", "usage").stdout) == [filled("usage")]


def test_an_unknown_dashboard_is_an_error_that_names_the_known(program: Installation) -> None:
    done = program.run("--dashboard", "securty")
    assert (done.exit_status, done.stdout) == (2, "")
    assert [line.text for line in done.errors] == [
        f'There is no dashboard "securty" (allowed: {", ".join(OLDER)}). '
        'Did you mean "security"? Then write that.'
    ]


@pytest.mark.parametrize("arguments", [("--dashboard", "usage"), ("--install-dashboards",)])
def test_a_wrong_configuration_comes_first(
    arguments: tuple[str, ...], program: Installation
) -> None:
    del program.configuration["log_group"]
    done = program.run(*arguments)
    assert (done.exit_status, done.stdout) == (2, "")
    assert "log_group is missing" in done.errors[0].text


# --install-dashboards


def test_all_dashboards_are_stored_and_their_addresses_said(
    program: Installation, moto: MotoServer
) -> None:
    assert program.run("--install-dashboards").exit_status == 0
    done = program.run("--install-dashboards")
    assert (done.exit_status, done.stderr) == (0, "")
    head, *lines = done.stdout.splitlines()
    assert head == f"{LOG_GROUP} in {AWS_REGION}"
    assert lines == [
        f"  {name}: {CONSOLE}#dashboards/dashboard/{LOG_GROUP}-{AWS_REGION}-{name}"
        for name in OLDER
    ]
    bodies = look(moto)
    assert set(bodies) == STORED
    for name in OLDER:
        assert json.loads(bodies[f"{LOG_GROUP}-{AWS_REGION}-{name}"]) == filled(name)


def test_each_log_group_is_served_once(program: Installation, moto: MotoServer) -> None:
    use_two_groups(program)
    done = program.run("--install-dashboards")
    assert done.exit_status == 0
    heads = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [f"{LOG_GROUP} in {AWS_REGION}", "lyve/america in us-west-2"]
    assert set(look(moto)) == STORED
    assert set(look(moto, "us-west-2")) == {f"lyve-america-us-west-2-{name}" for name in OLDER}


def test_the_types_of_a_log_group_choose_its_dashboards(
    program: Installation, moto: MotoServer
) -> None:
    program.configuration["sources"] = [
        {"name": "older", "log_group": "older"},
        {"name": "newer", "log_group": "newer", "log_type": "Access", "prefix": "access/"},
        {"name": "audit", "log_group": "both"},
        {"name": "access", "log_group": "both", "log_type": "Access", "prefix": "access/"},
    ]
    assert program.run("--install-dashboards").exit_status == 0
    chosen = {"older": OLDER, "newer": (*OF_ACCESS, "integration"), "both": NAMES}
    assert set(look(moto)) == {
        f"{group}-{AWS_REGION}-{name}" for group, names in chosen.items() for name in names
    }
    printed = documents(program.run("--dashboard", "access_usage").stdout)
    assert printed == [filled("access_usage", group) for group in ("newer", "both")]


def test_a_dashboard_of_a_type_that_is_not_shipped_is_an_error(program: Installation) -> None:
    done = program.run("--dashboard", "access_usage")
    assert (done.exit_status, done.stdout) == (2, "")
    assert [line.text for line in done.errors] == [
        f"The dashboard access_usage shows no configured log_type (allowed: {', '.join(OLDER)})."
    ]


def test_two_groups_that_would_share_their_dashboards_are_an_error(
    program: Installation, moto: MotoServer
) -> None:
    program.configuration["sources"] = [
        {"name": "one", "log_group": "lyve/audit"},
        {"name": "two", "log_group": "lyve.audit"},
    ]
    (text,) = failures(program.run("--install-dashboards"))
    assert text.startswith("The log groups lyve/audit and lyve.audit would share the dashboards")
    assert look(moto) == {}


def test_a_long_name_is_cut_so_that_all_stay_apart(program: Installation, moto: MotoServer) -> None:
    """A log group's name may have 512 characters, a dashboard's 255."""
    groups = ["lyve/" + "a" * 506 + end for end in "12"]
    program.configuration["sources"] = [
        {"name": f"source-{number}", "log_group": group} for number, group in enumerate(groups)
    ]
    assert program.run("--install-dashboards").exit_status == 0
    stored = look(moto)
    assert len(stored) == 2 * len(OLDER)
    for name, body in stored.items():
        assert re.fullmatch("[A-Za-z0-9_-]{1,255}", name)
        assert name.startswith("lyve-aaa")
        dashboard = name.partition(f"-{AWS_REGION}-")[2]
        assert json.loads(body) in [filled(dashboard, group) for group in groups]
    assert program.run("--install-dashboards").exit_status == 0
    assert set(look(moto)) == set(stored)


def test_the_longest_region_and_the_longest_dashboard_leave_room_for_the_group() -> None:
    longest = Target(AwsAccess(None, None, "us-somewhere-northeast-1"), "g" * 512)
    for name in NAMES:
        assert len(stored_name(name, longest)) <= 255
    unchanged = Target(longest.aws, "g" * 200)
    assert stored_name("usage", unchanged) == f"{'g' * 200}-{longest.aws.region}-usage"


def test_a_missing_permission_is_named(program: Installation) -> None:
    (text,) = failures(run_against(program, answer(400, {"__type": "a#AccessDenied"})))
    assert text == (
        f"Can't store the dashboard {LOG_GROUP}-{AWS_REGION}-failed_requests (AccessDenied). "
        "Allow cloudwatch:PutDashboard in the IAM policy of AWS_ACCESS."
    )


def test_what_cloudwatch_says_of_a_body_is_printed(program: Installation) -> None:
    message = {"DataPath": "/widgets/3", "Message": "Unknown property"}
    done = run_against(program, answer(200, {"DashboardValidationMessages": [message]}))
    assert done.exit_status == 0
    assert done.stdout.count("    /widgets/3: Unknown property\n") == len(OLDER)


def test_why_a_body_is_refused_is_printed(program: Installation) -> None:
    refusal = {"__type": "a#DashboardInvalidInputError", "message": "Too wide"}
    done = run_against(program, answer(400, refusal))
    (text,) = failures(done)
    assert "(InvalidParameterInput). CloudWatch's own words on standard output say" in text
    assert "  Too wide\n" in done.stdout


def test_a_server_that_is_not_there_is_an_error(program: Installation) -> None:
    program.environment["AWS_ENDPOINT_URL_CLOUDWATCH"] = "http://127.0.0.1:9"
    (text,) = failures(program.run("--install-dashboards"))
    assert "(127.0.0.1:9 refuses the connection). Check AWS_ENDPOINT_URL_CLOUDWATCH, and" in text


def failures(done: Outcome) -> list[str]:
    assert done.exit_status == 1
    return [line.text for line in done.errors]


def test_an_answer_that_is_none_is_no_traceback(program: Installation) -> None:
    (text,) = failures(run_against(program, Reply(200, b"\xa1 not JSON")))
    assert "(not an answer from CloudWatch). Check what answers in CloudWatch's place" in text


def answer(status: int, body: Mapping[str, object]) -> Reply:
    """Returns an answer as CloudWatch writes it, with the code that older clients know."""
    headers = {"x-amzn-query-error": "InvalidParameterInput;Sender"}
    known = "Invalid" in str(body)
    return Reply(status, json.dumps(body).encode(), headers if known else {})


def run_against(program: Installation, reply: Reply) -> Outcome:
    with FakeServer(always(reply)) as server:
        program.environment["AWS_ENDPOINT_URL_CLOUDWATCH"] = server.url
        return program.run("--install-dashboards")
