"""T cells that are told apart by the genes that define them, CD4 and CD8: each cell's counts of these decide.

Among all markers of a type its defining genes weigh little, and naive T cells of both kinds differ in hardly any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from ..knowledge.markers import evidence_key
from ..knowledge.ontology import is_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float = NDArray[np.float32]

# Two types, and the genes of the protein that each is defined by.
SIDES = (("CL:0000624", ("CD4",)), ("CL:0000625", ("CD8A", "CD8B")))
_OF = np.repeat([0, 1], [len(genes) for _, genes in SIDES])
# What :class:`.embedding.CellEvidence` is asked for: one key a gene.
DEFINING_KEYS = tuple(evidence_key(None, (gene,)) for _, genes in SIDES for gene in genes)
# RNA of other cells, and doublets, put a gene into some cells that do not express it; as many that do miss it.
STRAY = 0.02
# How often genes are counted in the cells of each type, and cells are divided by these counts.
ROUNDS = 10


def told_apart(
    log_probs: Float,
    terms: Sequence[str | None],
    evidence: Callable[[Sequence[str | None]], NDArray[np.floating]] | None,
    settled: Callable[[Float], Float],
) -> Float:
    """Divide what CD4 and CD8 T cells have together between them by the genes that define each: float32 (n, m).

    `log_probs` (n, m) are of the cells by themselves; kinds of a type count for it, and the sum of both types stays as
    it is. `settled` returns log-probabilities of any columns after alike cells have been heard. In how many cells of a
    type a gene is found differs with the depth of a data set, and is taken from the data: a mixture of two types, in
    which genes are found independently of each other (naive Bayes), fitted by expectation maximisation from what the
    cells are called without it. A gene that is found oftener in the other type says nothing. `evidence` as of
    :class:`.embedding.Batch`. Where not both types are among the terms, all stays.
    """
    sides = [[i for i, one in enumerate(terms) if one is not None and is_within(one, top)] for top, _ in SIDES]
    if evidence is None or not all(sides):
        return log_probs
    values = np.asarray(evidence(DEFINING_KEYS))
    # A cell without any count of a gene has the least evidence of it that there is.
    shown = values > values.min(axis=0, keepdims=True)
    rest = [i for i in range(len(terms)) if i not in {*sides[0], *sides[1]}]
    first, second, others = (logsumexp(log_probs[:, one].astype(np.float64), axis=1) for one in (*sides, rest))
    both, more = np.logaddexp(first, second), np.zeros(len(log_probs))
    for _ in range(ROUNDS):
        lost = both - np.logaddexp(first, second + more)
        three = np.column_stack([first + lost, second + lost + more, others]).astype(np.float32)
        chance = np.exp(settled(three)[:, :2].astype(np.float64))
        rates = ((chance.T @ shown + STRAY) / (chance.sum(axis=0)[:, None] + 2 * STRAY)).clip(STRAY, 1 - STRAY)
        found, missed = np.log(rates[1] / rates[0]), np.log((1 - rates[1]) / (1 - rates[0]))
        more = np.where(shown, found, missed)[:, (found > 0) == (_OF == 1)].sum(axis=1)
    lost = both - np.logaddexp(first, second + more)
    out = log_probs.copy()
    out[:, sides[0]] += lost[:, None].astype(np.float32)
    out[:, sides[1]] += (lost + more)[:, None].astype(np.float32)
    return out
