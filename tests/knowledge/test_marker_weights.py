"""Marker weights: what speaks for a candidate, and what speaks for none."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge import markers
from scbioverse.knowledge.markers import load_markers, marker_weights

B, CD4, CD8, T, NK = "CL:0000236", "CL:0000624", "CL:0000625", "CL:0000084", "CL:0000623"


@pytest.fixture(scope="module")
def genes() -> list[str]:
    return sorted(set(load_markers()["gene"]))


def test_known_markers_weigh_for_their_type_only(genes):
    weights = marker_weights([B, NK, CD8], genes).toarray()
    assert weights.dtype == np.float32
    assert weights[0, genes.index("MS4A1")] > 0
    assert (weights[1:, genes.index("MS4A1")] == 0).all()
    assert (weights >= 0).all()
    # Unit length but for the prior doubt: the weighted sum of independent z-scores has at most a variance of one.
    lengths = np.linalg.norm(weights, axis=1)
    assert ((lengths > 0.9) & (lengths < 1)).all()


def test_a_gene_of_every_candidate_tells_less(genes):
    alone = marker_weights([CD4], genes).toarray()
    pair = marker_weights([CD4, CD8], genes).toarray()
    assert alone[0, genes.index("CD3D")] > pair[0, genes.index("CD3D")]


def test_another_candidates_markers_are_not_borrowed(genes):
    borrowed = marker_weights([T, B], genes)[[0]].toarray()
    kept = marker_weights([T, CD8, B], genes)[[0]].toarray()
    at = genes.index("CD8B")
    assert borrowed[0, at] > kept[0, at]


def test_few_measured_markers_count_little(genes):
    few = np.linalg.norm(marker_weights([B, NK], ["MS4A1", "ACTB"]).toarray(), axis=1)
    many = np.linalg.norm(marker_weights([B, NK], genes).toarray(), axis=1)
    assert 0 < few[0] < many[0] < 1
    # The same lift of every measured marker says the more, the more of them there are.
    assert marker_weights([B], genes).sum() > 4 * marker_weights([B], ["MS4A1", "CD79A"]).sum()


def test_shared_markers_come_off_by_the_share_that_is_set(genes, monkeypatch):
    found = []
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(markers, "SHARED", share)
        found.append(marker_weights([CD4, CD8], genes).toarray()[0, genes.index("CD3D")])
    assert found[0] > found[1] > found[2]


def test_unknown_and_unmeasured_candidates_have_empty_rows():
    weights = marker_weights([None, "CL:9999999", B], ["ACTB"])
    assert weights.nnz == 0
    assert weights.shape == (3, 1)
