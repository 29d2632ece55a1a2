"""A role per source: assumed with the credentials at hand, renewed in mid-run, tried by --check."""

import pytest

from services.aws.clients import aws_credentials, logs_client
from tests.process.test_check import table_of
from tests.process.test_sources import numbered
from tests.servers.installation import AWS_REGION, Installation
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.moto_process import MotoServer
from tests.standin.sts import Sts, secret_of
from tests.unit.test_config import DOCUMENT, environment, parse, problem
from tests.world.audit_events import gzip_lines
from utils.config.settings import AwsAccess

ACCOUNT = "210987654321"
MOTOS_ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/audit/logscollector"
FIND = "find AWS credentials"
DENIED = (
    f"Can't assume the role {ROLE} (AccessDenied). Check AWS_ASSUME_ROLE_ARN and "
    "AWS_ASSUME_ROLE_EXTERNAL_ID. The role's trust policy has to name whom AWS_ACCESS belongs to, "
    "and that one's own policy to allow sts:AssumeRole on the role."
)
RENEWED_EACH_TIME_SECONDS = 60.0


@pytest.fixture
def assuming(installation: Installation, standin: CloudWatchStandin) -> Installation:
    """An installation whose log group only the role may use."""
    installation.environment |= {"AWS_ASSUME_ROLE_ARN": ROLE}
    keys = [f"ASIA{number}" for number in range(1, 100)]
    standin.control(credentials={key: secret_of(key) for key in keys})
    return installation


def test_what_is_shipped_is_signed_by_the_role_that_the_keys_assume(
    assuming: Installation,
) -> None:
    assuming.environment["AWS_ASSUME_ROLE_EXTERNAL_ID"] = "customer:42"
    assuming.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 10)))
    with Sts({ROLE: "customer:42"}, ACCESS_KEY) as sts:
        assuming.environment["AWS_ENDPOINT_URL_STS"] = sts.url
        assert assuming.once().exit_status == 0
        assert sts.assumed == [ROLE]
        assert table_of(assuming.run("--check").stdout)[FIND].detail == f"the role {ROLE}"


def test_a_role_is_renewed_in_mid_run(assuming: Installation) -> None:
    """Its keys live shorter than an iteration may take: every request has new ones here."""
    assuming.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 1000)))
    with Sts({ROLE: ""}, ACCESS_KEY, RENEWED_EACH_TIME_SECONDS) as sts:
        assuming.environment["AWS_ENDPOINT_URL_STS"] = sts.url
        assuming.configuration["concurrency"] = 1
        outcome = assuming.once()
        assert outcome.exit_status == 0, outcome.stderr
        assert len(sts.assumed) > 10
    assert outcome.done.figures("accepted") == {"accepted": 1000}


@pytest.mark.parametrize(
    ("roles", "caller"),
    [({}, ACCESS_KEY), ({ROLE: "another"}, ACCESS_KEY), ({ROLE: ""}, "AKIANOTTHISONE")],
    ids=["no such role", "external id", "trust"],
)
def test_a_role_that_is_denied_is_told_with_its_fix(
    roles: dict[str, str], caller: str, assuming: Installation
) -> None:
    with Sts(roles, caller) as sts:
        assuming.environment["AWS_ENDPOINT_URL_STS"] = sts.url
        outcome = assuming.once()
        assert (outcome.exit_status, [line.text for line in outcome.errors]) == (1, [DENIED])
        checked = assuming.run("--check")
    finding = table_of(checked.stdout)[FIND]
    detail, fix = finding.detail.split(" fix: ")
    assert (checked.exit_status, finding.outcome) == (1, "failed")
    assert f"{detail}. {fix}" == DENIED


def test_each_source_assumes_its_own_role(assuming: Installation) -> None:
    other = ROLE.replace(ACCOUNT, "333333333333")
    assuming.configuration |= {"sources": [{"name": "europe"}, {"name": "america"}]}
    assuming.environment["AMERICA_AWS_ASSUME_ROLE_ARN"] = other
    with Sts({ROLE: "", other: ""}, ACCESS_KEY) as sts:
        assuming.environment["AWS_ENDPOINT_URL_STS"] = sts.url
        assert assuming.once().exit_status == 0
        assert sorted(sts.assumed) == [ROLE, other]


def test_motos_security_token_service_gives_a_role(
    moto_installation: Installation, moto: MotoServer
) -> None:
    """And its logs are those of the role's account: in another one there is no such group."""
    moto_installation.environment |= {
        "AWS_ASSUME_ROLE_ARN": ROLE,
        "AWS_ASSUME_ROLE_EXTERNAL_ID": "customer:42",
        "AWS_ENDPOINT_URL_STS": moto.endpoint_url,
    }
    moto_installation.put("May-2024/S3-a.gz", gzip_lines(numbered(0, 10)))
    (error,) = moto_installation.once().errors
    assert "ResourceNotFoundException" in error.text
    moto_installation.environment["AWS_ASSUME_ROLE_ARN"] = ROLE.replace(ACCOUNT, MOTOS_ACCOUNT)
    assert moto_installation.once().exit_status == 0
    assert len(moto_installation.messages()) == 10


def test_clients_and_puts_have_the_same_credentials_and_renew_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sts({ROLE: ""}, ACCESS_KEY, RENEWED_EACH_TIME_SECONDS) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        access = AwsAccess(ACCESS_KEY, SECRET_KEY, AWS_REGION, None, ROLE)
        logs_client(access)
        found = aws_credentials(access)
        assert found
        assert sts.assumed == []
        keys = [found.get_frozen_credentials().access_key for _ in range(2)]
    assert keys == ["ASIA1", "ASIA2"]


# The variables.


def test_a_role_is_read_and_its_repr_does_not_show_the_external_id() -> None:
    variables = environment(AWS_ASSUME_ROLE_ARN=ROLE, AWS_ASSUME_ROLE_EXTERNAL_ID="customer:42")
    (source,) = parse(DOCUMENT, variables)
    assert (source.aws.role_arn, source.aws.external_id) == (ROLE, "customer:42")
    assert "customer:42" not in repr(source)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"AWS_ASSUME_ROLE_ARN": "arn:aws:iam::1:role/x"},
            'environment: AWS_ASSUME_ROLE_ARN is "arn:aws:iam::1:role/x" (allowed: a role\'s ARN '
            "such as arn:aws:iam::123456789012:role/logscollector).",
        ),
        (
            {"AWS_ASSUME_ROLE_ARN": "logscollector"},
            'environment: AWS_ASSUME_ROLE_ARN is "logscollector" (allowed: a role\'s ARN such as '
            "arn:aws:iam::123456789012:role/logscollector).",
        ),
        (
            {"AWS_ASSUME_ROLE_EXTERNAL_ID": "42"},
            "environment: AWS_ASSUME_ROLE_ARN is missing, but AWS_ASSUME_ROLE_EXTERNAL_ID is set. "
            "Set AWS_ASSUME_ROLE_ARN too.",
        ),
        (
            {"AWS_ASSUME_ROLE_ARN": ROLE, "AWS_ASSUME_ROLE_EXTERNAL_ID": "4 2"},
            "environment: AWS_ASSUME_ROLE_EXTERNAL_ID has another form (allowed: 2 to 1224 of the "
            "letters a to z and A to Z, the digits and _ + = , . @ : / -).",
        ),
    ],
)
def test_a_wrong_role_is_told(variables: dict[str, str], message: str) -> None:
    assert problem(DOCUMENT, environment(**variables)) == message
