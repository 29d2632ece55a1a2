"""Made-up audit events in the shapes that Lyve Cloud writes, always the same for the same seed.

The shapes: https://help.lyvecloud.seagate.com/en/managing-audit-logs.html and
https://help.lyvecloud.seagate.com/en/console-audit-log.html, and for the newer platform's access
log its API User Guide of June 2025. Every address is of a range kept for documentation (RFC 5737),
every name is of example.com.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

Event = dict[str, object]


class Period(NamedTuple):
    """The time in which a file's events happen: they are spread over the span, not in order."""

    start: datetime
    span: timedelta


class Occasion(NamedTuple):
    """What is given of an event before it is made up."""

    time_ns: int
    id: str
    bucket: str


class Caller(NamedTuple):
    """Who sends S3 requests, and how many of a thousand are refused.

    Requests of the service itself come with neither an account nor an address.
    """

    account: str
    address: str
    agent: str
    key_id: str
    refused_per_mille: int


class Operation(NamedTuple):
    """An S3 operation: its share of the requests, its answer when all is well, what it is about."""

    name: str
    share: float
    status_code: int
    has_object: bool
    query: str = ""


class Client(NamedTuple):
    """Who sends requests to the newer platform, and how; those of an unsigned one are refused."""

    access_key: str
    address: str
    agent: str
    signature: str
    auth: str
    tls: str
    referer: str = "-"


