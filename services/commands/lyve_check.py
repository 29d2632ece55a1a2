"""Tries what the daemon does with Lyve Cloud."""

from collections.abc import Iterator
from functools import cached_property
from itertools import chain, islice
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

from services.aws.clients import s3_client
from services.aws.errors import AUDIT_BUCKET_HINTS, OUTPUT_BUCKET_HINTS, lyve_errors
from services.commands.connection_check import (
    NO_ANSWER,
    Endpoint,
    FirstAnswer,
    first_answer,
    reached,
    unanswered,
)
from services.output.checkpoints import CheckpointStore, parts_with_state
from services.output.status import Clock
from services.pull_logs_service import AuditBucket
from utils.config.settings import Source
from utils.errors import ServiceError
from utils.lines.decompression import DamagedError
from utils.model import LogObject
from utils.report.findings import Finding, Try, failed, lacking, passed, warning
from utils.report.status import status_key
from utils.state.checkpoint import check_identity

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

_CONNECT = "connect to Lyve Cloud"
_SIGN_IN = "sign in to Lyve Cloud"
_LIST = "list the audit bucket"
_WRITE = "write to the output bucket"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
MOST_SKEW_SECONDS = 5 * 60
# An object of the type is looked for among so many, and then in so many folders.
FIRST_OBJECTS = 1000
FIRST_FOLDERS = 40


