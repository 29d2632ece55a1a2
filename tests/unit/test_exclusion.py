"""Which lines are read and not sent."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.test_runs import BEGINNING
from tests.world.audit_events import Period, audit_lines
from utils.json_extractor import NotJsonError, event_time_ms
from utils.lines.exclusion import ExcludedError, json_field
from utils.lines.forms import ACCESS, FORMS, form_of
from utils.lines.runs import runs
from utils.model import Exclusion

PERIOD = Period(datetime(2024, 2, 29, tzinfo=UTC), timedelta(hours=1))
NAMES = st.sampled_from(["a", "b", "X-Real-Ip", "é"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=9,
)


def looked_up(document: object, path: str) -> str | None:
    """Returns a field as text in another way."""
    for name in path.split("."):
        if not isinstance(document, dict) or name not in document:
            return None
        document = document[name]
    if isinstance(document, dict | list):
        return None
    return document if isinstance(document, str) else json.dumps(document)


@given(
    document=DOCUMENTS,
    path=st.lists(NAMES, min_size=1, max_size=3).map(".".join),
    ascii_only=st.booleans(),
)
@example(document={"a": {"b": 'é "x"'}}, path="a.b", ascii_only=False)
@example(document={"a": {"b": 'é "x"'}}, path="a.b", ascii_only=True)
@example(document={"a": True}, path="a", ascii_only=True)
def test_a_field_of_json_is_found_by_its_path(
    document: object, path: str, ascii_only: bool
) -> None:
    line = json.dumps(document, ensure_ascii=ascii_only).encode()
    assert json_field(path)(line) == looked_up(document, path)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no JSON",
        b'{"a": "x"',
        b'{"a": "x"} y',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"[" * 5000,
    ],
)
def test_what_is_not_json_has_no_field(line: bytes) -> None:
    assert json_field("a")(line) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [("200", "200"), (200, "200"), (1.5, "1.5"), (True, "true"), (None, "null"), ("", "")],
)
def test_values_that_are_no_texts_are_written_as_json_has_them(value: object, text: str) -> None:
    line = json.dumps({"auditEntry": {"api": {"statusCode": value}}}).encode()
    form = form_of("S3", [Exclusion("auditEntry.api.statusCode", (text,))])
    with pytest.raises(ExcludedError):
        form.time_ms(line)


def test_one_of_several_fields_with_one_of_its_values_is_enough() -> None:
    form = form_of("S3", [Exclusion("a", ("1", "2")), Exclusion("b.c", ("3",))])
    excluded = []
    for line in (b'{"a": "2"}', b'{"b": {"c": "3"}}', b'{"a": "3"}', b'{"b": "3"}', b'{"a.b": 1}'):
        try:
            form.time_ms(line)
        except ExcludedError:
            excluded.append(line)
    assert excluded == [b'{"a": "2"}', b'{"b": {"c": "3"}}']


def test_a_line_that_is_sent_is_read_as_without_the_key() -> None:
    form = form_of("S3", [Exclusion("a", ("1",))])
    line = b'{"auditEntry": {"time": "2024-02-29T00:00:00Z"}}'
    assert form.time_ms(line) == event_time_ms(line)
    with pytest.raises(NotJsonError):
        form.time_ms(b"a")


def test_without_the_key_a_line_is_read_by_the_very_same_function() -> None:
    """So that it costs what it did: no look at each line."""
    assert {log_type: form_of(log_type) for log_type in FORMS} == FORMS
    assert form_of("S3").time_ms is event_time_ms


def test_a_field_of_an_access_log_has_the_guides_name() -> None:
    (line,) = audit_lines("Access", 1, PERIOD)
    operation = ACCESS.field("Operation")(line)
    assert operation
    with pytest.raises(ExcludedError):
        form_of("Access", [Exclusion("Operation", (operation,))]).time_ms(line)
    form_of("Access", [Exclusion("Operation", ("s3.Other",))]).time_ms(line)
    form_of("Access", [Exclusion("operation", (operation,))]).time_ms(line)


def test_a_run_counts_what_is_excluded_and_its_positions_count_it_as_a_line() -> None:
    lines = [b'{"a": "1"}', b"", b'{"a": "2"}', b"\xff", b'{"a": "1"}']
    form = form_of("S3", [Exclusion("a", ("1",))])
    (run,) = runs([BEGINNING], lambda _: [lines], 100, lambda: 2**20, form)
    (part,) = run.parts.values()
    assert [event.line_number for event in run.events] == [3]
    counts = part.counts
    assert (counts.read, counts.excluded, counts.blank, counts.quarantined) == (5, 2, 1, 1)
    assert part.position.lines == 5
    counts.accepted = 1
    assert counts.imbalance == 0
