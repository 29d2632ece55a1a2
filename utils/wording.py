"""Words for an error: what was found, and what was perhaps meant."""

import difflib
import json
from collections.abc import Iterable

MOST_CHARACTERS = 80


def found(value: object) -> str:
    """Tells what a JSON value is, in at most a line."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)[:MOST_CHARACTERS]
    if value is None:
        return text
    return f"the boolean {text}" if isinstance(value, bool) else f"the number {text}"


def did_you_mean(value: str, options: Iterable[str]) -> str:
    """Returns a hint at the option that comes nearest, or nothing if none is near.

    Upper and lower case, and spaces at the ends, make no difference here.
    """
    by_folded = {option.casefold(): option for option in options}
    folded = value.strip().casefold()[:MOST_CHARACTERS]
    nearest = difflib.get_close_matches(folded, by_folded, n=1)
    return f"Did you mean {_quoted(by_folded[nearest[0]])}? Then write that" if nearest else ""


def printable(text: str) -> str:
    r"""Returns the text with what a terminal or UTF-8 can't show as an escape, such as `\n`."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _quoted(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return json.dumps(text, ensure_ascii=False)
    start = json.dumps(text[:MOST_CHARACTERS], ensure_ascii=False)
    return f'{start[:-1]}...", a text of {len(text)} characters'
