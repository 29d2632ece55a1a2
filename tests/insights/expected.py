"""What each widget of each dashboard is to show of some events."""

from collections.abc import Mapping

from tests.bench.counted import (
    action,
    counts,
    denied,
    failed,
    failed_logins,
    is_protection,
    of_console,
    of_iam,
    of_s3,
    own_day,
    user,
)
from tests.insights.expected_access import ACCESS_EXPECTED, Expected
from tests.insights.expected_rows import (
    addresses,
    changes,
    console_errors,
    failed_console_logins,
    first_seen,
    lag,
    latency,
    latest_failed,
    restamped,
    streams,
    transferred,
)

EXPECTED: Mapping[str, Mapping[str, Expected]] = {
    **ACCESS_EXPECTED,
    "requests_count": {
        "Requests by operation": lambda e: counts(of_s3(e), lambda one: (one.api["name"],)),
        "Requests an hour, by operation": lambda e: counts(
            of_s3(e), lambda one: (one.api["name"], one.hour_ms)
        ),
    },
    "failed_requests": {
        "Failed S3 requests an hour, by status": lambda e: counts(
            failed(e), lambda one: (one.api["status"], one.hour_ms)
        ),
        "Failed S3 requests by status": lambda e: counts(
            failed(e), lambda one: (one.api["status"],)
        ),
        "Failed S3 requests by bucket": lambda e: counts(
            failed(e), lambda one: (one.api["bucket"],)
        ),
        "Failed S3 requests by operation and status": lambda e: counts(
            failed(e), lambda one: (one.api["name"], one.api["statusCode"])
        ),
        "Failed S3 requests by account": lambda e: counts(failed(e), lambda one: (one.account,)),
        "Latest failed S3 requests": latest_failed,
        "Console actions that ended with an error": console_errors,
        "Sign-ins that failed (IAM)": lambda e: counts(
            failed_logins(e), lambda one: (one.document["description"], one.document["user_name"])
        ),
    },
    "security": {
        "Denied S3 requests an hour": lambda e: counts(denied(e), lambda one: (one.hour_ms,)),
        "Denied S3 requests by account, address and operation": lambda e: counts(
            denied(e), lambda one: (one.account, one.address, one.api["name"])
        ),
        "Deletions of objects, buckets and their settings": lambda e: changes(
            [one for one in of_s3(e) if one.api["name"].startswith("Delete")]
        ),
        "Changes of policy, lock, lifecycle and versioning": lambda e: changes(
            [one for one in of_s3(e) if is_protection(one.api["name"])]
        ),
        "Source addresses": addresses,
        "Service accounts, those seen for the first time on top": first_seen,
        "Failed logins an hour (IAM)": lambda e: counts(
            failed_logins(e), lambda one: (one.hour_ms,)
        ),
        "Failed logins by user and address (IAM)": lambda e: counts(
            failed_logins(e),
            lambda one: tuple(one.document[name] for name in ("user_name", "ip", "description")),
        ),
        "IAM actions by user": lambda e: counts(
            of_iam(e), lambda one: (one.document["user_name"], one.document["description"])
        ),
        "Console actions by user": lambda e: counts(
            of_console(e), lambda one: (user(one), action(one)["Eventname"])
        ),
        "Failed logins to the console": failed_console_logins,
    },
    "usage": {
        "S3 requests an hour, by bucket": lambda e: counts(
            of_s3(e), lambda one: (one.api["bucket"], one.hour_ms)
        ),
        "S3 requests by bucket": lambda e: counts(of_s3(e), lambda one: (one.api["bucket"],)),
        "Bytes by bucket": lambda e: transferred(e, lambda one: (one.api["bucket"],)),
        "Bytes by account": lambda e: transferred(e, lambda one: (one.account,)),
        "S3 requests by account": lambda e: counts(of_s3(e), lambda one: (one.account,)),
        "Programs that sent S3 requests": lambda e: counts(
            of_s3(e), lambda one: (one.entry["userAgent"], one.account)
        ),
        "Time to response, in ms: median, 95th and 99th percentile": lambda e: latency(
            e, lambda one: (one.hour_ms,), with_count=False
        ),
        "Time to response by operation, in ms": lambda e: latency(
            e, lambda one: (one.api["name"],), with_count=True
        ),
        "Console actions an hour, by user": lambda e: counts(
            of_console(e), lambda one: (user(one), one.hour_ms)
        ),
        "IAM events an hour, by user": lambda e: counts(
            of_iam(e), lambda one: (one.document["user_name"], one.hour_ms)
        ),
    },
    "integration": {
        "Events an hour, by stream": lambda e: streams(e, with_hour=True),
        "Events by stream": lambda e: streams(e, with_hour=False),
        "Lag, in minutes: median, 95th percentile and longest": lambda e: lag(
            e, lambda one: (one.hour_ms,), with_count=False
        ),
        "Lag by stream, in minutes": lambda e: lag(
            e, lambda one: (one.stored.stream,), with_count=True
        ),
        "Events stored at the time of their upload, an hour": lambda e: restamped(
            e, lambda one: (one.stored.stream, one.hour_ms)
        ),
        "Events stored at the time of their upload, by the day of the event": lambda e: restamped(
            e, lambda one: (own_day(one), one.stored.stream)
        ),
    },
}
