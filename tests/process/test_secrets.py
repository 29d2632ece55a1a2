"""No secret stands in anything that the program writes, whatever fails.

Each installation searches all that its runs said and wrote for its secrets in the end; here that is
done where something fails, and for what the health check reads.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from services.daemon.health import heartbeat_path
from tests.process.test_daemon import Daemon
from tests.servers.installation import Installation, eventually
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.fake_server import FakeServer, Reply, always
from tests.world.audit_events import gzip_lines

SECRETS = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")
CALLS = [["--once"], ["--check"], ["--plan"]]


class Failure(NamedTuple):
    """A change of an installation under which something fails."""

    change: Callable[[Installation, CloudWatchStandin], object]


def wrong(name: str) -> Failure:
    """Returns that one of the secrets is wrong: it is a secret all the same."""

    def change(installation: Installation, _: CloudWatchStandin) -> None:
        installation.environment[name] = f"{installation.environment[name]}WRONGWRONGWRONG"

    return Failure(change)


def unreachable(name: str) -> Failure:
    """Returns that nothing listens at an endpoint."""
    return Failure(lambda one, _: one.environment.update({name: "http://127.0.0.1:9"}))


def denied(*operations: str) -> Failure:
    """Returns that CloudWatch does not permit something."""
    return Failure(lambda _, standin: standin.control(denied=list(operations)))


FAILURES = {
    **{f"wrong {name}": wrong(name) for name in SECRETS},
    "no Lyve Cloud": unreachable("LYVE_ENDPOINT"),
    "no CloudWatch": unreachable("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"),
    "nothing permitted": denied("CreateLogStream", "PutLogEvents", "DescribeLogGroups"),
    "no output bucket": Failure(
        lambda one, _: one.configuration.update({"output_bucket": "no-such-bucket"})
    ),
}


def run_all(installation: Installation) -> None:
    """Runs each call, in both forms of the log; `close` searches what was said."""
    for arguments in CALLS:
        for form in ("text", "json"):
            installation.environment["LOG_FORMAT"] = form
            outcome = installation.run(*arguments)
            assert outcome.exit_status in {0, 1}
            assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_shows_a_secret(
    name: str, installation: Installation, standin: CloudWatchStandin
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}", b"\xff"]))
    FAILURES[name].change(installation, standin)
    run_all(installation)
    assert len(installation.secrets) == len(SECRETS)


@pytest.mark.parametrize("variable", ["LYVE_ENDPOINT", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"])
def test_a_server_that_repeats_what_it_was_sent_shows_no_secret(
    variable: str, installation: Installation
) -> None:
    """S3 returns the access key and the text that was signed with a refused signature."""
    sent = " ".join(installation.environment[name] for name in SECRETS)
    xml = f"<Error><Code>SignatureDoesNotMatch</Code><Message>{sent}</Message>"
    xml += f"<AWSAccessKeyId>{sent}</AWSAccessKeyId><StringToSign>{sent}</StringToSign></Error>"
    refused = json.dumps({"__type": "InvalidSignatureException", "message": sent})
    body = xml if variable == "LYVE_ENDPOINT" else refused
    headers = {"x-amz-request-id": sent, "Server": sent}
    with FakeServer(always(Reply(403, body.encode(), headers))) as server:
        installation.environment[variable] = server.url
        run_all(installation)


def test_secrets_of_files_are_secrets_too(installation: Installation, tmp_path: Path) -> None:
    values = {name: installation.environment.pop(name) for name in SECRETS}
    values["LYVE_SECRET"] += "WRONGWRONGWRONG"
    for name, value in values.items():
        path = tmp_path / name
        path.write_text(f"{value}\n")
        installation.environment[f"{name}_FILE"] = str(path)
    installation.secrets |= set(values.values())
    run_all(installation)


@pytest.mark.parametrize(
    "secret",
    [
        "/wJalrXUtnFEMI1K7MDENGbPxRfiCYEXAMPLEKEY",
        "/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE",
        "/wJalrXUtnFEMI+K7MDENG+bPxRfiCYEXAMPLE==",
        "/wJalrXUtnFEMI_K7MDENG-bPxRfiCYEXAMPLEKE",
    ],
)
def test_a_secret_in_the_place_of_its_file_is_not_shown(
    secret: str, installation: Installation
) -> None:
    """One in 64 keys of base64 begins with a slash, as a path does."""
    del installation.environment["LYVE_SECRET"]
    installation.environment["LYVE_SECRET_FILE"] = secret
    installation.secrets.add(secret)
    outcome = installation.once()
    assert outcome.exit_status == 2
    (error,) = outcome.errors
    assert "it looks like a key and is not shown" in error.text
    assert secret not in outcome.stderr


@pytest.mark.parametrize("name", ["S3AccessKeyOfTheTenant", "lyve_secret.txt", "key-2"])
def test_a_path_of_a_file_that_is_not_there_is_shown(
    name: str, installation: Installation, tmp_path: Path
) -> None:
    path = str(tmp_path / name)
    del installation.environment["LYVE_SECRET"]
    installation.environment["LYVE_SECRET_FILE"] = path
    (error,) = installation.once().errors
    assert path[:70] in error.text
    assert "it looks like a key" not in error.text


def test_what_nobody_foresaw_and_the_health_file_show_no_secret(
    installation: Installation,
) -> None:
    """The error that the clocked engine raises has a secret in its text."""
    daemon = Daemon(installation)
    daemon.explosion.touch()
    with daemon.start("2026-11-01T05:59:59") as engine:
        daemon.fire(engine, "2026-11-01T06:00:00")
        path = heartbeat_path(engine.process.pid)
        eventually(path.exists, "a health file", engine.process)
        said = path.read_text()
        outcome = engine.stop()
    assert "ExplosionError" in outcome.errors[0].text
    assert [secret for secret in installation.secrets if secret in said] == []
