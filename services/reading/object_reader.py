"""Streams the bytes of objects, several opened ahead, resuming a body that breaks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from hashlib import md5
from itertools import chain, islice, repeat
from threading import Event
from typing import Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from msgspec.structs import replace

from services.aws.errors import AUDIT_BUCKET_HINTS, S3_ELSEWHERE, lyve_errors
from services.aws.get_request import Asked, GetClient, ObjectBody, OtherContentError
from services.aws.integrity import differ, is_md5
from services.aws.outcomes import MISSING_OBJECT, WrongAnswerError
from services.threads.backoff import pause_seconds
from utils.errors import (
    ServiceError,
    StoppedError,
    TransientError,
    UnreadableError,
    WrongContentError,
)
from utils.lines.decompression import DeletedError, ReplacedError
from utils.model import LogObject

Item = TypeVar("Item")

# A larger object is asked for when it is read: its answer would wait in the system's buffers, and a
# server does not wait for long until it can send the rest.
_ASKED_AHEAD_BYTES = 256 * 1024
# An object of up to so many bytes has to prove whole before anything of it is handed out.
VERIFIED_BYTES = 1024 * 1024
_PIECE_BYTES = 128 * 1024
_RESUMES = 5
_LOOKS = 3
# If so many objects in a row can't be read, it is not their fault: the service or the network
# fails, or something else answers.
_MOST_IN_A_ROW = 3
_MOST_WRONG_IN_A_ROW = 10
# The store dates an object in its listing by the millisecond, and in HEAD by the second.
_SAME_MOMENT_MS = 1000
_CHANGED = {"PreconditionFailed", "412", "InvalidRange", "416"}
# Refusals that concern all objects alike.
_OF_THE_BUCKET = {
    "AuthorizationHeaderMalformed",
    "InvalidAccessKeyId",
    "NoSuchBucket",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_PASSES = (HTTPClientError, IncompleteReadError, OSError, WrongAnswerError, TransientError)


class Looks(Protocol):
    """Other ways than GET to see an object."""

    def head(self, key: str) -> LogObject | None:
        """Returns the object as HEAD shows it, None if it is not there."""

    def find(self, key: str) -> LogObject | None:
        """Returns the object as the listing shows it, None if it is not there."""


class _TooLongError(WrongAnswerError):
    """More bytes came than are listed, so those before are not to be trusted either."""


class ObjectReader:
    """Reads objects of one bucket as they were listed.

    Only here is a request sent again whose failure passes, and a body resumed that breaks: five
    times without progress. An answer that is not to what was asked is no progress.

    Args:
        client: of the bucket.
        stop: set when the process is to end.
        looks: shows an object in other ways: no single answer proves it deleted or replaced.
        concurrency: so many small objects are under way, at most. They are asked for by halves,
            so that the server is woken once for many.
    """

    def __init__(self, client: GetClient, stop: Event, looks: Looks, concurrency: int) -> None:
        self._client = client
        self._stop = stop
        self._looks = looks
        # One by one, as their connections are opened: else the first object would wait for all.
        self._group_sizes = chain(range(1, concurrency // 2), repeat(max(1, concurrency // 2)))
        # By what was asked for: the object, and the offset of the first byte.
        self._asked: dict[tuple[LogObject, int], Asked] = {}
        self._troubled_in_a_row = 0
        self._has_md5s = False
        self.bytes_read = 0

    def ahead(
        self, items: Iterable[Item], object_of: Callable[[Item], LogObject]
    ) -> Iterator[Item]:
        """Yields the items, and asks before for the bodies of the objects to be read next.

        Args:
            items: in the order in which their objects are read.
            object_of: returns the object of an item.
        """
        coming = iter(items)
        asked: list[Item] = []
        try:
            while group := list(islice(coming, next(self._group_sizes))):
                self._ask([object_of(item) for item in group])
                yield from asked
                asked = group
            yield from asked
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of what was asked for ahead and is not being read; it is asked for anew."""
        with suppress(KeyError):  # all are closed
            while True:
                # Another thread may be reading: each is taken once, by it or here.
                self._asked.popitem()[1].close()

    def pieces(self, log_object: LogObject) -> Iterator[bytes]:
        """Yields the object's bytes in order, as `Reading.pieces` does."""
        return Reading(self, log_object).pieces()

    def whole(self, known: LogObject) -> tuple[bytes, bool]:
        """Returns all bytes, and whether their MD5 is the ETag.

        Raises:
            DamagedError: it was replaced or deleted.
            ServiceError: it can't be read now.
        """
        last = ""
        reason = "more bytes came than are listed"
        for number in range(1, _LOOKS + 1):
            try:
                content = b"".join(self.stream(known))
            except _TooLongError:
                pass
            else:
                digest = md5(content, usedforsecurity=False).hexdigest()
                if not is_md5(known.etag) or self.is_proven(known, digest):
                    return content, is_md5(known.etag)
                if digest == last and not self._has_md5s:
                    return content, False
                last, reason = digest, "the MD5 of its bytes is not its ETag"
            if number < _LOOKS:
                self._pause(number)
        raise unreadable(known, f"{reason}, {_LOOKS} times in a row")

    def is_proven(self, known: LogObject, digest: str) -> bool:
        """Tells if the MD5 of all bytes is the ETag."""
        fits = digest == known.etag.lower()
        self._has_md5s = self._has_md5s or fits
        return fits

    def check_again(self, known: LogObject, size_bytes: int, digest: str) -> None:
        """Makes sure that the object's first bytes are what they were, by reading it once more.

        A store may have ETags that only look like an MD5: if none has ever fitted, bytes that come
        twice alike are believed.

        Args:
            known: as it was listed.
            size_bytes: how many.
            digest: the MD5 of those bytes, as they came before.

        Raises:
            DamagedError: it was replaced or deleted.
            ServiceError: they are not, or can't be read now.
        """
        first, all_of_it = md5(usedforsecurity=False), md5(usedforsecurity=False)
        left = size_bytes
        try:
            for piece in self.stream(known):
                first.update(piece[:left])
                all_of_it.update(piece)
                left = max(0, left - len(piece))
        except _TooLongError as exc:
            raise unreadable(known, "more bytes came than are listed") from exc
        if first.hexdigest() != digest:
            raise unreadable(known, "it was read twice, and its bytes differ")
        is_wrong = is_md5(known.etag) and not self.is_proven(known, all_of_it.hexdigest())
        if is_wrong and self._has_md5s:
            raise unreadable(known, "the MD5 of its bytes is not its ETag")

    def check_empty(self, known: LogObject) -> None:
        """Makes sure that an object that is listed without bytes has none.

        Raises:
            ServiceError: it has some.
        """
        now = self._looks.head(known.key)
        if now and now.size_bytes:
            raise unreadable(known, f"it is listed as empty, and has {now.size_bytes} bytes")

    def stream(self, known: LogObject) -> Iterator[bytes]:
        """Yields as many bytes as are listed, as they come.

        Raises:
            DamagedError: it was replaced or deleted.
            ServiceError: it can't be read now.
            WrongAnswerError: more bytes came than are listed.
        """
        asked, etag = known, known.etag
        offset = failures = 0
        while offset < known.size_bytes:
            try:
                answer = self._opened(known, asked, offset, etag)
                etag = etag or answer.etag
                for piece in _bytes_of(answer, known.size_bytes - offset):
                    offset += len(piece)
                    self.bytes_read += len(piece)
                    failures = 0
                    yield piece
            except _TooLongError:
                raise
            except (*_PASSES, ServiceError) as exc:
                if offset == known.size_bytes:
                    # What breaks behind the listed size had more to come.
                    raise _TooLongError from exc
                asked, etag = self._after(exc, known, asked, etag)
                failures += 1
                self._pause_after(failures, known, exc)
        self._troubled_in_a_row = 0

    def _after(
        self, exc: Exception, known: LogObject, asked: LogObject, etag: str
    ) -> tuple[LogObject, str]:
        """Returns what to ask for next, and its ETag, if asking again can help."""
        if isinstance(exc, OtherContentError) or _code(exc) in _CHANGED:
            return self._as_it_is(known, asked, etag)
        if _code(exc) in MISSING_OBJECT:
            self._check_missing(known)
        elif not isinstance(exc, _PASSES):
            raise _refusal(exc) from exc
        return asked, etag

    def _as_it_is(self, known: LogObject, asked: LogObject, etag: str) -> tuple[LogObject, str]:
        """Returns what to ask for, and its ETag, after an answer that says that it has changed.

        Raises:
            DamagedError: it has, or it is gone.
            ServiceError: it can't be told now.
        """
        now, listed = self._seen(known)
        if now is None and listed is None:
            raise DeletedError("it was deleted before it was read")
        if now is None or listed is None:
            return asked, etag
        if not are_alike(listed, known):
            raise ReplacedError("it was replaced while being read")
        apart_ms = abs(now.last_modified_ms - listed.last_modified_ms)
        has_two_forms = now.size_bytes == known.size_bytes and apart_ms < _SAME_MOMENT_MS
        if not (are_alike(now, known) or has_two_forms):
            raise ReplacedError("it was replaced while being read")
        # It is as it was listed: the store refuses its own ETag, or has two forms of it.
        return replace(known, etag=""), now.etag

    def _check_missing(self, known: LogObject) -> None:
        if self._seen(known) == (None, None):
            raise DeletedError("it was deleted before it was read")

    def _seen(self, known: LogObject) -> tuple[LogObject | None, LogObject | None]:
        try:
            return self._looks.head(known.key), self._looks.find(known.key)
        except ServiceError as exc:
            raise unreadable(known, f"{exc.detail}, when it was looked for again") from exc

    def _pause_after(self, failures: int, known: LogObject, exc: Exception) -> None:
        if failures <= _RESUMES:
            self._pause(failures)
            return
        self._troubled_in_a_row += 1
        is_wrong = isinstance(exc, WrongAnswerError)
        most = _MOST_WRONG_IN_A_ROW if is_wrong else _MOST_IN_A_ROW
        is_own = self._troubled_in_a_row < most
        if isinstance(exc, ServiceError):
            if not is_own:
                raise exc
            raise UnreadableError(exc.message, exc.detail, exc.hint) from exc
        reason = f"the answer is wrong: {exc}" if is_wrong else type(exc).__name__
        error = unreadable(known, f"{reason}, {failures} times in a row")
        raise error if is_own else ServiceError(error.message, error.detail, error.hint) from exc

    def _pause(self, failures: int) -> None:
        if self._stop.wait(pause_seconds(failures - 1)):
            raise StoppedError

    def _opened(self, known: LogObject, asked: LogObject, offset: int, etag: str) -> ObjectBody:
        with lyve_errors(f"read {known.key} in the audit bucket", AUDIT_BUCKET_HINTS):
            asking = self._asked.pop((asked, offset), None) or self._client.ask(asked, offset)
            answer = asking.body()
        if differ(answer.etag, etag):
            answer.body.close()
            raise OtherContentError("its ETag is another one than before")
        return answer

    def _ask(self, objects: list[LogObject]) -> None:
        """Asks for objects ahead; one that can't be asked for is asked for when it is read."""
        with suppress(BotoCoreError):
            for one in objects:
                if 0 < one.size_bytes <= _ASKED_AHEAD_BYTES and (one, 0) not in self._asked:
                    self._asked[one, 0] = self._client.ask(one, 0)


