"""Queries about genes and types: markers, differences, why a group has its label, what the tables know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InputError
from ..explain.sample import MeasuredCells
from ..explain.support import group_evidence
from ..knowledge import canonical_phrase, harmonise, load_ontology, markers_for
from ..knowledge.genes import gene_summaries
from ..knowledge.markers import SOURCES, load_markers
from .cells import LARGEST_P, LEAST_CHANGE, LEAST_FRACTION, Cells, cell_type
from .query import Query, Refusal, Where
from .result import Result, table_of
from .say import Speech, percent
from .tables import unnamed
from .values import listed

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


def measured(query: Query, rows: Cells, __: Speech) -> Result | Refusal:
    """Say how many genes were measured."""
    if rows.noun != "cell":
        return Refusal(text=f"A {rows.noun} has no genes.")
    n = len(rows.names)
    if query.show == "check":
        return Result(f"No: {query.words} is not among the {n:,} genes measured.", table_of(["n"], [(n,)]), False)
    return Result(f"Genes measured: {n:,}.", table_of(["n"], [(n,)]), n)


def markers(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Name the genes that set rows, or each group of a column, apart from all others."""
    if query.by is not None:
        named = rows.sizes(query.by, rows.mask(query.where))[:_MOST_GROUPS]
        groups = [(name, mask, _others(name, query.by, query.where, rows)) for name, mask in named]
    elif query.where is None and rows.whole:
        return Refusal(
            text="Markers of what? All cells are asked about, so that there is nothing to compare them with."
        )
    else:
        name = speech.short(query.where) if query.where is not None else "the selected cells"
        groups = [(name, rows.mask(query.where), rows.others(query.where))]
    if not groups:
        return Refusal(text=f"There are no cells {speech.where(query.where) if query.where else ''} to compare.")
    tables, said = [], []
    for name, mask, outside in groups:
        if not mask.any() or not outside.any():
            return Refusal(text=f"{speech.name(name)} has no cells to compare, or no others.")
        table = rows.markers(mask, outside)
        tables.append(table.assign(group=name))
        best = table.head(query.top or MARKERS)
        shown = (
            genes_said(best, f"of {int(mask.sum()):,} cells", "of others") if len(best) else "no gene sets them apart"
        )
        said.append(f"{speech.name(name)}: {shown}")
    aside = unnamed(query.by, rows, rows.mask(query.where)) if query.by is not None else ""
    return Result(
        f"Genes that mark ({RULE}): {'; '.join(said)}.{aside}{speech.remarks(query, rows)}",
        *_tables(tables),
    )


