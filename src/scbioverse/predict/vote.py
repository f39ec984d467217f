"""The vote of neighbours: the one way in which what is said of known rows becomes a share for a new one."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Similarity below which a known molecule says nothing of another: of the roles and classes that the nearest has, fewer
# than one in four hold below. Looked up on real training captions, each with the others as reference, by Tanimoto
# similarity and by the mean over views; `python -m benchmarks.modalities` shows the same on the test.
FLOOR = 0.45
# How much faster than similarity a neighbour's weight grows, where shares are probabilities.
POWER = 4.0
# Share of the neighbours' weight that an item of a column needs to be said.
MOST_SAY = 0.5
_BETWEEN = re.compile(r"\s*[;|]\s*")


def vote_weights(similarity: NDArray[np.floating], *, floor: float = FLOOR) -> NDArray[np.float64]:
    """Weight of each neighbour, (n, k): a power of its similarity, 0 below the floor; the weights of a row sum to 1.

    Neighbours below the floor take their part of the sum: who has none but distant ones is told little.
    """
    held = np.clip(np.nan_to_num(np.asarray(similarity, dtype=np.float64), nan=0.0), 0.0, None)
    weight = held**POWER
    total = np.maximum(weight.sum(axis=1, keepdims=True), max(floor, 1e-9) ** POWER)
    voted: NDArray[np.float64] = np.where(held >= floor, weight, 0.0) / total
    return voted


def shares(
    rows: NDArray[np.integer], similarity: NDArray[np.floating], holds: NDArray[np.bool_], *, floor: float = FLOOR
) -> NDArray[np.float64]:
    """Share of each row's neighbours, by weight, of which something holds: float64 (n,).

    Parameters
    ----------
    rows, similarity
        (n, k), positions of neighbours, -1 for none, and their similarity.
    holds
        bool (m,): whether it holds of each known row.
    """
    held = np.append(np.asarray(holds, dtype=bool), False)  # the last is for rows without neighbours
    found: NDArray[np.float64] = (vote_weights(similarity, floor=floor) * held[rows]).sum(axis=1)
    return found


def said_by(items: Sequence[Sequence[str]], weights: NDArray[np.floating]) -> dict[str, float]:
    """Share of the weight of those that say each item, the most said first; of equals, the first said."""
    total, found = float(np.sum(weights)), defaultdict[str, float](float)
    for some, weight in zip(items, weights, strict=True):
        for one in dict.fromkeys(some):
            found[one] += float(weight)
    return {one: part / total for one, part in sorted(found.items(), key=lambda pair: -pair[1])} if total > 0 else {}


def items_of(text: str) -> list[str]:
    """Items of a cell of a table, parted by ";" or "|", each once: classes of an enzyme, GO terms, roles."""
    return list(dict.fromkeys(one for one in _BETWEEN.split(text.strip()) if one))


def voted(
    items: Sequence[Sequence[str]], rows: NDArray[np.integer], weights: NDArray[np.floating]
) -> tuple[list[list[str]], NDArray[np.float32]]:
    """Items that most of the weight of each row's neighbours says, the most said first.

    Parameters
    ----------
    items
        Items of each known row.
    rows, weights
        (n, k), neighbours, -1 for none, and their weights, which sum to 1 or, where less is known by them, to less.

    Returns
    -------
    Items of each row, and the share of the item that is said most, float32 (n,), NaN where nobody says any.
    """
    said: list[list[str]] = []
    most = np.full(len(rows), np.nan, dtype=np.float32)
    for at, (some, weight) in enumerate(zip(rows.tolist(), weights, strict=True)):
        sure = float(weight.sum())
        held = {
            one: part * sure for one, part in said_by([items[at] if at >= 0 else () for at in some], weight).items()
        }
        said.append([one for one, share in held.items() if share >= MOST_SAY])
        most[at] = next(iter(held.values()), np.nan)
    return said, most
