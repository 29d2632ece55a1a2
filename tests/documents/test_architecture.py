"""The boundaries that keep the parts apart: who imports what, and who reads the clock.

`utils/` is pure: what it does follows from its arguments alone, so every rule in it can be tried
without a server, a network or a clock.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.documents.rooms import ROOT, deepest, doors, rooms, tree_of

MODULES = sorted([ROOT / "engine.py", *ROOT.glob("services/**/*.py"), *ROOT.glob("utils/**/*.py")])

# What a pure module may import; of a module that can do more, the names are given.
PURE = {
    "array",
    "bisect",
    "collections",
    "contextlib.contextmanager",
    "dataclasses",
    "dateutil.parser",
    "datetime",
    "difflib",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "msgspec",
    "operator",
    "pathlib.PurePath",
    "re",
    "struct",
    "sys.getsizeof",
    "textwrap",
    "threading.Lock",
    "traceback",
    "typing",
    "urllib.parse",
    "utils",
    "zlib",
}
IMPURE_FUNCTIONS = {"__import__", "eval", "exec", "input", "open", "print"}
# Programs, each a process of its own: they hand the time on.
READ_THE_CLOCK = {"engine.py", "services/daemon/health_check.py"}
CLOCK_METHODS = {"now", "today", "utcnow", "utcfromtimestamp"}
AWS = (
    "boto3",
    "botocore",
    "s3transfer",
    "types_boto3_s3",
    "types_boto3_logs",
    "types_boto3_cloudwatch",
)

# Which room may import from which. A new door is a decision: is it the right room?
DOORS: dict[str, set[str]] = {
    "engine": {
        "services/commands",
        "services/daemon",
        "services/output",
        "services/shipping",
        "services/threads",
        "utils",
        "utils/config",
    },
    "services": {
        "services/aws",
        "services/reading",
        "services/threads",
        "utils",
        "utils/config",
        "utils/lines",
    },
    "services/audit": {
        "services",
        "services/aws",
        "services/output",
        "services/reading",
        "services/shipping",
        "services/threads",
        "utils",
        "utils/audit",
        "utils/config",
        "utils/lines",
        "utils/report",
        "utils/state",
    },
    "services/aws": {"services/threads", "utils", "utils/config"},
    "services/commands": {
        "services",
        "services/audit",
        "services/aws",
        "services/output",
        "services/shipping",
        "services/threads",
        "utils",
        "utils/audit",
        "utils/config",
        "utils/lines",
        "utils/report",
    },
    "services/daemon": {
        "services/aws",
        "services/output",
        "services/shipping",
        "services/threads",
        "utils",
        "utils/config",
        "utils/report",
    },
    "services/output": {
        "services/aws",
        "services/threads",
        "utils",
        "utils/config",
        "utils/report",
        "utils/state",
    },
    "services/reading": {
        "services/aws",
        "services/threads",
        "utils",
        "utils/config",
        "utils/lines",
    },
    "services/shipping": {
        "services",
        "services/aws",
        "services/output",
        "services/reading",
        "services/threads",
        "utils",
        "utils/config",
        "utils/lines",
        "utils/report",
        "utils/state",
    },
    "services/threads": {"utils"},
    "utils": set(),
    "utils/audit": {"utils", "utils/lines"},
    "utils/config": {"utils"},
    "utils/lines": {"utils"},
    "utils/report": {"utils", "utils/config", "utils/lines"},
    "utils/state": {"utils", "utils/config"},
}
# The longest way from engine.py through the imports, both ends counted.
MOST_IMPORTS_DEEP = 9
MOST_FILES = 13


def name_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def layer_of(module: Path) -> str:
    return name_of(module).partition("/")[0]


def imports_of(module: Path) -> set[str]:
    """Returns what the module imports, as `module` or `module.name`."""
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name_of(module)}: a relative import hides its layer"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def imports_from(module: Path, *packages: str) -> list[str]:
    names = sorted(imports_of(module))
    return [name for name in names if any(is_within(name, package) for package in packages)]


def clock_reads(module: Path) -> Iterator[str]:
    """Yields each place where the module gets at the clock."""
    yield from imports_from(module, "time", "sched", "timeit")
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_METHODS:
            owner = ast.unparse(node.value)
            if owner.rpartition(".")[2] in {"date", "datetime"}:
                yield f"{owner}.{node.attr} in line {node.lineno}"


def of_layers(*layers: str) -> list[Path]:
    return [module for module in MODULES if layer_of(module) in layers]


def test_all_layers_are_looked_at() -> None:
    assert {layer_of(module) for module in MODULES} == {"engine.py", "services", "utils"}
    assert len(of_layers("utils")) > 10
    assert len(of_layers("services")) > 10


def offenders(modules: list[Path], faults: Callable[[Path], Iterable[str]]) -> dict[str, list[str]]:
    """Returns what is wrong with each module that is at fault."""
    found = {name_of(module): sorted(faults(module)) for module in modules}
    return {name: faults_of_it for name, faults_of_it in found.items() if faults_of_it}


def test_utils_import_only_what_is_pure() -> None:
    def impure(module: Path) -> list[str]:
        names = imports_of(module)
        return [name for name in names if not any(is_within(name, one) for one in PURE)]

    assert offenders(of_layers("utils"), impure) == {}


def test_utils_call_nothing_that_reads_or_writes() -> None:
    def impure(module: Path) -> set[str]:
        calls = [node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]
        return {call.id for call in calls if isinstance(call, ast.Name)} & IMPURE_FUNCTIONS

    assert offenders(of_layers("utils"), impure) == {}


def test_only_programs_read_the_clock() -> None:
    assert offenders(of_layers("services", "utils"), clock_reads).keys() <= READ_THE_CLOCK


def test_the_engine_reads_the_clock() -> None:
    """This shows that the search for it finds something."""
    found = " ".join(clock_reads(ROOT / "engine.py"))
    assert "time" in found
    assert "datetime.now" in found


def test_only_services_import_boto3() -> None:
    layers = of_layers("engine.py", "utils")
    assert offenders(layers, lambda module: imports_from(module, *AWS)) == {}


def test_what_is_to_be_imported_in_one_place_is_imported_there() -> None:
    """This shows that the search for imports finds something."""
    assert imports_from(ROOT / "services" / "aws" / "session.py", "botocore")


def test_no_layer_imports_from_one_above() -> None:
    above = {"utils": ("services", "engine", "tests"), "services": ("engine", "tests")}
    for layer, forbidden in {**above, "engine.py": ("tests",)}.items():
        names = offenders(of_layers(layer), lambda one, to=forbidden: imports_from(one, *to))  # type: ignore[misc]
        assert names == {}


# --- Rooms ---------------------------------------------------------------------------------------


def test_a_room_imports_only_from_those_that_it_may() -> None:
    """A door that nobody uses is shut again: take it out of the table."""
    used = {room: sorted(imported) for room, imported in doors().items()}
    assert used == {room: sorted(allowed) for room, allowed in DOORS.items()}


def test_no_chain_of_imports_is_too_long() -> None:
    """To read the engine, nobody has to read through more than so many modules in a row."""
    chain = deepest("engine")
    assert len(chain) <= MOST_IMPORTS_DEEP, " > ".join(chain)


def test_no_room_is_too_full() -> None:
    files = {room: len(modules) for room, modules in rooms().items()}
    assert {room: number for room, number in files.items() if number > MOST_FILES} == {}
