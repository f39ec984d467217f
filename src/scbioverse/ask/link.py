"""What each word of a question stands for in this data set: its groups, genes, columns and rows, then closed words."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..explain.gene_mentions import gene_of
from .cells import COMPUTED, Cells
from .properties import adjectives, properties, symbols
from .query import Where, in_column
from .rows import CLUSTERS
from .slips import LEAST_SWAPPED, spellings, spelt_anew
from .type_names import TypeNames
from .words import SOFT, Link, Word, closed_words, key_of, named, pick, without, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .rows import Rows

_NUMERAL = re.compile(r"[-+−]?\d+(?:\.\d+)?")
# What stands behind a word that begins a bound: "or more than 5", "and below 5".
_BOUNDED = re.compile(rf"than|{_NUMERAL.pattern}")
_ORDINAL = re.compile(r"([1-9]\d*)(?:st|nd|rd|th)")
# Of a group's name that a noun begins with: "stimulation", "stim".
_LEAST_STEM = 4
_VOWEL = re.compile("[aeiou]")
_SHORTENED = re.compile(r"([A-Za-z])(\d+)")
# Values of closed words that are no texts: of "genes" the field of their number, of "complex" its most.
_VALUES: dict[str, Callable[[str, Rows], Any]] = {
    "NUM": lambda value, _: float(value), "HALF": lambda value, _: float(value), "UNIT": lambda unit, _: (unit, 1.0),
    "GENES": lambda _, rows: rows.usual("n_genes_by_counts"),
    "TOPM": lambda order, rows: (rows.usual("n_genes_by_counts"), order),
}  # fmt: skip
_FIVE = Where(op="is", field="rule", values=("rule of five",), said="rule of five kept")
# A column of ages.
_AGE = re.compile(r"(donor_?|patient_?)?age(_?(years?|yrs?|in_years))?", re.IGNORECASE)
# What the name of a column holds beside what it is of.
_NO_WORDS = frozenset(["id", "ids", "name", "key", "code", "label", "no", "number", "original"])
# What columns of true and false are called beside what is true of the row.
_FLAG = frozenset(["is", "has", "predicted", "called", "flag"])
_NAMES = ("WHERE", "ALSO WHERE")
# "I" and "S" are elements, and "OH" a group, behind words of these roles, before these words, or in a list of such.
_BEFORE_SYMBOLS = frozenset(
    ["HAVE", "HAVING", "LACK", "LACKING", "AND", "OR", "COMMA", "NOT", "NUM", "BOTH", "NEITHER", "EITHER", "NO", "ANY"]
)
_AFTER_SYMBOLS = frozenset(
    ["atom", "group", "moiety", "containing", "bearing", "free", "present", "absent", "missing", "count"]
)
_LISTING = frozenset(["and", "or", ",", "/"])


class Names:
    """All names of a data set that a question may use; made once for a conversation."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.modality = rows, rows.noun
        self._types = TypeNames(self) if isinstance(rows, Cells) else None
        self.held: dict[tuple[str, ...], list[Link]] = defaultdict(list)
        for key, (role, value) in closed_words().items():
            self._add(key, Link(role, " ".join(key), _VALUES.get(role, lambda value, _: value)(value, rows)))
        self._name_data()
        self.closed = frozenset(key for key, held in self.held.items() if held[0].role not in SOFT)
        self._name_properties()
        self._name_measures()
        self._name_columns()
        self._name_values()
        self._name_together()
        self._add_phrases("ROWS", named("@ROWS")[self.modality])
        self._add_phrases("ROWSTOO", [one for one in named("@ROWSTOO")[self.modality] if key_of(one) not in self.held])
        # Names that are also words, elements or numbers are named in quotes, or as "molecule 7".
        for said, found in rows.row_names.items():
            key = key_of(said)
            if key not in self.held and not _NUMERAL.fullmatch(said) and len(said) > 2:
                self._add(key, Link("ROW", said, tuple(found)))
        self._name_hyphened()
        # The first words of names, with the number of words of the longest: most places need one look only.
        self._most: dict[str, int] = {}
        for key in self.held:
            self._most[key[0]] = max(len(key), self._most.get(key[0], 0))

    def _add(self, key: Sequence[str], link: Link) -> None:
        if key:
            self.held[tuple(key)].append(link)

    def _add_phrases(self, role: str, phrases: Sequence[str], value: Any = None) -> None:
        for said in phrases:
            self._add(key_of(said), Link(role, said, value))

    def _name_data(self) -> None:
        """Pass over "in this atlas" and "our data" where no column is called so."""
        parts, called = named("@DATA"), {word for name in self.rows.columns for word in key_of(name)}
        called |= {name.casefold() for column in self.rows.columns for name in self.rows.groups(column).names}
        # "The blood" may be one of several tissues.
        for kind, this in {"noun": parts["this"], "part": parts["this"], "body": ("this",)}.items():
            free = [one for one in parts[kind] if called.isdisjoint(one.split())]
            wholes = [" ".join(some) for some in product(this, free)]
            bare = [one for one in wholes if not one.startswith("the ")]
            role = "-" if kind == "noun" else "HERE"
            self._add_phrases(role, [*bare, *map(" ".join, product(parts["front"], wholes))])

    def _name_hyphened(self) -> None:
        """Name genes that are cut into words as they are written: "HLA-DRA"."""
        for name in self.rows.genes:
            key = key_of(name)
            if "-" in name and len(key) > 1 and key not in self.held and (key[0],) not in self.closed:
                self._add(key, Link("FIELD", name, f"gene:{name}"))

    # ---------------------------------------------------------------- names of the data

    def _name_properties(self) -> None:
        """Name what is computed of molecules and proteins."""
        for one in properties(self.modality):
            nouns = named("@PARTS")["group"] if one.field.startswith("group:") else ()
            for said in (*one.words, *(f"{said} {noun}" for said in one.words for noun in nouns)):
                of_row = said.startswith("how ") or not one.counted
                self._add(key_of(said), Link("MEASURE" if of_row else "FIELD", said, one.field))
            for (role, order), phrases in one.compared.items():
                self._add_phrases(role, phrases, (one.field, order))
        for role, some in named(f"@{self.modality}").items():
            self._add_phrases(role, some, _FIVE if role == "RULE" else None)
        for said, where in adjectives(self.modality).items():
            self._add(key_of(said), Link("WHERE", said, where))
        # "In" and "Be" are words all the same.
        free = {*symbols(f"{self.modality} element").values()} - {"H", "Be", "In"}
        self._symbols = {one: f"element:{one}" for one in free} | symbols(f"{self.modality} group")
        # Amino acids by three letters, as they are written: "his" and "met" are other words.
        residues = map(str.split, symbols(f"{self.modality} residue").values())
        self._letters = {short: letter for letter, short in residues}
        for word, means in symbols(f"{self.modality} unit").items():
            field, factor = means.split(" ")
            self._add(key_of(word), Link("UNIT", word, (field, float(factor))))

    def _name_measures(self) -> None:
        """Name columns of numbers, those of ages and of the usual numbers of quality by other words, too."""
        for name in self.rows.measures:
            self._add(key_of(name), Link("MEASURE", name, f"obs:{name}"))
        if self.modality != "cell":
            return
        for standard in COMPUTED:
            own = self.rows.own(standard)
            link = Link("MEASURE" if len(own) < 2 else "TWICE", standard, self.rows.usual(standard))
            for said in named("@USUAL")[standard]:
                self._add(said.split(), replace(link, note=" and ".join(map(repr, own))))
        if self.age is not None:
            values: dict[str, Any] = {"MEASURE": self.age, "UNIT": (self.age, 1)}
            for head, phrases in named("@AGE").items():
                role, _, order = head.partition(" ")
                self._add_phrases(role, phrases, values.get(role, (self.age, order)))

    @cached_property
    def age(self) -> str | None:
        """Field of ages, where one column of cells holds them."""
        ages = list(filter(_AGE.fullmatch, self.rows.measures))
        return f"obs:{ages[0]}" if len(ages) == 1 and self.modality == "cell" else None

    @cached_property
    def type_column(self) -> str | None:
        """Column whose values are names of cell types."""
        return next(iter(self.rows.types), None)

    @cached_property
    def cluster_column(self) -> str | None:
        """Column of clusters."""
        groupby = self.rows.groupby
        named_so = [one for one in self.rows.columns if CLUSTERS.search(one)]
        own = [groupby] if groupby is not None and groupby not in self.rows.types else []
        return next(iter([*own, *named_so]), groupby)

    def _name_columns(self) -> None:
        """Name columns of groups, and what is true of rows by columns of true and false."""
        for name in self.rows.columns:
            key = key_of(name)
            if key not in self.closed and not set(key) <= set(named("@ROWS")[self.modality]):
                self._add(key, Link("COLUMN", name, name, note=self._beside(name)))
                self._add((*key, "status"), Link("COLUMN", f"{name} status", name))
            if self.modality != "cell":
                self._add_phrases("COLUMN", named("@TABLE").get(" ".join(key), ()), name)
            if pd.api.types.is_bool_dtype(self.rows.adata.obs[name]):
                self._name_flag(name, key)
        self._shorten_columns()
        if self.modality == "cell":
            self._name_kinds_of_columns()

    def _name_kinds_of_columns(self) -> None:
        """Name the column of clusters, that of types and that of the labels found by what they are."""
        label, kind = self.rows.slots.label, self.type_column
        if label in self.rows.columns:
            self._add_phrases("COLUMN", named("@COLUMN")["found"], label)
        columns = {"cluster": self.cluster_column, "group": self.rows.groupby or kind, "type": kind}
        for name, column in columns.items():
            free = [said for said in named("@COLUMN")[name] if said == "group" or tuple(said.split()) not in self.held]
            if column is not None:
                self._add_phrases("COLUMN", free, column)

    def _beside(self, name: str) -> str:
        """Say of a column of types that labels were found, too; none where the rows have one such column."""
        found = self.rows.slots.label
        other = self.modality == "cell" and found in self.rows.columns and name in self.rows.types
        plain = name not in (found, self.rows.groupby)
        return f"Read as the column {name!r}; the labels found are in {found!r}." if other and plain else ""

    def _name_flag(self, name: str, key: tuple[str, ...]) -> None:
        yes = in_column(name, "True", said=name)
        plain = " ".join(one for one in key if one not in _FLAG)
        for said in (" ".join(key), plain):
            self._add(said.split(), Link("WHERE", name, yes))
        no = Link("WHERE", f"not {name}", yes.negated().but(said=f"not {name}"))
        for said in (f"un{plain}", f"not {plain}", *named("@OTHER").get(plain, ())) if plain else ():
            self._add(said.split(), no)

    def _shorten_columns(self) -> None:
        """Call "patient_id" a patient, and a donor, too, where no other column is called so."""
        meant: dict[str, list[str]] = defaultdict(list)
        alike = {word: phrases for phrases in named("@ALIKE").values() for word in phrases}
        for name in self.rows.columns:
            key = [one for one in key_of(name) if one not in _NO_WORDS]
            for said in {" ".join(key), *alike.get(" ".join(key[-1:]), ())} - {""}:
                meant[said].append(name)
        for said, names in meant.items():
            if len(names) == 1 and tuple(said.split()) not in self.held:
                note = f"Read {said!r} as the column {names[0]!r}."
                self._add(said.split(), Link("COLUMN", said, names[0], note=note))

    def _name_values(self) -> None:
        """Name the groups of columns, and what they are short for."""
        for column in self.rows.columns:
            values = self.rows.groups(column)
            for name in dict.fromkeys([*values.names, *values.wholes]):
                key = key_of(name)
                free = key not in self.closed or self._fills(key)
                if free and not _NUMERAL.fullmatch(name.strip()):
                    link = Link("WHERE", name, in_column(column, name), note=values.remark(name))
                    self._name_value(key, link)
                    if column in self.rows.types and len(key) == 2:  # "activated T cells" are labelled "T activated"
                        self._add((*key[::-1], "cell"), link)
                if column.endswith("ing"):  # "current smokers" of the column "smoking"
                    verb, said = column.lower()[:-3], Link("WHERE", name, in_column(column, name))
                    for own in ((*key, f"{verb}er"), (f"{''.join(key[-1:])}ly", f"{verb}e"), (*key, f"{verb}ed")):
                        self._add(own, said)

    def _fills(self, key: tuple[str, ...]) -> bool:
        """Whether a word only fills a sentence, so that a group may be called so: "recovered", "enrolled"."""
        return len("".join(key)) > LEAST_SWAPPED and self.held[key][0].role in ("SEEN", "RECOVERED", "-")

    def _name_together(self) -> None:
        """Name what several groups of a column are together: "cycling" those in S and in G2M."""
        for groups, phrases in named("@TOGETHER").items():
            for column in self.rows.columns:
                values = tuple(groups.split("+"))
                if {*values} <= {*self.rows.groups(column).names}:
                    self._add_phrases("WHERE", phrases, in_column(column, *values))

    def _name_value(self, key: tuple[str, ...], link: Link) -> None:
        before = pick(self.held.get(key, ()), "WHERE")
        if before and before[0].value.column in (self.rows.groupby, self.rows.slots.label):
            return
        self._add(key, link.but("ALSO WHERE") if before else link)
        said = " ".join(key)
        self._add_phrases("PEOPLE", named("@PEOPLE").get(said, ()), link.value)
        for one in named("@SHORT").get(said, ()):
            self._add(one.split(), Link("WHERE", link.said, link.value))
        initials = "".join(one[0] for one in link.said.split())
        if len(initials) > 2 and (initials.lower(),) not in self.held:
            note = f"Read as {link.said!r}."
            self._add([initials.lower()], Link("WHERE", initials.upper(), link.value, note=note))

    def row(self, link: Link) -> Where:
        """Return the condition that a row is one of those that a link names."""
        return Where(op="is", field="row", values=tuple(self.rows.adata.obs_names[list(link.value)]), said=link.said)

    def rows_said(self, link: Link) -> Where | None:
        """Return the condition that a link says of rows: those that it names, or that fulfil it; None of all."""
        if link.role == "ROW":
            return self.row(link)
        return link.value if isinstance(link.value, Where) else None

    # ---------------------------------------------------------------- a question

    def link(self, text: str) -> list[Link]:
        """Link every word of a question, longest names first from each place."""
        return self._spelt_links(words_of(text))

    def _spelt_links(self, words: list[Word]) -> list[Link]:
        """Link words, those that stand for nothing as what they are a slip of the pen for."""
        found = self._linked(words)
        lost = {one.said for one in pick(found, "?")}
        spelt = [spelt_anew(one, self._spellings) if one.text in lost and not one.quoted else one for one in words]
        if spelt == words:
            return found
        # "Singlets" is no slip for "single": it keeps its own word.
        still = {one.said for one in pick(self._linked(spelt), "?")}
        kept = [a if b.text in still else b for a, b in zip(words, spelt, strict=True)]
        read = [f"Read {a.text!r} as {b.text!r}." for a, b in zip(words, kept, strict=True) if a != b]
        first, *rest = self._linked(kept)
        return [replace(first, note=" ".join([*read, first.note]).strip()), *rest]

    @cached_property
    def _spellings(self) -> dict[str, bool]:
        return spellings(self.held, self.closed, {cl_id for one in self.rows.types.values() for cl_id in one.values()})

    def _linked(self, words: list[Word]) -> list[Link]:
        at, found = 0, [Link("", "")]
        while at < len(words):
            link, n = self._at(words, at, found[-1].role)
            before, some = words[at - 1].key if at else "", words[at : at + n]
            if [(one.one, one.quoted) for one in some] == [("other", False)] and link.role in ("WHERE", "TWICE"):
                link = link.but("?")  # it may be a label, or say: than these
            elif before == "non" and link.role == "WHERE" and sum(one.one not in ("cell", "+") for one in some) > 1:
                # Of "non-naive CD4 T cells" it is not said whether they are T cells.
                link = Link("MIXED", f"non-{link.said}")
            elif before == "the" and link.role == "TOP":
                link = replace(link, said=f"the {link.said}")  # "in the most cells", not "in most cells"
            found += without([link], "-")
            at += n
        return found[1:]

    def _at(self, words: list[Word], at: int, before: str) -> tuple[Link, int]:
        """Link the words that begin at a place, behind a word of a role; return how many these are, too."""
        first = words[at]
        if first.text in self._symbols and self._is_symbol(words, at, before):
            n = 1 + (" ".join(one.one for one in words[at + 1 : at + 2]) in ("atom", "group", "moiety"))
            return Link("FIELD", " ".join(one.text for one in words[at : at + n]), self._symbols[first.text]), n
        if first.text in self._letters:
            named = " ".join(one.one for one in words[at + 1 : at + 2]) == "residue"
            return Link("FIELD", first.text, f"residue:{self._letters[first.text]}"), 1 + named
        if first.quoted:
            return self._quoted(first), 1
        best, n = self.known(words, at)
        best, n = self.known(words[: self._end(words, at, n, best, before)], at)
        if best is not None and best.value == ("%", 1.0) and before not in ("NUM", "HALF"):
            return best.but("SHARE"), n  # "the pct of B cells"
        named_so = self._lettered(best, words[at + n : at + n + 1])
        if named_so is not None:
            return named_so, n + 1
        typed = self._types.at(words, at, n) if self._types is not None else None
        if typed is not None:
            return typed
        if best is None:
            return self._unnamed(first, after=before in ("WHEN", "HAVING", "IN")), 1
        # "MAX" and "SET" in capitals are genes where they were measured; "INS" is no plural of "in".
        shouted = n == 1 and first.text.isupper() and len(first.text) > 2 and best.role not in ("WHERE", "COLUMN")
        return (self.gene(first) if shouted else None) or best, n

    def _is_symbol(self, words: list[Word], at: int, before: str) -> bool:
        """Whether letters are meant as an element or a group: "the N atoms", "S present", "Cl or Br"."""
        then, other = [*words[at + 1 : at + 3], *[Word("", "", "")] * 2][:2]
        listed = then.one in _LISTING and other.text in self._symbols and words[at].text != "I"
        counted = before == "COUNT" and then.key in ("do", "does", "in", "are") and words[at].text != "I"
        return before in _BEFORE_SYMBOLS or then.one in _AFTER_SYMBOLS or listed or counted

    def _end(self, words: list[Word], at: int, n: int, best: Link | None, before: str) -> int:
        """Return where a name ends at the latest: some words begin another name."""
        keys = [one.key for one in words]
        if best is not None and best.role == "AFTER" and _BOUNDED.fullmatch("".join(keys[at + n : at + n + 1])):
            return at + 1  # "or more than 5", "and below 5" begin another condition
        if n > 2 and keys[at + n - 2] == "per" and self.known(words, at + n - 1)[1] > 1:
            return at + n - 2  # "umi per cell type" is by type
        if n > 1 and before == "NUM" and keys[at] in ("percent", "pct", "%"):
            return at + 1  # "4 percent mitochondrial counts"
        return len(words)

    def _unnamed(self, word: Word, *, after: bool) -> Link:
        """Link a word that is no name and no word of questions."""
        if _NUMERAL.fullmatch(word.key):
            return Link("NUM", word.text, float(word.key.replace("−", "-")))
        if (ordinal := _ORDINAL.fullmatch(word.key)) is not None:
            return Link("ORD", word.text, ordinal[1])
        adjective = self._types.adjective(word) if self._types is not None else None
        meant = self.gene(word) or self._group_meant(word, after=after) or adjective or self._denied(word)
        return meant or self._in_capitals(word) or Link("?", word.text)

    def _in_capitals(self, word: Word) -> Link | None:
        """Read "dc" as "DC", "gnly" as a gene, "cys" as a residue: without a vowel it is no other word."""
        if _VOWEL.search(word.key):
            return None
        name, letter = word.text.upper(), self._letters.get(word.text.title())
        found = pick(self.held.get((word.key,), ()), "WHERE") if len(word.key) == 2 else []
        if len(word.key) > 2 and name in self.rows.genes:
            found = [Link("FIELD", name, f"gene:{name}")]
        if letter is not None:
            found = [Link("FIELD", word.text, f"residue:{letter}")]
        return replace(found[0], note=f"Read {word.text!r} as {found[0].said!r}.") if found else None

    def _group_meant(self, word: Word, *, after: bool) -> Link | None:
        """Read "D1" as the one group that it is short for, "donor1"; "after stimulation" as "stim"."""
        short = _SHORTENED.fullmatch(word.text)
        names = [(column, name) for column in self.rows.columns for name in self.rows.groups(column).names]
        if short is not None:
            long = re.compile(rf"{short[1]}[a-z]*[ _-]*0*{short[2]}", re.IGNORECASE)
            held = [one for one in names if long.fullmatch(one[1])]
        elif after:
            held = [one for one in names if len(one[1]) >= _LEAST_STEM and word.key.startswith(one[1].casefold())]
        else:
            return None
        if len(held) != 1:
            return None
        return Link("WHERE", word.text, in_column(*held[0]), note=f"Read {word.text!r} as {held[0][1]!r}.")

    def _denied(self, word: Word) -> Link | None:
        """Read "unstimulated" as the other of two groups, one of which is "stimulated"."""
        held = pick(self.held.get((word.key[2:],), ()) if word.key.startswith("un") else (), "WHERE")
        two = held and held[0].value.op == "is" and len(self.rows.groups(held[0].value.column).names) == 2
        return replace(held[0], said=word.text, value=held[0].value.negated()) if two else None

    def _lettered(self, column: Link | None, after: list[Word]) -> Link | None:
        """Read "patient A" where a column of patients has such a group: a letter by itself is no name."""
        text = after[0].text if after else ""
        if column is None or column.role != "COLUMN" or not (text.isalpha() and len(text) < 3):
            return None
        named_so = text in self.rows.groups(column.value).names
        return Link("WHERE", f"{column.said} {text}", in_column(column.value, text)) if named_so else None

    def known(self, words: list[Word], at: int) -> tuple[Link | None, int]:
        """Return what the longest name that begins at a word stands for, and how many words it has."""
        longest = max(self._most.get(words[at].key, 0), self._most.get(words[at].one, 0))
        end = next((i for i in range(at, len(words)) if words[i].quoted), len(words))
        for n in range(min(max(longest, 2), end - at), 0, -1):
            some = words[at : at + n]
            for key in (tuple(one.key for one in some), tuple(one.one for one in some)):
                held = [one for one in self.held.get(key, ()) if _as_written(one, some)]
                if held:
                    return self._chosen(held, " ".join(one.text for one in some)), n
            # "time point", "histone H4": the data may write as one word what a question writes as two.
            whole = pick(self.held.get(("".join(one.key for one in some),), ()), *_NAMES, "COLUMN", "ROW", "MEASURE")
            if n == 2 and whole and (whole[0].role == "ROW" or min(len(one.key) for one in some) > 1):
                return self._chosen(whole, " ".join(one.text for one in some)), n
        return None, 0

    def _chosen(self, held: list[Link], said: str) -> Link:
        """Return what a name stands for that has several meanings."""
        names = pick(held, *_NAMES)
        if not names:
            return replace(held[-1], said=said)
        first, *rest = [self.rows.mask(one.value) for one in names]
        other = [one for one, mask in zip(names[1:], rest, strict=True) if not np.array_equal(mask, first)]
        if other:
            columns = [one.value.column for one in (names[0], *other)]
            return Link("TWICE", said, names[0].value, note=" and ".join(map(repr, columns)))
        return Link("WHERE", said, names[0].value, note=names[0].note)

    def _quoted(self, word: Word) -> Link:
        """Link a name in quotes: of a row, as it stands in the data, or a value of a column."""
        if word.key in self.rows.row_names:
            return Link("ROW", word.text, tuple(self.rows.row_names[word.key]))
        held = pick(self.held.get(key_of(word.text), ()), *_NAMES, "COLUMN", "MEASURE", "ROW")
        if held:
            return self._chosen(held, word.text)
        columns = [one for one in self.rows.columns if word.text in self.rows.groups(one).names]
        return Link("WHERE", word.text, in_column(columns[0], word.text)) if columns else Link("?", word.text)

    def gene(self, word: Word) -> Link | None:
        """Read a word as the name of a gene."""
        text = word.text
        if self.modality != "cell" or len(text) < 2:
            return None
        if text in self.rows.genes:
            return Link("FIELD", text, f"gene:{text}")
        names, sure = gene_of(text)
        if not names or len(text) < 3 or not (sure or text.isupper()):
            return None
        held = [one for one in names if one in self.rows.genes]
        if len(held) > 1:
            return Link("TWICE", text, note=" and ".join(held))
        return Link("FIELD", text, f"gene:{held[0]}") if held else Link("NOGENE", text, names[0])


def _as_written(link: Link, words: list[Word]) -> bool:
    """One or two letters are words, too: as names they are told apart by their case."""
    short = link.role in _NAMES and len(link.said) < 3
    return not short or words[0].text in (link.said, f"{link.said}s")
