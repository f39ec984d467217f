"""Marker weights: what speaks for a candidate, and what speaks for none."""

from __future__ import annotations

import numpy as np
import pytest

from scbioverse.knowledge.marker_weights import marker_weights
from scbioverse.knowledge.markers import load_markers

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
    assert (weights.sum(axis=1) < 1).all()


def test_a_gene_of_every_candidate_tells_none_apart(genes):
    alone = marker_weights([CD4], genes, shrink=0).toarray()
    pair = marker_weights([CD4, CD8], genes, shrink=0).toarray()
    assert alone[0, genes.index("CD3D")] > pair[0, genes.index("CD3D")]


def test_another_candidates_markers_are_not_borrowed(genes):
    borrowed = marker_weights([T, B], genes)[[0]].toarray()
    kept = marker_weights([T, CD8, B], genes)[[0]].toarray()
    at = genes.index("CD8B")
    assert borrowed[0, at] > kept[0, at]


def test_few_measured_markers_count_little(genes):
    few = marker_weights([B, NK], ["MS4A1", "ACTB"]).sum(axis=1)
    many = marker_weights([B, NK], genes).sum(axis=1)
    assert few[0] < 0.7 < many[0]


def test_unknown_and_unmeasured_candidates_have_empty_rows():
    weights = marker_weights([None, "CL:9999999", B], ["ACTB"])
    assert weights.nnz == 0
    assert weights.shape == (3, 1)
