from __future__ import annotations

import numpy as np

from scbioverse.pl._alignment_umap import centroid_gap, side_by_side, unit_rows
from tests._precision import UNIT


def test_angles_within_a_kind_are_the_raw_ones() -> None:
    generator = np.random.default_rng(0)
    narrow, wide = generator.normal(size=(6, 3)), generator.normal(size=(5, 7)) * 40
    a, b = side_by_side(narrow, wide)
    assert a.shape == (6, 7)
    assert b.shape == (5, 7)
    for raw, shown in ((narrow, a), (wide, b)):
        lengths = np.linalg.norm(raw, axis=1)
        np.testing.assert_allclose(shown @ shown.T, raw @ raw.T / np.outer(lengths, lengths), atol=UNIT)


def test_a_row_of_zeros_stays() -> None:
    assert np.isfinite(unit_rows(np.zeros((2, 3)))).all()


def test_gap_of_centroids() -> None:
    a, b = np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 3.0]])
    np.testing.assert_allclose(centroid_gap(a, b), 2**0.5, atol=UNIT)
    assert centroid_gap(a, a) == 0.0
