"""What the service refuses or rejects, the stand-in refuses or rejects.

A fake that is laxer than CloudWatch Logs would prove nothing about a sender.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.standin.cloudwatch_client import (
    ACCESS_KEY,
    HOUR_MS,
    SECRET_KEY,
    STREAM,
    Desk,
    desk_on,
    events_at,
    logs_client,
    now_ms,
    refusal,
)
from tests.standin.cloudwatch_credentials import check_caller
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.standin.cloudwatch_rules import (
    DAY_MS,
    InputLogEvent,
    RefusalError,
    RejectedLogEventsInfo,
    check_batch,
    verdict,
)
from tests.standin.cloudwatch_settings import Settings

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import InputLogEventTypeDef

INVALID = "InvalidParameterException"
FULL = 1_048_576 - 26
MOMENT_MS = 1_709_208_000_000
"""29 February 2024, noon UTC."""


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


def at(*timestamps_ms: int) -> list[InputLogEvent]:
    return [InputLogEvent(timestamp_ms, "a line") for timestamp_ms in timestamps_ms]


def shifted(events: "Sequence[InputLogEventTypeDef]") -> "list[InputLogEventTypeDef]":
    now = now_ms()
    return [{**event, "timestamp": event["timestamp"] + now} for event in events]


@pytest.mark.parametrize(
    ("events", "sentence"),
    [
        pytest.param([], "length between 1 and 10000", id="no events"),
        pytest.param(events_at(10_001 * [0]), "length between 1 and 10000", id="10,001 events"),
        pytest.param(
            events_at([0], FULL * "x") + events_at([0], "x"),
            "Upload too large: 1048603 bytes exceeds limit of 1048576",
            id="bytes",
        ),
        pytest.param(
            events_at([0] * 2, 262_138 * "é"),
            "Upload too large: 1048604 bytes exceeds limit of 1048576",
            id="bytes in UTF-8",
        ),
        pytest.param(
            events_at([0], (FULL + 1) * "x"),
            "Log event too large: 1048577 bytes exceeds limit of 1048576",
            id="one event",
        ),
        pytest.param(events_at([0, 1, 0]), "must be in chronological order.", id="order"),
        pytest.param(
            events_at([-23 * HOUR_MS, HOUR_MS + 1]), "cannot span more than 24 hours.", id="span"
        ),
        pytest.param(events_at([0], ""), "length greater than or equal to 1", id="empty message"),
    ],
)
def test_batch_is_refused_whole(
    desk: Desk, events: "Sequence[InputLogEventTypeDef]", sentence: str
) -> None:
    name, said, status = desk.put_refusal(shifted(events))
    assert (name, status) == (INVALID, 400)
    assert sentence in said
    assert desk.stored() == []


@pytest.mark.parametrize("timestamp_ms", [-1, 2**63])
def test_timestamp_out_of_range_is_refused(desk: Desk, timestamp_ms: int) -> None:
    name, said, _ = desk.put_refusal(events_at([timestamp_ms]))
    assert name == INVALID
    assert "timestamp" in said
    assert desk.stored() == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"logGroupName": "missing"}, "ResourceNotFoundException"),
        ({"logStreamName": "missing"}, "ResourceNotFoundException"),
        ({"logStreamName": "a:b"}, INVALID),
        ({"logStreamName": "a*"}, INVALID),
        ({"logStreamName": ""}, INVALID),
        ({"logStreamName": 513 * "x"}, INVALID),
        ({"logGroupName": "a b"}, INVALID),
        ({"logGroupName": "x\n"}, INVALID),
        ({"logEvents": [{"timestamp": 1}]}, INVALID),
    ],
)
def test_wrong_names_and_missing_members_are_refused(
    desk: Desk, change: dict[str, object], name: str
) -> None:
    whole = {"logGroupName": desk.group, "logStreamName": STREAM, "logEvents": events_at([1])}
    assert refusal(desk.client.put_log_events, **{**whole, **change})[::2] == (name, 400)


def test_text_that_is_to_be_refused_refuses_the_whole_batch(desk: Desk) -> None:
    desk.standin.control(refuse_containing="poison")
    good = events_at([now_ms()])
    assert desk.put_refusal(good + events_at([now_ms()], "a poisoned line"))[0] == INVALID
    assert desk.stored() == []
    desk.put(good)
    assert len(desk.stored()) == 1


def test_batch_at_every_limit_is_accepted(desk: Desk) -> None:
    now = now_ms()
    desk.put(events_at([now - 23 * HOUR_MS, now + HOUR_MS]))
    desk.put(events_at([now], FULL * "x"))
    desk.put(events_at(10_000 * [now], 78 * "x"))
    assert len(desk.stored()) == 10_003


@pytest.mark.parametrize(
    ("timestamps_ms", "retention_days", "expected", "kept"),
    [
        pytest.param([-15 * DAY_MS, 0], None, {"tooOldLogEventEndIndex": 1}, [1], id="old"),
        pytest.param([0, 3 * HOUR_MS], None, {"tooNewLogEventStartIndex": 1}, [0], id="new"),
        pytest.param(
            [-7 * DAY_MS - HOUR_MS, -7 * DAY_MS + HOUR_MS],
            7,
            {"expiredLogEventEndIndex": 1},
            [1],
            id="expired",
        ),
        pytest.param(
            [-16 * DAY_MS, -15 * DAY_MS, 0, 1, 3 * HOUR_MS, 4 * HOUR_MS],
            7,
            {
                "tooOldLogEventEndIndex": 2,
                "expiredLogEventEndIndex": 2,
                "tooNewLogEventStartIndex": 4,
            },
            [2, 3],
            id="all three",
        ),
        pytest.param([-15 * DAY_MS] * 2, None, {"tooOldLogEventEndIndex": 2}, [], id="all old"),
        pytest.param([3 * HOUR_MS], None, {"tooNewLogEventStartIndex": 0}, [], id="all new"),
    ],
)
def test_events_are_rejected_while_the_call_succeeds(
    desk: Desk,
    timestamps_ms: Sequence[int],
    retention_days: int | None,
    expected: dict[str, int],
    kept: Sequence[int],
) -> None:
    if retention_days is not None:
        desk.client.put_retention_policy(logGroupName=desk.group, retentionInDays=retention_days)
    events = shifted(events_at(timestamps_ms))
    rejected_before = desk.standin.calls().events_rejected
    answer = desk.put(events)
    assert answer["rejectedLogEventsInfo"] == expected
    assert desk.stored() == [events[index]["timestamp"] for index in kept]
    rejected = desk.standin.calls().events_rejected - rejected_before
    assert rejected == len(events) - len(kept)


def test_accepted_batch_names_nothing_rejected(desk: Desk) -> None:
    assert "rejectedLogEventsInfo" not in desk.put(events_at([now_ms()]))


@pytest.mark.parametrize(
    ("offset_ms", "expected"),
    [(-3 * HOUR_MS, {"tooNewLogEventStartIndex": 0}), (15 * DAY_MS, {"tooOldLogEventEndIndex": 1})],
)
def test_rejection_follows_the_clock_of_the_service(
    desk: Desk, offset_ms: int, expected: dict[str, int]
) -> None:
    desk.standin.control(clock_offset_ms=offset_ms)
    assert desk.put(events_at([now_ms()]))["rejectedLogEventsInfo"] == expected


@pytest.mark.parametrize(
    ("timestamps_ms", "retention_days", "expected"),
    [
        ([-14 * DAY_MS], None, None),
        ([-14 * DAY_MS - 1], None, RejectedLogEventsInfo(too_old_log_event_end_index=1)),
        ([2 * HOUR_MS], None, None),
        ([2 * HOUR_MS + 1], None, RejectedLogEventsInfo(too_new_log_event_start_index=0)),
        ([-DAY_MS], 1, None),
        ([-DAY_MS - 1], 1, RejectedLogEventsInfo(expired_log_event_end_index=1)),
        ([-14 * DAY_MS], 30, None),
    ],
)
def test_bounds_of_time_are_exact(
    timestamps_ms: Sequence[int],
    retention_days: int | None,
    expected: RejectedLogEventsInfo | None,
) -> None:
    events = at(*(MOMENT_MS + timestamp_ms for timestamp_ms in timestamps_ms))
    assert verdict(events, MOMENT_MS, retention_days).rejected == expected


def test_span_is_exactly_24_hours_at_most() -> None:
    check_batch(at(0, DAY_MS))
    verdict(at(MOMENT_MS - DAY_MS, MOMENT_MS), MOMENT_MS, None)
    with pytest.raises(RefusalError, match="24 hours"):
        verdict(at(MOMENT_MS - DAY_MS - 1, MOMENT_MS), MOMENT_MS, None)


def test_rejected_events_do_not_count_for_the_span_but_expired_ones_do() -> None:
    old, new = MOMENT_MS - 15 * DAY_MS, MOMENT_MS + DAY_MS
    found = verdict(at(old, MOMENT_MS, new), MOMENT_MS, None)
    assert (found.start, found.end) == (1, 2)
    with pytest.raises(RefusalError, match="24 hours"):
        verdict(at(MOMENT_MS - 3 * DAY_MS, MOMENT_MS), MOMENT_MS, 1)


def test_unknown_access_key_is_refused(desk: Desk) -> None:
    desk.standin.control(credentials={"AKIANOTHER": ""})
    assert desk.put_refusal(events_at([1])) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        400,
    )
    desk.standin.control(credentials={"AKIANOTHER": "", ACCESS_KEY: ""})
    desk.put(events_at([now_ms()]))


def test_expired_session_is_refused(desk: Desk) -> None:
    desk.standin.control(expired=[ACCESS_KEY])
    assert desk.put_refusal(events_at([1])) == (
        "ExpiredTokenException",
        "The security token included in the request is expired",
        400,
    )


def test_denied_operation_is_refused_in_the_words_of_the_service(desk: Desk) -> None:
    desk.standin.control(denied=["GetLogEvents", "DescribeLogGroups"])
    desk.put(events_at([now_ms()]))
    names = {"logGroupName": desk.group, "logStreamName": STREAM}
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{desk.group}:log-stream:{STREAM}"
    assert refusal(desk.client.get_log_events, **names) == (
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/forwarder is not authorized to perform: "
        f"logs:GetLogEvents on resource: {arn} because no identity-based policy allows the "
        "logs:GetLogEvents action",
        400,
    )
    said = refusal(desk.client.describe_log_groups)[1]
    assert "on resource: arn:aws:logs:us-east-1:123456789012:log-group::log-stream: be" in said


def test_signature_is_verified_where_the_secret_is_known(desk: Desk) -> None:
    desk.standin.control(credentials={ACCESS_KEY: SECRET_KEY})
    desk.put(events_at([now_ms()], "naïve  text"))
    for other in (
        logs_client(desk.standin, "another secret"),
        logs_client(desk.standin, region="eu-west-1"),
    ):
        name, _, status = refusal(other.describe_log_groups)
        assert (name, status) == ("InvalidSignatureException", 400)


@pytest.mark.parametrize("offset_ms", [-301_000, 301_000])
def test_signature_of_another_time_is_refused(desk: Desk, offset_ms: int) -> None:
    desk.standin.control(credentials={ACCESS_KEY: SECRET_KEY}, clock_offset_ms=offset_ms)
    assert desk.put_refusal(events_at([now_ms()]))[0] == "InvalidSignatureException"


@pytest.mark.parametrize(
    "change",
    [{"x-amz-extra": "1"}, {"host": "another"}, {"x-amz-target": "Logs_20140328.GetLogEvents"}],
)
def test_signature_covers_the_host_and_all_headers_of_the_service(change: dict[str, str]) -> None:
    request = AWSRequest(
        "POST",
        "http://127.0.0.1/",
        data=b"{}",
        headers={"x-amz-target": "Logs_20140328.DescribeLogGroups"},
    )
    SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "logs", "us-east-1").add_auth(request)
    headers = {"host": "127.0.0.1"} | {name.lower(): text for name, text in request.headers.items()}
    settings = Settings(credentials={ACCESS_KEY: SECRET_KEY})
    check_caller(settings, headers, b"{}", now_ms())
    with pytest.raises(RefusalError, match="InvalidSignatureException"):
        check_caller(settings, headers | change, b"{}", now_ms())
    with pytest.raises(RefusalError, match="InvalidSignatureException"):
        check_caller(settings, headers, b"{ }", now_ms())


def test_call_without_a_whole_authorization_is_refused() -> None:
    with pytest.raises(RefusalError, match="MissingAuthenticationTokenException"):
        check_caller(Settings(), {"x-amz-date": "20240229T120000Z"}, b"", now_ms())
    headers = {"x-amz-date": "20240229T120000Z", "authorization": f"Bearer {ACCESS_KEY}"}
    with pytest.raises(RefusalError, match="IncompleteSignatureException"):
        check_caller(Settings(), headers, b"", now_ms())
