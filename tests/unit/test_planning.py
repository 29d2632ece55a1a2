"""Every object is shipped once: none is missed and none is shipped twice, over many iterations.

The ledger forgets single objects; a naive model that remembers all of them is its judge.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import utils.state.ledger
import utils.state.planning
from services.shipping.shared import MAX_PLAN_OBJECTS
from tests.world.in_memory import source_of
from utils.config.settings import LogType
from utils.model import LogObject, Position
from utils.state.ledger import (
    ADVANCE_EVERY_OBJECTS,
    DORMANT_ROW,
    LATE_WINDOW_MS,
    MAX_RECENT_OBJECTS,
    RECENT_ROW,
    SWEEP_EVERY_MS,
    Coverage,
    Ledger,
    Survey,
)
from utils.state.planning import Backlog, oldest

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NOON_MS = 1_709_208_000_000
OPEN_OBJECTS = 2
FOLDERS = ["", "February-2024/", "March-2024/"]

STATEFUL = settings(stateful_step_count=30, print_blob=False)
SOURCES = [replace(source_of(), log_type=one) for one in get_args(LogType)]
STEPS_MS = st.sampled_from(
    [0, 1, 20_000, 61_000, HOUR_MS, 20 * HOUR_MS, 23 * HOUR_MS, 25 * HOUR_MS]
)


def listed(key: str, last_modified_ms: int, etag: str = "1") -> LogObject:
    return LogObject(last_modified_ms, key, etag, 10)


def reloaded(ledger: Ledger) -> Ledger:
    """Returns the ledger as it comes out of the saved checkpoint."""
    document = msgspec.json.encode(ledger.coverage)
    return Ledger(msgspec.json.decode(document, type=Coverage))


def dormant_folders(ledger: Ledger) -> int:
    return len(ledger.coverage.dormant) // DORMANT_ROW.size


class KilledError(Exception):
    """The process ends here, in the midst of a plan."""


class Bucket:
    """The audit bucket; the listing shows an object some time after its `LastModified`."""

    def __init__(self) -> None:
        self.now_ms = NOON_MS
        self.objects: dict[str, LogObject] = {}
        self.count = 0
        self._shown_ms: dict[str, int] = {}

    def put(self, key: str, delay_ms: int = 0) -> None:
        self.count += 1
        self.objects[key] = listed(key, self.now_ms, etag=str(self.count))
        self._shown_ms[key] = self.now_ms + delay_ms

    def shows(self, key: str) -> bool:
        return self._shown_ms[key] <= self.now_ms

    def listing(self, place: str | None) -> list[LogObject]:
        return [
            one
            for _, one in sorted(self.objects.items())
            if self.shows(one.key) and place in {"", one.folder("") or None}
        ]


class Daemon:
    """Iterations over a bucket that changes, in the order of `services/shipping/forward.py`.

    It remembers all that it shipped, and checks each plan against that.
    """

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.since_ms = NOON_MS + HOUR_MS
        self.most_planned = MAX_PLAN_OBJECTS
        self.ledger = Ledger(Coverage(self.since_ms))
        self._shipped: set[tuple[str, str]] = set()
        self._open: list[str] = []
        self._left_to_ship = 0

    def iterate(self, drift_ms: int = 0) -> None:
        """Runs an iteration to its end; time passes between its plans."""
        self._left_to_ship = 10**6
        self._run(drift_ms)
        self._check_shipped_ones()

    def die_after(self, objects: int, drift_ms: int = 0) -> None:
        """Runs an iteration that is killed after some objects, if it does not end before."""
        self._left_to_ship = objects
        try:
            self._run(drift_ms)
        except KilledError:
            self._check_shipped_ones()

    def _run(self, drift_ms: int) -> None:
        self.ledger = reloaded(self.ledger)
        self.ledger.begin_at(self.since_ms)
        self._ship_all([self.bucket.objects[key] for key in self._open])
        backlog = Backlog(now_ms=self.bucket.now_ms)
        seen: list[LogObject] = []
        due = [one for one in self._listed(backlog) if self._noted(one, backlog, seen)]
        while True:
            plan = oldest(due, self.most_planned)
            self._ship_all(list(dict.fromkeys(plan)), backlog.survey)
            frontier_ms = backlog.carry_out(plan, self.most_planned)
            self.ledger.advance(backlog.survey, frontier_ms)
            if not backlog:
                self._check_none_is_missed(seen)
                return
            self.bucket.now_ms += drift_ms
            due = list(self._left(backlog))

    def _noted(self, one: LogObject, backlog: Backlog, seen: list[LogObject]) -> bool:
        seen.append(one)
        is_due = self.ledger.is_due(one)
        backlog.note(one, is_due=is_due)
        return is_due

    def _listed(self, backlog: Backlog) -> Iterator[LogObject]:
        for place in backlog.places([self.ledger], FOLDERS[1:]):
            backlog.begin(place)
            yield from self.bucket.listing(place)

    def _left(self, backlog: Backlog) -> Iterator[LogObject]:
        for stretch in backlog.stretches():
            for one in self.bucket.listing(stretch.place):
                is_in = stretch.after < one.key <= stretch.last
                is_planned = one.last_modified_ms <= backlog.until_ms
                if is_in and is_planned and self.ledger.is_due(one):
                    yield one

    def _ship_all(self, plan: list[LogObject], survey: Survey | None = None) -> None:
        """Ships the planned objects; the next ones are open in the checkpoint."""
        for index, one in enumerate(plan):
            self._open = [following.key for following in plan[index : index + OPEN_OBJECTS]]
            self._ship(one)
            following = plan[index + 1 :]
            if survey and following and self.ledger.is_full():
                self.ledger.advance(survey, following[0].last_modified_ms)
        self._open = []

    def _ship(self, one: LogObject) -> None:
        if not self._left_to_ship:
            raise KilledError
        self._left_to_ship -= 1
        assert one.last_modified_ms >= self.since_ms, f"before the beginning: {one}"
        assert (one.key, one.etag) not in self._shipped, f"shipped twice: {one}"
        self.ledger.record_shipped(self.ledger.position(one))
        self._shipped.add((one.key, one.etag))

    def _check_none_is_missed(self, seen: list[LogObject]) -> None:
        for one in seen:
            is_promised = one.last_modified_ms >= self.since_ms
            assert not is_promised or (one.key, one.etag) in self._shipped, f"missed: {one}"

    def _check_shipped_ones(self) -> None:
        for one in self.bucket.objects.values():
            if (one.key, one.etag) in self._shipped:
                assert not self.ledger.is_due(one), f"would be shipped twice: {one}"
                assert not reloaded(self.ledger).is_due(one), f"forgotten: {one}"


class Shipments(RuleBasedStateMachine):
    """Objects appear up to a day late, share a moment, are replaced, stand in old folders."""

    longest_delay_ms = LATE_WINDOW_MS
    most_planned = 3
    most_recent = MAX_RECENT_OBJECTS
    most_dormant = 1
    advance_every_objects = ADVANCE_EVERY_OBJECTS
    # Everything is listed at once where that takes fewer pages than the folders.
    page_objects = 2

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(utils.state.planning, "STRETCH_OBJECTS", self.page_objects)
        self.patch.setattr(utils.state.ledger, "MAX_RECENT_OBJECTS", self.most_recent)
        self.patch.setattr(utils.state.ledger, "MAX_DORMANT_FOLDERS", self.most_dormant)
        self.patch.setattr(utils.state.ledger, "ADVANCE_EVERY_OBJECTS", self.advance_every_objects)
        self.bucket = Bucket()
        self.daemon = Daemon(self.bucket)
        self.daemon.most_planned = self.most_planned

    def teardown(self) -> None:
        self.patch.undo()

    @rule(step_ms=STEPS_MS)
    def pass_time(self, step_ms: int) -> None:
        self.bucket.now_ms += step_ms

    @rule(folder=st.sampled_from(FOLDERS), count=st.integers(1, 4), delay=st.floats(0, 1))
    def write_objects_of_one_moment(self, folder: str, count: int, delay: float) -> None:
        for _ in range(count):
            key = f"{folder}S3-{self.bucket.count}"
            self.bucket.put(key, round(delay * self.longest_delay_ms))

    @precondition(lambda self: any(map(self.bucket.shows, self.bucket.objects)))
    @rule(data=st.data())
    def replace_an_object(self, data: st.DataObject) -> None:
        shown = [key for key in self.bucket.objects if self.bucket.shows(key)]
        self.bucket.put(data.draw(st.sampled_from(shown)))

    @rule(earlier_ms=STEPS_MS)
    def begin_earlier(self, earlier_ms: int) -> None:
        self.daemon.since_ms -= earlier_ms

    @rule(drift_ms=STEPS_MS)
    def iterate(self, drift_ms: int) -> None:
        self.daemon.iterate(drift_ms)
        assert dormant_folders(self.daemon.ledger) <= self.most_dormant

    @rule(objects=st.integers(0, 5), drift_ms=STEPS_MS)
    def iterate_and_die(self, objects: int, drift_ms: int) -> None:
        self.daemon.die_after(objects, drift_ms)


class CrowdedShipments(Shipments):
    """More objects are new than are remembered: only what appears at once is promised."""

    longest_delay_ms = 0
    most_recent = 5
    most_dormant = 0


class CrowdedShipmentsBesideOldFolders(CrowdedShipments):
    """The same, with folders that are listed once a day."""

    most_planned = MAX_PLAN_OBJECTS
    most_dormant = 1


class ShipmentsThatFillTheCheckpoint(Shipments):
    """Of a large plan, each object fills the checkpoint."""

    page_objects = 1
    most_planned = MAX_PLAN_OBJECTS
    advance_every_objects = -MAX_RECENT_OBJECTS


class CrowdedShipmentsThatFillTheCheckpoint(CrowdedShipments):
    """The same, while more are new than are remembered."""

    most_planned = MAX_PLAN_OBJECTS
    most_dormant = 1
    advance_every_objects = -MAX_RECENT_OBJECTS


TestShipments = Shipments.TestCase
TestCrowdedShipments = CrowdedShipments.TestCase
TestCrowdedShipmentsBesideOldFolders = CrowdedShipmentsBesideOldFolders.TestCase
TestShipmentsThatFillTheCheckpoint = ShipmentsThatFillTheCheckpoint.TestCase
TestCrowdedShipmentsThatFillTheCheckpoint = CrowdedShipmentsThatFillTheCheckpoint.TestCase
TestShipments.settings = STATEFUL
TestCrowdedShipments.settings = STATEFUL
TestCrowdedShipmentsBesideOldFolders.settings = STATEFUL
TestShipmentsThatFillTheCheckpoint.settings = STATEFUL
TestCrowdedShipmentsThatFillTheCheckpoint.settings = STATEFUL


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def daemon(bucket: Bucket) -> Daemon:
    return Daemon(bucket)


FOLDER = "February-2024/"


def make_dormant(bucket: Bucket, daemon: Daemon) -> None:
    """Lets a day pass in which the folder has nothing new; it was just listed then."""
    bucket.put(f"{FOLDER}S3-old")
    daemon.iterate()
    bucket.now_ms += 26 * HOUR_MS
    bucket.put("S3-today")
    daemon.iterate()
    assert daemon.ledger.is_dormant(FOLDER)


def put_late(bucket: Bucket, daemon: Daemon) -> LogObject:
    """Writes an object that the listing shows too late for the day's look at its folder."""
    bucket.now_ms -= 5 * HOUR_MS
    bucket.put(f"{FOLDER}S3-late", delay_ms=6 * HOUR_MS)
    bucket.now_ms += 28 * HOUR_MS
    bucket.put("S3-tomorrow")
    daemon.iterate()
    late = bucket.objects[f"{FOLDER}S3-late"]
    assert late in bucket.listing(FOLDER)
    assert daemon.ledger.is_due(late)
    return late


