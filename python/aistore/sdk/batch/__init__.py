"""Many objects, or parts of them, with one request."""

from aistore.sdk.batch.batch import Batch
from aistore.sdk.batch.types import MossIn, MossOut, MossReq, MossResp

__all__ = ["Batch", "MossIn", "MossOut", "MossReq", "MossResp"]
