from __future__ import annotations

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.datasets._toy import TOY_MARKERS
from scbioverse.errors import InputError


def test_markers_are_planted_where_they_belong() -> None:
    adata = sb.datasets.toy_cells(n_obs=100)
    for name, genes in TOY_MARKERS.items():
        inside = (adata.obs["cell_type"] == name).to_numpy()
        counts = adata[:, list(genes)].X.toarray().mean(axis=1)
        assert counts[inside].min() > counts[~inside].max()
        assert set(adata.var_names[adata.var["marker_of"] == name]) == set(genes)


def test_counts_are_counts_and_seeded() -> None:
    first, again, other = (sb.datasets.toy_cells(n_obs=20, rng=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.X.data, np.round(first.X.data))
    assert (first.X != again.X).nnz == 0
    assert (first.X != other.X).nnz > 0
    assert first.var_names.equals(other.var_names)
    assert first.var_names.is_unique


@pytest.mark.parametrize("bad", [{"n_obs": 0}, {"n_genes": 39}, {"n_genes": 10**6}])
def test_impossible_sizes_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(InputError, match="found"):
        sb.datasets.toy_cells(**bad)
