"""The Cell Ontology: terms, their short names, who descends from whom, and which terms count for a candidate label."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, lru_cache

from ..errors import MissingKeyError
from ._read import read_table

ROOT = "CL:0000000"
# Child and parent that published labels set against each other. By definition every CD16 monocyte is CD14-positive;
# who writes "CD14 monocyte" beside it means the classical, CD16-negative one.
KEPT_APART = frozenset({("CL:0002396", "CL:0001054"), ("CL:0002397", "CL:0001054")})
_GAPS = re.compile(r"[\s\-_,]+")


@dataclass(frozen=True)
class Term:
    """One ontology term."""

    id: str  # such as "CL:0000236"
    label: str  # the ontology's own name
    definition: str  # one or more sentences, empty for some
    synonyms: tuple[str, ...]  # other names, exact or not
    parents: tuple[str, ...]  # ids of the direct `is_a` parents


def fold(name: str) -> str:
    """Case and the choice between space, hyphen, underscore and comma taken out of a name."""
    return _GAPS.sub(" ", name).strip().casefold()


class Ontology:
    """Terms of the Cell Ontology with their `is_a` hierarchy.

    The closure is built from the direct parents: an `ancestors` column as some exports carry it can be incomplete. A
    parent that is not among the terms is ignored.
    """

    def __init__(self, terms: list[Term]) -> None:
        self._terms = {term.id: term for term in terms}
        self._children: dict[str, list[str]] = {term.id: [] for term in terms}
        for term in terms:
            for parent in term.parents:
                if parent in self._children:
                    self._children[parent].append(term.id)
        self._by_label = {fold(term.label): term.id for term in terms}

    def __len__(self) -> int:
        return len(self._terms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._terms)

    def __contains__(self, cl_id: object) -> bool:
        return cl_id in self._terms

    def term(self, cl_id: str) -> Term:
        """Return the term of an id; a :class:`MissingKeyError` where there is none."""
        try:
            return self._terms[cl_id]
        except KeyError:
            raise MissingKeyError(
                f"{cl_id!r} is not a Cell Ontology id known here ({len(self)} terms, such as 'CL:0000236'). "
                f"Look a name up with scbioverse.knowledge.resolve_label(name)."
            ) from None

    def parents(self, cl_id: str) -> tuple[str, ...]:
        """Ids of the direct parents."""
        return tuple(parent for parent in self.term(cl_id).parents if parent in self._terms)

    def children(self, cl_id: str) -> tuple[str, ...]:
        """Ids of the direct children."""
        return tuple(self._children[self.term(cl_id).id])

    @cache  # noqa: B019  one ontology is loaded, for as long as the process lives
    def ancestors(self, cl_id: str) -> tuple[str, ...]:
        """Ids of all ancestors, nearest first (fewest `is_a` steps, then by id), without the term itself."""
        return self._walk(cl_id, self.parents)

    @cache  # noqa: B019  one ontology is loaded, for as long as the process lives
    def descendants(self, cl_id: str) -> tuple[str, ...]:
        """Ids of all descendants, nearest first, without the term itself."""
        return self._walk(cl_id, self.children)

    def _walk(self, start: str, step: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
        seen = {start: None}
        layer = [start]
        while layer:
            layer = sorted({near for one in layer for near in step(one)} - seen.keys())
            seen.update(dict.fromkeys(layer))
        return tuple(seen)[1:]

    def is_ancestor(self, above: str, below: str) -> bool:
        """Whether `above` is a true ancestor of `below`."""
        self.term(above)
        return above in self._above(below)

    @cache  # noqa: B019  one ontology is loaded, for as long as the process lives
    def _above(self, cl_id: str) -> frozenset[str]:
        return frozenset(self.ancestors(cl_id))

    def is_within(self, below: str, above: str) -> bool:
        """Whether `below` is `above` or one of its descendants."""
        return below == above or self.is_ancestor(above, below)

    def related(self, a: str, b: str) -> bool:
        """Whether two ids are equal or one is an ancestor of the other."""
        return self.is_within(a, b) or self.is_within(b, a)

    def overlaps(self, a: str, b: str) -> bool:
        """Whether cells can bear both names as studies use them: related, and not :data:`KEPT_APART`."""
        return self.related(a, b) and (a, b) not in KEPT_APART and (b, a) not in KEPT_APART

    @cache  # noqa: B019  one ontology is loaded, for as long as the process lives
    def depth(self, cl_id: str) -> int:
        """Longest number of `is_a` steps from a root down to the term; 0 for a root."""
        return max((1 + self.depth(parent) for parent in self.parents(cl_id)), default=0)

    def find(self, name: str) -> str | None:
        """Id of the term with this label or synonym, whatever its case and hyphens; None if there is none.

        A label wins over a synonym; a synonym that several terms have leads nowhere. Shorthand and plurals are
        the business of :func:`scbioverse.knowledge.resolve_label`.
        """
        return self.names().get(fold(name))

    def find_label(self, name: str) -> str | None:
        """Id of the term with this label, whatever its case and hyphens; synonyms are not looked at."""
        return self._by_label.get(fold(name))

    @cache  # noqa: B019  one ontology is loaded, for as long as the process lives
    def names(self) -> dict[str, str]:
        """Every folded label and unambiguous folded synonym, to its id."""
        synonyms: dict[str, set[str]] = {}
        for term in self._terms.values():
            # Terms of mouse only ("(Mmus)") are found by label, not by a synonym that also means a human cell.
            for synonym in () if term.label.endswith("(Mmus)") else term.synonyms:
                synonyms.setdefault(fold(synonym), set()).add(term.id)
        unique = {name: next(iter(ids)) for name, ids in synonyms.items() if len(ids) == 1}
        return unique | self._by_label


@lru_cache(maxsize=1)
def load_ontology() -> Ontology:
    """Load the bundled Cell Ontology; the same object at every call."""
    return Ontology(
        [
            Term(ident, label, definition, _parts(synonyms), _parts(parents))
            for ident, label, definition, synonyms, parents in read_table("ontology.tsv.gz")
        ]
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split("|")) if text else ()


# ------------------------------------------------------------------ short names

# In this order.
_SHORTER = [
    (re.compile(pattern), by)
    for pattern, by in [
        (r" \((?:sensu )?(?:Vertebrata|Homo sapiens|metazoa|Hsap)\)$", ""),
        (r", human$", ""),
        (r",? thymus-derived,? ?", " "),
        (r",? ?\balpha-beta\b(?! (?:regulatory )?thymocyte)", ""),
        (r"\b(CD\d+\w*)-positive\b,?", r"\1"),
        (r"\b(CD\d+\w*)-negative\b,?", r"\1 negative"),
        (r"\b(?!double|single)(\w+)-positive\b", r"\1+"),
        (r"\b(double|single)-(?=positive|negative)", r"\1 "),
        (r"^naive CD(\d)", r"naive CD\1"),
        (r"\bvascular associated\b", "vascular"),
        (r"\bT-helper\b", "T helper"),
        (r"\bnatural killer\b", "NK"),
        (r"^kidney (?=loop of Henle|collecting duct|connecting tubule)", ""),
        (r" lineage restricted ", " "),
        (r"\s*,\s*$|\s{2,}", " "),
    ]
]


def shorten(label: str) -> str:
    """Leave out of a term's label what people leave out when they say the name."""
    for pattern, by in _SHORTER:
        label = pattern.sub(by, label)
    return " ".join(label.split())


