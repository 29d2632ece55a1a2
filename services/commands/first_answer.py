"""What a service's first answer shows: that it is reached, and that it accepts the keys."""

import re
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from services.aws.errors import Service, is_of_the_keys, is_reached, place_of
from utils.errors import ServiceError
from utils.report.findings import Finding, failed, passed, warning

_Content = TypeVar("_Content")


class FirstAnswer(Generic[_Content]):
    """The answer to the first request, even if it is a refusal.

    Attributes:
        content: of the answer, None where it is refused.
        refusal: why it is refused, or why there is no answer.

    Args:
        request: makes the request.
    """

    def __init__(self, request: Callable[[], _Content]) -> None:
        self.content: _Content | None = None
        self.refusal: ServiceError | None = None
        try:
            self.content = request()
        except ServiceError as exc:
            self.refusal = exc

    @property
    def is_reached(self) -> bool:
        """Whether the service itself has answered."""
        return self.refusal is None or is_reached(self.refusal)

    def reached(self, url: str, service: Service) -> Finding:
        """Returns that the service answers, with a warning where others can read what is sent.

        Args:
            url: where it is.
            service: that is to answer.
        """
        if self.refusal and not self.is_reached:
            place, detail = place_of(url), self.refusal.detail
            return failed(detail if place in detail else f"{place}: {detail}", self.refusal.hint)
        shown = f"{urlsplit(url).scheme}://{place_of(url)}"
        host = urlsplit(shown).hostname or ""
        is_local = host in {"localhost", "::1"} or re.match(r"127\.", host)
        if not shown.startswith("http:") or is_local:
            return passed(shown)
        detail = f"{shown}: without TLS, keys' signatures and logs travel readable"
        return warning(detail, f"Use https:// in {service.variables(url)}")

    def signed_in(self, detail: str) -> Finding:
        """Returns whether the keys and the signature are accepted.

        Args:
            detail: what to show then.
        """
        if self.refusal and is_of_the_keys(self.refusal):
            return failed(self.refusal.detail, self.refusal.hint)
        return passed(detail)
