"""What docs/training.md shows is run, on tiny random models of the classes that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import scbioverse as sb
from tests.encoders.test_geneformer import cells, save_geneformer
from tests.llm.test_families import FAMILIES, save_family

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.mark.filterwarnings("ignore:1 of .* rows are empty:UserWarning")
@pytest.mark.filterwarnings("ignore:1 of .* cells have no counts:UserWarning")
def test_training_with_granite_qwen_and_geneformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    compact, adata = sb.datasets.toy_cells(n_obs=40, n_genes=500), cells()
    adata.obs["cell_type"] = ["B cell", "T cell"] * (adata.n_obs // 2)
    tiny = {
        "granite": str(save_family(tmp_path / "granite", FAMILIES["granite"])),
        "qwen": str(save_family(tmp_path / "qwen", FAMILIES["qwen3"])),
        "geneformer": str(save_geneformer(tmp_path / "Geneformer-tiny")),
    }
    short = {"steps": 1, "batch_size": 4, "rng": 0}
    for verb in ("align", "tune"):
        real = getattr(sb.tl, verb)
        monkeypatch.setattr(sb.tl, verb, lambda data, real=real, **given: real(data, **given, **short))
    names: dict[str, Any] = {"adata": compact}
    exec(blocks[0], names)
    assert set(tiny) < set(names)
    exec(blocks[1], names | tiny)
    names |= tiny | {"adata": adata}
    real_load = sb.encoders.GeneformerEncoder.load
    monkeypatch.setattr(
        sb.encoders.GeneformerEncoder, "load", lambda folder: real_load(folder, min_genes=10, device="cpu")
    )
    for block in blocks[2:]:
        exec(block, names)
    assert names["model"].config.encoders["cell"].kind == "geneformer"
    assert "bioverse_label" in adata.obs
