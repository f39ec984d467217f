"""Kind, roles and classes of test molecules: by the phrase head, by the vote of neighbours, by the mean of both."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from recipes.bioverse_small.phrases import phrase_of
from scbioverse.knowledge.captions import bare, read_caption
from scbioverse.predict.neighbours import Neighbours, vote_weights

LIKELY = 0.1  # probabilities from which calibration is looked at: most phrases are improbable, and are not said


def facts(model: Any, values: np.ndarray, texts: list[str], near: Neighbours, known: list[str]) -> dict[str, Any]:
    """Measure each phrase of the model's book as a yes or no of each molecule.

    Average precision over all pairs; the Brier score, in thousandths; and, of pairs said to be likely, how far the
    probability is from the share that holds, over ten bins.
    """
    groups = model.phrase_books["molecule"].groups
    number = {
        (kind, bare(one)): at
        for at, (kind, one) in enumerate((kind, one) for kind, group in enumerate(groups) for one in group.phrases)
    }

    def named(text: str) -> list[int]:
        held = read_caption(text)
        first = phrase_of(text)
        said = [(0, [first] if first else []), (1, held.roles), (2, held.classes)]
        return [number[kind, bare(one)] for kind, some in said for one in some if (kind, bare(one)) in number]

    head = model.captioner("molecule").probabilities(values)
    vote, right = np.zeros_like(head), np.zeros(head.shape, dtype=bool)
    of_known = {i: named(known[i]) for i in np.unique(near.rows[near.rows >= 0]).tolist()}
    for row, (rows, weights) in enumerate(zip(near.rows, vote_weights(near.similarity), strict=True)):
        right[row, named(texts[row])] = True
        for other, weight in zip(rows.tolist(), weights, strict=True):
            vote[row, of_known.get(other, [])] += weight
    found = {"head": head, "vote": vote, "mean of both": (head + vote) / 2}
    found["mean of both, dealt"] = found["mean of both"][np.random.default_rng(0).permutation(len(head))]
    return {name: measured(right.ravel(), one.ravel()) for name, one in found.items()}


def floors(near: Neighbours, texts: list[str], known: list[str]) -> dict[str, dict[str, float]]:
    """Share of the roles and classes of the nearest molecule that hold, by how similar it is."""
    edges = (0.0, 0.45, 0.6, 0.7, 0.8, 0.9, 1.01)
    best, found = near.similarity[:, 0], {}
    for low, high in itertools.pairwise(edges):
        rows = np.flatnonzero((best >= low) & (best < high))
        said = right = 0
        for row in rows.tolist():
            theirs, own = read_caption(known[near.rows[row, 0]]), read_caption(texts[row])
            for some, others in ((theirs.roles, own.roles), (theirs.classes, own.classes)):
                if others:  # where a caption names none, nothing is known of what holds
                    said, right = said + len(some), right + len(set(some) & set(others))
        found[f"similarity {low:.2f} to {min(high, 1):.2f}"] = {"molecules": len(rows), "holds": right / max(1, said)}
    return found


def measured(right: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Measure probabilities of pairs."""
    bins = np.minimum((probability * 10).astype(int), 9)
    likely = bins >= round(LIKELY * 10)
    off = sum(abs((probability - right)[bins == one].sum()) for one in range(round(LIKELY * 10), 10))
    return {
        "average precision": float(average_precision_score(right, probability)),
        "Brier score, ‰": float(1000 * np.mean((probability - right) ** 2)),
        "calibration error": float(off / max(1, likely.sum())),
    }
