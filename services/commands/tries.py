"""One access to try, and what a service's first answer shows of two: reach it, and sign in."""

import re
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from services.aws.errors import Service, is_of_the_keys, is_reached, place_of
from utils.errors import ForwarderError, ServiceError, unexpected
from utils.report.findings import Finding, failed, passed, warning

# What a service that does not tell answers to a hint.
_UNTRANSLATED = (BotoCoreError, ClientError, ResponseParserError)
_Content = TypeVar("_Content")


class Try(NamedTuple):
    """A row of the check's table.

    Attributes:
        what: it tries, as its line says.
        call: what it asks the service for.
        subject: sources with the same one share the try.
        run: makes the call, and returns what that shows; None where a hint has nothing to say.
        needs: the row before it without which it can't succeed.
        refused: what a refusal shows that is no failure, or more than its own words, by its code.
        is_hint: whether it has a line only where there is something to say.
    """

    what: str
    call: str
    subject: Hashable
    run: Callable[[], Finding | None]
    needs: str = ""
    refused: Mapping[str, Callable[[ServiceError], Finding]] = {}
    is_hint: bool = False

    def finding(self) -> Finding | None:
        """Returns what the try shows: whatever it raises, the others are made all the same."""
        try:
            return self.run()
        except ForwarderError as exc:
            if isinstance(exc, ServiceError) and exc.code in self.refused:
                return self.refused[exc.code](exc)
            detail = f"{exc.message} ({exc.detail})" if exc.detail else exc.message
            return failed(detail, exc.hint)
        except Exception as exc:  # noqa: BLE001 - a person reads this, not a traceback
            if self.is_hint and isinstance(exc, _UNTRANSLATED):
                return None
            error = unexpected(exc)
            return failed(error.detail, error.hint)


Hint = partial(Try, is_hint=True)


class FirstAnswer(Generic[_Content]):
    """The answer to the first request; `refusal` is why it is refused, or why there is none.

    Args:
        request: makes the request.
    """

    def __init__(self, request: Callable[[], _Content]) -> None:
        self.refusal: ServiceError | None = None
        try:
            self._content = request()
        except ServiceError as exc:
            self.refusal = exc

    def content(self) -> _Content:
        """Returns what the answer holds.

        Raises:
            ServiceError: the refusal.
        """
        if self.refusal:
            raise self.refusal
        return self._content

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
        place = place_of(url)
        if self.refusal and not self.is_reached:
            detail = self.refusal.detail
            return failed(detail if place in detail else f"{place}: {detail}", self.refusal.hint)
        shown = f"{urlsplit(url).scheme}://{place}"
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
