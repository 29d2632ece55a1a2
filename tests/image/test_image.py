"""The image, built and run for real: `tests/run docker`. Without a Docker engine it is left out."""

import json
import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from services.daemon import health
from tests.servers.containers import (
    HARDENED,
    ON_THIS_MACHINE,
    Container,
    Containers,
    clients,
    docker,
    has_engine,
)
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    REPOSITORY,
    Installation,
    eventually,
)
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines
from utils.version import VERSION

pytestmark = pytest.mark.skipif(not has_engine(), reason="no Docker engine answers")

BASE = "python:3.13-slim-trixie"
USER = "65532:65532"
# boto3 with its descriptions of all services is nearly all of it.
MOST_BYTES_OVER_BASE = 64 * 1024 * 1024
KEY = "May-2024/S3-a.gz"
SECRETS = {"LYVE_SECRET": SeaweedFS.secret_key, "AWS_SECRET": SECRET_KEY}
DOCUMENT = REPOSITORY / "documentation" / "image.md"
COMPOSE_FILE = REPOSITORY / "documentation" / "compose.yaml"
CLOCKED_ENGINE = REPOSITORY / "tests" / "servers" / "clocked_engine.py"
QUICK_CHECKS = ("--health-interval", "1s", "--health-retries", "1", "--health-start-period", "1ms")
SERVERS = ("LYVE_ENDPOINT", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "NO_PROXY")


def numbered(first: int, count: int) -> list[bytes]:
    """Returns events with a number each."""
    return [b'{"number": %d}' % number for number in range(first, first + count)]


def texts(lines: list[bytes]) -> Counter[str]:
    """Returns the lines as messages."""
    return Counter(line.decode() for line in lines)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image, built with the classic builder, while secrets stand in the environment."""
    name = f"logscollector-test:{os.getpid()}"
    variables = {"DOCKER_BUILDKIT": "0", **SECRETS}
    docker("build", "--file", "Dockerfile", "--tag", name, ".", variables=variables)
    yield name
    docker("image", "rm", name)


@pytest.fixture
def containers(installation: Installation, image: str) -> Containers:
    """Starts containers on the installation's servers."""
    installation.configuration["mode"] = "all"
    return Containers(installation, image)


def inside(image: str, script: str) -> str:
    """Returns what a script of the shell prints in a container."""
    return docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)


def details(name: str) -> dict[str, object]:
    """Returns what Docker knows of an image."""
    (found,) = json.loads(docker("image", "inspect", name))
    return dict(found)


def settings(name: str) -> dict[str, object]:
    """Returns what an image says on how it is to be run."""
    found = details(name)["Config"]
    assert isinstance(found, dict)
    return found


# What is in it.


def test_it_runs_as_a_numeric_user_by_utc_and_is_labelled(image: str) -> None:
    found = settings(image)
    assert found["User"] == USER
    assert found["Entrypoint"] == ["python", "/app/engine.py"]
    assert found["WorkingDir"] == "/app"
    assert found["StopSignal"] == "SIGTERM"
    variables = found["Env"]
    assert isinstance(variables, list)
    assert "TZ=UTC" in variables
    labels = found["Labels"]
    assert isinstance(labels, dict)
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}version"] == VERSION
    assert {f"{prefix}title", f"{prefix}description"} <= set(labels)


def test_its_version_is_that_of_the_program(image: str) -> None:
    assert docker("run", "--rm", *HARDENED, image, "--version") == f"logscollector {VERSION}\n"


def test_it_holds_the_program_and_no_more(image: str) -> None:
    names = inside(image, "cd /app && find . -type f ! -name '*.pyc'").splitlines()
    patterns = ["engine.py", "config.json", "requirements.txt"]
    patterns += ["services/**/*.py", "utils/**/*.py", "dashboards/*.json"]
    expected = [path for pattern in patterns for path in REPOSITORY.glob(pattern)]
    assert sorted(names) == sorted(f"./{path.relative_to(REPOSITORY)}" for path in expected)
    assert inside(image, "command -v cc gcc g++ make git || true") == ""
    caches = "find / -xdev -path '*/.cache/pip*' -o -xdev -path '*/pip/cache*' 2>/dev/null || true"
    assert inside(image, caches) == ""


def test_it_adds_little_to_its_base(image: str) -> None:
    sizes = [details(name)["Size"] for name in (image, BASE)]
    assert isinstance(sizes[0], int)
    assert isinstance(sizes[1], int)
    assert sizes[0] - sizes[1] < MOST_BYTES_OVER_BASE


