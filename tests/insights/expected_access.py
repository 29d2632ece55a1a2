"""What each widget of the dashboards for access logs is to show of some events."""

from collections.abc import Callable, Mapping, Sequence

from tests.bench.counted import Event, Row, counts, grouped, listed, of_access, percentiles

Expected = Callable[[Sequence[Event]], list[Row]]
# What protects objects, or says who may do what, or what is logged.
PROTECTING = {
    "PutObjectRetention",
    "PutBucketPolicy",
    "DeleteBucketPolicy",
    "PutBucketLogging",
    "PutBucketVersioning",
    "PutObjectLockConfiguration",
}
DELETING = {"DeleteObject", "DeleteObjects", "DeleteBucketPolicy", "DeleteBucket"}


def fields(*names: str) -> Callable[[Event], Row]:
    """Returns what takes some fields of an event, its time in the form that can be sorted."""
    return lambda one: tuple(({**one.access, "time": one.access_time})[name] for name in names)


def by(*names: str) -> Expected:
    """Returns what counts all requests by some fields."""
    return lambda events: counts(of_access(events), fields(*names))


def failed(events: Sequence[Event]) -> list[Event]:
    return [one for one in of_access(events) if one.access["status"][0] in "45"]


def denied(events: Sequence[Event]) -> list[Event]:
    return [one for one in of_access(events) if one.access["error"] == "AccessDenied"]


def changes(events: Sequence[Event], operations: set[str]) -> list[Row]:
    shown = ("time", "operation", "status", "bucket", "key", "requester", "address", "request")
    return listed(of_access(events, *operations), fields(*shown))


def latest_failed(events: Sequence[Event]) -> list[Row]:
    names = ("time", "status", "error", "operation", "bucket", "key", "requester", "address")
    return listed(failed(events), fields(*names, "request"))


def addresses(events: Sequence[Event]) -> list[Row]:
    return [
        (*key, len(same), len(denied(same)), len({one.access["requester"] for one in same}))
        for key, same in grouped(of_access(events), fields("address")).items()
    ]


def first_seen(events: Sequence[Event]) -> list[Row]:
    rows = []
    for key, same in grouped(of_access(events), fields("requester")).items():
        times = [one.access_time for one in same]
        rows.append((*key, min(times), max(times), len(same)))
    return rows


def weak(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_access(events) if one.access["signature"] != "SigV4"]
    return counts(found, fields("signature", "requester", "address", "status"))


def without_tls(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_access(events) if not one.access["tls"].startswith("TLS")]
    return counts(found, fields("requester", "address", "operation"))


def presigned(events: Sequence[Event]) -> list[Row]:
    found = [one for one in of_access(events) if one.access["auth"] == "QueryString"]
    return counts(found, fields("requester", "address", "bucket", "operation"))


def transferred(name: str, field: str, *operations: str) -> Expected:
    """Returns what adds up the bytes of the requests that succeeded."""

    def rows(events: Sequence[Event]) -> list[Row]:
        moved = [
            one for one in of_access(events, *operations) if one.access["status"] in {"200", "204"}
        ]
        return [
            (*key, sum(int(one.access[field]) for one in same), len(same))
            for key, same in grouped(moved, fields(name)).items()
        ]

    return rows


def took(events: Sequence[Event], key: Callable[[Event], Row], *, with_count: bool) -> list[Row]:
    return [
        (
            *found,
            *percentiles([float(one.access["took_ms"]) for one in same]),
            *[len(same)] * with_count,
        )
        for found, same in grouped(of_access(events), key).items()
    ]


def programs(events: Sequence[Event]) -> list[Row]:
    return counts(
        of_access(events), lambda one: (f'"{one.access["program"]}"', one.access["requester"])
    )


ACCESS_EXPECTED: Mapping[str, Mapping[str, Expected]] = {
    "access_requests": {
        "Requests an hour, by operation": lambda e: counts(
            of_access(e), lambda one: (one.access["operation"], one.hour_ms)
        ),
        "Requests by operation": by("operation"),
        "Requests by requester and operation": by("requester", "operation"),
        "Requests by status": by("status"),
        "Requests by bucket": by("bucket"),
    },
    "access_failed": {
        "Failed requests an hour, by error": lambda e: counts(
            failed(e), lambda one: (one.access["error"], one.hour_ms)
        ),
        "Failed requests by error": lambda e: counts(failed(e), fields("error")),
        "Failed requests by bucket": lambda e: counts(failed(e), fields("bucket")),
        "Failed requests by operation and status": lambda e: counts(
            failed(e), fields("operation", "status")
        ),
        "Failed requests by requester": lambda e: counts(failed(e), fields("requester")),
        "Latest failed requests": latest_failed,
    },
    "access_security": {
        "Denied requests an hour": lambda e: counts(denied(e), lambda one: (one.hour_ms,)),
        "Denied requests by requester, address and operation": lambda e: counts(
            denied(e), fields("requester", "address", "operation")
        ),
        "Deletions of objects, buckets and their settings": lambda e: changes(e, DELETING),
        "Changes of policy, access, lock, lifecycle, versioning and logging": lambda e: changes(
            e, PROTECTING
        ),
        "Source addresses": addresses,
        "Requesters, those seen for the first time on top": first_seen,
        "Unsigned requests, and those signed with SigV2": weak,
        "Requests without TLS": without_tls,
        "Requests by presigned addresses (URLs)": presigned,
        "Requests by version of TLS": by("tls"),
    },
    "access_usage": {
        "Requests an hour, by bucket": lambda e: counts(
            of_access(e), lambda one: (one.access["bucket"], one.hour_ms)
        ),
        "Requests by requester": by("requester"),
        "Bytes downloaded by bucket": transferred("bucket", "sent", "GetObject"),
        "Bytes uploaded by bucket": transferred("bucket", "size", "PutObject", "UploadPart"),
        "Bytes downloaded by requester": transferred("requester", "sent", "GetObject"),
        "Bytes uploaded by requester": transferred("requester", "size", "PutObject", "UploadPart"),
        "Programs that sent requests": programs,
        "Total time, in ms: median, 95th and 99th percentile": lambda e: took(
            e, lambda one: (one.hour_ms,), with_count=False
        ),
        "Total time by operation, in ms": lambda e: took(e, fields("operation"), with_count=True),
    },
}
