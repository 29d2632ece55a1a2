"""The rooms of the program, read from its code: their modules, and which room imports which.

A room is a folder of `services/` or `utils/`. What stands directly in one of these two, or is
`engine.py`, counts as a room of that name.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("services", "utils")
SENTENCE_COLUMN = 44
# The modules that the user's card names; the rooms have all others.
CARD = {"pull_logs_service.py", "upload_cloudwatch_logs_service.py", "json_extractor.py"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def sentence(path: Path) -> str:
    """Returns the first line of a module's docstring, or of a package's."""
    file = path / "__init__.py" if path.is_dir() else path
    if file.suffix != ".py" or not file.exists():
        return ""
    return (ast.get_docstring(tree_of(file)) or "").partition("\n")[0]


@cache
def modules() -> dict[str, Path]:
    """Returns the program's modules by their dotted names, without the packages' own files."""
    layers = [path for layer in LAYERS for path in sorted((ROOT / layer).glob("**/*.py"))]
    paths = [ROOT / "engine.py", *(path for path in layers if path.name != "__init__.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def room_of(module: str) -> str:
    """Returns `services/aws` for `services.aws.clients`, and `services` for one directly in it."""
    return "/".join(module.split(".")[:-1][:2]) or module


@cache
def rooms() -> dict[str, list[str]]:
    """Returns the modules of each room."""
    found: dict[str, list[str]] = {}
    for module in modules():
        found.setdefault(room_of(module), []).append(module)
    return found


@cache
def imported_by(module: str) -> frozenset[str]:
    """Returns the program's modules that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree_of(modules()[module])):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names & modules().keys())


def doors() -> dict[str, set[str]]:
    """Returns the rooms that each room imports from."""
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for module in modules():
        room = room_of(module)
        found[room] |= {room_of(name) for name in imported_by(module)} - {room}
    return found


@cache
def deepest(module: str) -> tuple[str, ...]:
    """Returns the longest chain of imports from a module on, itself included."""
    chains = (deepest(name) for name in sorted(imported_by(module)))
    return (module, *max(chains, key=len, default=()))


# --- For the documents ---------------------------------------------------------------------------


def structure() -> str:
    """Returns what stands at the top, and the rooms with their purpose, as a tree."""
    return "\n".join(["```text", ".", *_branches(ROOT, ""), "```"])


def _branches(directory: Path, indent: str) -> Iterator[str]:
    paths = [path for path in directory.iterdir() if not path.name.startswith(("_", "."))]
    # A link leads out of the checkout: it is somebody's own.
    paths = [path for path in paths if not path.is_symlink()]
    if directory.name in LAYERS:
        paths = [path for path in paths if path.is_dir() or path.name in CARD]
    paths.sort(key=lambda path: (path.is_dir(), path.name))
    for path in paths:
        is_last = path == paths[-1]
        line = f"{indent}{'└' if is_last else '├'}── {path.name}"
        yield f"{line:<{SENTENCE_COLUMN}}{sentence(path)}".rstrip()
        if path.name in LAYERS:
            yield from _branches(path, indent + ("    " if is_last else "│   "))


def picture() -> str:
    """Returns the rooms and their doors for Mermaid, without the doors to what all import."""
    return "\n".join(["```mermaid", "flowchart TD", *_picture_lines(), "```"])


def _picture_lines() -> Iterator[str]:
    yield '    engine["engine.py"]'
    for layer in LAYERS:
        yield f'    subgraph {layer}_rooms["{layer}/"]'
        for room in sorted(rooms()):
            if room.startswith(f"{layer}/"):
                yield f'        {_node(room)}["{room.partition("/")[2]}"]'
            elif room == layer == "services":
                names = "<br>".join(modules()[module].name for module in rooms()[room])
                yield f'        {_node(room)}["{names}"]'
        yield "    end"
    for room in sorted(rooms()):
        if room != "utils":
            yield from (f"    {_node(room)} --> {_node(to)}" for to in sorted(_direct_doors(room)))


def _direct_doors(room: str) -> set[str]:
    """Returns the doors of a room but those to where it also comes by way of another."""
    direct = doors()[room] - {"utils"}
    below = {door for door in direct if room not in _reached_from(door)}
    return {
        door
        for door in direct
        if not any(
            door in _reached_from(by) and by not in _reached_from(door) for by in below - {door}
        )
    }


def _reached_from(room: str) -> set[str]:
    reached: set[str] = set()
    ahead = [room]
    while ahead:
        new = doors()[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _node(room: str) -> str:
    return room.replace("/", "_")


def contents() -> str:
    """Returns the modules of each room, each with the first line of its docstring."""
    return "\n".join(_content_lines()).strip()


def _content_lines() -> Iterator[str]:
    for room in sorted(rooms()):
        if room == "engine":
            continue
        yield f"**`{room}`**: {sentence(ROOT / room)}\n"
        for module in rooms()[room]:
            path = modules()[module]
            yield f"- `{path.name}`: {sentence(path)}"
        yield ""
