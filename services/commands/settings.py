"""Reads the configuration, the environment and the files of secrets."""

import os
from datetime import date
from pathlib import Path

from services.aws.errors import Configuration
from utils.config.settings import Source
from utils.config.sources import parse_sources
from utils.errors import ConfigurationError, ForwarderError


def read_sources(config_path: Path, today: date) -> tuple[Source, ...]:
    """Returns the sources as they are configured now.

    Args:
        config_path: of the configuration document.
        today: the day of UTC.

    Raises:
        ConfigurationError: all that is wrong with it and with the environment.
    """
    Configuration.file_name = config_path.name
    try:
        document = config_path.read_bytes()
    except OSError as exc:
        message = f"The configuration {config_path} can't be read"
        reason = exc.strerror or type(exc).__name__
        raise ConfigurationError(
            [ForwarderError(message, reason, _hint(exc, config_path))]
        ) from exc
    return parse_sources(
        document,
        os.environ,
        lambda path: Path(path).read_text("utf-8-sig"),
        file=config_path.name,
        today=today,
    )


def _hint(error: OSError, path: Path) -> str:
    if isinstance(error, IsADirectoryError):
        return (
            f"{path.name} is a folder. docker run -v makes one where the file to mount is missing: "
            "remove it, and mount a file that is there, by its whole path"
        )
    if isinstance(error, PermissionError):
        return (
            "Let all users read it, for the container's is 65532: "
            f"chmod o+r {path.name}, and chmod o+x for the folders above it"
        )
    return f"Put {path.name} there, or name another one with --config"
