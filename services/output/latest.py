"""Keeps the last status of a source in the one object of the output bucket that is overwritten."""

from typing import TYPE_CHECKING

from services.aws.errors import OUTPUT_BUCKET_HINTS, lyve_errors
from services.output.objects import put_object, read_object
from utils.report.latest import Outcome, Trail, decode_trail, encode_latest, latest_key

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class LatestStatus:
    """Keeps the last status of one source; `name` is the object's, with its bucket."""

    def __init__(self, client: "S3Client", bucket: str, source: str) -> None:
        self._client = client
        self._bucket = bucket
        self._source = source
        self._key = latest_key(source)
        self.name = f"{bucket}/{self._key}"

    def trail(self) -> Trail:
        """Returns what the last iteration handed on, an empty one if there was none.

        Raises:
            ServiceError: it can't be read.
        """
        with lyve_errors(f"read the last status {self.name}", OUTPUT_BUCKET_HINTS):
            found = read_object(self._client, self._bucket, self._key)
        return decode_trail(found) if found else Trail()

    def save(self, outcome: Outcome, trail: Trail) -> None:
        """Writes the last status.

        Raises:
            ServiceError: it can't be written.
        """
        document = encode_latest(self._source, outcome, trail)
        with lyve_errors(f"write the last status {self.name}", OUTPUT_BUCKET_HINTS):
            put_object(self._client, self._bucket, self._key, document, "application/json")
