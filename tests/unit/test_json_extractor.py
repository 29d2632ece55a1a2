"""An event's time is found in every form that Lyve Cloud writes, and no line stops the source.

The forms: https://help.lyvecloud.seagate.com/en/managing-audit-logs.html.
"""

import json
import time
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.json_extractor import NotJsonError, event_time_ms, timestamp_ms

TIME = "2022-03-22T07:15:33.357192009Z"
TIME_MS = 1_647_933_333_357
OTHER = "2021-01-25T09:19:11.622206Z"
OTHER_MS = 1_611_566_351_622
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.just(1.5) | st.just(TIME) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["auditEntry", "ConsoleEvent", "date", "time", "content", "LoginTime", "other"]
MEMBERS = ["time", "EventTime", "date", "other"]


def line(document: object) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"auditEntry": {"time": TIME, "version": "1"}, "serviceAccountName": "x"}, TIME_MS),
        ({"LoginTime": OTHER, "ConsoleEvent": {"EventTime": TIME, "Status": ""}}, TIME_MS),
        ({"LoginTime": OTHER, "ConsoleEvent": {"Eventname": "add"}}, OTHER_MS),
        ({"LoginTime": OTHER, "ConsoleEvent": {"EventTime": ""}}, OTHER_MS),
        ({"LoginTime": OTHER, "ConsoleEvent": {"EventTime": "soon"}}, OTHER_MS),
        ({"date": TIME, "organization": "example"}, TIME_MS),
        ({"source": "x", "content": {"date": TIME, "ip": "192.0.2.1"}}, TIME_MS),
        ({"date": TIME, "content": {"date": OTHER}}, TIME_MS),
        ({"time": TIME, "LoginTime": OTHER}, TIME_MS),
        ({"time": OTHER, "auditEntry": {"time": TIME}}, TIME_MS),
        ({"time": TIME, "auditEntry": {"time": "soon"}}, TIME_MS),
        ({"time": TIME_MS}, TIME_MS),
        ({"time": TIME_MS / 1000}, TIME_MS),
        ({"date": TIME_MS // 1000}, TIME_MS - 357),
        ({"auditEntry": {"time": TIME_MS // 1000}}, TIME_MS - 357),
        ({"auditEntry": {"time": TIME_MS}, "date": []}, TIME_MS),
        ({"time": 20220322, "LoginTime": TIME}, TIME_MS),
        ({"time": True, "LoginTime": TIME}, TIME_MS),
        ({"time": -TIME_MS}, None),
        ({"time": 1e300}, None),
        ({"ApiEvent": {"EventName": "x", "Request": {"RequestTime": "09:22:30"}}}, None),
        ({"auditEntry": {}}, None),
        ({"auditEntry": None, "ConsoleEvent": None, "content": None, "date": None}, None),
        ({}, None),
        ([], None),
        (3, None),
        ("text", None),
        (None, None),
    ],
)
def test_the_time_stands_where_each_type_of_log_has_it(
    document: object, expected: int | None
) -> None:
    assert event_time_ms(line(document)) == expected


@pytest.mark.parametrize(
    "document",
    [
        {"auditEntry": 5, "date": TIME},
        {"auditEntry": {"time": 5}, "date": TIME},
        {"ConsoleEvent": [], "content": {"date": TIME}},
        {"ConsoleEvent": {"EventTime": TIME}, "LoginTime": 7},
        {"date": {"year": 2022}, "LoginTime": TIME},
        {"content": "text", "LoginTime": TIME},
    ],
)
def test_a_field_of_another_type_does_not_hide_the_time(document: object) -> None:
    assert event_time_ms(line(document)) == TIME_MS


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2021-01-25T09:22:30Z", 1_611_566_550_000),
        ("2021-01-25t09:22:30.5z", 1_611_566_550_500),
        ("2021-01-25T09:22:30.123456789+05:30", 1_611_546_750_123),
        ("2021-01-25 09:22:30", 1_611_566_550_000),
        ("2021-01-25 09:22:30 +0000 UTC", 1_611_566_550_000),
        ("2021-01-25 09:22:30.1 +0000 UTC", 1_611_566_550_100),
        ("2021-01-25 09:22:30.123456789 +0000 UTC m=+0.123456789", 1_611_566_550_123),
        ("2021-01-25 10:22:30.999999999 +0100 CET", 1_611_566_550_999),
        ("2021-01-25 06:22:30.1 -0300 -03", 1_611_566_550_100),
        ("Mon, 25 Jan 2021 09:22:30 GMT", 1_611_566_550_000),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("2023-02-29T12:00:00Z", None),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500),
        ("2017-01-01T05:29:60+05:30", 1_483_228_800_000),
        ("2016-12-31 23:59:60 +0000 UTC", 1_483_228_800_000),
        ("2016-12-31T24:00:00Z", 1_483_228_800_000),
        ("2016-12-31T24:00:00.000Z", 1_483_228_800_000),
        ("2016-12-31T24:00:00.1Z", None),
        ("2016-12-31T24:00:01Z", None),
        ("2016-12-31T23:59:61Z", None),
        ("9999-12-31T24:00:00Z", None),
        ("1611566550", 1_611_566_550_000),
        ("1611566550.1239", 1_611_566_550_123),
        ("1611566550123", 1_611_566_550_123),
        ("161156655", None),
        ("2021-13-25T09:22:30Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("09:22:30", None),
        ("25 Jan 09:22", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_written_time(text: str, expected_ms: int | None) -> None:
    assert timestamp_ms(text) == expected_ms


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone can't be set on this platform")
def test_a_time_without_zone_is_utc_wherever_the_machine_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert timestamp_ms("2021-01-25 09:22:30") == 1_611_566_550_000
        assert timestamp_ms("2021/01/25 09:22:30") == 1_611_566_550_000
    finally:
        monkeypatch.undo()
        time.tzset()


@given(
    day=st.dates(),
    clock=st.tuples(st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)),
    fraction=st.text("0123456789", max_size=9),
    offset=st.just("Z") | st.tuples(st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59)),
)
def test_any_rfc_3339_time_is_what_integers_make_of_it(
    day: date, clock: tuple[int, int, int], fraction: str, offset: str | tuple[str, int, int]
) -> None:
    """Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6."""
    hour, minute, second = clock
    seconds = (day.toordinal() - date(1970, 1, 1).toordinal()) * 86_400
    seconds += hour * 3600 + minute * 60 + second
    zone = "Z"
    if isinstance(offset, tuple):
        sign, hours, minutes = offset
        seconds -= (1 if sign == "+" else -1) * (hours * 3600 + minutes * 60)
        zone = f"{sign}{hours:02}:{minutes:02}"
    parts = Fraction(int(fraction or 0), 10 ** len(fraction))
    text = f"{day}T{hour:02}:{minute:02}:{second:02}{'.' * bool(fraction)}{fraction}{zone}"
    expected_ms = (seconds + parts) * 1000 // 1
    assert timestamp_ms(text) == expected_ms
    assert event_time_ms(line({"auditEntry": {"time": text}})) == expected_ms


@given(
    seconds=st.integers(10**9, 10**10 - 1),
    milliseconds=st.integers(0, 999),
    field=st.sampled_from(["time", "date", "LoginTime"]),
)
def test_epoch_time_is_a_time_as_a_number_and_as_text(
    seconds: int, milliseconds: int, field: str
) -> None:
    """From 2001 to 2286, after which ten digits are too few."""
    time_ms = seconds * 1000 + milliseconds
    written = f"{seconds}.{milliseconds:03}"
    forms: list[tuple[object, int]] = [
        (time_ms, time_ms),
        (str(time_ms), time_ms),
        (float(written), time_ms),
        (written, time_ms),
        (seconds, seconds * 1000),
        (str(seconds), seconds * 1000),
    ]
    for form, expected_ms in forms:
        assert event_time_ms(line({field: form})) == expected_ms


@given(number=st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_an_epoch_time_or_none(number: float) -> None:
    found = event_time_ms(line({"time": number}))
    assert found is None or 10**12 <= found < 10**13


@given(
    day=st.dates(max_value=date(9999, 12, 30)), hour=st.integers(0, 23), minute=st.integers(0, 59)
)
def test_second_60_and_hour_24_are_what_follows_them(day: date, hour: int, minute: int) -> None:
    last = timestamp_ms(f"{day}T{hour:02}:{minute:02}:59Z")
    midnight = timestamp_ms(f"{day}T00:00:00Z")
    assert last is not None
    assert midnight is not None
    assert timestamp_ms(f"{day}T{hour:02}:{minute:02}:60Z") == last + 1000
    assert timestamp_ms(f"{day}T24:00:00Z") == midnight + 86_400_000


@pytest.mark.parametrize("part", [", ", "1", "1 ", ":", "a", "(", "2021-01-25 ", "+00:00 "])
def test_a_time_of_a_megabyte_costs_what_its_bytes_cost(part: str) -> None:
    """In dateutil it costs seconds, and 20 kB of gzip can hold twenty such lines."""
    content = line({"date": part * (1_000_000 // len(part)), "LoginTime": TIME})
    began = time.process_time()
    for _ in range(10):
        assert event_time_ms(content) == TIME_MS
    assert time.process_time() - began < 0.5


@given(
    document=st.dictionaries(
        st.sampled_from(FIELDS),
        ANY_VALUE | st.dictionaries(st.sampled_from(MEMBERS), ANY_VALUE, max_size=3),
    )
)
def test_any_document_has_a_time_or_none(document: object) -> None:
    found = event_time_ms(line(document))
    assert found is None or isinstance(found, int)


@given(
    content=st.binary(max_size=40),
    frame=st.sampled_from(
        [
            (b"", b""),
            (b'{"date": "', b'"}'),
            (b'{"auditEntry": {"time": "', b'"}}'),
            (b'{"auditEntry": {"time": ', b"}}"),
            (b'{"date": 5, "LoginTime": "', b'"}'),
        ]
    ),
)
def test_any_bytes_are_told_to_be_json_or_not(content: bytes, frame: tuple[bytes, bytes]) -> None:
    """A line that raised anything else would stop its source at each iteration."""
    try:
        found = event_time_ms(content.join(frame))
    except NotJsonError:
        found = None
    assert found is None or isinstance(found, int)


TIME_PARTS = st.one_of(
    st.sampled_from(["2021", "01", "25", "0", "9", "12", "24", "1e5", "nan", "9" * 20, "٣", "²"]),
    st.sampled_from(["T", "t", "-", ":", ".", "+", "/", "\\", ",", "(", ")", "\u3000", "\0"]),
    st.sampled_from(["Z", "z", "UTC", "GMT", "EST", "+0000", "-03", "+25:00", "m=", "W04"]),
    st.sampled_from(["am", "PM", "Jan", "Sat", "of", "st", "h", "m", "s", ".123456789"]),
)


@given(parts=st.lists(TIME_PARTS, max_size=8), where=st.integers(0, 25))
def test_any_text_is_a_time_or_none(parts: list[str], where: int) -> None:
    for text in ("".join(parts), TIME[:where] + "".join(parts), " ".join(parts)):
        found = timestamp_ms(text)
        assert found is None or isinstance(found, int)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("2021-01-25T09:22:30+25:00", id="an offset of more than a day"),
        pytest.param("00:20219999999999999999999991299", id="a number without end"),
        pytest.param("2021-01-25T09:22:30 EST", id="the name of a zone"),
    ],
)
def test_a_time_that_is_none_is_no_error(text: str) -> None:
    assert event_time_ms(line({"date": text})) is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b'{"date": "2022-03-22T07:15:33Z"', id="cut off at its end"),
        pytest.param(b"{} {}", id="two documents"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b'{"auditEntry": {"time": "\xff"}}', id="a time that is not UTF-8"),
        pytest.param(b'{"date": 5, "LoginTime": "\xff"}', id="odd and not UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"other": ' * 100_000, id="objects nested without end"),
    ],
)
def test_what_is_not_json_is_told(content: bytes) -> None:
    with pytest.raises(NotJsonError):
        event_time_ms(content)
