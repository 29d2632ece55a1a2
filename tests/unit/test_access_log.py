"""The newer platform's access log: what is taken for a field, and for the time of a request."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from utils.access_log import FIELDS, NotAccessError, access_fields, access_time_ms, field_of

WRITTEN = {
    "BucketOwner": "79a59df900b949e5",
    "Bucket": "vm-backups",
    "Ts": "[06/Feb/2019:00:00:38 +0000]",
    "RemoteIp": "192.0.2.3",
    "Requester": "EXAMPLEBACKUP",
    "RequestId": "3E57427F33A59F07",
    "Operation": "s3.GetObject",
    "Key": "nightly/host-07/disk.img",
    "RequestUri": '"GET /vm-backups/nightly/host-07/disk.img HTTP/1.1"',
    "HttpStatus": "200",
    "ErrorCode": "-",
    "BytesSent": "2662992",
    "ObjectSize": "3462992",
    "TotalTime": "70",
    "TurnAroundTime": "10",
    "Referer": '"-"',
    "UserAgent": '"curl/7.88.1"',
    "VersionId": "-",
    "HostId": "-",
    "SignatureVersion": "SigV4",
    "CipherSuite": "SSL",
    "Auth": "AuthHeader",
    "HostHeader": "-",
    "TlsVer": "TLSv1.2",
}
TIME_MS = 1_549_411_238_000
# What a client can write to make its own line read as another one.
FORGERIES = (
    '"',
    ' "',
    '" ',
    '" "',
    '" 200 - 1 1 1 1 "',
    '" 403 AccessDenied - - 1 1 "-" "x" - - SigV4 SSL AuthHeader - TLSv1.2',
    '" - - SigV4 SSL AuthHeader - TLSv1.2 "',
    '"x" - - - - - - - "y',
)


def line_of(**changed: str) -> bytes:
    assert changed.keys() <= WRITTEN.keys()
    return " ".join((WRITTEN | changed).values()).encode()


def text(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(alphabet), min_size=1, max_size=12)


BARE = text("abcXYZ019-._/%=[]:é")
KEY = text('abcXYZ019-._/%=[]:é"').filter(lambda written: written[0] != '"')
NUMBER = st.just("-") | st.integers(0, 10**12).map(str)
ORDINARY = st.text(st.characters(codec="utf-8", exclude_characters='"\n\r'), max_size=20)
FORGED = st.lists(st.sampled_from(FORGERIES) | text('ab ="-'), max_size=4).map("".join)


def quoted(content: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return content.map(lambda inner: f'"{inner}"') | st.just("-") | BARE


def lines(content: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """Returns lines, as the list of their written fields."""
    forms = dict.fromkeys(FIELDS, BARE)
    forms |= dict.fromkeys(("RequestUri", "Referer", "UserAgent"), quoted(content))
    forms |= dict.fromkeys(("BytesSent", "ObjectSize", "TotalTime", "TurnAroundTime"), NUMBER)
    forms |= {
        "Key": quoted(content) | KEY,
        "Ts": st.just(WRITTEN["Ts"]),
        "HttpStatus": st.integers(100, 599).map(str) | st.just("-"),
        "SignatureVersion": st.sampled_from(["SigV2", "SigV4", "-"]),
        "Auth": st.sampled_from(["AuthHeader", "QueryString", "-"]),
    }
    return st.tuples(*(forms[name] for name in FIELDS)).map(list)


def test_each_field_is_found_by_its_name() -> None:
    expected = {name: written.strip('"[]') for name, written in WRITTEN.items()}
    assert {name: field_of(line_of(), name) for name in FIELDS} == expected


@given(lines(ORDINARY), st.lists(BARE | quoted(ORDINARY), max_size=3))
def test_what_is_written_is_read_and_a_later_version_may_append(
    written: list[str], appended: list[str]
) -> None:
    line = " ".join([*written, *appended]).encode()
    # A quoted field that is appended may let the line be read in two ways.
    assert access_fields(line) in {
        (*written, *[" ".join(appended)] * bool(appended)),
        *[None] * any('"' in one for one in appended),
    }


@given(lines(FORGED))
@example([*(WRITTEN | {"UserAgent": f'"x{FORGERIES[6]}y"'}).values()])
@example([*(WRITTEN | {"RequestUri": f'"GET /{FORGERIES[4]}"', "UserAgent": '"a" "b"'}).values()])
def test_no_client_can_forge_a_field(written: list[str]) -> None:
    found = access_fields(" ".join(written).encode())
    assert found is None or found == tuple(written)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("UserAgent", '"an "agent" in quotes"'),
        ("UserAgent", '"""'),
        ("UserAgent", '"an "agent" whose/last"word is quoted"'),
        ("UserAgent", '"Mozilla/5.0 "Nightly" Gecko/20100101"'),
        ("Key", 'a"key"'),
        ("Referer", '"https://example.com/?q="x""'),
        ("RequestUri", '"GET /vm-backups/a "b" c HTTP/1.1"'),
        ("Key", '"a key with spaces"'),
        ("UserAgent", '""'),
        ("UserAgent", "-"),
        ("HttpStatus", "-"),
        ("SignatureVersion", "SigV2"),
        ("Auth", "QueryString"),
        ("RemoteIp", "2001:db8::1"),
    ],
)
def test_a_field_is_read_as_it_is_written(name: str, written: str) -> None:
    line = line_of(**{name: written})
    fields = access_fields(line)
    assert fields
    assert fields[FIELDS.index(name)] == written
    assert " ".join(fields).encode() == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"no access log",
        line_of().rpartition(b" ")[0],
        line_of(HttpStatus="0200"),
        line_of(BytesSent="12k"),
        line_of(UserAgent='"never closed'),
        line_of().replace(b" SigV4", b"  SigV4"),
        line_of().replace(b"curl", b"\xff"),
        line_of(UserAgent=f'"{FORGERIES[3] * 40}"'),
        line_of(RequestUri=f'"{FORGERIES[4] * 40}"'),
    ],
)
def test_what_is_not_of_the_form_has_no_fields(line: bytes) -> None:
    assert access_fields(line) is None
    assert field_of(line, "Operation") is None


