"""What is pinned, what stands where, and what must not stand in the project at all."""

import json
import re
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
TOP_LEVEL = {
    "Dockerfile",
    "README.md",
    "config.json",
    "dashboards",
    "documentation",
    "engine.py",
    "requirements.txt",
    "services",
    "tests",
    "utils",
}
PINNED = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)(?: ; (?P<marker>[^\\]+?))?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
    r"(?P<origin>(?:    # .*\n)+)"
)
DIRECT = re.compile(r"(?P<name>[a-z0-9-]+)(?:\[[\w,]+\])?==(?P<version>[\w.]+)")
FOREIGN = re.compile(
    # Hosts of package registries: an installation asks the one that its user has set.
    r"(pypi|npmjs)\.org|pythonhosted\.|deb\.debian\.|(docker|ghcr|quay)\.io/"
    # Paths that are there on one person's machine.
    r"|(?<![\w.])/(home|Users|root|work|workspace)/\w|[A-Z]:\\Users"
)
REQUIREMENTS = [
    (".requirements.in", "requirements.txt"),
    ("tests/requirements.in", "tests/requirements.txt"),
]


def read(name: str) -> str:
    return (TOP / name).read_text()


def project_files() -> list[str]:
    """Returns the path of every file that git has or would take."""
    if not (TOP / ".git").exists():
        pytest.skip("not a checkout: git can't tell which files are the project's")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
    listing = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split("\0") if name and (TOP / name).exists()]


def pins(name: str) -> dict[str, str]:
    return {match["name"]: match["version"] for match in PINNED.finditer(read(name))}


def direct(name: str) -> dict[str, str]:
    lines = [line for line in read(name).splitlines() if line and not line.startswith(("#", "-r"))]
    found = [DIRECT.fullmatch(line) for line in lines]
    return {match["name"]: match["version"] for match in found if match}


@pytest.mark.parametrize(("source", "compiled"), REQUIREMENTS)
def test_every_package_is_pinned_with_hashes(source: str, compiled: str) -> None:
    rest = PINNED.sub("", read(compiled))
    assert all(line.startswith("#") for line in rest.splitlines()), rest
    assert f"{source} " in rest.splitlines()[1], "the command that makes the file again"


@pytest.mark.parametrize(("source", "compiled"), REQUIREMENTS)
def test_the_compiled_file_agrees_with_its_source(source: str, compiled: str) -> None:
    asked_for = {
        match["name"]: match["version"]
        for match in PINNED.finditer(read(compiled))
        if f"-r {source}\n" in match["origin"]
    }
    assert direct(source)
    assert asked_for == direct(source)


def test_the_tests_run_with_the_packages_that_are_shipped() -> None:
    assert pins("requirements.txt").items() <= pins("tests/requirements.txt").items()


def test_the_top_level_holds_what_the_contract_names() -> None:
    found = {name.split("/")[0] for name in project_files()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    found = []
    for name in project_files():
        content = (TOP / name).read_bytes()
        if b"\0" not in content:
            lines = content.decode(errors="replace").splitlines()
            found += [f"{name}: {line.strip()}" for line in lines if FOREIGN.search(line)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://" + "pypi" + ".org/simple",
        "FROM " + "ghcr" + ".io/owner/image",
        'ENGINE = "/' + 'home/owner/engine.py"',
        r"C:\Us" + r"ers\owner",
    ],
)
def test_a_registry_or_a_path_of_one_machine_would_be_found(line: str) -> None:
    assert FOREIGN.search(line)


def test_the_image_is_built_on_the_official_one_and_runs_as_a_numeric_user() -> None:
    lines = read("Dockerfile").splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM python:3.13-slim-trixie"]
    assert "USER 65532:65532" in lines
    assert 'ENTRYPOINT ["python", "/app/engine.py"]' in lines


def test_the_image_takes_nothing_but_the_program() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", read("Dockerfile"), flags=re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert names == TOP_LEVEL - {"Dockerfile", "README.md", "documentation", "tests"}
    allowed = {
        line[1:].split("/")[0] for line in read(".dockerignore").splitlines() if line[0] == "!"
    }
    assert names == allowed
    assert "*" in read(".dockerignore").splitlines()


def test_the_example_configuration_has_the_five_required_keys_and_metrics_on() -> None:
    keys = ["bucket_name", "output_bucket", "log_type", "mode", "log_group", "metrics"]
    assert list(json.loads(read("config.json"))) == keys


@pytest.mark.parametrize("arguments", [["nonsense"], ["demo", "more"], ["--help", "me"]])
def test_an_unknown_argument_of_the_runner_gets_its_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        ["bash", "tests/run", *arguments], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: tests/run")


def test_the_continuous_integration_makes_docker_work_where_it_can_and_calls_the_checks(
    tmp_path: Path,
) -> None:
    for directory in ("project/.ci", "project/tests", "shared/tools"):
        (tmp_path / directory).mkdir(parents=True)
    script = tmp_path / "project/.ci/run"
    script.write_text(read(".ci/run"))
    (tmp_path / "project/tests/run").write_text('echo checks "CI=${CI-}"; exit 3\n')
    docker_up = tmp_path / "shared/tools/docker-up"
    outputs = []
    for content in ("", "echo docker; exit 1\n", "echo docker\n"):
        if content:
            docker_up.write_text(content)
        done = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
        assert done.returncode == 3
        outputs.append(done.stdout.split())
    checks = ["checks", "CI=true"]
    assert outputs == [checks, ["docker", *checks], ["docker", *checks]]
