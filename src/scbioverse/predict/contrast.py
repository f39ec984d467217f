"""What counts of genes add where names were found: groups beside groups of other types, CD4 beside CD8 T cells.

RNA that lies around all cells is of no group: where a data set is full of RNA of its commonest cells, T cells of a
bladder look like fibroblasts to a network that reads each cell by itself. Beside the other groups they have many times
their CD3 genes, and no more collagen. And among all markers of a T cell its defining genes, CD4 and CD8, weigh little,
while naive T cells of both kinds differ in hardly any other: each cell's counts of these genes decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from ..errors import BioverseError
from ..knowledge.levels import level_terms, lift
from ..knowledge.markers import evidence_key, marker_weights
from ..knowledge.ontology import is_within
from .groups import FEWEST, Groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .embedding import Batch

    Float = NDArray[np.float32]
    Float64 = NDArray[np.float64]

# Broad types of one lineage; those that stand in none are of the last, which is mostly epithelia. Groups change between
# lineages only: which kind of a lineage a group is, genes that all its kinds have tell worse than the other sources.
LINEAGES = (
    ("CL:0000084", "CL:0000623", "CL:0001065"),  # T cells, NK cells, other innate lymphoid cells
    ("CL:0000236", "CL:0000786"),  # B cells and plasma cells
    ("CL:0000576", "CL:0000235", "CL:0000129", "CL:0000451", "CL:0000784", "CL:0000094", "CL:0000097"),  # myeloid
    ("CL:0000764", "CL:0000233", "CL:0000556"),  # erythroid cells, megakaryocytes, platelets
    ("CL:0008001",),  # their precursors
    ("CL:0000115",),  # endothelial cells
    (
        "CL:0000057", "CL:0000186", "CL:0000669", "CL:0000192", "CL:0000136", "CL:0000138", "CL:0000062", "CL:0008019",
        "CL:2000002", "CL:0002481",
    ),  # connective tissue and smooth muscle
    ("CL:0000746", "CL:0000188"),  # striated muscle
    (
        "CL:0000540", "CL:0000127", "CL:0000128", "CL:0002453", "CL:0000065", "CL:0002573", "CL:4040002", "CL:0000681",
        "CL:0011020", "CL:0000031", "CL:0000030",
    ),  # neurons and glia
    ("CL:0000586",),  # germ cells
)  # fmt: skip
_MALIGNANT = "CL:0001064"
# A group's sum of a gene is compared with what other groups would have of it, with one molecule added to both.
_ADDED = 1.0
# Logarithms of the ratio beyond these count as these: a gene that is missing says less than one that is there.
LEAST, MOST = -1.0, 4.0
# How often groups are compared, each time with those that are of other types by the last comparison.
ROUNDS = 2
# A group has to show so much of its lineage beside others, in sums of logarithms: half-dead cells of all types, which
# lie together, show little of anything.
SHOWN = 3.0


@cache
def lineage(cl_id: str) -> int:
    """Place of a type's lineage in :data:`LINEAGES`; its length for types of none of them."""
    broad = lift(cl_id, "broad")
    return next((i for i, types in enumerate(LINEAGES) if broad in types), len(LINEAGES))


@cache
def _broad_names() -> tuple[str, ...]:
    """Types whose markers are compared: the broad names, but for malignant cells."""
    return tuple(one for one in level_terms() if lift(one, "broad") == one and one != _MALIGNANT)


@dataclass(frozen=True)
class Contrast:
    """How much less evidence each lineage has than the strongest, in groups that were called otherwise."""

    behind: Float64  # float64 (n_groups, lineages), nats, at most 0; all 0 for groups that keep what they were called

    @property
    def changed(self) -> int:
        """Groups that are of another lineage beside others than by themselves."""
        return int((self.behind < 0).any(axis=1).sum())

    def of_groups(self, cl_ids: Sequence[str]) -> Float64:
        """Nats to be added to the log-probabilities of terms in each group, (n_groups, m)."""
        return self.behind[:, list(map(lineage, cl_ids))]


def contrasted(batch: Batch, groups: Groups, scores: Float64, cl_ids: Sequence[str], weight: float) -> Contrast | None:
    """Compare what groups express with groups of other types, and return which are of another lineage by it.

    `scores` (n_groups, m) are log-probabilities of the terms `cl_ids` by all other sources, and `weight` what a
    standard deviation of marker evidence counts beside them. Of each gene the logarithm of the ratio between a group's
    share of it and the mean share in groups of other broad types is taken, and summed up over the markers of each broad
    type as evidence of single cells is, see :func:`.markers.marker_weights`. None where the genes cannot be read, or
    there are too few groups.
    """
    read = getattr(batch.evidence, "sums", None)
    if read is None or not weight or len(groups.names) <= FEWEST:
        return None
    try:
        sums, genes = read(groups)
    except BioverseError:  # whether that is an error is the pool's to say
        return None
    weights = marker_weights(_broad_names(), genes)
    marking = np.unique(weights.indices)
    of_name, of_term = (np.array(list(map(lineage, some))) for some in (_broad_names(), cl_ids))
    first = scores.argmax(axis=1)
    best, behind, most = first, np.zeros((len(sums), len(LINEAGES) + 1)), np.zeros(len(sums))
    for _ in range(ROUNDS):
        ratios = _beside(sums, np.array([lift(cl_ids[at], "broad") for at in best]))
        spread = np.sqrt((ratios[:, marking] ** 2).mean(axis=1, keepdims=True)).clip(0.05)
        shown = (weights @ ratios.T).T
        strongest = np.stack([shown[:, of_name == one].max(axis=1) for one in range(len(LINEAGES) + 1)], axis=1)
        most = strongest.max(axis=1)
        behind = weight * (strongest - most[:, None]) / spread
        best = (scores + behind[:, of_term]).argmax(axis=1)
    other = (of_term[best] != of_term[first]) & (most >= SHOWN)
    return Contrast(np.where(other[:, None], behind, 0.0))


def _beside(sums: Float64, kinds: NDArray[np.str_]) -> Float64:
    """Log-ratio of each group's share of a gene to the mean share in groups of other kinds, (n_groups, n_genes).

    0 where too few groups are of other kinds.
    """
    total = sums.sum(axis=1, keepdims=True)
    share, out = sums / np.maximum(total, 1), np.zeros_like(sums)
    for kind in np.unique(kinds):
        own = kinds == kind
        if (~own).sum() >= FEWEST:
            expected = total[own] * share[~own].mean(axis=0)
            out[own] = np.log((sums[own] + _ADDED) / (expected + _ADDED))
    return out.clip(LEAST, MOST)


# Two types, and the genes of the protein that each is defined by.
SIDES = (("CL:0000624", ("CD4",)), ("CL:0000625", ("CD8A", "CD8B")))
_OF = np.repeat([0, 1], [len(genes) for _, genes in SIDES])
# What :class:`.embedding.CellEvidence` is asked for: one key a gene.
DEFINING_KEYS = tuple(evidence_key(None, (gene,)) for _, genes in SIDES for gene in genes)
# RNA of other cells, and doublets, put a gene into some cells that do not express it; as many that do miss it.
STRAY = 0.02
# How often genes are counted in the cells of each type, and cells are divided by these counts.
DIVISIONS = 10


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
    for _ in range(DIVISIONS):
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