class Reading:
    """One reading of an object.

    Args:
        reader: of its bucket.
        known: the object as it was listed.
    """

    def __init__(self, reader: ObjectReader, known: LogObject) -> None:
        self._reader = reader
        self._known = known
        self._digest = md5(usedforsecurity=False)
        self._read_bytes = 0
        self._is_proven = False

    def pieces(self) -> Iterator[bytes]:
        """Yields the object's bytes in order.

        Those of a small object are whole: where its ETag is an MD5, they fit it. Those of a large
        one come as they are read, and a wrong one is found at the end.

        Raises:
            DamagedError: it was replaced or deleted.
            UnreadableError: it alone can't be read now.
            ServiceError: nothing can be read now.
        """
        for piece in self._as_they_come():
            if not self._is_proven:
                self._digest.update(piece)
                self._read_bytes += len(piece)
            yield piece
        if self._known.size_bytes > VERIFIED_BYTES and is_md5(self._known.etag):
            self._is_proven = self._reader.is_proven(self._known, self._digest.hexdigest())
            if not self._is_proven:
                self._confirm()

    def check_damage(self) -> None:
        """Makes sure that what was read is the object's content: one look does not prove damage.

        Raises:
            DamagedError: it was replaced or deleted.
            ServiceError: it is not, or it can't be read now.
        """
        if not self._known.size_bytes:
            self._reader.check_empty(self._known)
        elif not self._is_proven:
            self._confirm()

    def _confirm(self) -> None:
        try:
            self._reader.check_again(self._known, self._read_bytes, self._digest.hexdigest())
        except UnreadableError as exc:
            raise WrongContentError(exc.message, exc.detail, exc.hint) from exc

    def _as_they_come(self) -> Iterator[bytes]:
        if self._known.size_bytes > VERIFIED_BYTES:
            try:
                yield from self._reader.stream(self._known)
            except _TooLongError as exc:
                error = unreadable(self._known, "more bytes came than are listed")
                raise WrongContentError(error.message, error.detail, error.hint) from exc
            return
        content, self._is_proven = self._reader.whole(self._known)
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]


