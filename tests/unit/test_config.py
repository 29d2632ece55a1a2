"""The document and the environment become sources, or a list of all that is wrong with them."""

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.config.document import ALLOWED
from utils.config.environment import SECRETS, VARIABLES
from utils.config.settings import AwsAccess, LyveAccess, Source
from utils.config.sources import parse_sources, stored_twice
from utils.errors import ConfigurationError
from utils.model import Exclusion

ENVIRONMENT = {
    "LYVE_ACCESS": "LYVEACCESSKEYID",
    "LYVE_SECRET": "lyve/secret+key=of-the-tests",
    "LYVE_REGION": "us-west-1",
    "AWS_ACCESS": "AKIATESTSTESTSTESTS",
    "AWS_SECRET": "aws/secret+key=of-the-tests",
    "AWS_REGION": "eu-central-1",
}
DOCUMENT = {
    "bucket_name": "audit",
    "output_bucket": "state",
    "log_type": "S3",
    "mode": "all",
    "log_group": "/lyve/audit",
}
SHARED = {key: DOCUMENT[key] for key in ("output_bucket", "log_type", "mode", "log_group")}
FILES = {"/run/key": " KEYOFTHEFILE\n", "/run/empty": "\n", "/run/lines": "KEY\nKEYOFANOTHER"}


def read_file(path: str) -> str:
    if path == "/run/binary":
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    if path == "/run/forbidden":
        raise PermissionError
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory", path)
    return FILES[path]


def with_keys(**keys: object) -> dict[str, object]:
    return {**DOCUMENT, **keys}


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in DOCUMENT.items() if key not in keys}


def environment(*missing: str, **added: str) -> dict[str, str]:
    return {key: value for key, value in {**ENVIRONMENT, **added}.items() if key not in missing}


def named(*sources: Mapping[str, object], **top: object) -> dict[str, object]:
    return {**SHARED, **top, "sources": list(sources)}


def parse(content: object, variables: Mapping[str, str] = ENVIRONMENT) -> tuple[Source, ...]:
    document = content if isinstance(content, bytes) else json.dumps(content).encode()
    return parse_sources(document, variables, read_file)


def problems(content: object, variables: Mapping[str, str] = ENVIRONMENT) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(content, variables)
    return [str(problem) for problem in caught.value.problems]


def problem(content: object, variables: Mapping[str, str] = ENVIRONMENT) -> str:
    (only,) = problems(content, variables)
    return only


def test_five_keys_and_six_variables_make_a_source() -> None:
    assert parse(DOCUMENT) == (
        Source(
            name="audit-S3",
            bucket_name="audit",
            output_bucket="state",
            log_type="S3",
            since_ms=0,
            log_group="/lyve/audit",
            log_stream="lyve-cloud/audit/S3",
            batch_size=100,
            concurrency=32,
            settle_seconds=30,
            lyve=LyveAccess(
                ENVIRONMENT["LYVE_ACCESS"],
                ENVIRONMENT["LYVE_SECRET"],
                "us-west-1",
                "https://s3.us-west-1.lyvecloud.seagate.com",
            ),
            aws=AwsAccess(ENVIRONMENT["AWS_ACCESS"], ENVIRONMENT["AWS_SECRET"], "eu-central-1"),
        ),
    )


def test_a_source_is_frozen_and_its_repr_shows_no_secret() -> None:
    (source,) = parse(DOCUMENT)
    with pytest.raises(FrozenInstanceError):
        source.name = "other"  # type: ignore[misc]
    assert not [name for name in SECRETS if ENVIRONMENT[name] in repr(source)]


def test_each_log_type_is_a_source() -> None:
    sources = parse(with_keys(log_type=["IAM", "S3"]))
    assert [(s.name, s.log_type, s.log_stream) for s in sources] == [
        ("audit-IAM", "IAM", "lyve-cloud/audit/IAM"),
        ("audit-S3", "S3", "lyve-cloud/audit/S3"),
    ]


@pytest.mark.parametrize(
    ("mode", "since"),
    [
        ("all", 0),
        ("lasthour", None),
        ("01/01/1970", 0),
        ("29/02/2024", datetime(2024, 2, 29, tzinfo=UTC).timestamp() * 1000),
        ("05/01/2024", datetime(2024, 1, 5, tzinfo=UTC).timestamp() * 1000),
        ("31/12/9999", datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000),
    ],
)
def test_the_mode_says_where_coverage_begins(mode: str, since: float | None) -> None:
    assert parse(with_keys(mode=mode))[0].since_ms == since


@pytest.mark.parametrize(
    "keys",
    [
        {"bucket_name": "a.b-1"},
        {"bucket_name": "b" * 63},
        {"bucket_name": "127.0.0.1x"},
        {"log_group": ".-_/#Az09"},
        {"log_group": "g" * 512},
        {"log_stream": "ä b/" + "s" * 508},
        {"batch_size": 1},
        {"batch_size": 10_000},
        {"concurrency": 64},
        {"settle_seconds": 0},
        {"settle_seconds": 0.5},
        {"settle_seconds": 3600},
        {"prefix": ""},
        {"prefix": "/" + "ä" * 511},
        {"every_minutes": 1},
        {"every_minutes": 60},
    ],
)
def test_values_at_the_edge_of_what_is_allowed(keys: dict[str, object]) -> None:
    (source,) = parse(with_keys(**keys))
    assert {key: getattr(source, key) for key in keys} == keys


