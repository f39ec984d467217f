"""Views of cells and genes are read as their copies are, however they were cut."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from tests._precision import tolerance

CUTS: dict[str, tuple[Any, Any]] = {
    "every second gene": (slice(None), slice(None, None, 2)),
    "every second cell and gene": (slice(None, None, 2), slice(None, None, 2)),
    "genes backwards": (slice(None), slice(None, None, -1)),
    "every third gene of some": (slice(5, 60), slice(100, 9000, 3)),
    "chosen genes": (slice(None), np.arange(0, 13000, 7)),
}


@pytest.mark.filterwarnings("ignore:.*view of another AnnData")
@pytest.mark.filterwarnings("ignore:.*more like types:UserWarning")
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
@pytest.mark.parametrize("name", CUTS)
def test_a_view_gets_the_labels_and_reasons_of_its_copy(name: str, form: str) -> None:
    whole = sb.datasets.pbmc3k()[::27].copy()
    whole.X = whole.X.toarray() if form == "dense" else whole.X.asformat(form)
    rows, columns = CUTS[name]
    view, copied = whole[rows, columns], ad.AnnData(whole[rows].copy()[:, columns].copy())
    for one in (view, copied):
        sb.tl.annotate(one, labels=["B", "NK", "CD14+ Mono", "CD8 T"], rationale="template")
    assert view.obs["bioverse_label"].tolist() == copied.obs["bioverse_label"].tolist()
    assert view.obs["bioverse_rationale"].tolist() == copied.obs["bioverse_rationale"].tolist()
    near = tolerance("float32", copied.n_vars, float(np.abs(copied.obsm["X_bioverse"]).max()))
    np.testing.assert_allclose(view.obsm["X_bioverse"], copied.obsm["X_bioverse"], rtol=0, atol=near)