def test_an_object_of_an_old_folder_is_found_within_a_day(bucket: Bucket, daemon: Daemon) -> None:
    make_dormant(bucket, daemon)
    bucket.put(f"{FOLDER}S3-new")
    bucket.now_ms += HOUR_MS
    daemon.iterate()
    assert daemon.ledger.is_due(bucket.objects[f"{FOLDER}S3-new"])
    bucket.now_ms += 23 * HOUR_MS
    daemon.iterate()
    assert not daemon.ledger.is_due(bucket.objects[f"{FOLDER}S3-new"])


def test_an_object_from_before_the_beginning_is_left_out_in_an_old_folder_too(
    bucket: Bucket, daemon: Daemon
) -> None:
    bucket.put(f"{FOLDER}S3-old")
    daemon.iterate()
    bucket.now_ms += HOUR_MS // 2
    bucket.put(f"{FOLDER}S3-before")
    bucket.now_ms += 25 * HOUR_MS
    daemon.iterate()


def test_a_late_object_of_an_old_folder_is_found_within_a_day(
    bucket: Bucket, daemon: Daemon
) -> None:
    make_dormant(bucket, daemon)
    late = put_late(bucket, daemon)
    bucket.now_ms += HOUR_MS
    daemon.iterate()
    assert not daemon.ledger.is_due(late)


