"""What README and the documentation say, held against the files, the program and its messages."""

import ast
import importlib
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from services.aws.errors import CONNECTION
from services.daemon import health
from utils.config.document import ALLOWED, REQUIRED, value_faults
from utils.config.environment import JSON, LOG_FORMAT, SECRETS, TEXT, VARIABLES
from utils.config.settings import Source
from utils.config.sources import parse_sources
from utils.errors import ConfigurationError, StoppedError
from utils.model import Counts
from utils.report.latest import Outcome, decode_trail, encode_latest
from utils.version import VERSION

TOP = Path(__file__).parents[2]
README = "README.md"
CONFIGURATION = "documentation/configuration.md"
DELIVERY = "documentation/delivery.md"
OPERATIONS = "documentation/operations.md"
QUERIES = "documentation/queries.md"
IMAGE = "documentation/image.md"
CONTRIBUTING = "documentation/contributing.md"
CHANGELOG = "documentation/changelog.md"
DEPLOY = "documentation/deploy.md"
CAPACITY = "documentation/capacity.md"
AUDIT = "documentation/audit.md"
DOCUMENTS = (
    *(README, CONFIGURATION, DELIVERY, OPERATIONS, IMAGE, DEPLOY, CAPACITY),
    *(CONTRIBUTING, CHANGELOG, QUERIES, AUDIT),
)
PROGRAM = ("engine.py", "services/**/*.py", "utils/**/*.py")

SIX_VARIABLES = (
    "LYVE_ACCESS",
    "LYVE_SECRET",
    "LYVE_REGION",
    "AWS_ACCESS",
    "AWS_SECRET",
    "AWS_REGION",
)
MOST_README_LINES = 220
STEP_1 = "Step 1: Lyve Cloud credentials"
STEP_4 = "Step 4: configuration and start"
OPTIONAL_KEYS = "Optional keys of `config.json`"
BUCKET_OPERATIONS = {
    "list_objects_v2": "ListObjectsV2",
    "get_object": "GetObject",
    "head_object": "HeadObject",
    "put_object": "PutObject",
    "copy_object": "CopyObject",
    "delete_object": "DeleteObject",
    "delete_objects": "DeleteObjects",
}
NUMBER_KEYS = ("batch_size", "concurrency", "settle_seconds", "every_minutes")
# boto3's own: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/configuration.html
BOTO3_VARIABLES = {
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL_CLOUDWATCH",
    "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
}
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
GRID_COLUMNS = 24
VIEWS = {"table", "timeSeries", "bar", "pie"}
PLACEHOLDERS = {"<AWS_REGION>", "<AWS_CLOUDWATCH_LOG_GROUP_NAME>"}
STATUS_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (?P<text>[A-Z]+ .*?)(?P<pairs>( \w+=\S+)*)"
)

CONFIGURATION_LINE = re.compile(r"ERROR (config\.json|environment)")

# The argument of each call that holds a message or a part of one.
MESSAGE_ARGUMENTS = {
    "ForwarderError": 0,
    "ServiceError": 0,
    "CheckpointError": 0,
    "DamagedError": 0,
    "CorruptError": 0,
    "Fault": 0,
    "_report": 1,
    "_miss": 1,
    "write": 1,
    "tell": 2,
    "quarantine": 2,
}
GAP = "\0"


class Message(NamedTuple):
    """A message of the program: its level if it has one, its text with a `GAP` for what varies."""

    level: str
    text: str

    def is_in(self, line: str) -> bool:
        pattern = ".+".join(re.escape(part) for part in self.text.rstrip(". ").split(GAP))
        return re.search(f"^{self.level}.*{pattern}", line) is not None


# --- Reading the documents -----------------------------------------------------------------------


@cache
def read(name: str) -> str:
    return (TOP / name).read_text()


