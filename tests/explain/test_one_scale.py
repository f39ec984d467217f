"""The scale that the first pass settled is that of every test: the same cells on other scales, the same findings."""

from __future__ import annotations

from functools import cache
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import scbioverse as sb
from scbioverse.explain.reasons import reasons
from scbioverse.io.cells import SAMPLE_CELLS

NAMES = ["B", "CD14+ Mono", "NK"]
IDS = ["CL:0000236", "CL:0001054", "CL:0000623"]


@cache
def blood() -> Any:
    adata = sb.datasets.pbmc3k()
    return adata[adata.obs["cell_type"].isin(NAMES).to_numpy()][::3].copy()


def on(scale: str, adata: Any) -> Any:
    """The same cells on another scale."""
    counts = adata.X.toarray().astype(np.float64)
    shares = counts / counts.sum(axis=1, keepdims=True)
    made = {
        "counts": counts,
        "shares": shares,
        "a part of each count": 0.13 * counts,
        "per million": 1e6 * shares,
        "logarithms": np.log1p(1e4 * shares),
        "logarithms to base 2": np.log2(1 + 1e4 * shares),
        "logarithms per million": np.log1p(1e6 * shares),
        "logarithms of shares": np.log1p(shares),
    }[scale]
    out = adata.copy()
    out.X = sp.csr_matrix(made.astype(np.float32))
    return out


SCALES = [
    "shares", "a part of each count", "per million", "logarithms", "logarithms to base 2", "logarithms per million",
    "logarithms of shares",
]  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
def test_claims_are_tested_alike_on_every_scale(scale: str) -> None:
    text = "CD79A and MS4A1 mark these cells. LYZ is low. They lack NKG7."
    wanted = sb.explain.check(blood(), text, groupby="cell_type", group="B")
    found = sb.explain.check(on(scale, blood()), text, groupby="cell_type", group="B")
    assert list(found["verdict"]) == list(wanted["verdict"])
    # Per 10,000 of the genes with a symbol, or of all columns.
    np.testing.assert_allclose(found["log_fold_change"], wanted["log_fold_change"], atol=0.02)
    np.testing.assert_allclose(
        np.log10(found["p"][:2].astype(float)), np.log10(wanted["p"][:2].astype(float)), rtol=0.01
    )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("many", [False, True], ids=["in memory", "over blocks"])
def test_reasons_are_the_same_on_every_scale(scale: str, many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if many:
        monkeypatch.setattr("scbioverse.explain.reasons.SAMPLE_CELLS", 10)
    codes = np.array([NAMES.index(one) for one in blood().obs["cell_type"].astype(str)])
    wanted, found = (reasons(one, NAMES, IDS, codes) for one in (blood(), on(scale, blood())))
    assert found.sentences == wanted.sentences
    assert "CD79A" in found.sentences[0]
    np.testing.assert_allclose(
        found.table["log_fold_change"].astype(float), wanted.table["log_fold_change"].astype(float), atol=0.05
    )


@pytest.mark.parametrize("scale", ["shares", "logarithms to base 2"])
def test_the_plot_of_evidence_shows_the_same_values(scale: str) -> None:
    from scbioverse._slots import Slots
    from scbioverse.io import Cells
    from scbioverse.pl._evidence_dotplot import _light

    shown = []
    for adata in (blood(), on(scale, blood())):
        adata.obs["bioverse_label"] = adata.obs["cell_type"]
        cells = Cells.of(adata)
        shown.append(_light(cells, Slots("bioverse"), ["MS4A1", "LYZ"], cells.gene_columns()).X)
    np.testing.assert_allclose(shown[0], shown[1], atol=1e-3)


def test_more_cells_than_are_tested_in_memory() -> None:
    few = on("shares", blood())
    n = SAMPLE_CELLS // few.n_obs + 1
    many = ad.concat([few] * n, index_unique="-")
    codes = np.array([NAMES.index(one) for one in many.obs["cell_type"].astype(str)])
    found = reasons(many, NAMES, IDS, codes)
    assert found.measured["cells"] == many.n_obs > SAMPLE_CELLS
    assert found.sentences == reasons(blood(), NAMES, IDS, codes[: few.n_obs]).sentences
