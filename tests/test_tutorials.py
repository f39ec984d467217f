"""The tutorials are committed with their outputs, as they came when all was run; `make tutorials` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

TUTORIALS = sorted((Path(__file__).parents[1] / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_outputs_are_committed(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells), "run the notebook and commit it with its outputs"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run it from top to bottom"
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.output_type == "error"]


def test_there_are_six_and_none_names_this_machine() -> None:
    assert [path.name[:2] for path in TUTORIALS] == ["01", "02", "03", "04", "05", "06"]
    for path in TUTORIALS:
        assert str(Path.home()) not in path.read_text(encoding="utf-8")
