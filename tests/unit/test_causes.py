"""Why a request fails, where its error has a history that comes back to itself."""

from botocore.exceptions import EndpointConnectionError

from services.aws.errors import AWS, failure
from utils.errors import ServiceError, TransientError


def test_an_error_that_is_raised_again_from_what_it_led_to_has_an_end() -> None:
    """It never ended, and took all of the memory."""
    error = EndpointConnectionError(endpoint_url="https://logs.us-east-1.amazonaws.com")
    later = ServiceError("Can't put events")
    later.__cause__, error.__cause__ = error, later
    found = failure(error, "put events", AWS, "", {})
    assert (found.detail, found.code) == ("EndpointConnectionError", "")
    assert isinstance(found, TransientError)
