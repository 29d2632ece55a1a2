"""Says what an iteration would ship, and what that takes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from utils.lines.batching import EVENT_OVERHEAD_BYTES, MAX_AGE_MS
from utils.lines.exclusion import ExcludedError
from utils.lines.forms import LineForm
from utils.model import LogObject, OtherFormError

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

    def note(self, line: bytes, form: LineForm, oldest_ms: int) -> None:
        """Takes the next line into account.

        Args:
            line: without its line end.
            form: of the line.
            oldest_ms: what is before this is past, in ms since 1970.
        """
        self.lines += 1
        self.content_bytes += len(line) + EVENT_OVERHEAD_BYTES
        try:
            own_ms = form.time_ms(line)
        except ExcludedError:
            self.excluded_lines += 1
            self.excluded_bytes += len(line) + EVENT_OVERHEAD_BYTES
            return
        except OtherFormError:
            return
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
        """Takes an object into account.

        Args:
            due: the object.
            shipped_lines: how many of its lines are shipped already.
        """
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

    def lines(self) -> int:
        """Returns how many lines there are, by the sample."""
        lines = self.size_bytes / max(1, self.sample.object_bytes) * self.sample.lines
        return max(0, round(lines - self.shipped_lines))

    def excluded(self) -> int:
        """Returns how many of them are not sent, by the sample."""
        return round(self.lines() * self.sample.excluded_lines / max(1, self.sample.lines))

    def events(self) -> int:
        """Returns how many events there are, by the sample."""
        return self.lines() - self.excluded()

    def content_bytes(self) -> float:
        """Returns what CloudWatch counts of them, by the sample."""
        sent_bytes = self.sample.content_bytes - self.sample.excluded_bytes
        return self.lines() * sent_bytes / max(1, self.sample.lines)

    def saved_bytes(self) -> float:
        """Returns what it would count of those that are not sent, by the sample."""
        return self.lines() * self.sample.excluded_bytes / max(1, self.sample.lines)

    def past_events(self) -> float:
        """Returns how many are past: all of old objects, and by the sample a share of the rest."""
        sent = self.sample.lines - self.sample.excluded_lines
        share = self.sample.old_lines / max(1, sent)
        past_bytes = self.old_bytes + share * (self.size_bytes - self.old_bytes)
        return self.events() * past_bytes / max(1, self.size_bytes)


def rows(previews: Sequence[Preview]) -> list[tuple[str, str]]:
    """Returns the previews, summed up, as rows of a table: what, and how much."""
    due = [one for one in previews if one.oldest_ms is not None]
    covered = {span(one.since_ms, one.until_ms) for one in previews if one.since_ms is not None}
    covers = [("covers", covered.pop())] if len(covered) == 1 else []
    if not due:
        return [*covers, ("objects due", "0"), ("last modified", "-")]
    size_bytes = sum(one.size_bytes for one in due)
    events = sum(one.events() for one in due)
    content_gb = sum(one.content_bytes() for one in due) / _GB
    seconds = timedelta(seconds=round(events / EVENTS_PER_SECOND))
    past = sum(one.past_events() for one in due) / max(1, events)
    oldest_ms = min(one.oldest_ms or 0 for one in due)
    newest_ms = max(one.newest_ms for one in due)
    sampled = sum(one.sample.lines for one in due)
    excluded = sum(one.excluded() for one in due)
    saved = sum(one.saved_bytes() for one in due) / _GB * PRICE_PER_GB
    saves = [("excluded", f"about {excluded:,} lines, which saves about ${saved:,.2f}")]
    return [
        *covers,
        ("objects due", f"{sum(one.objects for one in due):,}"),
        ("size", f"{size_bytes:,} bytes as stored"),
        ("last modified", f"{_day(oldest_ms)} to {_day(newest_ms)}"),
        ("events", f"about {events:,}, by a sample of {sampled:,} lines"),
        # Also if that is none: a field that no line has is spelt wrong.
        *(saves if any(one.is_excluding for one in due) else []),
        ("past 14 days", f"about {past:.0%}: these get the time of their upload"),
        ("ingestion", f"about ${content_gb * PRICE_PER_GB:,.2f} at ${PRICE_PER_GB:.2f} a GB"),
        ("time", f"about {seconds} at {EVENTS_PER_SECOND:,} events a second"),
    ]


def span(since_ms: int, until_ms: int | None) -> str:
    """Returns in words where coverage begins and ends.

    Args:
        since_ms: in ms since 1970; 0 for the mode all.
        until_ms: likewise; None where it does not end.
    """
    end = "" if until_ms is None else f"before {_words(until_ms)}"
    if until_ms is not None and until_ms <= since_ms:
        return f"nothing: it begins on {_words(since_ms)}, and ends {end}"
    if not since_ms:
        return f"everything written {end}" if end else "everything ever written"
    beginning = f"everything written since {_words(since_ms)}"
    return f"{beginning} and {end}" if end else beginning


def _words(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _day(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M}"
