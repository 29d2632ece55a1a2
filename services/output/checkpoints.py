"""Loads and saves the checkpoint of one source."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from services.aws.errors import MISSING_OBJECT, OUTPUT_BUCKET_HINTS, error_code, lyve_errors
from utils.config.sharding import Shard, parse_shard
from utils.errors import OwnerError
from utils.state.checkpoint import Checkpoint, decode_checkpoint

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_FOLDER = "integration-state/"
_ENDING = ".json"


class CheckpointStore:
    """Keeps the checkpoint in `integration-state/<source>.json` of the output bucket.

    Lyve Cloud overwrites in spite of `If-None-Match`, so each save first looks if the object is
    still the one that this process wrote. What changes between that look and the save is not seen.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        name: of the source, and of its replica where it is shared.
    """

    def __init__(self, client: "S3Client", bucket: str, name: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = f"{_FOLDER}{name}{_ENDING}"
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
                if error_code(exc) not in MISSING_OBJECT:
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
            if error_code(exc) not in MISSING_OBJECT:
                raise
            return ""

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        return lyve_errors(f"{doing} the checkpoint {self.name}", OUTPUT_BUCKET_HINTS)


def shards_with_state(client: "S3Client", bucket: str, source: str) -> list[Shard | None]:
    """Returns the replicas that have a checkpoint of the source; None for one that is not shared.

    Args:
        client: of Lyve Cloud's S3.
        bucket: the output bucket.
        source: the source's name.

    Raises:
        ServiceError: the output bucket can't be listed.
    """
    prefix = f"{_FOLDER}{source}"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    with lyve_errors(f"list the checkpoints in {bucket}", OUTPUT_BUCKET_HINTS):
        names = [
            entry["Key"].removeprefix(prefix).removesuffix(_ENDING)
            for page in pages
            for entry in page.get("Contents", [])
        ]
    shards = [parse_shard(name.removeprefix("/")) for name in names if name.startswith("/")]
    whole: list[Shard | None] = [None] if "" in names else []
    return [*whole, *(shard for shard in shards if shard)]