def test_it_has_the_pinned_packages(image: str) -> None:
    pinned = re.findall(r"^([a-z0-9-]+==[\w.]+)", requirements(), re.MULTILINE)
    script = (
        "from importlib.metadata import distributions as all; "
        "print(*(f'{one.name}=={one.version}' for one in all()))"
    )
    found = inside(image, f'python -c "{script}"').lower().replace("_", "-").split()
    assert pinned
    assert set(pinned) <= set(found)


def requirements() -> str:
    return (REPOSITORY / "requirements.txt").read_text()


def test_its_program_starts_without_writing_bytecode(image: str) -> None:
    compiled = inside(image, "cd /app && find . -name '*.pyc' | wc -l")
    modules = [*REPOSITORY.glob("services/**/*.py"), *REPOSITORY.glob("utils/**/*.py")]
    assert int(compiled) == len(modules)


def test_its_history_and_settings_hold_no_secret(image: str) -> None:
    known = docker("history", "--no-trunc", image) + json.dumps(details(image))
    assert "engine.py" in known
    assert [name for name, secret in SECRETS.items() if secret in known] == []


def test_it_is_built_with_buildkit_as_well(image: str) -> None:
    name = f"{image}-buildkit"
    command = ("build", "--file", "Dockerfile", "--tag", name, ".")
    problems = []
    for client in clients():
        try:
            docker(*command, client=client, variables={"DOCKER_BUILDKIT": "1"})
        except AssertionError as exc:
            problems.append(str(exc))
            continue
        try:
            # It keeps an empty list where the classic builder has nothing at all.
            shown = ("User", "Entrypoint", "Env", "Labels", "WorkingDir", "Healthcheck")
            built, classic = settings(name), settings(image)
            assert {key: built[key] for key in shown} == {key: classic[key] for key in shown}
        finally:
            docker("image", "rm", name)
        return
    if all("buildx component is missing" in problem for problem in problems):
        pytest.skip("no client of Docker here has BuildKit")
    pytest.fail("\n".join(problems))


# What it does.


def test_an_iteration_ships_and_a_fresh_container_goes_on_from_the_checkpoint(
    containers: Containers, installation: Installation
) -> None:
    installation.put(KEY, gzip_lines(numbered(0, 250)))
    first = containers.run("--once")
    assert (first.exit_status, first.done.text) == (0, "Done sending 250 logs")
    installation.put("May-2024/S3-b.gz", gzip_lines(numbered(250, 50)))
    second = containers.run("--once")
    assert second.done.text == "Done sending 50 logs"
    assert Counter(installation.messages()) == texts(numbered(0, 300))


def test_the_configuration_that_is_built_in_is_used_where_none_is_mounted(
    installation: Installation, image: str, standin: CloudWatchStandin
) -> None:
    """The installation has its names."""
    installation.put(KEY, gzip_lines(numbered(0, 3)))
    installation.write_configuration()
    names = [name for name in installation.environment if name.startswith(("AWS_", "LYVE_"))]
    options = [*ON_THIS_MACHINE, *HARDENED, *(part for name in names for part in ("--env", name))]
    command = ["run", "--detach", *options, image, "--once"]
    with Container(docker(*command, variables=installation.environment)) as container:
        outcome = container.wait()
    assert outcome.exit_status == 0
    sources = [line.pairs["source"] for line in outcome.lines]
    assert sorted(sources) == [f"{BUCKET}-Console", f"{BUCKET}-IAM", f"{BUCKET}-S3"]
    # For each its stream at the first start's look and for the iteration, and that of its metrics.
    assert standin.calls().operations["CreateLogStream"] == 9


def test_the_check_passes_in_a_container(
    containers: Containers, installation: Installation
) -> None:
    installation.put(KEY, gzip_lines(numbered(0, 1)))
    outcome = containers.run("--check")
    assert outcome.exit_status == 0
    assert "find the log group          passed     " + LOG_GROUP in outcome.stdout
    assert "failed" not in outcome.stdout


def test_a_wrong_variable_is_named(containers: Containers, installation: Installation) -> None:
    installation.environment["LYVE_ACESS"] = installation.environment.pop("LYVE_ACCESS")
    outcome = containers.run()
    assert outcome.exit_status == 2
    assert "LYVE_ACCESS is missing" in outcome.lines[0].text
    assert "Did you mean LYVE_ACCESS?" in outcome.lines[0].text


