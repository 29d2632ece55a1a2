"""Trials in memory: a bucket, the processes that ship it, and what the services hold then."""

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from tests.world.audit_objects import (
    DAY_MS,
    REFUSED,
    AuditObject,
    everything,
    fill,
    messages_of,
    quarantine_of,
    quarantined,
)
from tests.world.faults import Fault, Killed, Life
from tests.world.in_memory import World, source_of
from tests.world.in_memory_time import HOUR_MS, NOON_MS
from utils.config.settings import Source

SINCE_MS = {"all": 0, "29/02/2024": NOON_MS - DAY_MS // 2, "lasthour": None}
STANDIN = {"visible_after_ms": 20_000, "refuse_containing": REFUSED}


class Trial:
    """One bucket of everything, shipped by as many processes as it takes.

    Args:
        mode: of the source.
        changes: of the source's other settings.
    """

    def __init__(self, mode: str, **changes: object) -> None:
        self.objects = everything()
        self.world = World(**STANDIN)
        fill(self.world, self.objects)
        since_ms = SINCE_MS[mode]
        self.source = source_of(since_ms=since_ms, **changes)
        self.since_ms = NOON_MS - HOUR_MS if since_ms is None else since_ms
        if since_ms is None:
            self.world.start_up(self.source)

    def kill_at(self, point: str) -> bool:
        """Runs a process that is killed at a point; returns if it came there."""
        return self.world.run(self.source, {point: Killed()}).is_killed

    def finish(self) -> None:
        """Runs a process to its end, and checks what the services hold.

        Raises:
            AssertionError: something is lost, doubled or in the wrong place.
        """
        assert self.world.run(self.source).is_good, self.world.statuses()
        stored = self.world.messages()
        assert_same(stored, messages_of(self.objects, self.since_ms))
        quarantine = quarantine_of(self.objects, self.since_ms)
        assert quarantined(self.world) == quarantine
        assert self.world.run(self.source).is_good
        assert_same(self.world.messages(), stored)


def assert_same(stored: Counter[str], due: Counter[str]) -> None:
    """Compares what is stored with what is due.

    Raises:
        AssertionError: something is lost or doubled.
    """
    lost, doubled = due - stored, stored - due
    assert (lost.total(), doubled.total()) == (0, 0), f"lost {lost}, doubled {doubled}"


def take_small_steps(patch: pytest.MonkeyPatch) -> None:
    """Makes runs, saves and windows of a few lines: a few events show what millions would."""
    for name, value in {
        "utils.lines.runs.MAX_RUN_LINES": 7,
        "utils.lines.runs.MAX_RUN_OBJECTS": 3,
        "utils.lines.runs._ENOUGH_OBJECTS": 2,
        "services.output.checkpoint_saver._SAVE_EVERY_LINES": 10,
        "services.output.checkpoint_saver.WINDOW_LINES": 28,
        "services.output.checkpoint_saver.WINDOW_OBJECTS": 6,
        "services.reading.object_reader.VERIFIED_BYTES": 600,
        "services.shipping.reconcile.WINDOW_LINES": 28,
        "utils.state.progress.WINDOW_OBJECTS": 6,
    }.items():
        patch.setattr(name, value)


def shipped(world: World, source: Source, faults: Mapping[str, Fault] | None = None) -> Life:
    """Runs a process that ends well, and returns it.

    Raises:
        AssertionError: it does not end well.
    """
    life = world.run(source, faults)
    assert life.is_good, world.statuses()
    return life


def world_of(objects: Iterable[AuditObject], **settings: object) -> World:
    """Returns a world with objects; stored events can be read back after 20 seconds.

    Args:
        objects: in the audit bucket.
        settings: further ones of CloudWatch's stand-in.
    """
    world = World(**{**STANDIN, **settings})
    for one in objects:
        world.put(one.key, one.content, one.modified_ms)
    return world
