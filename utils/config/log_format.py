"""The form of the lines on standard error, as the variable LOG_FORMAT names it."""

from collections.abc import Iterator, Mapping

from utils.errors import ForwarderError
from utils.wording import did_you_mean, found

LOG_FORMAT = "LOG_FORMAT"
TEXT, JSON = "text", "json"


def is_json(environment: Mapping[str, str]) -> bool:
    """Tells if a line is a JSON object; it is text for people otherwise."""
    return environment.get(LOG_FORMAT) == JSON


def log_format_problems(environment: Mapping[str, str]) -> Iterator[ForwarderError]:
    """Yields what is wrong with the variable, if it is set to anything."""
    value = environment.get(LOG_FORMAT, "")
    if value not in {"", TEXT, JSON}:
        message = f"environment: {LOG_FORMAT} is {found(value)}"
        allowed = f'allowed: "{TEXT}", "{JSON}"'
        yield ForwarderError(message, allowed, did_you_mean(value, (TEXT, JSON)))
