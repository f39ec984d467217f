"""What each word of a question stands for in this data set: its groups, genes, columns and rows, then closed words."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ..explain.gene_mentions import gene_of
from ..knowledge import load_ontology
from .cells import CELL_NOUN, Cells, cell_type
from .lexicon import COLUMN_WORDS, DEGREES, NEVER_TYPES, ROW_WORDS, SHORT_FORMS, SOFT, closed_words, singular
from .properties import ADJECTIVES, ELEMENTS, MOLECULE, PROTEIN, Property, parts
from .query import Where
from .rows import CLUSTERS
from .values import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rows import Rows

_LONGEST = 14
_TYPE_WORDS = 6
_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"]{1,200}\"|(?<![\w])'[^']{1,200}'(?!\w))|(?P<number>(?<![\w.])[-−+]?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?(?![\w.]*[A-Za-z]))"
    r"|(?P<word>[^\W_]+(?:[.'\u2019][^\W_]+)*)|(?P<sign>[<>=≤≥]=?|\+|%|,|[-−](?=[\s,;.?!)]|$)|/|&|å²|²)"
)  # fmt: skip
_NUMERAL = re.compile(r"[-+]?\d+(?:\.\d+)?")
# Words of a question and the columns of counts, genes and mitochondrial shares that different tools write.
_SHARE = "(pct|percent|perc|fraction|frac|share|reads)"
USUAL: dict[str, tuple[str, tuple[str, ...]]] = {
    "n_genes_by_counts": (r"n_?(genes|features?)(_?by_?counts|_?rna)?", (
        "gene", "n gene", "number of gene", "gene count", "gene per cell", "number of gene detected",
        "number of detected gene", "number of gene per cell",
        "number of expressed gene", "number of gene expressed", "feature", "number of feature", "count of gene",
        "gene number", "number of unique gene",
    )),
    "total_counts": (r"(total|n)_?(counts?|umis?)(_?rna)?|umis?|umi_?counts?|library_?size", (
        "umi", "umi count", "counts", "total count", "transcript", "library size", "sequencing depth", "depth", "read",
        "number of umi", "number of transcript", "number of count", "number of read", "total umi", "total umi count",
        "molecule", "umi per cell", "read count", "transcript count", "count per cell",
    )),
    "pct_counts_mt": (_SHARE + "?_?(counts?_?)?(mt|mito|mitochondrial|mitochondria)_?" + _SHARE + "?", (
        "mitochondrial percentage", "mitochondrial percent", "mitochondrial fraction", "mitochondrial content", "mito",
        "mitochondrial read", "mitochondrial share", "mitochondrial count", "percent mito", "mt percentage", "pct mito",
        "percentage of mitochondrial read", "mitochondrial", "mitochondrial umi", "mito percentage", "mt fraction",
        "fraction of mitochondrial read", "mito content", "mitochondrial transcript", "percent mitochondrial",
        "mt read",
        "proportion of mitochondrial read", "share of mitochondrial read", "mito fraction", "mitochondrial gene",
        "mitochondrial rna", "percentage of mitochondrial count", "mitochondrial proportion", "mito read", "mt content",
        "percentage of mitochondrial transcript", "mitochondrial ratio", "fraction of mitochondrial count",
    )),
}  # fmt: skip
_UNITS: dict[str, dict[str, float]] = {
    "molecule": {"g mol": 1, "g/mol": 1, "da": 1, "dalton": 1, "kda": 1000, "å²": 1, "a2": 1, "å": 1, "angstrom": 1},
    "protein": {"kda": 1, "da": 0.001, "dalton": 0.001},
    "cell": {},
}
# A column of ages, and the words that compare by it.
_AGE = re.compile(r"(donor_?|patient_?)?age(_?(years?|yrs?|in_years))?", re.IGNORECASE)
_AGE_WORDS = {
    "age": ("MEASURE", ""), "aged": ("MEASURE", ""), "older": ("MOREM", "most"), "younger": ("MOREM", "least"),
    "oldest": ("TOPM", "most"), "youngest": ("TOPM", "least"), "year": ("UNIT", ""), "years old": ("UNIT", ""),
    "years of age": ("UNIT", ""),
}  # fmt: skip
# What columns of true and false are called beside what is true of the row.
_FLAG = frozenset(["is", "has", "predicted", "called", "flag"])
_UNIT_FIELDS = {"molecule": "property:weight", "protein": "property:mass"}


@dataclass(frozen=True)
class Link:
    """Words of a question and what they stand for.

    Attributes
    ----------
    role
        What they do, see :mod:`scbioverse.ask.lexicon`; `"WHERE"` a condition, `"FIELD"` what a row may have
        (a gene, an element), `"MEASURE"` a number of a row, `"COLUMN"`, `"ROWS"`, `"ROW"` one by name, `"NUM"`, `"?"`
        what stands for nothing.
    said
        As written.
    value
        A :class:`Where`, a field, a column, a number, or the value of the closed word.
    items
        Of conditions that were listed: each by itself.
    note
        What an answer that rests on it must say.
    """

    role: str
    said: str
    value: Any = None
    items: tuple[Any, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Word:
    text: str
    key: str
    one: str
    quoted: bool = False


def words_of(text: str) -> list[_Word]:
    """Cut a question into words; hyphens and underscores part them, signs of genes are words."""
    found = []
    text = re.sub(r"(?<=\d)\s*[-\u2013]\s*(?=\d)|(?<=[A-Za-z\d+]):(?=[A-Z])", " to ", text)
    for match in _TOKEN.finditer(re.sub(r"(\w+)n['\u2019]t\b", r"\1 not", text).replace("can not", "cannot")):
        said = match[0]
        if match["quoted"]:
            found.append(_Word(said[1:-1], said[1:-1].casefold(), said[1:-1].casefold(), True))
            continue
        said = re.sub(r"['\u2019]s?$", "", said) if match["word"] else said
        key = said.replace(",", "").casefold() if match["number"] else said.casefold()
        found.append(_Word(said, key, singular(key)))
    return found


def key_of(name: str) -> tuple[str, ...]:
    """Words of a name of the data, as a question's are cut."""
    return tuple(one.one for one in words_of(name))