BUCKET = "allowed: 3 to 63 lower-case letters, digits, dots and hyphens, with"
MODE = 'allowed: "all", "lasthour" or a date dd/mm/yyyy such as "05/01/2024"'
TYPES = 'allowed: "S3", "IAM", "Console", "Access" or a list of them'
UNTIL = 'allowed: a date dd/mm/yyyy such as "05/02/2024"'
EXCLUDE = "allowed: a list of objects such as"
DATE = "Write a date as dd/mm/yyyy, with zeros: 05/01/2024 is 5 January 2024."


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("bucket_name", "Audit", ['is "Audit"', BUCKET, 'Did you mean "audit"?']),
        ("bucket_name", "audit ", ['is "audit "', BUCKET, 'Did you mean "audit"?']),
        ("bucket_name", "<the bucket>", ['is "<the bucket>"', BUCKET]),
        ("bucket_name", "", ['is ""', BUCKET]),
        ("bucket_name", "ab", ['is "ab"', BUCKET]),
        ("bucket_name", "b" * 64, [BUCKET]),
        ("bucket_name", "b" * 81, [f'is "{"b" * 80}...", a text of 81 characters (', BUCKET]),
        ("bucket_name", "a..b", [BUCKET]),
        ("bucket_name", "-ab", [BUCKET]),
        ("bucket_name", "ab.", [BUCKET]),
        ("bucket_name", "a_b", [BUCKET]),
        ("bucket_name", "192.168.5.4", [BUCKET]),
        ("bucket_name", "audit\n", ['is "audit\\n"', BUCKET]),
        ("output_bucket", 5, ["is the number 5", BUCKET]),
        ("output_bucket", None, ["is null", BUCKET]),
        ("bucket_name", "audit-logs/", ['is "audit-logs/"', 'Did you mean "audit-logs"?']),
        ("bucket_name", "s3://abc", ['is "s3://abc"', 'Did you mean "abc"?']),
        ("bucket_name", " S3://Audit// ", ['is " S3://Audit// "', 'Did you mean "audit"?']),
        ("log_type", "s3", ['is "s3"', TYPES, 'Did you mean "S3"?']),
        ("log_type", "Konsole", ['is "Konsole"', TYPES, 'Did you mean "Console"?']),
        ("log_type", "\ud800", ['is "\\ud800"', TYPES]),
        ("log_type", ["S3", "\ud800"], ['holds "\\ud800"', TYPES]),
        ("log_type", "everything", ['is "everything"', f"({TYPES})."]),
        ("log_type", [], ["is an empty list", TYPES]),
        ("log_type", {"S3": True}, ["is an object", TYPES]),
        ("log_type", ["S3", "iam"], ['holds "iam"', TYPES, 'Did you mean "IAM"?']),
        ("log_type", ["S3", "S3"], ['holds "S3" more than once', "Write each type once."]),
        ("log_type", ["S3", ["IAM"]], ["holds a list", TYPES]),
        ("mode", "ALL", ['is "ALL"', MODE, 'Did you mean "all"?']),
        ("mode", "last hour", ['is "last hour"', MODE, 'Did you mean "lasthour"?']),
        ("mode", "sometimes", ['is "sometimes"', f"({MODE})."]),
        ("mode", 20240105, ["is the number 20240105", MODE]),
        ("mode", "31/02/2024", ['is "31/02/2024"', MODE, "There is no such day.", DATE]),
        ("mode", "12/31/2024", ["There is no such day.", DATE]),
        ("mode", "31/12/1969", ["01/01/1970 is the first day.", DATE]),
        ("mode", "2024-01-05", ['is "2024-01-05"', MODE, DATE]),
        ("mode", "01/05/24", [MODE, DATE]),
        ("mode", "1/5/2024", [MODE, DATE]),
        ("mode", "05/01/2024 ", [MODE, DATE]),
        ("mode", "\u0660\u0665/\u0660\u0661/\u0662\u0660\u0662\u0664", [MODE, DATE]),
        ("mode", "05/01/\u0662\u0660\u0662\u0664", [MODE, DATE]),
        ("log_group", "a b", ['is "a b"', "allowed: 1 to 512 of"]),
        ("log_group", "g" * 513, ["a text of 513 characters", "allowed: 1 to 512 of"]),
        ("log_group", "", ['is ""']),
        ("log_group", "arn:aws:logs:us-east-1:1:log-group:/a:*", ['Did you mean "/a"?']),
        ("log_stream", "a:b", ['is "a:b"', "allowed: 1 to 512 characters without : and *"]),
        ("log_stream", "a*b", ['is "a*b"']),
        ("log_stream", "", ['is ""']),
        ("log_stream", "s" * 513, ["a text of 513 characters"]),
        ("log_stream", "\ud800", ['is "\\ud800"']),
        ("batch_size", 0, ["is the number 0", "allowed: a whole number from 1 to 10000"]),
        ("batch_size", 10_001, ["is the number 10001"]),
        ("batch_size", 1.0, ["is the number 1.0"]),
        ("batch_size", "100", ['is "100"', "without quotation marks"]),
        ("batch_size", True, ["is the boolean true"]),
        ("concurrency", 0, ["is the number 0", "allowed: a whole number from 1 to 64"]),
        ("concurrency", 65, ["is the number 65"]),
        ("settle_seconds", -0.1, ["is the number -0.1", "allowed: a number from 0 to 3600"]),
        ("settle_seconds", 3600.1, ["is the number 3600.1"]),
        ("settle_seconds", float("nan"), ["is the number NaN"]),
        ("settle_seconds", False, ["is the boolean false"]),
        ("settle_seconds", [30], ["is a list"]),
        ("prefix", 5, ["is the number 5", "allowed: 0 to 1024 bytes of UTF-8"]),
        ("prefix", "ä" * 513, ["a text of 513 characters"]),
        ("prefix", "\udc00", ['is "\\udc00"']),
        ("prefix", "s3://audit/logs/", ["Leave out s3:// and the bucket"]),
        ("until", "2024-02-05", ['is "2024-02-05"', UNTIL, DATE]),
        ("until", "all", ['is "all"', UNTIL]),
        ("until", "31/02/2024", [UNTIL, "There is no such day.", DATE]),
        ("until", None, ["is null", UNTIL]),
        ("every_minutes", 7, ["is the number 7", "allowed: 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30"]),
        ("every_minutes", 0, ["is the number 0"]),
        ("every_minutes", 120, ["is the number 120"]),
        ("every_minutes", 5.0, ["is the number 5.0"]),
        ("every_minutes", True, ["is the boolean true"]),
        ("every_minutes", "5", ['is "5"', "without quotation marks"]),
        ("metrics", 1, ["is the number 1", "allowed: true, false, or 1 to 255 of"]),
        ("metrics", "", ['is ""']),
        ("metrics", "AWS/Lyve", ['is "AWS/Lyve"']),
        ("metrics", "true", ['is "true"', "Write true, without quotation marks."]),
        ("metrics", "False", ['is "False"', "Write false, without quotation marks."]),
        ("metrics", ":Lyve", ['is ":Lyve"']),
        ("metrics", "n" * 256, ["a text of 256 characters"]),
        ("metrics", " Lyve", ['is " Lyve"', 'Did you mean "Lyve"?']),
        ("exclude", {"field": "a", "values": ["b"]}, ["Expected `array`, got `object`", EXCLUDE]),
        ("exclude", [{"field": "a", "values": ["\ud800"]}], ["it has half a character in it"]),
        ("exclude", ["a"], ["Expected `object`, got `str` - at `$[0]`"]),
        ("exclude", [{"field": "a"}], ["missing required field `values` - at `$[0]`"]),
        ("exclude", [{"values": ["b"]}], ["missing required field `field` - at `$[0]`"]),
        ("exclude", [{"field": "a..b", "values": ["c"]}], ["at `$[0].field`"]),
        ("exclude", [{"field": "", "values": ["c"]}], ["at `$[0].field`"]),
        ("exclude", [{"field": 1, "values": ["c"]}], ["got `int` - at `$[0].field`"]),
        ("exclude", [{"field": "a", "values": []}], ["at `$[0].values`"]),
        ("exclude", [{"field": "a", "values": "b"}], ["got `str` - at `$[0].values`"]),
        ("exclude", [{"field": "a", "values": [200]}], ["got `int` - at `$[0].values[0]`"]),
        (
            "exclude",
            [{"field": "a", "values": ["b"], "value": ["b"]}],
            ["contains unknown field `value` - at `$[0]`"],
        ),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_allowed(
    key: str, value: object, parts: list[str]
) -> None:
    text = problem(with_keys(**{key: value}))
    assert text.startswith(f"config.json: {key} ")
    assert not [part for part in parts if part not in text]


