"""What all readers of batch archives have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Any

from aistore.sdk.batch.types import MossOut, decode_opaque

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aistore.sdk.batch.types import MossIn, MossReq, MossResp

_MISSING = "__404__/"
_FAILED = "Batch entry failed on the server"


class ArchiveStreamExtractor(ABC):
    """Turns an archive into descriptions and contents, in the order of the request."""

    @abstractmethod
    def extract(
        self,
        response: Any,
        data_stream: IO[bytes],
        moss_req: MossReq,
        moss_resp: MossResp | None = None,
    ) -> Iterator[tuple[MossOut, bytes]]:
        """Reads the archive.

        Args:
            response: The answer it came with; closed at the end.
            data_stream: The archive.
            moss_req: What was asked for.
            moss_resp: What the answer says about its entries, if it does.

        Raises:
            RuntimeError: The archive is damaged, or has more or fewer files than were asked for.
        """

    @abstractmethod
    def get_supported_formats(self) -> tuple[str, ...]:
        """File extensions."""


def describe(
    at: int, name: str, content: bytes, moss_req: MossReq, moss_resp: MossResp | None
) -> MossOut:
    """Describes file number `at` of an archive.

    Raises:
        RuntimeError: There are more files than entries.
    """
    wanted = len(moss_resp.out) if moss_resp else len(moss_req.moss_in)
    if at >= wanted:
        raise RuntimeError(f"the archive has more files than the {wanted} asked for: {name!r}")
    if moss_resp:
        return moss_resp.out[at]
    entry = moss_req.moss_in[at]
    failed = not content and name in _names_if_missing(entry, bare=moss_req.only_obj_name)
    return MossOut.model_construct(
        obj_name=entry.obj_name,
        archpath=entry.archpath or "",
        bucket=entry.bck,
        provider=entry.provider,
        opaque=decode_opaque(entry.opaque),
        err_msg=_FAILED if failed else None,
        size=len(content),
    )


def _names_if_missing(entry: MossIn, *, bare: bool) -> tuple[str, ...]:
    path = entry.archpath or ""
    inside = path if path.startswith("/") or not path else f"/{path}"
    if bare:
        return (f"{_MISSING}{entry.obj_name}", f"{_MISSING}{entry.obj_name}{inside}")
    if entry.bck:
        whole = f"{_MISSING}{entry.bck}/{entry.obj_name}"
        return whole, whole + inside
    return ()


def check_end(count: int, moss_req: MossReq) -> None:
    """Checks that nothing is missing at the end.

    Raises:
        RuntimeError: There are fewer files than entries.
    """
    if count < len(moss_req.moss_in):
        raise RuntimeError(
            f"the archive ends after {count} of {len(moss_req.moss_in)} entries: ask again"
        )
