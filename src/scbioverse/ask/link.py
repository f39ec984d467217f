"""What each word of a question stands for in this data set: its groups, genes, columns and rows, then closed words."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..explain.gene_mentions import gene_of
from ..knowledge import load_ontology
from .cells import Cells
from .lexicon import SOFT, closed_words, named
from .properties import adjectives, properties, symbols
from .query import Where
from .rows import CLUSTERS
from .type_names import CELL, TypeNames, words_of_type
from .words import Link, Word, key_of, one_slip, undoubled, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import Rows

_LONGEST = 14
_NUMERAL = re.compile(r"[-+]?\d+(?:\.\d+)?")
_SHARE = "(pct|percent|perc|fraction|frac|share|reads)"
# The columns of counts, genes and mitochondrial shares, as different tools call them.
USUAL = {
    "n_genes_by_counts": r"n_?(genes|features?)(_?by_?counts|_?rna)?",
    "total_counts": r"(total|n)_?(counts?|umis?)(_?(rna|total))?|umis?|umi_?counts?|library_?size",
    "pct_counts_mt": _SHARE + "?_?(counts?_?)?(mt|mito|mitochondrial|mitochondria)_?" + _SHARE + "?",
}
_SHORTENED = re.compile(r"([A-Za-z])(\d+)")
_UNITS: dict[str, dict[str, float]] = {
    "molecule": {"g mol": 1, "g/mol": 1, "da": 1, "dalton": 1, "kda": 1000, "å²": 1, "a2": 1, "å": 1, "angstrom": 1},
    "protein": {"kda": 1, "da": 0.001, "dalton": 0.001},
    "cell": {},
}
# A column of ages.
_AGE = re.compile(r"(donor_?|patient_?)?age(_?(years?|yrs?|in_years))?", re.IGNORECASE)
# What the name of a column holds beside what it is of.
_NO_WORDS = frozenset(["id", "ids", "name", "key", "code", "label", "no", "number", "original"])
# What columns of true and false are called beside what is true of the row.
_FLAG = frozenset(["is", "has", "predicted", "called", "flag"])
_UNIT_FIELDS = {"molecule": "property:weight", "protein": "property:mass"}


def own_measure(rows: Rows, standard: str) -> str | None:
    """Return the column of `obs` that holds one of the usual numbers of quality, by whatever name."""
    return next((one for one in rows.measures if re.fullmatch(USUAL[standard], one, re.IGNORECASE)), None)


class Names:
    """All names of a data set that a question may use; made once for a conversation.

    Parameters
    ----------
    rows
        The data.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.modality = rows, rows.noun
        self._types = TypeNames(self) if isinstance(rows, Cells) else None
        self.held: dict[tuple[str, ...], list[Link]] = {}
        self._properties = properties(self.modality)
        for key, (role, value) in closed_words().items():
            self._add(key, Link(role, " ".join(key), float(value) if role in ("NUM", "HALF") else value))
        self.closed = frozenset(key for key, held in self.held.items() if held[0].role not in SOFT)
        self._name_measures()
        self._name_columns()
        self._name_values()
        for said in named("@ROWS")[self.modality]:
            self._add(key_of(said), Link("ROWS", said))
        self._name_rows()
        # The first words of names, with the number of words of the longest: most places need one look only.
        self._most: dict[str, int] = {}
        for key in self.held:
            self._most[key[0]] = max(len(key), self._most.get(key[0], 0))

    def _add(self, key: Sequence[str], link: Link) -> None:
        if key:
            self.held.setdefault(tuple(key), []).append(link)

    # ---------------------------------------------------------------- names of the data

    def _name_measures(self) -> None:
        rows = self.rows
        for one in self._properties:
            names = [*one.words, *(f"{said} group" for said in one.words if one.field.startswith("group:"))]
            for said in names:
                self._add(key_of(said), Link("FIELD" if one.counted else "MEASURE", said, one.field))
            for role, sides in (("MOREM", (one.more, one.less)), ("TOPM", (one.most, one.least))):
                for order, some in zip(("most", "least"), sides, strict=True):
                    for said in some:
                        self._add(key_of(said), Link(role, said, (one.field, order)))
            if one.more:
                self._add(("how", key_of(one.more[0])[-1].removesuffix("er").replace("heavi", "heavy")),
                          Link("MEASURE", "how much", one.field))  # fmt: skip
        if self.modality == "molecule":
            for said, where in adjectives().items():
                self._add(key_of(said), Link("WHERE", said, where))
            five = Where(op="is", field="rule", values=("rule of five",), said="rule of five kept")
            for said in ("lipinski rule of five", "rule of five", "lipinski rule", "lipinski's rule of five", "ro5"):
                self._add(key_of(said), Link("RULE", said, five))
            for said in ("violate", "break at least one of", "violate at least one of"):
                self._add(key_of(said), Link("LACK", said))
            for said in ("lipinski's four rule", "lipinski's rule"):
                self._add(key_of(said), Link("RULE", said, five))
            for said in ("obey", "pass", "follow", "satisfy", "fulfil", "fulfill", "meet", "obeys", "passes"):
                self._add((said,), Link("HAVE", said))
        for word, factor in _UNITS[self.modality].items():
            self._add(key_of(word), Link("UNIT", word, (_UNIT_FIELDS[self.modality], factor)))
        for name in rows.measures:
            self._add(key_of(name), Link("MEASURE", name, f"obs:{name}"))
        for head, phrases in named("@AGE").items() if (field := self.age) is not None else ():
            role, _, order = head.partition(" ")
            values: dict[str, Any] = {"MEASURE": field, "UNIT": (field, 1)}
            for said in phrases:
                self._add(key_of(said), Link(role, said, values.get(role, (field, order))))
        for standard, pattern in USUAL.items() if self.modality == "cell" else ():
            own = [one for one in rows.measures if re.fullmatch(pattern, one, re.IGNORECASE)]
            role, value = "MEASURE" if len(own) < 2 else "TWICE", self.usual(standard)
            for said in named("@USUAL")[standard]:
                key = tuple(said.split())
                # "Genes" is a word of its own; a rule reads it as the column where a number is compared.
                if key != ("gene",):
                    self._add(key, Link(role, said, value, note=" and ".join(map(repr, own))))

    @cached_property
    def age(self) -> str | None:
        """Field of ages, where one column holds them."""
        ages = [one for one in self.rows.measures if _AGE.fullmatch(one)] if self.modality == "cell" else []
        return f"obs:{ages[0]}" if len(ages) == 1 else None

    def usual(self, standard: str) -> str:
        """Return the field of one of the usual columns of quality."""
        own = own_measure(self.rows, standard)
        return f"obs:{own}" if own else f"qc:{standard}"

    @property
    def type_column(self) -> str | None:
        """Column whose values are names of cell types."""
        return next(iter(self.rows.types), None) if isinstance(self.rows, Cells) else None

    @property
    def cluster_column(self) -> str | None:
        """Column of clusters."""
        groupby, types = self.rows.groupby, getattr(self.rows, "types", {})
        if groupby is not None and groupby not in types:
            return groupby
        return next((one for one in self.rows.columns if CLUSTERS.search(one)), groupby)

    def _name_columns(self) -> None:
        columns = {
            "cluster": self.cluster_column, "group": self.rows.groupby or self.type_column, "type": self.type_column
        }  # fmt: skip
        for name in self.rows.columns:
            key = key_of(name)
            if key not in self.closed and not (set(key) <= set(named("@ROWS")[self.modality])):
                self._add(key, Link("COLUMN", name, name))
            for said in named("@TABLE").get(" ".join(key), ()) if self.modality != "cell" else ():
                self._add(key_of(said), Link("COLUMN", said, name))
            if pd.api.types.is_bool_dtype(self.rows.adata.obs[name]):
                yes = Where(op="is", field=f"obs:{name}", values=("True",), said=name)
                plain = tuple(one for one in key if one not in _FLAG)
                for words_of_it in (key, plain):
                    self._add(words_of_it, Link("WHERE", name, yes))
                for before in ("un", "not ") if plain else ():
                    self._add(tuple((before + " ".join(plain)).split()), Link("WHERE", f"not {name}", yes.negated()))
        self._shortened_columns()
        for kind, words in named("@COLUMN").items() if self.modality == "cell" else ():
            for text in words:
                if columns[kind] is not None and (text == "group" or tuple(text.split()) not in self.held):
                    self._add(tuple(text.split()), Link("COLUMN", text, columns[kind]))

    def _shortened_columns(self) -> None:
        """Call "patient_id" a patient, and a donor, too, where no other column is called so."""
        meant: dict[str, list[str]] = {}
        for name in self.rows.columns:
            key = tuple(one for one in key_of(name) if one not in _NO_WORDS)
            for said in {" ".join(key)} | next(
                (set(one) for one in named("@ALIKE").values() if key and key[-1] in one), set()
            ):
                meant.setdefault(said, []).append(name)
        for said, names in meant.items():
            key = tuple(said.split())
            if len(names) == 1 and key and key not in self.held:
                self._add(key, Link("COLUMN", said, names[0], note=f"Read {said!r} as the column {names[0]!r}."))

    def _name_values(self) -> None:
        firm = [one for one in (self.rows.groupby, self.rows.slots.label) if one is not None]
        for column in self.rows.columns:
            values = self.rows.groups(column)
            for name in dict.fromkeys([*values.names, *values.wholes]):
                key = key_of(name)
                if _NUMERAL.fullmatch(name.strip()) or len(key) > _LONGEST or key in self.closed or not key:
                    continue
                link = Link("WHERE", name, self.value(column, name), note=values.remark(name))
                before = next((one for one in self.held.get(key, ()) if one.role == "WHERE"), None)
                if before is not None and before.value.field.removeprefix("obs:") in firm:
                    continue
                if before is not None:
                    link = Link("ALSO WHERE", name, link.value)
                self._add(key, link)
                for said in named("@PEOPLE").get(" ".join(key), ()):
                    self._add((said,), Link("PEOPLE", said, link.value))
                short = "".join(one[0] for one in name.split())
                if len(short) > 2 and short.isalpha() and (short.lower(),) not in self.held:
                    self._add((short.lower(),), Link("WHERE", short.upper(), link.value, note=f"Read as {name!r}."))
                for said in named("@SHORT").get(" ".join(key), ()):
                    self._add(tuple(said.split()), Link("WHERE", name, link.value))

    def value(self, column: str, name: str) -> Where:
        """Return the condition that a row is in a group."""
        return Where(op="is", field=f"obs:{column}", values=(name,))

    def row(self, link: Link) -> Where:
        """Return the condition that a row is one of those that a link names."""
        names = tuple(str(self.rows.adata.obs_names[row]) for row in link.value)
        return Where(op="is", field="row", values=names, said=link.said)

    def _name_rows(self) -> None:
        for said, rows in getattr(self.rows, "row_names", {}).items():
            key = key_of(said)
            # Names that are also words, elements or numbers are named in quotes, or as "molecule 7".
            if 0 < len(key) <= _LONGEST and key not in self.held and not _NUMERAL.fullmatch(said) and len(said) > 2:
                self._add(key, Link("ROW", said, tuple(rows)))

    # ---------------------------------------------------------------- a question

    def link(self, text: str) -> list[Link]:
        """Link every word of a question, longest names first from each place."""
        words = self._subsets(words_of(text))
        found = self._linked(words)
        lost = {one.said for one in found if one.role == "?"}
        spelt = [self._spelt(one) if one.text in lost and not one.quoted else one for one in words]
        if spelt == words:
            return found
        read = [f"Read {a.text!r} as {b.text!r}." for a, b in zip(words, spelt, strict=True) if a != b]
        found = self._linked(spelt)
        return [replace(found[0], note=" ".join([*read, found[0].note]).strip()), *found[1:]]

    def _subsets(self, words: list[Word]) -> list[Word]:
        """Read "CD4/CD8 ratio" as of T cells; where something is expressed these are genes."""
        said = {one.key for one in words}
        if self.modality != "cell" or not said >= {"cd4", "cd8"} or not said & _COMPARING or said & _EXPRESSING:
            return words
        noun = [Word("T", "t", "t"), CELL]
        return [one for word in words for one in ([word, *noun] if word.key in ("cd4", "cd8") else [word])]

    def _spelt(self, word: Word) -> Word:
        """Return the one word of these data, of their types or of questions that is one slip of the pen away."""
        if not word.key.isalpha() or len(word.key) < 4 or word.one in self._spellings:
            return word
        near = {one for one in self._spellings if one[0] == word.key[0] and one_slip(word.one, one)}
        if len(word.key) < _LEAST_SPELT:
            # Short names with letters swapped, or one that should stand twice; "dose" is no "does".
            near = {one for one in near if sorted(one) == sorted(word.one) or undoubled(one) == undoubled(word.one)}
            near = {one for one in near if not self._spellings[one]}
        near = {one for one in near if not self._spellings[one] or one[-2:] == word.one[-2:]}
        if len(near) != 1:
            return word
        return Word(text := near.pop(), text, text)

    @cached_property
    def _spellings(self) -> dict[str, bool]:
        """Words that may be misspelt, and whether it is a word of questions: of these the ending is not guessed at."""
        known: dict[str, bool] = {}
        for key, links in self.held.items():
            for word in key if links[0].role not in SOFT and links[0].value != "aside" else ():
                known[word] = known.get(word, True) and key in self.closed
        types = getattr(self.rows, "types", {})
        ids = {cl_id for column in types.values() for cl_id in column.values()}
        above = {one for cl_id in ids for one in (cl_id, *load_ontology().ancestors(cl_id))}
        known |= dict.fromkeys((word for cl_id in above for word in words_of_type(cl_id)), False)
        return {word: closed for word, closed in known.items() if word.isalpha() and len(word) > 3}

    def _linked(self, words: list[Word]) -> list[Link]:
        at = 0
        found: list[Link] = []
        others: list[int] = []
        while at < len(words):
            link, n = self._at(words, at, found[-1].role if found else "")
            other = words[at].one == "other" and n == 1 and not words[at].quoted
            if other and link.role in ("WHERE", "TWICE"):
                others.append(len(found))
                if at + 1 == len(words) or words[at + 1].one != "cell":
                    link = replace(link, role="?")
            # Of "non-naive CD4 T cells" it is not said whether they are T cells.
            content = [one for one in words[at : at + n] if one.one not in ("cell", "+")]
            if at and words[at - 1].key == "non" and len(content) > 1 and link.role == "WHERE":
                link = Link("MIXED", f"non-{link.said}")
            if link.role == "TOP" and at and words[at - 1].key == "the":
                link = replace(link, said=f"the {link.said}")  # "in the most cells", not "in most cells"
            if link.role != "-":
                found.append(link)
            at += n
        # "Other" may be a label; beside a group it says: than these.
        if others and sum(one.role in ("WHERE", "TWICE") for one in found) > 1:
            for i in others:
                found[i] = replace(found[i], role="?")
        return found

    def _at(self, words: list[Word], at: int, before: str) -> tuple[Link, int]:
        first = words[at]
        if self.modality == "molecule" and first.text in _SYMBOLS and before in _BEFORE_SYMBOLS:
            return Link("FIELD", first.text, f"element:{first.text}"), 1
        if first.quoted:
            return self._quoted(first), 1
        best, n = self.known(words, at)
        if best is not None and (best.role, best.value) == ("UNIT", "%") and before not in ("NUM", "HALF"):
            return replace(best, role="SHARE"), n  # "the pct of B cells"
        if best is not None and best.role == "AFTER" and [one.key for one in words[at + n : at + n + 1]] == ["than"]:
            best, n = self.known(words[: at + 1], at)  # "or more than 5" begins another condition
        if n > 2 and words[at + n - 2].key == "per" and self.known(words, at + n - 1)[1] > 1:
            best, n = self.known(words[: at + n - 2], at)  # "umi per cell type" is by type
        if n > 1 and before == "NUM" and first.key in ("percent", "pct"):
            best, n = self.known(words[: at + 1], at)  # "4 percent mitochondrial counts"
        lettered = self._lettered(best, words[at + n : at + n + 1])
        if lettered is not None:
            return lettered, n + 1
        typed = self._types.at(words, at, n) if self._types is not None else None
        if typed is not None:
            return typed
        if best is not None:
            # "MAX" and "SET" in capitals are genes where they were measured; "INS" is no plural of "in".
            shouted = n == 1 and first.text.isupper() and len(first.text) > 2 and best.role not in ("WHERE", "COLUMN")
            return (self.gene(first) if shouted else None) or best, n
        if _NUMERAL.fullmatch(first.key.replace("−", "-")):
            return Link("NUM", first.text, float(first.key.replace("−", "-"))), 1
        if first.key in (",", "&", "/"):
            return Link("COMMA" if first.key == "," else "AND" if first.key == "&" else "OR", first.text), 1
        if first.key in ("+", "-", "−"):
            return Link("POS" if first.key == "+" else "NEG", first.text), 1
        adjective = self._types.adjective(first) if self._types is not None else None
        return self.gene(first) or self._shortened(first) or adjective or Link("?", first.text), 1

    def _lettered(self, column: Link | None, after: list[Word]) -> Link | None:
        """Read "patient A" where a column of patients has such a group: a letter by itself is no name."""
        text = after[0].text if after else ""
        if column is None or column.role != "COLUMN" or len(text) > 2 or not text.isalpha():
            return None
        named = text in self.rows.groups(column.value).names
        return Link("WHERE", f"{column.said} {text}", self.value(column.value, text)) if named else None

    def _shortened(self, word: Word) -> Link | None:
        """Read "D1" as the one group that it is short for, "donor1"."""
        found = _SHORTENED.fullmatch(word.text)
        if found is None:
            return None
        meant = re.compile(rf"{found[1]}[a-z]*[ _-]*0*{found[2]}", re.IGNORECASE)
        held = [
            (one, name) for one in self.rows.columns for name in self.rows.groups(one).names if meant.fullmatch(name)
        ]
        if len(held) != 1:
            return None
        return Link("WHERE", word.text, self.value(*held[0]), note=f"Read {word.text!r} as {held[0][1]!r}.")

    def known(self, words: list[Word], at: int) -> tuple[Link | None, int]:
        """Return what the longest name that begins at a word stands for, and how many words it has."""
        first = words[at]
        longest = max(self._most.get(first.key, 0), self._most.get(first.one, 0))
        for n in range(min(longest, len(words) - at), 0, -1):
            some = words[at : at + n]
            if any(one.quoted for one in some):
                continue
            for key in (tuple(one.key for one in some), tuple(one.one for one in some)):
                held = [one for one in self.held.get(key, ()) if self._as_written(one, some)]
                if held:
                    return self._chosen(held, " ".join(one.text for one in some)), n
        return None, 0

    def _as_written(self, link: Link, words: list[Word]) -> bool:
        """One or two letters are words, too: as names they are told apart by their case."""
        if link.role not in ("WHERE", "ALSO WHERE") or len(link.said) > 2 or len(words) > 1:
            return True
        return words[0].text in (link.said, f"{link.said}s")

    def _chosen(self, held: list[Link], said: str) -> Link:
        names = [one for one in held if one.role in ("WHERE", "ALSO WHERE")]
        if not names:
            return Link(held[-1].role, said, held[-1].value, note=held[-1].note)
        masks = [self.rows.mask(one.value) for one in names]
        other = [one for one, mask in zip(names, masks, strict=True) if not np.array_equal(mask, masks[0])]
        if other and any(one.role == "ALSO WHERE" for one in names):
            columns = [one.value.field.removeprefix("obs:") for one in (names[0], *other)]
            return Link("TWICE", said, names[0].value, note=" and ".join(map(repr, columns)))
        return Link("WHERE", said, names[0].value, note=names[0].note)

    def _quoted(self, word: Word) -> Link:
        key = key_of(word.text)
        names = getattr(self.rows, "row_names", {})
        if word.key in names:
            return Link("ROW", word.text, tuple(names[word.key]))
        held = [
            one for one in self.held.get(key, ()) if one.role in ("WHERE", "ALSO WHERE", "COLUMN", "MEASURE", "ROW")
        ]
        if held:
            return self._chosen(held, word.text)
        for column in self.rows.columns:
            if word.text in self.rows.groups(column).names:
                return Link("WHERE", word.text, self.value(column, word.text))
        return Link("?", word.text)

    def gene(self, word: Word) -> Link | None:
        """Read a word as the name of a gene."""
        if not isinstance(self.rows, Cells):
            return None
        genes = self.rows.genes
        shouted = sum(one.isupper() or one.isdigit() for one in word.text) > 1
        if word.text in genes and (shouted or len(word.text) > 2):
            return Link("FIELD", word.text, f"gene:{word.text}")
        names, sure = gene_of(word.text)
        if not names or not (sure or word.text.isupper()) or len(word.text) < 3:
            return None
        held = [one for one in names if one in genes]
        if len(held) > 1:
            return Link("TWICE", word.text, note=" and ".join(held))
        return Link("FIELD", word.text, f"gene:{held[0]}") if held else Link("NOGENE", word.text, names[0])


# Words beside which CD4 and CD8 name T cells, and those beside which they are genes.
_COMPARING = frozenset(
    ["ratio", "versus", "vs", "compare", "compared", "distinguish", "distinguishes", "separate", "differ"]
)
_EXPRESSING = frozenset(
    ["t", "cell", "cells", "gene", "genes", "express", "expressed", "expressing", "expression", "level"]
)
_LEAST_SPELT = 6
# "I" and "S" are elements where something is contained.
_SYMBOLS = frozenset(symbols("element").values()) - {"F+Cl+Br+I", "H"}
_BEFORE_SYMBOLS = frozenset(
    ["HAVE", "HAVING", "LACK", "LACKING", "AND", "OR", "COMMA", "NOT", "NUM", "BOTH", "NEITHER", "EITHER"]
)
