"""What a question asks for: its kind, the groups and the genes it names. Read by rules, not by a model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from ..explain.gene_mentions import gene_mentions
from ..knowledge import load_ontology, resolve_label
from ..knowledge.ontology import fold
from ._column_values import SHORT, ColumnValues, is_list, read_values
from ._question_unread import bounds_or_negates, unread_of_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

Kind = Literal[
    "count", "fraction", "groups", "largest", "markers", "compare", "where", "expressed",
    "definition", "identity", "lineage", "tissue", "open",
]  # fmt: skip
COMPUTED: frozenset[Kind] = frozenset(
    ["count", "fraction", "groups", "largest", "markers", "compare", "where", "expressed"]
)
# A column with more values names cells, not groups.
MOST_GROUPS = 500
_WINDOW = 6
_BETWEEN = re.compile(r"[\s_-]+")
_PEEK = 1000  # rows looked at for lists
_FOLLOW_UP = re.compile(r"^\W*(?:and|what about|how about|also|now)\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Named:
    """A group of cells that a question names.

    Attributes
    ----------
    name
        As the data call it, or as the question does where it joins several.
    column
        Column of `obs`.
    mask
        bool (n_obs,): its cells.
    remark
        What an answer that counts them says of the column, `""` where a row is in one group.
    """

    name: str
    column: str
    mask: NDArray[np.bool_]
    remark: str = ""


@dataclass(frozen=True, eq=False)
class Question:
    """A question as it was read.

    Attributes
    ----------
    text
        What was asked.
    kind
        What it asks for.
    groups
        Groups it names, in order.
    genes
        Approved symbols it names, in order; of a family the first measured one.
    unknown_genes
        Names like genes that no table knows.
    column
        Column of `obs` whose groups are meant where the question names none.
    term
        Cell Ontology id, where a definition is asked for.
    lost
        Words that stand where a group would and match none, or `""`.
    unread
        Of a question that counts cells: other words that were not understood.
    """

    text: str
    kind: Kind
    groups: tuple[Named, ...]
    genes: tuple[str, ...]
    unknown_genes: tuple[str, ...]
    column: str | None
    term: str | None = None
    lost: str = ""
    unread: tuple[str, ...] = ()


def read_question(
    text: str, adata: AnnData, columns: Sequence[str], measured: frozenset[str], *, before: Question | None = None
) -> Question:
    """Read a question.

    Parameters
    ----------
    text
        One bounded line of readable characters.
    adata
        The data.
    columns
        Columns of `obs` whose groups it may name, the most likely first.
    measured
        Symbols of the genes in the data.
    before
        The question before, from which a follow-up ("and in NK cells?") takes what it leaves out.
    """
    groups, rest, lost = find_groups(text, adata, columns)
    mentions = gene_mentions(rest, names=[one.name for one in groups])
    genes, unknown = [], []
    for one in mentions:
        present = [gene for gene in one.genes if gene in measured]
        if one.genes:
            genes.append((present or list(one.genes))[0])
        else:
            unknown.append(one.said)
    genes = list(dict.fromkeys(genes))
    kind = _kind(text, rest, len(groups), bool(genes or unknown))
    if before is not None and _FOLLOW_UP.match(text) and kind in ("open", "identity"):
        kind = before.kind
        groups = groups or list(before.groups)
        genes = genes or ([] if unknown else list(before.genes))
    term = _term(text) if kind == "definition" else None
    if kind == "definition" and term is None:
        kind = "open"
    lost = "" if groups else (lost or _lost(rest))
    column = groups[0].column if groups else (columns[0] if columns else None)
    unread = unread_of_cells(rest, [one.said for one in mentions], columns)
    if kind not in ("count", "fraction"):
        # "How many cells are in cluster 9" asks for groups where no group is called 9.
        unread = tuple(one for one in unread if kind == "groups" and bounds_or_negates([one]))
    return Question(text, kind, tuple(groups), tuple(genes), tuple(unknown), column, term, lost, unread)


def group_columns(adata: AnnData, groupby: str | None, label: str) -> list[str]:
    """Columns whose groups a question may name: `groupby`, the model's label, then any other with few values."""
    first = [name for name in (groupby, label) if name is not None and name in adata.obs]
    rest = []
    for name in adata.obs.columns:
        column = adata.obs[name]
        if name in first or pd.api.types.is_float_dtype(column) or pd.api.types.is_integer_dtype(column):
            continue
        if (isinstance(column.dtype, pd.CategoricalDtype) and len(column.cat.categories) <= MOST_GROUPS) or (
            column.dtype == object and any(map(is_list, column.head(_PEEK)))
        ):
            rest.append(str(name))
    return [*first, *rest]


def column_values(adata: AnnData, column: str) -> ColumnValues:
    """Read the groups of a column of `obs`; a row may be in several."""
    return read_values(adata.obs[column], column)


