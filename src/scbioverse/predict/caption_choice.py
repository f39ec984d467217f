"""Which neighbour's definition a caption takes, and which roles and classes: learned from training captions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..knowledge.captions import bare
from .descriptions import word_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .known_molecules import Relatives

WEIGHTS = Path(__file__).with_name("caption_choice.json")
# Similarity by which a neighbour counts e times as much: near ones only, or all of them.
_SOFT = (0.02, 0.05, 0.12, 0.4)
_MOST = 8
_SHORTEST_NAME = 4


@dataclass(frozen=True)
class ChoiceWeights:
    """Weights of the features below, fitted by `recipes/bioverse_small/caption_choice.py`.

    Attributes
    ----------
    definition
        One a column of :func:`definition_features`.
    items
        For `"roles"` and `"classes"`: one a column of :func:`item_features`, and a constant behind them.
    least
        Probability from which an item is said, by kind.
    """

    definition: tuple[float, ...]
    items: Mapping[str, tuple[float, ...]]
    least: Mapping[str, float]

    @classmethod
    @cache
    def shipped(cls) -> ChoiceWeights:
        """Read the weights that come with the package."""
        return cls(**json.loads(WEIGHTS.read_text(encoding="utf-8")))


def neighbour_weights(similarity: NDArray[np.floating], softness: float) -> NDArray[np.float64]:
    """Weights of neighbours that sum to 1, exp(similarity / softness) each."""
    weight = np.exp((similarity.astype(np.float64) - float(similarity.max())) / softness)
    return np.asarray(weight / weight.sum())


def definition_features(
    edited: Sequence[str],
    changed: Sequence[bool],
    similarity: NDArray[np.floating],
    own: Relatives,
    mol: Any,
    known: Sequence[Any],
) -> NDArray[np.float64]:
    """Features of each definition that a molecule may have, float64 (k, 12).

    Parameters
    ----------
    edited, changed
        Definitions of its neighbours with its own names in them, and whether one was put in.
    similarity
        (k,), of the neighbours, the nearest first.
    own
        Its relatives.
    mol, known
        rdkit molecules: its own, and its neighbours'.
    """
    counts = [word_pairs(one) for one in edited]
    sizes = np.array([one.total() for one in counts])
    shared = np.array([[(one & other).total() for other in counts] for one in counts])
    f1 = 2 * shared / np.maximum(1, sizes[:, None] + sizes)
    agreement = [f1 @ neighbour_weights(similarity, soft) for soft in _SOFT[1:]]
    longer = np.log(sizes / (sizes @ neighbour_weights(similarity, _SOFT[2])))
    said = [one.lower() for one in edited]
    parts = {name.lower() for name in own.telling().values() if len(name) >= _SHORTEST_NAME}
    covered = [sum(len(name) for name in parts if name in one) / len(one) for one in said]
    forms = [sum(name.lower() in one for name in own.ions.values()) for one in said]
    atoms, charge, centres = _structure(mol)
    others = [_structure(one) for one in known]
    apart = [sum(abs(atoms.get(a, 0) - one[0].get(a, 0)) for a in {*atoms, *one[0]}) for one in others]
    return np.column_stack(
        [
            similarity, *agreement, longer, abs(longer), covered, forms, changed, np.log1p(apart),
            [one[1] != charge for one in others], [abs(one[2] - centres) for one in others],
        ]
    ).astype(np.float64)  # fmt: skip


def item_features(
    items: Sequence[Sequence[str]], similarity: NDArray[np.floating], definition: str
) -> tuple[list[str], NDArray[np.float64]]:
    """Find all items that some neighbour has, and the features of each: float64 (n_items, 13).

    Parameters
    ----------
    items
        Roles, or classes, of each neighbour with their articles.
    similarity
        (k,), the nearest first.
    definition
        The definition that was chosen.
    """
    said: dict[str, list[int]] = {}
    form: dict[str, str] = {}
    for at, some in enumerate(items):
        for one in dict.fromkeys(some):
            said.setdefault(bare(one), []).append(at)
            form.setdefault(bare(one), one)
    weights = [neighbour_weights(similarity, soft) for soft in _SOFT]
    silent = float(sum(weights[1][at] for at, some in enumerate(items) if not some))
    low, best = definition.lower(), float(similarity[0])
    rows = []
    for one, holding in said.items():
        share = [float(weight[holding].sum()) for weight in weights]
        odds = [float(np.log(p / (1 - p))) for p in np.clip(share, 1e-3, 1 - 1e-3)]
        rows.append(
            [
                *share,
                *odds,
                float(similarity[holding[0]]),
                best,
                float(holding[0] == 0),
                silent,
                float(one.rstrip("s") in low),
            ]
        )
    return list(form.values()), np.array(rows, dtype=np.float64).reshape(-1, 13)


def likely_items(
    weights: ChoiceWeights, kind: str, items: Sequence[Sequence[str]], similarity: NDArray[np.floating], definition: str
) -> tuple[str, ...]:
    """Items that hold with enough probability, the likeliest first."""
    names, features = item_features(items, similarity, definition)
    *slope, constant = weights.items[kind]
    score = features @ np.array(slope) + constant
    least = np.log(weights.least[kind] / (1 - weights.least[kind]))
    order = [at for at in np.argsort(-score, kind="stable") if score[at] >= least]
    return tuple(names[at] for at in order[:_MOST])


def _structure(mol: Any) -> tuple[dict[str, int], int, int]:
    """Heavy atoms by element, charge, and number of stereocentres of a molecule; nothing of one that is unknown."""
    if mol is None:
        return {}, 0, 0
    atoms: dict[str, int] = {}
    centres = 0
    charge = 0
    for atom in mol.GetAtoms():
        atoms[atom.GetSymbol()] = atoms.get(atom.GetSymbol(), 0) + 1
        centres += int(atom.GetChiralTag() != 0)
        charge += atom.GetFormalCharge()
    atoms.pop("H", None)
    return atoms, charge, centres
