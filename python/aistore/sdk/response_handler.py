"""What becomes of an answer: itself, or an exception."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol, TypeVar

from aistore.sdk.errors import AISError, APIRequestError, RequestInfo, classify

if TYPE_CHECKING:
    from typing import Any

_BAD = 400


class Answer(Protocol):
    """What handlers need of an answer; ours and that of `requests` have it."""

    @property
    def status_code(self) -> Any:
        """HTTP status."""
        raise NotImplementedError

    @property
    def text(self) -> Any:
        """Body."""
        raise NotImplementedError

    @property
    def url(self) -> Any:
        """URL of the request."""
        raise NotImplementedError


AnswerT = TypeVar("AnswerT", bound=Answer)


class ResponseHandler(ABC):
    """Turns answers with a status of 400 or more into exceptions."""

    def handle_response(self, r: AnswerT) -> AnswerT:
        """The answer as it is.

        Raises:
            APIRequestError: Its status is 400 or more.
        """
        if r.status_code < _BAD:
            return r
        raise self.parse_error(r)

    @abstractmethod
    def parse_error(self, r: Answer) -> APIRequestError:
        """The exception for an answer."""

    @property
    @abstractmethod
    def exc_class(self) -> type[APIRequestError]:
        """Class of exceptions that nothing more is known of."""


class AISResponseHandler(ResponseHandler):
    """Picks exceptions of `aistore.sdk.errors`."""

    @property
    def exc_class(self) -> type[APIRequestError]:
        """`AISError`."""
        return AISError

    def parse_error(self, r: Answer) -> APIRequestError:
        """The exception for an answer, by its status and what its text is about."""
        method = getattr(getattr(r, "request", None), "method", "") or ""
        found = classify(r.status_code, method, r.text)
        return found(r.status_code, r.text, r.url, RequestInfo(method, r.url))
