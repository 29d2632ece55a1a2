"""Puts events with metrics into the log group; nothing depends on it."""

from concurrent.futures import wait
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from botocore.exceptions import ClientError

from services.aws.clients import logs_client
from services.aws.put_request import PutClient, RejectedInfo, StreamMissingError
from services.threads.executor import begin
from utils.config.settings import Source
from utils.errors import ForwarderError
from utils.model import LogEvent, since_1970_ms
from utils.report.metrics import Figures, Verified, encode_metrics, metrics_stream

MOST_WAIT_SECONDS = 2.0
"""For what hangs: Docker kills ten seconds after its signal."""


def is_put(source: Source, figures: Figures | Verified, now: datetime) -> bool:
    """Puts figures into the stream for metrics, which is made where it is missing.

    Whatever fails, it only tells that they may not be stored.
    """
    to_metrics = replace(source, log_stream=metrics_stream(source))
    try:
        message = encode_metrics(source, figures, now)
        event = LogEvent(since_1970_ms(now), message, len(message), 1)
        client = logs_client(source.aws)
        put_client = PutClient(client.meta.endpoint_url, to_metrics)

        def put() -> bool:
            return put_client.put([event], lambda: True) == RejectedInfo()

        try:
            return put()
        except StreamMissingError:
            # Another process may make it at the same time.
            with suppress(ClientError):
                client.create_log_stream(
                    logGroupName=to_metrics.log_group, logStreamName=to_metrics.log_stream
                )
            return put()
    except Exception:  # noqa: BLE001 - whatever it is, nothing depends on it
        return False


def put_soon(source: Source, figures: Verified, now: datetime) -> None:
    """Puts figures if the source has metrics, and does not wait for what hangs."""
    if source.metrics_namespace is None:
        return
    with suppress(ForwarderError):
        wait([begin(partial(is_put, source, figures, now))], MOST_WAIT_SECONDS)