@lru_cache(maxsize=1)
def _canonical() -> dict[str, str]:
    """Canonical phrase of every term; no two terms share one, whatever the case."""
    ontology = load_ontology()
    by_hand = {row[0]: row[1] for row in read_table("phrases.tsv")}
    chosen = {cl_id: by_hand.get(cl_id) or shorten(ontology.term(cl_id).label) for cl_id in ontology}
    labels = {cl_id: ontology.term(cl_id).label for cl_id in ontology}

    def claim(cl_id: str) -> tuple[bool, bool, int, str]:
        """Order in which terms may keep a phrase: whose own label it is, by hand, the shallower, the lower id."""
        return chosen[cl_id] != labels[cl_id], cl_id not in by_hand, ontology.depth(cl_id), cl_id

    # A term that falls back to its label may take it from a term whose short form that was: again until none does.
    while True:
        sharing: dict[str, list[str]] = defaultdict(list)
        for cl_id, phrase in chosen.items():
            sharing[phrase.casefold()].append(cl_id)
        losing = [one for ids in sharing.values() for one in sorted(ids, key=claim)[1:] if chosen[one] != labels[one]]
        if not losing:
            return chosen
        chosen |= {cl_id: labels[cl_id] for cl_id in losing}


def canonical_phrase(cl_id: str) -> str:
    """Short form of a term's name, unique to the term, such as `"naive CD4 T cell"` for CL:0000895."""
    load_ontology().term(cl_id)
    return _canonical()[cl_id]


# ------------------------------------------------------------------ candidates

# Below an ancestor that holds more terms than these, what a term has in common with them says nothing of it.
MAX_KIN = 50


def is_within(term: str, other: str) -> bool:
    """Whether `term` is `other` or one of its descendants, as studies use the names."""
    if (term, other) in KEPT_APART:
        return False
    return term == other or other in load_ontology().ancestors(term)


def apart_from(cl_id: str | None) -> set[str]:
    """Terms above a term that it is set against in published labels, see :data:`KEPT_APART`."""
    return {above for one, above in KEPT_APART if one == cl_id}


def broader_among(cl_ids: Iterable[str]) -> set[str]:
    """Those of some terms that others of them are kinds of, as studies use the names."""
    held = set(cl_ids)
    return {above for one in held for above in held.intersection(_lineage(one)[1:]) - apart_from(one)}