CLIENTS = (
    Client(
        "EXAMPLEBACKUP",
        "192.0.2.34",
        "aws-sdk-go/1.44.107 (go1.19; linux; amd64)",
        "SigV4",
        "AuthHeader",
        "TLSv1.2",
    ),
    Client(
        "EXAMPLEARCHIVE",
        "192.0.2.80",
        "Boto3/1.26.5 Python/3.10.8 Linux/5.15.0",
        "SigV4",
        "AuthHeader",
        "TLSv1.3",
    ),
    Client(
        "EXAMPLEWEB",
        "198.51.100.120",
        'Mozilla/5.0 (X11; Linux x86_64) "Nightly" Gecko/20100101',
        "SigV4",
        "QueryString",
        "TLSv1.3",
        "https://www.example.com/media",
    ),
    Client("EXAMPLEOLD", "198.51.100.7", "s3cmd/1.0.1", "SigV2", "AuthHeader", "-"),
    Client("-", "203.0.113.66", "curl/7.88.1", "-", "-", "TLSv1.2"),
)
CLIENT_SHARES = (45, 25, 20, 6, 4)
CALLERS = (
    Caller(
        "backup", "192.0.2.34", "aws-sdk-go/1.44.107 (go1.19; linux; amd64)", "EXAMPLEBACKUP", 4
    ),
    Caller("archive", "192.0.2.80", "Boto3/1.26.5 Python/3.10.8 Linux/5.15.0", "EXAMPLEARCHIVE", 4),
    Caller("analytics", "198.51.100.7", "Hadoop 3.3.4, aws-sdk-java/1.12.262", "EXAMPLESPARK", 15),
    Caller("website", "198.51.100.120", "MinIO (linux; amd64) minio-go/v7.0.21", "EXAMPLEWEB", 4),
    Caller("", "203.0.113.66", "curl/7.88.1", "EXAMPLEREVOKED", 930),
    Caller("", "", "MinIO (linux; amd64) minio-go/v7.0.15", "EXAMPLESERVICE", 0),
)
CALLER_SHARES = (40, 20, 20, 17, 2, 1)
OPERATIONS = (
    Operation("GetObject", 30, 200, has_object=True),
    Operation("PutObject", 22, 200, has_object=True),
    Operation("HeadObject", 15, 200, has_object=True),
    Operation("ListObjectsV2", 12, 200, has_object=False, query="list-type"),
    Operation("PutObjectPart", 6, 200, has_object=True, query="uploadId"),
    Operation("DeleteObject", 4, 204, has_object=True, query="versionId"),
    Operation("HeadBucket", 3, 200, has_object=False),
    Operation("GetBucketLocation", 3, 200, has_object=False, query="location"),
    Operation("GetBucketLifecycle", 1, 200, has_object=False, query="lifecycle"),
    Operation("DeleteMultipleObjects", 1, 200, has_object=False, query="delete"),
    Operation("CompleteMultipartUpload", 1, 200, has_object=True, query="uploadId"),
    Operation("PutObjectRetention", 0.5, 200, has_object=True, query="retention"),
    Operation("PutBucketPolicy", 0.2, 204, has_object=False, query="policy"),
    Operation("DeleteBucketPolicy", 0.1, 204, has_object=False, query="policy"),
    Operation("PutBucketLifecycle", 0.1, 200, has_object=False, query="lifecycle"),
    Operation("PutBucketVersioning", 0.1, 200, has_object=False, query="versioning"),
    Operation("PutBucketObjectLockConfig", 0.1, 200, has_object=False, query="object-lock"),
    Operation("PutBucket", 0.1, 200, has_object=False),
    Operation("DeleteBucket", 0.1, 204, has_object=False),
)
# Requests to the newer platform: the operation, its share, whether it is about an object, and its
# answer when all is well. But for GetObject, the names are taken to be S3's: they are unconfirmed.
ACCESS_OPERATIONS = (
    ("GetObject", 30, True, 200),
    ("PutObject", 22, True, 200),
    ("HeadObject", 15, True, 200),
    ("ListObjectsV2", 12, False, 200),
    ("UploadPart", 6, True, 200),
    ("DeleteObject", 4, True, 204),
    ("HeadBucket", 3, False, 200),
    ("DeleteObjects", 1, False, 200),
    ("PutObjectRetention", 0.5, True, 200),
    ("PutBucketPolicy", 0.3, False, 204),
    ("DeleteBucketPolicy", 0.2, False, 204),
    ("PutBucketLogging", 0.3, False, 200),
    ("PutBucketVersioning", 0.2, False, 200),
    ("PutObjectLockConfiguration", 0.2, False, 200),
    ("DeleteBucket", 0.2, False, 204),
)
ACCESS_METHODS = {"Get": "GET", "Lis": "GET", "Hea": "HEAD", "Put": "PUT", "Upl": "PUT"}
ACCESS_ERRORS = {403: "AccessDenied", 404: "NoSuchKey", 503: "SlowDown"}
BUCKET_OWNER = "4f5b2c7e91d84a3e8c06"
# The requests that carry an object's content, and the answers whose length is an object's.
UPLOADS = {"PutObject", "PutObjectPart"}
OBJECT_ANSWERS = {"GetObject", "HeadObject"}
ERROR_LENGTH = 340
OPERATION_SHARES = tuple(operation.share for operation in OPERATIONS)
STATUS = {
    200: "OK",
    204: "No Content",
    403: "Forbidden",
    404: "Not Found",
    503: "Service Unavailable",
}
BUCKETS = ("vm-backups", "media-archive", "iam-reports", "web-assets", "console-exports")
USERS = ("storage-admin@example.com", "auditor@example.com", "operations@example.com")
ROLES = ("admin", "read-only", "storage-admin")
# The code, the words, the share: https://auth0.com/docs/deploy-monitor/logs/log-event-type-codes
SIGN_INS = (
    ("s", "Success Login", 50),
    ("slo", "Success Logout", 20),
    ("seacft", "Success Exchange", 12),
    ("fp", "Failed Login (Incorrect Password)", 8),
    ("fu", "Failed Login (Invalid Email/Username)", 4),
    ("scp", "Success Change Password", 3),
    ("limit_wc", "Blocked Account", 1),
)
# The status codes are gRPC's: https://grpc.io/docs/guides/status-codes/
CONSOLE_ACTIONS = (
    ("login", 0, "", 40),
    ("login", 16, "Invalid user name or password", 9),
    ("list-buckets", 0, "", 20),
    ("create-bucket", 0, "", 6),
    ("delete-bucket", 0, "", 2),
    ("delete-bucket", 7, "Permission denied", 2),
    ("create-permission", 0, "", 4),
    ("update-permission", 0, "", 4),
    ("delete-permission", 0, "", 2),
    ("create-service-account", 0, "", 4),
    ("disable-service-account", 0, "", 2),
    ("add-new-notification-recipient", 13, "Error while inserting data to table: ", 1),
    ("add-user", 0, "", 2),
    ("update-user-role", 0, "", 2),
)
API_CALLS = (
    ("authenticate-and-get-session-token", 200, 40),
    ("authenticate-and-get-session-token", 401, 6),
    ("get-current-month-storage-usage", 200, 20),
    ("list-service-accounts", 200, 20),
    ("create-a-new-service-account", 200, 6),
    ("update-a-permission", 200, 4),
    ("delete-a-permission-by-id", 200, 2),
    ("delete-a-permission-by-id", 403, 2),
)
# What a bucket of the newer platform is told to begin its objects' keys with.
ACCESS_PREFIX = "access/"
DEPLOYMENT = "5f0c9f5e-3c5b-4f0e-9d38-6a1d5a3b7c21"
REGION = "us-east-1"
# A line is up to this many places away from the order of the times.
DISORDER = 20
NS_PER_SECOND = 10**9
# zlib's largest window, with gzip's header: https://docs.python.org/3/library/zlib.html
GZIP_WINDOW = 31