def _tables(tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Put tables of markers together, and list the genes of each."""
    whole = pd.concat(tables, ignore_index=True)
    return whole, {str(name): list(held) for name, held in whole.groupby("group", sort=False)["gene"]}


def _others(name: str, column: str, where: Where | None, rows: Cells) -> NDArray[np.bool_]:
    """Cells known not to be in a group, or known not to fulfil a condition."""
    values = rows.groups(column)
    elsewhere = (values.codes >= 0) & ~values.mask(name)
    return elsewhere if where is None else elsewhere | rows.others(where)


def genes_said(table: pd.DataFrame, here: str, there: str) -> str:
    """Genes with the shares of cells that express them inside and outside."""
    said = []
    for i, one in enumerate(table.itertuples()):
        words = (f" {here}", f" {there}") if i == 0 else ("", "")
        said.append(f"{one.gene} ({percent(one.fraction_in)}{words[0]}, {percent(one.fraction_out)}{words[1]})")
    return listed(said)


def differential(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Name the genes that are higher in one set of cells than in the other, both ways."""
    masks = [rows.mask(one) for one in query.against]
    if len(masks) != 2 or (masks[0] & masks[1]).any() or not (masks[0].any() and masks[1].any()):
        return Refusal(text="Genes are compared between two sets of cells that share none, and each needs cells.")
    names = [speech.short(one) for one in query.against]
    tables, said = [], []
    for first, second in ((0, 1), (1, 0)):
        table = rows.markers(masks[first], masks[second])
        tables.append(table.assign(group=names[first]))
        best = table.head(query.top or MARKERS)
        shown = genes_said(best, f"of {names[first]}", f"of {names[second]}") if len(best) else "no gene clearly"
        said.append(f"higher in {names[first]} than in {names[second]}: {shown}")
    text = "; ".join(said)
    return Result(f"{text[:1].upper()}{text[1:]} ({RULE}).{speech.remarks(query, rows)}", *_tables(tables))


def is_marker(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Say whether genes set rows apart, by the same rule as markers."""
    mask, outside = rows.mask(query.where), rows.others(query.where)
    if not mask.any() or not outside.any():
        return Refusal(text="A marker sets some cells apart from others: here one of the two is empty.")
    table = rows.markers(mask, outside).set_index("gene")
    said, held = [], []
    for one in query.of:
        gene = rows.names[rows.genes[one.removeprefix("gene:")]]
        values = rows.numbers(one) > 0
        held.append(gene in table.index)
        said.append(
            f"{gene} is expressed by {percent(float(values[mask].mean()))} of {speech.who(query.where)} and "
            f"{percent(float(values[outside].mean()))} of others"
        )
    word = "Yes" if all(held) else "No" if not any(held) else "Not all"
    return Result(
        f"{word}: {'; '.join(said)} (a marker is {RULE}).{speech.remarks(query, rows)}",
        table_of(["gene", "marker"], list(zip(query.of, held, strict=True))),
        all(held),
    )


# ---------------------------------------------------------------- quality


def flagged(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Name groups whose cells look broken, or like doublets.

    Low quality: the median cell has fewer than half the genes of the median of all, or more than twice the share of
    mitochondrial counts. Doublet-like: the median cell has more than 1.3 times the genes of all, and at least one in
    five cells expresses the best marker of each of two other groups (those that mark these by the rule of markers).
    """
    groups = rows.sizes(query.by or "", rows.asked)
    genes, mito = (rows.numbers(_field(rows, name)) for name in ("n_genes_by_counts", "pct_counts_mt"))
    of_all = np.nanmedian(genes[rows.asked]), np.nanmedian(mito[rows.asked])
    table = table_of(
        ["group", "n", "genes", "mito"],
        [(name, int(mask.sum()), np.nanmedian(genes[mask]), np.nanmedian(mito[mask])) for name, mask in groups],
    )
    if query.words == "lowq":
        fits = table[(table["genes"] < _FEW_GENES * of_all[0]) | (table["mito"] > _MUCH_MITO * of_all[1])]
        rule = (
            f"the median cell has fewer than half the genes of all ({of_all[0]:,.0f}), or over twice the share of "
            f"mitochondrial counts ({of_all[1]:.2g} %)"
        )
    else:
        fits = table[
            (table["genes"] > _MORE_GENES * of_all[0]) & table["group"].map(lambda name: _mixed(name, groups, rows))
        ]
        rule = (
            f"the median cell has over {_MORE_GENES} times the genes of all ({of_all[0]:,.0f}), and a fifth of the "
            "cells or more express the best marker of each of two other groups"
        )
    column = speech.column(query.by)
    said = "; ".join(
        f"{column} {speech.name(one.group)}: {one.genes:,.0f} genes, {one.mito:.2g} % mitochondrial, {one.n:,} cells"
        for one in fits.itertuples()
    )
    return Result(f"{said if len(fits) else f'No group of {column}'} (asked: {rule}).", table, list(fits["group"]))


def _field(rows: Cells, standard: str) -> str:
    from .link import own_measure

    own = own_measure(rows, standard)
    return f"obs:{own}" if own else f"qc:{standard}"


def _mixed(name: str, groups: list[tuple[str, NDArray[np.bool_]]], rows: Cells) -> bool:
    mask = dict(groups)[name]
    shares = []
    for other, there in groups:
        if other == name:
            continue
        rest = np.any([one for _, one in groups], axis=0) & ~there & ~mask
        best: list[str] = list(rows.markers(there, rest).head(1)["gene"]) if rest.any() else []
        shares += [float((rows.numbers(f"gene:{gene}") > 0)[mask].mean()) for gene in best]
    return sum(share >= LEAST_FRACTION for share in shares) > 1


# ---------------------------------------------------------------- what is known


def why(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Compare, in a group, the evidence for its label and for the one it might have had.

    The evidence of a label are the genes that the marker tables list for its type; each is supported where it is
    high in the group's cells beside all others by the rule of :mod:`scbioverse.explain`, as in the reasons for labels.
    """
    mask = rows.mask(query.among)
    outside = rows.others(query.among)
    if not mask.any() or not outside.any():
        return Refusal(text=f"There is nothing to compare: {speech.who(query.among)}.")
    said, tables = [], []
    for side in (one.parts[0] if one.op == "not" else one for one in query.against):
        label = type_of(side)
        if label is None:
            return Refusal(text=f"The marker tables know no type called {speech.short(side)!r}.")
        table = evidence(label, mask, outside, rows)
        if table.empty:
            return Refusal(text=f"The marker tables list no measured gene for {speech.short(side)}.")
        good = table[table["supported"]]
        best = genes_said(good.head(4), "of these cells", "of others") if len(good) else "none"
        against = table[~table["supported"]]["gene"].head(3)
        lacking = f"; not {listed(list(against), 'or')}" if len(against) else ""
        said.append(
            f"for {speech.short(side)} {len(good)} of {len(table)} known markers are higher here: {best}{lacking}"
        )
        tables.append(table.assign(label=speech.short(side)))
    return Result(
        f"{speech.who(query.among)[:1].upper()}{speech.who(query.among)[1:]}: {'; '.join(said)}.",
        pd.concat(tables, ignore_index=True),
    )


def type_of(where: Where) -> str | None:
    """Return the type that a condition names: the term itself, or that of its label."""
    known = load_ontology().find(where.said) or cell_type(where.said) if where.said else None
    return known or (cell_type(str(where.values[0])) if len(where.values) == 1 else None)


def evidence(cl_id: str, mask: NDArray[np.bool_], outside: NDArray[np.bool_], rows: Cells) -> pd.DataFrame:
    """Test the known markers of a type in some cells, by :func:`scbioverse.explain.support.group_evidence`."""
    codes = np.where(mask, 0, np.where(outside, 1, -1))
    matrix = rows.readable()
    try:
        cells = MeasuredCells(matrix, codes=codes)
    except InputError:  # it can be read: no gene of it is known
        return pd.DataFrame()
    groups = pd.Categorical.from_codes(codes[cells.rows], pd.Index(["in", "out"]))
    labels = {"in": cl_id, "out": None}
    return group_evidence(cells.expression, (), groups, labels, max_genes=_TESTED, max_genes_per_ancestor=_OF_ANCESTORS)


def define(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Quote what the Cell Ontology and the marker tables say of a type."""
    term = load_ontology().term(query.words)
    above = [canonical_phrase(one) for one in load_ontology().ancestors(query.words)][:3]
    genes = list(markers_for(query.words)["gene"][:MARKERS])
    said = [f"{canonical_phrase(query.words)} ({query.words}): {term.definition or term.label}"]
    said += [f"It is a kind of {', '.join(above)}."] if above else []
    said += [f"Marker tables list {', '.join(genes)}."] if genes else []
    return Result(f"{' '.join(said)} (Source: Cell Ontology.)", computed=False)


def about(query: Query, rows: Cells, speech: Speech) -> Result | Refusal:
    """Quote what RefSeq says a gene does, and for which types the marker tables list it."""
    table, does = load_markers(), gene_summaries()
    said = []
    for gene in (one.removeprefix("gene:") for one in query.of):
        symbol = harmonise([gene])[0] or gene
        held = table[table["gene"] == symbol].sort_values("weight", ascending=False).head(MARKERS)
        if symbol not in does and held.empty:
            return Refusal(text=f"No table here says what {gene} does, and no marker table lists it: nothing is said.")
        said.append(f"{gene}: {does[symbol]} (Source: RefSeq.)" if symbol in does else f"No summary of {gene} is here.")
        if not held.empty:
            sources = sorted({SOURCES[code] for codes in held["sources"] for code in codes})
            types = [canonical_phrase(one) for one in held["cl_id"]]
            said.append(f"{gene} is listed as a marker of {listed(types)} ({', '.join(sources)}).")
    return Result(" ".join(said), computed=False)
