"""One cause, one wording: `--check`, `--once` and the daemon say it alike, and the advice works."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.process.test_check import tables
from tests.servers.installation import (
    AWS_REGION,
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
    eventually,
    try_again_soon,
)
from tests.standin.fake_server import Authority, FakeServer, Reply, always
from tests.unit.test_proxies import Proxy
from tests.world.audit_events import gzip_lines

KEY = "May-2024/S3-media-2024-05-01-10-00-00.gz"
ENDPOINT = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"
PLAIN_TO_TLS = Reply(400, b"Client sent an HTTP request to an HTTPS server.\n")


class Mistake(NamedTuple):
    """What is wrong, the cause and the advice in words, and what following it is."""

    make: Callable[[Installation], object]
    cause: str
    fix: str
    follow: Callable[[Installation], object] | None = None


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    try_again_soon(monkeypatch)


def environ(**variables: str) -> Callable[[Installation], object]:
    """Returns the change of some variables."""
    return lambda installed: installed.environment.update(variables)


def configure(**keys: object) -> Callable[[Installation], object]:
    """Returns the change of some keys."""
    return lambda installed: installed.configuration.update(keys)


def swap(one: str, other: str) -> Callable[[Installation], object]:
    """Returns the exchange of two variables."""

    def change(installed: Installation) -> None:
        held = installed.environment
        held[one], held[other] = held[other], held[one]

    return change


def respell(variable: str, old: str, new: str) -> Callable[[Installation], object]:
    """Returns the change of a part of a variable."""

    def change(installed: Installation) -> None:
        installed.environment[variable] = installed.environment[variable].replace(old, new)

    return change


def proxied(variable: str, address: str) -> Callable[[Installation], object]:
    """Returns the change to a proxy."""

    def change(installed: Installation) -> None:
        installed.environment |= {"NO_PROXY": "", variable: address}

    return change


def without_proxy(variable: str) -> Callable[[Installation], object]:
    """Returns the way out that the advice names."""
    return lambda installed: installed.environment.update({"NO_PROXY": "127.0.0.1", variable: ""})


MISTAKES = {
    "https to an http endpoint of Lyve Cloud": Mistake(
        respell("LYVE_ENDPOINT", "http:", "https:"),
        r"127\.0\.0\.1:\d+ does not speak TLS",
        "Write http:// in LYVE_ENDPOINT",
        respell("LYVE_ENDPOINT", "https:", "http:"),
    ),
    "a dead proxy": Mistake(
        proxied("http_proxy", "http://user:S3cret@127.0.0.1:9"),
        r"the proxy 127\.0\.0\.1:9 does not answer",
        r"Check http_proxy, or add 127\.0\.0\.1 to NO_PROXY",
        environ(NO_PROXY="127.0.0.1"),
    ),
    "a malformed proxy": Mistake(
        proxied("HTTP_PROXY", "http://user:S3cret@proxy:port"),
        "the proxy's address in HTTP_PROXY is malformed",
        r"Write it like http://proxy\.example\.com:3128",
        without_proxy("HTTP_PROXY"),
    ),
    "a proxy of another kind": Mistake(
        proxied("HTTP_PROXY", "socks5://127.0.0.1:1080"),
        "the proxy's address in HTTP_PROXY is malformed",
        "Write it like http://",
        without_proxy("HTTP_PROXY"),
    ),
    "exchanged keys of Lyve Cloud": Mistake(
        swap("LYVE_ACCESS", "LYVE_SECRET"),
        "InvalidAccessKeyId",
        "Check LYVE_ACCESS: the key is active, and not exchanged with LYVE_SECRET",
        swap("LYVE_ACCESS", "LYVE_SECRET"),
    ),
    "exchanged keys of AWS": Mistake(
        swap("AWS_ACCESS", "AWS_SECRET"),
        "UnrecognizedClientException|IncompleteSignatureException",
        "Check AWS_ACCESS.*exchanged",
        swap("AWS_ACCESS", "AWS_SECRET"),
    ),
    "a wrong secret": Mistake(
        environ(LYVE_SECRET="wrong" * 8),
        "SignatureDoesNotMatch",
        "Check LYVE_SECRET, and that it belongs to LYVE_ACCESS",
    ),
    "a log group that is not in this region": Mistake(
        configure(log_group="no-such-group"),
        f"ResourceNotFoundException|is not in {AWS_REGION}",
        f"Create the log group no-such-group in {AWS_REGION}, or correct log_group in config.json "
        "or AWS_REGION",
        configure(log_group=LOG_GROUP),
    ),
    "a signature for another region": Mistake(
        environ(AWS_REGION="eu-central-1"),
        "InvalidSignatureException: signed for another region",
        "Check AWS_REGION",
        environ(AWS_REGION=AWS_REGION),
    ),
    "an audit bucket that is not there": Mistake(
        configure(bucket_name="no-such-bucket"),
        "NoSuchBucket",
        "Check bucket_name in config.json, and LYVE_REGION",
        configure(bucket_name=BUCKET),
    ),
    "an output bucket that is not there": Mistake(
        configure(output_bucket="no-such-bucket"),
        "NoSuchBucket",
        "Check output_bucket in config.json, and LYVE_REGION",
        configure(output_bucket=OUTPUT_BUCKET),
    ),
    "a service account that may not list": Mistake(
        environ(LYVE_ACCESS="no-list-access", LYVE_SECRET="no-list-secret"),
        "AccessDenied",
        "Give the service account of LYVE_ACCESS the permission to list the audit bucket "
        rf"{BUCKET} \(s3:ListBucket\)",
    ),
}


def words_of_check(installation: Installation, *arguments: str) -> list[str]:
    """Returns what `--check` says of each failure, put together again."""
    outcome = installation.run("--check", *arguments)
    assert outcome.exit_status == 1
    assert "S3cret" not in outcome.stdout + outcome.stderr
    found = tables(outcome.stdout).values()
    return [one.detail for table in found for one in table.values() if one.outcome == "failed"]


def assert_said(mistake: Mistake, failures: list[str], errors: list[str]) -> None:
    """Makes sure that one line each says the cause and the advice."""
    words = f"({mistake.cause}).*fix: {mistake.fix}"
    assert [one for one in failures if re.search(words, one)], failures
    (error,) = errors
    assert re.search(rf"\(.*({mistake.cause}).*\)\. {mistake.fix}", error), error


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_alike_by_the_check_and_by_an_iteration(
    name: str, installation: Installation
) -> None:
    mistake = MISTAKES[name]
    installation.put(KEY, gzip_lines([b"{}"]))
    mistake.make(installation)
    outcome = installation.once()
    assert outcome.exit_status == 1
    assert "S3cret" not in outcome.stderr
    assert_said(mistake, words_of_check(installation), [outcome.errors[0].text])
    if mistake.follow:
        mistake.follow(installation)
        assert installation.once().done.text == "Done sending 1 logs"


@pytest.mark.parametrize(
    "name", ["https to an http endpoint of Lyve Cloud", "a dead proxy", "a wrong secret"]
)
def test_the_daemon_tells_it_alike_once_for_all_sources(
    name: str, installation: Installation
) -> None:
    mistake = MISTAKES[name]
    installation.configuration["log_type"] = ["S3", "IAM", "Console"]
    mistake.make(installation)
    with installation.start() as engine:
        engine.wait_until_said("The next iteration begins at ")
        eventually(lambda: " ERROR " in engine.stderr, "an ERROR", engine.process)
        outcome = engine.stop()
    assert_said(mistake, words_of_check(installation), [one.text for one in outcome.errors])
    names = outcome.errors[0].pairs["source"].split(", ")
    assert sorted(names) == [f"{BUCKET}-{one}" for one in ("Console", "IAM", "S3")]


def test_each_message_names_the_file_that_is_used(installation: Installation) -> None:
    other = installation.directory / "other.json"
    for wrong in ("bucket_name", "output_bucket", "log_group"):
        changed = {**installation.configuration, wrong: "no-such-thing"}
        other.write_text(json.dumps(changed))
        for arguments in (["--once"], ["--check"], ["--plan"]):
            outcome = installation.run(*arguments, "--config", str(other))
            said = outcome.stdout + outcome.stderr
            assert "config.json" not in said
            if (arguments, wrong) != (["--plan"], "log_group"):
                assert f"{wrong} in other.json" in " ".join(said.split())


# Servers that are not as they should be.


def test_http_to_a_server_that_speaks_tls_is_named(installation: Installation) -> None:
    with FakeServer(always(PLAIN_TO_TLS)) as server:
        for variable in ("LYVE_ENDPOINT", ENDPOINT):
            before = installation.environment[variable]
            installation.environment[variable] = server.url
            mistake = Mistake(
                lambda _: None,
                r"127\.0\.0\.1:\d+ speaks TLS, and was asked without it",
                f"Write https:// in {variable}",
            )
            (error,) = installation.once().errors[:1]
            assert_said(mistake, words_of_check(installation), [error.text])
            installation.environment[variable] = before


def test_a_redirect_to_https_says_what_to_write(installation: Installation) -> None:
    asked = []

    def redirect(_: str, path: str) -> Reply:
        asked.append(path)
        return Reply(301, b"<html>", {"Location": f"https://127.0.0.1{path}"})

    with FakeServer(redirect) as server:
        installation.environment["LYVE_ENDPOINT"] = server.url
        mistake = Mistake(
            lambda _: None, "HTTP 301 to https://127.0.0.1/", "Write https:// in LYVE_ENDPOINT"
        )
        (error,) = installation.once().errors[:1]
        assert_said(mistake, words_of_check(installation), [error.text])


@pytest.mark.parametrize("body", [b"<html></html>", b"<html>", b"{}", b""])
def test_a_page_in_the_place_of_s3_is_no_listing(body: bytes, installation: Installation) -> None:
    with FakeServer(always(Reply(200, body, {"Content-Type": "text/html"}))) as server:
        installation.environment["LYVE_ENDPOINT"] = server.url
        (error,) = installation.once().errors[:1]
        assert "Check LYVE_ENDPOINT, and what is between it and this machine." in error.text
        (first, *_) = words_of_check(installation)
    assert "fix: Check LYVE_ENDPOINT, and what is between it and this machine." in first


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b'{"logGroups": [5]}', b"<html>"])
def test_json_of_another_shape_is_told_as_a_wrong_answer(
    body: bytes, installation: Installation
) -> None:
    with FakeServer(always(Reply(200, body))) as server:
        installation.environment[ENDPOINT] = server.url
        (error,) = installation.once().errors[:1]
    assert "unexpected" not in error.text
    assert "not an answer from CloudWatch" in error.text or "incomplete answer" in error.text


def test_a_refused_call_names_the_resource_that_aws_names(installation: Installation) -> None:
    arn = f"arn:aws:logs:{AWS_REGION}:123456789012:log-group:{LOG_GROUP}:log-stream:x"
    words = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: "
    words += f"logs:CreateLogStream on resource: {arn} because no identity-based policy allows it"
    denied = {"__type": "AccessDeniedException", "message": words}
    reply = Reply(400, json.dumps(denied).encode(), {"x-amzn-RequestId": "1"})
    with FakeServer(always(reply)) as server:
        installation.environment[ENDPOINT] = server.url
        (error,) = installation.once().errors[:1]
    fix = f"Allow logs:CreateLogStream on {arn} in the IAM policy of AWS_ACCESS."
    assert error.text.endswith(f"(AccessDeniedException). {fix}")


# The forms of Lyve Cloud's host.


@contextmanager
def lyve_cloud(hosts: dict[str, FakeServer], installation: Installation) -> Iterator[None]:
    """Leads the program to servers of this machine, by the names of Lyve Cloud's hosts."""

    class NamingProxy(Proxy):
        def place_of(self, host: str, port: int) -> tuple[str, int]:
            server = hosts.get(host)
            return ("127.0.0.1", int(server.url.rpartition(":")[2])) if server else (host, port)

    with NamingProxy() as proxy:
        installation.environment |= {"HTTPS_PROXY": proxy.url, "LYVE_REGION": "us-east-1"}
        installation.environment.pop("LYVE_ENDPOINT")
        yield


