"""Standard output that can't be written is said plainly, and nothing else is blamed for it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Event

import pytest

from services.threads.executor import attend
from tests.process.test_daemon import CLOCKED_ENGINE, Daemon
from tests.servers.heartbeats import said_of_health, wait_for_heartbeat
from tests.servers.installation import DEADLINE_SECONDS, ENGINE, Installation, status_lines
from tests.standin.fake_server import FakeServer, Reply, always
from tests.world.audit_events import gzip_lines

CALLS = [
    ["--dashboard", "security"],
    ["--check"],
    ["--plan"],
    ["--install-dashboards"],
    ["--version"],
    ["--help"],
]


@contextmanager
def full() -> Iterator[int]:
    """Yields what takes no byte: https://man7.org/linux/man-pages/man4/full.4.html."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def unread() -> Iterator[int]:
    """Yields a pipe whose reader has ended."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


OUTPUTS = {"No space left on device": full, "Broken pipe": unread}


def said(
    installation: Installation, arguments: list[str], stdout: int, closes: bool = False
) -> tuple[int, str]:
    """Returns exit status and standard error of a run."""
    command = [sys.executable, str(ENGINE), "--config", str(installation.write_configuration())]
    if closes:
        command = ["bash", "-c", 'exec "$@" >&-', "bash", *command]
    done = subprocess.run(
        [*command, *arguments],
        env={**installation.environment, "PYTHONUNBUFFERED": ""},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    return done.returncode, done.stderr


def assert_only_the_output_is_blamed(exit_status: int, stderr: str, reason: str) -> None:
    """Makes sure that one line says it."""
    assert exit_status == 1
    (error,) = (line for line in status_lines(stderr) if line.level == "ERROR")
    assert error.text.startswith(f"Standard output can't be written ({reason}). Check where it")


@pytest.mark.parametrize("reason", OUTPUTS)
@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_an_output_that_takes_nothing_is_named(
    arguments: list[str], reason: str, installation: Installation
) -> None:
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}"]))
    with FakeServer(always(Reply(500))) as cloudwatch, OUTPUTS[reason]() as stdout:
        installation.environment["AWS_ENDPOINT_URL_CLOUDWATCH"] = cloudwatch.url
        assert_only_the_output_is_blamed(*said(installation, arguments, stdout), reason)


@pytest.mark.parametrize("arguments", CALLS[:4], ids=" ".join)
def test_an_output_that_is_closed_is_named(
    arguments: list[str], installation: Installation
) -> None:
    exit_status, stderr = said(installation, arguments, subprocess.DEVNULL, closes=True)
    assert_only_the_output_is_blamed(exit_status, stderr, "Bad file descriptor")


@pytest.mark.parametrize("arguments", [["--once"], ["--onec"]], ids=" ".join)
def test_what_writes_nothing_there_needs_no_output(
    arguments: list[str], installation: Installation
) -> None:
    with full() as stdout:
        exit_status, stderr = said(installation, arguments, stdout)
    assert exit_status == (0 if arguments == ["--once"] else 2)
    assert "Standard output" not in stderr


@pytest.mark.parametrize("leads_to", ["&-", "/dev/full"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_standard_error_that_takes_nothing_decides_nothing(
    leads_to: str, form: str, installation: Installation
) -> None:
    """It shipped on, but wrote no status objects any more, and turned unhealthy."""
    installation.environment["LOG_FORMAT"] = form
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}", b"\xff"]))
    command = [sys.executable, str(ENGINE), "--config", str(installation.write_configuration())]
    done = subprocess.run(
        ["bash", "-c", f'exec "$@" 2>{leads_to}', "bash", *command, "--once"],
        env=installation.environment,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0
    assert installation.messages() == ["{}"]
    (status,) = installation.status_objects().values()
    assert [line.level for line in status_lines(status)] == ["WARN", "INFO"]


@contextmanager
def hung_up() -> Iterator[int]:
    """Yields a terminal that nobody sits at any more: writing to it is an error of I/O."""
    terminal, program = os.openpty()
    os.close(terminal)
    yield program
    os.close(program)


@contextmanager
def stuck() -> Iterator[int]:
    """Yields a pipe that is full, and whose reader reads no more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)
    yield writer
    os.close(writer)
    os.close(reader)


@pytest.mark.parametrize(
    "broken", [full, unread, hung_up, stuck], ids=["ENOSPC", "EPIPE", "EIO", "a full pipe"]
)
def test_a_daemon_whose_standard_error_is_dead_ships_on_as_before(
    broken: Callable[[], AbstractContextManager[int]], installation: Installation
) -> None:
    """And no line of its that is lost costs an event, a status object, or its health."""
    daemon = Daemon(installation)
    daemon.set_clock("2026-11-01T05:59:59")
    with broken() as stderr, installation.start(program=CLOCKED_ENGINE, stderr=stderr) as engine:
        wait_for_heartbeat(engine, lambda beat: beat.failures == {"audit-logs-S3": 0})
        for hour in (6, 7):
            installation.put(
                f"May-2024/S3-{hour}.gz", gzip_lines([b'{"hour": %d}' % hour, b"\xff"])
            )
            daemon.fire(engine, f"2026-11-01T{hour:02}:00:00")
        assert said_of_health(engine) == ""
        assert engine.stop().exit_status == 0
    assert sorted(installation.messages()) == ['{"hour": 6}', '{"hour": 7}']
    statuses = [status_lines(text) for text in installation.status_objects().values()]
    assert [[line.level for line in lines] for lines in statuses] == [["WARN", "INFO"]] * 2
    assert installation.latest()["level"] == "INFO"


def test_what_the_work_raises_is_raised_where_it_is_waited_for() -> None:
    """Unnoticed, it would be taken for a connection that hangs."""

    def fail() -> bool:
        raise KeyError("unforeseen")

    with pytest.raises(KeyError, match="unforeseen"):
        attend(fail, Event(), nothing)
    assert attend(lambda: True, Event(), nothing) is True


def nothing() -> None:
    """Does nothing."""