def test_lines_are_json_on_demand(containers: Containers, installation: Installation) -> None:
    installation.environment["LOG_FORMAT"] = "json"
    outcome = containers.run("--once")
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [("INFO", "Done sending 0 logs")]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_an_end_in_mid_iteration_loses_and_doubles_nothing(
    ending: str, containers: Containers, installation: Installation, standin: CloudWatchStandin
) -> None:
    """After `docker stop` it has ended by itself within ten seconds; `docker kill` asks nobody."""
    lines = numbered(0, 25_000)
    installation.configuration |= {"concurrency": 2, "batch_size": 1000}
    installation.put(KEY, gzip_lines(lines))
    standin.control(latency_ms=100)
    with containers.start("--once") as container:
        eventually(lambda: standin.calls().operations.get("PutLogEvents", 0) >= 5, "five batches")
        if ending == "kill":
            docker("kill", container.id)
        outcome = container.stop()
    containers.keep(outcome)
    assert outcome.exit_status == (137 if ending == "kill" else 0)
    assert len(installation.messages()) < len(lines)
    standin.control(latency_ms=0)
    again = containers.run("--once")
    assert again.exit_status == 0
    assert Counter(installation.messages()) == texts(lines)


def test_an_idle_daemon_is_healthy_and_ends_by_itself(containers: Containers) -> None:
    with containers.start(options=QUICK_CHECKS) as container:
        container.wait_until_said("The next iteration begins at ")
        container.wait_until_health_is("healthy")
        outcome = container.stop()
    containers.keep(outcome)
    assert outcome.exit_status == 0


# The health check.


def set_clock(installation: Installation, moment: str) -> None:
    """Sets the clock of `tests/servers/clocked_engine.py`."""
    draft = installation.directory / "clock.draft"
    draft.write_text(f"2026-11-01T{moment}+00:00")
    draft.replace(installation.directory / "clock")


def clocked(
    containers: Containers, installation: Installation, replaced: Sequence[str] = ()
) -> Container:
    """Starts a daemon by a clock that is set by hand.

    Args:
        containers: of the installation.
        installation: with the clock.
        replaced: further options.
    """
    directory = installation.directory
    installation.environment |= {
        "CLOCK_FILE": str(directory / "clock"),
        "EXPLOSION_FILE": str(directory / "explosion"),
    }
    set_clock(installation, "05:59:59")
    directory.chmod(0o755)
    options = [
        *QUICK_CHECKS,
        *("--volume", f"{directory}:{directory}:ro"),
        *("--volume", f"{CLOCKED_ENGINE}:/app/tests/servers/clocked_engine.py:ro"),
        *("--entrypoint", "python"),
        *replaced,
    ]
    return containers.start("/app/tests/servers/clocked_engine.py", options=options)


def test_it_is_unhealthy_when_the_last_three_iterations_failed_and_well_after_a_good_one(
    containers: Containers, installation: Installation
) -> None:
    with clocked(containers, installation) as container:
        container.wait_until_said("The next iteration begins at ")
        container.wait_until_health_is("healthy")
        (installation.directory / "explosion").touch()
        for hour in ("06", "07", "08"):
            assert container.state("{{.State.Health.Status}}") != "unhealthy"
            set_clock(installation, f"{hour}:00:00")
            container.wait_until_said(f"T{hour}:00:00Z ERROR")
        container.wait_until_health_is("unhealthy")
        assert container.health() == "The last 3 iterations of audit-logs-S3 failed."
        (installation.directory / "explosion").unlink()
        set_clock(installation, "09:00:00")
        container.wait_until_health_is("healthy")


def limited(directory: Path, name: str, seconds: int) -> tuple[str, str]:
    """Returns the option that makes a limit of the health check shorter: nobody waits for hours."""
    source = Path(health.__file__).read_text()
    short = re.sub(rf"^{name} = .*", f"{name} = {seconds}", source, flags=re.MULTILINE)
    assert short != source
    replaced = directory / "health.py"
    replaced.write_text(short)
    return "--volume", f"{replaced}:/app/services/daemon/health.py:ro"


def test_it_is_unhealthy_while_the_daemon_hangs(
    containers: Containers, installation: Installation, tmp_path: Path
) -> None:
    volume = limited(tmp_path, "MOST_SILENCE_SECONDS", 8)
    with clocked(containers, installation, volume) as container:
        container.wait_until_health_is("healthy")
        docker("kill", "--signal", "STOP", container.id)
        container.wait_until_health_is("unhealthy")
        assert "No sign of life" in container.health()
        docker("kill", "--signal", "CONT", container.id)
        container.wait_until_health_is("healthy")


# The commands of the documents.


def bash_blocks(path: Path) -> list[str]:
    """Returns the commands of a document."""
    found = re.findall(r"^( *)```bash\n(.*?)^\1```$", path.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE).strip() for indent, block in found]