@pytest.mark.parametrize("most_planned", [1, 2, 3])
def test_late_objects_of_an_old_folder_are_shipped_once_by_several_plans(
    bucket: Bucket, daemon: Daemon, most_planned: int
) -> None:
    """At their time all else is covered, so the folder has to keep how far it is shipped."""
    daemon.most_planned = most_planned
    make_dormant(bucket, daemon)
    bucket.now_ms -= 5 * HOUR_MS
    for number in range(5):
        bucket.put(f"{FOLDER}S3-late-{number}", delay_ms=6 * HOUR_MS)
        bucket.now_ms += MINUTE_MS
    bucket.now_ms += 28 * HOUR_MS
    bucket.put("S3-tomorrow")
    daemon.iterate()
    bucket.now_ms += HOUR_MS
    daemon.die_after(objects=3)
    daemon.iterate()
    late = [one for key, one in bucket.objects.items() if "late" in key]
    assert len(late) == 5
    assert not any(map(daemon.ledger.is_due, late))


def test_a_crowd_of_objects_hides_no_object_of_an_old_folder(
    bucket: Bucket, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils.state.ledger, "MAX_RECENT_OBJECTS", 2)
    make_dormant(bucket, daemon)
    bucket.put(f"{FOLDER}S3-new")
    for hour in range(1, 25):
        bucket.now_ms += HOUR_MS
        bucket.put(f"S3-{hour}")
        daemon.iterate()
    assert not daemon.ledger.is_due(bucket.objects[f"{FOLDER}S3-new"])


