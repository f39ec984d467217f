from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from scbioverse.encoders._panel_share import GeneStats, log_share, panel_offsets
from scbioverse.errors import InputError
from tests._dense_zscores import panel_zscores
from tests._precision import FEW, SMALL_NET


def by_hand(counts: np.ndarray, stats: GeneStats, vocab: list[int]) -> np.ndarray:
    """Compute the formula one value at a time, in double precision."""
    out = np.zeros((len(counts), len(stats.genes)))
    share = sum(float(stats.profile[v]) for v in vocab) / sum(map(float, stats.profile))
    for i, cell in enumerate(counts):
        total = sum(map(float, cell))
        if total == 0:
            continue
        for c, v in zip(cell, vocab, strict=True):
            x = math.log1p(float(c) / total * stats.target_sum * share)
            z = (x - float(stats.mean[v])) / float(stats.sd[v])
            out[i, v] = min(max(z, stats.clip[0]), stats.clip[1])
    return out


@pytest.fixture
def small() -> tuple[np.ndarray, GeneStats, list[int]]:
    rng = np.random.default_rng(0)
    stats = GeneStats(tuple("ABCDEFGHIJ"), rng.random(10) * 3, rng.random(10) + 0.1, rng.random(10), 500.0, (-2.0, 3.0))
    counts = rng.poisson(0.8, (6, 5)).astype(np.float32)
    counts[2] = 0
    return counts, stats, [7, 1, 9, 0, 4]


def test_the_reference_is_the_formula(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    z = panel_zscores(counts, stats, vocab)
    np.testing.assert_allclose(z, by_hand(counts, stats, vocab), atol=SMALL_NET)
    # Both clips are met, or the test would not see them.
    assert (z == -2).any()
    assert (z == 3).any()


def test_sparse_path_is_the_formula(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    panel = stats.panel(vocab)
    offsets = panel_offsets(sp.csr_array(counts), stats, panel)
    assert offsets.nnz == (counts > 0).sum()
    expected = by_hand(counts, stats, vocab)[:, vocab]
    filled = counts.sum(axis=1) > 0
    np.testing.assert_allclose((offsets.toarray() + panel.zero)[filled], expected[filled], atol=SMALL_NET)


def test_each_cell_stands_alone(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    panel, sparse = stats.panel(vocab), sp.csr_array(counts)
    some = panel_offsets(sparse[[4, 1]], stats, panel)
    np.testing.assert_array_equal(panel_offsets(sparse, stats, panel)[[4, 1]].toarray(), some.toarray())


def test_unit_of_the_counts_does_not_matter(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    panel, sparse = stats.panel(vocab), sp.csr_array(counts)
    more = panel_offsets(sparse * 37.5, stats, panel).toarray()
    np.testing.assert_allclose(more, panel_offsets(sparse, stats, panel).toarray(), atol=SMALL_NET)


def test_share_keeps_a_panel_on_the_scale_of_the_whole() -> None:
    # A cell that follows the profile has the same log values whether all genes or half of them are measured.
    profile = np.array([4.0, 3, 2, 1])
    stats = GeneStats(tuple("ABCD"), np.zeros(4), np.ones(4), profile, 100.0)
    whole = log_share(sp.csr_array(profile[None]), stats.panel().share, 100.0).toarray()
    half = log_share(sp.csr_array(profile[None, [0, 2]]), stats.panel([0, 2]).share, 100.0).toarray()
    np.testing.assert_allclose(half, whole[:, [0, 2]], rtol=FEW)


def test_a_gene_that_is_not_listed_has_a_part_of_its_mean(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    silent, some, more = (stats.panel(vocab, unlisted=share) for share in (0.0, 0.4, 0.8))
    np.testing.assert_array_equal(silent.zero, stats.panel(vocab).zero)
    assert (some.zero >= silent.zero).all()
    assert (more.zero > some.zero).any()
    assert (more.zero < 0).all(), "never above the mean of all cells"
    # What is listed is read as ever: only the reference for the others moves.
    for panel in (some, more):
        z = panel_offsets(sp.csr_array(counts), stats, panel).toarray() + panel.zero
        listed = counts > 0
        np.testing.assert_allclose(z[listed], by_hand(counts, stats, vocab)[:, vocab][listed], atol=SMALL_NET)


def test_input_is_not_written_to(small: tuple[np.ndarray, GeneStats, list[int]]) -> None:
    counts, stats, vocab = small
    sparse = sp.csr_array(counts)
    before = sparse.data.copy()
    panel_offsets(sparse, stats, stats.panel(vocab))
    np.testing.assert_array_equal(sparse.data, before)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"genes": ("A", "A")}, "each gene once"),
        ({"sd": [1, 0]}, "1 of 2 sd below or at zero"),
        ({"mean": [1]}, "mean must be 2 finite"),
        ({"mean": [1, np.nan]}, "mean must be 2 finite"),
        ({"profile": [-1, 2]}, "non-negative"),
        ({"profile": [0, 0]}, "not all zero"),
        ({"target_sum": 0}, "target_sum"),
        ({"clip": (2, 1)}, r"found clip \(2, 1\)"),
    ],
)
def test_statistics_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    fields = {"genes": ("A", "B"), "mean": [0, 1], "sd": [1, 1], "profile": [1, 1], "target_sum": 10} | change
    with pytest.raises(InputError, match=words):
        GeneStats(**fields)