def shell(command: str, installation: Installation, directory: Path) -> str:
    """Runs a document's command as a person does, and returns what it prints."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=directory,
        env={**os.environ, **installation.environment, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_here(run: str, image: str, installation: Installation) -> str:
    """Returns a document's `docker run` with the values and the servers of this installation."""
    for name, placeholder in re.findall(r"-e (\w+)=(<[^>]*>)", run):
        run = run.replace(f"{name}={placeholder}", f"{name}={installation.environment[name]}")
    servers = f"{' '.join(ON_THIS_MACHINE)} {' '.join(f'-e {name}' for name in SERVERS)}"
    run = re.sub(r"^docker run ", f"docker run {servers} ", run)
    return re.sub(r"\blogscollector\b( --\w+)?$", rf"{image}\1", run)


def env_file(installation: Installation, path: Path) -> None:
    """Writes the variables as the document shows them, with the values of this installation."""
    (lines,) = re.findall(r"```text\n(LYVE_ACCESS.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for name in re.findall(r"^(\w+)=", lines, re.MULTILINE):
        value = installation.environment[name]
        lines = re.sub(rf"^{name}=.*", f"{name}={value}", lines, flags=re.M)
    path.write_text(lines)


def test_the_commands_of_readme_in_their_order(
    installation: Installation, image: str, tmp_path: Path
) -> None:
    """Build, check, plan, start; and the plain command of the user's document."""
    quick, plain = (one for one in bash_blocks(REPOSITORY / "README.md") if "docker" in one)
    build, check, plan, start, follow = quick.splitlines()
    name = f"{image}-by-hand"
    shell(build.replace("-t logscollector ", f"-t {name} "), installation, REPOSITORY)
    env_file(installation, tmp_path / "logscollector.env")
    installation.write_configuration()
    installation.put(KEY, gzip_lines(numbered(0, 1)))
    running = f"by-hand-{os.getpid()}"
    start = start.replace("--name logscollector ", f"--name {running} ")
    try:
        printed = shell(as_here(check, name, installation), installation, tmp_path)
        assert "failed" not in printed
        assert "objects due" in shell(as_here(plan, name, installation), installation, tmp_path)
        for command in (start, plain):
            with Container(
                shell(as_here(command, name, installation), installation, tmp_path)
            ) as one:
                one.wait_until_said("The next iteration begins at ")
                assert "ERROR" not in one.stderr
        assert follow == "docker logs -f logscollector"
    finally:
        docker("image", "rm", name)


def test_the_command_of_the_image_document_runs_it_within_its_limits(
    installation: Installation, image: str, tmp_path: Path
) -> None:
    build, run, *_ = bash_blocks(DOCUMENT)
    assert build in (REPOSITORY / "README.md").read_text()
    env_file(installation, tmp_path / "logscollector.env")
    installation.write_configuration()
    with Container(shell(as_here(run, image, installation), installation, tmp_path)) as one:
        one.wait_until_said("The next iteration begins at ")
        assert "ERROR" not in one.stderr
        assert limits(one) == LIMITS


LIMITS = {
    "ReadonlyRootfs": True,
    "CapAdd": None,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges"],
    "Privileged": False,
    "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
    "LogConfig": {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}},
}


def limits(container: Container) -> dict[str, object]:
    """Returns what a container may do."""
    found = json.loads(container.state("{{json .HostConfig}}"))
    return {name: found[name] for name in LIMITS}


def compose() -> list[str] | None:
    """Returns the command of Compose, if there is one."""
    for command in (["docker", "compose"], ["docker-compose"]):
        with suppress(FileNotFoundError):
            if not subprocess.run(
                [*command, "version"], capture_output=True, check=False
            ).returncode:
                return command
    return None


def test_the_compose_file_runs_the_image_as_the_command_does(
    installation: Installation, image: str, tmp_path: Path
) -> None:
    command = compose()
    if command is None:
        pytest.skip("Compose is not installed")
    override = tmp_path / "override.json"
    service = {"image": image, "network_mode": "host", "environment": [*SERVERS]}
    override.write_text(json.dumps({"services": {"logscollector": service}}))
    project = f"logscollector-test-{os.getpid()}"
    files = ["-f", str(COMPOSE_FILE), "-f", str(override), "--project-name", project]

    def call(*arguments: str) -> str:
        return shell(shlex.join([*command, *files, *arguments]), installation, tmp_path)

    installation.write_configuration()
    try:
        call("up", "-d", "--no-build")
        one = Container(call("ps", "-q"))
        one.wait_until_said("The next iteration begins at ")
        assert "ERROR" not in one.stderr
        assert limits(one) == LIMITS
        assert one.state("{{range .Mounts}}{{.Destination}} {{.RW}}{{end}}") == (
            "/app/config.json false"
        )
    finally:
        call("down")
