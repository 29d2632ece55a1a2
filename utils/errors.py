"""The error tree: each error says what failed, the detail, and what to do about it."""

import traceback
from collections.abc import Sequence


class ForwarderError(Exception):
    """A failure that a person can do something about.

    Args:
        message: what failed, as a sentence without its full stop.
        detail: the service's own code or the value at fault, without secrets.
        hint: what to do, naming the key, the variable or the permission.
    """

    def __init__(self, message: str, detail: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        hint = f" {self.hint.rstrip('.')}." if self.hint else ""
        return f"{self.message.rstrip('.')}{detail}.{hint}"


class ConfigurationError(ForwarderError):
    """Everything that is wrong with the configuration and the environment, at once."""

    def __init__(self, problems: Sequence[ForwarderError]) -> None:
        super().__init__("The configuration is wrong", f"{len(problems)} problems")
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class ServiceError(ForwarderError):
    """A request to Lyve Cloud or AWS failed in a way that trying again now does not help.

    `code` is the service's own, or the HTTP status; empty if there was no answer.
    """

    def __init__(self, message: str, detail: str = "", hint: str = "", code: str = "") -> None:
        super().__init__(message, detail, hint)
        self.code = code


class TransientError(ServiceError):
    """A request failed in a way that passes: throttling, a server's error, the network."""


class UnreadableError(ServiceError):
    """One object can't be read now: it is owed, and the others go on."""


class WrongContentError(UnreadableError):
    """What was read of one object was not its content: each line sent of it is in doubt."""


class CheckpointError(ForwarderError):
    """The checkpoint can't be trusted, so the source is not shipped."""


class OwnerError(CheckpointError):
    """Another process is at work on the checkpoint."""


class OutputError(ForwarderError):
    """What was asked for can't be written on standard output, for the system's own reason."""

    def __init__(self, reason: str) -> None:
        hint = "Check where it leads: a pipe that nobody reads, or a disk that is full"
        super().__init__("Standard output can't be written", reason, hint)


class StoppedError(ForwarderError):
    """The process was asked to stop before its work was through."""

    def __init__(self) -> None:
        super().__init__("Stopped before the end")


def problems_of(error: Exception) -> Sequence[ForwarderError]:
    """Returns what a person is to be told of an error that ended some work."""
    if isinstance(error, ConfigurationError):
        return error.problems
    return [error if isinstance(error, ForwarderError) else unexpected(error)]


def unexpected(error: Exception) -> ForwarderError:
    """Returns an error that names the place of a bug, without its text, which may hold anything."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
    hint = "Report this with the line; the next iteration tries again"
    return ForwarderError("An unexpected error stopped this", place, hint)
