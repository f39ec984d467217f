"""Every known name of every term, indexed by its tokens."""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice, takewhile
from typing import Literal

from .._read import read_table
from ..ontology import Ontology, load_ontology
from .tokens import loose_key, strict_key, tokens

Key = frozenset[str]
How = Literal["id", "exact", "synonym", "rule", "marker", "none"]
Hit = tuple[str, How, float]
# Terms made for another species; they may be asked for by id or label, never by shorthand.
_OTHER_SPECIES = re.compile(
    r"\(Mmus\)|\bmouse\b|\bmurine\b|sensu (?!Vertebrata|Mammalia)|compound eye|larval|Drosophila|Nematoda|teleost"
    r"|pyloric (?:motor|dilator)|lateral pyloric|lateral line|neuromast|interfollicle|^(?:tip|cap|sheath|socket) cell$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class NameIndex:
    """Token keys to ids, from the most to the least trusted."""

    curated: dict[Key, str]  # shorthand kept by hand
    labels: dict[Key, str]  # of the ontology, as they are
    synonyms: dict[Key, str]
    loose: dict[Key, str]  # all these with fillers dropped
    crosswalk: dict[Key, str]  # names that published label crosswalks map by hand
    crosswalk_loose: dict[Key, str]
    by_context: dict[tuple[str, Key], str]  # (context word, key) to id
    marker: dict[Key, str]  # keys made of genes only

    # Only names that no table has as they stand are searched word by word.
    @cached_property
    def words(self) -> dict[str, float]:
        """Every token that occurs, with its inverse document frequency."""
        return {word: math.log(1 + len(self._every) / count) for word, count in self._counts.items()}

    @cached_property
    def by_word(self) -> dict[str, tuple[tuple[Key, str], ...]]:
        """Token to the keys that contain it, for the search for the best part of a name."""
        lists: dict[str, list[tuple[Key, str]]] = defaultdict(list)
        counts = self._counts
        for key, cl_id in self._every.items():
            # Each key is filed once, under its rarest word: a name that contains the key contains that word.
            lists[min(key, key=lambda word: (counts[word], word), default="")].append((key, cl_id))
        return {word: tuple(entries) for word, entries in lists.items()}

    @cached_property
    def _every(self) -> dict[Key, str]:
        return {**self.crosswalk_loose, **self.crosswalk, **self.loose, **self.synonyms, **self.labels, **self.curated}

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for key in self._every for word in key)

    @cached_property
    def _alphabetical(self) -> list[str]:
        return sorted(self._counts)

    def beginning(self, start: str) -> list[str]:
        """Words that begin so."""
        at = bisect_left(self._alphabetical, start)
        return list(takewhile(lambda word: word.startswith(start), islice(self._alphabetical, at, None)))

    def count(self, word: str) -> int:
        """Return how many names hold a word."""
        return self._counts[word]

    def knows(self, found: Iterable[str]) -> bool:
        """Whether a name is in the ontology or kept by hand, as it stands."""
        return any(strict_key(found) in table for table in (self.curated, self.labels, self.synonyms))

    def get(self, found: Iterable[str]) -> Hit | None:
        """Id, way and score of a whole name, or None."""
        found = tuple(found)
        strict, loose = strict_key(found), loose_key(found)
        tables: tuple[tuple[dict[Key, str], Key, How, float], ...] = (
            (self.curated, strict, "synonym", 0.95),
            (self.labels, strict, "exact", 0.98),
            (self.synonyms, strict, "synonym", 0.95),
            (self.crosswalk, strict, "synonym", 0.85),
            (self.loose, loose, "rule", 0.9),
            (self.crosswalk_loose, loose, "rule", 0.8),
        )
        return next(((table[key], how, score) for table, key, how, score in tables if key in table), None)


def _settled(found: dict[Key, dict[str, int]], ontology: Ontology) -> dict[Key, str]:
    """One id out of several that share a key: fewest tokens dropped, then the ancestor of all others, else none."""

    def settle(ids: dict[str, int]) -> str | None:
        least = min(ids.values())
        best = sorted(one for one, dropped in ids.items() if dropped == least)
        return next((one for one in best if all(ontology.is_within(other, one) for other in best)), None)

    return {key: cl_id for key, ids in found.items() if (cl_id := settle(ids))}


def build_index(*, crosswalk: bool = True) -> NameIndex:
    """Index the bundled names; without the crosswalks only what the ontology and the curated table say."""
    ontology = load_ontology()
    labels: dict[Key, dict[str, int]] = defaultdict(dict)
    synonyms: dict[Key, dict[str, int]] = defaultdict(dict)
    slack: dict[Key, dict[str, int]] = defaultdict(dict)
    for cl_id in ontology:
        term = ontology.term(cl_id)
        if _OTHER_SPECIES.search(term.label):
            continue
        for name in (term.label, *term.synonyms):
            found = tokens(name)
            key, loose = strict_key(found), loose_key(found)
            if not key:
                continue
            (labels if name == term.label else synonyms)[key].setdefault(cl_id, 0)
            if not is_bare(loose):
                # A label's short form is worth more than a synonym's.
                dropped = len(key) - len(loose) + (0 if name == term.label else 10)
                slack[loose][cl_id] = min(dropped, slack[loose].get(cl_id, dropped))
    curated: dict[Key, str] = {}
    marker: dict[Key, str] = {}
    by_context: dict[tuple[str, Key], str] = {}
    for name, cl_id, _, kind, context in read_table("shorthand.tsv"):
        key = strict_key(tokens(name))
        if context:
            by_context[context, key] = cl_id
        else:
            (marker if kind == "marker" else curated).setdefault(key, cl_id)
    names = {strict_key(tokens(name)): cl_id for name, cl_id in read_table("names.tsv.gz")} if crosswalk else {}
    return NameIndex(
        curated=curated,
        labels=_settled(labels, ontology),
        synonyms=_settled(synonyms, ontology),
        loose=_settled(slack, ontology) | _loosened(curated),
        crosswalk=names,
        crosswalk_loose=_loosened(names),
        by_context=by_context,
        marker=marker,
    )


def _loosened(keys: dict[Key, str]) -> dict[Key, str]:
    """Loose forms of the keys; the first to claim a form keeps it."""
    found: dict[Key, str] = {}
    for key, cl_id in keys.items():
        loose = loose_key(key)
        if not is_bare(loose):
            found.setdefault(loose, cl_id)
    return found


def is_bare(key: Key) -> bool:
    """Whether nothing but numbers and letters is left of a name ("type 2")."""
    return all((len(word) == 1 and word not in "tb") or word.isdigit() for word in key)


@lru_cache(maxsize=2)
def load_index(*, crosswalk: bool = True) -> NameIndex:
    """Return :func:`build_index`, kept."""
    return build_index(crosswalk=crosswalk)
