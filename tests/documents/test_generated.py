"""What the documents take from the code is as the code has it."""

import pytest

from tests.documents.generated import PARTS, current, renewed


@pytest.mark.parametrize("document", PARTS)
def test_a_document_is_as_the_code_makes_it(document: str) -> None:
    """If not: `tests/run documents` writes it anew."""
    assert current(document) == renewed(document)