def own_measure(rows: Rows, standard: str) -> str | None:
    """Return the column of `obs` that holds one of the usual numbers of quality, by whatever name."""
    return next((one for one in rows.measures if re.fullmatch(USUAL[standard][0], one, re.IGNORECASE)), None)


class Names:
    """All names of a data set that a question may use; made once for a conversation.

    Parameters
    ----------
    rows
        The data.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.modality = rows, rows.noun
        self._held: dict[tuple[str, ...], list[Link]] = {}
        self._properties = self._all_properties()
        self.fields = {one.field: one for one in self._properties}
        for key, (role, value) in closed_words().items():
            self._add(key, Link(role, " ".join(key), float(value) if role in ("NUM", "HALF") else value))
        self._closed = frozenset(key for key, held in self._held.items() if held[0].role not in SOFT)
        self._name_measures()
        self._name_columns()
        self._name_values()
        for said in ROW_WORDS[self.modality]:
            self._add(key_of(said), Link("ROWS", said))
        self._name_rows()
        # The first words of names, with the number of words of the longest: most places need one look only.
        self._most: dict[str, int] = {}
        for key in self._held:
            self._most[key[0]] = max(len(key), self._most.get(key[0], 0))

    def _add(self, key: Sequence[str], link: Link) -> None:
        if key:
            self._held.setdefault(tuple(key), []).append(link)

    # ---------------------------------------------------------------- names of the data

    def _all_properties(self) -> list[Property]:
        if self.modality == "cell":
            return []
        return [*(MOLECULE if self.modality == "molecule" else PROTEIN), *parts(self.modality)]

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
            for said, (name, sign, number) in ADJECTIVES.items():
                self._add(key_of(said), Link("WHERE", said, Where(op=sign, field=name, values=(number,), said=said)))
            five = Where(op="is", field="rule", values=("rule of five",), said="rule of five kept")
            for said in ("lipinski rule of five", "rule of five", "lipinski rule", "lipinski's rule of five", "ro5"):
                self._add(key_of(said), Link("RULE", said, five))
            self._add(("violate",), Link("LACK", "violate"))
            for said in ("obey", "pass", "follow", "satisfy", "fulfil", "fulfill", "meet", "obeys", "passes"):
                self._add((said,), Link("HAVE", said))
        for word, factor in _UNITS[self.modality].items():
            self._add(key_of(word), Link("UNIT", word, (_UNIT_FIELDS[self.modality], factor)))
        for name in rows.measures:
            self._add(key_of(name), Link("MEASURE", name, f"obs:{name}"))
        ages = [one for one in rows.measures if _AGE.fullmatch(one)] if self.modality == "cell" else []
        for said, (role, order) in _AGE_WORDS.items() if len(ages) == 1 else ():
            field = f"obs:{ages[0]}"
            values: dict[str, Any] = {"MEASURE": field, "UNIT": (field, 1)}
            self._add(key_of(said), Link(role, said, values.get(role, (field, order))))
        for standard, (pattern, words) in USUAL.items() if self.modality == "cell" else ():
            own = [one for one in rows.measures if re.fullmatch(pattern, one, re.IGNORECASE)]
            role, value = "MEASURE" if len(own) < 2 else "TWICE", self.usual(standard)
            for said in words:
                key = tuple(said.split())
                # "Genes" is a word of its own; a rule reads it as the column where a number is compared.
                if key != ("gene",):
                    self._add(key, Link(role, said, value, note=" and ".join(map(repr, own))))

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
            if key not in self._closed and not (set(key) <= set(ROW_WORDS[self.modality])):
                self._add(key, Link("COLUMN", name, name))
            if pd.api.types.is_bool_dtype(self.rows.adata.obs[name]):
                yes = Where(op="is", field=f"obs:{name}", values=("True",), said=name)
                for said in (key, tuple(one for one in key if one not in _FLAG)):
                    self._add(said, Link("WHERE", name, yes))
        for kind, words in COLUMN_WORDS.items() if self.modality == "cell" else ():
            for said in words:
                if columns[kind] is not None and (said == "group" or tuple(said.split()) not in self._held):
                    self._add(tuple(said.split()), Link("COLUMN", said, columns[kind]))

    def _name_values(self) -> None:
        firm = [one for one in (self.rows.groupby, self.rows.slots.label) if one is not None]
        for column in self.rows.columns:
            values = self.rows.groups(column)
            for name in dict.fromkeys([*values.names, *values.wholes]):
                key = key_of(name)
                if _NUMERAL.fullmatch(name.strip()) or len(key) > _LONGEST or key in self._closed or not key:
                    continue
                link = Link("WHERE", name, self.value(column, name), note=values.remark(name))
                before = next((one for one in self._held.get(key, ()) if one.role == "WHERE"), None)
                if before is not None and before.value.field.removeprefix("obs:") in firm:
                    continue
                if before is not None:
                    link = Link("ALSO WHERE", name, link.value)
                self._add(key, link)
                if len(key) == 1 and key[0] in SHORT_FORMS:
                    self._add(tuple(SHORT_FORMS[key[0]].split()), Link("WHERE", name, link.value))

    def value(self, column: str, name: str) -> Where:
        """Return the condition that a row is in a group."""
        return Where(op="is", field=f"obs:{column}", values=(name,))

    def _name_rows(self) -> None:
        for said, rows in getattr(self.rows, "row_names", {}).items():
            key = key_of(said)
            # Names that are also words, elements or numbers are named in quotes, or as "molecule 7".
            if 0 < len(key) <= _LONGEST and key not in self._held and not _NUMERAL.fullmatch(said) and len(said) > 2:
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

    def _subsets(self, words: list[_Word]) -> list[_Word]:
        """Read "CD4/CD8 ratio" as of T cells; where something is expressed these are genes."""
        said = {one.key for one in words}
        if self.modality != "cell" or not said >= {"cd4", "cd8"} or not said & _COMPARING or said & _EXPRESSING:
            return words
        noun = [_Word("T", "t", "t"), _CELL]
        return [one for word in words for one in ([word, *noun] if word.key in ("cd4", "cd8") else [word])]

    def _spelt(self, word: _Word) -> _Word:
        """Return the one word of these data, of their types or of questions that is one slip of the pen away."""
        if not word.key.isalpha() or len(word.key) < _LEAST_SPELT or word.one in self._spellings:
            return word
        near = {one for one in self._spellings if one[0] == word.key[0] and _one_slip(word.one, one)}
        near = {one for one in near if not self._spellings[one] or one[-2:] == word.one[-2:]}
        if len(near) != 1:
            return word
        return _Word(text := near.pop(), text, text)

    @cached_property
    def _spellings(self) -> dict[str, bool]:
        """Words that may be misspelt, and whether it is a word of questions: of these the ending is not guessed at."""
        known = {word: key in self._closed for key in self._held for word in key}
        types = getattr(self.rows, "types", {})
        ids = {cl_id for column in types.values() for cl_id in column.values()}
        above = {one for cl_id in ids for one in (cl_id, *load_ontology().ancestors(cl_id))}
        known |= dict.fromkeys((word for cl_id in above for word in _names_of(cl_id)), False)
        return {word: closed for word, closed in known.items() if word.isalpha() and len(word) >= _LEAST_SPELT - 1}

    def _linked(self, words: list[_Word]) -> list[Link]:
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
            if link.role != "-":
                found.append(link)
            at += n
        # "Other" may be a label; beside a group it says: than these.
        if others and sum(one.role in ("WHERE", "TWICE") for one in found) > 1:
            for i in others:
                found[i] = replace(found[i], role="?")
        return found

    def _at(self, words: list[_Word], at: int, before: str) -> tuple[Link, int]:
        first = words[at]
        if self.modality == "molecule" and first.text in _SYMBOLS and before in _BEFORE_SYMBOLS:
            return Link("FIELD", first.text, f"element:{first.text}"), 1
        if first.quoted:
            return self._quoted(first), 1
        best, n = self._known(words, at) if first.key != "%" else (None, 0)
        if best is not None and best.role == "AFTER" and [one.key for one in words[at + n : at + n + 1]] == ["than"]:
            best, n = self._known(words[: at + 1], at)  # "or more than 5" begins another condition
        typed = (self._shared_noun(words, at, n) or self._type(words, at, n)) if self.modality == "cell" else None
        if typed is not None:
            return typed
        if best is not None:
            # "MAX" and "SET" in capitals are genes where they were measured; "INS" is no plural of "in".
            shouted = n == 1 and first.text.isupper() and len(first.text) > 2 and best.role not in ("WHERE", "COLUMN")
            return (self._gene(first) if shouted else None) or best, n
        if _NUMERAL.fullmatch(first.key.replace("−", "-")):
            return Link("NUM", first.text, float(first.key.replace("−", "-"))), 1
        if first.key == "%":
            return Link("SHARE" if before not in ("NUM", "HALF") else "UNIT", "%", "%"), 1
        if first.key in (",", "&", "/"):
            return Link("COMMA" if first.key == "," else "AND" if first.key == "&" else "OR", first.text), 1
        if first.key in ("+", "-", "−"):
            return Link("POS" if first.key == "+" else "NEG", first.text), 1
        return self._gene(first) or Link("?", first.text), 1

    def _known(self, words: list[_Word], at: int) -> tuple[Link | None, int]:
        first = words[at]
        longest = max(self._most.get(first.key, 0), self._most.get(first.one, 0))
        for n in range(min(longest, len(words) - at), 0, -1):
            some = words[at : at + n]
            if any(one.quoted for one in some):
                continue
            for key in (tuple(one.key for one in some), tuple(one.one for one in some)):
                held = [one for one in self._held.get(key, ()) if self._as_written(one, some)]
                if held:
                    return self._chosen(held, " ".join(one.text for one in some)), n
        return None, 0

    def _as_written(self, link: Link, words: list[_Word]) -> bool:
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

    def _quoted(self, word: _Word) -> Link:
        key = key_of(word.text)
        names = getattr(self.rows, "row_names", {})
        if word.key in names:
            return Link("ROW", word.text, tuple(names[word.key]))
        held = [
            one for one in self._held.get(key, ()) if one.role in ("WHERE", "ALSO WHERE", "COLUMN", "MEASURE", "ROW")
        ]
        if held:
            return self._chosen(held, word.text)
        for column in self.rows.columns:
            if word.text in self.rows.groups(column).names:
                return Link("WHERE", word.text, self.value(column, word.text))
        return Link("?", word.text)

    def _gene(self, word: _Word) -> Link | None:
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

    def _shared_noun(self, words: list[_Word], at: int, known: int) -> tuple[Link, int] | None:
        """Read "CD4 and CD8 T cells", "plasma or dendritic cells", "T nor B": a noun that stands once or nowhere."""
        first, rest = words[at], [one.one for one in words[at + 1 : at + 8]]
        if first.quoted or known > 1 or "cell" in rest[:1] or (first.key,) in self._closed:
            return None
        end = rest.index("cell") if "cell" in rest and rest[0] in _JOINTS else 0
        tails = [words[at + 1 + end - n : at + 2 + end] for n in (2, 1, 0) if n < end]
        if not tails and first.text in ("T", "B"):
            tails = [[_CELL]]
        for tail in tails:
            if any(one.one in NEVER_TYPES for one in tail):
                continue
            made = self._type([first, *tail], 0, len(tail) + 1)
            if made is not None and made[1] == len(tail) + 1:
                return replace(made[0], said=first.text), 1
        return None

    def _type(self, words: list[_Word], at: int, known: int) -> tuple[Link, int] | None:
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
            held = self._known(words, at)[0] if n == known else None
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

    def _type_of(self, some: list[_Word]) -> str | None:
        if any(one.quoted or one.key in NEVER_TYPES for one in some) or some[0].key in ("+", "-", "−", "%"):
            return None
        alone = [one for one in some if one.one not in ("cell", "+", "-", "−")]
        if not alone or (len(some) == 1 and (len(some[0].text) < 4 or (some[0].key,) in self._closed)):
            return None
        last = next(one for one in reversed(some) if one.one not in ("+", "-", "−"))
        if last.one != "cell" and (not CELL_NOUN.search(last.text) or self._gene(last) is not None):
            return None
        # "CD14+ cells" are cells with a gene, whatever type that speaks for.
        if all(self._gene(one) is not None for one in alone):
            return None
        return cell_type(re.sub(r" \+", "+", " ".join(one.text for one in some)))

    def _every_word(self, some: list[_Word], cl_id: str) -> bool:
        """Whether each word stands in a name of the type: what the ontology looks up, it may have passed over."""
        if cl_id == _BLOOD or any(one.key in DEGREES for one in some):
            return False
        own = _names_of(cl_id)
        rest = [one for one in some if one.one not in own and one.one not in ("cell", "+")]
        if not rest:
            return True
        if all(_short_for(one.text, own) for one in rest):
            return True
        # "FCGR3A+ monocytes" where the only label of them is written so.
        rows = cast("Cells", self.rows)
        inside = [rows.kinds(column, cl_id)[0] for column in rows.types]
        return any(len(one) == 1 and {word.one for word in rest} <= set(key_of(one[0])) for one in inside)

    def _elsewhere(self, word: _Word) -> bool:
        """Whether a word of a type is also a group of a column that holds no types, such as a condition "naive"."""
        types = {f"obs:{column}" for column in getattr(self.rows, "types", {})}
        held = [one for key in {word.key, word.one} for one in self._held.get((key,), ())]
        return len(word.text) > 2 and any(
            one.role in ("WHERE", "ALSO WHERE") and one.value.field not in types for one in held
        )

    def _kinds(self, cl_id: str, said: str, held: Link | None, written: set[str]) -> Link | None:
        rows = cast("Cells", self.rows)
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
        if not inside and maybe:
            return Link("TOOFINE", said, cl_id, note=f"{' and '.join(map(repr, maybe[:4]))} in {column!r}")
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


def _one_slip(first: str, second: str) -> bool:
    """Whether two words differ by one letter that is put in, left out, changed or swapped with its neighbour."""
    at = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    a, b = first[at:], second[at:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


@cache
def _names_of(cl_id: str) -> frozenset[str]:
    """Words of all names of a type, in the singular."""
    term = load_ontology().term(cl_id)
    return frozenset(word for name in (term.label, *term.synonyms) for word in key_of(name))


@cache
def _short_for(text: str, own: frozenset[str]) -> bool:
    """Whether a word is short for some of a type's names, as "DCs" is for dendritic cells."""
    short = sum(one.isupper() for one in text) > 1 and text.isalpha()  # "CD8A" is a gene
    found = cell_type(text) if short else None
    return found is not None and set(key_of(load_ontology().term(found).label)) <= {*own, "cell"}


# Words beside which CD4 and CD8 name T cells, and those beside which they are genes.
_COMPARING = frozenset(
    ["ratio", "versus", "vs", "compare", "compared", "distinguish", "distinguishes", "separate", "differ"]
)
_EXPRESSING = frozenset(
    ["t", "cell", "cells", "gene", "genes", "express", "expressed", "expressing", "expression", "level"]
)
_CELL = _Word("cell", "cell", "cell")
_JOINTS = frozenset(["and", "or", "nor", ",", "/"])
_LEAST_SPELT = 6
_BLOOD = "CL:0000081"  # of what is in the blood the ontology has only some beneath it
# "I" and "S" are elements where something is contained.
_SYMBOLS = frozenset(ELEMENTS.values()) - {"F+Cl+Br+I", "H"}
_BEFORE_SYMBOLS = frozenset(
    ["HAVE", "HAVING", "LACK", "LACKING", "AND", "OR", "COMMA", "NOT", "NUM", "BOTH", "NEITHER", "EITHER"]
)
