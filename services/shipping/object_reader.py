"""Streams the bytes of objects, several opened ahead, resuming a body that breaks."""

from collections.abc import Iterable, Iterator
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import HTTPClientError, IncompleteReadError

from services.aws.errors import AUDIT_BUCKET_HINTS, MISSING_OBJECT, lyve_errors
from services.aws.get_request import GetClient
from services.threads.worker_pool import WorkerPool
from utils.errors import ServiceError, StoppedError, TransientError
from utils.lines.decompression import DeletedError, ReplacedError
from utils.model import LogObject

if TYPE_CHECKING:
    from concurrent.futures import Future

    from botocore.response import StreamingBody

OBJECTS_OPENED_AHEAD = 4
_PIECE_BYTES = 128 * 1024
_RESUMES = 5


class ObjectReader:
    """Reads objects of one bucket as they were listed.

    A request that fails in a way that passes is sent again here alone, and a body that breaks is
    resumed: five times without progress.

    Args:
        client: of the bucket.
        stop: set when the process is to end.
    """

    def __init__(self, client: GetClient, stop: Event) -> None:
        self._client = client
        self._stop = stop
        self._opening: dict[LogObject, Future[StreamingBody]] = {}
        self._openers = WorkerPool(self._open, OBJECTS_OPENED_AHEAD)
        self.bytes_read = 0

    def open_ahead(self, log_objects: Iterable[LogObject]) -> None:
        """Asks for the bodies of objects to be read next: those of small ones arrive meanwhile."""
        for log_object in log_objects:
            if log_object.size_bytes and log_object not in self._opening:
                self._opening[log_object] = self._openers.submit(log_object)

    def close(self) -> None:
        """Lets go of what was opened ahead."""
        self._openers.close()
        self._opening.clear()

    def pieces(self, log_object: LogObject) -> Iterator[bytes]:
        """Yields the object's bytes in order.

        Raises:
            DamagedError: it was replaced or deleted.
            ServiceError: it can't be read now.
        """
        offset = failures = 0
        while offset < log_object.size_bytes:
            try:
                for piece in self._opened(log_object, offset).iter_chunks(_PIECE_BYTES):
                    offset += len(piece)
                    self.bytes_read += len(piece)
                    failures = 0
                    yield piece
            except (TransientError, HTTPClientError, IncompleteReadError, OSError) as exc:
                failures += 1
                self._pause_after(failures, log_object, exc)

    def _pause_after(self, failures: int, log_object: LogObject, exc: Exception) -> None:
        if failures > _RESUMES:
            if isinstance(exc, TransientError):
                raise exc
            raise ServiceError(
                f"Can't read {log_object.key} in the audit bucket",
                f"{type(exc).__name__}, {failures} times in a row",
                "Check the network; the next iteration goes on here",
            ) from exc
        if self._stop.wait(0.1 * 2**failures):
            raise StoppedError("Stopped while an object was read")

    def _body(self, log_object: LogObject, offset: int) -> "StreamingBody":
        try:
            with lyve_errors(f"read {log_object.key} in the audit bucket", AUDIT_BUCKET_HINTS):
                return self._client.get(log_object, offset)
        except ServiceError as exc:
            _raise_if_ended(exc)
            raise

    def _opened(self, log_object: LogObject, offset: int) -> "StreamingBody":
        opening = self._opening.pop(log_object, None)
        return opening.result() if opening else self._body(log_object, offset)

    def _open(self, log_object: LogObject) -> "StreamingBody":
        return self._body(log_object, 0)


def _raise_if_ended(error: ServiceError) -> None:
    """Tells an object that changed from one that can't be read."""
    if error.detail in {"PreconditionFailed", "412"}:
        raise ReplacedError("it was replaced while being read") from error
    if error.detail in MISSING_OBJECT:
        raise DeletedError("it was deleted before it was read") from error
