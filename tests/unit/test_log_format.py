"""The lines on standard error as JSON, for programs that collect logs."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.installation import Installation
from tests.world.audit_events import gzip_lines
from utils.config.environment import is_json, process_variables
from utils.report.status import Seconds, json_line

NOON = datetime(2024, 2, 29, 12, 30, 5, tzinfo=UTC)


def test_a_json_line_has_time_level_message_and_pairs_and_figures_are_numbers() -> None:
    pairs = {"source": "audit-S3", "read": 1300, "took": Seconds(2.5)}
    assert json.loads(json_line(NOON, "INFO", "Done sending 1234 logs", pairs)) == {
        "time": "2024-02-29T12:30:05Z",
        "level": "INFO",
        "message": "Done sending 1234 logs",
        "source": "audit-S3",
        "read": 1300,
        "took": 2.5,
    }


@given(
    text=st.text(max_size=30),
    pairs=st.dictionaries(
        st.sampled_from(["object", "read"]), st.text(max_size=30) | st.integers()
    ),
)
def test_a_json_line_is_one_line_and_keeps_what_was_said(
    text: str, pairs: dict[str, object]
) -> None:
    line = json_line(NOON, "INFO", text, pairs)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    found = json.loads(line)
    assert found["message"] == text
    assert {name: found[name] for name in pairs} == pairs


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("jsno", '(allowed: "text", "json"). Did you mean "json"? Then write that.'),
        ("JSON", 'is "JSON" (allowed: "text", "json"). Did you mean "json"? Then write that.'),
        ("logfmt", 'environment: LOG_FORMAT is "logfmt" (allowed: "text", "json").'),
    ],
)
def test_another_form_is_a_mistake(value: str, said: str) -> None:
    _, (problem,) = process_variables({"LOG_FORMAT": value})
    assert said in str(problem)
    assert not is_json({"LOG_FORMAT": value})


@pytest.mark.parametrize("environment", [{}, {"LOG_FORMAT": ""}, {"LOG_FORMAT": "text"}])
def test_text_is_what_is_written_otherwise(environment: dict[str, str]) -> None:
    assert process_variables(environment) == (None, [])
    assert not is_json(environment)


def test_the_program_writes_json_and_keeps_text_in_the_output_bucket(
    installation: Installation,
) -> None:
    installation.environment["LOG_FORMAT"] = "json"
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}", b"\xff"]))
    outcome = installation.once()
    assert outcome.exit_status == 0
    warned, done = (json.loads(line) for line in outcome.stderr.splitlines())
    assert (warned["level"], warned["quarantined"]) == ("WARN", 1)
    assert done["message"] == "Done sending 1 logs"
    assert (done["accepted"], done["read"]) == (1, 2)
    assert isinstance(done["took"], float)
    (status,) = installation.status_objects().values()
    assert f"{done['time']} INFO Done sending 1 logs source=" in status


def test_the_program_names_a_mistake_with_all_others(installation: Installation) -> None:
    installation.environment["LOG_FORMAT"] = "jsn"
    del installation.environment["AWS_REGION"]
    outcome = installation.once()
    assert outcome.exit_status == 2
    texts = [line.text for line in outcome.errors]
    assert any("LOG_FORMAT" in text for text in texts)
    assert any("AWS_REGION" in text for text in texts)


def test_problems_are_json_as_well(installation: Installation) -> None:
    installation.environment["LOG_FORMAT"] = "json"
    del installation.environment["AWS_REGION"]
    outcome = installation.run("--check")
    (problem,) = (json.loads(line) for line in outcome.stderr.splitlines())
    assert problem["message"] == "environment: AWS_REGION is missing. Set AWS_REGION."
