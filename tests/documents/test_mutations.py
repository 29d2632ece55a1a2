"""The list of deliberate breakages fits the program, wherever its parts stand."""

import re
from pathlib import Path

from tests.mutations import MUTATIONS, REPOSITORY, Mutation, break_in, places


def test_a_breakage_fits_one_place_and_has_its_test() -> None:
    """One that changes nothing, or has no test, would show nothing."""
    found = {mutation: [place.name for place in places(mutation)] for mutation in MUTATIONS}
    assert {one.title: names for one, names in found.items() if len(names) != 1} == {}
    assert [one.title for one in MUTATIONS if one.search == one.replacement] == []
    assert [one.title for one in MUTATIONS if not is_there(one.test)] == []


def is_there(test: str) -> bool:
    path, _, name = test.partition("::")
    file = REPOSITORY / path
    return file.exists() and bool(re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE))


def test_a_breakage_changes_nothing_but_what_it_names(tmp_path: Path) -> None:
    """The same text stands in the function before, and in one of the same name elsewhere."""
    (tmp_path / "services").mkdir()
    (tmp_path / "engine.py").write_text(
        "def run():\n    go()\n\n\ndef end():\n    go()\n    go()\n"
    )
    (tmp_path / "services" / "room.py").write_text(
        "class Room:\n    def run(self):\n        stop()\n\n    def end(self):\n        go()\n"
    )
    for name in ("engine.run", "Room.end"):
        assert len(places(Mutation("", name, "go()", "stop()", ""), tmp_path)) == 1
    mutation = Mutation("", "end", "go()", "stop()", "")
    assert break_in(mutation, tmp_path) == tmp_path / "services" / "room.py"
    assert (tmp_path / "engine.py").read_text().count("go()") == 3
    assert "go()" not in (tmp_path / "services" / "room.py").read_text()
