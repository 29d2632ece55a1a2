"""The stand-in answers boto3 as CloudWatch Logs does, operation by operation."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import pytest
from botocore.model import StructureShape

from tests.standin.cloudwatch_client import (
    HOUR_MS,
    STREAM,
    Desk,
    desk_on,
    events_at,
    logs_client,
    now_ms,
)
from tests.standin.cloudwatch_client import refusal as refused
from tests.standin.cloudwatch_pages import filled
from tests.standin.cloudwatch_process import CloudWatchStandin, Digest
from tests.standin.cloudwatch_service import DECODERS
from tests.standin.cloudwatch_settings import OPERATIONS
from tests.standin.cloudwatch_store import StoredEvent

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import OutputLogEventTypeDef

ALREADY_EXISTS = ("ResourceAlreadyExistsException", 400)
NOT_FOUND = ("ResourceNotFoundException", 400)
INVALID = ("InvalidParameterException", 400)


@pytest.fixture(scope="module")
def standin() -> Iterator[CloudWatchStandin]:
    with CloudWatchStandin() as running:
        yield running


@pytest.fixture(scope="module")
def client(standin: CloudWatchStandin) -> "CloudWatchLogsClient":
    return logs_client(standin)


@pytest.fixture
def desk(standin: CloudWatchStandin, client: "CloudWatchLogsClient") -> Iterator[Desk]:
    with desk_on(standin, client) as own:
        yield own


def refusal(call: object, **parameters: object) -> tuple[str, int]:
    name, _, status = refused(call, **parameters)  # type: ignore[arg-type]
    return name, status


def timestamps(events: "Sequence[OutputLogEventTypeDef]") -> list[int]:
    return [event["timestamp"] for event in events]


@pytest.mark.parametrize("name", OPERATIONS)
def test_requests_have_the_members_of_the_service_model(
    client: "CloudWatchLogsClient", name: str
) -> None:
    """A misspelt member would be refused or ignored for ever, with nobody noticing."""
    shape = client.meta.service_model.operation_model(name).input_shape
    assert isinstance(shape, StructureShape)
    fields = msgspec.structs.fields(DECODERS[name].type)
    assert {field.encode_name for field in fields} <= shape.members.keys()
    required = {field.encode_name for field in fields if field.required}
    assert required >= set(shape.required_members)


def test_every_operation_is_there() -> None:
    assert list(DECODERS) == list(OPERATIONS)


def test_group_is_made_once_and_deleted_once(desk: Desk) -> None:
    client = desk.client
    assert refusal(client.create_log_group, logGroupName=desk.group) == ALREADY_EXISTS
    client.delete_log_group(logGroupName=desk.group)
    assert refusal(client.delete_log_group, logGroupName=desk.group) == NOT_FOUND


def test_groups_are_found_by_prefix_and_so_are_longer_siblings(desk: Desk) -> None:
    desk.client.create_log_group(logGroupName=f"{desk.group}-b", logGroupClass="INFREQUENT_ACCESS")
    found = desk.client.describe_log_groups(logGroupNamePrefix=desk.group)["logGroups"]
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{desk.group}"
    assert [(group["logGroupName"], group["logGroupClass"]) for group in found] == [
        (desk.group, "STANDARD"),
        (f"{desk.group}-b", "INFREQUENT_ACCESS"),
    ]
    assert (found[0]["arn"], found[0]["logGroupArn"]) == (f"{arn}:*", arn)
    assert abs(found[0]["creationTime"] - now_ms()) < HOUR_MS
    assert "retentionInDays" not in found[0]


def test_groups_come_in_pages_and_by_class(desk: Desk) -> None:
    names = [f"/pages/{number:03}" for number in range(100)]
    for name in names:
        desk.client.create_log_group(logGroupName=name, logGroupClass="DELIVERY")
    pages = list(
        desk.client.get_paginator("describe_log_groups").paginate(logGroupClass="DELIVERY")
    )
    assert [len(page["logGroups"]) for page in pages] == [50, 50]
    assert [group["logGroupName"] for page in pages for group in page["logGroups"]] == names


def test_retention_is_set_and_taken_away(desk: Desk) -> None:
    def shown() -> object:
        found = desk.client.describe_log_groups(logGroupNamePrefix=desk.group)["logGroups"]
        return found[0].get("retentionInDays")

    desk.client.put_retention_policy(logGroupName=desk.group, retentionInDays=7)
    assert shown() == 7
    desk.client.delete_retention_policy(logGroupName=desk.group)
    assert shown() is None
    put = desk.client.put_retention_policy
    assert refusal(put, logGroupName=desk.group, retentionInDays=8) == INVALID
    assert refusal(put, logGroupName="missing", retentionInDays=7) == NOT_FOUND
    assert refusal(desk.client.delete_retention_policy, logGroupName="missing") == NOT_FOUND


def test_stream_is_made_once_and_deleted_once(desk: Desk) -> None:
    names = {"logGroupName": desk.group, "logStreamName": STREAM}
    assert refusal(desk.client.create_log_stream, **names) == ALREADY_EXISTS
    missing = {"logGroupName": "missing", "logStreamName": STREAM}
    assert refusal(desk.client.create_log_stream, **missing) == NOT_FOUND
    desk.client.delete_log_stream(logGroupName=desk.group, logStreamName=STREAM)
    assert refusal(desk.client.delete_log_stream, **names) == NOT_FOUND
    assert desk.put_refusal(events_at([now_ms()]))[0] == "ResourceNotFoundException"


def test_streams_are_found_by_prefix_in_pages(desk: Desk) -> None:
    for number in range(3):
        desk.client.create_log_stream(logGroupName=desk.group, logStreamName=f"{STREAM}-{number}")
    pages = list(
        desk.client.get_paginator("describe_log_streams").paginate(
            logGroupName=desk.group,
            logStreamNamePrefix=STREAM,
            PaginationConfig={"PageSize": 3},
        )
    )
    names = [[stream["logStreamName"] for stream in page["logStreams"]] for page in pages]
    assert names == [[STREAM, f"{STREAM}-0", f"{STREAM}-1"], [f"{STREAM}-2"]]


def test_message_comes_back_as_it_was_with_its_ingestion_time(desk: Desk) -> None:
    now = now_ms()
    message = '{"object": "naïve\\u0000 ключ 🗝", "tab": "\t"}'
    desk.put(events_at([now - 1], message))
    (event,) = next(iter(desk.pages()))
    assert (event["timestamp"], event["message"]) == (now - 1, message)
    assert now <= event["ingestionTime"] <= now_ms()
    (kept,) = desk.standin.events(desk.group, STREAM)
    assert (kept.timestamp, kept.message, kept.ingestion_time) == tuple(event.values())


def test_nothing_is_deduplicated(desk: Desk) -> None:
    events = events_at([now_ms()] * 2)
    desk.put(events)
    desk.put(events)
    assert desk.standin.digest(desk.group, STREAM) == Digest(stored=4, distinct=1)


def test_get_returns_events_by_time_then_ingestion(desk: Desk) -> None:
    now = now_ms()
    desk.put([{"timestamp": now, "message": "first"}])
    desk.put([{"timestamp": now - 5, "message": "early"}, {"timestamp": now, "message": "second"}])
    (page,) = desk.pages()
    assert [event["message"] for event in page] == ["early", "first", "second"]
    assert desk.stored() == [now, now - 5, now]


def test_get_includes_the_start_and_excludes_the_end(desk: Desk) -> None:
    now = now_ms()
    desk.put(events_at(range(now - 4, now + 1)))
    (page,) = desk.pages(startTime=now - 3, endTime=now - 1)
    assert timestamps(page) == [now - 3, now - 2]


def test_get_pages_by_10000_events_until_the_token_repeats(desk: Desk) -> None:
    now = now_ms()
    for start in (now, now - 10_000, now - 20_000):
        desk.put(events_at(range(start, start + 9_000)))
    pages = list(desk.pages())
    assert [len(page) for page in pages] == [10_000, 10_000, 7_000]
    read = timestamps(list(chain.from_iterable(pages)))
    assert read == sorted(desk.stored())


def test_get_pages_by_a_megabyte(desk: Desk) -> None:
    now = now_ms()
    for number in range(3):
        desk.put(events_at([now + number], 500_000 * "é"))
    assert [len(page) for page in desk.pages()] == [1, 1, 1]
    desk.put(events_at([now + 3], 48_524 * "x"))
    assert [len(page) for page in desk.pages()] == [1, 1, 2]


def test_get_without_start_from_head_reads_the_last_page(desk: Desk) -> None:
    now = now_ms()
    desk.put(events_at(range(now - 4, now + 1)))
    page = desk.get(limit=2)
    assert timestamps(page["events"]) == [now - 1, now]
    assert refusal(desk.get, nextToken=page["nextForwardToken"]) == INVALID


def test_get_of_nothing_has_tokens_that_lead_to_later_events(desk: Desk) -> None:
    empty = desk.get(startFromHead=True)
    token = empty["nextForwardToken"]
    repeated = desk.get(startFromHead=True, nextToken=token)
    assert (empty["events"], repeated["events"]) == ([], [])
    assert repeated["nextForwardToken"] == token
    desk.put(events_at([now_ms()]))
    page = desk.get(startFromHead=True, nextToken=token)
    assert len(page["events"]) == 1
    assert page["nextForwardToken"] != token
    assert refusal(desk.get, startFromHead=True, nextToken="f/1/2") == INVALID


def test_empty_pages_come_before_more_data_and_lose_none(desk: Desk) -> None:
    desk.standin.control(empty_pages=True, seed=3)
    now = now_ms()
    desk.put(events_at(range(now, now + 40)))
    pages = list(desk.pages(limit=2))
    assert [] in pages[:-1]
    assert len(pages) > 20
    assert timestamps(list(chain.from_iterable(pages))) == list(range(now, now + 40))


def test_stored_events_are_seen_by_the_control_view_before_they_are_readable(desk: Desk) -> None:
    desk.standin.control(visible_after_ms=HOUR_MS)
    now = now_ms()
    desk.put(events_at([now]))
    assert list(chain.from_iterable(desk.pages())) == []
    assert desk.stored() == [now]


def test_event_becomes_readable_after_its_delay() -> None:
    event = StoredEvent(1, "text", 2, 1, 10.0)
    assert filled([event], 10, 9.999) == []
    assert filled([event], 10, 10.0) == [event]


def test_calls_are_counted_by_operation_outcome_and_batch() -> None:
    with CloudWatchStandin(fail_next=["throttled"]) as standin:
        desk = Desk(standin, logs_client(standin))
        now = now_ms()
        desk.put_refusal(events_at([now] * 3, "é"))
        for length in (2, 2, 1):
            desk.put(events_at([now] * length))
        desk.put_refusal(events_at([now, now - 1]))
        calls = standin.calls()
    assert calls.operations == {"CreateLogGroup": 1, "CreateLogStream": 1, "PutLogEvents": 5}
    assert calls.outcomes["PutLogEvents"] == {
        "throttled": 1,
        "accepted": 3,
        "InvalidParameterException": 1,
    }
    assert calls.batch_lengths == {3: 1, 2: 3, 1: 1}
    assert (calls.largest_batch_events, calls.largest_batch_bytes) == (3, 3 * 28)


def test_discarded_messages_are_still_counted() -> None:
    with CloudWatchStandin(discard_messages=True) as standin:
        desk = Desk(standin, logs_client(standin))
        now = now_ms()
        desk.put(events_at(range(now, now + 1_000)))
        desk.put(events_at(range(now + 999, now + 1_500)))
        assert standin.digest(desk.group, STREAM) == Digest(stored=1_501, distinct=1_500)
        with pytest.raises(ValueError, match="discard"):
            list(standin.events(desk.group, STREAM))


def test_100000_events_are_streamed(desk: Desk) -> None:
    now = now_ms()
    for start in range(now - 100_000, now, 10_000):
        desk.put(events_at(range(start, start + 10_000), "x"))
    assert desk.stored() == list(range(now - 100_000, now))


def test_control_refuses_what_it_does_not_know(desk: Desk) -> None:
    before = desk.standin.settings()
    for wrong in (
        {"latency": 1},
        {"latency_ms": -1},
        {"probabilities": {"throttled": 0.6, "dropped_after": 0.6}},
        {"fail_next": ["exploded"]},
        {"denied": ["PutLogEvent"]},
    ):
        with pytest.raises(ValueError, match=r"latency|throttled|more than 1|exploded|PutLogEvent"):
            desk.standin.control(seed=99, **wrong)
    assert desk.standin.settings() == before


def test_observations_of_missing_streams_are_refused(standin: CloudWatchStandin) -> None:
    with pytest.raises(ValueError, match="ResourceNotFoundException"):
        list(standin.events("missing", "missing"))
    with pytest.raises(ValueError, match="ResourceNotFoundException"):
        standin.digest("missing", "missing")


def test_process_with_wrong_settings_ends_with_an_error() -> None:
    with pytest.raises(RuntimeError, match="status 1"):
        CloudWatchStandin(nonsense=True)
