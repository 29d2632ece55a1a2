"""Who saved long ago may be taken for dead, and sends nothing before the next save."""

from copy import copy
from itertools import count
from threading import Event, Thread

import pytest

from services.output.checkpoint_saver import CheckpointSaver
from tests.servers.installation import eventually
from tests.world.in_memory_time import VirtualTime
from utils.errors import OwnerError
from utils.state.progress import Mark, Snapshot

SETTLE_SECONDS = 30.0
# No test waits this long, unless the program hangs.
DEADLINE_SECONDS = 20.0


class Store:
    """A checkpoint; each save waits until it is let through, and may end with an error."""

    def __init__(self) -> None:
        self.error: OwnerError | None = None
        self.is_claimed = False
        self.begun, self.let_through = Event(), Event()

    def save(self, _document: bytes) -> None:
        if not self.is_claimed:
            self.is_claimed = True
            return
        self.begun.set()
        assert self.let_through.wait(DEADLINE_SECONDS)
        self.let_through.clear()
        if self.error:
            raise self.error


class Trial:
    """A saver, its store and a clock that no one waits for."""

    def __init__(self) -> None:
        self.time, self.store = VirtualTime(), Store()
        self.saves = count(1)
        self.saver = CheckpointSaver(
            self.store.save,
            lambda: Snapshot(b"{}", Mark(), next(self.saves)),
            SETTLE_SECONDS,
            self.time.seconds,
        )
        self.began_seconds = self.time.seconds()
        self.saver.start()

    def save(self, takes_seconds: float = 0) -> None:
        """Lets the saver save what it is asked to."""
        assert self.store.begun.wait(DEADLINE_SECONDS)
        self.store.begun.clear()
        self.time.now_ms += round(takes_seconds * 1000)
        self.store.let_through.set()
        last = Mark(objects=next(copy(self.saves)) - 2)
        eventually(lambda: self.saver.has_room(last, 0), "the end of a save")


class Stop(Event):
    """A stop that nobody asks for; to wait for it lets the time pass.

    Args:
        time: what is moved.
    """

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        self._time.now_ms += round((timeout or 0) * 1000)
        return False


def test_a_claim_is_looked_at_again_before_anything_is_sent() -> None:
    """Two that wake at the same round hour can both look before either has written."""
    trial = Trial()
    confirming = Thread(target=trial.saver.confirm, args=(Stop(trial.time),), daemon=True)
    confirming.start()
    assert trial.store.begun.wait(DEADLINE_SECONDS)
    assert trial.time.seconds() - trial.began_seconds == 1
    trial.save()
    confirming.join(DEADLINE_SECONDS)
    assert not confirming.is_alive()
    trial.saver.confirm(Stop(trial.time))


def test_a_claim_that_another_has_overwritten_sends_nothing() -> None:
    trial = Trial()
    trial.store.error = OwnerError("Another daemon ships this source", "another owner", "Stop one")
    trial.store.let_through.set()
    with pytest.raises(OwnerError):
        trial.saver.confirm(Stop(trial.time))


def test_an_old_save_is_renewed_before_anything_is_sent() -> None:
    trial = Trial()
    trial.time.now_ms += 22_400
    assert trial.saver.may_send()
    trial.time.now_ms += 100
    assert not trial.saver.may_send()
    trial.save()
    assert trial.saver.may_send()


def test_a_save_counts_from_its_beginning() -> None:
    """Another daemon may have seen it as soon as it was on its way."""
    trial = Trial()
    trial.time.now_ms += 22_500
    assert not trial.saver.may_send()
    trial.save(takes_seconds=22.5)
    assert not trial.saver.may_send()


def test_an_owner_that_has_changed_is_told() -> None:
    trial = Trial()
    trial.time.now_ms += 22_500
    assert not trial.saver.may_send()
    trial.store.error = OwnerError("Another daemon ships this source", "another owner", "Stop one")
    with pytest.raises(OwnerError):
        trial.save()
    with pytest.raises(OwnerError):
        trial.saver.may_send()