def are_alike(one: LogObject, other: LogObject) -> bool:
    """Tells if two looks at an object agree, as far as is known."""
    return one.size_bytes == other.size_bytes and not differ(one.etag, other.etag)


def unreadable(known: LogObject, reason: str) -> UnreadableError:
    """Returns the error of one object that can't be read now.

    Args:
        known: the object.
        reason: what is wrong.
    """
    return UnreadableError(f"Can't read {known.key} in the audit bucket", reason, S3_ELSEWHERE)


def _bytes_of(answer: ObjectBody, size_bytes: int) -> Iterator[bytes]:
    """Yields the bytes of an answer, if there are as many as were asked for."""
    left = size_bytes
    with closing(answer.body) as body:
        for piece in body.iter_chunks(_PIECE_BYTES):
            left -= len(piece)
            if left < 0:
                raise _TooLongError
            yield piece
    if left:
        raise WrongAnswerError("it ends before its end")


def _code(error: Exception) -> str:
    return error.code if isinstance(error, ServiceError) else ""


def _refusal(error: Exception) -> Exception:
    """Returns the error of one object, or of all if it concerns them alike."""
    is_of_one = isinstance(error.__cause__, ClientError) and _code(error) not in _OF_THE_BUCKET
    if isinstance(error, ServiceError) and is_of_one:
        return UnreadableError(error.message, error.detail, error.hint)
    return error
