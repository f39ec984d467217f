"""Queries about genes and types: markers, differences, why a group has its label, what the tables know."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._logging import listed
from ..errors import InputError
from ..explain.expression import InMemory, MeasuredCells
from ..explain.support import evidence_of
from ..knowledge import canonical_phrase, harmonise, load_ontology, markers_for
from ..knowledge.genes import gene_summaries
from ..knowledge.markers import SOURCES, load_markers
from .answer import Result
from .cells import LARGEST_P, LEAST_CHANGE, LEAST_FRACTION, Cells, cell_type
from .query import COMPARE, Query, Where, both, in_column, require
from .say import SIGNS, Speech, capital, number, percent, yes_or_no
from .tables import unnamed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKERS = 5
_MOST_GROUPS = 40
# Markers of a type, and of each of its ancestors, that are tested.
_TESTED, _OF_ANCESTORS = 12, 3
# Doublets: a cluster whose cells have so many times the genes of all, and markers of two others in most of its cells.
_MORE_GENES = 1.3
# Low quality: half the genes of the median cell, or twice the share of mitochondrial counts.
_FEW_GENES, _MUCH_MITO = 0.5, 2.0
RULE = (
    f"expressed by at least {LEAST_FRACTION:.0%} of the cells, by more of them than elsewhere, with {2**LEAST_CHANGE:g}"
    f" times the expression, p < {LARGEST_P} / genes tested"
)


def measured(query: Query, rows: Cells, speech: Speech) -> Result:
    """Say how many genes were measured or are expressed by so many cells, or whether one is among them."""
    require(rows.noun == "cell", f"A {rows.noun} has no genes.")
    if query.check is not None:
        return _measured_in(query, rows, speech, *query.check)
    n, named = len(rows.names), [one.removeprefix("gene:") for one in query.of]
    if not named:
        return Result(f"Genes measured: {n:,}.", pd.DataFrame({"n": [n]}), n)
    table = pd.DataFrame({"group": named, "measured": [one in rows.genes for one in named]})
    there, lost = (table["group"][table["measured"] == one].tolist() for one in (True, False))
    among = f"among the {n:,} genes measured"
    said = f"{_are(there)} {among}{f', {_are(lost)} not' if lost else ''}." if there else f"{_are(lost)} not {among}."
    if query.show == "check":
        return Result(f"{yes_or_no(not lost)}: {said}", table, not lost)
    return Result(said, table, there)


def _are(genes: list[str]) -> str:
    return f"{listed(genes)} {'is' if len(genes) == 1 else 'are'}"


def _measured_in(query: Query, rows: Cells, speech: Speech, sign: str, bound: float) -> Result:
    """Say how many genes are expressed by a share of some cells, or by a number of them."""
    n, _, cells = _totals(query, rows, speech)
    who = speech.who(query.where)
    shares = query.words != "cells"
    fits = COMPARE[sign](cells / n if shares else cells, bound)
    found = int(fits.sum())
    shown = percent(bound) if shares else number(bound)
    text = f"Genes expressed by {SIGNS[sign]} {shown} of {who} ({n:,}): {found:,} of {len(rows.names):,} measured."
    table = pd.DataFrame({"gene": np.asarray(rows.names)[fits], "n": cells[fits], "fraction": cells[fits] / n})
    return Result(f"{text}{speech.remarks(query)}", table, found)


def _totals(query: Query, rows: Cells, speech: Speech) -> tuple[int, NDArray[np.float64], NDArray[np.int64]]:
    """Count some cells; of each gene the sum of its values in them, and how many of them express it."""
    mask = rows.mask(query.where)
    require(mask.any(), f"There are no such cells: {speech.who(query.where)}.")
    return int(mask.sum()), *rows.totals(mask)


def expressed(query: Query, rows: Cells, speech: Speech) -> Result:
    """Name the genes with the highest mean of the matrix in some cells, or expressed by most of them."""
    n, sums, cells = _totals(query, rows, speech)
    table = pd.DataFrame({"gene": rows.names, "mean": sums / n, "n": cells, "fraction": cells / n})
    if query.words == "cells":
        by, unit, head = "n", " cells", "Genes expressed by the most"
    else:
        by, unit, head = "mean", "", "Genes with the highest mean expression,"
    table = table.sort_values([by, "gene"], ascending=[False, True])
    tied = int((table[by] == table[by].max()).sum())
    table = table.head(query.top or max(MARKERS, tied))
    shown = ", ".join(table["gene"] + " (" + table[by].map(number) + f"{unit})")
    value = list(table["gene"][: query.top or tied])
    return Result(f"{head} {speech.who(query.where)}: {shown}; of {n:,} cells.{speech.remarks(query)}", table, value)


# ---------------------------------------------------------------- markers


def markers(query: Query, rows: Cells, speech: Speech) -> Result:
    """Name the genes that set rows, or each group of a column, apart from all others."""
    inside, aside = rows.mask(query.where), ""
    if query.by is not None:
        groups = [
            (name, mask, rows.others(both(query.where, in_column(query.by, name))))
            for name, mask in rows.sizes(query.by, inside)[:_MOST_GROUPS]
        ]
        aside = unnamed(query.by, rows, inside)
    elif query.where is not None:
        groups = [(speech.short(query.where), inside, rows.others(query.where))]
    else:
        require(not rows.whole, "Markers of what? All cells are asked about: there is nothing to compare them with.")
        groups = [("the selected cells", inside, ~inside)]
    require(groups, f"There are no cells to compare: {speech.who(query.where)}.")
    for name, mask, rest in groups:
        require(_two_sets(mask, rest), f"{speech.name(name)} has no cells to compare, or no others.")
    held, said = [], []
    for name, mask, rest in groups:
        held.append(rows.markers(mask, rest).assign(group=name))
        said.append(f"{speech.name(name)}: {_best(held[-1], query, f'of {mask.sum():,} cells', 'of others')}")
    text = f"Genes that mark ({RULE}): {'; '.join(said)}.{aside}{speech.remarks(query)}"
    return Result(text, *_tables(held, query.top))


def _two_sets(inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> bool:
    """Whether there are two sets of cells to compare, that share none."""
    return bool(inside.any() and outside.any() and not (inside & outside).any())


def _best(table: pd.DataFrame, query: Query, here: str, there: str, none: str = "no gene sets them apart") -> str:
    best = table.head(query.top or MARKERS)
    return genes_said(best, here, there) if len(best) else none


def _tables(tables: list[pd.DataFrame], top: int | None) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Put tables of markers together, and list the genes of each, as many as were asked for."""
    whole = pd.concat(tables, ignore_index=True)
    return whole, {str(name): list(held)[:top] for name, held in whole.groupby("group", sort=False)["gene"]}


