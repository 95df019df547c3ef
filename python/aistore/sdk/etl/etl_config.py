"""Selecting a transformer for a read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aistore.sdk import const


@dataclass
class ETLConfig:
    """The transformer that an object passes through, and its arguments.

    Args:
        name: Name; several joined by a pipeline are applied in order.
        args: Text, or a mapping that travels as JSON.
    """

    name: Any = None
    args: Any = None

    def update_qparams(self, params: dict[str, str]) -> None:
        """Adds the selection to a request's query; nothing without a name."""
        if not self.name:
            return
        pipeline = getattr(self.name, "pipeline", None)
        params[const.QPARAM_ETL_NAME] = str(getattr(self.name, "name", self.name))
        if pipeline:
            params[const.QPARAM_ETL_PIPELINE] = ",".join(pipeline)
        if self.args:
            text = isinstance(self.args, dict)
            params[const.QPARAM_ETL_ARGS] = (
                json.dumps(self.args, separators=(",", ":")) if text else str(self.args)
            )