def section(name: str, heading: str) -> str:
    """Returns what stands between a heading and the next one that is not below it."""
    lines = read(name).splitlines(keepends=True)
    (start,) = (number for number, line in enumerate(lines) if line.lstrip("#").strip() == heading)
    level = lines[start].split()[0]
    rest = lines[start + 1 :]
    ends = (number for number, line in enumerate(rest) if re.match(f"#{{1,{len(level)}}} ", line))
    return "".join(rest[: next(ends, len(rest))])


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [block for _, block in found]


def without_blocks(text: str) -> str:
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", without_blocks(text))


def rows(text: str) -> Iterator[list[str]]:
    """Yields the cells of each row of the text's tables, without their heads."""
    lines = [line.strip() for line in without_blocks(text).splitlines()]
    for above, line in zip(["", *lines], lines, strict=False):
        is_rule = set(line) <= set("|- ")
        if line.startswith("|") and above.startswith("|") and not is_rule:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def first_cells(text: str) -> list[str]:
    return [cells[0] for cells in rows(text)]


def column(name: str, heading: str) -> list[str]:
    """Returns what stands in the first column of a section's tables, without the backticks."""
    return [cell.replace("`", "") for cell in first_cells(section(name, heading))]


def anchors(name: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", without_blocks(read(name)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- Reading the program -------------------------------------------------------------------------


@cache
def modules() -> dict[str, ast.Module]:
    paths = [path for pattern in PROGRAM for path in sorted(TOP.glob(pattern))]
    return {str(path.relative_to(TOP)): ast.parse(path.read_text()) for path in paths}


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name in {
            getattr(node.func, "id", ""),
            getattr(node.func, "attr", ""),
        }:
            yield node


def texts(node: ast.AST, function: ast.AST) -> list[str]:
    """Returns what an expression can be, as far as it is written in the function."""
    match node:
        case ast.Constant(value=str(value)):
            return [value]
        case ast.JoinedStr(values=values):
            parts = (texts(value, function) or [GAP] for value in values)
            return ["".join(part[0] for part in parts)]
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body, function) + texts(orelse, function)
        case ast.Name(id=name):
            return [text for value in assigned(name, function) for text in texts(value, function)]
    return []