def find_groups(
    text: str, adata: AnnData, columns: Sequence[str], values_of: Callable[[str], ColumnValues] | None = None
) -> tuple[list[Named], str, str]:
    """Find the groups that a text names, the text without them, and a cell type that it names and the data lack.

    `values_of` gives the groups of a column where they were read before.
    """
    held = {column: values_of(column) if values_of else column_values(adata, column) for column in columns}
    taken = np.zeros(len(text), dtype=bool)
    found = [(start, one) for start, end, one in group_spans(text, held, taken)]
    more, lost = _by_meaning(text, held, taken)
    rest = "".join(" " if hidden else c for c, hidden in zip(text, taken, strict=True))
    return [one for _, one in sorted([*found, *more], key=lambda pair: pair[0])], rest, lost


def group_spans(text: str, held: Mapping[str, ColumnValues], taken: NDArray[np.bool_]) -> list[tuple[int, int, Named]]:
    """Where a text names groups, outside what is taken; their places are taken then. Longer names come first."""
    found = []
    small = text.casefold()
    for column, values in held.items():
        for name in sorted({*values.names, *values.wholes}, key=lambda one: (-len(one), one)):
            # Cheaper than a pattern, of which there may be thousands.
            first = _BETWEEN.split(name.strip(), maxsplit=1)[0].casefold()
            span = _find_name(text, name, column, taken) if first in small else None
            if span is None or not (mask := values.mask(*values.spellings(name))).any():
                continue
            taken[span[0] : span[1]] = True
            found.append((*span, Named(name, column, mask, values.remark(name))))
    return found


