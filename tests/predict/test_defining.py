"""T cells are divided by the genes that define them, counted in the data set at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from scbioverse.predict.contrast import DEFINING_KEYS, told_apart

TERMS = ["CL:0000624", "CL:0000625", "CL:0000236"]  # CD4 T cell, CD8 T cell, B cell
N = 400


@pytest.fixture(scope="module")
def truth() -> NDArray[np.int64]:
    """A third of the cells are of each type."""
    return np.random.default_rng(0).permutation(np.arange(N) % 3)


def evidence_of(shown: NDArray[np.bool_]) -> Callable[[Sequence[str | None]], NDArray[np.float64]]:
    """Evidence of CD4, CD8A and CD8B alone: below zero for cells without a count, and more for the others."""

    def evidence(keys: Sequence[str | None]) -> NDArray[np.float64]:
        assert tuple(keys) == DEFINING_KEYS == ("|CD4", "|CD8A", "|CD8B")
        return np.where(shown, 2.0, -0.3)

    return evidence


def found(truth: NDArray[np.int64], rates: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """Draw in which cells each of the three genes is found, by its rate in each type."""
    return np.random.default_rng(1).random((N, 3)) < np.array(rates)[truth]


def unsure(truth: NDArray[np.int64], bias: float) -> NDArray[np.float32]:
    """B cells are known; of T cells all are rather CD4 than CD8, those of CD8 a little less so."""
    odds = bias + 0.4 * (truth == 1) + 0.5 * np.random.default_rng(2).standard_normal(N)
    own = np.column_stack([np.zeros(N), odds, np.full(N, -6.0)])
    own[truth == 2] = [-6, -6, 0]
    return log_softmax(own, axis=1).astype(np.float32)


def itself(own: NDArray[np.float32]) -> NDArray[np.float32]:
    return own


RATES = [[0.2, 0.01, 0.02], [0.01, 0.4, 0.7], [0.0, 0.01, 0.01]]


def test_counts_decide_between_cells_that_nothing_else_tells_apart(truth: NDArray[np.int64]) -> None:
    own = unsure(truth, -1.0)
    given = told_apart(own, TERMS, evidence_of(found(truth, RATES)), itself)
    t_cells = truth < 2
    before, after = ((one.argmax(axis=1) == truth)[t_cells].mean() for one in (own, given))
    # Of the CD8 T cells 18 % show neither gene.
    assert before < 0.65
    assert after > 0.85


def test_what_both_have_together_stays_and_so_does_everything_else(truth: NDArray[np.int64]) -> None:
    own = unsure(truth, -1.0)
    given = told_apart(own, TERMS, evidence_of(found(truth, RATES)), itself)
    np.testing.assert_allclose(logsumexp(given[:, :2], axis=1), logsumexp(own[:, :2], axis=1), atol=1e-5)
    np.testing.assert_array_equal(given[:, 2], own[:, 2])


def test_kinds_keep_their_shares_of_a_type(truth: NDArray[np.int64]) -> None:
    own = unsure(truth, -1.0)
    terms = ["CL:0000895", "CL:0000897", "CL:0000625", "CL:0000236"]  # naive and memory CD4 T cells
    split = np.column_stack([own[:, 0] + np.log(0.7), own[:, 0] + np.log(0.3), own[:, 1:]]).astype(np.float32)
    shown = evidence_of(found(truth, RATES))
    given, of_two = told_apart(split, terms, shown, itself), told_apart(own, TERMS, shown, itself)
    np.testing.assert_allclose(given[:, 0] - given[:, 1], np.log(0.7 / 0.3), atol=1e-4)
    np.testing.assert_allclose(logsumexp(given[:, :2], axis=1), of_two[:, 0], atol=1e-4)


def test_a_gene_that_is_found_in_the_other_type_says_nothing(truth: NDArray[np.int64]) -> None:
    turned = [[0.01, 0.4, 0.7], [0.2, 0.01, 0.02], [0.0, 0.01, 0.01]]
    own = unsure(truth, 0.0)
    own[:, :2] = np.where((truth < 2)[:, None], log_softmax(4.0 * np.eye(2)[truth.clip(0, 1)], axis=1), own[:, :2])
    given = told_apart(own.astype(np.float32), TERMS, evidence_of(found(truth, turned)), itself)
    np.testing.assert_allclose(given, own, atol=1e-4)


def test_alike_cells_are_heard_where_genes_are_counted(truth: NDArray[np.int64]) -> None:
    asked = []

    def settled(three: NDArray[np.float32]) -> NDArray[np.float32]:
        asked.append(three.shape)
        # A group of all that are CD8 T cells is known to be of these.
        return np.where((truth == 1)[:, None], log_softmax(three + np.array([0, 3, 0]), axis=1), three).astype(
            np.float32
        )

    own = unsure(truth, -3.0)
    given = told_apart(own, TERMS, evidence_of(found(truth, RATES)), settled)
    assert set(asked) == {(N, 3)}
    assert (given[truth == 1, 1] > own[truth == 1, 1]).mean() > 0.7


@pytest.mark.parametrize("terms", [["CL:0000624", "CL:0000084", "CL:0000236"], ["CL:0000540", None, "CL:0000236"]])
def test_nothing_is_asked_where_not_both_are_among_the_names(truth: NDArray[np.int64], terms: list[str | None]) -> None:
    def never(keys: Sequence[str | None]) -> NDArray[np.float64]:
        raise AssertionError("no gene is needed")

    own = unsure(truth, 0.0)
    np.testing.assert_array_equal(told_apart(own, terms, never, itself), own)
    np.testing.assert_array_equal(told_apart(own, TERMS, None, itself), own)
