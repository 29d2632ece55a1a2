"""Rounds of wrong answers: one answer of a service is wrong, and afterwards all is well.

The program runs in this process, on a real S3 server and the stand-in for CloudWatch Logs, each
behind a proxy that lies once.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from services.reading.object_reader import ObjectReader
from tests.servers.installation import (
    BUCKET,
    LOG_GROUP,
    OUTPUT_BUCKET,
    Installation,
    Outcome,
    empty,
    try_again_soon,
)
from tests.servers.lying_proxy import (
    HTML,
    Lie,
    LyingProxy,
    cut_in_body,
    cut_in_head,
    instead,
    of_another,
    older,
    page,
    turned,
)
from tests.servers.s3_proxy import S3Proxy
from tests.servers.seaweedfs import SeaweedFS
from tests.standin.cloudwatch_client import ACCESS_KEY, SECRET_KEY
from tests.standin.cloudwatch_process import CloudWatchStandin
from tests.world.audit_events import gzip_lines

MOST_ITERATIONS = 5
_SETTLE_SECONDS = 0.1
BATCH_SIZE = 7
NOT_UTF8 = b"\xff\xfe is no text"
DAY = timedelta(days=1)
FOLDERS_OF_OLD = ("", "April-2024/", "a b/")
FOLDERS = ("", "June-2024/x/", "May-2024/")
# The number of the object with a line for the quarantine: it is not shipped before the lie.
REFUSED_IN = 7
_LARGE_BYTES = 260_000


class Trial:
    """The program between a lying store and a lying CloudWatch, from `with` to its end.

    `dates` are the `LastModified` of objects by key; `due` the messages that are to be stored.

    Args:
        directory: an existing one, for the configuration.
        lyve_cloud: a running server, with the two buckets.
    """

    def __init__(self, directory: Path, lyve_cloud: SeaweedFS) -> None:
        self._directory = directory
        self._lyve_cloud = lyve_cloud
        self._streams = 0
        self.due: Counter[str] = Counter()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            pauses = stack.enter_context(pytest.MonkeyPatch.context())
            try_again_soon(pauses)
            pauses.setattr(ObjectReader, "_pause", lambda *_: None)
            standin = CloudWatchStandin(credentials={ACCESS_KEY: SECRET_KEY})
            self.standin = stack.enter_context(standin)
            self._dated = stack.enter_context(S3Proxy(self._lyve_cloud.endpoint_url))
            self.store = stack.enter_context(LyingProxy(self._dated.endpoint_url))
            self.logs = stack.enter_context(LyingProxy(standin.endpoint_url))
            self.installation = Installation(self._directory, self._lyve_cloud, standin)
            self.installation.environment |= {
                "LYVE_ENDPOINT": self.store.endpoint_url,
                "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.logs.endpoint_url,
            }
            self._at_end = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._at_end.close()

    @property
    def dates(self) -> dict[str, datetime]:
        """What the store says of its objects, by key."""
        return self._dated.dates

    def begin(self, **configuration: object) -> None:
        """Empties the buckets, takes another log stream, and lets both services be well."""
        for bucket in (BUCKET, OUTPUT_BUCKET):
            empty(self.installation.s3, bucket)
        self._streams += 1
        self.stream = f"stream-{self._streams}"
        given = {
            "log_stream": self.stream,
            "batch_size": 100,
            "settle_seconds": _SETTLE_SECONDS,
        }
        self.installation.configuration |= given | configuration
        self.dates.clear()
        self._dated.requests.clear()
        self.due.clear()
        for proxy in (self.store, self.logs):
            proxy.forget()

    def put(self, key: str, lines: Sequence[bytes], date: datetime | None = None) -> bytes:
        """Writes an object whose lines are due, as gzip if its name says so; returns its bytes.

        Args:
            key: of the object.
            lines: without their ends; what is no text is to be quarantined.
            date: its `LastModified`, the server's if none is given.
        """
        packed = key.endswith(".gz")
        content = gzip_lines(lines) if packed else b"".join(line + b"\n" for line in lines)
        self.installation.put(key, content)
        if date:
            self.dates[key] = date
        self.due.update(line.decode() for line in lines if line != NOT_UTF8)
        return content

    def once(self) -> Outcome:
        """Runs one iteration.

        Raises:
            AssertionError: it did not come to its end.
        """
        return self.installation.once()

    def messages(self) -> Counter[str]:
        """Returns what the log stream holds."""
        try:
            events = list(self.standin.events(LOG_GROUP, self.stream))
        except ValueError:
            return Counter()
        return Counter(event.message for event in events)

    def lost(self) -> Counter[str]:
        """Returns the due events that are not stored."""
        return self.due - self.messages()

    def doubled(self) -> Counter[str]:
        """Returns what is stored and should not be, or not so often."""
        return self.messages() - self.due


class Fault(NamedTuple):
    """One answer that is wrong: the one to the request of a kind with a number.

    `name` says what is answered; `is_later`, that an iteration is over by then; `is_plausible`,
    that it can't be told from a true one when it comes, as it was true: what it hides is found by
    the next iteration.
    """

    kind: str
    number: int
    name: str
    lie: Lie
    is_later: bool
    is_plausible: bool

    def __str__(self) -> str:
        return f"{self.kind} no. {self.number} answered by {self.name}"


# The kinds of requests to the store and to CloudWatch, and the highest number that is lied to.
STORE = {
    "list top": 1,
    "list folder": 2,
    "list output": 1,
    "GET object": 6,
    "HEAD object": 1,
    "GET checkpoint": 1,
    "HEAD checkpoint": 3,
    "PUT checkpoint": 3,
    "GET latest": 1,
    "PUT latest": 1,
    "PUT status": 1,
    "PUT quarantine": 1,
}
LOGS = {
    "PutLogEvents": 5,
    "GetLogEvents": 2,
    "CreateLogStream": 1,
    "DescribeLogGroups": 1,
}
KINDS = (
    # What matters most comes more often.
    *("list top", "list folder", "GET object", "PutLogEvents", "GET checkpoint", "GetLogEvents"),
    *("list folder", "GET object", "PutLogEvents", "HEAD checkpoint", "PUT checkpoint"),
    *(*STORE, *LOGS),
)
# Their answers carry what shows a turned bit: an ETag or a checksum. Nothing shows it in others.
CHECKABLE = {"GET object", "GET checkpoint", "PUT checkpoint", "HEAD checkpoint", "HEAD object"}
# It is asked for where no checkpoint is found.
AT_FIRST = {"list output"}
# A first iteration lists the whole bucket at once.
LATER = {"list folder"}
STATUSES = range(200, 600)


def fault_of(seed: int) -> Fault:
    """Returns the fault of a round."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    number = rng.randint(1, (STORE | LOGS)[kind])
    is_forwarded = rng.random() < 0.5
    named = {
        "an empty page": instead(page(200), is_forwarded),
        "an HTML page": instead(page(200, HTML), is_forwarded),
        "a closed connection": instead(None, is_forwarded),
        "a status": None,
        "a part of its body": cut_in_body(rng.random()),
        "a part of its head": cut_in_head(rng.random()),
        "an older one": older(is_forwarded),
        "that of another": of_another(is_forwarded),
        "itself, with a bit turned": turned(rng.random(), rng.randrange(8)),
    }
    if kind not in CHECKABLE:
        del named["itself, with a bit turned"]
    is_later = kind in LATER or (kind not in AT_FIRST and rng.random() < 0.7)
    if not is_later:
        del named["an older one"]
    name = rng.choice(list(named))
    lie = named[name]
    if lie is None:
        status, body = rng.choice(STATUSES), rng.choice([b"", HTML])
        name = f"HTTP {status}, {'an HTML page' if body else 'empty'}"
        lie = instead(page(status, body), is_forwarded)
    is_plausible = name == "an older one" and kind.startswith("list")
    carried_out = "carried out" if is_forwarded else "not carried out"
    return Fault(kind, number, f"{name} ({carried_out})", lie, is_later, is_plausible)