@pytest.mark.parametrize("mode", ["all", "lasthour", "04/02/2024"])
def test_until_is_the_beginning_of_its_day(mode: str) -> None:
    (source,) = parse(with_keys(mode=mode, until="05/02/2024"))
    assert source.until_ms == datetime(2024, 2, 5, tzinfo=UTC).timestamp() * 1000


@pytest.mark.parametrize("until", ["04/02/2024", "03/02/2024"])
def test_until_is_after_the_day_of_the_mode(until: str) -> None:
    text = problem(with_keys(mode="04/02/2024", until=until))
    assert text == (
        f'config.json: until is "{until}", which is not after the mode "04/02/2024" ({UNTIL}). '
        "Write the first day from which you no longer want the logs."
    )


@pytest.mark.parametrize("log_type", ["Access", ["S3", "Access"]])
def test_access_logs_need_a_prefix(log_type: object) -> None:
    text = problem(with_keys(log_type=log_type))
    assert text.startswith("config.json: prefix is missing, but log_type names Access (allowed: ")
    *_, source = parse(with_keys(log_type=log_type, prefix="logs/"))
    assert (source.log_type, source.prefix) == ("Access", "logs/")


@pytest.mark.parametrize(
    ("metrics", "namespace"),
    [(True, "LyveCloudLogs"), (False, None), ("Acme/Audit logs", "Acme/Audit logs")],
)
def test_metrics_have_a_namespace(metrics: object, namespace: str | None) -> None:
    assert parse(with_keys(metrics=metrics))[0].metrics_namespace == namespace


def test_what_is_excluded_has_a_field_and_values() -> None:
    entry = {"field": "auditEntry.api.name", "values": ["HeadObject", ""]}
    (source,) = parse(with_keys(exclude=[entry]))
    assert source.exclude == (Exclusion("auditEntry.api.name", ("HeadObject", "")),)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"", "config.json is empty. Write the required keys into it."),
        (b" \n", "config.json is empty. Write the required keys into it."),
        (b'{"mode":\n "all",,}', "config.json is not JSON (line 2, column 8: "),
        (b"{'mode': 1}", "config.json is not JSON (line 1, column 2: "),
        (b'{"mode":\n "\xff"}', "config.json is not UTF-8 text (line 2). Save it as UTF-8."),
        (json.dumps(DOCUMENT).encode("utf-16"), "config.json is not UTF-8 text (line 1)."),
        (
            b'{\n// the bucket\n"mode": "all"}',
            "config.json is not JSON (line 2, column 1: Expecting property name enclosed in double "
            "quotes). Look there, and just before, for a comma, a quotation mark or a bracket too "
            "many or too few, or for a comment, which JSON has not.",
        ),
        (b"[1]", "config.json is a list, not an object."),
        (b"null", "config.json is null, not an object."),
        (b"[" * 100_000, "config.json can't be read (it has brackets nested too deep)."),
        (b"9" * 5000, "config.json can't be read (it has a number too long)."),
        (
            b'{"mode": "all", ' + json.dumps(DOCUMENT).encode()[1:],
            'config.json: the key "mode" is there 2 times. Keep one of them.',
        ),
    ],
)
def test_a_wrong_document_is_one_problem(document: bytes, expected: str) -> None:
    assert problem(document).startswith(expected)


TYPES_IN_ONE = [
    ("S3,IAM", '["S3", "IAM"]'),
    ("S3/IAM/Console", '["S3", "IAM", "Console"]'),
    ("iam and s3", '["IAM", "S3"]'),
    (["S3, IAM", "Console"], '["S3", "IAM", "Console"]'),
]


@pytest.mark.parametrize(("written", "meant"), TYPES_IN_ONE)
def test_several_types_in_one_text_are_a_list_and_the_advice_is_right(
    written: object, meant: str
) -> None:
    """To leave a type out would drop its events."""
    text = problem(with_keys(log_type=written))
    assert text.endswith(f"Did you mean {meant}? Then write that.")
    sources = parse(with_keys(log_type=json.loads(meant)))
    assert [source.log_type for source in sources] == json.loads(meant)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("log_type", value) for value in ("S3IAM", "S3, Konsole", "S3 logs")],
        *[("mode", value) for value in ("all,lasthour", "alllasthour", "lasthour or all")],
        ("bucket_name", "audit,other"),
    ],
)
def test_no_hint_names_less_than_what_was_written(key: str, value: str) -> None:
    assert "Did you mean" not in problem(with_keys(**{key: value}))


def test_a_key_that_names_two_is_no_slip_of_one() -> None:
    assert "Did you mean" not in problem(with_keys(**{"mode, log_type": "all"}))


def test_a_day_that_is_still_to_come_is_an_error_that_names_today() -> None:
    document = json.dumps(with_keys(mode="28/11/2026")).encode()
    with pytest.raises(ConfigurationError) as caught:
        parse_sources(document, ENVIRONMENT, read_file, today=date(2026, 11, 27))
    (told,) = caught.value.problems
    assert str(told) == (
        'config.json: mode is "28/11/2026", which is still to come (today is 27/11/2026 in UTC; '
        f"{MODE}). Write the day from which you want the logs, or lasthour to begin now."
    )
    for mode in ("27/11/2026", "lasthour"):
        advised = json.dumps(with_keys(mode=mode)).encode()
        assert parse_sources(advised, ENVIRONMENT, read_file, today=date(2026, 11, 27))


def test_a_day_to_come_that_sources_inherit_is_told_once() -> None:
    first = {"name": "a", "bucket_name": "audit-a"}
    second = {"name": "b", "bucket_name": "audit-b", "mode": "02/01/2100"}
    third = {"name": "c", "bucket_name": "audit-c"}
    document = json.dumps(named(first, second, third, mode="01/01/2099")).encode()
    with pytest.raises(ConfigurationError) as caught:
        parse_sources(document, ENVIRONMENT, read_file, today=date(2026, 11, 27))
    assert [str(told).partition(",")[0] for told in caught.value.problems] == [
        'config.json: mode is "01/01/2099"',
        'config.json: source "b": mode is "02/01/2100"',
    ]


def test_the_messages_name_the_file_that_was_read() -> None:
    broken = [b"", b"{", b"[]", b'{"a": 1, "a": 2, "sources": [{"name": "x"}, 1]}', b"\xff"]
    broken.append(json.dumps(named({"name": "a"}, {"name": "a"}, mode="01/01/2099")).encode())
    for document in broken:
        with pytest.raises(ConfigurationError) as caught:
            parse_sources(document, ENVIRONMENT, read_file, file="other.json", today=date.min)
        assert {str(told).split(" ")[0].rstrip(":") for told in caught.value.problems} == {
            "other.json"
        }


