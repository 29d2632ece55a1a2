"""Measures what a process takes: time, processor and memory. On Linux only."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]
RUN_TIMEOUT_SECONDS = 600

# The peak memory of a process counts what the one that started it held then, so that one is small.
LAUNCHER = """
import json, os, subprocess, sys, time
began = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
took = time.monotonic() - began
cpu = usage.ru_utime + usage.ru_stime
print(json.dumps([took, cpu, usage.ru_maxrss * 1024, os.waitstatus_to_exitcode(status)]))
"""


class MeasuringError(Exception):
    """A process failed, or did not do what it is measured for."""


class Usage(NamedTuple):
    """What a process took from its start to its end."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_status: int


def measured(command: Sequence[str], environment: Mapping[str, str], log_path: Path) -> Usage:
    """Runs a process to its end and returns what it took.

    Args:
        command: what is run, in the repository.
        environment: all of its variables.
        log_path: takes what it says.

    Raises:
        MeasuringError: it did not end in time.
    """
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            launcher,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=RUN_TIMEOUT_SECONDS)
        except BaseException as exc:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(exc, subprocess.TimeoutExpired):
                message = f"{command} did not end within {RUN_TIMEOUT_SECONDS} s"
                raise MeasuringError(message) from exc
            raise
    return Usage(*json.loads(output))


def memory_bytes(pid: int, name: str) -> int:
    """Returns a figure of a running process's memory.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html

    Args:
        pid: of the process.
        name: `VmRSS` for now, `VmHWM` for the peak.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """Returns what a running process has taken of the processors so far.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html

    Args:
        pid: of the process.
    """
    behind_the_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = behind_the_name[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
