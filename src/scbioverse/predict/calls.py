"""One label and confidence for every row."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..knowledge.phrases import canonical_phrase
from .certainty import entropy, margin
from .groups import Groups, agreement, group_scores
from .parents import Parents

if TYPE_CHECKING:
    from collections.abc import Sequence

UNKNOWN = "unknown"
_MOST_BYTES = 200
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Called:
    """What a row can be called: a candidate, or a parent that candidates share.

    Attributes
    ----------
    name
        What goes into `obs`.
    cl_id
        Ontology id, or None.
    """

    name: str
    cl_id: str | None


@dataclass(frozen=True)
class Answers:
    """What was found.

    Attributes
    ----------
    log_probs
        float32 (n_obs, n_labels); a group's rows all hold the group's values.
    called
        What rows are called: the candidates in order, then the parents that were used.
    codes
        int64 (n_obs,): position in `called`; of rows that are not `known`, the best candidate; -1 for rows without a
        group.
    confidence
        float32 (n_obs,), 0 to 1, of what the row is called; NaN for rows without a group.
    known
        bool (n_obs,): confident enough.
    margin, entropy
        float32 (n_obs,), see :mod:`scbioverse.predict.certainty`; NaN for rows without a group.
    groups
        One dict a group: `group`, `n`, `label`, `confidence`, `agreement`.
    elsewhere
        float32 (n_obs,), see :func:`scbioverse.predict.open_set.elsewhere`; None where it cannot be told.
    """

    log_probs: Float
    called: list[Called]
    codes: NDArray[np.int64]
    confidence: Float
    known: NDArray[np.bool_]
    margin: Float
    entropy: Float
    groups: list[dict[str, Any]]
    elsewhere: Float | None = None

    @property
    def unknown(self) -> str:
        """Name of the answer "none of them"; another one where a candidate is called that."""
        return _free(UNKNOWN, [one.name for one in self.called])


def decide(
    log_probs: Float,
    names: list[str],
    groups: Groups | None,
    threshold: float,
    *,
    cl_ids: Sequence[str | None] | None = None,
    parents: bool = True,
    elsewhere: Float | None = None,
) -> Answers:
    """Pick the most probable candidate for every row, or for every group.

    Below the threshold a row is called by the most specific ontology term above its best candidate whose candidates
    together reach it; where there is none, it is unknown. Rows above the threshold are not touched by that. What is
    compared with the threshold is the probability among the candidates times the chance that the row is one of them.

    Parameters
    ----------
    log_probs
        float32 (n_obs, n_labels).
    names, cl_ids
        The candidates; without ids there are no parents.
    groups
        Groups that get one label each, or None.
    threshold
        Least confidence, 0 to 1.
    parents
        Whether to call rows by shared parents.
    elsewhere
        float32 (n_obs,), how likely each row is none of the candidates; of a group the mean counts.
    """
    joint = log_probs if groups is None else group_scores(log_probs, groups)
    best = joint.argmax(axis=1).astype(np.int64)
    sure = np.exp(joint.max(axis=1)).clip(0, 1).astype(np.float32)
    called = [Called(name, cl_id) for name, cl_id in zip(names, cl_ids or [None] * len(names), strict=True)]
    codes = best.copy()
    here = np.ones_like(sure) if elsewhere is None else 1 - (elsewhere if groups is None else _mean(elsewhere, groups))
    held = sure * here
    low = np.flatnonzero(held < threshold)
    if parents and cl_ids is not None and low.size:
        before = held.copy()
        _call_parents(np.exp(joint[low]) * here[low, None], best[low], low, threshold, called, codes, held)
        sure = np.where(held != before, held, sure)
    known = ~(held < threshold)
    spread = margin(joint), entropy(joint)
    if groups is None:
        return Answers(log_probs, called, codes, sure, known, *spread, [], elsewhere)
    inside = groups.codes >= 0
    shown = log_probs.copy()
    shown[inside] = joint[groups.codes[inside]]
    agree = agreement(log_probs, groups, best)
    nobody = _free(UNKNOWN, [one.name for one in called])
    table = [
        {"group": group, "n": int(n), "label": called[code].name if fine else nobody}
        | {"confidence": round(float(conf), 6), "agreement": round(float(share), 6)}
        for group, n, code, fine, conf, share in zip(groups.names, groups.sizes, codes, known, sure, agree, strict=True)
    ]

    def to_rows(values: NDArray[Any], none: float) -> NDArray[Any]:
        # Index -1 (no group) takes the value put at the end.
        return np.append(values, np.array([none], dtype=values.dtype))[groups.codes]

    return Answers(
        shown,
        called,
        to_rows(codes, -1),
        to_rows(sure, np.nan),
        to_rows(known, True),
        to_rows(spread[0], np.nan),
        to_rows(spread[1], np.nan),
        table,
        None if elsewhere is None else to_rows((1 - here).astype(np.float32), np.nan),
    )


def _mean(values: Float, groups: Groups) -> Float:
    """Mean over each group's rows, float32 (n_groups,)."""
    inside = groups.codes >= 0
    total = np.bincount(groups.codes[inside], weights=values[inside], minlength=len(groups.names))
    return (total / np.maximum(groups.sizes, 1)).astype(np.float32)


def _call_parents(
    probabilities: NDArray[np.floating],
    best: NDArray[np.int64],
    rows: NDArray[np.intp],
    threshold: float,
    called: list[Called],
    codes: NDArray[np.int64],
    sure: Float,
) -> None:
    """Write the parents of some rows into `codes` and `sure`, and append those that are no candidates to `called`."""
    shared = Parents([one.cl_id for one in called])
    found, mass = shared.call(probabilities, best, threshold)
    place: dict[str, int] = {}
    for i, one in enumerate(called):
        if one.cl_id is not None:
            place.setdefault(one.cl_id, i)
    for term in np.unique(found[found >= 0]):
        cl_id = shared.terms[term]
        if cl_id not in place:
            place[cl_id] = len(called)
            called.append(Called(_free(canonical_phrase(cl_id), [one.name for one in called]), cl_id))
    for row, term, weight in zip(rows, found, mass, strict=True):
        if term >= 0:
            codes[row], sure[row] = place[shared.terms[term]], weight


def columns_of(names: list[str]) -> list[str]:
    """Column names for the score table, such as files take.

    Slashes become "|", characters without a shape are left out, a name of dots alone gets one in front, a long one
    is cut; what then repeats or is reserved gets a number.
    """
    taken: set[str] = {"_index"}
    out = []
    for name in names:
        stem = _column(name)
        column, number = stem, 2
        while column in taken:
            column, number = f"{stem} ({number})", number + 1
        taken.add(column)
        out.append(column)
    return out


def _column(name: str) -> str:
    kept = "".join(sign for sign in re.sub(r"[/\\]", "|", name) if unicodedata.category(sign) not in ("Cc", "Cs"))
    # A store of zarr is a folder: 255 bytes a name.
    short = kept.encode()[:_MOST_BYTES].decode(errors="ignore").strip()
    return f"|{short}" if set(short) <= {"."} else short


def _free(name: str, taken: list[str]) -> str:
    return name if name not in taken else _free(f"{name} (below threshold)", taken)