@pytest.mark.parametrize("mark", ['"', "'"])
@pytest.mark.parametrize("name", [*ENVIRONMENT, "LYVE_ENDPOINT"])
def test_quotation_marks_that_an_env_file_kept_are_to_be_left_out(name: str, mark: str) -> None:
    bare = {**ENVIRONMENT, "LYVE_ENDPOINT": "https://s3.example.com"}
    text = problem(DOCUMENT, bare | {name: f"{mark}{bare[name]}{mark}"})
    assert text == (
        f"environment: {name} has quotation marks around it. "
        "Leave them out: an env file takes them as part of the value."
    )
    assert parse(DOCUMENT, bare)


def test_quotation_marks_around_a_path_are_to_be_left_out() -> None:
    text = problem(DOCUMENT, environment("LYVE_ACCESS", LYVE_ACCESS_FILE='"/run/key"'))
    assert text.startswith("environment: LYVE_ACCESS_FILE has quotation marks around it.")


def test_a_temporary_key_is_used_with_its_session_token() -> None:
    temporary = environment(AWS_ACCESS="ASIATESTSTESTSTESTS")
    text = problem(DOCUMENT, temporary)
    assert text == (
        "environment: AWS_SESSION_TOKEN is missing, but AWS_ACCESS holds a temporary key, which "
        "begins with ASIA. Set AWS_SESSION_TOKEN too, or use a lasting key: a temporary one ends "
        "within hours."
    )
    (source,) = parse(DOCUMENT, temporary | {"AWS_SESSION_TOKEN": "token/of+the=tests"})
    assert source.aws.session_token == "token/of+the=tests"
    assert "token/of" not in repr(source)


def test_a_lasting_key_has_no_session_token() -> None:
    """One that another program left in the environment belongs to other keys."""
    (source,) = parse(DOCUMENT, environment(AWS_SESSION_TOKEN="token/of+the=tests"))
    assert source.aws.session_token is None


def test_a_source_has_a_session_token_of_its_own() -> None:
    own = {"ACME_AWS_ACCESS": "ASIATESTSTESTSTESTS", "ACME_AWS_SECRET": "secret/of+acme"}
    document = named({"name": "acme", "bucket_name": "audit"})
    shared = environment(AWS_SESSION_TOKEN="token/of+all")
    assert problem(document, shared | own).startswith(
        'environment: source "acme": ACME_AWS_SESSION_TOKEN is missing, but ACME_AWS_ACCESS'
    )
    (source,) = parse(document, shared | own | {"ACME_AWS_SESSION_TOKEN": "token/of+acme"})
    assert source.aws.session_token == "token/of+acme"


def test_a_byte_order_mark_is_accepted() -> None:
    assert parse(b"\xef\xbb\xbf" + json.dumps(DOCUMENT).encode()) == parse(DOCUMENT)


def test_a_key_that_stands_twice_is_reported_with_its_source() -> None:
    document = json.dumps(named({"name": "acme", "bucket_name": "audit"})).encode()
    twice = document.replace(b'"name"', b'"bucket_name": "audit", "name"')
    assert problem(twice).startswith('config.json: source "acme": the key "bucket_name" is there 2')


@pytest.mark.parametrize("key", DOCUMENT)
def test_a_missing_key(key: str) -> None:
    text = problem(without(key))
    assert text.startswith(f"config.json: {key} is missing ({ALLOWED[key]})")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("log_typ", 'Did you mean "log_type"?'),
        ("Bucket-Name", 'Did you mean "bucket_name"?'),
        ("name", 'Only an object in "sources" has a name.'),
        ("LYVE_SECRET", "It is a variable of the environment: set it there."),
        ("zzz", "sources)."),
    ],
)
def test_an_unknown_key(key: str, hint: str) -> None:
    text = problem(with_keys(**{key: "the value"}))
    assert text.startswith(f'config.json: "{key}" is not a known key (allowed: bucket_name, ')
    assert hint in text
    assert "the value" not in text


def test_the_input_bucket_is_not_the_output_bucket() -> None:
    text = problem(with_keys(output_bucket="audit"))
    assert text.startswith('config.json: bucket_name and output_bucket are both "audit".')


def test_all_problems_are_told_at_once() -> None:
    found = problems({**without("mode"), "bucket_name": 1, "log_typ": 2}, {"AWS_ACCESS": "a"})
    assert [text.partition(" is ")[0] for text in found] == [
        "config.json: bucket_name",
        'config.json: "log_typ"',
        "config.json: mode",
        "environment: LYVE_ACCESS",
        "environment: LYVE_SECRET",
        "environment: LYVE_REGION",
        "environment: AWS_SECRET",
        "environment: AWS_REGION",
    ]


def test_an_unreadable_document_does_not_hide_a_missing_variable() -> None:
    assert len(problems(b"{", environment("AWS_REGION"))) == 2


def test_variables_are_not_asked_for_where_their_names_cannot_be_told() -> None:
    assert len(problems(b'{"sources"', {})) == 1
    assert len(problems(named({**ACME, "name": "a b"}), {})) == 1


# The environment.


@pytest.mark.parametrize("name", ["LYVE_REGION", "AWS_REGION"])
def test_a_missing_or_blank_variable(name: str) -> None:
    expected = f"environment: {name} is missing. Set {name}."
    assert problem(DOCUMENT, environment(name)) == expected
    assert problem(DOCUMENT, environment(**{name: " \n"})) == expected


def test_missing_keys_of_lyve_cloud_can_be_given_in_files() -> None:
    found = problems(DOCUMENT, environment("LYVE_ACCESS", "LYVE_SECRET"))
    assert found == [
        f"environment: {name} is missing. Set {name}, or {name}_FILE to the path of a file that "
        "holds it."
        for name in ("LYVE_ACCESS", "LYVE_SECRET")
    ]


def test_white_space_around_a_value_does_not_count() -> None:
    padded = {name: f" {value}\r\n" for name, value in ENVIRONMENT.items()}
    assert parse(DOCUMENT, padded) == parse(DOCUMENT)


def test_without_both_aws_keys_boto3_looks_for_its_own() -> None:
    (source,) = parse(DOCUMENT, environment("AWS_ACCESS", "AWS_SECRET", AWS_ACCESS_KEY_ID="other"))
    assert source.aws == AwsAccess(None, None, "eu-central-1")


