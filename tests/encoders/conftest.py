from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.encoders import CompactCellEncoder
    from scbioverse.encoders.compact import GeneStats


@pytest.fixture
def cells() -> AnnData:
    """Toy counts, 40 cells of 200 genes; one symbol is outdated."""
    return sb.datasets.toy_cells(n_obs=40, n_genes=200)


@pytest.fixture
def stats(cells: AnnData) -> GeneStats:
    """Statistics over a vocabulary in another order, that misses ten of the genes and has twenty others."""
    from scbioverse.encoders.compact import GeneStats

    rng = np.random.default_rng(3)
    genes = [*rng.permutation(cells.var_names[:190]), *(f"OTHER{i}" for i in range(20))]
    n = len(genes)
    return GeneStats(tuple(genes), rng.random(n) * 2, rng.random(n) + 0.05, rng.gamma(0.5, 1.0, n), 3000.0)


@pytest.fixture
def encoder(stats: GeneStats) -> CompactCellEncoder:
    """A random compact encoder, 16 wide, 8 out."""
    import torch

    from scbioverse.encoders.compact import CompactCellEncoder, CompactNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CompactCellEncoder(CompactNet(stats.n_genes, 16, 8, 2, dropout=0.1), stats, name="tiny", min_genes=50)
