"""Writes into the documents what they take from the code.

    python -m tests.documents.generated

Each such part stands between `<!-- made of the code: NAME -->` and `<!-- end -->`; in YAML, between
`# made of the code: NAME` and `# end`.
"""

import re
from collections.abc import Callable
from pathlib import Path

from tests import mutations
from tests.documents import cloudformation, rooms

PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"structure": rooms.structure},
    "documentation/contributing.md": {"picture": rooms.picture, "modules": rooms.contents},
    "documentation/mutations.md": {"mutations": mutations.table},
    "documentation/deploy/cloudformation.yaml": {
        "conditions": cloudformation.conditions,
        "policy": cloudformation.policy,
        "heartbeats": cloudformation.heartbeats,
        "dashboards": cloudformation.dashboards,
    },
    "documentation/deploy/cloudformation-access.yaml": {
        "dashboards": cloudformation.access_dashboards,
    },
}


def current(document: str) -> str:
    return (rooms.ROOT / document).read_text("utf-8")


def renewed(document: str) -> str:
    """Returns a document with its parts made anew.

    Raises:
        ValueError: the document lacks a part, or has it twice.
    """
    text = current(document)
    for name, make in PARTS[document].items():
        if document.endswith(".yaml"):
            begin, end, between = f"# made of the code: {name}\n", "# end", "\n"
        else:
            begin, end, between = f"<!-- made of the code: {name} -->\n", "<!-- end -->", "\n\n"
        pattern = re.compile(f"{re.escape(begin)}.*?(?=( *){end})", re.DOTALL)
        part = f"{begin}{between[1:]}{make()}{between}"
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"{document}: the part {name} is not there once")
        text = pattern.sub(lambda _, part=part: part, text)  # type: ignore[misc]
    return text


def main() -> None:
    """Writes all documents anew."""
    for document in PARTS:
        Path(rooms.ROOT / document).write_text(renewed(document), "utf-8")


if __name__ == "__main__":
    main()
