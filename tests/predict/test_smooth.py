"""Cells that decide together: mutual neighbours, and what `annotate(n_neighbors=)` does with them."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest
from scipy.special import log_softmax

import scbioverse as sb
from scbioverse._slots import read_record
from scbioverse.errors import InputError
from scbioverse.predict import groups
from scbioverse.predict.groups import OWN_SHARE, SWEEPS, mutual_neighbours, propagate
from tests._precision import LOG_PROBS, TOTALS

if TYPE_CHECKING:
    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


def links_by_loops(values: np.ndarray, k: int) -> np.ndarray:
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    near = [
        set(sorted((j for j in range(len(unit)) if j != i), key=lambda j: -unit[i] @ unit[j])[:k])
        for i in range(len(unit))
    ]
    return np.array([[float(j in near[i] and i in near[j]) for j in range(len(unit))] for i in range(len(unit))])


def test_links_are_mutual_nearest_rows() -> None:
    values = points(40)
    np.testing.assert_array_equal(mutual_neighbours(values, 4, 0).toarray(), links_by_loops(values, 4))


def test_rows_without_a_representation_are_linked_to_none() -> None:
    values = points(20)
    values[3], values[5] = np.nan, 0.0
    links = mutual_neighbours(values, 50, 0).toarray()
    rest = np.delete(np.arange(20), [3, 5])
    assert not links[[3, 5]].any()
    assert not links[:, [3, 5]].any()
    # More neighbours than rows: every row hears every other.
    np.testing.assert_array_equal(links[np.ix_(rest, rest)], 1 - np.eye(18))


class FakeDescent:
    """Stands for pynndescent, whose first call compiles for most of a minute; finds less here and there."""

    def __init__(self, values: np.ndarray, n_neighbors: int, metric: str, random_state: int) -> None:
        assert (metric, random_state) == ("euclidean", 3)
        near = np.argsort(-values @ values.T, axis=1)[:, :n_neighbors]
        assert (near[:, 0] == np.arange(len(values))).all()
        near[::5, -1] = -1
        self.neighbor_graph = near, None


def test_approximate_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    values = points(100)
    exact = mutual_neighbours(values, 10, 3).toarray()
    monkeypatch.setattr(groups, "MOST_EXACT", 50)
    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=FakeDescent))
    found = mutual_neighbours(values, 10, 3).toarray()
    assert (found == found.T).all()
    assert not found.diagonal().any()
    assert (found <= exact).all()
    assert found.sum() > 0.9 * exact.sum()


@pytest.mark.slow
@pytest.mark.skipif("SCBIOVERSE_SLOW" not in os.environ, reason="compiles for a minute; set SCBIOVERSE_SLOW=1")
def test_pynndescent_finds_nearly_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    values = points(400)
    exact = mutual_neighbours(values, 10, 0).toarray()
    monkeypatch.setattr(groups, "MOST_EXACT", 100)
    found = mutual_neighbours(values, 10, 0).toarray()
    assert (found == found.T).all()
    assert (found * exact).sum() > 0.95 * exact.sum()
    np.testing.assert_array_equal(found, mutual_neighbours(values, 10, 0).toarray())


def test_propagation_is_the_formula_and_keeps_the_lonely() -> None:
    values, own = points(30), log_softmax(points(30, 1), axis=1)
    values[7] = np.nan
    links = mutual_neighbours(values, 3, 0).toarray()
    said = own.astype(np.float64)
    for _ in range(SWEEPS):
        said = np.array(
            [
                OWN_SHARE * own[i] + (1 - OWN_SHARE) * said[links[i] > 0].mean(axis=0) if links[i].any() else own[i]
                for i in range(30)
            ]
        )
    found = propagate(own, values, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, log_softmax(said, axis=1), atol=LOG_PROBS)
    np.testing.assert_allclose(found[7], own[7], atol=LOG_PROBS)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, atol=TOTALS)


def test_order_of_rows_and_extra_token_axis_do_not_matter() -> None:
    values, own = points(60), log_softmax(points(60, 1), axis=1)
    order = np.random.default_rng(2).permutation(60)
    found = propagate(own, values, 8)
    np.testing.assert_allclose(propagate(own[order], values[order], 8), found[order], atol=LOG_PROBS)
    np.testing.assert_allclose(propagate(own, values.reshape(60, 2, 3), 8), found, atol=LOG_PROBS)


def test_neighbours_overrule_a_stray_cell_and_spare_a_rare_type() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(3, 8, dtype=np.float32)
    kind = np.repeat([0, 1, 2], [100, 100, 12])
    values = (centres[kind] + rng.normal(scale=0.05, size=(212, 8))).astype(np.float32)
    own = np.full((212, 3), np.log(0.1), np.float32)
    own[np.arange(212), kind] = np.log(0.8)
    own[:5] = np.log([0.3, 0.6, 0.1])
    found = propagate(own, values, 10).argmax(1)
    assert (own.argmax(1) == kind).sum() == 207
    assert (found == kind).all()


def test_single_row() -> None:
    own = log_softmax(points(1), axis=1)
    np.testing.assert_allclose(propagate(own, points(1), 15), own, atol=LOG_PROBS)


# ---------------------------------------------------------------- in annotate


def annotated(adata: ad.AnnData, model: BioVerse, **options: Any) -> ad.AnnData:
    done = sb.tl.annotate(adata, model=model, copy=True, **{"labels": TYPES, "rationale": None, **options})
    assert done is not None
    return done


@pytest.mark.parametrize("method", ["score", "nearest"])
def test_annotate_propagates_what_it_scored(cells: ad.AnnData, tiny_model: BioVerse, method: str) -> None:
    alone = annotated(cells, tiny_model, method=method)
    together = annotated(cells, tiny_model, method=method, n_neighbors=6)
    expected = propagate(alone.obsm["bioverse_scores"].to_numpy(), alone.obsm["X_bioverse"], 6)
    np.testing.assert_allclose(together.obsm["bioverse_scores"], expected, atol=LOG_PROBS)
    assert not np.allclose(expected, alone.obsm["bioverse_scores"], atol=1e-3)
    names = np.array(TYPES)[expected.argmax(1)]
    assert (together.obs["bioverse_label"].astype(str) == names).all()
    assert read_record(together, "annotate")["n_neighbors"] == 6
    assert read_record(alone, "annotate")["n_neighbors"] is None


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "15"])
def test_a_number_that_is_none(cells: ad.AnnData, tiny_model: BioVerse, wrong: Any) -> None:
    with pytest.raises(InputError, match="n_neighbors is a whole number from 1 up"):
        sb.tl.annotate(cells, model=tiny_model, labels=TYPES, n_neighbors=wrong)
    assert not cells.obsm
    assert "bioverse" not in cells.uns


@pytest.mark.parametrize(("options", "named"), [({"method": "generate"}, "generate"), ({"labels": "cl"}, "'cl'")])
def test_without_one_set_of_candidates(
    cells: ad.AnnData, tiny_model: BioVerse, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=f"{named}.*give candidates as labels="):
        sb.tl.annotate(cells, model=tiny_model, n_neighbors=5, **{"labels": TYPES, **options})
    assert not cells.obsm
