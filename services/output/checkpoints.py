"""Loads and saves the checkpoint of one source."""

from contextlib import AbstractContextManager
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.aws.errors import MISSING_OBJECT, OUTPUT_BUCKET_HINTS, lyve_errors
from services.aws.integrity import bare_etag, content_md5
from services.aws.list_request import Listing, listed_pages
from services.aws.outcomes import error_code
from services.output.latest import LatestStatus
from services.output.objects import put_object
from services.threads.backoff import pause_seconds
from utils.config.partitions import parse_partition, parse_shard
from utils.errors import CheckpointError, OwnerError, ServiceError
from utils.state.checkpoint import Checkpoint, decode_checkpoint

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_FOLDER = "integration-state/"
_ENDING = ".json"
# In place of an ETag: there is no object, or one without an ETag.
_GONE = ""
_UNKNOWN = "unknown"
_LOOKS = 4


class CheckpointStore:
    """Keeps the checkpoint in `integration-state/<source>.json` of the output bucket.

    Lyve Cloud overwrites in spite of `If-None-Match`, so each save first looks if the object is
    still the one that this process wrote. What changes between that look and the save is not seen.
    It is believed to be gone if GET or HEAD and the listing say so, and nothing else shows that the
    source was shipped.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        name: of the source, and of its partition where it is shared.
    """

    def __init__(self, client: "S3Client", bucket: str, name: str) -> None:
        self._client = client
        self._bucket = bucket
        self._source = name
        self._key = f"{_FOLDER}{name}{_ENDING}"
        self.name = f"{bucket}/{self._key}"
        self._etag = _GONE
        self._held_md5 = ""

    def load(self) -> Checkpoint | None:
        """Returns the checkpoint, None if there is none yet.

        Raises:
            CheckpointError: it can't be trusted, or is gone while the source was shipped.
            ServiceError: it can't be read.
        """
        for number in range(_LOOKS):
            found = self._stored()
            if found is not None:
                document, etag = found
                self._hold(document, etag)
                return decode_checkpoint(document, self.name)
            if not self._is_listed():
                self._check_untraced()
                self._etag, self._held_md5 = _GONE, ""
                return None
            Event().wait(pause_seconds(number))
        raise self._hidden("read")

    def look(self) -> bytes | None:
        """Returns the document as it is stored, None if there is none, whatever it says.

        A save from now on goes on from what was seen here.

        Raises:
            ServiceError: it can't be read.
        """
        found = self._stored()
        if found is None:
            self._etag, self._held_md5 = _GONE, ""
            return None
        self._hold(*found)
        return found[0]

    def save(self, document: bytes) -> None:
        """Writes the checkpoint.

        Args:
            document: the encoded checkpoint.

        Raises:
            OwnerError: another process wrote it since.
            ServiceError: it can't be written.
        """
        with self._errors("write"):
            if self._current_etag() != self._etag:
                raise OwnerError(
                    f"Another daemon ships this source: it changed the checkpoint {self.name}",
                    "another owner",
                    "Stop one of the two; this one has stopped the source",
                )
            etag = put_object(self._client, self._bucket, self._key, document, "application/json")
        self._hold(document, etag)

    def _hold(self, document: bytes, etag: str | None) -> None:
        self._etag = bare_etag(etag) or _UNKNOWN
        self._held_md5 = content_md5(document)

    def _current_etag(self) -> str:
        """Returns the ETag of what is stored: the one that is held, if the content is the same."""
        for number in range(_LOOKS):
            try:
                head = self._client.head_object(Bucket=self._bucket, Key=self._key)
            except ClientError as exc:
                if error_code(exc) not in MISSING_OBJECT:
                    raise
                if not self._held_md5 or not self._is_listed():
                    return _GONE
                Event().wait(pause_seconds(number))
                continue
            etag = bare_etag(head.get("ETag")) or _UNKNOWN
            return etag if etag == self._etag != _UNKNOWN else self._compared(etag)
        raise self._hidden("write")

    def _compared(self, etag: str) -> str:
        """Returns the ETag that is held, if what is stored is what was written.

        A store may leave ETags out, or have two forms of the same.
        """
        found = self._stored() if self._held_md5 else None
        is_own = found is not None and content_md5(found[0]) == self._held_md5
        return self._etag if is_own else f"not {self._etag} but {etag}"

    def _stored(self) -> tuple[bytes, str | None] | None:
        with self._errors("read"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key)
                return answer["Body"].read(), answer.get("ETag")
            except ClientError as exc:
                if error_code(exc) not in MISSING_OBJECT:
                    raise
                return None

    def _is_listed(self) -> bool:
        return self._key in _listed_keys(self._client, self._bucket, self._key)

    def _check_untraced(self) -> None:
        """Makes sure that the source was never shipped: else a new start would double it."""
        latest = LatestStatus(self._client, self._bucket, self._source)
        if latest.trail().newest_shipped:
            raise CheckpointError(
                f"The checkpoint {self.name} is gone, but {latest.name} says that this source was "
                "shipped",
                "not found",
                "Put back its last version; or stop the daemon, and run --repair",
            )

    def _hidden(self, doing: str) -> ServiceError:
        return ServiceError(
            f"Can't {doing} the checkpoint {self.name}",
            "it is listed, and not found",
            "The next iteration tries again; if it stays so, put back the object's last version",
        )

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return lyve_errors(f"{doing} the checkpoint {self.name}", OUTPUT_BUCKET_HINTS)


def parts_with_state(client: "S3Client", bucket: str, source: str) -> list[str]:
    """Returns the names of the parts of a source that have a checkpoint, such as `p07`.

    The whole source does not count as a part.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        source: the source's name.

    Raises:
        ServiceError: the output bucket can't be listed.
    """
    folder = f"{_FOLDER}{source}/"
    keys = _listed_keys(client, bucket, folder)
    names = [key.removeprefix(folder).removesuffix(_ENDING) for key in keys]
    return [name for name in names if parse_partition(name) is not None or parse_shard(name)]


def _listed_keys(client: "S3Client", bucket: str, prefix: str) -> list[str]:
    doing = f"list the checkpoints in {bucket}"
    with lyve_errors(doing, OUTPUT_BUCKET_HINTS):
        pages = listed_pages(client, Listing(doing, bucket, prefix), Event())
        return [one.key for page in pages for one in page.objects]
