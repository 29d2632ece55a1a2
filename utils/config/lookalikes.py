"""Finds variables that nobody reads, and those that were perhaps meant."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

SECRETS = ("LYVE_ACCESS", "LYVE_SECRET", "AWS_ACCESS", "AWS_SECRET")
_FILES = tuple(f"{secret}_FILE" for secret in SECRETS)
SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a variable
ROLE = ("AWS_ASSUME_ROLE_ARN", "AWS_ASSUME_ROLE_EXTERNAL_ID")
VARIABLES = (
    *(*SECRETS, *_FILES, "LYVE_REGION", "LYVE_ENDPOINT", "AWS_REGION", SESSION_TOKEN),
    *ROLE,
)

# How much a variable that nobody reads has to resemble a missing one, from 0 to 1: for a hint, such
# as a longer form (AWS_SECRET_ACCESS_KEY), and to be called a slip. Variables for AWS may be
# another program's.
_NEAR = 0.66
_LONGER = 0.79
_SLIP = {"LYVE": 0.8, "AWS_": 0.9}
# In a shorter word, such as EU or TEAM_A, another letter is another tenant.
_SHORTEST_WORD = 4


class Lookalike(NamedTuple):
    """A variable that nobody reads, and the one that it resembles: `prefix` and `known`."""

    name: str
    prefix: str
    known: str
    likeness: float

    @property
    def base(self) -> str:
        """The known variable, whether it names a file or not."""
        return self.known.removesuffix("_FILE")

    @property
    def is_slip(self) -> bool:
        """Tells if it is so close that nothing else can have been meant."""
        return self.likeness >= _SLIP[self.known[:4]]

    @property
    def question(self) -> str:
        """A hint for an error."""
        return f"Did you mean {self.prefix}{self.known}? Then rename it"


def unread(values: Mapping[str, str], prefixes: Collection[str]) -> list[str]:
    """Returns the names of the variables that are set and that no source reads.

    Args:
        values: the environment.
        prefixes: what the variables of each source begin with.
    """
    read = {prefix + known for prefix in ("", *prefixes) for known in VARIABLES}
    return [name for name, value in values.items() if value.strip() and name not in read]


def lookalikes(names: Iterable[str], prefix: str) -> Iterator[Lookalike]:
    """Yields the variables that resemble one of a source, each with the nearest one.

    Args:
        names: of the variables that nobody reads.
        prefix: what the source's own variables begin with.
    """
    for name in names:
        nearest = max(_resembled(name, prefix), key=attrgetter("likeness"), default=None)
        if nearest and nearest.likeness >= _NEAR:
            yield nearest


def _resembled(name: str, prefix: str) -> Iterator[Lookalike]:
    upper = name.upper()
    for known in VARIABLES:
        if upper.endswith(f"_{known}") and _is_slip(name[: -len(known)], prefix):
            yield Lookalike(name, prefix, known, 1)
        for own in (prefix, "") if not name.endswith(VARIABLES) else ():
            rest = upper.removeprefix(own)
            # Slips at the first letter are rare, and another source's prefix would look like one.
            if upper.startswith(own) and rest[:1] == known[0]:
                yield Lookalike(name, own, known, _likeness(rest, known))


def _is_slip(written: str, prefix: str) -> bool:
    """Tells if two prefixes differ only in case, in what separates words, or by a typo."""
    found, meant = _words(written), _words(prefix)
    if "".join(found) == "".join(meant):
        return bool(meant)
    different = [pair for pair in zip(found, meant, strict=False) if pair[0] != pair[1]]
    return len(found) == len(meant) and len(different) == 1 and _is_typo(*different[0])


def _words(prefix: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", prefix.upper())


def _is_typo(word: str, meant: str) -> bool:
    """Tells if one letter is wrong, missing or extra, or two letters have changed places."""
    changes = SequenceMatcher(None, word, meant, autojunk=False).get_opcodes()
    changed = [word[a:b] + meant[c:d] for tag, a, b, c, d in changes if tag != "equal"]
    letters = "".join(changed)
    is_small = len(letters) <= 2 and abs(len(word) - len(meant)) <= 1  # noqa: PLR2004 - a pair
    is_one = len(changed) == 1 or sorted(word) == sorted(meant)
    # Numbers tell tenants apart.
    return is_small and is_one and letters.isalpha() and len(meant) >= _SHORTEST_WORD


@lru_cache(maxsize=4096)  # every source compares the same plain names
def _likeness(name: str, known: str) -> float:
    ratio = SequenceMatcher(None, name, known).ratio()
    return max(ratio, _LONGER) if name.startswith(f"{known}_") else ratio