def genes_said(table: pd.DataFrame, here: str, there: str) -> str:
    """Genes with the shares of cells that express them inside and outside; of the first it is said of which cells."""
    inside, outside = (table[one].map(percent).to_numpy(object) for one in ("fraction_in", "fraction_out"))
    inside[:1] += f" {here}"
    outside[:1] += f" {there}"
    return listed(table["gene"] + " (" + inside + ", " + outside + ")")


def differential(query: Query, rows: Cells, speech: Speech) -> Result:
    """Name the genes that are higher in one set of cells than in the other, both ways."""
    masks = [rows.mask(one) & rows.mask(query.where) for one in query.against]
    two = len(masks) == 2 and _two_sets(*masks)
    require(two, "Genes are compared between two sets of cells that share none, and each needs cells.")
    names = list(map(speech.short, query.against))
    held, said = [], []
    for (here, inside), (there, outside) in permutations(zip(names, masks, strict=True)):
        held.append(rows.markers(inside, outside).assign(group=here))
        best = _best(held[-1], query, f"of {here}", f"of {there}", "no gene clearly")
        said.append(f"higher in {here} than in {there}: {best}")
    among = f"among {speech.who(query.where)}: " if query.where is not None else ""
    return Result(f"{capital(among + '; '.join(said))} ({RULE}).{speech.remarks(query)}", *_tables(held, query.top))


