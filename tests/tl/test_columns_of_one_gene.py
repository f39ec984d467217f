"""Several columns that are one gene: neither their order nor an empty copy changes what a verb says."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb

LABELS = ["B", "NK", "CD14+ Mono", "FCGR3A+ Mono", "DC", "CD8 T", "Memory CD4 T", "Naive CD4 T", "Platelet"]


def cells() -> ad.AnnData:
    return sb.datasets.pbmc3k()[::27].copy()


def with_columns(adata: ad.AnnData, added: dict[str, np.ndarray | None], *, first: bool) -> ad.AnnData:
    """More columns, before or behind the others; None for one without any value."""
    empty = np.zeros(adata.n_obs, dtype=np.float32)
    block = sp.csr_matrix(np.column_stack([empty if one is None else one for one in added.values()]))
    parts, names = [adata.X, block], [*adata.var_names, *added]
    if first:
        parts, names = parts[::-1], [*added, *adata.var_names]
    out = ad.AnnData(sp.csr_matrix(sp.hstack(parts)), obs=adata.obs.copy())
    out.var_names = names
    return out


def values(adata: ad.AnnData, gene: str) -> np.ndarray:
    return adata[:, gene].X.toarray().ravel()


def results(adata: ad.AnnData) -> tuple[ad.AnnData, str]:
    sb.tl.annotate(adata, labels=LABELS, rationale="cell")
    return adata, str(sb.tl.ask(adata, "How many cells express MS4A1?"))


def assert_equal(one: tuple[ad.AnnData, str], other: tuple[ad.AnnData, str]) -> None:
    (a, said_a), (b, said_b) = one, other
    assert said_a == said_b
    assert list(a.obs["bioverse_label"].astype(str)) == list(b.obs["bioverse_label"].astype(str))
    assert list(a.obs["bioverse_rationale"]) == list(b.obs["bioverse_rationale"])
    # One float32 sum over the genes of a cell, in another order: a rounding of 2^-24 for each of up to 2,000 terms.
    np.testing.assert_allclose(a.obsm["X_bioverse"], b.obsm["X_bioverse"], atol=2000 * 2**-24 * 8)


@pytest.fixture(scope="module")
def plain() -> tuple[ad.AnnData, str]:
    return results(cells())


@pytest.mark.parametrize("first", [False, True])
def test_an_empty_column_takes_no_gene_over(plain, first):
    adata = cells()
    genes = ["MS4A1", "CD79A", "NKG7", "CD14", "LYZ"]
    renamed = with_columns(adata, dict.fromkeys([f"{gene}-1" for gene in genes]), first=first)
    assert_equal(results(renamed), plain)
    # The other way round: what was measured is under the name that make_unique gave, the plain one is empty.
    names = [f"{name}-1" if name in genes else name for name in adata.var_names]
    adata.var_names = names
    assert_equal(results(with_columns(adata, dict.fromkeys(genes), first=first)), plain)


@pytest.mark.parametrize("first", [False, True])
def test_neither_an_empty_symbol_nor_an_alias_decides(plain, first):
    adata = cells()
    # CD20 and Bp35 are aliases of MS4A1, GNLY was NKG5.
    copies = {"CD20": None, "NKG5": values(adata, "GNLY") * (np.arange(adata.n_obs) < 2)}
    assert_equal(results(with_columns(adata, copies, first=first)), plain)
    adata.var_names = ["CD20" if name == "MS4A1" else name for name in adata.var_names]
    assert_equal(results(with_columns(adata, {"MS4A1": None}, first=first)), plain)


def test_an_ensembl_id_twice_in_either_order():
    adata = cells()
    kept = values(adata, "MS4A1")
    few = kept * (np.arange(adata.n_obs) % 5 == 0)
    adata.var_names = ["ENSG00000156738.18" if name == "MS4A1" else name for name in adata.var_names]
    forward = results(with_columns(adata, {"ENSG00000156738.19": few}, first=False))
    assert_equal(results(with_columns(adata, {"ENSG00000156738.19": few}, first=True)), forward)
    n = int((kept > 0).sum())
    assert f"{n} of" in forward[1]


def test_what_looks_like_a_copy_and_is_a_gene_is_that_gene():
    from scbioverse.io import match_genes

    names = ["NKX2-1", "NKX2", "HLA-DRB1", "HLA-DRB5", "KRTAP5-1", "KRTAP5-2", "MS4A1", "MS4A1-1", "MS4A1.2", "XYZ-1"]
    vocabulary = ["NKX2-1", "HLA-DRB1", "HLA-DRB5", "KRTAP5-1", "KRTAP5-2", "MS4A1"]
    match = match_genes(names, vocabulary, min_genes=1)
    assert match.vocab.size == len(vocabulary)
    assert {claim.name for claims in match.rivals.values() for claim in claims} == {"MS4A1", "MS4A1-1", "MS4A1.2"}


def test_the_dotplot_shows_the_column_that_the_reasons_were_made_from():
    import matplotlib.pyplot as plt

    adata = cells()
    names = [f"{name}-1" if name in ("MS4A1", "CD79A", "NKG7") else name for name in adata.var_names]
    adata.var_names = names
    copied = with_columns(adata, dict.fromkeys(["MS4A1", "CD79A", "NKG7"]), first=True)
    sb.tl.annotate(copied, labels=LABELS)
    reference = cells()
    sb.tl.annotate(reference, labels=LABELS)
    figures = [sb.pl.evidence_dotplot(one, show=False, return_fig=True) for one in (reference, copied)]
    sizes = [
        [one.get_sizes().tolist() for axis in figure.axes for one in axis.collections if hasattr(one, "get_sizes")]
        for figure in figures
    ]
    assert any(sizes[0])
    assert sizes[0] == sizes[1]
    plt.close("all")
