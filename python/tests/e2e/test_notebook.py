"""The notebooks run from top to bottom, and are kept without what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(name: str) -> dict[str, Any]:
    """Runs the cells here; what they leave."""
    notebook = json.loads((ROOT / "notebooks" / name).read_text())
    scope: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), name, "exec"), scope)  # noqa: S102 - our own file
    return scope


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_kept_without_output(path: Any) -> None:
    for cell in json.loads(path.read_text())["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_quickstart() -> None:
    scope = run("quickstart.ipynb")
    assert scope["names"] == sorted(scope["names"])
    assert len(scope["samples"]) == 8
    assert scope["part"] == b"world"
    assert scope["downloaded"] == 3 << 20
    assert scope["missing"].obj_name == "nowhere"
    assert [name for name, _ in scope["listed"]] == [f"img-{i:04}" for i in range(490, 500)]
    assert scope["result"]
    assert scope["copied"] == [f"copied/img-{i:04}" for i in range(100)]


@pytest.fixture
def _plots(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl

    monkeypatch.setenv("AIS_ENDPOINT", "")
    before = mpl.get_backend()
    mpl.use("Agg")
    yield
    mpl.use(before)


@pytest.mark.usefixtures("_plots")
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_train_from_shards() -> None:
    scope = run("train-from-shards.ipynb")
    assert len(scope["dataset"]) == 1797
    assert scope["accuracies"][-1] > 0.9
    assert scope["orders"]["none"] == list(range(1797))
    for order in scope["orders"].values():
        assert sorted(order) == list(range(1797))
    assert len(scope["samples"]) == 1797


@pytest.mark.usefixtures("_plots")
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_resume_and_elasticity() -> None:
    scope = run("resume-and-elasticity.ipynb")
    assert scope["resumed"] == scope["unbroken"]
    assert len(set(scope["resumed"])) == scope["SAMPLES"]


@pytest.mark.usefixtures("_plots")
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_speech_cuts() -> None:
    from lhotse.serialization import get_aistore_client

    get_aistore_client.cache_clear()
    scope = run("speech-cuts.ipynb")
    get_aistore_client.cache_clear()
    assert scope["shapes"] == [(1, 80_000)] * 96
    assert scope["exact"]
    assert scope["moved"]["CutLoader"] * 5 < scope["moved"]["AISBatchLoader"]
    assert [type(one).__name__ for one in scope["kept"]] == ["ndarray", "CutError"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_in_a_kernel_of_jupyter(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are pictures, bars are widgets, and nothing complains."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, timeout=120).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    told = "".join(
        o["text"] for o in outputs if o["output_type"] == "stream" and o["name"] == "stderr"
    )
    assert told == ""
    kinds = [kind for o in outputs for kind in o.get("data", {})]
    source = path.read_text()
    assert kinds.count("image/png") == source.count("plt.show()")
    bars = source.count("tqdm(") + source.count("progress=True")
    assert kinds.count("application/vnd.jupyter.widget-view+json") >= bars