def is_marker(query: Query, rows: Cells, speech: Speech) -> Result:
    """Say whether genes set rows apart, by the same rule as markers."""
    mask, outside = rows.mask(query.where), rows.others(query.where)
    require(_two_sets(mask, outside), "A marker sets some cells apart from others: here one of the two is empty.")
    marking = set(rows.markers(mask, outside)["gene"])
    genes = [rows.names[rows.genes[one.removeprefix("gene:")]] for one in query.of]
    said = []
    for gene, field in zip(genes, query.of, strict=True):
        held = rows.numbers(field) > 0
        inside, elsewhere = percent(held[mask].mean()), percent(held[outside].mean())
        said.append(f"{gene} is expressed by {inside} of {speech.who(query.where)} and {elsewhere} of others")
    table = pd.DataFrame({"gene": query.of, "marker": [gene in marking for gene in genes]})
    text = f"{yes_or_no(table['marker'])}: {'; '.join(said)} (a marker is {RULE}).{speech.remarks(query)}"
    return Result(text, table, bool(table["marker"].all()))


# ---------------------------------------------------------------- quality


def flagged(query: Query, rows: Cells, speech: Speech) -> Result:
    """Name groups whose cells look broken, or like doublets.

    Low quality: the median cell has fewer than half the genes of the median of all, or more than twice the share of
    mitochondrial counts. Doublet-like: the median cell has more than 1.3 times the genes of all, and at least one in
    five cells expresses the best marker of each of two other groups (those that mark these by the rule of markers).
    """
    groups = dict(rows.sizes(query.column, rows.asked))
    values = pd.DataFrame({name: rows.numbers(rows.usual(full)) for name, full in _QUALITY.items()})
    medians = [[name, int(mask.sum()), *values[mask].median()] for name, mask in groups.items()]
    table = pd.DataFrame(medians, columns=["group", "n", *_QUALITY])
    genes, mito = values[rows.asked].median()
    if query.words == "lowq":
        fits = table[(table["genes"] < _FEW_GENES * genes) | (table["mito"] > _MUCH_MITO * mito)]
        rule = (
            f"the median cell has fewer than half the genes of all ({genes:,.0f}), or over twice the share of "
            f"mitochondrial counts ({mito:.2g} %)"
        )
    else:
        many = table[table["genes"] > _MORE_GENES * genes]
        fits = many.loc[[_mixed(name, groups, rows) for name in many["group"]]]
        rule = (
            f"the median cell has over {_MORE_GENES} times the genes of all ({genes:,.0f}), and a fifth of the "
            "cells or more express the best marker of each of two other groups"
        )
    column = speech.name(query.by)
    said = "; ".join(
        f"{column} {speech.name(one.group)}: {one.genes:,.0f} genes, {one.mito:.2g} % mitochondrial, {one.n:,} cells"
        for one in fits.itertuples()
    )
    return Result(f"{said or f'No group of {column}'} (asked: {rule}).", table, list(fits["group"]))


_QUALITY = {"genes": "n_genes_by_counts", "mito": "pct_counts_mt"}


def _mixed(name: str, groups: dict[str, NDArray[np.bool_]], rows: Cells) -> bool:
    """Whether a fifth of a group's cells express the best marker of another group, for two others."""
    mask, whole = groups[name], np.any(list(groups.values()), axis=0)
    others = [(there, whole & ~there & ~mask) for other, there in groups.items() if other != name]
    best = [gene for there, rest in others if rest.any() for gene in rows.markers(there, rest)["gene"].head(1)]
    shares = [(rows.numbers(f"gene:{gene}") > 0)[mask].mean() for gene in best]
    return sum(share >= LEAST_FRACTION for share in shares) > 1


# ---------------------------------------------------------------- what is known


