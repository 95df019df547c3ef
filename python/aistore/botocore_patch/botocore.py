"""Makes boto3 follow the redirects with which a cluster sends clients to the owner of the data.

Importing the module is all: `from aistore.botocore_patch import botocore`, before or after boto3.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from botocore import utils  # type: ignore[import-untyped,unused-ignore]

if TYPE_CHECKING:
    from collections.abc import Callable

# Redirects that one operation follows; more are a circle.
_MOST_REDIRECTS = 4
_FOLLOWED = frozenset({301, 302, 307})
_METHOD = "redirect_from_error"
_PARAMETERS = ["self", "request_dict", "response", "operation"]
_COUNT = "ais_redirect_count"
_MARK = "_aistore_follows_redirects"


def _patch_all() -> None:
    for name, redirector in inspect.getmembers(utils, inspect.isclass):
        if "S3RegionRedirector" in name and not hasattr(redirector, _MARK):
            _patch(redirector)


def _patch(redirector: Any) -> None:
    """Wraps the method that botocore asks after an error.

    Raises:
        RuntimeError: It is not the method that this module knows.
    """
    original = getattr(redirector, _METHOD, None)
    if original is None or _parameters(original) != _PARAMETERS:
        raise RuntimeError(
            f"botocore's {redirector.__name__}.{_METHOD} is not the one that this version of"
            " aistore knows: install another version of botocore or aistore"
        )
    setattr(redirector, _METHOD, _following(original))
    setattr(redirector, _MARK, True)


def _parameters(method: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    return [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]


def _following(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def redirect_from_error(
        self: Any, request_dict: dict[str, Any], response: Any, operation: Any, **kwargs: Any
    ) -> Any:
        place = _redirect_of(response)
        state = request_dict.setdefault("context", {}).setdefault("s3_redirect", {})
        count = state.get(_COUNT, 0)
        if place is None:
            return original(self, request_dict, response, operation, **kwargs)
        if count >= _MOST_REDIRECTS:
            # The original would look for the bucket's region, and be redirected for ever.
            return None
        state[_COUNT] = count + 1
        request_dict["url"] = place
        # Zero seconds: botocore sends the request again at once.
        return 0

    return redirect_from_error


def _redirect_of(response: Any) -> str | None:
    """Where an answer sends the client, if it does."""
    http = response[0] if response else None
    if http is None or http.status_code not in _FOLLOWED:
        return None
    place: str | None = http.headers.get("Location")
    return place or None


_patch_all()
