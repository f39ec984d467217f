"""What is said of cell types: how far the words of a query stand in definitions and in what their markers do.

Words are compared without endings; those that say one thing are made one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ._read import read_table
from .genes import gene_summaries
from .markers import load_markers
from .ontology import ROOT, load_ontology

_SUFFIXES = (
    "ations ation ators ator ating ated ates ate ities ity osis otic otically ically ical ics ic ions ion ings ing "
    "ivity ively ive ile ories ory ors or ers er ally als al ies ied ously ous edly ed es s e y"
)
# The longest first; what is left keeps four letters, so that short words stay as they are.
_ENDINGS = sorted(_SUFFIXES.split(), key=lambda ending: (-len(ending), ending))
_LEAST = 4
_WORD = re.compile(r"[a-z0-9]+(?:['\u2019]s\b)?")
# Words that say nothing of a cell by themselves.
_COMMON = (
    "a an and or the of in on to for with by from that which who whose is are be been being it its this these those "
    "their they as at any all some into also has have having had can may such other very when where than while within "
    "between through during under over up out off one two more most much many both each every only own same so too we "
    "i me my our us you your he his she her find show list give please found "
    "cell cells type types kind kinds capable able "
    "involved responsible important role function functions act acts acting use used using"
)
_STOP = frozenset(_COMMON.split())


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """Take the endings off a word in small letters, two at most: "antibodies" and "antibody" give "antibod"."""
    for _ in range(2):
        ending = next((one for one in _ENDINGS if word.endswith(one) and len(word) - len(one) >= _LEAST), "")
        word = word.removesuffix(ending)
    return word


def stems(text: str) -> list[str]:
    """Stems of the words of a text that say something, in order, with repetitions."""
    found = (re.split("['\u2019]", one)[0] for one in _WORD.findall(text.lower()))
    same = _same()
    return [same.get(made, made) for made in (stem(word) for word in found if word not in _STOP)]


@lru_cache(maxsize=1)
def _same() -> dict[str, str]:
    return {stem(word): concept for concept, words in read_table("search_words.tsv") for word in words.split()}


# Okapi BM25 (Robertson and Zaragoza 2009, doi:10.1561/1500000019): saturation of repeated words, correction of length.
SATURATION, LENGTH = 1.2, 0.5
# A word in a name counts like so many in a definition.
NAME, SYNONYM = 3.0, 2.0
# Markers of a type whose summaries are read, and the share of their weight that says as much as a definition.
MARKERS, SHARE = 20, 0.25
# Markers say what a type can do less surely than its definition does.
OF_MARKERS = 0.7


class TermTexts:
    """An inverted index over names, definitions and the summaries of marker genes.

    How much of a query is said of a type is the share of the query's words, weighted by their inverse document
    frequency, that stand in its texts. A word counts 0 to 1: by its BM25 saturation in the best of the definitions of
    the type and of what it is a kind of, or by the share of its markers whose summaries hold it.
    """

    def __init__(self) -> None:
        ontology, table = load_ontology(), load_markers()
        self.ids = [one for one in ontology if one.startswith("CL:") and one != ROOT]
        self.place = {one: i for i, one in enumerate(self.ids)}
        self._words: dict[str, int] = {}
        rows: list[tuple[int, int, float]] = []
        lengths = np.zeros(len(self.ids))
        for i, one in enumerate(self.ids):
            term = ontology.term(one)
            counts: dict[int, float] = defaultdict(float)
            for text, weight in ((term.label, NAME), (" ".join(term.synonyms), SYNONYM), (term.definition, 1.0)):
                for word in stems(text):
                    counts[self._words.setdefault(word, len(self._words))] += weight
            lengths[i] = len(stems(term.definition))
            rows += [(i, word, count) for word, count in counts.items()]
        at, words, counted = map(np.array, zip(*rows, strict=True))
        slack = SATURATION * (1 - LENGTH + LENGTH * lengths / lengths.mean())
        held = counted / (counted + slack[at])
        # As a full word counts what a name makes of it.
        self._direct = sparse.csc_array((np.minimum(1, held * (NAME + SATURATION) / NAME), (at, words)))
        n = len(self.ids)
        found = np.bincount(words, minlength=len(self._words))
        self._rarity = np.log(1 + (n - found + 0.5) / (found + 0.5))
        self._unknown = float(np.log(1 + (n + 0.5) / 0.5))
        pairs = [
            (i, self.place[above])
            for i, one in enumerate(self.ids)
            for above in (one, *ontology.ancestors(one))
            if above in self.place
        ]
        self._above = sparse.csr_array((np.ones(len(pairs)), tuple(zip(*pairs, strict=True))), shape=(n, n))
        self._markers = {
            one: list(zip(part["gene"][:MARKERS], part["weight"][:MARKERS], strict=True))
            for one, part in table.sort_values(["cl_id", "weight"], ascending=[True, False]).groupby("cl_id")
            if one in self.place
        }
        genes = {gene for part in self._markers.values() for gene, _ in part}
        self._does = {gene: set(stems(text)) for gene, text in gene_summaries().items() if gene in genes}

    def scores(self, query: str, terms: Sequence[str]) -> NDArray[np.float64]:
        """How much of a query is said of each term, float64 (n_terms,), 0 to 1.

        All 0 where the query has no word that says something. `terms` are ids of the Cell Ontology.
        """
        words = list(dict.fromkeys(stems(query)))
        at = np.array([self.place[one] for one in terms], dtype=np.int64)
        if not words or not at.size:
            return np.zeros(len(terms))
        rarity = np.array([self._rarity[self._words[w]] if w in self._words else self._unknown for w in words])
        held = np.stack([self._said(word, at, terms) for word in words], axis=1)
        found: NDArray[np.float64] = held @ (rarity / rarity.sum())
        return found

    def _said(self, word: str, at: NDArray[np.int64], terms: Sequence[str]) -> NDArray[np.float64]:
        in_text = np.zeros(len(at))
        if word in self._words:
            direct = self._direct[:, [self._words[word]]].toarray().ravel()
            above = self._above[at]
            in_text = np.maximum.reduceat(direct[above.indices], above.indptr[:-1])
        shares = np.array([self._share(word, one) for one in terms])
        return np.maximum(in_text, OF_MARKERS * np.minimum(1, shares / SHARE))

    def _share(self, word: str, cl_id: str) -> float:
        held = self._markers.get(cl_id, [])
        total = sum(weight for _, weight in held)
        return sum(weight for gene, weight in held if word in self._does.get(gene, ())) / total if total else 0.0


@lru_cache(maxsize=1)
def term_texts() -> TermTexts:
    """Return the index; made once, in about a second."""
    return TermTexts()