@given(
    st.integers(86_400, 7_000_000_000),
    st.integers(-14 * 60, 14 * 60),
    st.binary(max_size=30).map(lambda rest: rest.replace(b"\n", b"")),
)
def test_the_time_is_the_bracketed_one_with_its_offset(
    seconds: int, minutes_ahead: int, rest: bytes
) -> None:
    zone = timezone(timedelta(minutes=minutes_ahead))
    local = datetime.fromtimestamp(seconds, zone)
    line = f"owner bucket [{local:%d/%b/%Y:%H:%M:%S %z}] ".encode() + rest
    assert access_time_ms(line) == seconds * 1000


@pytest.mark.parametrize(
    ("written", "expected_ms"),
    [
        ("[06/Feb/2019:00:00:38 +0000]", TIME_MS),
        ("[06/Feb/2019:01:00:38 +0100]", TIME_MS),
        ("[05/Feb/2019:18:30:38 -0530]", TIME_MS),
        ("[31/Dec/2016:23:59:60 +0000]", 1_483_228_800_000),
        ("[29/Feb/2024:23:59:59 +0000]", 1_709_251_199_000),
    ],
)
def test_offsets_and_leap_seconds(written: str, expected_ms: int) -> None:
    assert access_time_ms(line_of(Ts=written)) == expected_ms


@pytest.mark.parametrize(
    "written",
    [
        "-",
        "06/Feb/2019:00:00:38 +0000",
        "[06/Feb/2019:00:00:38]",
        "[06/Feb/2019:00:00:38 UTC]",
        "[06/feb/2019:00:00:38 +0000]",
        "[06/Fev/2019:00:00:38 +0000]",
        "[6/Feb/2019:00:00:38 +0000]",
        "[30/Feb/2019:00:00:38 +0000]",
        "[29/Feb/2019:00:00:38 +0000]",
        "[06/Feb/0000:00:00:38 +0000]",
        "[06/Feb/2019:24:00:00 +0000]",
        "[06/Feb/2019:00:60:00 +0000]",
        "[06/Feb/2019:00:00:61 +0000]",
        "[06/Feb/2019:00:00:38 +2400]",
        "[06/Feb/2019:00:00:38 +0060]",
        "[06/Feb/2019:00:00:38 +0000",
        "[0x/Feb/2019:00:00:38 +0000]",
        "[٠٦/Feb/2019:00:00:38 +0000]",
    ],
)
def test_a_line_without_such_a_time_is_of_another_form(written: str) -> None:
    with pytest.raises(NotAccessError):
        access_time_ms(line_of(Ts=written))


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda junk: line_of() + junk))
def test_any_bytes_have_a_time_or_are_of_another_form(line: bytes) -> None:
    fields = access_fields(line)
    if fields:
        assert " ".join(fields).encode() == line
    try:
        assert access_time_ms(line) == TIME_MS
    except NotAccessError:
        assert not line.startswith(line_of()[:60])
