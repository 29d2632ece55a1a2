"""A straightforward sender, for the daemon to be compared with: one call after the other.

    python -m tests.bench.sequential_sender CONFIG

with the configuration and the environment of the daemon. It takes one object at a time, whole in
memory, decodes every line with `json.loads`, and sends 100 events at a time, before each put
another call that looks the log stream up. It keeps no checkpoint and knows no failures.
"""

import gzip
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_logs.type_defs import InputLogEventTypeDef
    from types_boto3_s3 import S3Client

GROUP_OF_EVENTS = 100


class Sender:
    """Sends events into one log stream.

    Args:
        client: of CloudWatch Logs.
        log_group: its name; it must exist.
        log_stream: its name; it is made.
    """

    def __init__(self, client: "CloudWatchLogsClient", log_group: str, log_stream: str) -> None:
        self._client = client
        self._log_group = log_group
        self._log_stream = log_stream
        client.create_log_stream(logGroupName=log_group, logStreamName=log_stream)

    def send(self, events: "list[InputLogEventTypeDef]") -> None:
        """Looks the log stream up and puts one group of events into it."""
        found = self._client.describe_log_streams(
            logGroupName=self._log_group, logStreamNamePrefix=self._log_stream
        )
        self._client.put_log_events(
            logGroupName=self._log_group,
            logStreamName=found["logStreams"][0]["logStreamName"],
            logEvents=sorted(events, key=lambda event: event["timestamp"]),
        )


def events_of(content: bytes) -> "list[InputLogEventTypeDef]":
    """Returns the events of an object's content."""
    lines = gzip.decompress(content).decode().splitlines()
    return [{"timestamp": _time_ms(json.loads(line)), "message": line} for line in lines]


def contents(client: "S3Client", bucket: str) -> Iterator[bytes]:
    """Yields the content of each object of a bucket."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for listed in page.get("Contents", []):
            yield client.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read()


def main(config_path: Path) -> None:
    """Sends everything that the audit bucket holds.

    Args:
        config_path: of the daemon's configuration.
    """
    configuration = json.loads(config_path.read_bytes())
    bucket, log_type = configuration["bucket_name"], configuration["log_type"]
    sender = Sender(_logs_client(), configuration["log_group"], f"lyve-cloud/{bucket}/{log_type}")
    for content in contents(_s3_client(), bucket):
        events = events_of(content)
        for start in range(0, len(events), GROUP_OF_EVENTS):
            sender.send(events[start : start + GROUP_OF_EVENTS])


def _time_ms(event: dict[str, dict[str, str]]) -> int:
    return int(datetime.fromisoformat(event["auditEntry"]["time"]).timestamp() * 1000)


def _s3_client() -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=os.environ["LYVE_ENDPOINT"],
        region_name=os.environ["LYVE_REGION"],
        aws_access_key_id=os.environ["LYVE_ACCESS"],
        aws_secret_access_key=os.environ["LYVE_SECRET"],
    )


def _logs_client() -> "CloudWatchLogsClient":
    return boto3.client(
        "logs",
        region_name=os.environ["AWS_REGION"],
        aws_access_key_id=os.environ["AWS_ACCESS"],
        aws_secret_access_key=os.environ["AWS_SECRET"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