class Round:
    """A small bucket, one wrong answer, and iterations until one ends well.

    Args:
        trial: a running one; the round begins it anew.
        seed: of the bucket and the fault.
    """

    def __init__(self, trial: Trial, seed: int) -> None:
        self._trial = trial
        self._seed = seed
        self._random = random.Random(seed)
        self._said: list[str] = []
        self._objects = 0
        self.fault = fault_of(seed)
        self._is_refused = seed % 3 == 0 or self.fault.kind == "PUT quarantine"

    def run(self) -> bool:
        """Runs the round; returns if the lie was told.

        Raises:
            AssertionError: something was lost, doubled or passed over silently.
        """
        trial, fault = self._trial, self.fault
        trial.begin(batch_size=BATCH_SIZE)
        now = datetime.now(UTC)
        # Folders in which nothing is new are not listed at each iteration.
        self._fill(FOLDERS_OF_OLD, [now - self._random.uniform(2, 40) * DAY for _ in range(4)])
        self._fill(FOLDERS[-1:], [now - 0.9 * DAY])
        if fault.is_later:
            outcome = self._iterate()
            self._expect(outcome.exit_status == 0, "failed before anything was wrong")
        # With something new in more folders, everything is listed at once.
        folders = ("", FOLDERS[-1]) if fault.kind in LATER else FOLDERS
        self._fill(folders, [now - self._random.uniform(0, 0.8) * DAY for _ in range(6)])
        self._lie()
        self._go_on()
        trial.store.be_well()
        trial.logs.be_well()
        self._weigh()
        return bool(self._told())

    def _lie(self) -> None:
        fault = self.fault
        if fault.kind == "GetLogEvents":
            # Nothing is read back without a doubt.
            self._trial.logs.lie("PutLogEvents", instead(None, is_forwarded=True), first=2)
        if fault.kind == "HEAD object":
            self._trial.store.lie("GET object", instead(page(412)), first=2)
        proxy = self._trial.logs if fault.kind in LOGS else self._trial.store
        proxy.lie(fault.kind, fault.lie, fault.number)

    def _told(self) -> list[str]:
        return [*self._trial.store.told, *self._trial.logs.told]

    def _go_on(self) -> None:
        """Runs iterations until one ends well that began after the lie."""
        for _ in range(MOST_ITERATIONS):
            told_before = len(self._told())
            outcome = self._iterate()
            if outcome.exit_status != 0:
                continue
            is_told_now = len(self._told()) > told_before
            if not (self.fault.is_plausible and is_told_now):
                self._expect(not self._trial.lost(), "ended with 0 and left something out")
            if not is_told_now:
                return
        self._expect(False, f"of {MOST_ITERATIONS} none ended well")

    def _weigh(self) -> None:
        trial = self._trial
        self._expect(not trial.lost(), "all is well, and something is lost")
        self._expect(not trial.doubled(), "all is well, and something is doubled")
        keys = trial.installation.output_keys()
        is_kept = any(key.startswith("integration-quarantine/") for key in keys)
        self._expect(is_kept == self._is_refused, "the quarantine is wrong")

    def _iterate(self) -> Outcome:
        outcome = self._trial.once()
        self._said.append(f"exit status {outcome.exit_status}\n{outcome.stderr}")
        return outcome

    def _expect(self, is_so: bool, what: str) -> None:
        if is_so:
            return
        lost, doubled = self._trial.lost(), self._trial.doubled()
        told = ", ".join(self._told()) or "never told"
        raise AssertionError(
            f"seed {self._seed}: {self.fault} [{told}]: iteration {len(self._said)}: {what}: "
            f"lost {lost.total()} of {self._trial.due.total()}{_example(lost)}, "
            f"doubled {doubled.total()}{_example(doubled)}\n" + "\n".join(self._said)
        )

    def _fill(self, folders: Sequence[str], dates: Sequence[datetime]) -> None:
        """Writes objects: the first two are large, one of them as gzip, the others small."""
        for number, date in enumerate(dates):
            self._objects += 1
            ending = "gz" if number == 0 or self._random.random() < 0.4 else "log"
            folder = self._random.choice(folders)
            size = _LARGE_BYTES if number < 2 else self._random.choice([0, 200, 3000])
            lines = self._lines(date, self._random.randint(1, 16), size)
            if self._is_refused and self._objects == REFUSED_IN:
                lines.insert(1, NOT_UTF8)
            self._trial.put(f"{folder}S3-{self._objects:02}.{ending}", lines, date)

    def _lines(self, date: datetime, count: int, size: int) -> list[bytes]:
        """Returns events that hardly can be packed, of a size in bytes together at least."""
        return [
            b'{"auditEntry": {"time": "%s", "requestID": "%d-%d"}, "more": "%s"}'
            % (
                (date - timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ").encode(),
                self._objects,
                number,
                self._random.randbytes(size // count).hex().encode(),
            )
            for number in range(count)
        ]


def _example(messages: Iterable[str]) -> str:
    first = next(iter(messages), None)
    return "" if first is None else f" such as {first[:90]!r}"
