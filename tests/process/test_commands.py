"""The commands that README and contributing.md give, but for those of Docker, run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.servers.installation import REPOSITORY, Installation
from tests.world.audit_events import gzip_lines

MOST_DEMO_LINES = 65


def commands(document: str, part: str) -> str:
    """Returns the only block of commands with a certain part."""
    text = (REPOSITORY / document).read_text()
    found = re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in found if part in block)
    return str(block)


def run(block: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a block in the checkout, with this Python and without a registry of packages."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-euc", block],
        cwd=REPOSITORY,
        env={**environment, "PATH": path, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_docker_the_packages_are_installed_and_an_iteration_runs(
    installation: Installation,
) -> None:
    """The configuration is the one of the checkout; the packages are there already."""
    installation.put("May-2024/S3-a.gz", gzip_lines([b'{"number": 1}']))
    installation.write_configuration()
    readme = (REPOSITORY / "README.md").read_text()
    ((install, start),) = re.findall("`(python3 -m pip .*?)`, then `(python3 engine.py)`", readme)
    done = run(f"{install}\n{start} --once", installation.environment)
    assert done.returncode == 0, done.stderr
    assert installation.messages() == ['{"number": 1}']


def test_the_demo_shows_that_nothing_is_missing() -> None:
    done = run(commands("documentation/contributing.md", "demo"), dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search("Killed .* with [1-9][0-9,]* of 14,400 events stored", done.stdout)
    assert "All 14,400 events arrived, each once; the last iteration sent none." in done.stdout
    assert "Whole, each of 4 sources: 9,600 + 1,200 + 1,200 + 2,400 logs" in done.stdout
    assert len(done.stdout.splitlines()) <= MOST_DEMO_LINES


def test_a_signal_that_comes_while_python_ends_leaves_the_exit_status(
    installation: Installation,
) -> None:
    """Such as an orchestrator's, to an iteration that ends by itself at that moment."""
    late = """
import os, runpy, signal, sys

class Late:
    def __del__(self, kill=os.kill, own=os.getpid(), number=signal.SIGTERM):
        kill(own, number)

sys.late = Late()
runpy.run_path("engine.py", run_name="__main__")
"""
    installation.write_configuration()
    ended = subprocess.run(
        [sys.executable, "-c", late, "--once", "--config", str(installation.config_path)],
        cwd=REPOSITORY,
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Done sending 0 logs" in ended.stderr
