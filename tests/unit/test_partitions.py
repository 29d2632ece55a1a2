"""The fixed partitions of a shared source: which names belong to it."""

import pytest

from utils.config.partitions import PARTITIONS, is_stream_of

STREAM = "lyve-cloud/audit-logs/S3"


@pytest.mark.parametrize(
    "name",
    [
        STREAM,
        *(f"{STREAM}/p{number:02d}" for number in range(PARTITIONS)),
        f"{STREAM}/1-of-1",
        f"{STREAM}/2-of-3",
        f"{STREAM}/1000-of-1000",
    ],
)
def test_a_stream_of_the_source(name: str) -> None:
    assert is_stream_of(STREAM, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lyve-cloud/audit-logs",
        f"{STREAM}2",
        f"{STREAM}/",
        f"{STREAM}/integration",
        f"{STREAM}/p24",
        f"{STREAM}/p7",
        f"{STREAM}/p007",
        f"{STREAM}/P07",
        f"{STREAM}/p07/p07",
        f"{STREAM}/p07\n",
        f"{STREAM}/p\u0660\u0667",
        f"{STREAM}/4-of-3",
        f"{STREAM}/0-of-3",
        f"{STREAM}/1/3",
        f"{STREAM}/1-of-1001",
        "lyve-cloud/other/S3/p07",
    ],
)
def test_a_stream_of_another(name: str) -> None:
    """A longer name may be another source's, and `integration` is that of the metrics."""
    assert not is_stream_of(STREAM, name)
