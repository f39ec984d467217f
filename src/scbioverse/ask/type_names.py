"""Names of cell types in a question: the types of the Cell Ontology, and which labels of the data are kinds of them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np

from ..knowledge import load_ontology
from .cells import CELL_NOUN, Cells, cell_type
from .lexicon import DEGREES, NEVER_TYPES
from .query import Where
from .values import listed
from .words import Link, Word, key_of

_TYPE_WORDS = 6
CELL = Word("cell", "cell", "cell")
_JOINTS = frozenset(["and", "or", "nor", ",", "/", "to", "than", "vs", "versus"])
_BLOOD = "CL:0000081"  # of what is in the blood the ontology has only some beneath it
_MALIGNANT = "CL:0001064"


class TypeNames:
    """Reads names of cell types among the words of a question.

    Parameters
    ----------
    names
        The other names of the data, a :class:`scbioverse.ask.link.Names`.
    """

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
        if first.quoted or known > 1 or "cell" in rest[:1] or (first.key,) in self.names.closed:
            return None
        alone = self.names.known(words, at)[0]
        if alone is not None and alone.role == "WHERE":  # "NK and CD8 T cells" are no NK T cells
            return None
        end = rest.index("cell") if "cell" in rest and rest[0] in _JOINTS else 0
        if NEVER_TYPES & set(rest[1:end]) - _JOINTS:  # "NK or in CD8 T cells"
            end = 0
        tails = [words[at + 1 + end - n : at + 2 + end] for n in (2, 1, 0) if n < end]
        if not tails and first.text in ("T", "B"):
            tails = [[CELL]]
        for tail in tails:
            if any(one.one in NEVER_TYPES for one in tail):
                continue
            made = self._type([first, *tail], 0, len(tail) + 1)
            if made is not None and made[1] == len(tail) + 1:
                return replace(made[0], said=first.text), 1
        return None

    def _type(self, words: list[Word], at: int, known: int) -> tuple[Link, int] | None:
        """Read the longest name of a cell type that begins here and is no shorter than what is known."""
        for n in range(min(_TYPE_WORDS, len(words) - at), max(known, 1) - 1, -1):
            some = words[at : at + n]
            # "Non-B lymphocytes" are lymphocytes and no B cells: "non" goes with the first word, if that is no cell.
            if n > 1 and at and words[at - 1].key == "non" and some[-1].one != "cell":
                continue
            cl_id = self._type_of(some)
            if cl_id is None or not self._every_word(some, cl_id):
                continue
            said = " ".join(one.text for one in some)
            held = self.names.known(words, at)[0] if n == known else None
            if (
                held is None
                and sum(one.one not in ("cell", "+") for one in some) > 1
                and any(map(self._elsewhere, some))
            ):
                return Link("MIXED", said), n
            if held is not None and held.role not in ("WHERE", "?"):
                return None
            link = self._kinds(cl_id, said, held, {one.text for one in some})
            return (link, n) if link is not None else None
        return None

    def _type_of(self, some: list[Word]) -> str | None:
        if any(one.quoted or one.key in NEVER_TYPES for one in some) or some[0].key in ("+", "-", "−", "%"):
            return None
        alone = [one for one in some if one.one not in ("cell", "+", "-", "−")]
        if not alone or (len(some) == 1 and (len(some[0].text) < 4 or (some[0].key,) in self.names.closed)):
            return None
        last = next(one for one in reversed(some) if one.one not in ("+", "-", "−"))
        if last.one != "cell" and (not CELL_NOUN.search(last.text) or self.names.gene(last) is not None):
            return None
        # "CD14+ cells" are cells with a gene, whatever type that speaks for.
        if all(self.names.gene(one) is not None for one in alone):
            return None
        return cell_type(re.sub(r" \+", "+", " ".join(one.text for one in some)))

    def _every_word(self, some: list[Word], cl_id: str) -> bool:
        """Whether each word stands in a name of the type: what the ontology looks up, it may have passed over."""
        if cl_id == _BLOOD or any(one.key in DEGREES for one in some):
            return False
        own = words_of_type(cl_id)
        rest = [one for one in some if one.one not in own and one.one not in ("cell", "+")]
        if not rest:
            return True
        if all(_short_for(one.text, own) for one in rest):
            return True
        # "FCGR3A+ monocytes" where the only label of them is written so.
        rows = self.rows
        inside = [rows.kinds(column, cl_id)[0] for column in rows.types]
        return any(len(one) == 1 and {word.one for word in rest} <= set(key_of(one[0])) for one in inside)

    def _elsewhere(self, word: Word) -> bool:
        """Whether a word of a type is also a group of a column that holds no types, such as a condition "naive"."""
        types = {f"obs:{column}" for column in getattr(self.rows, "types", {})}
        held = [one for key in {word.key, word.one} for one in self.names.held.get((key,), ())]
        return len(word.text) > 2 and any(
            one.role in ("WHERE", "ALSO WHERE") and one.value.field not in types for one in held
        )

    def _kinds(self, cl_id: str, said: str, held: Link | None, written: set[str]) -> Link | None:
        rows = self.rows
        if not rows.types:
            return Link("NOTYPES", said, cl_id)
        found = {column: rows.kinds(column, cl_id) for column in rows.types}
        first = next(iter(found))
        firm = first in (rows.groupby, rows.slots.label)
        column = first if firm and found[first][0] else next((one for one in found if found[one][0]), first)
        inside, maybe = found[column]
        # "B" and "b" may be two groups: the one that is written so is meant.
        exact = {one.casefold() for one in inside if one in written}
        inside = [one for one in inside if one in written or one.casefold() not in exact]
        term = load_ontology().term(cl_id).label
        if held is not None and held.value.field != f"obs:{column}":
            return held
        own = key_of(held.said) if held is not None else ()
        if held is not None and len(own) == 1 and not set(own) & words_of_type(cl_id):
            return held  # a label such as "CAF" says more than its type, fibroblast
        # A label that is the beginning of the word: "Eryth" of "erythrocytes".
        begun = [one for one in maybe if len(one) > 3 and said.casefold().startswith(one.casefold())]
        if not inside and begun == maybe:
            inside, maybe = begun, []
        if not inside and maybe:
            return Link("TOOFINE", said, cl_id, note=f"{' and '.join(map(repr, maybe[:4]))} in {column!r}")
        if not inside and cl_id == _MALIGNANT:
            # Labels of types do not say which cells are: none called so does not mean that there are none.
            return Link("TOOFINE", said, cl_id, note=f"the cells in {column!r}")
        where = Where(
            op="is", field=f"obs:{column}", values=tuple(inside) or (term,), said="" if len(inside) == 1 else term
        )
        unread = rows.unread(column)
        words = set(key_of(said)) - {"cell"}
        alike = [one for one in unread if words & set(key_of(one))]
        if alike:
            return Link("TOOFINE", said, cl_id, note=f"{listed(map(repr, alike[:4]))} in {column!r}")
        note = ""
        if maybe:
            some = listed(map(repr, maybe[:4]))
            note = f"Of {some} some may be {term}, too: the label does not say, and they are not counted."
        elif unread:
            note = f"Labels that name no known type are not counted: {listed(map(repr, unread[:4]))}."
        others = [one for one in found if found[one][0] and one != column] if not firm else []
        if any(
            not np.array_equal(
                rows.mask(where), rows.mask(Where(op="is", field=f"obs:{one}", values=tuple(found[one][0])))
            )
            for one in others
        ):
            return Link("TWICE", said, where, note=" and ".join(map(repr, [column, *others])))
        return Link("WHERE", said, where, items=(cl_id,), note=note)


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
