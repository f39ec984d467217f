"""Candidate sets for training: cuts through the Cell Ontology, as coarse or fine as studies make them.

A study's label set is never "all terms": it holds some types coarsely ("T cell") and others finely ("naive CD4 T
cell"), and none that lies within another. Training draws such sets at random, so that the language model learns to
choose at any granularity, and a "T cell" is never a wrong answer for a "CD4 T cell".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from recipes.bioverse_small.terms import is_within
from scbioverse.knowledge.ontology import load_ontology
from scbioverse.knowledge.phrases import answer_name, phrases
from scbioverse.models import BioVerse
from scbioverse.train import Batch, CandidateSet

# Terms above the trained ones that studies really use as labels.
COARSE = [
    "CL:0000084",
    "CL:0000624",
    "CL:0000625",
    "CL:0000236",
    "CL:0000576",
    "CL:0000451",
    "CL:0000542",
    "CL:0000623",
    "CL:0000738",
    "CL:0000763",
    "CL:0000066",
    "CL:0000115",
    "CL:0000057",
    "CL:0000187",
    "CL:0000540",
    "CL:0000125",
    "CL:0000988",
    "CL:0000235",
    "CL:0000094",
    "CL:0000145",
    "CL:0000814",
    "CL:0000990",
    "CL:0000584",
    "CL:0000499",
    "CL:0000746",
    "CL:0002079",
    "CL:0000171",
    "CL:0000164",
    "CL:0000163",
    "CL:0000101",
    "CL:0000099",
    "CL:0000679",
    "CL:0000617",
    "CL:0000860",
    "CL:0000813",
    "CL:0000898",
    "CL:0000910",
    "CL:0000785",
    "CL:0000182",
    "CL:0000192",
    "CL:0000188",
    "CL:0000786",
    "CL:0000097",
    "CL:0000037",
    "CL:0000764",
    "CL:0000151",
    "CL:0000346",
    "CL:0000362",
    "CL:0000064",
    "CL:0000351",
]


@dataclass(frozen=True)
class CutConfig:
    """How candidate sets are drawn."""

    min_size: int = 6
    max_size: int = 30
    other_name: float = 0.1
    noise: float = 0.0
    broadest: int = 0
    """Also draw terms above the trained ones, of which at most so many lie below; 0 for those of `COARSE` alone."""
    broad_weight: float = 0.3
    """How often they are drawn, against 1 for others."""


def nodes_of(terms: list[str]) -> list[str]:
    """Terms that candidate sets are made of: the trained ones, and those above that studies use."""
    return sorted({*terms, *(one for one in COARSE if one in load_ontology())})


class CutSampler:
    """Draws batches of cells, each with a candidate set of its own.

    Parameters
    ----------
    model
        Whose answers the names become.
    embeddings
        float32 (n, dim): the bank that cells are drawn from.
    term
        int (n,): trained term of each row.
    terms
        Trained terms.
    batch_size
        Rows of a batch, spread evenly over the candidates that have cells.
    """

    def __init__(
        self,
        model: BioVerse,
        embeddings: np.ndarray,
        term: np.ndarray,
        terms: list[str],
        *,
        batch_size: int,
        config: CutConfig | None = None,
    ) -> None:
        self.model, self.embeddings, self.config = model, embeddings, config or CutConfig()
        self.batch_size, self.terms = batch_size, terms
        ontology = load_ontology()
        below_each = Counter(above for one in terms for above in set(ontology.ancestors(one)) - set(terms))
        broad = {one for one, n in below_each.items() if n <= self.config.broadest}
        self.nodes = sorted({*nodes_of(terms), *broad})
        broad -= set(COARSE)
        self._often = np.array([self.config.broad_weight if node in broad else 1.0 for node in self.nodes])
        below = np.array([[is_within(lower, upper) for lower in terms] for upper in self.nodes])
        nodes_below = np.array([[is_within(lower, upper) for lower in self.nodes] for upper in self.nodes])
        self._clash = (nodes_below | nodes_below.T) & ~np.eye(len(self.nodes), dtype=bool)
        rows = [np.flatnonzero(term == i) for i in range(len(terms))]
        self._terms_of = [[j for j in np.flatnonzero(below[i]) if rows[j].size] for i in range(len(self.nodes))]
        self._rows = rows
        self._usable = np.array([bool(found) for found in self._terms_of])
        # Terms that share a lineage meet in one set more often: the hard choices are between neighbours.
        lineage = [frozenset(ontology.ancestors(node)) for node in self.nodes]
        self._kin = np.array([[len(a & b) / max(1, len(a | b)) for b in lineage] for a in lineage]) ** 3
        self._names = [[answer_name(node, model.config.names), *phrases(node)] for node in self.nodes]
        self._scale = self.config.noise * embeddings.std(0)

    def cut(self, rng: np.random.Generator) -> list[int]:
        """Draw nodes of which none lies within another."""
        size = int(rng.integers(self.config.min_size, self.config.max_size + 1))
        usable = np.flatnonzero(self._usable)
        chosen: list[int] = []
        free = self._usable.copy()
        while len(chosen) < size and free.any():
            at = np.flatnonzero(free)
            if chosen and rng.random() < 0.7:
                weight = (self._kin[rng.choice(chosen)][at] + 1e-4) * self._often[at]
                node = int(rng.choice(at, p=weight / weight.sum()))
            else:
                share = self._often[at] / self._often[at].sum() if self.config.broadest else None
                node = int(rng.choice(at, p=share))
            chosen.append(node)
            free[node] = False
            free &= ~self._clash[node]
        return chosen if len(chosen) > 1 else [int(i) for i in usable[:2]]

    def named_cut(self, rng: np.random.Generator) -> tuple[list[int], list[str], CandidateSet]:
        """Draw nodes as :meth:`cut` does, and a different name for each."""
        nodes = self.cut(rng)
        names: list[str] = []
        for node in nodes:
            known = self._names[node]
            name = known[0] if rng.random() >= self.config.other_name else known[rng.integers(len(known))]
            names.append(name if name not in names else known[0])
        keep = [i for i, name in enumerate(names) if names.index(name) == i]
        nodes, names = [nodes[i] for i in keep], [names[i] for i in keep]
        return nodes, names, CandidateSet(names, [self.model.reader.answer_ids(name) for name in names])

    def cells_of(self, nodes: list[int], size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw cells evenly over nodes and the terms below: which of the nodes, and row of the bank, (size,) each."""
        label = rng.integers(len(nodes), size=size)
        picked = np.empty(size, np.int64)
        for i, one in enumerate(label):
            term = self._terms_of[nodes[one]][rng.integers(len(self._terms_of[nodes[one]]))]
            picked[i] = self._rows[term][rng.integers(self._rows[term].size)]
        return label, picked

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; its `candidates` hold the names of the cut."""
        nodes, names, candidates = self.named_cut(rng)
        label, picked = self.cells_of(nodes, self.batch_size, rng)
        embeddings = (
            self.embeddings[picked]
            + rng.standard_normal((self.batch_size, self.embeddings.shape[1])).astype(np.float32) * self._scale
        )
        return Batch(
            embeddings=embeddings[:, None, :].astype(np.float32),
            texts=[names[i] for i in label],
            groups=np.array([nodes[i] for i in label]),
            candidates=candidates,
        )
