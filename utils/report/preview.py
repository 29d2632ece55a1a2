"""Says what an iteration would ship, and what that takes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from utils.lines.batching import EVENT_OVERHEAD_BYTES, MAX_AGE_MS
from utils.lines.exclusion import ExcludedError
from utils.model import LogObject, OtherFormError
from utils.report.status import span

# Standard class in us-east-1: https://aws.amazon.com/cloudwatch/pricing/
PRICE_PER_GB = 0.50
# What 32 requests in flight of 100 events each reach at 160 ms a request.
EVENTS_PER_SECOND = 20_000
_GB = 10**9


class Sample(msgspec.Struct):
    """What reading the beginning of one object showed; `old_lines` name a time that is past.

    `lines` and `content_bytes` have what is excluded in them.
    """

    lines: int = 0
    content_bytes: int = 0
    object_bytes: int = 0
    old_lines: int = 0
    excluded_lines: int = 0
    excluded_bytes: int = 0

    def note(self, line: bytes, own_time_ms: Callable[[bytes], int | None], oldest_ms: int) -> None:
        """Takes the next line into account; what is before `oldest_ms` is past."""
        size_bytes = len(line) + EVENT_OVERHEAD_BYTES
        self.lines += 1
        self.content_bytes += size_bytes
        try:
            own_ms = own_time_ms(line)
        except ExcludedError:
            self.excluded_lines += 1
            self.excluded_bytes += size_bytes
        except OtherFormError:
            pass
        else:
            self.old_lines += own_ms is not None and own_ms < oldest_ms


class Preview(msgspec.Struct):
    """The objects that are due, summed up. Times in ms since 1970.

    `since_ms` is where coverage begins, and `until_ms` where it ends, None for nowhere.
    `is_excluding` says whether some lines are not to be sent.
    """

    now_ms: int
    objects: int = 0
    size_bytes: int = 0
    old_bytes: int = 0
    shipped_lines: int = 0
    oldest_ms: int | None = None
    newest_ms: int = 0
    sample: Sample = msgspec.field(default_factory=Sample)
    since_ms: int | None = None
    until_ms: int | None = None
    is_excluding: bool = False

    def note(self, due: LogObject, shipped_lines: int = 0) -> None:
        """Takes an object into account, of which some lines are shipped already."""
        self.objects += 1
        self.size_bytes += due.size_bytes
        self.shipped_lines += shipped_lines
        if self.is_old(due):
            self.old_bytes += due.size_bytes
        known_ms = due.last_modified_ms if self.oldest_ms is None else self.oldest_ms
        self.oldest_ms = min(known_ms, due.last_modified_ms)
        self.newest_ms = max(self.newest_ms, due.last_modified_ms)

    def is_old(self, due: LogObject) -> bool:
        """Tells if the events of an object are past, whatever time they name."""
        return due.last_modified_ms < self.now_ms - MAX_AGE_MS


class _Estimate(msgspec.Struct):
    """What samples let expect of their previews: `events` are sent, of which some are `past`."""

    events: int = 0
    past: float = 0.0
    sent_bytes: float = 0.0
    excluded: int = 0
    excluded_bytes: float = 0.0

    def add(self, preview: Preview) -> None:
        sample, size_bytes = preview.sample, max(1, preview.size_bytes)
        all_lines = preview.size_bytes / max(1, sample.object_bytes) * sample.lines
        lines = max(0, round(all_lines - preview.shipped_lines))
        times = lines / max(1, sample.lines)
        excluded = round(times * sample.excluded_lines)
        # All of old objects, and by the sample a share of the rest.
        share = sample.old_lines / max(1, sample.lines - sample.excluded_lines)
        past_bytes = preview.old_bytes + share * (preview.size_bytes - preview.old_bytes)
        self.events += lines - excluded
        self.past += (lines - excluded) * past_bytes / size_bytes
        self.sent_bytes += times * (sample.content_bytes - sample.excluded_bytes)
        self.excluded += excluded
        self.excluded_bytes += times * sample.excluded_bytes


def rows(previews: Sequence[Preview]) -> list[tuple[str, str]]:
    """Returns the previews, summed up, as rows of a table: what, and how much."""
    due = [one for one in previews if one.oldest_ms is not None]
    covered = {span(one.since_ms, one.until_ms) for one in previews if one.since_ms is not None}
    covers = [("covers", covered.pop())] if len(covered) == 1 else []
    if not due:
        return [*covers, ("objects due", "0"), ("last modified", "-")]
    about = _Estimate()
    for one in due:
        about.add(one)
    oldest_ms = min(one.oldest_ms or 0 for one in due)
    newest_ms = max(one.newest_ms for one in due)
    sampled = sum(one.sample.lines for one in due)
    price = PRICE_PER_GB / _GB
    saved = (
        f"about {about.excluded:,} lines, which saves about ${about.excluded_bytes * price:,.2f}"
    )
    seconds = timedelta(seconds=round(about.events / EVENTS_PER_SECOND))
    share = about.past / max(1, about.events)
    return [
        *covers,
        ("objects due", f"{sum(one.objects for one in due):,}"),
        ("size", f"{sum(one.size_bytes for one in due):,} bytes as stored"),
        ("last modified", f"{_day(oldest_ms)} to {_day(newest_ms)}"),
        ("events", f"about {about.events:,}, by a sample of {sampled:,} lines"),
        # Also if that is none: a field that no line has is spelt wrong.
        *([("excluded", saved)] if any(one.is_excluding for one in due) else []),
        ("past 14 days", f"about {share:.0%}: these get the time of their upload"),
        ("ingestion", f"about ${about.sent_bytes * price:,.2f} at ${PRICE_PER_GB:.2f} a GB"),
        ("time", f"about {seconds} at {EVENTS_PER_SECOND:,} events a second"),
    ]


def _day(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M}"