@pytest.mark.parametrize(
    ("missing", "set_"), [("AWS_ACCESS", "AWS_SECRET"), ("AWS_SECRET", "AWS_ACCESS")]
)
def test_one_aws_key_without_the_other(missing: str, set_: str) -> None:
    assert problem(DOCUMENT, environment(missing)) == (
        f"environment: {missing} is missing, but {set_} is set. Set {missing} as well, or remove "
        f"{set_} to use boto3's own credentials, such as a role."
    )


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_can_be_read_from_a_file(name: str) -> None:
    (source,) = parse(DOCUMENT, environment(name, **{f"{name}_FILE": " /run/key\n"}))
    lyve, aws = source.lyve, source.aws
    keys = [lyve.access_key, lyve.secret_key, aws.access_key, aws.secret_key]
    assert dict(zip(SECRETS, keys, strict=True)) == environment(
        "LYVE_REGION", "AWS_REGION", **{name: "KEYOFTHEFILE"}
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/run/none", "No such file or directory"),
        ("/run/forbidden", "PermissionError"),
        ("/run/binary", "it is not a text file"),
        ("/run/empty", "it is empty"),
    ],
)
def test_a_file_that_gives_no_key(path: str, reason: str) -> None:
    text = problem(DOCUMENT, environment("AWS_SECRET", AWS_SECRET_FILE=path))
    start = f'environment: AWS_SECRET_FILE names a file that can\'t be used: "{path}" ({reason}).'
    assert text.startswith(start)


def test_a_key_in_the_place_of_a_path_is_not_shown() -> None:
    key = ENVIRONMENT["LYVE_ACCESS"] + "/" + "a" * 20
    text = problem(DOCUMENT, environment("LYVE_ACCESS", LYVE_ACCESS_FILE=key))
    assert "it looks like a key" in text
    assert key not in text


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_the_place_of_a_value_is_hidden(name: str) -> None:
    """A person who mixes up two values must not find the secret in the container's log."""
    misplaced = with_keys(log_group=f"group {ENVIRONMENT[name]}", mode="KEYOFTHEFILE")
    other = "AWS_ACCESS" if name != "AWS_ACCESS" else "LYVE_ACCESS"
    first, second = problems(misplaced, environment(other, **{f"{other}_FILE": "/run/key"}))
    assert first.startswith('config.json: mode is "***" (allowed: ')
    assert second.startswith('config.json: log_group is "group ***" (allowed: ')


def test_a_variable_and_its_file_form_are_not_both_set() -> None:
    text = problem(DOCUMENT, environment(LYVE_SECRET_FILE="/run/key"))
    assert text == "environment: LYVE_SECRET and LYVE_SECRET_FILE are both set. Keep one of them."


@pytest.mark.parametrize("value", ["<lyve cloud key>", "KEY\nKEY", "KÉY"])
def test_what_cannot_be_a_key_is_refused_and_not_shown(value: str) -> None:
    text = problem(DOCUMENT, environment(LYVE_ACCESS=value))
    assert text.startswith("environment: LYVE_ACCESS does not hold a key (")
    assert value not in text


def test_a_file_with_two_lines_is_no_key() -> None:
    text = problem(DOCUMENT, environment("LYVE_ACCESS", LYVE_ACCESS_FILE="/run/lines"))
    assert text.startswith("environment: LYVE_ACCESS does not hold a key (")


@pytest.mark.parametrize(
    "region", ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-4", "eusc-de-east-1"]
)
def test_regions_of_aws(region: str) -> None:
    assert parse(DOCUMENT, environment(AWS_REGION=region))[0].aws.region == region


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "us-east-1a"),
        ("AWS_REGION", "US-EAST-1"),
        ("AWS_REGION", "Frankfurt"),
        ("AWS_REGION", "us-east-"),
        ("LYVE_REGION", "us east"),
        ("LYVE_REGION", "us_east_1"),
        ("LYVE_REGION", "-us"),
        ("LYVE_REGION", "s3.us-east-1.lyvecloud.seagate.com"),
    ],
)
def test_what_cannot_be_a_region(name: str, value: str) -> None:
    text = problem(DOCUMENT, environment(**{name: value}))
    assert text.startswith(f'environment: {name} is "{value}" (allowed: ')


@pytest.mark.parametrize("name", ["LYVE_REGION", "AWS_REGION"])
def test_a_region_with_underscores_is_one_with_hyphens(name: str) -> None:
    text = problem(DOCUMENT, environment(**{name: "US_East_1"}))
    assert text.endswith('Did you mean "us-east-1"? Then write that.')


@pytest.mark.parametrize("written", ["s3.us-east-1.lyvecloud.seagate.com", "127.0.0.1:9000"])
def test_an_endpoint_without_its_scheme_is_shown_with_it(written: str) -> None:
    text = problem(DOCUMENT, environment(LYVE_ENDPOINT=written))
    assert text.endswith(f'Did you mean "https://{written}"? Then write that.')


@pytest.mark.parametrize("name", ["LYVE_REGION", "AWS_REGION"])
def test_a_key_in_the_place_of_a_region_is_not_shown(name: str) -> None:
    text = problem(DOCUMENT, environment(**{name: "A1b2/C3d4+E5f6G7"}))
    assert text.startswith(f"environment: {name} looks like a key, so it is not shown (allowed: ")


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://s3.site.account.lyve.seagate.com", "https://s3.site.account.lyve.seagate.com"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        ("HTTPS://Minio_1:443", "https://minio_1"),
        ("http://MINIO:0080/", "http://minio"),
        ("http://minio:", "http://minio"),
        ("http://minio:443", "http://minio:443"),
    ],
)
def test_another_endpoint_in_its_one_form(written: str, url: str) -> None:
    (source,) = parse(DOCUMENT, environment(LYVE_ENDPOINT=written))
    assert source.lyve.endpoint_url == url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3.example.com", "it does not begin with https:// or http://"),
        ("ftp://s3.example.com", "it does not begin with https:// or http://"),
        ("localhost:9000", "it does not begin with https:// or http://"),
        ("https://", "it names no host"),
        ("https:///bucket", "it names no host"),
        ("https://s3.<region>.example.com", "the name of its host has characters that no host"),
        ("https://s3.example.com:port", "its host or its port is malformed"),
        ("https://s3.example.com:65536", "its host or its port is malformed"),
        ("https://s3.example.com:0", "its port is 0"),
        ("https://[::1", "its host or its port is malformed"),
        ("https://s3.example.com/a b", "it has white space, ? or # in it"),
        (
            "https://s3.example.com/audit",
            "it has a path; allowed: https:// or http://, a host, and",
        ),
        ("https://s3.example.com//", "it has a path"),
        ("https://audit.s3.example.com", 'its host begins with the name of the bucket "audit";'),
        (
            "https://STATE.s3.example.com:443/",
            'its host begins with the name of the bucket "state"',
        ),
        ("https://audit", 'its host begins with the name of the bucket "audit"'),
    ],
)
def test_what_cannot_be_an_endpoint(url: str, reason: str) -> None:
    text = problem(DOCUMENT, environment(LYVE_ENDPOINT=url))
    assert text.startswith(
        f'environment: LYVE_ENDPOINT is "{url}", which is not an endpoint ({reason}'
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host",
        "https://hunter2/@host",
        "https://host/?X-Signature=hunter2",
        "hunter2hunter2hunter2",
    ],
)
def test_an_endpoint_with_a_secret_in_it_is_not_shown(url: str) -> None:
    text = problem(DOCUMENT, environment(LYVE_ENDPOINT=url))
    assert text.startswith("environment: LYVE_ENDPOINT is not an endpoint (")
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("missing", "written", "meant"),
    [
        ("LYVE_ACCESS", "LYVE_ACESS", "LYVE_ACCESS"),
        ("LYVE_ACCESS", "LYVE_ACCESS_KEY", "LYVE_ACCESS"),
        ("LYVE_ACCESS", "LYVE_ACCESS_KEY_ID", "LYVE_ACCESS"),
        ("LYVE_ACCESS", "LYVE_ACCESS_FIEL", "LYVE_ACCESS_FILE"),
        ("LYVE_ACCESS", "lyve_access", "LYVE_ACCESS"),
        ("LYVE_SECRET", "LYVE_SECRET_ACCESS_KEY", "LYVE_SECRET"),
        ("LYVE_REGION", "LYVE_REGON", "LYVE_REGION"),
        ("AWS_SECRET", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET"),
        ("AWS_ACCESS", "AWS_ACCESS_KEY_ID", "AWS_ACCESS"),
        ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_REGION"),
    ],
)
def test_a_misspelt_variable_is_named_where_one_is_missing(
    missing: str, written: str, meant: str
) -> None:
    text = problem(DOCUMENT, environment(missing, **{written: "SOMEVALUE"}))
    assert text.startswith(f"environment: {missing} is missing")
    assert text.endswith(f"{written} is set. Did you mean {meant}? Then rename it.")
    assert "SOMEVALUE" not in text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("AWS_ACESS", "AWS_ACCESS"),
        ("AWS_SECERT", "AWS_SECRET"),
        ("LYVE_ENDPONT", "LYVE_ENDPOINT"),
        ("LYVE_ENDPOINT_URL", "LYVE_ENDPOINT"),
    ],
)
def test_a_slip_in_an_optional_variable_is_a_problem_too(written: str, meant: str) -> None:
    """Unnoticed, it would silently send to another endpoint or with another account's role."""
    text = problem(DOCUMENT, environment("AWS_ACCESS", "AWS_SECRET", **{written: "SOMEVALUE"}))
    assert text == (
        f"environment: {written} is set, but it is not a known variable. "
        f"Did you mean {meant}? Then rename it."
    )


