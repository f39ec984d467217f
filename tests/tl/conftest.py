from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

    from scbioverse.encoders import CompactCellEncoder
    from scbioverse.llm import Backbone
    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


@pytest.fixture
def cells() -> AnnData:
    """60 toy cells of 300 genes and five types, with clusters called by numbers."""
    adata = sb.datasets.toy_cells(n_obs=60, n_genes=300)
    adata.obs["cluster"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    return adata


@pytest.fixture
def make_encoder() -> Callable[[int], CompactCellEncoder]:
    """Make compact encoders over the toy genes that differ by their seed."""

    def make(seed: int = 0) -> CompactCellEncoder:
        import torch

        from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats

        genes = tuple(sb.datasets.toy_cells(n_obs=1, n_genes=300).var_names)
        n = len(genes)
        stats = GeneStats(genes, np.full(n, 0.8), np.full(n, 0.7), np.full(n, 1.0), 2000.0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return CompactCellEncoder(CompactNet(n, 32, 16), stats, name=f"tiny-{seed}", min_genes=50)

    return make


@pytest.fixture
def tiny_model(make_encoder: Callable[[int], CompactCellEncoder], tiny_backbone: Backbone) -> BioVerse:
    """An untrained model over the toy genes, with a text space and the five types as its vocabulary."""
    from scbioverse.models import BioVerse

    model = BioVerse.new(make_encoder(0), name="tiny", llm=tiny_backbone, n_soft=2, hidden=32)
    model.space.fit([*TYPES, "Rain is expected.", "The train is late.", "A cup of tea.", "It is sold."], dim=8)
    model.config.default_labels = list(TYPES)
    return model
