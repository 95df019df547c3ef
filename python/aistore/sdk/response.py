"""An answer of the cluster, with the attributes that users of HTTP libraries expect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aistore.sdk._headers import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aistore import _native


class Response:
    """A complete answer with a status below 400; errors are raised instead.

    Attributes:
        status_code: HTTP status.
        headers: Headers, by name in any case.
        content: Body.
        url: Where the answer came from.
    """

    def __init__(
        self,
        status_code: int,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes = b"",
        url: str = "",
    ) -> None:
        self.status_code = status_code
        self.headers = CaseInsensitiveDict(headers)
        self.content = content
        self.url = url

    @classmethod
    def wrap(cls, response: _native.Response) -> Response:
        """Takes over a native answer."""
        return cls(response.status, response.headers, response.body, response.url)

    @property
    def ok(self) -> bool:
        """Always true: errors are raised."""
        return True

    @property
    def text(self) -> str:
        """Body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Body as JSON."""
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        """Does nothing: errors were raised already."""

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"
