"""Temperature: making a confidence of 0.8 right eight times in ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from ..models.config import Calibration

_TEMPERATURES = (0.05, 20.0)  # the range that is searched


def fit_temperature(log_probs: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Find the temperature T that makes `log_softmax(log_probs / T)` most likely for `truth`.

    Guo et al. 2017, "On calibration of modern neural networks": one number, fitted on cells that took no part in
    training; it changes no ranking. `log_probs` is (n, m), natural logarithm; `truth` int64 (n,) the right column of
    each row, negative for rows to leave out.
    """
    keep = np.asarray(truth) >= 0
    scores, right = np.asarray(log_probs, dtype=np.float64)[keep], np.asarray(truth)[keep]

    def loss(log_t: float) -> float:
        own = log_softmax(scores / np.exp(log_t), axis=1)[np.arange(right.size), right]
        return float(-own.mean())

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def fit_pool(
    sets: Sequence[tuple[Sequence[NDArray[np.floating]], NDArray[np.integer]]],
    *,
    own_scale: Sequence[bool] | None = None,
    most: float = 100.0,
) -> tuple[float, ...]:
    """Find the k weights, 0 to `most`, that make `log_softmax(sum of weight · source)` most likely.

    A logarithmic opinion pool (Genest and Zidek 1986) of any number of sources, such as log-probabilities, cosines and
    marker evidence. Each of the `sets`, which took no part in training, has k sources (n, m) and truth int64 (n,),
    negative for rows to leave out; every set counts the same, however many rows or candidates it has.

    `own_scale` says for each set whether all weights are multiplied by a factor of that set's own, fitted along and
    dropped. Such a set has a say in how sources are weighed against each other, and none in how sure the pool is: for
    data whose labels are too noisy to learn a confidence from. At least one set must have none.
    """
    held = []
    for sources, truth in sets:
        keep = np.asarray(truth) >= 0
        held.append((np.stack([np.asarray(one, float)[keep] for one in sources]), np.asarray(truth)[keep]))
    k = len(held[0][0])
    place = {number: k + i for i, number in enumerate(np.flatnonzero(own_scale or ()).tolist())}

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = 0.0, np.zeros_like(at)
        for number, (stack, right) in enumerate(held):
            scale = np.exp(at[place[number]]) if number in place else 1.0
            joint = scale * np.tensordot(at[:k], stack, axes=1)
            log_p = log_softmax(joint, axis=1)
            rows = np.arange(right.size)
            total -= log_p[rows, right].mean() / len(held)
            expected = (np.exp(log_p)[None] * stack).sum(axis=2)
            gain = (stack[:, rows, right] - expected).mean(axis=1) * scale / len(held)
            slope[:k] -= gain
            if number in place:
                slope[place[number]] -= at[:k] @ gain
        return float(total), slope

    every = [(0.0, most)] * k + [(-5.0, 5.0)] * len(place)
    lower, upper = np.array(every).T
    starts = [np.clip(np.r_[np.full(k, one), np.zeros(len(place))], lower, upper) for one in (0.3, 1.0, 3.0)]
    tried = [minimize(loss, start, jac=True, bounds=every, method="L-BFGS-B") for start in starts]
    found = min(tried, key=lambda one: one.fun)
    return tuple(map(float, found.x[:k]))


def expected_calibration_error(confidence: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Mean gap between confidence and accuracy over ten equal bins, weighted by rows (Naeini et al. 2015), 0 to 1."""
    sure, hit = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    at = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[at == b].mean() - hit[at == b].mean()) * (at == b).mean() for b in np.unique(at)]
    return float(np.sum(gaps))


def pool_row(sources: Mapping[str, NDArray[np.floating]], truth: NDArray[np.integer]) -> Calibration:
    """Row of a model's calibration that pools sources, by name (n, m) each, fitted by :func:`fit_pool`."""
    weights = fit_pool([(tuple(sources.values()), truth)])
    return Calibration(dict(zip(sources, weights, strict=True)))


def candidate_rows(
    attention: float, markers: float, temperature: float = 1.0, alone: float = 1.0
) -> dict[str, Calibration]:
    """Rows of a model's calibration for shares of candidates.

    `attention` and `markers` are the weights of the attention's log-probabilities and of marker evidence in the shares;
    `temperature` and `alone` what the language model's word is divided by where markers are had, and where they are
    not.
    """
    return {
        "candidate_tokens": Calibration({"prototypes": attention, "markers": markers}, temperature),
        "candidate_tokens_alone": Calibration({"prototypes": 1.0}, alone),
    }
