from __future__ import annotations

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def cells() -> AnnData:
    """60 toy cells of five types, embedded and annotated by nobody in particular."""
    adata = sb.datasets.toy_cells(n_obs=60)
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(5, 8))
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obsm["X_bioverse"] = (centres[codes] + 0.1 * generator.normal(size=(60, 8))).astype(np.float32)
    adata.obs["bioverse_label"] = adata.obs["cell_type"].cat.rename_categories({"platelet": "thrombocyte"})
    adata.obs["bioverse_confidence"] = np.linspace(0.2, 1, 60, dtype=np.float32)
    return adata


@pytest.fixture
def quick_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two columns in place of a UMAP, where the map itself is not the matter."""
    from scbioverse.pl import _alignment_umap, _layout

    for module in (_alignment_umap, _layout):
        monkeypatch.setattr(module, "umap_layout", lambda points, rng=None: np.asarray(points[:, :2], np.float32))
