"""A source with `until`: what is written from that day on is left out, and due where it moves."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.servers.installation import BUCKET, Installation
from tests.world.audit_events import gzip_lines
from tests.world.faults import Fault, client_error
from tests.world.in_memory import World, source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS

DAY_HOURS = 24
# 1 March 2024, the midnight after the world's noon.
UNTIL_MS = NOON_MS + 12 * HOUR_MS
LATEST_KEY = "integration-logs/latest-audit-logs-S3.json"
COMPLETE = "Everything written before 01/03/2024 is shipped"


def put(world: World, name: str, hours: float, folder: str = "February-2024") -> None:
    """Writes an object of one line, so many hours after the day of `until` began."""
    written_ms = UNTIL_MS + round(hours * HOUR_MS)
    world.put(f"{folder}/S3-{name}.gz", gzip_lines([json.dumps({"n": name}).encode()]), written_ms)


def run_at(
    world: World, hours: float, faults: dict[str, Fault] | None = None, **own: object
) -> bool:
    """Runs an iteration so many hours after that; returns if it went well."""
    world.time.now_ms = UNTIL_MS + round(hours * HOUR_MS)
    source = source_of(**{"until_ms": UNTIL_MS, **own})
    return world.run(source, faults or {}).is_good


def shipped(world: World) -> list[str]:
    return sorted(str(json.loads(text)["n"]) for text in world.messages().elements())


def complete(world: World) -> list[str]:
    return [line for line in world.statuses() if COMPLETE in line]


def test_what_is_written_from_that_day_on_is_left_out() -> None:
    world = World()
    for name, hours in {"a": -30, "b": -1 / HOUR_MS, "c": 0, "d": 30}.items():
        put(world, name, hours)
    assert run_at(world, 31)
    assert shipped(world) == ["a", "b"]


@given(
    written=st.lists(st.tuples(st.integers(-200, 200), st.sampled_from("AB")), max_size=12),
    looks=st.lists(st.integers(-200, 400), max_size=6),
)
def test_everything_left_out_is_shipped_once_when_the_bound_goes(
    written: list[tuple[int, str]], looks: list[int]
) -> None:
    """Coverage must not reach what was left out, however old it is by then: it would be lost."""
    world = World()
    names = {f"{number}": one for number, one in enumerate(sorted(written))}
    waiting = dict(names)
    for look in sorted(looks):
        for name, (hours, folder) in list(waiting.items()):
            if hours <= look:
                put(world, name, hours, folder)
                del waiting[name]
        assert run_at(world, look)
    for name, (hours, folder) in waiting.items():
        put(world, name, hours, folder)
    in_time = [name for name, (hours, _) in names.items() if hours < 0]
    late = {name for name in waiting if names[name][0] < max([*looks, -201]) - DAY_HOURS}
    assert run_at(world, 401)
    assert set(in_time) - late <= set(shipped(world)) <= set(in_time)
    for day in (1, 2):
        assert run_at(world, 401 + day * DAY_HOURS, until_ms=None)
    assert set(shipped(world)) >= set(names) - late
    assert len(shipped(world)) == len(set(shipped(world)))


def test_that_it_is_complete_is_said_once_whatever_restarts_follow() -> None:
    world = World()
    put(world, "a", -1)
    for hours in (-0.5, 0, 1, 40):
        assert run_at(world, hours)
    (line,) = complete(world)
    assert line.startswith("2024-03-01T00:00:0")
    assert " INFO " in line
    assert json.loads(world.output(LATEST_KEY))["complete_until"] == "2024-03-01T00:00:00Z"
    assert "Done sending" in json.loads(world.output(LATEST_KEY))["message"]


def test_it_is_not_complete_while_an_object_is_owed_or_an_iteration_failed() -> None:
    world = World()
    put(world, "a", -1)
    assert not run_at(world, 1, {"stream 1": client_error("AccessDeniedException")})
    assert complete(world) == []
    key = "February-2024/S3-b.gz"
    whole = gzip_lines([b'{"n": "b"}'])
    world.put(key, whole[:-4], UNTIL_MS - 1)
    run_at(world, 2)
    assert complete(world) == []
    world.put(key, whole, UNTIL_MS - 1)
    assert run_at(world, 3)
    assert len(complete(world)) == 1
    assert shipped(world) == ["a", "b"]


def test_a_bound_that_moves_is_complete_anew() -> None:
    world = World()
    put(world, "a", -1)
    put(world, "b", 1)
    assert run_at(world, 2)
    assert run_at(world, 3, until_ms=None)
    assert json.loads(world.output(LATEST_KEY))["complete_until"] is None
    assert run_at(world, 30, until_ms=UNTIL_MS + DAY_HOURS * HOUR_MS)
    assert [line for line in world.statuses() if "written before 02/03/2024 is shipped" in line]
    assert shipped(world) == ["a", "b"]


def test_what_is_not_to_be_shipped_is_no_gap() -> None:
    world = World()
    put(world, "a", -1)
    for hours in (0, 30, 300):
        assert run_at(world, hours, gap_hours=DAY_HOURS)
    assert [line for line in world.statuses() if "gap_since=" in line] == []


def test_the_plan_and_the_start_know_it(installation: Installation) -> None:
    installation.configuration |= {"mode": "05/01/2024", "until": "05/02/2024"}
    installation.put("May-2024/S3-a.gz", gzip_lines([b"{}"]))
    plan = installation.run("--plan")
    span = (
        "everything written since 5 January 2024, 00:00 UTC and before 5 February 2024, 00:00 UTC"
    )
    assert f"covers         {span}\n" in plan.stdout
    assert "objects due    0\n" in plan.stdout
    with installation.start() as engine:
        engine.wait_until_said(f"{span}. Objects due now: 0.")
        assert engine.stop().exit_status == 0
    done = installation.once()
    assert (done.exit_status, done.done.pairs["objects"]) == (0, "0")
    assert "Everything written before 05/02/2024 is shipped" in done.stderr
    assert installation.latest(f"{BUCKET}-S3")["complete_until"] == "2024-02-05T00:00:00Z"
