from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
from scipy.sparse import SparseEfficiencyWarning

from scbioverse.pl._layout import map_of, umap_layout


def two_groups(n: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(n, 6)) * 0.05
    points[: n // 2, 0] += 1
    points[n // 2 :, 1] += 1
    return points.astype(np.float32)


def test_layout_repeats_and_keeps_groups_apart() -> None:
    points = two_groups(80)
    first, again = umap_layout(points, rng=3), umap_layout(points, rng=3)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-4)
    one, other = first[:40], first[40:]
    apart = np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))
    assert apart > 2 * max(one.std(axis=0).max(), other.std(axis=0).max())


@pytest.mark.parametrize("n", [1, 2, 9, 10])
def test_few_points_have_a_place_each(n: int) -> None:
    flat = umap_layout(two_groups(n))
    assert flat.shape == (n, 2)
    assert np.isfinite(flat).all()
    assert len(np.unique(flat, axis=0)) == n


def test_points_that_are_the_same_are_drawn_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SparseEfficiencyWarning)
        umap_layout(np.repeat(two_groups(60), 20, axis=0), rng=0)


def test_a_map_that_the_page_kept_is_everybodys() -> None:
    adata = ad.AnnData(shape=(12, 0), obsm={"X_bioverse": two_groups(12), "X_bioverse_map": np.eye(12)[:, :2]})
    flat, name = map_of(adata)
    np.testing.assert_array_equal(flat, adata.obsm["X_bioverse_map"])
    assert name == "map"
    adata.obsm["X_umap"] = -flat
    flat, name = map_of(adata)
    np.testing.assert_array_equal(flat, adata.obsm["X_umap"])
    assert name == "UMAP"
    assert map_of(adata, use_rep="X_bioverse")[0].shape == (12, 2)
