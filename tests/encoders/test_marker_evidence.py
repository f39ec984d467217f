"""Marker evidence: each cell by itself, the same from counts and log values, a sign that means something."""

from __future__ import annotations

import gc
import weakref

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import scbioverse as sb
from scbioverse.errors import InputError
from scbioverse.io import Cells
from scbioverse.knowledge.markers import marker_weights
from scbioverse.models import load
from tests._dense_zscores import panel_zscores
from tests._precision import LOGS, SMALL_NET

IDS = ["CL:0000236", "CL:0000623", "CL:0000576", None]


def marker_evidence(data, stats, terms):
    cells = Cells.of(data)
    cells.match(stats.genes, judge=False)
    return cells.once(stats.read).evidence(cells, terms)


@pytest.fixture(scope="module")
def stats():
    return load("bioverse-small").encoders["cell"].stats


@pytest.fixture(scope="module")
def cells():
    return sb.datasets.pbmc3k()[:300].copy()


def test_known_cells_score_highest_for_their_type(stats):
    adata = sb.datasets.pbmc3k()
    evidence = marker_evidence(adata, stats, IDS[:3])
    kinds = {"B": 0, "NK": 1, "CD14+ Mono": 2}
    names = adata.obs["cell_type"].astype(str)
    known = [(name, column) for name, column in kinds.items() if (names == name).any()]
    found = {
        name: float((evidence[(names == name).to_numpy()].argmax(axis=1) == column).mean()) for name, column in known
    }
    assert found
    assert min(found.values()) > 0.8, found


def test_equals_the_dense_computation(cells, stats):
    match = Cells.of(cells).match(stats.genes)
    counts = cells.X[:, match.columns]
    z = panel_zscores(counts, stats, match.vocab)
    weights = marker_weights(IDS, [stats.genes[i] for i in match.vocab]).toarray()
    wanted = z[:, match.vocab] @ weights.T
    np.testing.assert_allclose(marker_evidence(cells, stats, IDS), wanted, atol=SMALL_NET)


def sums_by(step, adata, stats):
    """Marker sums as an encoder takes them on its way through the cells."""
    held = Cells.of(adata)
    scores = held.once(stats.read)
    scores.ask(held, IDS)
    for start in range(0, adata.n_obs, step):
        scores.offsets(slice(start, start + step), held.linear(slice(start, start + step), scores.match.columns))
    return scores.evidence(held, IDS)


def test_what_the_encoder_walked_through_is_not_read_again(cells, stats, monkeypatch):
    held = Cells.of(cells)
    scores = held.once(stats.read)
    scores.ask(held, IDS)
    scores.offsets(slice(0, cells.n_obs), held.linear(slice(0, cells.n_obs), scores.match.columns))
    monkeypatch.setattr(Cells, "read", lambda *_: pytest.fail("read again"))
    assert marker_evidence(held, stats, IDS) is scores.evidence(held, IDS)


def test_nothing_is_kept_alive(cells, stats):
    held = Cells.of(cells)
    marker_evidence(held, stats, IDS)
    gone = weakref.ref(held)
    gc.disable()  # what only the collector frees keeps a matrix for a while
    try:
        del held
        assert gone() is None
    finally:
        gc.enable()


def test_does_not_depend_on_batches_or_neighbours(cells, stats):
    whole = marker_evidence(cells, stats, IDS)
    np.testing.assert_allclose(sums_by(7, cells, stats), whole, atol=SMALL_NET)
    np.testing.assert_allclose(marker_evidence(cells[::-1].copy(), stats, IDS)[::-1], whole, atol=SMALL_NET)
    np.testing.assert_allclose(marker_evidence(cells[:5].copy(), stats, IDS), whole[:5], atol=SMALL_NET)


def test_log_values_give_what_counts_give(cells, stats):
    logged = cells.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    np.testing.assert_allclose(marker_evidence(logged, stats, IDS), marker_evidence(cells, stats, IDS), atol=LOGS)


def test_no_term_and_no_counts_are_no_evidence(cells, stats):
    silent = cells.copy()
    keep = np.ones(silent.n_obs)
    keep[0] = 0
    silent.X = sparse.csr_matrix(sparse.diags(keep) @ silent.X, dtype=np.float32)
    evidence = marker_evidence(silent, stats, IDS)
    assert (evidence[:, 3] == 0).all()
    assert (evidence[0] == 0).all()
    assert (evidence[1:, :3] != 0).any()


def test_unknown_genes_are_refused(stats):
    strange = ad.AnnData(np.ones((3, 200), np.float32), var={"x": range(200)})
    strange.var_names = [f"thing{i}" for i in range(200)]
    with pytest.raises(InputError, match="gene"):
        marker_evidence(strange, stats, IDS)
