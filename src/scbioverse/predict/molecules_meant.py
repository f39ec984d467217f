"""How likely molecules are what words mean: by a model's phrase head and by the texts of known neighbours."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..knowledge.captions import ways_to_say
from ..knowledge.said_of_terms import stem
from ..pp._molecule_properties import group_pattern, holds_group
from .neighbours import FLOOR, shares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models import BioVerse
    from .neighbours import Neighbours

N_NEIGHBOURS = 10  # that vote
# Weight of the neighbours beside the head, where there are both.
OF_NEIGHBOURS = 0.5
# Share of a query's words, by rarity, that a phrase must hold.
COVERED = 0.8
# A word of so many letters may be a part of a longer one: "corticosteroid" is a "steroid".
_PART = 7
_WORD = re.compile(r"[a-z0-9~]+")
# "Non-steroidal" is no steroid and "anti-inflammatory" inflames nothing: with what turns it around, a word is another.
_TURNED = re.compile(r"\b(non|anti)[- ]?(?=[a-z]{4})")
_NUMBERS = re.compile(r"\b\d+(?:\.[\d*n]+)+")
_COMMON = (
    "a an and or the of in on to for with by from that which is are member members agent agents drug drugs compound "
    "compounds molecule molecules medicine medicines substance chemical chemicals receptor receptors class other it "
    "has role as ec derivative derivatives activity synthesis pathway any all some selective"
)
_STOP = frozenset(_COMMON.split())
_SPLIT = re.compile(r"[.;|]\s+|[.;|]$|,\s+(?=(?:an?|the)\s)|\s+and\s+(?=(?:an?|the)\s)|\||;")
_LEAD = re.compile(r"^(?:the molecule is|it has (?:a )?roles? as|it is|role:|class:)\s+", re.IGNORECASE)


def words_of(text: str) -> list[str]:
    """Stems of the words of a phrase that tell classes apart, without EC numbers."""
    plain = _TURNED.sub(r"\1~", _NUMBERS.sub(" ", text.lower()))
    return [stem(one) for one in _WORD.findall(plain) if one not in _STOP]


def phrases_of(text: str) -> list[str]:
    """Cut a text about a molecule into phrases: its sentences, and of a list of roles or classes each."""
    return [part for part in (_LEAD.sub("", one.strip()) for one in _SPLIT.split(text)) if part]


class PhraseIndex:
    """Phrases, different from one another, by their words."""

    def __init__(self, phrases: Sequence[str]) -> None:
        self.n = len(phrases)
        self._of: dict[str, set[int]] = defaultdict(set)
        for i, one in enumerate(phrases):
            for word in words_of(one):
                self._of[word].add(i)

    def matches(self, words: str) -> NDArray[np.int64]:
        """Phrases that say what words say, in any of the ways to say it: those that hold enough of its words."""
        found: set[int] = set()
        for way in ways_to_say(words):
            asked = list(dict.fromkeys(words_of(way)))
            held = list(map(self._holding, asked))
            rarity = [np.log(1 + (self.n - len(one) + 0.5) / (len(one) + 0.5)) for one in held]
            share = np.zeros(self.n)
            for some, weight in zip(held, rarity, strict=True):
                share[list(some)] += weight / sum(rarity)
            found |= set(np.flatnonzero(share >= COVERED - 1e-9).tolist())
        return np.array(sorted(found), dtype=np.int64)

    def _holding(self, word: str) -> set[int]:
        if len(word) < _PART:
            return self._of.get(word, set())
        return set().union(
            *(some for other, some in self._of.items() if word in other and "~" not in other.replace(word, ""))
        )


# Those of a model are the same at every call.
_head_index = lru_cache(maxsize=8)(PhraseIndex)


@dataclass(frozen=True, eq=False)
class Known:
    """Molecules whose texts are known, and which of them lie near to those asked about."""

    near: Neighbours  # neighbours of each molecule
    texts: Sequence[str]  # of the known molecules
    floor: float = FLOOR  # similarity below which one says nothing
    said: Sequence[str] = ()  # what was put together for each molecule asked about, see `compose`

    @cached_property
    def index(self) -> tuple[PhraseIndex, list[list[int]]]:
        """Different phrases of the neighbours' texts, and of each known molecule the numbers of its phrases."""
        number: dict[str, int] = {}
        used = set(np.unique(self.near.rows[self.near.rows >= 0]).tolist())
        own = [
            [number.setdefault(one, len(number)) for one in phrases_of(text)] if i in used else []
            for i, text in enumerate(self.texts)
        ]
        return PhraseIndex(list(number)), own

    def vote(self, words: str) -> NDArray[np.float64] | None:
        """Share of the neighbours of whom the words are said, (n,), by similarity; None where they are said of none.

        A neighbour below `floor` says nothing, and a molecule that has no other gets 0.
        """
        index, own = self.index
        said = set(index.matches(words).tolist())
        if not said:
            return None
        holds = np.array([not said.isdisjoint(one) for one in own])
        return shares(self.near.rows, self.near.similarity, holds, floor=self.floor)


class MoleculesMeant:
    """Molecules, or other rows, that are asked about.

    `values` float32 (n, n_tokens, dim) are their embeddings, NaN for rows without one; the `model` has perhaps a phrase
    head; `known` are those near to them, if there are any. Of `molecules` of rdkit, None for those that cannot be read,
    functional groups are looked for.
    """

    def __init__(
        self, values: NDArray[np.float32], model: BioVerse, modality: str, known: Known | None,
        molecules: Sequence[Any] | None = None,
    ) -> None:  # fmt: skip
        self.values, self.model, self.modality, self.known = values, model, modality, known
        self.molecules = molecules
        self.readable = np.isfinite(values).reshape(len(values), -1).all(axis=1)

    @cached_property
    def _head(self) -> NDArray[np.float32] | None:
        if self.modality not in self.model.phrase_books:
            return None
        return self.model.captioner(self.modality).probabilities(np.nan_to_num(self.values))

    def scores(self, words: str) -> NDArray[np.float64] | None:
        """How likely each molecule is what the words say, (n,); NaN for what cannot be read, None for no known class.

        A functional group is looked for in the structures: 1 or 0. By the head, the highest probability of the phrases
        that say it; by the neighbours, their vote; where there are both, the mean of the two.
        """
        group = group_pattern(words) if self.molecules is not None else None
        if group is not None and self.molecules is not None:
            return np.where(self.readable, np.array(holds_group(self.molecules, group), dtype=np.float64), np.nan)
        parts = []
        if self._head is not None:
            said = _head_index(tuple(self.model.phrase_books[self.modality].phrases)).matches(words)
            if said.size:
                parts.append((1 - OF_NEIGHBOURS, self._head[:, said].max(axis=1)))
        vote = None if self.known is None else self.known.vote(words)
        if vote is not None:
            parts.append((OF_NEIGHBOURS, vote))
        if not parts:
            return None
        total = sum(weight for weight, _ in parts)
        found = sum(weight * values for weight, values in parts) / total
        return np.where(self.readable, found, np.nan)
