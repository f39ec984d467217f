"""Temperature: making a confidence of 0.8 right eight times in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from ..errors import InputError
from ..models.config import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


_TEMPERATURES = (0.05, 20.0)  # the range that is searched


def fit_temperature(log_probs: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Find the temperature T that makes `log_softmax(log_probs / T)` most likely for `truth`.

    Guo et al. 2017, "On calibration of modern neural networks": one number, fitted on cells that took no part in
    training; it changes no ranking. `log_probs` is (n, m), natural logarithm; `truth` int64 (n,) the right column of
    each row, negative for rows to leave out.
    """
    scores, right = np.asarray(log_probs, dtype=np.float64), np.asarray(truth)
    if scores.ndim != 2 or right.shape != scores.shape[:1] or right.max(initial=-1) >= scores.shape[1]:
        raise InputError(f"log_probs {scores.shape} and truth {right.shape} do not fit together.")
    keep = right >= 0
    if not keep.any():
        raise InputError("no row has a truth to calibrate on.")
    scores, right = scores[keep], right[keep]

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
    checked = []
    for sources, truth in sets:
        parts, right = [np.asarray(one, float) for one in sources], np.asarray(truth)
        if len({one.shape for one in parts}) != 1:
            raise InputError(f"sources of shapes {[one.shape for one in parts]} do not fit together.")
        stack = np.stack(parts)
        if stack.ndim != 3 or right.shape != stack.shape[1:2]:
            raise InputError(f"sources {stack.shape} and truth {right.shape} do not fit together.")
        keep = right >= 0
        if not keep.any() or right.max() >= stack.shape[2]:
            raise InputError("a set has no row with a truth, or a truth beyond its candidates.")
        checked.append((stack[:, keep], right[keep]))
    if len({stack.shape[0] for stack, _ in checked}) != 1:
        raise InputError("need at least one set, and as many sources in each.")
    free = [False] * len(checked) if own_scale is None else list(own_scale)
    if len(free) != len(checked) or all(free):
        raise InputError(f"own_scale says of each of {len(checked)} sets, not of all, whether it has one: {free}.")
    k = checked[0][0].shape[0]
    place = {number: k + i for i, number in enumerate(np.flatnonzero(free).tolist())}

    def loss(at: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        total, slope = 0.0, np.zeros_like(at)
        for number, (stack, right) in enumerate(checked):
            scale = np.exp(at[place[number]]) if number in place else 1.0
            joint = scale * np.tensordot(at[:k], stack, axes=1)
            log_p = log_softmax(joint, axis=1)
            rows = np.arange(right.size)
            total -= log_p[rows, right].mean() / len(checked)
            expected = (np.exp(log_p)[None] * stack).sum(axis=2)
            gain = (stack[:, rows, right] - expected).mean(axis=1) * scale / len(checked)
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
    if sure.shape != hit.shape or sure.size == 0:
        raise InputError(f"confidence {sure.shape} and right {hit.shape} must be of one length, not empty.")
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
