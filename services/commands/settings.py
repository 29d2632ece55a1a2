"""Reads the configuration, the environment and the files of secrets."""

import os
from datetime import date
from pathlib import Path

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
    try:
        document = config_path.read_bytes()
    except OSError as exc:
        message = f"The configuration {config_path} can't be read"
        hint = "Put config.json beside engine.py, or name another one with --config"
        problem = ForwarderError(message, exc.strerror or type(exc).__name__, hint)
        raise ConfigurationError([problem]) from exc
    return parse_sources(
        document,
        os.environ,
        lambda path: Path(path).read_text("utf-8-sig"),
        file=config_path.name,
        today=today,
    )
