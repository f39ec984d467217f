"""Names of cell types in a question: the types of the Cell Ontology, and which labels of the data are kinds of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .._logging import listed
from ..knowledge import load_ontology
from .cells import CELL_NOUN, Cells, cell_type
from .query import in_column
from .words import Link, Word, key_of, pick

if TYPE_CHECKING:
    from .query import Where

_TYPE_WORDS = 6
CELL = Word("cell", "cell", "cell")
_JOINTS = frozenset(["and", "or", "nor", ",", "/", "to", "than", "vs", "versus"])
# Words that no name of a cell type holds, and those that make something else of one.
_NEVER_TYPES = frozenset(
    key_of(
        "and or of in not the with a an is are , / & than between to for from no but nor per by that which how many"
        " what most least more less all any each both"
    )
)
_DEGREES = frozenset(["-", "−", "negative", "neg", "low", "lo", "dim", "high", "hi", "bright", "int", "mature"])
_SIGNS = frozenset(["+", "-", "−", "%"])
_BLOOD = "CL:0000081"  # of what is in the blood the ontology has only some beneath it
_MALIGNANT = "CL:0001064"  # labels of types do not say which cells are: none called so does not mean that none is


class TypeNames:
    """Reads names of cell types among the words of a question, beside :class:`scbioverse.ask.link.Names`."""

    def __init__(self, names: Any) -> None:
        self.names, self.rows = names, cast("Cells", names.rows)

    def at(self, words: list[Word], at: int, known: int) -> tuple[Link, int] | None:
        """Read the name of a type that begins at a word, and is no shorter than what is known there."""
        return self._shared_noun(words, at, known) or self._type(words, at, known)

    def adjective(self, word: Word) -> Link | None:
        """Read "are epithelial" as of epithelial cells, where nothing else is called so."""
        made = self._type([word, CELL], 0, 2) if word.text.islower() and len(word.text) > 5 else None
        return replace(made[0], said=word.text) if made is not None and made[0].role == "WHERE" else None

    def _shared_noun(self, words: list[Word], at: int, known: int) -> tuple[Link, int] | None:
        """Read "CD4 and CD8 T cells", "plasma or dendritic cells", "T nor B": a noun that stands once or nowhere."""
        first, rest = words[at], [one.one for one in words[at + 1 : at + 8]]
        if known > 1 or "cell" in rest[:1] or (first.key,) in self.names.closed:
            return None
        alone = self.names.known(words, at)[0]
        if alone is not None and alone.role == "WHERE":  # "NK and CD8 T cells" are no NK T cells
            return None
        end = rest.index("cell") if "cell" in rest else 0
        between = _JOINTS if alone is not None else {*_JOINTS, "in", "of", "the"}  # "memory than in naive CD4 T cells"
        listed = {*rest[:1]} <= _JOINTS and (_NEVER_TYPES - between).isdisjoint(rest[1:end])
        tails = [words[at + 1 + end - n : at + 2 + end] for n in range(min(end, 3) - 1, -1, -1)] if listed else []
        if not tails and self._type(words, at, 2) is not None:
            return None  # "T lymphocytes"
        if first.text in ("T", "B"):  # "T and NK cells" are no NK T cells
            tails = tails[-1:] or [[CELL]]
        made = next(filter(None, (self._type([first, *tail], 0, len(tail) + 1) for tail in tails)), None)
        return made and (replace(made[0], said=first.text), 1)

    def _type(self, words: list[Word], at: int, known: int) -> tuple[Link, int] | None:
        """Read the longest name of a cell type that begins here and is no shorter than what is known."""
        for n in range(min(_TYPE_WORDS, len(words) - at), max(known, 1) - 1, -1):
            some = words[at : at + n]
            # "Non-B lymphocytes" are lymphocytes and no B cells: "non" goes with the first word, if that is no cell.
            apart = n > 1 and some[-1].one != "cell" and [one.key for one in words[:at][-1:]] == ["non"]
            cl_id = None if apart else self._type_of(some)
            if cl_id is not None and self._every_word(some, cl_id):
                held = self.names.known(words, at)[0] if n == known else None
                return self._linked(some, cl_id, held), n
        return None

    def _linked(self, some: list[Word], cl_id: str, held: Link | None) -> Link:
        """Return what the name of a type stands for, where these words are held to be something already."""
        said = " ".join(one.text for one in some)
        if held is None and len(_own_words(some)) > 1 and any(map(self._elsewhere, some)):
            return Link("MIXED", said)
        if held is not None and held.role != "WHERE":
            return held
        return self._kinds(cl_id, said, held, {one.text for one in some})

    def _type_of(self, some: list[Word]) -> str | None:
        """Return the id of the type that some words name."""
        content = [one for one in some if one.one not in ("+", "-", "−")]
        alone = _own_words(content)
        if some[0].key in _SIGNS or any(one.quoted or one.key in _NEVER_TYPES for one in some):
            return None
        if len(some) == 1 and (len(some[0].text) < 4 or (some[0].key,) in self.names.closed):
            return None
        # "CD14+ cells" are cells with a gene, whatever type that speaks for.
        genes = [one for one in alone if self.names.gene(one) is not None]
        if genes == alone:
            return None
        if content[-1].one != "cell" and (alone[-1] in genes or not CELL_NOUN.search(alone[-1].text)):
            return None
        return cell_type(" ".join(one.text for one in some).replace(" +", "+"))

    def _every_word(self, some: list[Word], cl_id: str) -> bool:
        """Whether each word stands in a name of the type: what the ontology looks up, it may have passed over."""
        if cl_id == _BLOOD or _DEGREES.intersection(one.key for one in some):
            return False
        own = words_of_type(cl_id)
        rest = [one for one in some if one.one not in {*own, "cell", "+"}]
        if all(_short_for(one.text, own) for one in rest):
            return True
        # "FCGR3A+ monocytes" where the only label of them is written so.
        inside = [self.rows.kinds(column, cl_id)[0] for column in self.rows.types]
        return any(len(one) == 1 and {word.one for word in rest} <= set(key_of(one[0])) for one in inside)

    def _elsewhere(self, word: Word) -> bool:
        """Whether a word of a type is also a group of a column that holds no types, such as a condition "naive"."""
        held = [one for key in {word.key, word.one} for one in self.names.held.get((key,), ())]
        groups = {one.value.column for one in pick(held, "WHERE", "ALSO WHERE")}
        return len(word.text) > 2 and not groups <= {*self.rows.types}

    def _kinds(self, cl_id: str, said: str, held: Link | None, written: set[str]) -> Link:
        """Return the condition that a row is of a type or a kind of it, or why the labels do not say."""
        rows = self.rows
        if not rows.types:
            return Link("NOTYPES", said, cl_id, term=cl_id)
        found = {column: rows.kinds(column, cl_id) for column in rows.types}
        first = next(iter(found))
        firm = first in (rows.groupby, rows.slots.label)
        column = next((one for one, (inside, _) in found.items() if inside), first)
        if held is not None and (held.value.column != column or self._narrower(held, cl_id)):
            return held
        inside, maybe = found[column]
        # "B" and "b" may be two groups: the one that is written so is meant.
        exact = {one.casefold(): one for one in inside if one in written}
        inside = [one for one in inside if exact.get(one.casefold(), one) == one]
        # A label that is the beginning of the word: "Eryth" of "erythrocytes".
        begun = [one for one in maybe if len(one) > 3 and said.casefold().startswith(one.casefold())]
        if not inside and begun == maybe:
            inside, maybe = begun, []
        doubt = self._doubt(cl_id, said, column, inside, maybe)
        if doubt:
            return Link("TOOFINE", said, cl_id, note=f"{doubt} in {column!r}", term=cl_id)
        term = load_ontology().term(cl_id).label
        where = in_column(column, *(inside or [term]), said="" if len(inside) == 1 else term)
        others = {one: kinds for one, (kinds, _) in found.items() if one != column}
        differing = [] if firm else self._differing(where, others)
        if differing:
            return Link("TWICE", said, where, note=" and ".join(map(repr, dict.fromkeys([column, *differing]))))
        note, uncounted = "", maybe or rows.unread(column)
        if uncounted:
            note = _NOT_COUNTED[bool(maybe)].format(listed(map(repr, uncounted[:4])), term)
        return Link("WHERE", said, where, note=note, term=cl_id)

    def _doubt(self, cl_id: str, said: str, column: str, inside: list[str], maybe: list[str]) -> str:
        """Say which labels may hold cells of a type without telling; "" where none does."""
        # Of dendritic cells some are myeloid and some are not; a label such as "leukocyte" may be anything.
        above = [one for one in maybe if cl_id in load_ontology().descendants(self.rows.types[column][one])]
        if maybe and (above != maybe or not inside):
            return " and ".join(map(repr, maybe[:4]))
        own = {*key_of(said)} - {"cell"}
        alike = [one for one in self.rows.unread(column) if own.intersection(key_of(one))]
        malignant = not inside and cl_id == _MALIGNANT
        return listed(map(repr, alike[:4])) or ("the cells" if malignant else "")

    def _differing(self, where: Where, kinds: dict[str, list[str]]) -> list[str]:
        """Return the columns of types, if by one of them other rows are of a type than by the one that is read."""
        masks = {one: self.rows.mask(in_column(one, *names)) for one, names in kinds.items() if names}
        here = self.rows.mask(where)
        return [] if all(np.array_equal(here, mask) for mask in masks.values()) else list(masks)

    def _narrower(self, held: Link, cl_id: str) -> bool:
        """Whether a label says more than its type: "CAF" than fibroblast."""
        own = key_of(held.said)
        return len(own) == 1 and own[0] not in words_of_type(cl_id)


# What an answer says of labels that it does not count: those of no known type, and those of a broader one.
_NOT_COUNTED = (
    "Labels that name no known type are not counted: {}.",
    "Of {} some may be {}, too: the label does not say, and they are not counted.",
)


def _own_words(some: list[Word]) -> list[Word]:
    """Return the words of a name that say more than that it is of cells."""
    return [one for one in some if one.one not in ("cell", "+")]


@cache
def words_of_type(cl_id: str) -> frozenset[str]:
    """Words of all names of a type, in the singular."""
    term = load_ontology().term(cl_id)
    return frozenset(word for name in (term.label, *term.synonyms) for word in key_of(name))


@cache
def _short_for(text: str, own: frozenset[str]) -> bool:
    """Whether a word is short for some of a type's names, as "DCs" is for dendritic cells."""
    short = sum(one.isupper() for one in text) > 1 and text.isalpha()  # "CD8A" is a gene
    found = cell_type(text) if short else None
    return found is not None and set(key_of(load_ontology().term(found).label)) <= {*own, "cell"}
