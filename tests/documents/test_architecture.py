"""The boundaries that keep the parts apart: who imports what, and who reads the clock.

`utils/` is pure: what it does follows from its arguments alone, so every rule in it can be tried
without a server, a network or a clock.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def name_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def layer_of(module: Path) -> str:
    return name_of(module).partition("/")[0]


def tree_of(module: Path) -> ast.Module:
    return ast.parse(module.read_text("utf-8"))


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


@pytest.mark.parametrize("module", of_layers("utils"), ids=name_of)
def test_utils_import_only_what_is_pure(module: Path) -> None:
    names = imports_of(module)
    assert [name for name in sorted(names) if not any(is_within(name, one) for one in PURE)] == []


@pytest.mark.parametrize("module", of_layers("utils"), ids=name_of)
def test_utils_call_nothing_that_reads_or_writes(module: Path) -> None:
    calls = [node.func for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call)]
    assert {call.id for call in calls if isinstance(call, ast.Name)} & IMPURE_FUNCTIONS == set()


@pytest.mark.parametrize("module", of_layers("services", "utils"), ids=name_of)
def test_only_programs_read_the_clock(module: Path) -> None:
    assert name_of(module) in READ_THE_CLOCK or list(clock_reads(module)) == []


def test_the_engine_reads_the_clock() -> None:
    """This shows that the search for it finds something."""
    found = " ".join(clock_reads(ROOT / "engine.py"))
    assert "time" in found
    assert "datetime.now" in found


@pytest.mark.parametrize("module", of_layers("engine.py", "utils"), ids=name_of)
def test_only_services_import_boto3(module: Path) -> None:
    assert imports_from(module, *AWS) == []


@pytest.mark.parametrize("module", of_layers("services", "utils"), ids=name_of)
def test_only_the_engine_imports_schedule(module: Path) -> None:
    assert imports_from(module, "schedule") == []


def test_what_is_to_be_imported_in_one_place_is_imported_there() -> None:
    """This shows that the search for imports finds something."""
    assert imports_from(ROOT / "engine.py", "schedule")
    assert imports_from(ROOT / "services" / "aws" / "boto3_session.py", "boto3")


@pytest.mark.parametrize(
    ("layer", "above"),
    [
        ("utils", ("services", "engine", "tests")),
        ("services", ("engine", "tests")),
        ("engine.py", ("tests",)),
    ],
)
def test_no_layer_imports_from_one_above(layer: str, above: tuple[str, ...]) -> None:
    found = {name_of(module): imports_from(module, *above) for module in of_layers(layer)}
    assert {module: names for module, names in found.items() if names} == {}