@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY", "AWS_SECRET_ID", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "LYVE_PORT"]
)
def test_variables_of_others_are_no_problem(name: str) -> None:
    assert parse(DOCUMENT, environment("AWS_ACCESS", "AWS_SECRET", **{name: "SOMEVALUE"}))


def test_a_misspelt_variable_beside_the_right_one_is_no_problem() -> None:
    assert parse(DOCUMENT, environment(LYVE_ACCESS_KEY="SOMEVALUE"))


@pytest.mark.parametrize("shard", ["1/9", "9/9", "1-of-9", "24/24"])
def test_a_log_stream_has_room_for_what_a_partition_adds(shard: str) -> None:
    (source,) = parse(with_keys(log_stream="s" * 508), environment(SHARD=shard))
    assert {len(source.of_part(part).log_stream) for part in source.parts()} == {512}
    text = problem(with_keys(log_stream="s" * 509), environment(SHARD=shard))
    assert text.startswith('config.json: log_stream is "sss')
    assert "a text of 509 characters (allowed: 1 to 508 characters, because SHARD adds" in text
    assert parse(with_keys(log_stream="s" * 509))


def test_each_log_stream_that_is_too_long_is_named() -> None:
    document = named(ACME, {**OTHER, "log_stream": "t" * 509}, log_stream="s" * 508)
    text = problem(document, environment(SHARD="1/10"))
    assert text.startswith('config.json: source "other": log_stream is "ttt')
    long, broken = problems(with_keys(log_stream="s" * 512, mode="never"), environment(SHARD="1/2"))
    assert ("mode is" in long, "adds /p23 to it" in broken) == (True, True)
    too_long = problems(with_keys(log_stream="s" * 513), environment(SHARD="1/2"))
    assert len(too_long) == 1


@pytest.mark.parametrize("shard", ["1/25", "24/100", "1000/1000"])
def test_more_replicas_than_partitions_take_several_sources(shard: str) -> None:
    text = problem(DOCUMENT, environment(SHARD=shard))
    assert text.startswith(f'environment: SHARD is "{shard}" (allowed: i/N with i from 1 to N, and')
    assert text.endswith(
        "For more replicas split the source: into several audit buckets, each a \
source."
    )


@pytest.mark.parametrize("shard", ["0/3", "4/3", "one of three", "3"])
def test_what_is_no_shard_is_a_mistake(shard: str) -> None:
    assert problem(DOCUMENT, environment(SHARD=shard)).startswith("environment: SHARD is")


# Several sources.

ACME = {"name": "acme.eu", "bucket_name": "acme"}
OTHER = {"name": "other", "bucket_name": "other", "log_type": ["S3", "Console"], "mode": "lasthour"}


def test_sources_inherit_the_keys_at_the_top() -> None:
    sources = parse(named(ACME, OTHER, batch_size=7))
    assert [(s.name, s.bucket_name, s.since_ms, s.batch_size, s.log_stream) for s in sources] == [
        ("acme.eu-S3", "acme", 0, 7, "lyve-cloud/acme/S3"),
        ("other-S3", "other", None, 7, "lyve-cloud/other/S3"),
        ("other-Console", "other", None, 7, "lyve-cloud/other/Console"),
    ]


def test_a_source_has_its_own_variables_before_the_plain_ones() -> None:
    own = {
        "ACME_EU_LYVE_ACCESS_FILE": "/run/key",
        "ACME_EU_LYVE_SECRET": "SECRETOFACME",
        "ACME_EU_LYVE_REGION": "eu-west-1",
        "ACME_EU_AWS_REGION": "us-east-2",
    }
    acme, other, _ = parse(named(ACME, OTHER), environment(**own))
    endpoint_url = "https://s3.eu-west-1.lyvecloud.seagate.com"
    assert acme.lyve == LyveAccess("KEYOFTHEFILE", "SECRETOFACME", "eu-west-1", endpoint_url)
    assert acme.aws == AwsAccess(ENVIRONMENT["AWS_ACCESS"], ENVIRONMENT["AWS_SECRET"], "us-east-2")
    (plain,) = parse(DOCUMENT)
    assert (other.lyve, other.aws) == (plain.lyve, plain.aws)


def test_plain_variables_are_not_needed_where_each_source_has_its_own() -> None:
    own = {f"ACME_EU_{name}": value for name, value in ENVIRONMENT.items()}
    own["ACME_EU_LYVE_ENDPOINT"] = "http://127.0.0.1:9000"
    (source,) = parse(named(ACME), own)
    assert source.lyve.endpoint_url == "http://127.0.0.1:9000"