def test_what_a_killed_iteration_found_in_an_old_folder_is_shipped_once(
    bucket: Bucket, daemon: Daemon
) -> None:
    """The next iteration ships it from the checkpoint; its folder may not be listed again."""
    make_dormant(bucket, daemon)
    bucket.put(f"{FOLDER}S3-new")
    bucket.now_ms += 25 * HOUR_MS
    daemon.die_after(objects=0)
    bucket.put("S3-tomorrow")
    daemon.iterate()


@pytest.mark.parametrize("most_planned", [1, 2, MAX_PLAN_OBJECTS])
def test_an_earlier_start_hides_no_late_object_of_an_old_folder(
    bucket: Bucket, daemon: Daemon, most_planned: int
) -> None:
    """The objects before the first start may be too many for one plan."""
    daemon.most_planned = most_planned
    for number in range(3):
        bucket.put(f"{FOLDER}S3-before-{number}")
    make_dormant(bucket, daemon)
    late = put_late(bucket, daemon)
    daemon.since_ms -= HOUR_MS
    daemon.iterate()
    assert not daemon.ledger.is_due(late)


def test_what_lies_between_two_covered_ranges_of_one_minute_stays_known() -> None:
    ledger = Ledger(Coverage(since_ms=NOON_MS + 50_000))
    end_ms = NOON_MS + 2 * LATE_WINDOW_MS
    ledger.advance(surveyed([listed("S3-newest", end_ms)], end_ms), end_ms)
    ledger.begin_at(0)
    between = listed("S3-between", NOON_MS + 20_000)
    frontier_ms = NOON_MS + 10_000 + LATE_WINDOW_MS
    survey = surveyed([between], end_ms + HOUR_MS)
    ledger.record_shipped(Position(between, 1))
    ledger.advance(survey, frontier_ms)
    assert not ledger.is_due(between)


def surveyed(seen: list[LogObject], now_ms: int) -> Survey:
    survey = Survey(now_ms=now_ms, is_sweep=True)
    for one in seen:
        survey.note(one)
    return survey


def test_a_version_that_is_shown_again_is_not_shipped_at_each_iteration() -> None:
    """Where the newest version is deleted, an older one with its own `LastModified` returns."""
    ledger = Ledger(Coverage(since_ms=0))
    for version in (listed("S3-a", NOON_MS + HOUR_MS, "2"), listed("S3-a", NOON_MS, "1")):
        assert ledger.is_due(version)
        ledger.record_shipped(Position(version, 1))
    assert not ledger.is_due(listed("S3-a", NOON_MS, "1"))
    assert not reloaded(ledger).is_due(listed("S3-a", NOON_MS, "1"))


