"""Tries what the daemon does with Lyve Cloud."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from itertools import chain, islice
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from services.aws.clients import s3_client
from services.aws.errors import (
    AUDIT_BUCKET_HINTS,
    LYVE_CLOUD,
    OUTPUT_BUCKET_HINTS,
    S3_ELSEWHERE,
    lyve_errors,
)
from services.aws.get_request import GetClient
from services.aws.integrity import bare_etag, differ
from services.aws.list_request import Listing, Page, listed_pages
from services.aws.outcomes import WrongAnswerError
from services.commands.tries import FirstAnswer, Hint, Try
from services.output.checkpoints import parts_with_state
from services.output.objects import put_object
from services.pull_logs_service import AuditBucket
from services.shipping.partitions import SourcePart
from utils.config.settings import LyveAccess, Source
from utils.errors import ServiceError
from utils.lines.decompression import DamagedError
from utils.model import Clock, LogObject
from utils.report.findings import Finding, failed, lacking, passed, warning
from utils.report.status import status_key

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CONNECT = "connect to Lyve Cloud"
_SIGN_IN = "sign in to Lyve Cloud"
_LIST = "list the audit bucket"
_READ = "read an audit object"
_WRITE = "write to the output bucket"
_READ_BACK = "read the output bucket"
_LIST_OUTPUT = "list the checkpoints"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
MOST_SKEW_SECONDS = 5 * 60
# Looks for an object of the type among so many, and then in so many folders.
FIRST_OBJECTS = 1000
FIRST_FOLDERS = 40
# The forms of Lyve Cloud's hosts that a region leads to. The newer platform has another one for
# each site and account, s3.<site>.<account>.lyve.seagate.com.
_HOSTS = ("s3.{region}.lyvecloud.seagate.com", "s3.{region}.global.lyve.seagate.com")
_BUCKET_NAME = re.compile("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class LyveCheck:
    """Tries what the daemon does with the buckets of one source.

    Args:
        source: what to ship where.
        line: a status line, which is written to try the output bucket.
        clock: how the time is read.
        stop: set when the process is to end.
    """

    def __init__(self, source: Source, line: str, clock: Clock, stop: Event) -> None:
        self._source = source
        # The second content overwrites the first, and has another length.
        self._contents = (f"{line}\n{line}\n".encode(), f"{line}\n".encode())
        self._clock = clock
        self._stop = stop
        self._now_seconds = 0.0
        self._first_line: bytes | None = None
        self._status_key = status_key(clock.now(), source.name, uuid4().hex[:8])
        self._etag = ""

    def tries(self) -> list[Try]:
        """Returns what to try, in order."""
        source, page, versions = self._source, "ListObjectsV2", "GetBucketVersioning"
        server, state = source.lyve, source.state_name
        audit = (server, source.bucket_name, source.prefix)
        objects, output = (*audit, source.log_type), (server, source.output_bucket)
        unlisted = {"AccessDenied": lambda _: lacking(_LIST_OUTPUT)}
        unknown = {"AccessDenied": _unlisted, "NoSuchBucket": lambda _: lacking(_WRITE)}
        return [
            Try(_CONNECT, page, server, self._connect),
            Try("compare the clocks", page, server, self._compare_clocks, _CONNECT),
            Try(_SIGN_IN, page, server, self._sign_in, _CONNECT),
            Try(_LIST, page, audit, self._list, _SIGN_IN),
            Try(_READ, "GetObject", objects, self._read, _LIST),
            Hint("know if logging is on", "GetBucketLogging", objects, self._logging, _LIST),
            Try(_WRITE, "PutObject", output, self._write, _SIGN_IN),
            Try(_READ_BACK, "GetObject", output, self._read_back, _WRITE),
            Hint("know if it keeps versions", versions, output, self._versions, _WRITE),
            Try(_LIST_OUTPUT, page, source.name, self._checkpoints, _SIGN_IN, unknown),
            Try("find what was written", "HeadObject", output, self._find, _READ_BACK, unlisted),
            Try("read the checkpoint", "GetObject", state, self._checkpoint, _SIGN_IN, unknown),
        ]

    @cached_property
    def _client(self) -> "S3Client":
        return s3_client(self._source.lyve, attempts=1)

    @cached_property
    def _bucket(self) -> AuditBucket:
        return AuditBucket(self._client, self._source, self._stop)

    @cached_property
    def _answer(self) -> FirstAnswer[Page]:
        answer = FirstAnswer(partial(self._first_page, self._source.lyve))
        self._now_seconds = self._clock.now().timestamp()
        return answer

    def _first_page(self, access: LyveAccess) -> Page:
        name, prefix = self._source.bucket_name, self._source.prefix
        client = s3_client(access, attempts=1)
        with lyve_errors(f"list the audit bucket {name}", AUDIT_BUCKET_HINTS):
            return next(listed_pages(client, Listing(name, prefix, "/"), self._stop))

    def _connect(self) -> Finding:
        access = self._source.lyve
        found = self._answer.reached(access.endpoint_url, LYVE_CLOUD)
        tried = urlsplit(access.endpoint_url).hostname
        hosts = [form.format(region=access.region.lower()) for form in _HOSTS]
        if found.outcome != "failed" or tried not in hosts:
            return found
        for url in (f"https://{host}" for host in hosts if host != tried):
            other = replace(access, endpoint_url=url)
            if FirstAnswer(partial(self._first_page, other)).is_reached:
                return failed(found.detail, f"Set LYVE_ENDPOINT to {url}, which answers")
        return found

    def _compare_clocks(self) -> Finding:
        dated_seconds = _seconds(self._answer)
        if dated_seconds is None:
            fix = "Check LYVE_ENDPOINT: every S3 server dates its answers"
            return warning("Lyve Cloud's answer has no Date", fix)
        ahead_seconds = round(self._now_seconds - dated_seconds)
        apart_seconds = abs(ahead_seconds)
        if apart_seconds <= MOST_SKEW_SECONDS:
            return passed(f"{apart_seconds} s apart")
        way = "ahead of" if ahead_seconds > 0 else "behind"
        detail = f"this machine's is {apart_seconds} s {way} Lyve Cloud's"
        return failed(detail, "Set this machine's clock: signatures of another time are refused")

    def _sign_in(self) -> Finding:
        return self._answer.signed_in(f"with LYVE_ACCESS, in {self._source.lyve.region}")

    def _list(self) -> Finding:
        self._answer.content()
        return passed(self._source.bucket_name)

    def _read(self) -> Finding:
        log_type = self._source.log_type
        # Of one that holds less there is no part to be read.
        filled = (one for one in self._first_objects() if one.size_bytes > 1)
        found = next(filter(self._source.is_of_type, filled), None)
        if found is None:
            keys = "log_type and prefix" if self._source.prefix else "log_type"
            fix = f"Check {keys}, and that Lyve Cloud writes {log_type} logs into this bucket"
            below = f" below {self._source.prefix}" if self._source.prefix else ""
            return warning(f"no object of the type {log_type} was found{below}", fix)
        self._first_line = b""
        try:
            self._first_line = next(self._bucket.lines(found), b"")
        except DamagedError as exc:
            return warning(f"{found.key} ends early: {exc}", "Put the object back whole")
        try:
            with lyve_errors(f"read {found.key} in the audit bucket", AUDIT_BUCKET_HINTS):
                GetClient(self._source.lyve, self._source.bucket_name).ask(
                    found, 1
                ).body().body.close()
        except (ServiceError, WrongAnswerError) as exc:
            reason = exc.detail if isinstance(exc, ServiceError) else exc
            detail = f"a part of {found.key} can't be read by Range: {reason}"
            return warning(detail, f"{S3_ELSEWHERE}. An object that breaks off is not resumed")
        return passed(found.key)

    def _first_objects(self) -> Iterator[LogObject]:
        """Yields objects that may be of the type: some of all, then those with its prefixes."""
        log_type = self._source.log_type
        tops = self._answer.content().folders
        names = sorted({f"{log_type}-", f"{log_type.lower()}-"})
        folders = [self._source.prefix, *tops[:FIRST_FOLDERS]]
        parts = (self._bucket.objects(f"{one}{name}") for one in folders for name in names)
        some = islice(self._bucket.objects(self._source.prefix), FIRST_OBJECTS)
        return chain(some, chain.from_iterable(parts))

    def _logging(self) -> Finding | None:
        """Says whether logging is on: many a service that has none just calls it off."""
        target, line = self._source.bucket_name, self._first_line
        if line is not None and self._source.log_type != "Access":
            return None
        # The line names the bucket that was asked, behind its owner.
        named = b" ".join((line or b"").split(None, 2)[1:2]).decode(errors="replace")
        bucket = named if _BUCKET_NAME.fullmatch(named) else target
        told: Mapping[str, Any] = self._client.get_bucket_logging(Bucket=bucket)
        enabled = told.get("LoggingEnabled")
        if not enabled:
            fix = f"Switch it on in Lyve Cloud, with {target} as the bucket that it is written to"
            return warning(f"logging is off for {bucket}", fix)
        into = enabled.get("TargetBucket", "")
        if into != target:
            return warning(f"{bucket} is logged into {into}", f"Check bucket_name: it is {target}")
        return passed(f"{bucket} is logged into {into}/{enabled.get('TargetPrefix', '')}")

    def _write(self) -> Finding:
        bucket, key = self._source.output_bucket, self._status_key
        with lyve_errors(f"write the status lines into {bucket}", OUTPUT_BUCKET_HINTS):
            for content in self._contents:
                media_type = "text/plain; charset=utf-8"
                self._etag = bare_etag(put_object(self._client, bucket, key, content, media_type))
        return passed(f"a status object in {key.rpartition('/')[0]}, overwritten once")

    def _read_back(self) -> Finding:
        bucket = self._source.output_bucket
        with lyve_errors(f"read {self._status_key} in {bucket}", {}):
            answer = self._client.get_object(Bucket=bucket, Key=self._status_key)
            content = answer["Body"].read()
        if content != self._contents[-1]:
            return failed("the status object came back changed", S3_ELSEWHERE)
        return passed("the status object came back as it was written")

    def _versions(self) -> Finding | None:
        answer = self._client.get_bucket_versioning(Bucket=self._source.output_bucket)
        if answer.get("Status") != "Enabled":
            return None
        detail = "it keeps versions, and state objects are overwritten at least once an hour"
        fix = "Set a lifecycle rule that deletes the noncurrent versions of integration-state/ and "
        return warning(detail, f"{fix}integration-logs/latest- after some days")

    def _find(self) -> Finding:
        """Tells if HEAD and the listing show what PUT said."""
        bucket, key = self._source.output_bucket, self._status_key
        with lyve_errors(f"read {key} in {bucket}", {}):
            head = self._client.head_object(Bucket=bucket, Key=key)
            pages = listed_pages(self._client, Listing(bucket, key), self._stop)
            objects = [one for page in pages for one in page.objects]
        listed = next((one for one in objects if one.key == key), LogObject(0, key, "", 0))
        shown = {
            "HEAD": (head.get("ContentLength"), head.get("ETag")),
            "the listing": (listed.size_bytes, listed.etag),
        }
        for name, (size, etag) in shown.items():
            if size != len(self._contents[-1]):
                detail = f"{name} does not show the status object as it was written last"
                return failed(detail, S3_ELSEWHERE)
            if differ(bare_etag(etag), self._etag):
                detail = f"{name} shows another ETag than PUT, so the checkpoint is read each time"
                return warning(detail, S3_ELSEWHERE)
        return passed("HEAD and the listing show the status object")

    def _checkpoints(self) -> Finding:
        parts = parts_with_state(self._client, self._source.output_bucket, self._source.name)
        return passed(f"{len(parts)} of this source")

    def _checkpoint(self) -> Finding:
        found = SourcePart(self._source, self._client).load()
        if found is None:
            return passed("there is none yet: mode says where to begin")
        if found.running:
            return passed("for this source; an iteration is under way, or was not finished")
        return passed("for this source")


def _seconds(answer: FirstAnswer[Page]) -> float | None:
    """Returns the service's own time of an answer, in seconds since 1970."""
    if answer.refusal:
        refused: Any = getattr(answer.refusal.__cause__, "response", {})
        date = refused.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    else:
        date = answer.content().date
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None


def _unlisted(refusal: ServiceError) -> Finding:
    # A store may answer so for an object that does not exist, where listing is not permitted.
    also = "" if "s3:ListBucket" in refusal.hint else ", and to list the bucket"
    return failed(f"{refusal.message} ({refusal.detail})", f"{refusal.hint}{also}")