class LyveCheck:
    """Tries what the daemon does with the buckets of one source.

    Each request is sent once: a person waits for what it shows.

    Args:
        source: what to ship where.
        line: a status line, which is written to try the output bucket.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, line: str, clock: Clock, stop: Event) -> None:
        self._source = source
        self._line = line
        self._clock = clock
        self._stop = stop
        self._answer = FirstAnswer(None)
        self._folders: list[str] = []
        self._now_seconds = 0.0
        self._status_key = ""

    def tries(self) -> list[Try]:
        """Returns what to try, in order."""
        return [
            Try(_CONNECT, self._connect),
            Try("compare the clocks", self._compare_clocks, _CONNECT),
            Try(_SIGN_IN, self._sign_in, _CONNECT),
            Try(_LIST, self._list, _SIGN_IN),
            Try("read an audit object", self._read, _LIST),
            Try(_WRITE, self._write, _SIGN_IN),
            Try("read the output bucket", self._read_back, _WRITE),
            Try("list the checkpoints", self._list_checkpoints, _SIGN_IN),
            Try("read the checkpoint", self._read_checkpoint, _SIGN_IN),
        ]

    @cached_property
    def _client(self) -> "S3Client":
        return s3_client(self._source.lyve, attempts=1)

    @cached_property
    def _bucket(self) -> AuditBucket:
        return AuditBucket(self._client, self._source, self._stop)

    def _connect(self) -> Finding:
        url = self._source.lyve.endpoint_url
        try:
            self._answer = first_answer(self._first_page)
        except NO_ANSWER as exc:
            return unanswered(exc, Endpoint(url, "LYVE_REGION and LYVE_ENDPOINT"))
        self._now_seconds = self._clock.now().timestamp()
        return reached(Endpoint(url, "LYVE_ENDPOINT"))

    def _first_page(self) -> "ListObjectsV2OutputTypeDef":
        name = self._source.bucket_name
        client = self._client
        with lyve_errors(f"list the audit bucket {name}", AUDIT_BUCKET_HINTS):
            page = client.list_objects_v2(Bucket=name, Prefix=self._source.prefix, Delimiter="/")
        self._folders = [folder["Prefix"] for folder in page.get("CommonPrefixes", [])]
        return page

    def _compare_clocks(self) -> Finding:
        if self._answer.seconds is None:
            mend = "Check LYVE_ENDPOINT: every S3 server dates its answers"
            return warning("Lyve Cloud's answer has no Date", mend)
        ahead_seconds = round(self._now_seconds - self._answer.seconds)
        apart_seconds = abs(ahead_seconds)
        if apart_seconds <= MOST_SKEW_SECONDS:
            return passed(f"{apart_seconds} s apart")
        way = "ahead of" if ahead_seconds > 0 else "behind"
        detail = f"this machine's is {apart_seconds} s {way} Lyve Cloud's"
        return failed(detail, "Set this machine's clock: signatures of another time are refused")

    def _sign_in(self) -> Finding:
        detail = f"with LYVE_ACCESS, in {self._source.lyve.region}"
        return self._answer.sign_in(detail, "LYVE_REGION")

    def _list(self) -> Finding:
        if self._answer.refusal:
            raise self._answer.refusal
        return passed(self._source.bucket_name)

    def _read(self) -> Finding:
        log_type = self._source.log_type
        of_type = (one for one in self._first_objects() if self._bucket.is_of_type(one))
        found = next(of_type, None)
        if found is None:
            mend = f"Check log_type, and that Lyve Cloud writes {log_type} logs into this bucket"
            return warning(f"no object of the type {log_type} was found", mend)
        try:
            next(self._bucket.lines(found), b"")
        except DamagedError as exc:
            return warning(f"{found.key} ends early: {exc}", "Put the object back whole")
        return passed(found.key)

    def _first_objects(self) -> Iterator[LogObject]:
        """Yields objects that may be of the type: some of all, then those with its prefixes."""
        log_type = self._source.log_type
        names = sorted({f"{log_type}-", f"{log_type.lower()}-"})
        folders = [self._source.prefix, *self._folders[:FIRST_FOLDERS]]
        parts = (self._bucket.objects(f"{one}{name}") for one in folders for name in names)
        some = islice(self._bucket.objects(self._source.prefix), FIRST_OBJECTS)
        return chain(some, chain.from_iterable(parts))

    def _write(self) -> Finding:
        bucket = self._source.output_bucket
        self._status_key = status_key(self._clock.now(), self._source.name, uuid4().hex[:8])
        with lyve_errors(f"write the status lines into {bucket}", OUTPUT_BUCKET_HINTS):
            self._client.put_object(
                Bucket=bucket,
                Key=self._status_key,
                Body=f"{self._line}\n".encode(),
                ContentType="text/plain; charset=utf-8",
            )
        return passed(f"a status object in {self._status_key.rpartition('/')[0]}")

    def _read_back(self) -> Finding:
        bucket = self._source.output_bucket
        with lyve_errors(f"read {self._status_key} in {bucket}", {}):
            answer = self._client.get_object(Bucket=bucket, Key=self._status_key)
            content = answer["Body"].read()
        if content != f"{self._line}\n".encode():
            mend = "Check LYVE_ENDPOINT, and what stands between it and this machine"
            return failed("the status object came back changed", mend)
        return passed("the status object came back as it was written")

    def _list_checkpoints(self) -> Finding:
        try:
            parts = parts_with_state(self._client, self._source.output_bucket, self._source.name)
        except ServiceError as exc:
            return _checkpoint_fault(exc)
        return passed(f"{len(parts)} of this source")

    def _read_checkpoint(self) -> Finding:
        store = CheckpointStore(self._client, self._source.output_bucket, self._source.state_name)
        try:
            found = store.load()
        except ServiceError as exc:
            return _checkpoint_fault(exc)
        if found is None:
            return passed("there is none yet: mode says where to begin")
        check_identity(found, self._source.identity, store.name, self._source.lyve.endpoint_url)
        if found.running:
            return passed("for this source; an iteration is under way, or was not finished")
        return passed("for this source")


def _checkpoint_fault(error: ServiceError) -> Finding:
    if error.detail == "NoSuchBucket":
        return lacking(_WRITE)
    if error.detail != "AccessDenied":
        raise error
    # A store may answer so for an object that does not exist, where listing is not permitted.
    mend = f"{error.hint}, and to list the bucket"
    return failed(f"{error.message} ({error.detail})", mend)
