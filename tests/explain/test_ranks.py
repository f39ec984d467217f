from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse, stats

from scbioverse.explain.expression import benjamini_hochberg, one_sided, rank_sums


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scipy(seed):
    rng = np.random.default_rng(seed)
    values = rng.poisson(rng.gamma(0.5, 2, size=12), size=(80, 12)).astype(float)
    codes = rng.integers(0, 4, size=80)
    sums, ties = rank_sums(sparse.csc_matrix(values), codes, 4)
    auc, p = one_sided(sums, ties, np.bincount(codes, minlength=4).astype(float))
    for gene in range(12):
        for group in range(4):
            inside, outside = values[codes == group, gene], values[codes != group, gene]
            if np.ptp(values[:, gene]) == 0:
                assert p[gene, group] == 1
                continue
            expected = stats.mannwhitneyu(inside, outside, alternative="greater", method="asymptotic")
            np.testing.assert_allclose(p[gene, group], expected.pvalue, rtol=1e-9)
            np.testing.assert_allclose(auc[gene, group], expected.statistic / (inside.size * outside.size))


def test_gene_without_a_count_tells_nothing():
    sums, ties = rank_sums(sparse.csc_matrix((20, 1)), np.arange(20) % 2, 2)
    auc, p = one_sided(sums, ties, np.array([10.0, 10.0]))
    np.testing.assert_allclose(auc, 0.5)
    np.testing.assert_allclose(p, 1)


def test_one_group_has_nothing_to_compare_with():
    _, p = one_sided(*rank_sums(sparse.csc_matrix(np.arange(5.0)[:, None]), np.zeros(5, int), 1), np.array([5.0]))
    assert np.isnan(p).all()


def test_benjamini_hochberg_equals_scipy_and_skips_nan():
    p = np.array([0.01, 0.04, 0.03, 0.5, 0.04])
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    with_gap = benjamini_hochberg(np.array([0.01, np.nan, 0.04, 0.03, 0.5, 0.04]))
    assert np.isnan(with_gap[1])
    np.testing.assert_allclose(np.delete(with_gap, 1), stats.false_discovery_control(p))
