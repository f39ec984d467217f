from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scbioverse as sb


@pytest.fixture(scope="session")
def model_folder(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved, untrained model over the toy genes, which finds its tiny language model by path."""
    import torch

    from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats
    from scbioverse.models import BioVerse

    genes = tuple(sb.datasets.toy_cells(n_obs=1, n_genes=300).var_names)
    n = len(genes)
    stats = GeneStats(genes, np.full(n, 0.8), np.full(n, 0.7), np.full(n, 1.0), 2000.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = CompactCellEncoder(CompactNet(n, 32, 16), stats, name="tiny", min_genes=50)
    model = BioVerse.new(encoder, name="tiny", llm=str(tiny_llm), n_soft=2, hidden=16)
    model.config.default_labels = ["CL:0000236", "CL:0000623"]
    return model.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """40 toy cells in a file."""
    adata = sb.datasets.toy_cells(n_obs=40, n_genes=300)
    adata.obs["cluster"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    path = tmp_path / "in.h5ad"
    adata.write_h5ad(path)
    return path
