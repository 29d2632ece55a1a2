"""The list of deliberate breakages fits the program, and the document shows it."""

import re
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, REPOSITORY, Mutation, rows


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.title)
def test_a_breakage_has_its_place_and_its_test(mutation: Mutation) -> None:
    """One that changes nothing, or has no test, would show nothing."""
    assert (REPOSITORY / mutation.path).read_text().count(mutation.search) == 1
    assert mutation.replacement != mutation.search
    path, _, name = mutation.test.partition("::")
    assert re.search(rf"^def {name}\(", (REPOSITORY / path).read_text(), re.MULTILINE)


def test_the_document_lists_the_breakages() -> None:
    document = Path(REPOSITORY / "documentation" / "mutations.md").read_text()
    assert [line for line in document.splitlines() if line.startswith("| ")][1:] == [*rows()]