def assigned(name: str, function: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(node, ast.Assign | ast.AugAssign) and name in names:
            yield node.value


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def said(tree: ast.Module) -> Iterator[Message]:
    """Yields the messages that a module raises or writes, and the parts of messages."""
    for function in functions(tree):
        for name, index in MESSAGE_ARGUMENTS.items():
            for call in (call for call in calls(function, name) if len(call.args) > index):
                level = ""
                if name in {"write", "tell"}:
                    (level,) = texts(call.args[index - 1], function) or [""]
                for text in texts(call.args[index], function):
                    yield Message(level, text)


def refused(tree: ast.Module) -> Iterator[Message]:
    """Yields `Can't ...` for each thing of which a module translates foreign errors."""
    for function in functions(tree):
        for call in (*calls(function, "lyve_errors"), *calls(function, "aws_errors")):
            for text in texts(call.args[0], function):
                for own in own_doings(tree) if text.startswith(GAP) else [""]:
                    yield Message("ERROR", f"Can't {own}{text.removeprefix(GAP)}")


def own_doings(tree: ast.Module) -> list[str]:
    return [text for call in calls(tree, "_errors") for text in texts(call.args[0], tree)]


@cache
def messages() -> frozenset[Message]:
    found = (m for tree in modules().values() for m in (*said(tree), *refused(tree)))
    written = (message for message in found if message.text.strip(f"{GAP}: "))
    return frozenset([Message("WARN", str(StoppedError())), *written])


@cache
def literals() -> str:
    """Returns every text that is written in the program, a line each."""
    nodes = [node for tree in modules().values() for node in ast.walk(tree)]
    written = [node.value for node in nodes if isinstance(node, ast.Constant)]
    composed = [message.text for message in messages()]
    return "\n".join([*composed, *(text for text in written if isinstance(text, str))])


def codes_with_hints() -> set[str]:
    """Returns the error codes for which the services say what to do."""
    return {
        text
        for name, tree in modules().items()
        if name.startswith("services/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and is_hints(node.targets[0])
        for key in getattr(node.value, "keys", getattr(node.value, "elts", []))
        for text in texts(key, tree)
    }


def is_hints(target: ast.expr) -> bool:
    name = getattr(target, "id", getattr(target, "attr", ""))
    return name.lower().endswith(("hints", "denied"))


@cache
def usage() -> str:
    command = [sys.executable, str(TOP / "engine.py"), "--help"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# --- Links, paths, commands ----------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(name))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (TOP / name).parent / path if path else TOP / name
        assert file.exists(), target
        assert not anchor or anchor in anchors(str(file.resolve().relative_to(TOP))), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_named_file_exists(name: str) -> None:
    folders = "dashboards|documentation|services|tests|utils"
    named = rf"\b(?:(?:{folders})/[\w./-]*\w|engine\.py|config\.json|requirements\.txt|Dockerfile)"
    paths = set(re.findall(named, read(name)))
    assert paths
    assert [path for path in sorted(paths) if not (TOP / path).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_of_tests_run_exists(name: str) -> None:
    branches = re.findall(r"^ +(\w+(?: \| \w+)*)\)$", read("tests/run"), re.MULTILINE)
    offered = {word for branch in branches for word in branch.split(" | ")}
    named = [span.split() for span in spans(read(name)) if span.startswith("tests/run")]
    assert {words[1] for words in named if len(words) > 1} <= offered
    assert name != README or [words for words in named if words == ["tests/run", "demo"]]


def test_every_option_exists() -> None:
    named = "".join(read(name) for name in DOCUMENTS)
    calls_of_it = re.findall(r"(?:engine\.py|(?<!--name )logscollector|with) `?(--\w[\w-]*)", named)
    table = re.findall(r"--\w[\w-]*", " ".join(column(README, "Command line")))
    assert set(table) >= {"--once", "--config", "--dashboard", "--install-dashboards"}
    assert [option for option in [*calls_of_it, *table] if option not in usage()] == []


def test_readme_takes_ten_minutes() -> None:
    assert len(read(README).splitlines()) <= MOST_README_LINES


def test_the_image_is_run_as_it_is_built_with_the_six_variables() -> None:
    quick, run = (block for block in blocks(read(README), "bash") if "docker" in block)
    assert "docker build -f Dockerfile -t logscollector .\n" in quick
    options = re.findall(r"logscollector (--\w+)$", quick, re.MULTILINE)
    assert options == ["--check", "--plan"]
    assert run.split()[-1] == "logscollector"
    assert tuple(re.findall(r"-e (\w+)=<[\w ]+>", run)) == SIX_VARIABLES


def test_the_image_and_the_changelog_have_the_version_of_the_program() -> None:
    assert f'org.opencontainers.image.version="{VERSION}"' in read("Dockerfile")
    newest = re.findall(r"^## (.*)$", read(CHANGELOG), re.MULTILINE)[0]
    assert newest == VERSION


def test_whoever_asks_where_something_is_finds_it_there() -> None:
    """The names of each answer are defined in the files that it names."""
    answers = list(rows(section(CONTRIBUTING, "Where things are")))
    for word in ("SIGTERM", "503", "type of audit log"):
        assert any(word in question for question, _ in answers)
    for question, answer in answers:
        named = spans(answer)
        files = [modules()[one] for one in named if one in modules()]
        assert files, question
        for one in named:
            is_name = re.fullmatch(r"[A-Za-z_]+(\.[A-Za-z_]+)*", one) and one not in modules()
            assert not is_name or one.rpartition(".")[2] in defined_in(files), one


def defined_in(files: list[ast.Module]) -> set[str]:
    nodes = [node for tree in files for node in ast.walk(tree)]
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    targets = [node.targets[0] for node in nodes if isinstance(node, ast.Assign)]
    return names | {getattr(one, "id", getattr(one, "attr", "")) for one in targets}


# --- Configuration -------------------------------------------------------------------------------


def test_the_documents_have_every_key_of_the_configuration() -> None:
    assert tuple(column(README, STEP_4)) == REQUIRED
    assert {*column(CONFIGURATION, OPTIONAL_KEYS)} == {*ALLOWED, "sources"} - {*REQUIRED}


def test_the_documents_have_the_defaults_of_the_optional_keys() -> None:
    table = rows(section(CONFIGURATION, OPTIONAL_KEYS))
    written = {key.strip("`"): default.strip("`") for key, _, default in table if default}
    (source,) = parsed({**read_configuration(), "log_type": "S3"})
    stream = source.log_stream.replace(source.bucket_name, "<bucket_name>")
    numbers = {key: f"{getattr(source, key):g}" for key in NUMBER_KEYS}
    assert written == {
        "log_stream": stream.replace("S3", "<log_type>"),
        **numbers,
        "metrics": "false",
    }


def test_the_documents_have_the_limits_of_the_keys_that_hold_a_number() -> None:
    written = {key.strip("`"): what for key, what, _ in rows(section(CONFIGURATION, OPTIONAL_KEYS))}
    for key in (*NUMBER_KEYS, "gap_hours"):
        limits = re.findall(r"[\d.]+", ALLOWED[key])
        assert limits
        assert [one for one in limits if one not in written[key].replace(",", "").split()] == []


def parsed(document: object) -> tuple[Source, ...]:
    environment = dict.fromkeys(SIX_VARIABLES, "us-east-1")
    return parse_sources(json.dumps(document).encode(), environment, lambda path: path)


def test_the_documents_have_every_variable_and_no_other() -> None:
    variable = re.compile(r"\b(?:EUROPE_)?((?:LYVE|AWS)_\w+)")
    names = {name: set(variable.findall(prose(name))) for name in DOCUMENTS}
    assert names[README] | names[CONFIGURATION] >= set(VARIABLES)
    assert set().union(*names.values()) - set(VARIABLES) - BOTO3_VARIABLES == set()


def prose(name: str) -> str:
    """Returns a document without its examples of wrong input and its placeholders."""
    text = re.sub(r"```text\n.*?```", "", read(name), flags=re.DOTALL)
    return re.sub(r"(?<!/s3\.)<(?!LYVE)[^>]*>", "", text)


def test_every_json_in_the_documents_is_json_and_the_configuration_is_accepted() -> None:
    documents = [json.loads(block) for name in DOCUMENTS for block in blocks(read(name), "json")]
    (configuration,) = (document for document in documents if "sources" in document)
    names = [source.name for source in parsed(configuration)]
    assert names == ["europe-S3", "europe-IAM", "europe-Console", "america-S3"]


def test_the_modes_are_those_of_the_program() -> None:
    modes = [re.findall(r'"(.*?)"', cell)[0] for cell in column(README, "Modes")]
    assert modes == ["all", "05/01/2024", "lasthour"]
    assert [fault for mode in modes for fault in value_faults("mode", mode)] == []


def test_the_documents_have_the_forms_of_the_log_lines() -> None:
    named = spans(section(CONFIGURATION, "Optional variables"))
    assert {LOG_FORMAT, TEXT, JSON} <= set(named)


def test_every_secret_can_come_from_a_file() -> None:
    named = set(spans(section(CONFIGURATION, "Optional variables")))
    assert {f"{secret}_FILE" for secret in SECRETS} <= named


# --- Permissions ---------------------------------------------------------------------------------


def test_the_steps_name_the_operations_on_buckets() -> None:
    named = set(re.findall(r"\w+Object\w*", without_links(section(README, STEP_1))))
    written = {*literals().splitlines()}
    called = {
        operation
        for method, operation in BUCKET_OPERATIONS.items()
        if method in written or any(any(calls(tree, method)) for tree in modules().values())
    }
    assert named == called


def without_links(text: str) -> str:
    return re.sub(r"\]\([^)]*\)", "]", text)


# --- Messages ------------------------------------------------------------------------------------


def test_every_message_of_the_program_is_documented() -> None:
    lines = [cell.replace("`", "") for cell in first_cells(read(OPERATIONS))]
    assert sorted(m for m in messages() if not any(m.is_in(line) for line in lines)) == []


def test_every_documented_line_is_one_of_the_program() -> None:
    said_somewhere = literals()
    for line in first_cells(section(OPERATIONS, "All lines")):
        assert re.match(r"`(INFO|WARN|ERROR) .*`$", line), line
        text = re.sub(r"^`[A-Z]+ ((config\.json|environment):? )?|`$", "", line)
        for part in re.split(r"<[^<>]*>|\. |\(", text):
            assert part.strip(' .:,;()_"') in said_somewhere, line


def test_every_code_with_a_hint_is_documented_and_no_other() -> None:
    written = {code for cell in column(OPERATIONS, "Codes") for code in cell.split(", ")}
    assert codes_with_hints()
    assert codes_with_hints() - written == set()
    assert written - {*literals().splitlines()} - imported_names() == set()


def test_every_cause_in_words_is_documented() -> None:
    causes = [re.sub("<[^>]*>", "<>", one) for one in column(OPERATIONS, "Causes in words")]
    for row in CONNECTION:
        detail = re.sub("{[^}]*}", "<>", row.detail)
        assert detail == "<>" or any(detail.startswith(one) for one in causes), row.detail


def imported_names() -> set[str]:
    nodes = [node for tree in modules().values() for node in ast.walk(tree)]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return {alias.name for one in imports for alias in one.names}


def test_the_figures_of_a_status_line_are_documented() -> None:
    figures = ["source", "shard", *Counts.__struct_fields__, "took", "version"]
    written = column(OPERATIONS, "How to read a status line")
    assert written[: len(figures)] == figures


def test_the_last_status_in_the_documents_is_as_the_program_writes_it() -> None:
    (text,) = (block for block in blocks(read(OPERATIONS), "json") if "lag_seconds" in block)
    example = json.loads(text)
    trail = decode_trail(text.encode())
    outcome = Outcome(
        level=example["level"],
        message=example["message"],
        began=datetime.fromisoformat(example["began"]),
        ended=datetime.fromisoformat(example["ended"]),
        counts=Counts(**example["counts"]),
    )
    assert encode_latest(example["source"], outcome, trail).decode() == text.strip()
    members = column(OPERATIONS, "How to read a status line")[-8:]
    assert {name for cell in members for name in cell.split(", ")} == {*example} - {
        "source",
        "version",
    }


def test_every_ailment_of_the_health_check_is_documented_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_IN_MEMORY", tmp_path)
    said = health.ailments(time.time())
    times = iter([0.0, 0.0, 10.0**6, 10.0**6])
    file = health.HeartbeatFile(lambda: next(times))
    for _ in range(2):
        file.say({"audit-logs-S3": (0, 0.0)}, {"old": 3, "new": 1}, {"new"})
    said += [f"{one}." for one in health.ailments(time.time())[0].removesuffix(".").split(". ")]
    written = [row[0].strip("`") for row in rows(section(IMAGE, "Is it well?"))]
    patterns = [re.sub("<[^>]*>", ".+", line) for line in written]
    assert written[0] == "healthy"
    for line in said:
        assert sum(bool(re.fullmatch(pattern, line)) for pattern in patterns) == 1, line
    assert len(said) == len(written) - 1


def test_the_plan_in_the_documents_has_the_rows_of_the_program() -> None:
    (plan,) = (block for block in blocks(read(OPERATIONS), "text") if "objects due" in block)
    labels = re.findall(r"^  (\S+(?: \S+)*)  ", plan, re.MULTILINE)
    assert labels
    assert set(labels) - {*literals().splitlines()} == set()


def quoted_lines(name: str) -> list[re.Match[str]]:
    lines = "".join(blocks(read(name), "text")).splitlines()
    return [quoted for line in lines if (quoted := STATUS_LINE.fullmatch(line))]


@pytest.mark.parametrize("name", [README, OPERATIONS])
def test_every_quoted_status_line_is_one_that_the_program_writes(name: str) -> None:
    known = {"source", "shard", *Counts.__struct_fields__, "took", "version", "object", "lines"}
    specific = [message for message in messages() if len(message.text.split()) > 2]
    quotes = [quote for quote in quoted_lines(name) if not CONFIGURATION_LINE.match(quote["text"])]
    assert quotes
    for quote in quotes:
        assert any(message.is_in(quote["text"]) for message in specific), quote[0]
        assert set(re.findall(r" (\w+)=", quote["pairs"])) <= known, quote[0]


def test_the_quoted_configuration_errors_are_those_of_their_mistakes() -> None:
    document = {**read_configuration(), "log_type": "s3"}
    misspelt = {name: "us-east-1" for name in SIX_VARIABLES if name != "AWS_REGION"}
    misspelt["LYVE_ACCESS_KEY"] = misspelt.pop("LYVE_ACCESS")
    mistakes = [
        *problems(read_configuration(), misspelt),
        *problems(document, dict.fromkeys(SIX_VARIABLES, "us-east-1")),
    ]
    quotes = [quote["text"] for quote in quoted_lines(README)]
    assert [quote for quote in quotes if CONFIGURATION_LINE.match(quote)] == mistakes


def read_configuration() -> dict[str, object]:
    configuration: dict[str, object] = json.loads(read("config.json"))
    return configuration


def problems(document: dict[str, object], environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        parse_sources(json.dumps(document).encode(), environment, lambda path: path)
    return [f"ERROR {problem}" for problem in raised.value.problems]


# --- Delivery ------------------------------------------------------------------------------------


def test_the_figures_of_delivery_are_those_of_the_program() -> None:
    figures = list(rows(section(DELIVERY, "Figures")))
    assert figures
    for figure, value, constant in figures:
        module, _, name = constant.strip("`").rpartition(".")
        assert int(re.sub(r"\D", "", value)) == getattr(importlib.import_module(module), name), (
            figure
        )


# --- Dashboards ----------------------------------------------------------------------------------


def dashboards() -> list[Path]:
    return sorted((TOP / "dashboards").glob("*.json"))


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(path: Path) -> None:
    text = path.read_text()
    widgets = json.loads(text)["widgets"]
    named = set(re.findall(r"(?<!\?)<[A-Za-z_]+>", text))
    assert named - {"<METRICS_NAMESPACE>"} == PLACEHOLDERS
    assert widgets[0]["type"] == "text"
    assert widgets[0]["properties"]["markdown"].startswith("## ")
    for widget in widgets[1:]:
        properties = widget["properties"]
        assert properties["region"] == "<AWS_REGION>"
        assert properties["view"] in VIEWS
        assert properties["title"]
        if widget["type"] == "metric":
            continue
        assert widget["type"] == "log"
        assert properties["query"].startswith("SOURCE '<AWS_CLOUDWATCH_LOG_GROUP_NAME>' | ")
        assert properties["view"] != "timeSeries" or "bin(" in properties["query"]


@pytest.mark.parametrize("path", dashboards(), ids=lambda path: path.stem)
def test_no_widget_of_a_dashboard_overlaps_another_or_leaves_the_grid(path: Path) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for widget in json.loads(path.read_text())["widgets"]:
        columns = range(widget["x"], widget["x"] + widget["width"])
        assert columns.start >= 0 < len(columns)
        assert columns.stop <= GRID_COLUMNS
        taken.update(
            (x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])
        )
    assert taken.most_common(1)[0][1] == 1