def test_a_replaced_object_is_due_behind_what_was_shipped_of_it() -> None:
    ledger = Ledger(Coverage(since_ms=0))
    damaged = listed("S3-a", NOON_MS + 54_321, "damaged")
    ledger.record_shipped(Position(damaged, 7, 42))
    whole = listed("S3-a", NOON_MS + HOUR_MS, "whole")
    for known in (ledger, reloaded(ledger)):
        assert not known.is_due(damaged)
        assert known.is_due(whole)
        assert known.position(whole) == Position(whole, 7, 42, earlier_ms=damaged.last_modified_ms)
    assert ledger.position(listed("S3-b", NOON_MS)) == Position(listed("S3-b", NOON_MS))


def test_coverage_begins_where_the_mode_says() -> None:
    ledger = Ledger(Coverage(since_ms=NOON_MS))
    ledger.begin_at(NOON_MS + 1)
    assert ledger.is_due(listed("S3-a", NOON_MS))
    assert not ledger.is_due(listed("S3-a", NOON_MS - 1))
    ledger.begin_at(NOON_MS - 1)
    assert ledger.is_due(listed("S3-a", NOON_MS - 1))


def test_an_object_is_found_up_to_24_hours_behind_the_newest() -> None:
    ledger = Ledger(Coverage(since_ms=0))
    ledger.advance(surveyed([listed("S3-newest", NOON_MS)], NOON_MS), NOON_MS)
    assert ledger.is_due(listed("S3-late", NOON_MS - LATE_WINDOW_MS))
    assert not ledger.is_due(listed("S3-too-late", NOON_MS - LATE_WINDOW_MS - 1))


def test_the_state_stays_small_over_many_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utils.state.ledger, "MAX_RECENT_OBJECTS", 50)
    ledger = Ledger(Coverage(since_ms=0))
    for hour in range(100):
        new = [
            listed(f"{hour // 9}/S3-{hour}-{n}", NOON_MS + hour * HOUR_MS + n) for n in range(20)
        ]
        survey = surveyed(new, new[-1].last_modified_ms)
        for one in new:
            ledger.record_shipped(Position(one, 1))
        ledger.advance(survey, survey.now_ms)
        assert len(ledger.coverage.recent) // RECENT_ROW.size <= 50
        assert ledger.is_crowded == (hour >= 2)
    assert len(ledger.coverage.covered) == 1


def test_old_folders_are_listed_once_a_day_and_again_when_the_clock_is_set_back() -> None:
    ledger = Ledger(Coverage(since_ms=0))

    def places(now_ms: int) -> list[str | None]:
        backlog = Backlog(now_ms=now_ms)
        found = backlog.places([ledger], ["a/", "b/"])
        for one in (listed("a/S3-1", NOON_MS - 2 * LATE_WINDOW_MS), listed("b/S3-1", NOON_MS)):
            backlog.survey.note(one)
        ledger.advance(backlog.survey, NOON_MS)
        return found

    assert places(NOON_MS) == [""]
    assert ledger.is_dormant("a/")
    assert not ledger.is_dormant("b/")
    assert places(NOON_MS + SWEEP_EVERY_MS - 1) == [None, "b/"]
    assert places(NOON_MS + SWEEP_EVERY_MS) == [""]
    assert places(NOON_MS + SWEEP_EVERY_MS + 1) == [None, "b/"]
    assert places(NOON_MS) == [""]


@given(times=st.lists(st.integers(0, 5), max_size=12), most=st.integers(1, 8))
def test_a_plan_is_the_oldest_objects_oldest_first(times: list[int], most: int) -> None:
    due = [listed(f"{number % 3}/S3-{number}", time) for number, time in enumerate(times)]
    plan = oldest(iter(due), most)
    assert plan == sorted(due, key=lambda one: (one.last_modified_ms, one.key))[:most]


