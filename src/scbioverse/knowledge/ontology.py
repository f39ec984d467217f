"""The Cell Ontology: terms, and who descends from whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import MissingKeyError
from ._read import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        self._above: dict[str, tuple[str, ...]] = {}
        self._above_set: dict[str, frozenset[str]] = {}
        self._below: dict[str, tuple[str, ...]] = {}
        self._depth: dict[str, int] = {}
        self._by_label = {fold(term.label): term.id for term in terms}
        self._by_name: dict[str, str] | None = None

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

    def ancestors(self, cl_id: str) -> tuple[str, ...]:
        """Ids of all ancestors, nearest first (fewest `is_a` steps, then by id), without the term itself."""
        if cl_id not in self._above:
            self._above[cl_id] = self._walk(cl_id, self.parents)
        return self._above[cl_id]

    def descendants(self, cl_id: str) -> tuple[str, ...]:
        """Ids of all descendants, nearest first, without the term itself."""
        if cl_id not in self._below:
            self._below[cl_id] = self._walk(cl_id, self.children)
        return self._below[cl_id]

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
        if below not in self._above_set:
            self._above_set[below] = frozenset(self.ancestors(below))
        return above in self._above_set[below]

    def is_within(self, below: str, above: str) -> bool:
        """Whether `below` is `above` or one of its descendants."""
        return below == above or self.is_ancestor(above, below)

    def related(self, a: str, b: str) -> bool:
        """Whether two ids are equal or one is an ancestor of the other."""
        return self.is_within(a, b) or self.is_within(b, a)

    def overlaps(self, a: str, b: str) -> bool:
        """Whether cells can bear both names as studies use them: related, and not :data:`KEPT_APART`."""
        return self.related(a, b) and (a, b) not in KEPT_APART and (b, a) not in KEPT_APART

    def depth(self, cl_id: str) -> int:
        """Longest number of `is_a` steps from a root down to the term; 0 for a root."""
        if cl_id not in self._depth:
            self._depth[cl_id] = max((1 + self.depth(parent) for parent in self.parents(cl_id)), default=0)
        return self._depth[cl_id]

    def find(self, name: str) -> str | None:
        """Id of the term with this label or synonym, whatever its case and hyphens; None if there is none.

        A label wins over a synonym; a synonym that several terms have leads nowhere. Shorthand and plurals are
        the business of :func:`scbioverse.knowledge.resolve_label`.
        """
        return self.names().get(fold(name))

    def find_label(self, name: str) -> str | None:
        """Id of the term with this label, whatever its case and hyphens; synonyms are not looked at."""
        return self._by_label.get(fold(name))

    def names(self) -> dict[str, str]:
        """Every folded label and unambiguous folded synonym, to its id."""
        if self._by_name is None:
            synonyms: dict[str, set[str]] = {}
            for term in self._terms.values():
                # Terms of mouse only ("(Mmus)") are found by label, not by a synonym that also means a human cell.
                for synonym in () if term.label.endswith("(Mmus)") else term.synonyms:
                    synonyms.setdefault(fold(synonym), set()).add(term.id)
            unique = {name: next(iter(ids)) for name, ids in synonyms.items() if len(ids) == 1}
            self._by_name = unique | self._by_label
        return self._by_name


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
