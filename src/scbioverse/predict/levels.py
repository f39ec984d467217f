"""One level of names: how specific a list of types is, decided for each broad type by what the cells tell apart.

Where no candidate is sure enough for a cell, the parent term that several of them share may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import log_softmax

from ..knowledge import load_ontology
from ..knowledge.levels import lift, says_little
from ..knowledge.ontology import KEPT_APART, is_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]

Level = Literal["auto", "broad", "fine"]
LEVELS: tuple[Level, ...] = ("auto", "broad", "fine")
# A group is clearly one kind of its broad type if that kind has so much of what all kinds have (of 0.6, 0.7 and 0.8, on
# sets of profiles that a rehearsal left out), ...
CLEAR = 0.8
# ... and at least so much as the broad term itself, which speaks for none of its kinds.
LEAST = 0.5
# Kinds are told apart where so many of a broad type's cells are in groups that are clearly one of them.
SHARE = 0.7
# Where the broad name says too little, as "epithelial cell", so many are enough. Of 0, 0.4 and 0.7, on sets of profiles
# that a rehearsal left out.
SHARE_OF_WIDE = 0.4
# A term with more terms below it (leukocyte has 572, lymphocyte 347, T cell 171) says too little to be an answer.
BROADEST = 600


@dataclass(frozen=True)
class Named:
    """What groups are called."""

    terms: list[str]  # Cell Ontology id of each group's name
    sure: Float64  # float64 (n_groups,): share of the broad type in what each group could be
    broad: list[str]  # broad types, those first that most cells could be


def is_nested(cl_ids: Sequence[str]) -> bool:
    """Whether some terms of a vocabulary are kinds of others, so that it is no list to choose from."""
    held, ontology = set(cl_ids), load_ontology()
    return any(is_within(one, above) for one in held if one in ontology for above in held & {*ontology.ancestors(one)})


def name_groups(scores: Float64, cl_ids: Sequence[str], sizes: NDArray[np.integer], level: Level = "auto") -> Named:
    """Name groups so that no name is a kind of another, by log-probabilities (n_groups, m), up to a constant each.

    A term counts for everything that it is a kind of: a group between "naive B cell" and "B cell" is certainly of B
    cells. So each group first gets the broad type that its terms add up to. Then all groups of a broad type go one
    level down together, to its usual kinds, if the cells tell these apart (`"auto"`), and from there to the model's own
    terms (`"fine"`); a group that is clearly none of the kinds gets the likeliest one. `sizes` are the cells in each
    group.
    """
    terms, chances = _useful(scores, cl_ids)
    broad, of_broad = _summed(chances, terms, lambda one: lift(one, "broad"))
    best = of_broad.argmax(axis=1)
    names = [broad[one] for one in best]
    if level != "broad":
        names = _one_down(names, chances, terms, sizes, lambda one: lift(one, "usual"))
    if level == "fine":
        names = _one_down(names, chances, terms, sizes, lambda one: one)
    order = np.argsort(-(np.asarray(sizes) @ of_broad), kind="stable")
    return Named(names, of_broad[np.arange(len(best)), best], [broad[at] for at in order])


def broad_types(scores: NDArray[np.floating], cl_ids: Sequence[str]) -> tuple[list[str], Float64]:
    """Return broad types, and how likely each row (a cell or group) is of each: (n, types), summed over their kinds."""
    terms, chances = _useful(scores, cl_ids)
    return _summed(chances, terms, lambda one: lift(one, "broad"))


def _useful(scores: NDArray[np.floating], cl_ids: Sequence[str]) -> tuple[list[str], Float64]:
    """Terms that are names for a type, and the chances of these alone."""
    kept = np.array([not says_little(one) for one in cl_ids])
    terms = [one for one, useful in zip(cl_ids, kept, strict=True) if useful]
    return terms, np.exp(log_softmax(np.asarray(scores, dtype=np.float64)[:, kept], axis=1))


def _summed(chances: Float64, terms: Sequence[str], up: Callable[[str], str]) -> tuple[list[str], Float64]:
    """Terms of a level, and what those that lead to each have together, (n_groups, n)."""
    above = [up(one) for one in terms]
    held = sorted(set(above))
    return held, chances @ np.array([[one == other for other in held] for one in above], dtype=np.float64)


def _one_down(
    names: list[str], chances: Float64, terms: list[str], sizes: NDArray[np.integer], up: Callable[[str], str]
) -> list[str]:
    """Replace names by kinds of theirs, where the groups of a name are clearly one kind or another."""
    out = list(names)
    kinds, held = _summed(chances, terms, up)
    for name in dict.fromkeys(names):
        rows = np.array([i for i, one in enumerate(names) if one == name])
        below = [
            j for j, kind in enumerate(kinds) if kind != name and name in (lift(kind, "broad"), lift(kind, "usual"))
        ]
        if not below:
            continue
        own = held[rows][:, below]
        unsaid = held[rows, kinds.index(name)] if name in kinds else np.zeros(rows.size)
        top = own.max(axis=1)
        clear = (top >= CLEAR * own.sum(axis=1)) & (top >= LEAST * unsaid)
        wide = len(load_ontology().descendants(name)) > BROADEST
        if (sizes[rows] * clear).sum() >= (SHARE_OF_WIDE if wide else SHARE) * sizes[rows].sum():
            for row, at in zip(rows, own.argmax(axis=1), strict=True):
                out[row] = kinds[below[at]]
    return _without_kinds(out)


def _without_kinds(names: list[str]) -> list[str]:
    """Replace a name by another of its broad type that it is a kind of.

    Broad types stay apart, whatever the ontology says: pancreatic ductal cells are no more than epithelial cells by it.
    """
    found = sorted(set(names), key=lambda one: (-len(load_ontology().descendants(one)), one))
    # Broadest first: a name is called by the first that holds it, itself if none does.
    called = {
        one: next(other for other in found if is_within(one, other) and lift(one, "broad") == lift(other, "broad"))
        for one in found
    }
    return [called[one] for one in names]


class Parents:
    """Terms that several candidates have in common, most specific first; a candidate without a term is None.

    `terms` are the ids of the shared terms: each covers at least two candidates (itself counts), and has at most 600
    terms below it. Fewest terms below first, then by id. `covers`, bool (n_terms, n_candidates), says which candidates
    are the term or one of its descendants.
    """

    def __init__(self, cl_ids: Sequence[str | None]) -> None:
        ontology = load_ontology()
        members: dict[str, list[int]] = {}
        for i, cl_id in enumerate(cl_ids):
            for above in () if cl_id is None else (cl_id, *ontology.ancestors(cl_id)):
                # "CD14 monocyte" beside "CD16 monocyte" means the classical one, whatever the definitions say.
                if (cl_id, above) not in KEPT_APART:
                    members.setdefault(above, []).append(i)
        below = {one: len(ontology.descendants(one)) for one, found in members.items() if len(found) > 1}
        self.terms = sorted((one for one in below if below[one] <= BROADEST), key=lambda one: (below[one], one))
        self.covers = np.zeros((len(self.terms), len(cl_ids)), dtype=bool)
        for row, one in enumerate(self.terms):
            self.covers[row, members[one]] = True

    def call(
        self, probabilities: NDArray[np.floating], best: NDArray[np.integer], threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find for each row the most specific shared term above its best candidate whose candidates reach a threshold.

        Of `probabilities` (n, n_candidates) and the `best` candidate (n,): int64 (n,), position in `terms`, -1 where
        none fits; and float32 (n,), the summed probability there.
        """
        n = len(best)
        if not self.terms or n == 0:
            return np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.float32)
        mass = np.asarray(probabilities, dtype=np.float64) @ self.covers.T.astype(np.float64)
        fits = (mass >= threshold) & self.covers[:, best].T
        found = np.where(fits.any(axis=1), fits.argmax(axis=1), -1).astype(np.int64)
        return found, mass[np.arange(n), np.maximum(found, 0)].clip(0, 1).astype(np.float32)