def why(query: Query, rows: Cells, speech: Speech) -> Result:
    """Compare, in a group, the evidence for its label and for the one it might have had.

    The evidence of a label are the genes that the marker tables list for its type; each is supported where it is
    high in the group's cells beside all others by the rule of :mod:`scbioverse.explain`, as in the reasons for labels.
    """
    mask, outside = rows.mask(query.among), rows.others(query.among)
    require(_two_sets(mask, outside), f"There is nothing to compare: {speech.who(query.among)}.")
    said, held, found = [], [], {}
    for one in query.against:
        side = one.parts[0] if one.op == "not" else one
        name, label = speech.short(side), type_of(side)
        require(label, f"The marker tables know no type called {name!r}.")
        table = evidence(str(label), mask, outside, rows)
        require(not table.empty, f"The marker tables list no measured gene for {name}.")
        good, others = table[table["supported"]], table.loc[~table["supported"], "gene"]
        best = genes_said(good.head(4), "of these cells", "of others") or "none"
        lacking = f"; not {listed(others.head(3), 'or')}" if len(others) else ""
        said.append(f"for {name} {len(good)} of {len(table)} known markers are higher here: {best}{lacking}")
        held.append(table.assign(label=name))
        found[name] = good["gene"].tolist()
    text = f"{capital(speech.who(query.among))}: {'; '.join(said)}."
    return Result(text, pd.concat(held, ignore_index=True), found)


def type_of(where: Where) -> str | None:
    """Return the type that a condition names: the term itself, or that of its label."""
    names = [where.said, *map(str, where.values)] if len(where.values) == 1 else [where.said]
    return next(filter(None, (load_ontology().find(one) or cell_type(one) for one in filter(None, names))), None)


def evidence(cl_id: str, mask: NDArray[np.bool_], outside: NDArray[np.bool_], rows: Cells) -> pd.DataFrame:
    """Test the known markers of a type in some cells, by :func:`scbioverse.explain.support.evidence_of`."""
    codes = np.where(mask, 0, np.where(outside, 1, -1))
    matrix = rows.readable()
    try:
        cells = MeasuredCells(matrix, codes=codes)
    except InputError:  # it can be read: no gene of it is known
        return pd.DataFrame()
    groups, labels = InMemory(cells.expression, codes[cells.rows], 2), {"in": cl_id, "out": None}
    return evidence_of(groups, [*labels], labels, max_genes=_TESTED, max_genes_per_ancestor=_OF_ANCESTORS)


def define(query: Query, _: Cells, __: Speech) -> Result:
    """Quote what the Cell Ontology and the marker tables say of a type."""
    term = load_ontology().term(query.words)
    above = ", ".join(map(canonical_phrase, load_ontology().ancestors(query.words)[:3]))
    genes = ", ".join(markers_for(query.words)["gene"][:MARKERS])
    said = [f"{canonical_phrase(query.words)} ({query.words}): {term.definition or term.label}"]
    said += [f"It is a kind of {above}."] if above else []
    said += [f"Marker tables list {genes}."] if genes else []
    return Result(f"{' '.join(said)} (Source: Cell Ontology.)", computed=False)


def about(query: Query, _: Cells, __: Speech) -> Result:
    """Quote what RefSeq says a gene does, and for which types the marker tables list it."""
    table, does = load_markers(), gene_summaries()
    said = []
    for gene in (one.removeprefix("gene:") for one in query.of):
        symbol = harmonise([gene])[0] or gene
        held = table[table["gene"] == symbol].sort_values("weight", ascending=False).head(MARKERS)
        known = symbol in does or not held.empty
        require(known, f"No table here says what {gene} does, and no marker table lists it: nothing is said.")
        said.append(f"{gene}: {does[symbol]} (Source: RefSeq.)" if symbol in does else f"No summary of {gene} is here.")
        if not held.empty:
            sources = ", ".join(sorted({SOURCES[code] for code in "".join(held["sources"])}))
            said.append(f"{gene} is listed as a marker of {listed(map(canonical_phrase, held['cl_id']))} ({sources}).")
    return Result(" ".join(said), computed=False)
