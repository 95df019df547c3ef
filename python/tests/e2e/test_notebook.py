"""The quick-start notebook runs from top to bottom."""

from __future__ import annotations

import json
from typing import Any

from support import ROOT


def test_quickstart_runs() -> None:
    notebook = json.loads((ROOT / "notebooks" / "quickstart.ipynb").read_text())
    scope: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "quickstart.ipynb", "exec"), scope)  # noqa: S102 - our own file
    assert scope["names"] == sorted(scope["names"])
    assert len(scope["samples"]) == 8