def audit_lines(
    log_type: str, count: int, period: Period, seed: int = 0, logged_bucket: str = BUCKETS[0]
) -> Iterator[bytes]:
    """Yields the lines of an audit object without line ends: one JSON object each, but for Access.

    An S3 line has about 1.5 KB, one of Access 300 bytes. An account API event names a time without
    a date.

    Args:
        log_type: S3, IAM, Console, Access or AccountAPI.
        count: how many; they are made one by one, none is kept.
        period: when they happen.
        seed: another seed, other events. The events' ids come once, over all seeds below 2**24.
        logged_bucket: the bucket that the events are about.
    """
    rng = Random(seed)
    for index, time_ns in enumerate(_times_ns(rng, count, period)):
        # An odd factor keeps numbers below 2**64 apart, and makes them look as the service's do.
        event_id = f"{((seed << 40) + index + 1) * 0x9E3779B97F4A7C15 % 2**64:016X}"
        given = Occasion(time_ns, event_id, logged_bucket)
        if log_type == "Access":
            yield _access_line(rng, given).encode()
        else:
            yield json.dumps(EVENT_MAKERS[log_type](rng, given)).encode()


def gzip_lines(lines: Iterable[bytes]) -> bytes:
    """Returns the lines, each with its line end, in gzip's format, without a time in its header."""
    pack = zlib.compressobj(wbits=GZIP_WINDOW)
    parts = [pack.compress(line + b"\n") for line in lines]
    return b"".join([*parts, pack.flush()])


def object_key(log_type: str, at: datetime, logged_bucket: str = BUCKETS[0]) -> str:
    """Returns the key under which Lyve Cloud writes an audit object.

    How those of the newer platform are called is not known; here, each logged bucket has a folder.

    Args:
        log_type: S3, IAM, Console or Access.
        at: when the object is written, UTC.
        logged_bucket: for S3, the bucket that the object's events are about.
    """
    if log_type == "Access":
        return f"{ACCESS_PREFIX}{logged_bucket}/{at:%Y-%m-%d-%H-%M-%S}"
    beginning = {"S3": f"S3-{logged_bucket}", "IAM": "IAM", "Console": "console"}[log_type]
    return f"{at:%B-%Y}/{beginning}-{at:%Y-%m-%d-%H-%M-%S}.gz"


def _times_ns(rng: Random, count: int, period: Period) -> Iterator[int]:
    start_ns = int(period.start.timestamp()) * NS_PER_SECOND
    span_ns = int(period.span.total_seconds() * NS_PER_SECOND)
    for index in range(count):
        share = (index + rng.uniform(-DISORDER, DISORDER)) / count
        yield start_ns + int(share % 1 * span_ns)