def _find_name(text: str, name: str, column: str, taken: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Where a group's name stands in a text, whole, in the plural or not, outside what is taken."""
    if not name.strip() or len(name) > 200:
        return None
    words = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", name.strip()))
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", name):
        pattern, flags = rf"(?:cluster|group|leiden|louvain|{re.escape(column)})s?\s*#?(?P<name>{words})", re.IGNORECASE
    elif len(name) < SHORT:
        # One or two letters are words, too: only as they are written, before "cells" or in quotes.
        pattern, flags = rf"(?P<name>{words})(?=[\s-]+cells?\b|[\"'])", re.NOFLAG
    else:
        plural = "" if name.endswith("s") else "s?"
        pattern, flags = rf"(?P<name>{words}{plural})", re.IGNORECASE
    for match in re.finditer(rf"(?<![\w+]){pattern}(?![\w+])", text, flags):
        if not taken[match.start() : match.end()].any():
            start, end = match.span("name")
            # "B cells": the word behind belongs to the name of a group called "B".
            tail = re.match(r"[\s-]+cells?\b", text[end:]) if "cell" not in name.lower() else None
            return start, end + (tail.end() if tail else 0)
    return None


def _by_meaning(
    text: str, held: dict[str, ColumnValues], taken: NDArray[np.bool_]
) -> tuple[list[tuple[int, Named]], str]:
    """Find groups whose names mean what the text says, or a kind of it: "T cells" for "CD4 T" and "CD8 T"."""
    ontology = load_ontology()
    words = list(re.finditer(r"[\w+-]+", text))
    found: list[tuple[int, Named]] = []
    at, lost = 0, ""
    while at < len(words):
        sizes = range(min(_WINDOW, len(words) - at), 0, -1)
        size = next((n for n in sizes if _free(words[at : at + n], taken) and _resolved(text, words[at : at + n])), 0)
        if not size:
            at += 1
            continue
        window = words[at : at + size]
        cl_id = _resolved(text, window)
        start, end = window[0].start(), window[-1].end()
        for column, values in held.items():
            inside = [
                one
                for one in values.names
                if (known := resolve_label(one).cl_id) and (known == cl_id or ontology.is_ancestor(cl_id, known))
            ]
            mask = values.mask(*inside)
            if mask.any():
                taken[start:end] = True
                name = inside[0] if len(inside) == 1 else text[start:end]
                found.append((start, Named(name, column, mask, values.remark())))
                break
        else:
            lost = lost or text[start:end]
        at += size
    return found, lost


def named_types(text: str) -> list[str]:
    """Cell Ontology ids of the cell types that a text names, longest names first from each place."""
    words = list(re.finditer(r"[\w+-]+", text))
    found, at = [], 0
    while at < len(words):
        sizes = range(min(_WINDOW, len(words) - at), 0, -1)
        size, cl_id = next(((n, one) for n in sizes if (one := _resolved(text, words[at : at + n]))), (1, ""))
        found += [cl_id] if cl_id else []
        at += size
    return found


def _free(window: Sequence[re.Match[str]], taken: NDArray[np.bool_]) -> bool:
    return not taken[window[0].start() : window[-1].end()].any()


def _resolved(text: str, window: Sequence[re.Match[str]]) -> str:
    said = text[window[0].start() : window[-1].end()]
    if window[0][0].lower() in _PLAIN | _LINKS or window[-1][0].lower() in (_PLAIN | _LINKS) - {"cell", "cells"}:
        return ""
    # A single word such as "cells" or "genes" names no group; "monocytes" does.
    if len(said) < 4 or fold(said) in {"cell", "cells", "gene", "genes", "group", "groups", "cluster", "clusters"}:
        return ""
    resolution = resolve_label(said)
    if resolution.cl_id is None or resolution.how not in ("exact", "synonym"):
        return ""
    return resolution.cl_id


def _kind(text: str, rest: str, n_groups: int, gene: bool) -> Kind:
    said = " ".join(text.lower().split())

    def has(pattern: str) -> bool:
        return re.search(pattern, said) is not None

    groups = r"(?:groups?|clusters?|(?:cell )?types?|labels?|populations?)"
    if has(r"\bhow many\b|\bnumber of\b|\bcount (?:of|the)\b|\bhow large\b|\bhow big\b"):
        return (
            "groups" if not gene and n_groups == 0 and has(rf"(?:how many|number of)\b[\w\s]*\b{groups}\b") else "count"
        )
    if has(r"\b(?:fraction|percent(?:age)?|share|proportion)\b|\bhow (?:common|frequent|rare|abundant)\b|%"):
        return "fraction"
    if has(r"\b(?:largest|biggest|smallest|rarest|most (?:common|abundant|frequent)|least (?:common|abundant))\b"):
        return "largest"
    if n_groups > 1 and has(
        r"\bcompare|\bdiffer|\bversus\b|\bvs\b|\bdistinguish|\bbetween\b|\bthan\b|\bcontrast|\bfrom\b"
    ):
        return "compare"
    if has(
        r"\b(?:which|what|top|list|name|best|show)\b[\w\s]*\b(?:genes?|markers?)\b"
        r"|\bmarkers? (?:genes? )?(?:of|for|in)\b"
    ):
        return "markers"
    if gene and has(
        r"\bexpress|\bhigh|\blow\b|\bpositive|\bdetected|\bfound\b|\bpresent\b|\bon\b|\bshow|\bhave\b|\bmark"
    ):
        return (
            "where"
            if n_groups == 0 and has(rf"\bwhere\b|\b(?:which|what)\b[\w\s]*\b(?:{groups}|cells?)\b")
            else "expressed"
        )
    if has(
        rf"\b(?:which|what|list)\b[\w\s]*\b{groups}\b[\w\s]*\b(?:are there|there are|present|in (?:these|the|this))\b"
    ):
        return "groups"
    if has(r"\blineage\b|\bdevelops? from\b|\bderived? from\b|\bkind of cell\b|\bbroader\b"):
        return "lineage"
    if has(r"\btissue\b|\borgan\b|\bwhere in the body\b"):
        return "tissue"
    if re.match(r"(?:what is|what's|what are|define|definition of|describe|explain what)\b", said) and not has(
        r"\b(?:these|this|those|cluster|group|selection|it|they)\b"
    ):
        return "definition"
    if has(
        rf"\bwhat\b[\w\s]*\b(?:cells?|{groups}|is|are)\b|\bidentify\b|\bwho are\b|\bannotate\b|\bwhy\b"
        r"|\bname (?:these|this)\b"
        rf"|\bwhich (?:cell )?types?\b"
    ) and not _content(rest):
        return "identity"
    return "open"


# Words of a question that carry nothing to look up.
_PLAIN = frozenset(
    re.findall(
        r"\w+",
        "a an and annotate any are as at be best by call called cell cells cluster clusters could describe did do does "
        "for from group groups has have how i identify in is it kind label labels like likely me most name of on or "
        "please population populations probably say sort tell that the their them there these they this those to type "
        "types was were what which who why will with would you your looks look here data selected selection",
    )
)

_LINKS = frozenset(["and", "or", "than", "vs", "versus", "between", "with", "not", "compare", "compared", "express"])


def _content(text: str) -> list[str]:
    """Words that carry the question, lower case, without numbers."""
    return [word for word in re.findall(r"[a-z][a-z-]+", text.lower()) if word not in _PLAIN]


def content_stems(text: str) -> list[str]:
    """Beginnings of the words that carry a question: "antibodies" to "antibod"."""
    stems = [re.sub(r"(?:ies|ing|ed|es|ion|ions|s|y|e)$", "", word) for word in _content(text)]
    return list(dict.fromkeys(stem for stem in stems if len(stem) > 2))


def _term(text: str) -> str | None:
    match = re.match(
        r"\W*(?:what is|what's|what are|define|definition of|describe|explain what)\s+(?:an?\s+|the\s+)?(?P<term>.+?)"
        r"(?:\s+is|\s+are)?\W*$",
        text,
        re.IGNORECASE,
    )
    if not match:
        return None
    resolution = resolve_label(match["term"])
    return resolution.cl_id if resolution.how in ("exact", "synonym", "id", "rule") else None


def _lost(rest: str) -> str:
    """Words between "how many" (or "of", "in") and "cells" that name a type which the data do not have."""
    match = re.search(
        r"(?:how many|number of|of|in|mark|marks|define)\s+(?:the\s+)?((?:[\w+-]+\s+){1,4}cells?)\b", rest, re.I
    )
    if not match:
        return ""
    said = match[1].strip()
    words = [word for word in said.lower().split() if word not in _PLAIN]
    return said if words and not re.search(r"\b(?:express|there|all|these|those|this|other)", said.lower()) else ""
