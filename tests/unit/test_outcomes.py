"""The table of outcomes knows what botocore knows, and what says for certain: nothing was done."""

import pytest
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker

from services.aws.outcomes import PASSING_CODES, PASSING_STATUSES, THROTTLING_CODES


def test_what_botocore_tries_again_passes() -> None:
    """Its tables are no public names: this fails when they move."""
    for checker, table in (
        (ThrottledRetryableChecker, "_THROTTLED_ERROR_CODES"),
        (TransientRetryableChecker, "_TRANSIENT_ERROR_CODES"),
    ):
        assert set(vars(checker)[table]) <= PASSING_CODES
    assert set(vars(TransientRetryableChecker)["_TRANSIENT_STATUS_CODES"]) <= PASSING_STATUSES


@pytest.mark.parametrize(
    "code",
    ["RequestTimeout", "SlowDown", "ServiceUnavailable", "OperationAbortedException", "429", "408"],
)
def test_what_gateways_and_stores_answer_passes(code: str) -> None:
    assert code in PASSING_CODES


@pytest.mark.parametrize("code", ["ServiceUnavailable", "InternalFailure", "RequestTimeout", "503"])
def test_what_passes_need_not_say_that_nothing_was_done(code: str) -> None:
    """A put that is answered so may be stored: to send it again would double it."""
    assert code not in THROTTLING_CODES


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey", "404", "501", "NotImplemented"])
def test_what_a_person_must_mend_does_not_pass(code: str) -> None:
    assert code not in PASSING_CODES