def _s3_event(rng: Random, given: Occasion) -> Event:
    caller = rng.choices(CALLERS, CALLER_SHARES)[0]
    operation = rng.choices(OPERATIONS, OPERATION_SHARES)[0]
    status_code = _status_code(rng, caller, operation)
    api: dict[str, object] = {"name": operation.name, "bucket": given.bucket}
    if operation.has_object:
        api["object"] = f"nightly/host-{rng.randrange(40):02d}/disk-{rng.randrange(10**5):05d}.img"
    took_ns = int(rng.lognormvariate(16, 1))
    api["status"] = STATUS[status_code]
    api["statusCode"] = status_code
    api["timeToResponse"] = f"{took_ns}ns"
    if operation.name == "GetObject":
        api["timeToFirstByte"] = f"{took_ns * 9 // 10}ns"
    entry: dict[str, object] = {
        "api": api,
        "time": _rfc3339(given.time_ns),
        "version": "1",
        "requestID": given.id,
        "userAgent": caller.agent,
        "deploymentid": DEPLOYMENT,
    }
    if operation.query:
        entry["requestQuery"] = {operation.query: ""}
    header = _request_header(rng, caller, given.time_ns)
    if operation.name in UPLOADS:
        header["Content-Length"] = str(rng.randrange(10**6))
    entry["requestHeader"] = header
    size = rng.randrange(10**6) if operation.name in OBJECT_ANSWERS else 0
    if status_code >= 400:
        size = ERROR_LENGTH
    etag = f"{rng.getrandbits(128):032x}" if operation.has_object and status_code == 200 else ""
    entry["responseHeader"] = _response_header(given.id, etag, size)
    creator = f"{caller.account}-owner@example.com" if caller.account else ""
    return {
        "auditEntry": entry,
        "serviceAccountName": caller.account,
        "serviceAccountCreatorId": creator,
    }


def _status_code(rng: Random, caller: Caller, operation: Operation) -> int:
    if rng.randrange(1000) < caller.refused_per_mille:
        return 403
    if rng.random() < 0.003:
        return 503
    if operation.name in {"GetObject", "HeadObject"} and rng.random() < 0.05:
        return 404
    return operation.status_code


def _request_header(rng: Random, caller: Caller, time_ns: int) -> Event:
    at = _utc(time_ns)
    header: Event = {
        "User-Agent": caller.agent,
        "X-Amz-Date": f"{at:%Y%m%dT%H%M%SZ}",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={caller.key_id}/{at:%Y%m%d}/{REGION}/s3/"
        "aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
        f"Signature={rng.getrandbits(256):064x}",
        "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
    }
    return header | _forwarded(rng, caller) if caller.address else header


def _forwarded(rng: Random, caller: Caller) -> Event:
    proxy = f"198.51.100.{rng.randrange(200, 204)}"
    return {
        "X-Real-Ip": f"{proxy}:28911",
        "Accept-Encoding": "identity",
        "X-Forwarded-For": f"{caller.address}, {proxy}",
        "X-Forwarded-Host": f"s3.{REGION}.lyvecloud.seagate.com",
        "X-Forwarded-Proto": "https",
    }


def _response_header(event_id: str, etag: str, size: int) -> Event:
    return {
        "ETag": etag,
        "Content-Type": "application/octet-stream" if size else "application/xml",
        "Accept-Ranges": "bytes",
        "Content-Length": str(size),
        "X-Amz-Request-Id": event_id,
        "X-Xss-Protection": "1; mode=block",
        "X-Amz-Bucket-Region": REGION,
        "X-Amz-Object-Lock-Mode": "COMPLIANCE",
        "X-Amz-Object-Lock-Retain-Until-Date": "2035-12-31T23:59:59.000Z",
        "Content-Security-Policy": "block-all-mixed-content",
        "X-Amz-Server-Side-Encryption": "AES256",
    }


def _iam_event(rng: Random, given: Occasion) -> Event:
    code, description, _ = rng.choices(SIGN_INS, [share for *_, share in SIGN_INS])[0]
    user = rng.choice(USERS)
    failed = code in {"fp", "fu", "limit_wc"}
    return {
        "date": f"{_utc(given.time_ns).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
        "type": code,
        "description": description,
        "organization": "example",
        "source": "console",
        "client_name": "Lyve Cloud Console",
        "ip": "203.0.113.66" if failed else f"192.0.2.{rng.randrange(100, 120)}",
        "user_agent": "Firefox 115.0.0 / Linux 0.0.0",
        "hostname": "auth.example.com",
        "user_id": f"auth0|{USERS.index(user):024x}",
        "user_name": user,
        "log_id": given.id,
        "content": {"connection": "example-users", "strategy": "auth0", "is_mobile": False},
    }