def test_where_the_default_host_fails_the_one_that_answers_is_named(
    installation: Installation, tmp_path: Path
) -> None:
    """The older platform's certificate was found expired in July 2026."""
    authority = Authority(tmp_path)
    old, new = (
        f"s3.us-east-1.{end}" for end in ("lyvecloud.seagate.com", "global.lyve.seagate.com")
    )
    answer = always(Reply(403, b"<Error><Code>AccessDenied</Code></Error>"))
    with ExitStack() as stack:
        servers = {
            host: stack.enter_context(FakeServer(answer, authority.context(host, days_left)))
            for host, days_left in ((old, -1), (new, 1))
        }
        installation.environment["AWS_CA_BUNDLE"] = str(authority.path)
        stack.enter_context(lyve_cloud(servers, installation))
        (first, *_) = words_of_check(installation)
        (error,) = installation.once().errors[:1]
        installation.environment["LYVE_ENDPOINT"] = f"https://{new}"
        followed = tables(installation.run("--check").stdout)
    fix = f"Set LYVE_ENDPOINT to https://{new}, which answers."
    assert first == f"{old}: TLS: certificate has expired fix: {fix}"
    assert "(TLS: certificate has expired)" in error.text
    assert f"Have the certificate of {old} renewed, or set this machine's clock." in error.text
    (table,) = followed.values()
    assert table["connect to Lyve Cloud"].outcome == "passed"
