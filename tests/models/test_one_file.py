"""What it takes to add an encoder or a language model: one file, or one folder."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.encoders import _registry
from tests.conftest import save_tiny_neox

ENCODER = '''
"""Mean expression of blocks of genes: all that an encoder needs."""
import hashlib, json
from pathlib import Path
import numpy as np
from scbioverse.encoders import register

@register("blocks")
class BlockEncoder:
    modality, name, n_tokens = "cell", "blocks", 1

    def __init__(self, dim=16):
        self.dim = dim

    def fingerprint(self):
        return hashlib.sha256(f"blocks {self.dim}".encode()).hexdigest()

    def prepare(self, cells, rows):
        x = np.asarray(cells.adata.X[rows].todense(), dtype=np.float32)
        return np.log1p(x)[:, : x.shape[1] // self.dim * self.dim]

    def encode(self, batch):
        return batch.reshape(len(batch), self.dim, -1).mean(axis=2)[:, None].astype(np.float32)

    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "encoder.json").write_text(json.dumps({"kind": "blocks", "dim": self.dim}))
        return Path(folder)

    @classmethod
    def from_folder(cls, folder):
        return cls(json.loads((folder / "encoder.json").read_text())["dim"])
'''


def imported(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_new_encoder_is_one_file(tmp_path: Path, tiny_llm: Path, request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: _registry.CLASSES.pop("blocks", None))
    (tmp_path / "block_encoder.py").write_text(ENCODER)
    encoder = imported(tmp_path / "block_encoder.py").BlockEncoder()
    cells = sb.datasets.toy_cells(n_obs=60, n_genes=200)
    model = sb.tl.align(cells, text_key="cell_type", model=encoder, llm=str(tiny_llm), steps=3, rng=0)
    folder = model.save(tmp_path / "mine")
    assert json.loads((folder / "config.json").read_text())["encoders"]["cell"]["kind"] == "blocks"
    sb.models.clear_cache()
    sb.tl.annotate(cells, model=folder, method="nearest", labels=["B cell", "NK cell"], rationale=None)
    assert set(cells.obs["bioverse_label"]) <= {"B cell", "NK cell"}
    assert np.asarray(cells.obsm["X_bioverse"]).shape == (60, 16)


def test_a_new_language_model_is_one_folder(tmp_path: Path) -> None:
    llm = save_tiny_neox(tmp_path / "my-llm")
    cells = sb.datasets.toy_cells(n_obs=60, n_genes=200)
    cells.obsm["X_mine"] = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    model = sb.tl.align(
        cells, text_key="cell_type", model=None, use_rep="X_mine", llm=str(llm), loss="both", steps=2, rng=0
    )
    assert model.config.llm.name == str(llm)
    folder = model.save(tmp_path / "mine")
    for method in ("score", "nearest", "generate"):
        sb.tl.annotate(cells, model=folder, method=method, labels=["B cell", "NK cell"], rationale=None)
        assert cells.obs["bioverse_label"].notna().all()