def _console_event(rng: Random, given: Occasion) -> Event:
    shares = [share for *_, share in CONSOLE_ACTIONS]
    name, code, status, _ = rng.choices(CONSOLE_ACTIONS, shares)[0]
    address = "203.0.113.66" if code == 16 else f"192.0.2.{rng.randrange(100, 120)}"
    response = {"Action": name, "Bucket": given.bucket, "RequestID": given.id}
    return {
        "ConsoleVersion": "PRODUCTION",
        "DeploymentID": "example",
        "AccountID": "example-account",
        "LoginTime": _rfc3339(given.time_ns - rng.randrange(3600) * NS_PER_SECOND),
        "UserIdentity": {
            "EventSource": "https://console.example.com",
            "UserName": rng.choice(USERS),
            "Role": rng.choice(ROLES),
            "IPAddress": f"{address}:{rng.randrange(20_000, 60_000)}",
        },
        "ConsoleEvent": {
            "Eventname": name,
            "Status": status,
            "StatusCode": code,
            "EventResponse": json.dumps(response),
            "EventTime": f"{_rfc3339(given.time_ns).replace('T', ' ').removesuffix('Z')} +0000 UTC",
        },
    }


def _account_api_event(rng: Random, given: Occasion) -> Event:
    name, code, _ = rng.choices(API_CALLS, [share for *_, share in API_CALLS])[0]
    at = _utc(given.time_ns)
    return {
        "ApiEvent": {
            "EventName": name,
            "Version": "2",
            "Request": {
                "AccountName": "automation",
                "AccessKey": "EXAMPLEAUTOMATION",
                "RequestTime": f"{at:%H:%M:%S}",
                "RequestParams": {"requestId": given.id},
                "SourceIP": "203.0.113.66" if code == 401 else "192.0.2.35",
            },
            "Response": {
                "ResponseTime": f"{at:%H:%M:%S}",
                "ResponseCode": str(code),
                "ResponseError": "" if code == 200 else "not permitted",
                "ResponseBody": {},
            },
        }
    }


def _access_line(rng: Random, given: Occasion) -> str:
    client = rng.choices(CLIENTS, CLIENT_SHARES)[0]
    shares = [share for _, share, *_ in ACCESS_OPERATIONS]
    operation, _, has_object, status = rng.choices(ACCESS_OPERATIONS, shares)[0]
    key = f"nightly/host-{rng.randrange(40):02d}/disk-{rng.randrange(10**5):05d}.img"
    if client.signature == "-" or rng.random() < 0.01:
        status = 403
    elif rng.random() < 0.01:
        status = 503
    elif operation in OBJECT_ANSWERS and rng.random() < 0.05:
        status = 404
    size = str(rng.randrange(10**6)) if has_object and status == 200 else "-"
    sent = size if operation == "GetObject" else "-"
    took_ms = int(rng.lognormvariate(3, 1))
    target = f"{given.bucket}/{key}" if has_object else given.bucket
    fields = (
        BUCKET_OWNER,
        given.bucket,
        f"[{_utc(given.time_ns):%d/%b/%Y:%H:%M:%S} +0000]",
        client.address,
        client.access_key,
        given.id,
        f"s3.{operation}",
        key if has_object else "-",
        f'"{ACCESS_METHODS.get(operation[:3], "DELETE")} /{target} HTTP/1.1"',
        status,
        ACCESS_ERRORS.get(status, "-"),
        str(ERROR_LENGTH) if status >= 400 else sent,
        size,
        took_ms,
        took_ms * 9 // 10,
        f'"{client.referer}"',
        f'"{client.agent}"',
        "-",
        "-",
        client.signature,
        "-" if client.tls == "-" else "SSL",
        client.auth,
        "-",
        client.tls,
    )
    return " ".join(map(str, fields))


def _utc(time_ns: int) -> datetime:
    return datetime.fromtimestamp(time_ns // NS_PER_SECOND, UTC) + timedelta(
        microseconds=time_ns % NS_PER_SECOND // 1000
    )


def _rfc3339(time_ns: int) -> str:
    # As the service writes it: 0 to 9 digits of a second, none of them a closing zero.
    fraction = f"{time_ns % NS_PER_SECOND:09d}".rstrip("0")
    return f"{_utc(time_ns):%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}Z"


EVENT_MAKERS: dict[str, Callable[[Random, Occasion], Event]] = {
    "S3": _s3_event,
    "IAM": _iam_event,
    "Console": _console_event,
    "AccountAPI": _account_api_event,
}
