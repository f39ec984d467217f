"""How likely each cell is what words mean: the probabilities of its labels, summed over the types that are meant."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from .._logging import and_more
from ..io import to_counts_like
from ..knowledge import load_genes, load_ontology
from ..knowledge.meaning import described_labels
from .candidates import own_labels
from .embedding import Batch, CellEvidence
from .pool import pool, weights_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..io import Cells
    from ..knowledge.meaning import Meaning
    from ..models import BioVerse
    from .embedding import Representation

# Of a label above what is meant, as "lymphocyte" is above "T cell", some cells may be of it.
ABOVE = 0.5
_DEPTH = 1e4
_JOINED = {"and": np.minimum.reduce, "or": np.maximum.reduce}
# Where all kinds of a label have far less than this, nothing tells which of them a cell is of.
_LEAST = 0.01


def has_vocabulary(model: BioVerse) -> bool:
    """Whether a model has a pool and a vocabulary of Cell Ontology terms, over which words can be summed."""
    own = model.config.default_labels
    return "cascade" in model.config.calibration and bool(own) and all(one in load_ontology() for one in own)


class CellsMeant:
    """Cells with the probabilities of their labels, for several texts.

    The model has a vocabulary of terms, see :func:`has_vocabulary`; types among the `meanings` that have no label in it
    are candidates beside it.
    """

    def __init__(self, embedded: Representation, model: BioVerse, meanings: Sequence[Meaning]) -> None:
        self.cells: Cells = embedded.cells
        own, ontology = list(model.config.default_labels), load_ontology()
        parts = [part for one in meanings for part in one.all_parts()]
        named = dict.fromkeys(term for part in parts if part.how == "name" for term in part.terms)
        held = {above for label in own for above in (label, *ontology.ancestors(label))}
        beside = [one for one in named if one.startswith("CL:") and one not in held]
        candidates = own_labels([*own, *beside], model.config.names)
        self.labels = [str(one.cl_id) for one in candidates]
        self._embedded, self._model, self._candidates = embedded, model, candidates
        self._genes = dict.fromkeys(part.gene for part in parts if part.gene)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the labels, (n, m); as :func:`scbioverse.tl.annotate` finds them, made once.

        What "monocyte" has goes to its kinds, as a cell is of each: it speaks for none of them.
        """
        batch = Batch(self._model, self._embedded.values, "cell", CellEvidence(self.cells, self._model))
        scores = pool(batch, self._candidates, weights_of(self._model, "cascade", self._candidates))
        return passed_down(np.exp(scores.log_probs.astype(np.float64)), self.labels)

    def scores(self, meaning: Meaning) -> NDArray[np.float64]:
        """How likely each cell is what is meant, (n,), 0 to 1; NaN for nothing and for genes that were not measured.

        Of types the probabilities of their labels are summed, each as far as the words are said of it. A cell that
        expresses a gene has 0.5 + v / (2 + 2v), with v = ln(1 + counts per 10,000), and one that does not has 0. "Not"
        is 1 less the score, "and" the least, "or" the most of the parts'; of types they are taken label by label.
        """
        if meaning.op == "nothing" or self.missing(meaning):
            return np.full(self.cells.n_obs, np.nan)
        return self._score(meaning)

    def said(self, meaning: Meaning, most: int = 8) -> str:
        """Say what words were read as: of a description the labels of which most is said; `""` for nothing."""
        if meaning.how != "description":
            joined = f" {meaning.op} ".join(f"({self.said(one, most)})" for one in meaning.parts)
            return f"not {joined}" if meaning.op == "not" else joined or str(meaning)
        said = described_labels(meaning, self.labels)
        best = [i for i in np.argsort(-said, kind="stable") if said[i] > 0]
        names = [load_ontology().term(self.labels[i]).label for i in best]
        return and_more(names, most) or "no type that this model knows"

    def _score(self, meaning: Meaning) -> NDArray[np.float64]:
        if not any(part.gene for part in meaning.all_parts()):
            return np.clip(self.probabilities @ self._weights(meaning)[0], 0, 1)
        if meaning.op == "gene":
            level = self._levels[meaning.gene]
            return np.where(level > 0, 0.5 + level / (2 + 2 * level), 0.0)
        found = list(map(self._score, meaning.parts))
        return 1 - found[0] if meaning.op == "not" else _JOINED[meaning.op](found)

    def _weights(self, meaning: Meaning) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How far each label is surely, and how far it may be, what is meant."""
        if meaning.how == "description":
            said = described_labels(meaning, self.labels)
            return said, said
        if meaning.op == "terms":
            return label_weights(tuple(meaning.terms), tuple(self.labels))
        parts = list(map(self._weights, meaning.parts))
        if meaning.op == "not":
            sure, maybe = parts[0]
            return 1 - maybe, 1 - sure
        best = _JOINED[meaning.op]
        return best([one for one, _ in parts]), best([one for _, one in parts])

    def missing(self, meaning: Meaning) -> list[str]:
        """Genes of it that were not measured."""
        genes = dict.fromkeys(part.gene for part in meaning.all_parts() if part.gene)
        return [one for one in genes if one not in self._levels]

    @cached_property
    def _levels(self) -> dict[str, NDArray[np.float64]]:
        """ln(1 + counts per 10,000) of the genes that were asked for and measured, read in one pass."""
        if not self._genes:
            return {}
        match = self.cells.match(load_genes().symbols, min_genes=0, judge=False)
        place = {load_genes().symbols[i]: int(at) for i, at in zip(match.vocab, match.columns, strict=True)}
        held = [one for one in self._genes if one in place]
        columns, totals = [place[one] for one in held], []
        values = []
        for _, block in self.cells.blocks():
            levels = to_counts_like(block.astype(np.float64), self.cells.info)
            totals.append(np.asarray(levels.sum(axis=1)).ravel())
            values.append(levels[:, columns].toarray())
        total = np.concatenate(totals)[:, None]
        found = np.log1p(_DEPTH * np.concatenate(values) / np.where(total > 0, total, 1))
        return dict(zip(held, found.T, strict=True))


def passed_down(probabilities: NDArray[np.float64], labels: Sequence[str]) -> NDArray[np.float64]:
    """Give what labels with kinds have, (n, m), to these in proportion, the broadest first."""
    ontology, out = load_ontology(), probabilities.copy()
    for at in sorted(range(len(labels)), key=lambda i: ontology.depth(labels[i])):
        above = labels[at]
        kinds = np.array([ontology.is_ancestor(above, one) and ontology.overlaps(one, above) for one in labels])
        if kinds.any():
            share = out[:, at] / (out[:, kinds].sum(axis=1) + _LEAST)
            out[:, at] = _LEAST * share
            out[:, kinds] *= 1 + share[:, None]
    return out


@cache
def label_weights(meant: tuple[str, ...], labels: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far each of m labels is among the types that are meant: kinds of these wholly, what is above half at most.

    Both are ids. Returns float64 (m,): how far a cell of the label is surely meant, and how far it may be.
    """
    ontology = load_ontology()
    sure, maybe = np.zeros(len(labels)), np.zeros(len(labels))
    for term in meant:
        below, above = {term, *ontology.descendants(term)}, set(ontology.ancestors(term))
        sure[[i for i, one in enumerate(labels) if one in below and ontology.overlaps(one, term)]] = 1.0
        maybe[[i for i, one in enumerate(labels) if one in above and ontology.overlaps(term, one)]] = ABOVE
    return sure, np.maximum(sure, maybe)
