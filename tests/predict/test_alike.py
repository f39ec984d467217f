"""Cells that are alike by their own genes, and what hearing them does."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax

from scbioverse.io import Cells
from scbioverse.predict import groups
from scbioverse.predict.groups import N_ALIKE, alike_cells, components, hear, nearest, variable_genes

N, TYPES, GENES = 240, 3, 400


@pytest.fixture(scope="module")
def drawn() -> tuple[sparse.csr_array, np.ndarray]:
    """Counts of cells of three types, each with 30 genes of its own among 400, at depths that differ; and the types."""
    rng = np.random.default_rng(0)
    of_type = np.arange(N) % TYPES
    mean = rng.gamma(1.0, 0.5, GENES)
    rate = np.tile(mean, (TYPES, 1))
    for one in range(TYPES):
        rate[one, 30 * one : 30 * one + 30] *= 6
    depth = rng.gamma(4.0, 0.5, N)[:, None]
    return sparse.csr_array(rng.poisson(rate[of_type] * depth).astype(np.float32)), of_type


def named(counts: sparse.csr_array) -> ad.AnnData:
    """Cells with approved gene symbols."""
    from scbioverse.knowledge.genes import load_genes

    cells = ad.AnnData(sparse.csr_matrix(counts))
    cells.var_names = load_genes().symbols[: counts.shape[1]]
    return cells


def test_neighbours_are_of_the_same_type(drawn: tuple[sparse.csr_array, np.ndarray]) -> None:
    counts, of_type = drawn
    near = alike_cells(Cells.of(named(counts)))
    assert near is not None
    assert near.shape == (N, N_ALIKE)
    assert near.dtype == np.int64
    assert not (near == np.arange(N)[:, None]).any()
    assert (of_type[near] == of_type[:, None]).mean() > 0.9


def test_logarithms_and_counts_have_the_same_neighbours(drawn: tuple[sparse.csr_array, np.ndarray]) -> None:
    counts, _ = drawn
    cells = named(counts)
    logs = cells.copy()
    logs.X = (logs.X.multiply(1e4 / counts.sum(axis=1)[:, None])).tocsr()
    logs.X.data = np.log1p(logs.X.data)
    one, other = alike_cells(Cells.of(cells)), alike_cells(Cells.of(logs))
    assert one is not None
    assert other is not None
    shared = [len(set(a) & set(b)) / N_ALIKE for a, b in zip(one, other, strict=True)]
    assert np.mean(shared) > 0.95


def test_rows_may_come_in_any_order(drawn: tuple[sparse.csr_array, np.ndarray]) -> None:
    counts, _ = drawn
    order = np.random.default_rng(1).permutation(N)
    places, moved = components(counts), components(counts[order])
    # Directions may change their sign, not what lies near to what.
    np.testing.assert_allclose(moved @ moved.T, (places @ places.T)[np.ix_(order, order)], atol=1e-2)
    assert (order[nearest(moved)] == nearest(places)[order]).mean() > 0.99


def test_genes_that_tell_types_apart_vary_most(
    drawn: tuple[sparse.csr_array, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "N_GENES", 90)
    found = variable_genes(drawn[0], np.ones(N, dtype=np.float32))
    assert found.size == 90
    assert (np.diff(found) > 0).all()
    assert (found < 90).mean() > 0.5  # 0.225 by chance


def test_a_cell_that_is_unsure_hears_its_like(drawn: tuple[sparse.csr_array, np.ndarray]) -> None:
    counts, of_type = drawn
    rng = np.random.default_rng(2)
    said = log_softmax(np.eye(TYPES)[of_type] + rng.normal(0, 1, (N, TYPES)), axis=1).astype(np.float32)
    near = nearest(components(counts))
    alone, heard = (said.argmax(1) == of_type).mean(), (hear(said, near).argmax(1) == of_type).mean()
    dealt = (hear(said, rng.permutation(near)).argmax(1) == of_type).mean()
    assert heard > alone + 0.1
    assert dealt < alone + 0.05
    np.testing.assert_allclose(np.exp(hear(said, near)).sum(axis=1), 1, rtol=1e-5)


def test_a_cell_that_is_sure_is_not_overruled() -> None:
    said = np.log(np.array([[0.999, 0.001], *[[0.05, 0.95]] * 4], dtype=np.float32))
    near = np.array([[1, 2, 3, 4], *[[0, 1, 2, 3]] * 4])
    assert hear(said, near)[0].argmax() == 0


def test_cells_without_genes_keep_what_they_say() -> None:
    places = np.vstack([np.random.default_rng(0).normal(size=(20, 4)), np.zeros((2, 4))]).astype(np.float32)
    near = nearest(places)
    assert (near[20:] == -1).all()
    assert (near[:20] < 20).all()
    said = log_softmax(np.random.default_rng(1).normal(size=(22, 3)), axis=1).astype(np.float32)
    before = said.copy()
    np.testing.assert_array_equal(hear(said, near)[20:], said[20:])
    np.testing.assert_array_equal(said, before)


def test_nothing_varies_or_too_few_or_too_many(
    drawn: tuple[sparse.csr_array, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = sparse.csr_array((30, 5), dtype=np.float32)
    assert components(empty).shape == (30, 0)
    assert (nearest(components(empty)) == -1).all()
    cells = named(drawn[0])
    assert alike_cells(Cells.of(cells[:N_ALIKE].copy())) is None
    monkeypatch.setattr(groups, "SAMPLE_CELLS", N - 1)
    assert alike_cells(Cells.of(cells)) is None
