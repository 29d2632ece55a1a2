"""The rows that single widgets are to show of some events."""

from collections.abc import Callable, Sequence

from tests.bench.counted import (
    NOTHING,
    Event,
    Row,
    action,
    counts,
    denied,
    failed,
    grouped,
    is_restamped,
    lag_minutes,
    listed,
    of_console,
    of_s3,
    percentile,
    percentiles,
    response_ms,
    user,
)

STREAM_LAG = (50, 95)


def latest_failed(events: Sequence[Event]) -> list[Row]:
    return listed(
        failed(events),
        lambda one: (
            one.entry["time"],
            one.api["status"],
            *(one.api[name] for name in ("name", "bucket")),
            one.api.get("object") or NOTHING,
            one.account,
            one.address,
            one.entry["requestID"],
        ),
    )


def changes(events: Sequence[Event]) -> list[Row]:
    return listed(
        events,
        lambda one: (
            one.entry["time"],
            *(one.api[name] for name in ("name", "status", "bucket")),
            one.api.get("object") or NOTHING,
            one.account,
            one.address,
            one.entry["requestID"],
        ),
    )


def addresses(events: Sequence[Event]) -> list[Row]:
    return [
        (
            *key,
            len(found),
            len(denied(found)),
            len({one.account for one in found}),
        )
        for key, found in grouped(of_s3(events), lambda one: (one.address,)).items()
    ]


def first_seen(events: Sequence[Event]) -> list[Row]:
    # Nine digits make the order of the texts that of the times.
    def moment(one: Event) -> str:
        second, _, fraction = one.entry["time"].rstrip("Z").partition(".")
        return f"{second}.{len(fraction)}{fraction}"

    return [
        (
            *key,
            min(found, key=moment).entry["time"],
            max(found, key=moment).entry["time"],
            len(found),
        )
        for key, found in grouped(of_s3(events), lambda one: (one.account,)).items()
    ]


def failed_console_logins(events: Sequence[Event]) -> list[Row]:
    logins = [one for one in of_console(events) if action(one)["Eventname"] == "login"]
    refused = [one for one in logins if action(one)["StatusCode"] > 0]
    latest = sorted(refused, key=lambda one: str(action(one)["EventTime"]), reverse=True)
    return [
        (
            action(one)["EventTime"],
            user(one),
            one.document["UserIdentity"]["Role"],
            one.document["UserIdentity"]["IPAddress"].split(":")[0],
            action(one)["Status"],
        )
        for one in latest
    ][:100]


def console_errors(events: Sequence[Event]) -> list[Row]:
    refused = [one for one in of_console(events) if action(one)["StatusCode"] != 0]
    return counts(
        refused, lambda one: tuple(action(one)[n] for n in ("Eventname", "StatusCode", "Status"))
    )


def transferred(events: Sequence[Event], key: Callable[[Event], Row]) -> list[Row]:
    moving = [
        one
        for one in of_s3(events, "GetObject", "PutObject", "PutObjectPart")
        if one.api["statusCode"] == 200
    ]
    return [
        (
            *found,
            sum(int(one.entry["responseHeader"]["Content-Length"]) for one in same),
            sum(int(one.entry["requestHeader"].get("Content-Length", 0)) for one in same),
            len(same),
        )
        for found, same in grouped(moving, key).items()
    ]


def latency(events: Sequence[Event], key: Callable[[Event], Row], with_count: bool) -> list[Row]:
    return [
        (*found, *percentiles([response_ms(one) for one in same]), *[len(same)] * with_count)
        for found, same in grouped(of_s3(events), key).items()
    ]


def lag(events: Sequence[Event], key: Callable[[Event], Row], with_count: bool) -> list[Row]:
    timely = [one for one in events if not is_restamped(one)]
    rows = []
    for found, same in grouped(timely, key).items():
        minutes = [lag_minutes(one) for one in same]
        figures = [percentile(minutes, percent) for percent in STREAM_LAG]
        rows.append((*found, *figures, max(minutes), *[len(same)] * with_count))
    return rows


def restamped(events: Sequence[Event], key: Callable[[Event], Row]) -> list[Row]:
    return counts([one for one in events if is_restamped(one)], key)


def streams(events: Sequence[Event], with_hour: bool) -> list[Row]:
    return counts(events, lambda one: (one.stored.stream, *[one.hour_ms] * with_hour))