def without_kinds(names: Sequence[str], broad: Mapping[str, str]) -> list[str]:
    """Replace a name by another that it is a kind of, if both have one `broad` type.

    Broad types stay apart, whatever the ontology says: pancreatic ductal cells are no more than epithelial cells by it.
    """
    found = sorted(set(names), key=lambda one: (-len(load_ontology().descendants(one)), one))
    # Broadest first: a name is called by the first that holds it, itself if none does.
    called = {
        one: next(other for other in found if broad[one] == broad[other] and is_within(one, other)) for one in found
    }
    return [called[one] for one in names]


def _lineage(cl_id: str | None) -> tuple[str, ...]:
    """Return a term and its ancestors, nearest first; nothing for None and for what is no term."""
    ontology = load_ontology()
    return (cl_id, *ontology.ancestors(cl_id)) if cl_id is not None and cl_id in ontology else ()


def candidate_columns(candidates: Iterable[str | None], terms: Sequence[str]) -> list[list[int]]:
    """Positions of the terms that count for each candidate: itself and what lies below, unless another is between.

    Of tumour cells, which no terms lie below, those they can come from count (see :data:`ORIGINS`). Both are Cell
    Ontology ids; for a candidate of None, a label that has no id, nothing counts.
    """
    candidates = list(candidates)
    place: dict[str | None, list[int]] = {one: [] for one in candidates}
    # Each with itself, what lies above it, and what it can come from as a tumour.
    above = {one: {*_lineage(one), *tumours_of(one)} - apart_from(one) for one in {*place, *terms}}
    for j, term in enumerate(terms):
        holding = above[term] & place.keys()
        # What another of them lies below is too broad: the term counts for the narrower one.
        for one in holding.difference(*(above[other] - {other} for other in holding)):
            place[one].append(j)
    return [place[one] for one in candidates]


def kin_columns(candidates: Iterable[str | None], terms: Sequence[str], *, most: int = MAX_KIN) -> list[list[int]]:
    """Positions of the terms nearest of kin to each candidate: those within the narrowest of its ancestors with any.

    An ancestor is narrow if none of the others that hold terms lies below it; a candidate that terms lie below is its
    own. A candidate can have several, since the ontology sorts cells by more than one property. None, a label without
    an id, has no kin; a candidate with more than `most` is taken to have none.
    """
    ontology = load_ontology()
    below: dict[str, list[int]] = defaultdict(list)
    for j, term in enumerate(terms):
        for one in _lineage(term):
            below[one].append(j)

    def kin(candidate: str | None) -> list[int]:
        holding = [one for one in _lineage(candidate) if one in below]
        wider = {higher for one in holding for higher in ontology.ancestors(one)}
        found = sorted({j for one in holding if one not in wider for j in below[one]})
        return found if len(found) <= most else []

    return list(map(kin, candidates))


def nearest_above(terms: Iterable[str], offered: Container[str], *, most: int) -> list[str | None]:
    """Nearest of each term's ancestors that is offered; None where none is, or it has over `most` terms below it."""
    ontology = load_ontology()
    found = [next((above for above in ontology.ancestors(one) if above in offered), None) for one in terms]
    return [one if one is not None and len(ontology.descendants(one)) <= most else None for one in found]


# ------------------------------------------------------------------ malignant cells, and the types that they come from

# No gene marks the malignant cells of all tumours, and no reference holds the tumour that was taken out today. But a
# tumour keeps much of the look of the tissue it grew in: its cells resemble the type they come from. Where "malignant
# cell" is a candidate, it stands for these types, as far as no other candidate does.

# Malignant and neoplastic cell.
TUMOURS = ("CL:0001064", "CL:0001063")
# What carcinomas, gliomas and melanomas come from: epithelial cell; macroglial cell, radial glial cell and
# oligodendrocyte precursor cell; melanocyte. Tumours of connective tissue, vessels and blood are rarer or, as in
# leukaemia, named by the type itself, and a label for these types is nearly always offered beside that of the tumour.
ORIGINS = ("CL:0000066", "CL:0000126", "CL:0000681", "CL:0002453", "CL:0000148")


@lru_cache(maxsize=1)
def _from_origins() -> frozenset[str]:
    ontology = load_ontology()
    return frozenset(below for one in ORIGINS for below in (one, *ontology.descendants(one)))


def tumours_of(cl_id: str | None) -> tuple[str, ...]:
    """Ids of the tumour cells that can come from a type: all of :data:`TUMOURS` or none."""
    return TUMOURS if cl_id in _from_origins() else ()


def is_held(cl_id: str, candidates: AbstractSet[str | None]) -> bool:
    """Whether a candidate is a type or holds it."""
    return bool(candidates & {cl_id, *load_ontology().ancestors(cl_id)})


def origins_left(candidates: Iterable[str | None]) -> list[str]:
    """Types that tumour cells can come from and that no candidate is or holds, sorted by id."""
    offered = set(candidates)
    return sorted(one for one in _from_origins() if not is_held(one, offered))
