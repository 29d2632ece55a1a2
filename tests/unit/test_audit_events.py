"""The made-up audit events: what tests, the demo and the dashboards build on."""

import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import Any

import pytest

from tests.world.audit_events import (
    BUCKETS,
    EVENT_MAKERS,
    Period,
    audit_lines,
    gzip_lines,
    object_key,
)
from utils.access_log import access_fields, field_of

PERIOD = Period(datetime(2024, 2, 29, 22, 30, tzinfo=UTC), timedelta(hours=2))
DOCUMENTATION_NETWORKS = [
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
]
TIME_OF = {
    "S3": lambda event: event["auditEntry"]["time"],
    "IAM": lambda event: event["date"],
    "Console": lambda event: event["ConsoleEvent"]["EventTime"],
}
FORM_OF_TIME = {
    "S3": re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{0,8}[1-9])?Z"),
    "IAM": re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{3})Z"),
    "Console": re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{0,8}[1-9])? \+0000 UTC"),
}


def events(log_type: str, count: int = 3000, seed: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in audit_lines(log_type, count, PERIOD, seed)]


def times(log_type: str) -> list[datetime]:
    if log_type == "Access":
        written = [
            re.search(rb"\[(.*?)\]", line)[1].decode()  # type: ignore[index]
            for line in audit_lines(log_type, 3000, PERIOD)
        ]
        return [datetime.strptime(one, "%d/%b/%Y:%H:%M:%S %z") for one in written]
    found = []
    for event in events(log_type):
        match = FORM_OF_TIME[log_type].fullmatch(TIME_OF[log_type](event))
        assert match, event
        second = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
        found.append(second + timedelta(seconds=float(match[2] or 0)))
    return found


@pytest.mark.parametrize("log_type", [*EVENT_MAKERS, "Access"])
def test_a_seed_gives_the_same_lines_each_time_and_another_seed_gives_others(log_type: str) -> None:
    first = list(audit_lines(log_type, 50, PERIOD, seed=1))
    assert first == list(audit_lines(log_type, 50, PERIOD, seed=1))
    assert not set(first) & set(audit_lines(log_type, 50, PERIOD, seed=2))


def test_a_request_id_comes_once_over_all_objects() -> None:
    ids = Counter(
        event["auditEntry"]["requestID"] for seed in range(3) for event in events("S3", seed=seed)
    )
    assert len(ids) == 9000
    assert all(re.fullmatch("[0-9A-F]{16}", request_id) for request_id in ids)


def test_lines_are_made_one_by_one() -> None:
    endless = audit_lines("S3", 10**12, PERIOD)
    assert len(list(islice(endless, 3))) == 3


@pytest.mark.parametrize("log_type", [*TIME_OF, "Access"])
def test_the_times_fill_the_period_and_are_not_in_order(log_type: str) -> None:
    found = times(log_type)
    assert found != sorted(found)
    assert PERIOD.start <= min(found) < PERIOD.start + timedelta(minutes=2)
    assert PERIOD.start + timedelta(hours=2, minutes=-2) < max(found) < PERIOD.start + PERIOD.span


def test_an_account_api_event_names_no_date() -> None:
    for event in events("AccountAPI", 100):
        assert re.fullmatch(r"\d\d:\d\d:\d\d", event["ApiEvent"]["Request"]["RequestTime"])
        assert "2024" not in json.dumps(event)


def test_s3_lines_have_the_size_of_real_ones_and_pack_as_well() -> None:
    lines = list(audit_lines("S3", 3000, PERIOD))
    size = sum(len(line) + 1 for line in lines)
    assert 1500 < size / len(lines) < 1550
    assert 11.5 < size / len(gzip_lines(lines)) < 13


def test_packed_lines_are_one_gzip_member_that_holds_them_all() -> None:
    lines = list(audit_lines("IAM", 20, PERIOD))
    packed = gzip_lines(iter(lines))
    assert gzip.decompress(packed) == b"".join(line + b"\n" for line in lines)
    assert packed == gzip_lines(lines)


def test_s3_events_are_about_the_logged_bucket_and_a_mix_of_all_operations() -> None:
    lines = audit_lines("S3", 5000, PERIOD, logged_bucket="vm-backups")
    apis = [json.loads(line)["auditEntry"]["api"] for line in lines]
    assert {api["bucket"] for api in apis} == {"vm-backups"}
    assert {api["statusCode"] for api in apis} == {200, 204, 403, 404, 503}
    assert {"DeleteObject", "PutBucketPolicy", "DeleteBucketPolicy"} <= {
        api["name"] for api in apis
    }
    assert all("object" in api for api in apis if api["name"] == "GetObject")


def test_sign_ins_and_console_actions_fail_too() -> None:
    assert {"s", "fp", "fu", "limit_wc"} <= {event["type"] for event in events("IAM")}
    actions = [event["ConsoleEvent"] for event in events("Console")]
    results = {(action["Eventname"], action["StatusCode"]) for action in actions}
    assert {("login", 0), ("login", 16), ("delete-bucket", 7), ("update-permission", 0)} <= results
    assert all(json.loads(action["EventResponse"])["Action"] for action in actions)


@pytest.mark.parametrize("log_type", [*EVENT_MAKERS, "Access"])
def test_no_address_and_no_name_can_be_anyone_s(log_type: str) -> None:
    text = b"\n".join(audit_lines(log_type, 500, PERIOD)).decode()
    addresses = set(re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text))
    assert addresses
    for address in addresses:
        assert any(ip_address(address) in network for network in DOCUMENTATION_NETWORKS), address
    assert set(re.findall(r"@([\w.-]+)", text)) <= {"example.com"}


@pytest.mark.parametrize(
    ("log_type", "key"),
    [
        ("S3", f"February-2024/S3-{BUCKETS[0]}-2024-02-29-22-30-00.gz"),
        ("IAM", "February-2024/IAM-2024-02-29-22-30-00.gz"),
        ("Console", "February-2024/console-2024-02-29-22-30-00.gz"),
        ("Access", "access/vm-backups/2024-02-29-22-30-00"),
    ],
)
def test_keys_have_lyve_cloud_s_form(log_type: str, key: str) -> None:
    assert object_key(log_type, PERIOD.start) == key


def test_a_key_names_the_logged_bucket() -> None:
    key = object_key("S3", PERIOD.start, "console-exports")
    assert key == "February-2024/S3-console-exports-2024-02-29-22-30-00.gz"


def test_access_lines_are_of_the_guide_s_form_and_of_everything_that_is_looked_for() -> None:
    lines = list(audit_lines("Access", 3000, PERIOD))
    assert 280 < sum(map(len, lines)) / len(lines) < 320
    assert all(access_fields(line) for line in lines)
    for name in ("SignatureVersion", "CipherSuite", "Auth", "TlsVer", "Requester", "ErrorCode"):
        assert "-" in {field_of(line, name) for line in lines}
    assert {"SigV2", "SigV4"} < {field_of(line, "SignatureVersion") for line in lines}
    assert any('"' in str(field_of(line, "UserAgent")) for line in lines)
