"""Temperature: making a confidence of 0.8 right eight times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from .._errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def fit_temperature(
    log_probs: NDArray[np.floating],
    truth: NDArray[np.integer],
    *,
    weights: NDArray[np.floating] | None = None,
    bounds: tuple[float, float] = (0.05, 20.0),
) -> float:
    """Find the temperature T that makes `log_softmax(log_probs / T)` most likely for `truth`.

    Guo et al. 2017, "On calibration of modern neural networks": one number, fitted on cells that took no part in
    training; it changes no ranking.

    Parameters
    ----------
    log_probs
        (n, m), natural logarithm, before any temperature.
    truth
        int64 (n,): right column of each row; negative rows are left out.
    weights
        (n,): weight of each row; equal if not given.
    bounds
        Range to search.

    Raises
    ------
    InputError
        Shapes do not fit or no row has a truth.
    """
    scores, right = np.asarray(log_probs, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 2 or right.shape != scores.shape[:1] or right.max(initial=-1) >= scores.shape[1]:
        raise InputError(f"log_probs {scores.shape} and truth {right.shape} do not fit together.")
    keep = right >= 0
    if not keep.any():
        raise InputError("no row has a truth to calibrate on.")
    scores, right = scores[keep], right[keep]
    share = np.ones(right.size) if weights is None else np.asarray(weights, dtype=np.float64)[keep]

    def loss(log_t: float) -> float:
        own = log_softmax(scores / np.exp(log_t), axis=1)[np.arange(right.size), right]
        return float(-(share * own).sum() / share.sum())

    found = minimize_scalar(loss, bounds=tuple(np.log(bounds)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def fit_combination(
    sets: Sequence[tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.integer]]],
    *,
    bounds: tuple[float, float] = (0.2, 10.0),
    most: float = 50.0,
) -> tuple[float, float]:
    """Find the temperature T and the weight w that make `log_softmax(log_probs / T + w * evidence)` most likely.

    A logarithmic opinion pool (Genest and Zidek 1986) of the model and of a second source of evidence. Every set counts
    the same, however many rows it has.

    Parameters
    ----------
    sets
        For each data set that took no part in training: log_probs (n, m), evidence (n, m), truth int64 (n,). Numbers of
        candidates may differ; rows with negative truth are left out.
    bounds
        Range of T.
    most
        Highest w; the lowest is 0.

    Raises
    ------
    InputError
        No set, shapes do not fit, or a set has no row with a truth.
    """
    checked = []
    for log_probs, evidence, truth in sets:
        scores, second, right = np.asarray(log_probs, float), np.asarray(evidence, float), np.asarray(truth)
        if scores.ndim != 2 or second.shape != scores.shape or right.shape != scores.shape[:1]:
            raise InputError(f"log_probs {scores.shape}, evidence {second.shape}, truth {right.shape} do not fit.")
        keep = right >= 0
        if not keep.any() or right.max() >= scores.shape[1]:
            raise InputError("a set has no row with a truth, or a truth beyond its candidates.")
        checked.append((scores[keep], second[keep], right[keep]))
    if not checked:
        raise InputError("no set to calibrate on.")

    def loss(at: NDArray[np.float64]) -> float:
        log_t, weight = at
        each = [
            -log_softmax(scores / np.exp(log_t) + weight * second, axis=1)[np.arange(right.size), right].mean()
            for scores, second, right in checked
        ]
        return float(np.mean(each))

    limits = [tuple(np.log(bounds)), (0.0, most)]
    starts = [np.array([log_t, weight]) for log_t in (0.0, 1.0) for weight in (1.0, 8.0)]
    found = min((minimize(loss, start, bounds=limits, method="L-BFGS-B") for start in starts), key=lambda one: one.fun)
    return float(np.exp(found.x[0])), float(found.x[1])


def fit_pool(
    sets: Sequence[tuple[Sequence[NDArray[np.floating]], NDArray[np.integer]]], *, most: float = 100.0
) -> tuple[float, ...]:
    """Find the weights that make `log_softmax(sum of weight · source)` most likely.

    A logarithmic opinion pool (Genest and Zidek 1986) of any number of sources, such as log-probabilities, cosines and
    marker evidence. Every set counts the same, however many rows it has.

    Parameters
    ----------
    sets
        For each data set that took no part in training: k sources (n, m) and truth int64 (n,). Numbers of candidates
        may differ; rows with negative truth are left out.
    most
        Highest weight; the lowest is 0.

    Returns
    -------
    k weights.

    Raises
    ------
    InputError
        No set, different numbers of sources, shapes do not fit, or a set has no row with a truth.
    """
    checked = []
    for sources, truth in sets:
        stack, right = np.stack([np.asarray(one, float) for one in sources]), np.asarray(truth)
        keep = right >= 0
        if stack.ndim != 3 or right.shape != stack.shape[1:2] or not keep.any() or right.max() >= stack.shape[2]:
            raise InputError(f"sources {stack.shape} and truth {right.shape} do not fit together.")
        checked.append((stack[:, keep], right[keep]))
    if len({stack.shape[0] for stack, _ in checked}) != 1:
        raise InputError("need at least one set, and as many sources in each.")

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = 0.0, np.zeros_like(weights)
        for stack, right in checked:
            log_p = log_softmax(np.tensordot(weights, stack, axes=1), axis=1)
            rows = np.arange(right.size)
            total -= log_p[rows, right].mean() / len(checked)
            expected = (np.exp(log_p)[None] * stack).sum(axis=2)
            slope -= (stack[:, rows, right] - expected).mean(axis=1) / len(checked)
        return float(total), slope

    k = checked[0][0].shape[0]
    found = minimize(loss, np.ones(k), jac=True, bounds=[(0.0, most)] * k, method="L-BFGS-B")
    return tuple(float(one) for one in found.x)


def expected_calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], *, n_bins: int = 10
) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by rows (Naeini et al. 2015), 0 to 1.

    Parameters
    ----------
    confidence
        (n,), 0 to 1.
    right
        bool (n,).
    n_bins
        Number of bins.
    """
    sure, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    if sure.shape != hit.shape or sure.size == 0:
        raise InputError(f"confidence {sure.shape} and right {hit.shape} must be of one length, not empty.")
    at = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    gaps = [abs(sure[at == b].mean() - hit[at == b].mean()) * (at == b).mean() for b in np.unique(at)]
    return float(np.sum(gaps))
