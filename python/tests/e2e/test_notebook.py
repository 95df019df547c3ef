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
    assert scope["part"] == b"world"
    assert scope["downloaded"] == 3 << 20
    assert scope["missing"].obj_name == "nowhere"
    assert [name for name, _ in scope["listed"]] == [f"img-{i:04}" for i in range(490, 500)]
    assert scope["result"]
    assert scope["copied"] == [f"copied/img-{i:04}" for i in range(100)]
