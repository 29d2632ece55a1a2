"""Loads and saves the checkpoint of one source."""

from contextlib import AbstractContextManager
from hashlib import md5
from threading import Event
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.aws.integrity import bare_etag
from services.aws.outcomes import is_missing
from services.output.objects import listed_keys, put_object, read_object
from services.threads.backoff import pause_seconds
from utils.config.partitions import PARTITION_NAMES, parse_shard
from utils.errors import OwnerError, ServiceError
from utils.state.checkpoint import Checkpoint, decode_checkpoint

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_FOLDER = "integration-state/"
_ENDING = ".json"
_LOOKS = 4


class CheckpointStore:
    """Keeps the checkpoint of a source, or of its partition, in `integration-state/<name>.json`.

    Lyve Cloud overwrites in spite of `If-None-Match`, so each save first looks if the object is
    still the one that this process wrote. What changes between that look and the save is not seen.
    It is believed to be gone if GET and the listing say so.
    """

    def __init__(self, client: "S3Client", bucket: str, name: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = f"{_FOLDER}{name}{_ENDING}"
        self.name = f"{bucket}/{self._key}"
        # The MD5 of what was read or written last, "" for nothing.
        self._known = ""

    def load(self) -> Checkpoint | None:
        """Returns the checkpoint, None if there is none yet.

        Raises:
            CheckpointError: it can't be trusted.
            ServiceError: it can't be read.
        """
        document = self.look()
        return None if document is None else decode_checkpoint(document, self.name)

    def look(self) -> bytes | None:
        """Returns the document as it is stored, None if there is none, whatever it says.

        A save from now on goes on from what was seen here.

        Raises:
            ServiceError: it can't be read.
        """
        document = self._stored("read")
        self._known = _digest(document)
        return document

    def save(self, document: bytes) -> None:
        """Writes the checkpoint.

        Raises:
            OwnerError: another process wrote it since.
            ServiceError: it can't be written.
        """
        with self._errors("write"):
            if not self._is_unchanged():
                raise OwnerError(
                    f"Another daemon ships this source: it changed the checkpoint {self.name}",
                    "another owner",
                    "Stop one of the two; this one has stopped the source",
                )
            put_object(self._client, self._bucket, self._key, document, "application/json")
        self._known = _digest(document)

    def _is_unchanged(self) -> bool:
        """Tells if what is stored is what was read or written last: by its ETag, else by reading.

        Not every store has the MD5 as the ETag, and each may say once that it is not there.
        """
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._key)
            if self._known and bare_etag(head.get("ETag")).lower() == self._known:
                return True
        except ClientError as exc:
            if not is_missing(exc):
                raise
        return _digest(self._stored("write")) == self._known

    def _stored(self, doing: str) -> bytes | None:
        for number in range(_LOOKS):
            with self._errors("read"):
                document = read_object(self._client, self._bucket, self._key)
            if document is not None:
                return document
            if self._key not in _listed(self._client, self._bucket, self._key):
                return None
            # Not for the stop: the last save is made when it is set.
            Event().wait(pause_seconds(number))
        raise ServiceError(
            f"Can't {doing} the checkpoint {self.name}",
            "it is listed, and not found",
            "The next iteration tries again; if it stays so, put back the object's last version",
        )

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return lyve_errors(f"{doing} the checkpoint {self.name}", OUTPUT_BUCKET_HINTS)


def _digest(document: bytes | None) -> str:
    return "" if document is None else md5(document, usedforsecurity=False).hexdigest()


def parts_with_state(client: "S3Client", bucket: str, source: str) -> list[str]:
    """Returns the names of the parts of a source that have a checkpoint, such as `p07`.

    The whole source does not count as a part.

    Raises:
        ServiceError: the output bucket can't be listed.
    """
    folder = f"{_FOLDER}{source}/"
    keys = _listed(client, bucket, folder)
    names = [key.removeprefix(folder).removesuffix(_ENDING) for key in keys]
    return [name for name in names if name in PARTITION_NAMES or parse_shard(name)]


def _listed(client: "S3Client", bucket: str, prefix: str) -> list[str]:
    with lyve_errors(f"list the checkpoints in {bucket}", OUTPUT_BUCKET_HINTS):
        return [*listed_keys(client, bucket, prefix)]