@pytest.mark.parametrize("name", ["aws", "lyve", "0", ".", "_"])
def test_any_name_can_have_its_own_variables(name: str) -> None:
    source = {**ACME, "name": name}
    prefix = "_" if name == "." else name.upper()
    own = {f"{prefix}_LYVE_ACCESS": "KEYOFTHESOURCE", f"{prefix}_LYVE_SECRET": "SECRETOFIT"}
    assert parse(named(source), environment(**own))[0].lyve.access_key == "KEYOFTHESOURCE"
    assert parse(named(source))[0].lyve.access_key == ENVIRONMENT["LYVE_ACCESS"]
    missing = problem(named(source), environment("AWS_REGION", AWS_REGON="eu-central-1"))
    assert f"{prefix}_AWS_REGION is missing, and so is AWS_REGION. AWS_REGON is set." in missing


def test_a_half_of_the_plain_pair_is_named_alike_for_any_source() -> None:
    text = problem(named({**ACME, "name": "aws"}, OTHER), environment("AWS_SECRET"))
    assert text.startswith("environment: AWS_SECRET is missing, but AWS_ACCESS is set.")


def test_a_half_of_ones_own_pair_is_not_completed_with_a_plain_one() -> None:
    """The access key of one tenant and the secret key of another open nothing, at best."""
    text = problem(named(ACME), environment(ACME_EU_LYVE_ACCESS="KEYOFACME"))
    assert text == (
        'environment: source "acme.eu": ACME_EU_LYVE_SECRET is missing, but ACME_EU_LYVE_ACCESS '
        "is set. Set ACME_EU_LYVE_SECRET as well, or remove ACME_EU_LYVE_ACCESS to use the "
        "variables without ACME_EU_."
    )


def test_a_slip_in_a_sources_own_variable_is_a_problem() -> None:
    """Unnoticed, the plain credentials would be used, which are another tenant's."""
    variables = environment(ACME_EU_LYVE_ACESS="KEYOFACME", ACME_EU_LYVE_SECERT="SECRETOFACME")
    first, second = problems(named(ACME, OTHER), variables)
    assert first.endswith("Did you mean ACME_EU_LYVE_ACCESS? Then rename it.")
    assert second.startswith('environment: source "acme.eu": ACME_EU_LYVE_SECERT is set, but')


def test_a_slip_in_a_plain_variable_that_a_source_does_not_need_is_no_problem() -> None:
    assert parse(named(ACME), environment(LYVE_ACCESS_KEY="SOMEVALUE"))
    own = {"ACME_EU_LYVE_ACCESS": "KEYOFACME", "ACME_EU_LYVE_SECRET": "SECRETOFACME"}
    missing = ("LYVE_ACCESS", "LYVE_SECRET")
    assert parse(named(ACME), environment(*missing, LYVE_ACESS="SOMEVALUE", **own))


MISSPELT = {
    "ACME-EU_LYVE_ACCESS": "ACME_EU_LYVE_ACCESS",
    "acme.eu_LYVE_SECRET": "ACME_EU_LYVE_SECRET",
    "acme_eu_lyve_region": "ACME_EU_LYVE_REGION",
    "ACMEEU_LYVE_ENDPOINT": "ACME_EU_LYVE_ENDPOINT",
    "AMCE_EU_AWS_ACCESS_FILE": "ACME_EU_AWS_ACCESS_FILE",
    "ACNE_EU_AWS_SECRET": "ACME_EU_AWS_SECRET",
    "ACMME_EU_AWS_REGION": "ACME_EU_AWS_REGION",
    "ACM_EU_LYVE_SECRET_FILE": "ACME_EU_LYVE_SECRET_FILE",
    "OTHEQ_LYVE_ACCESS": "OTHER_LYVE_ACCESS",
    "Other_LYVE_ACCESS_FILE": "OTHER_LYVE_ACCESS_FILE",
    "OTER_LYVE_ACCESS": "OTHER_LYVE_ACCESS",
}


@pytest.mark.parametrize("written", MISSPELT)
def test_a_slip_in_the_prefix_of_a_source_is_a_problem(written: str) -> None:
    """Unnoticed, the plain credentials would be used, which are another tenant's."""
    value = "HUNTER2HUNTER2HUNTER2"
    text = problem(named(ACME, OTHER), environment(**{written: value}))
    assert text == (
        f"environment: {written} is set, but it is not a known variable. "
        f"Did you mean {MISSPELT[written]}? Then rename it."
    )
    assert value not in text


def test_all_slips_in_prefixes_are_told_at_once() -> None:
    texts = problems(named(ACME, OTHER), environment(**dict.fromkeys(MISSPELT, "SOMEVALUE")))
    assert sorted(text.split()[1] for text in texts) == sorted(MISSPELT)


def test_a_slip_in_the_prefix_is_named_where_the_other_half_of_a_pair_is_set() -> None:
    own = {"ACME_EU_LYVE_ACCESS": "KEYOFACME", "Acme-EU_LYVE_SECRET": "SECRETOFACME"}
    text = problem(named(ACME), environment(**own))
    assert text.startswith('environment: source "acme.eu": ACME_EU_LYVE_SECRET is missing, but')
    assert text.endswith(
        "Acme-EU_LYVE_SECRET is set. Did you mean ACME_EU_LYVE_SECRET? Then rename it."
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"RETIRED_LYVE_ACCESS": "KEY", "A_LYVE_ENDPONT": "http://127.0.0.1:9000"},
        {"TENANT_2_LYVE_ACCESS": "KEY", "TENANT2_LYVE_SECRET": "KEY"},
        {"TEAM_B_LYVE_ACCESS": "KEY", "PROD_US_AWS_REGION": "us-east-1"},
        {"TF_VAR_AWS_REGION": "us-east-1", "EAST_AWS_ACCESS": "KEY"},
        {"TENANT_1_LYVE_ENDPOINT": "http://127.0.0.1:9000", "tenant-1_LYVE_ENDPOINT": "other"},
    ],
)
def test_variables_of_others_that_resemble_no_source_are_no_problem(
    variables: dict[str, str],
) -> None:
    """One environment for several daemons, of which each ships some of the tenants."""
    names = ("tenant-1", "team-a", "prod-eu", "west")
    sources = ({"name": name, "bucket_name": name} for name in names)
    assert parse(named(*sources), environment(**variables))


