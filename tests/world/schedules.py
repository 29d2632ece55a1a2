"""The seeds of random schedules: some for each run of the tests, many more for the soak."""

import pytest

FEW = 60
MANY = 1_000
# One test has so many, so that a run can be shared among workers.
AT_ONCE = 20


def _blocks(first: int, end: int) -> list[range]:
    return [range(seed, min(seed + AT_ONCE, end)) for seed in range(first, end, AT_ONCE)]


SEEDS = [
    *_blocks(0, FEW),
    *(pytest.param(block, marks=pytest.mark.soak) for block in _blocks(FEW, MANY)),
]
