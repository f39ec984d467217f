"""From log-probabilities to one label and confidence for every row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..knowledge.phrases import canonical_phrase
from .groups import Groups, agreement, group_scores
from .levels import Parents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .candidates import Label

UNKNOWN = "unknown"
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Called:
    """What rows can be called beside the candidates: a term that several of these share."""

    name: str
    cl_id: str | None = None


@dataclass(frozen=True)
class Said:
    """What the language model wrote, where that decides and not the scores."""

    codes: NDArray[np.int64]  # int64 (n,): candidate of each row, or of each group where there are groups
    confidence: Float  # float32 (n,): probability of the text
    texts: list[str]  # what was written


@dataclass(frozen=True)
class Calls:
    """What rows are called, and how sure that is."""

    log_probs: Float  # float32 (n_obs, n_labels); a group's rows all hold the group's values
    called: list[Label | Called]  # what rows are called: the candidates in order, then the parents that were used
    # int64 (n_obs,): position in `called`; of rows that are not `known`, the best candidate; -1 for rows without a
    # group.
    codes: NDArray[np.int64]
    confidence: Float  # float32 (n_obs,), 0 to 1, of what the row is called; NaN for rows without a group
    known: NDArray[np.bool_]  # bool (n_obs,): confident enough
    margin: Float  # float32 (n_obs,): probability of the best candidate less that of the second
    entropy: Float  # float32 (n_obs,), of the candidates' probabilities in nats
    groups: list[dict[str, Any]]  # one dict a group: `group`, `n`, `label`, `confidence`, `agreement`
    # float32 (n_obs,), see `predict.open_set.compare_outside`; None where it cannot be told.
    elsewhere: Float | None = None

    def without(self, rows: NDArray[np.integer]) -> Calls:
        """Return the same without a label for some rows, int (k,); their scores stay."""
        none: dict[str, Any] = {"codes": -1, "confidence": np.nan, "known": True, "margin": np.nan, "entropy": np.nan}
        none |= {} if self.elsewhere is None else {"elsewhere": np.nan}
        changed = {name: getattr(self, name).copy() for name in none}
        for name, value in none.items():
            changed[name][rows] = value
        return replace(self, **changed)

    @property
    def unknown(self) -> str:
        """Name of the answer "none of them"; another one where a candidate is called that."""
        return _free(UNKNOWN, self.called)


def decide(
    log_probs: Float,
    candidates: Sequence[Label],
    groups: Groups | None = None,
    threshold: float = 0.0,
    *,
    parents: bool = True,
    elsewhere: Float | None = None,
    said: Said | None = None,
) -> Calls:
    """Pick the most probable candidate for every row, or for every group.

    Below the `threshold`, 0 to 1, a row is called by the most specific ontology term above its best candidate whose
    candidates together reach it (with `parents`); where there is none, it is unknown. Rows above are not touched by
    that. What is compared with the threshold is the probability among the candidates, of `log_probs` (n_obs, n_labels),
    times the chance that the row is one of them: 1 less `elsewhere`, float32 (n_obs,), of a group the mean. `said` are
    labels that were written, and take the place of the most probable ones.
    """
    joint = log_probs if groups is None else group_scores(log_probs, groups)
    # Written labels take the place of likely ones; margin and entropy stay those of the scores beside them.
    best = joint.argmax(axis=1).astype(np.int64) if said is None else said.codes
    sure = (np.exp(joint.max(axis=1)) if said is None else said.confidence).clip(0, 1).astype(np.float32)
    away = None if elsewhere is None else elsewhere if groups is None else groups.mean(elsewhere).astype(np.float32)
    here = np.ones_like(sure) if away is None else 1 - away
    called: list[Label | Called] = list(candidates)
    # Not ">=": a comparison with NaN is false, and a row without a probability must not become unknown by that.
    codes, known = best.copy(), ~(sure * here < threshold)
    # Of a text that was written, only its own probability is known, none that others could add to.
    if parents and said is None and not known.all():
        shared, low = Parents([one.cl_id for one in called]), np.flatnonzero(~known)
        found, mass = shared.call(np.exp(joint[low]) * here[low, None], best[low], threshold)
        low, mass, found = low[found >= 0], mass[found >= 0], found[found >= 0]
        place = _places([shared.terms[one] for one in np.unique(found)], called)
        codes[low] = [place[shared.terms[one]] for one in found]
        # Said on the same footing as that of a candidate: among the candidates, whatever lies elsewhere.
        sure[low], known[low] = mass / here[low], True
    calls = Calls(joint, called, codes, sure, known, margin(joint), entropy(joint), [], away)
    if groups is None:
        return calls
    table = [
        {"group": group, "n": int(n), "label": called[code].name if fine else calls.unknown}
        | {"confidence": round(float(conf), 6), "agreement": round(float(share), 6)}
        for group, n, code, fine, conf, share in zip(
            groups.names, groups.sizes, codes, known, sure, agreement(log_probs, groups, best), strict=True
        )
    ]
    # Of a cell without a group: its own scores, no label, and nothing to be sure of.
    none = {"codes": -1, "confidence": np.nan, "known": True, "margin": np.nan, "entropy": np.nan}
    none |= {} if away is None else {"elsewhere": np.nan}
    rows: dict[str, Any] = {name: groups.spread(getattr(calls, name), one) for name, one in none.items()}
    scores = np.where((groups.codes >= 0)[:, None], groups.spread(joint, 0.0), log_probs)
    return replace(calls, log_probs=scores, groups=table, **rows)


def _places(cl_ids: Sequence[str], called: list[Label | Called]) -> dict[str, int]:
    """Where terms stand in `called`; those that are no candidates are appended."""
    place: dict[str, int] = {}
    for i, one in enumerate(called):
        if one.cl_id is not None:
            place.setdefault(one.cl_id, i)
    for cl_id in cl_ids:
        if cl_id not in place:
            place[cl_id] = len(called)
            called.append(Called(_free(canonical_phrase(cl_id), called), cl_id))
    return place


def _free(name: str, taken: Sequence[Label | Called]) -> str:
    """Return a name that no candidate has: a user's own "unknown" is not ours."""
    while any(one.name == name for one in taken):
        name += " (below threshold)"
    return name


def margin(log_probs: NDArray[np.floating]) -> Float:
    """Probability of the best candidate less that of the second, (n,); 1 where there is one candidate only."""
    if log_probs.shape[1] < 2:
        return np.ones(len(log_probs), dtype=np.float32)
    top = np.exp(np.partition(log_probs, -2, axis=1)[:, -2:])
    return (top[:, 1] - top[:, 0]).clip(0, 1).astype(np.float32)


def entropy(log_probs: NDArray[np.floating]) -> Float:
    """Shannon entropy of each row's probabilities in nats, (n,): 0 for one sure answer, log m for none at all."""
    wide = np.asarray(log_probs, dtype=np.float64)
    probabilities = np.exp(wide)
    # 0 log 0 is 0 here, and NaN to numpy.
    terms = np.where(probabilities > 0, probabilities * np.where(probabilities > 0, wide, 0), 0)
    return np.maximum(-terms.sum(axis=1), 0).astype(np.float32)