def test_a_problem_with_a_plain_variable_is_told_once() -> None:
    assert len(problems(named(ACME, OTHER), environment(AWS_REGION="Frankfurt"))) == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({**SHARED, "sources": {}}, "sources is an object (allowed: "),
        (named(), "sources is an empty list (allowed: a list of objects)."),
        ({**named(ACME), "sources": [ACME, 5]}, "sources holds the number 5 (allowed: a list"),
        (named({"bucket_name": "audit"}), "source number 1: name is missing (allowed: 1 to 64"),
        (named({**ACME, "name": "a b"}), 'source number 1: name is "a b" (allowed: 1 to 64 of'),
        (named({**ACME, "name": "n" * 65}), "source number 1: name is "),
        (named(OTHER, {**ACME, "name": 5}), "source number 2: name is the number 5 (allowed: "),
        (named({**ACME, "mode": "ALL"}), 'source "acme.eu": mode is "ALL" (allowed: "all", '),
        (named({**ACME, "mod": "all"}), 'source "acme.eu": "mod" is not a known key (allowed: '),
        (named({**ACME, "sources": []}), 'source "acme.eu": "sources" is not a known key (allow'),
        (named({"name": "a"}), 'source "a": bucket_name is missing here and at the top level ('),
        (named(ACME, log_group="a b"), 'log_group is "a b" (allowed: '),
        (
            named({**ACME, "output_bucket": "acme"}),
            'source "acme.eu": bucket_name and output_bucket are both "acme". Use another bucket',
        ),
        (
            named(ACME, {**OTHER, "output_bucket": "acme"}),
            'source "other": output_bucket "acme" is the bucket_name of the source "acme.eu".',
        ),
        (
            named(ACME, {**OTHER, "name": "acme.eu"}),
            'the name "acme.eu" is that of more than one source. Give each source its own name.',
        ),
        (
            named(ACME, {**OTHER, "name": "Acme-EU"}),
            'sources "acme.eu" and "Acme-EU" have the same variables, ACME_EU_LYVE_ACCESS and so',
        ),
    ],
)
def test_a_problem_with_sources_says_where_it_is(content: object, expected: str) -> None:
    assert problem(content).startswith(f"config.json: {expected}")


def test_no_endpoint_begins_with_a_bucket_of_any_source_and_the_error_names_the_source() -> None:
    """By paths a server would take what is for the output bucket into that one."""
    own = {"OTHER_LYVE_ENDPOINT": "https://acme.s3.example.com"}
    text = problem(named(ACME, OTHER), environment(**own))
    assert text.startswith('environment: source "other": OTHER_LYVE_ENDPOINT is "https://acme.s3.')
    assert text.endswith("Write it like https://s3.example.com.")
    assert parse(DOCUMENT, environment(LYVE_ENDPOINT="https://audits.example.com"))


@pytest.mark.parametrize(
    "written",
    [
        "https://s3.us-west-1.lyvecloud.seagate.com/",
        "https://S3.us-west-1.LyveCloud.seagate.com",
        "HTTPS://s3.us-west-1.lyvecloud.seagate.com:443",
    ],
)
def test_the_same_endpoint_written_otherwise_is_the_same(written: str) -> None:
    sources = named(ACME, {**OTHER, "output_bucket": "acme"})
    text = problem(sources, environment(OTHER_LYVE_ENDPOINT=written))
    assert 'output_bucket "acme" is the bucket_name of the source "acme.eu"' in text


def test_a_bucket_of_the_same_name_behind_another_endpoint_is_another_bucket() -> None:
    sources = named(ACME, {**OTHER, "output_bucket": "acme"})
    assert parse(sources, environment(OTHER_LYVE_ENDPOINT="http://127.0.0.1:9000"))


def warnings(document: Mapping[str, object], **own: str) -> list[str]:
    sources = parse(document, environment(**own))
    return [*stored_twice(sources, date(2024, 3, 2))]


def test_a_source_listed_twice_would_store_each_event_twice() -> None:
    (text,) = warnings(named(ACME, {**ACME, "name": "again"}))
    assert text == (
        'The sources "acme.eu-S3" and "again-S3" store each event twice, in the log stream '
        "lyve-cloud/acme/S3. Remove one of them, or give it another log_stream."
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"mode": "lasthour"}, {"mode": "lasthour"}),
        ({"until": "01/03/2024"}, {"mode": "29/02/2024"}),
        ({"prefix": "a/"}, {}),
        ({"prefix": "a/"}, {"prefix": "a/b/"}),
        ({"log_type": ["S3", "IAM"]}, {"log_type": ["IAM", "Console"]}),
    ],
)
def test_sources_that_overlap_are_told(one: dict[str, object], other: dict[str, object]) -> None:
    assert warnings(named({**ACME, **one}, {**ACME, **other, "name": "again"}))


@pytest.mark.parametrize(
    ("one", "other", "own"),
    [
        ({}, {"bucket_name": "elsewhere"}, {}),
        ({}, {"log_type": "IAM", "log_stream": "lyve-cloud/acme/S3"}, {}),
        ({}, {"log_group": "elsewhere"}, {}),
        ({}, {"log_stream": "elsewhere"}, {}),
        ({}, {}, {"AGAIN_AWS_REGION": "us-east-1"}),
        ({}, {}, {"AGAIN_LYVE_ENDPOINT": "http://127.0.0.1:9000"}),
        ({}, {}, {"AGAIN_AWS_ACCESS": "AKIAANOTHER", "AGAIN_AWS_SECRET": "ofanotheraccount"}),
        ({"prefix": "a/"}, {"prefix": "b/"}, {}),
        ({"until": "01/03/2024"}, {"mode": "01/03/2024"}, {}),
        ({"until": "01/03/2024"}, {"mode": "lasthour"}, {}),
    ],
)
def test_sources_that_do_not_overlap_are_not(
    one: dict[str, object], other: dict[str, object], own: dict[str, str]
) -> None:
    sources = named({**ACME, **one}, {**ACME, **other, "name": "again"})
    assert not warnings(sources, **own)


# Whatever comes.

SECRET = "topsecret/+0123456789ABCDEF"
KEYS = st.sampled_from([*ALLOWED, "sources", "other", f"key {SECRET}"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["S3", "all", "lasthour", "05/01/2024", "audit", "state", SECRET, "\ud800"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=12,
)
SOME_KEYS = st.dictionaries(KEYS, VALUES, max_size=2)
NEARLY_RIGHT = SOME_KEYS.map(lambda keys: {**DOCUMENT, **keys})
NAMED = SOME_KEYS.map(lambda keys: {"name": "a", "bucket_name": "audit", **keys})
SEVERAL = st.lists(NAMED | VALUES, max_size=3).map(lambda sources: {**SHARED, "sources": sources})
DOCUMENTS = st.binary(max_size=30) | (VALUES | NEARLY_RIGHT | SEVERAL).map(
    lambda value: json.dumps(value).encode()
)
NAMES = st.sampled_from([*VARIABLES, "LYVE_ACESS", "AWS_SECRETT", "A_LYVE_ACCESS", "lyve_region"])
SETTINGS = st.sampled_from([*ENVIRONMENT.values(), "", SECRET, f"http://{SECRET}@x", "\udcff"])
ENVIRONMENTS = st.dictionaries(NAMES | st.text(max_size=9), SETTINGS, max_size=3).map(
    lambda variables: {**ENVIRONMENT, **variables}
)


@given(document=DOCUMENTS, variables=ENVIRONMENTS, content=st.text(max_size=9) | st.just(SECRET))
def test_any_input_is_parsed_or_refused_without_showing_a_secret(
    document: bytes, variables: dict[str, str], content: str
) -> None:
    variables = {**variables, "A_LYVE_SECRET": SECRET}
    try:
        shown = repr(parse_sources(document, variables, lambda _: content))
    except ConfigurationError as exc:
        shown = str(exc)
    assert shown
    assert SECRET not in shown
    assert all(line.isprintable() for line in shown.split("\n"))
