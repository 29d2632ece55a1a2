"""Saves the checkpoint behind the pipeline, on a thread of its own."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Condition, Event

from services.threads.executor import begin
from utils.errors import StoppedError
from utils.model import WINDOW_LINES, WINDOW_OBJECTS
from utils.state.checkpoint import claim_seconds
from utils.state.progress import Mark, Snapshot

_SAVE_EVERY_LINES = 10_000
_SAVE_EVERY_SECONDS = 5.0
_SHORTEST_INTERVAL_SECONDS = 0.2
# A daemon that begins looks what is stored, at the earliest `settle_seconds` after the last save.
# What was sent within this part of that time is stored by then.
_ALIVE_PART = 0.75


class CheckpointSaver:
    """Saves the checkpoint behind the pipeline, which stops only when it is too far ahead.

    It saves at least every 5 seconds or half of `settle_seconds`, so that a living daemon can be
    told from a dead one, every 10,000 lines and every 100 objects. `save` writes a document, unless
    another process wrote one since the last.
    """

    def __init__(
        self,
        save: Callable[[bytes], object],
        snapshot: Callable[[], Snapshot],
        settle_seconds: float,
        elapsed_seconds: Callable[[], float],
    ) -> None:
        self._write = save
        self._snapshot = snapshot
        self._elapsed_seconds = elapsed_seconds
        self._alive_seconds = max(2 * _SHORTEST_INTERVAL_SECONDS, _ALIVE_PART * settle_seconds)
        interval = min(_SAVE_EVERY_SECONDS, settle_seconds / 2)
        self._interval_seconds = max(_SHORTEST_INTERVAL_SECONDS, interval)
        self._claim_seconds = claim_seconds(settle_seconds)
        self._claimed_seconds = 0.0
        self._is_confirmed = False
        self._changed = Condition()
        # Of the last save: when it began, how far it reaches, and how many objects it names.
        self._saved_from_seconds = float("-inf")
        self._mark = Mark()
        self._objects_named = 0
        self._saves = 0
        self._is_wanted = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._saving: Future[None] | None = None

    def start(self) -> None:
        """Claims the source by a first save, and begins to save again and again.

        Raises:
            ForwarderError: it can't be saved, as with another owner.
        """
        self._save()
        self._claimed_seconds = self._elapsed_seconds()
        self._saving = begin(self._work)

    def confirm(self, stop: Event) -> None:
        """Waits until the claim has held so long that no other can have been written beside it.

        Raises:
            ForwarderError: another process claimed the source too, or a save has failed.
            StoppedError: the process is to end.
        """
        if self._is_confirmed:
            return
        held_seconds = self._elapsed_seconds() - self._claimed_seconds
        if stop.wait(max(0.0, self._claim_seconds - held_seconds)):
            raise StoppedError
        # Each save looks first if the checkpoint is still the one that was written last.
        held_until_seconds = self._elapsed_seconds()
        while self._saved_from_seconds < held_until_seconds:
            if stop.is_set():
                raise StoppedError
            self.wait_for_save(_SAVE_EVERY_SECONDS)
            self._check()
        self._is_confirmed = True

    def advance(self, mark: Mark) -> None:
        """Asks for a save when enough is acknowledged."""
        with self._changed:
            far = mark.lines - self._mark.lines >= _SAVE_EVERY_LINES
            if far or mark.objects - self._mark.objects >= WINDOW_OBJECTS // 2:
                self._ask()

    def has_room(self, mark: Mark, objects_to_save: int) -> bool:
        """Tells if lines up to the mark may be sent; raises what a save has failed with.

        Args:
            mark: the lines up to and with those, and the objects before theirs.
            objects_to_save: so many objects are to be saved as completed before.
        """
        with self._changed:
            self._check()
            is_near = mark.lines - self._mark.lines <= WINDOW_LINES
            is_named = mark.objects < self._objects_named
            return is_near and is_named and self._mark.objects >= objects_to_save

    def may_send(self) -> bool:
        """Tells if no other daemon can take this one for dead by now; else asks for a save.

        Raises:
            ForwarderError: a save has failed, as with another owner.
        """
        with self._changed:
            self._check()
            is_alive = self._elapsed_seconds() - self._saved_from_seconds < self._alive_seconds
            if not is_alive:
                self._ask()
            return is_alive

    def wait_for_save(self, timeout_seconds: float) -> None:
        """Waits until a save is done, or the time is over."""
        with self._changed:
            saves = self._saves
            self._ask()
            self._changed.wait_for(lambda: self._saves > saves or self._error, timeout_seconds)

    def close(self) -> None:
        """Ends the thread; the last save is the caller's, with `save_last`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._saving:
            wait([self._saving])

    def save_last(self) -> None:
        """Saves once more after `close`, unless a save has failed before."""
        self._check()
        self._save()

    def _check(self) -> None:
        if self._error:
            raise self._error

    def _ask(self) -> None:
        self._is_wanted = True
        self._changed.notify_all()

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._is_wanted or self._is_closed, self._interval_seconds
                    )
                    if self._is_closed:
                        return
                self._save()
        except BaseException as exc:  # noqa: BLE001 - `_check` raises it
            with self._changed:
                self._error = exc
                self._changed.notify_all()

    def _save(self) -> None:
        began_seconds = self._elapsed_seconds()
        snapshot = self._snapshot()
        self._write(snapshot.document)
        with self._changed:
            self._mark = snapshot.mark
            self._objects_named = snapshot.objects_named
            self._saved_from_seconds = began_seconds
            self._saves += 1
            self._is_wanted = False
            self._changed.notify_all()
