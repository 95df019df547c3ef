"""An answer of the cluster, with the attributes that users of HTTP libraries expect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aistore.sdk._headers import CaseInsensitiveDict
from aistore.sdk.errors import RequestInfo, classify

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aistore import _native

_BAD = 400


class Response:
    """A complete answer. Clients raise errors instead; a `RequestExecutor` gives them as answers.

    Attributes:
        status_code: HTTP status.
        headers: Headers, by name in any case.
        content: Body.
        url: Where the answer came from.
        request: What was asked.
    """

    def __init__(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes = b"",
        url: str = "",
        method: str = "",
    ) -> None:
        self.status_code = status_code
        self.headers = CaseInsensitiveDict(headers)
        self.content = content
        self.url = url
        self.request = RequestInfo(method, url)

    @classmethod
    def wrap(cls, response: _native.Response, method: str = "") -> Response:
        """Takes over a native answer."""
        return cls(response.status, response.headers, response.body, response.url, method)

    @property
    def ok(self) -> bool:
        """Whether the status is below 400, as it is but for answers of a `RequestExecutor`."""
        return self.status_code < _BAD

    @property
    def text(self) -> str:
        """Body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Raises what the status means; does nothing if it is below 400.

        Raises:
            AISError: It is 400 or more.
        """
        if not self.ok:
            found = classify(self.status_code, self.request.method, self.text)
            raise found(self.status_code, self.text, self.url, self.request)

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"
