"""Words for an error: what was found, and what was perhaps meant."""

import difflib
import json
import re
from collections.abc import Iterable

MOST_CHARACTERS = 80
# Letters and marks without width or ink, which `str.isprintable` lets pass.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_MISREAD = re.compile(r"[\s\"'\\=]")
_PAIR = re.compile(r"(?<=\w)=")
# How near several words come to one option: "last hour" to "lasthour".
_SAME_WORDS = 0.9


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

    Upper and lower case, and spaces at the ends, make no difference here. No hint names less than
    what was written: "S3,IAM" is not "IAM".
    """
    by_folded = {option.casefold(): option for option in options}
    folded = value.strip().casefold()[:MOST_CHARACTERS]
    nearest = difflib.get_close_matches(folded, by_folded, n=1)
    if not nearest or _names_more(folded, nearest[0], by_folded):
        return ""
    return suggestion(_quoted(by_folded[nearest[0]]))


def suggestion(meant: str) -> str:
    """Returns the hint at what was perhaps meant, as it is to be written."""
    return f"Did you mean {meant}? Then write that"


def _names_more(written: str, option: str, options: Iterable[str]) -> bool:
    """Tells if more is written than the option, which a hint at it alone would drop."""
    words, others = _words(written), _words(option)
    together, meant = "".join(words), "".join(others)
    if meant in together:
        rest = together.replace(meant, "", 1)
        if any(other in rest for other in options if other != option):
            return True
    likeness = difflib.SequenceMatcher(None, together, meant).ratio()
    return len(words) > len(others) and likeness < _SAME_WORDS


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text)


def printable(text: str) -> str:
    r"""Returns the text with what a terminal or UTF-8 can't show as an escape, such as `\n`.

    Escapes are made of controls, marks of direction, separators of lines, blanks other than the
    space, and what has no width. Whatever others wrote (keys, codes, messages) passes through here
    before it is shown.
    """
    if text.isprintable() and not _INVISIBLE.search(text):
        return text
    return "".join(char if _is_shown(char) else ascii(char)[1:-1] for char in text)


def quoted(text: str) -> str:
    """Returns the text as a JSON string in which all is printable."""
    written = json.dumps(text, ensure_ascii=False)
    return "".join(char if _is_shown(char) else json.dumps(char)[1:-1] for char in written)


def pair_value(text: str) -> str:
    """Returns the value of a `key=value` pair: plain where that can't be misread, or `quoted`."""
    if text.isprintable() and not _MISREAD.search(text) and not _INVISIBLE.search(text):
        return text
    return quoted(text)


def pairless(text: str) -> str:
    r"""Returns printable text in which nothing passes for a `key=value` pair.

    Behind a word `=` becomes `\x3d`.
    """
    return _PAIR.sub(r"\\x3d", printable(text))


def _is_shown(char: str) -> bool:
    return char.isprintable() and not _INVISIBLE.match(char)


def _quoted(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return json.dumps(text, ensure_ascii=False)
    start = json.dumps(text[:MOST_CHARACTERS], ensure_ascii=False)
    return f'{start[:-1]}...", a text of {len(text)} characters'
