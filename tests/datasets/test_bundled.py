from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

import scbioverse as sb
from scbioverse.errors import OfflineError


def test_pbmc3k_holds_counts_symbols_and_labels() -> None:
    adata = sb.datasets.pbmc3k()
    assert adata.shape == (2700, 13714)
    assert isinstance(adata.X, csr_matrix)
    assert adata.X.dtype == np.float32
    assert (adata.X.data >= 1).all()
    assert np.array_equal(adata.X.data, np.round(adata.X.data))
    assert {"CD3E", "MS4A1", "NKG7", "FCGR3A"} <= set(adata.var_names)
    assert adata.var_names.is_unique
    assert adata.obs["cell_type"].value_counts().to_dict() == {
        "Naive CD4 T": 697,
        "Memory CD4 T": 483,
        "CD14+ Mono": 480,
        "B": 344,
        "CD8 T": 271,
        "FCGR3A+ Mono": 162,
        "NK": 155,
        "unassigned": 62,
        "DC": 32,
        "Platelet": 14,
    }
    assert "CC BY 4.0" in adata.uns["licence"]


def test_pbmc3k_is_the_registered_set() -> None:
    try:
        original = sb.datasets.load("pbmc3k")
    except OfflineError:
        pytest.skip("pbmc3k is not in the cache")
    adata = sb.datasets.pbmc3k()
    assert (adata.X != original.X).nnz == 0
    assert adata.obs_names.equals(original.obs_names)
    assert adata.var_names.equals(original.var_names)
    assert adata.obs["cell_type"].astype(str).equals(original.obs["cell_type"].astype(str))


def test_each_call_returns_its_own_copy() -> None:
    first = sb.datasets.pbmc3k()
    first.obs["cell_type"] = "x"
    assert (sb.datasets.pbmc3k().obs["cell_type"] != "x").all()


def test_citeseq_holds_counts_of_genes_and_surface_proteins() -> None:
    adata = sb.datasets.citeseq_pbmc5k()
    proteins = adata.obsm["protein_expression"]
    assert adata.shape == (200, 16581)
    assert np.array_equal(adata.X.data, np.round(adata.X.data))
    assert proteins.index.equals(adata.obs_names)
    assert {"CD3", "CD4", "CD8a", "CD14", "CD19", "CD56"} <= set(proteins.columns)
    # Messenger and protein are measured in the same cells: B cells have both.
    gene = np.asarray(adata[:, "MS4A1"].X.todense()).ravel() > 0
    assert proteins["CD20"][gene].median() > 5 * proteins["CD20"][~gene].median()
    assert "CC BY 4.0" in adata.uns["licence"]


def test_citeseq_is_the_registered_set() -> None:
    try:
        original = sb.datasets.load("citeseq_pbmc5k_200cells")
    except OfflineError:
        pytest.skip("citeseq_pbmc5k_200cells is not in the cache")
    adata = sb.datasets.citeseq_pbmc5k()
    assert (adata.X != original.X).nnz == 0
    assert np.array_equal(adata.obsm["protein_expression"].to_numpy(), original.obsm["protein_expression"])
