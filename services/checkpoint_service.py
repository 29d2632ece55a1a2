"""Loads and saves the checkpoint of one source."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.aws_clients import error_code, lyve_errors
from utils.checkpoint import Checkpoint, decode_checkpoint
from utils.errors import CheckpointError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MISSING = {"404", "NoSuchKey", "NotFound"}


class CheckpointStore:
    """Keeps the checkpoint in `integration-state/<source>.json` of the output bucket.

    Lyve Cloud overwrites in spite of `If-None-Match`, so each save first looks if the object is
    still the one that this process wrote. What changes between that look and the save is not seen.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        source: the source's name.
    """

    def __init__(self, client: "S3Client", bucket: str, source: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = f"integration-state/{source}.json"
        self.name = f"{bucket}/{self._key}"
        self._etag = ""

    def load(self) -> Checkpoint | None:
        """Returns the checkpoint, None if there is none yet.

        Raises:
            CheckpointError: it can't be trusted.
            ServiceError: it can't be read.
        """
        with self._errors("read"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key)
                document = answer["Body"].read()
            except ClientError as exc:
                if error_code(exc) not in _MISSING:
                    raise
                self._etag = ""
                return None
        self._etag = answer["ETag"]
        return decode_checkpoint(document, self.name)

    def save(self, document: bytes) -> None:
        """Writes the checkpoint.

        Args:
            document: the encoded checkpoint.

        Raises:
            CheckpointError: another process wrote it since.
            ServiceError: it can't be written.
        """
        with self._errors("write"):
            if self._current_etag() != self._etag:
                raise CheckpointError(
                    f"Another daemon ships this source: it changed the checkpoint {self.name}",
                    "another owner",
                    "Stop one of the two; this one has stopped the source",
                )
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=self._key,
                Body=document,
                ContentType="application/json",
            )
        self._etag = answer["ETag"]

    def _current_etag(self) -> str:
        try:
            return self._client.head_object(Bucket=self._bucket, Key=self._key)["ETag"]
        except ClientError as exc:
            if error_code(exc) not in _MISSING:
                raise
            return ""

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        hints = {"NoSuchBucket": "Check output_bucket in config.json, and LYVE_REGION"}
        return lyve_errors(f"{doing} the checkpoint {self.name}", hints)