def test_a_survey_knows_the_newest_of_all_and_of_each_folder() -> None:
    survey = Survey()
    for key, time in [("a/x", 5), ("a/b/y", 9), ("c/z", 7), ("top", 2), ("a/x2", 3)]:
        survey.note(listed(key, time))
    assert survey.newest_ms == 9
    assert survey.newest_by_folder == {"a/": 9, "c/": 7, "": 2}


def test_everything_is_listed_where_that_takes_fewer_pages_than_the_folders() -> None:
    ledger = Ledger(Coverage(0, swept_ms=NOON_MS, swept_objects=1_999))
    backlog = Backlog("x", NOON_MS)
    assert backlog.places([ledger], ["a/", "b/"]) == [None, "a/", "b/"]
    assert backlog.places([ledger], ["a/", "b/", "c/"]) == ["x"]
    assert not backlog.survey.is_sweep


def test_a_folder_with_the_hash_of_another_is_not_dormant_while_that_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("utils.state.ledger.folder_hash", lambda _: 7)
    ledger = Ledger(Coverage(0))
    old, new = listed("a/S3-1", NOON_MS - 2 * LATE_WINDOW_MS), listed("b/S3-1", NOON_MS)
    ledger.advance(surveyed([old, new], NOON_MS), NOON_MS)
    assert not ledger.is_dormant("b/")
    ledger.advance(surveyed([old], NOON_MS), NOON_MS)
    assert ledger.is_dormant("a/")


def test_what_is_written_while_a_bucket_is_listed_does_not_have_it_listed_again() -> None:
    ledger = Ledger(Coverage(0))
    ledger.advance(surveyed([listed("a/S3-1", NOON_MS + 1)], NOON_MS), NOON_MS + 1)
    assert not ledger.is_sweep_due(NOON_MS + HOUR_MS)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("logs/", {"": 2, "logs/a/": 9, "logs/archive/": 7}),
        ("logs/a", {"": 1, "logs/a/": 9, "logs/archive/": 7}),
        ("logs", {"logs/": 9}),
        ("", {"logs/": 9}),
    ],
)
def test_folders_are_those_below_the_prefix(prefix: str, expected: dict[str, int]) -> None:
    objects = [
        ("logs/a/x", 5),
        ("logs/a/b/y", 9),
        ("logs/archive/z", 7),
        ("logs/top", 2),
        ("logs/at", 1),
    ]
    survey = Survey(prefix, LATE_WINDOW_MS + 10, is_sweep=True)
    ledger = Ledger(Coverage(0), prefix)
    for key, time_ms in objects:
        if key.startswith(prefix):
            survey.note(listed(key, time_ms))
    assert survey.newest_by_folder == expected
    ledger.advance(survey, LATE_WINDOW_MS + 10)
    assert {folder for folder in expected if ledger.is_dormant(folder)} == expected.keys()
    for key, _ in objects:
        if key.startswith(prefix):
            assert ledger.is_due(listed(key, 10)), "it is new in a folder that was quiet"


@pytest.mark.parametrize(
    ("key", "log_type"),
    [
        ("March-2024/S3-bucket-2024-03-01-00-00-00.gz", "S3"),
        ("October-2022/S3-2022-20-10-14-09-31.gz", "S3"),
        ("March-2024/IAM-2024-03-01-00-00-00.gz", "IAM"),
        ("March-2024/console-2024-03-01-00-00-00.gz", "Console"),
        ("March-2024/Console-2024-03-01-00-00-00.gz", "Console"),
        ("s3-lower.gz", "S3"),
        ("S3-IAM-console-2024.gz", "S3"),
        ("IAM-console/S3-console.gz", "S3"),
        ("a//S3-b c%20ü.gz", "S3"),
        ("S3.gz", None),
        ("S3-folder/other.gz", None),
        ("March-2024/S3-folder/", None),
        ("March-2024/xS3-a.gz", None),
        ("", None),
    ],
)
def test_the_type_is_told_by_the_beginning_of_the_base_name(key: str, log_type: str | None) -> None:
    one = listed(key, NOON_MS)
    found = [source.log_type for source in SOURCES if source.is_of_type(one)]
    assert found == [*([log_type] if log_type else []), "Access"]


def test_an_empty_object_that_stands_for_a_folder_is_no_access_log() -> None:
    access = SOURCES[-1]
    assert not access.is_of_type(LogObject(NOON_MS, "access/", "1", 0))
    assert access.is_of_type(LogObject(NOON_MS, "access/empty", "1", 0))
