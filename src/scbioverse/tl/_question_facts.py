"""Questions whose answer is a number or a list of genes: computed from the data, never written by the model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..explain.claims import Claim, judge
from ..llm.questions import MAX_NAME_CHARS, bounded
from ._question_unread import bounds_or_negates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..explain.claims import Measured
    from ._asked_sequences import AskedSequences
    from ._question_cells import AskedCells
    from ._questions import Question

NOT_ENOUGH = "Not enough evidence in these data to answer that."
MARKERS = 5
# Genes looked at closely: those with the largest difference in the share of cells that express them.
_SHORTLIST = 120
_SHOWN_GROUPS = 8
_SHOWN_ROWS = 50


@dataclass(frozen=True)
class Fact:
    """A computed answer.

    Attributes
    ----------
    text
        Sentences.
    table
        The numbers they rest on.
    """

    text: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)

    def with_remarks(self, remarks: Sequence[str]) -> Fact:
        """Add sentences to the text, each once."""
        new = [one for one in dict.fromkeys(remarks) if one and one not in self.text]
        return replace(self, text=" ".join([self.text, *new])) if new else self


def compute(question: Question, cells: AskedCells) -> Fact:
    """Answer a question of one of the computable kinds."""
    if question.unknown_genes:
        names = listed([bounded(one, MAX_NAME_CHARS) for one in question.unknown_genes])
        return Fact(f"No gene called {names} is known, so nothing can be said about it. {NOT_ENOUGH}")
    if question.genes or question.kind in ("markers", "compare"):
        if cells.no_genes:
            return Fact(f"No gene can be looked at: {cells.no_genes} {NOT_ENOUGH}")
        absent = [gene for gene in question.genes if gene not in cells.genes]
        if absent:
            verb = "was" if len(absent) == 1 else "were"
            return Fact(f"{listed(absent)} {verb} not measured in these data. {NOT_ENOUGH}")
    if question.lost and question.kind in ("count", "fraction", "markers"):
        columns = listed([repr(one) for one in cells.columns]) or "no column of labels"
        return Fact(
            f"No group of these data is called {bounded(question.lost, MAX_NAME_CHARS)!r} ({columns} looked at)."
        )
    unread = listed([repr(bounded(one, MAX_NAME_CHARS)) for one in question.unread[:_SHOWN_GROUPS]])
    if unread and (not (question.groups or question.genes) or bounds_or_negates(question.unread)):
        return Fact(
            f"The question says {unread}, which was not understood: nothing was counted. Groups of cells and genes "
            "that they express can be counted; select other cells first and pass them as cells=, for example "
            "cells=adata.obs['n_genes'] > 500."
        )
    fact = {
        "count": _count,
        "fraction": _fraction,
        "groups": _groups,
        "largest": _largest,
        "markers": _markers,
        "compare": _compare,
        "where": _where,
        "expressed": _expressed,
    }[question.kind](question, cells)
    remarks = [one.remark for one in question.groups]
    if not question.groups and question.kind in ("fraction", "largest", "markers", "where", "expressed"):
        remarks = [cells.remark(question.column)]
    return fact.with_remarks([*remarks, f"Not understood and passed over: {unread}." if unread else ""])


# ---------------------------------------------------------------- numbers of cells


def _count(question: Question, cells: AskedCells) -> Fact:
    if question.genes:
        return _share_of_expressing(question, cells, as_count=True)
    if not question.groups:
        n = int(cells.asked.sum())
        table = pd.DataFrame(
            {"group": ["all" if cells.whole else "selection"], "n": [n], "fraction": [n / len(cells.asked)]}
        )
        where = "There are" if cells.whole else "The selection holds"
        return Fact(f"{where} {_cells(n)}.", table)
    total = int(cells.asked.sum())
    rows = [(one.name, int((one.mask & cells.asked).sum())) for one in question.groups]
    table = pd.DataFrame(rows, columns=["group", "n"])
    table["fraction"] = table["n"] / total
    said = [f"{_cells(n)} {'is' if n == 1 else 'are'} labelled {_name(name)}" for name, n in rows]
    return Fact(f"{listed(said)}, of {_cells(total)} in all.", table)


def _fraction(question: Question, cells: AskedCells) -> Fact:
    if question.genes:
        return _share_of_expressing(question, cells, as_count=False)
    if not question.groups:
        return _largest(question, cells) if question.column else Fact(NOT_ENOUGH)
    total = int(cells.asked.sum())
    rows = [(one.name, int((one.mask & cells.asked).sum())) for one in question.groups]
    table = pd.DataFrame(rows, columns=["group", "n"])
    table["fraction"] = table["n"] / total
    said = [f"{percent(n / total)} of the cells are {_name(name)} ({n} of {total})" for name, n in rows]
    return Fact(f"{listed(said)}.", table)


def _share_of_expressing(question: Question, cells: AskedCells, *, as_count: bool) -> Fact:
    groups = [(_name(one.name), one.mask & cells.asked) for one in question.groups]
    groups = groups or [("all cells" if cells.whole else "the selected cells", cells.asked)]
    rows, said = [], []
    for gene in question.genes:
        for name, mask in groups:
            n, total = cells.expressing(gene, mask)
            share = n / total if total else float("nan")
            rows.append((name, gene, n, total, share))
            who = f"the {name} cells" if question.groups and "cell" not in name.lower() else name
            if as_count:
                which = f"cells labelled {name}" if question.groups else ("cells" if cells.whole else "selected cells")
                said.append(f"{n} of the {total} {which} {'expresses' if n == 1 else 'express'} {gene}")
            else:
                said.append(f"{percent(share)} of {who} ({n} of {total}) express {gene}")
    table = pd.DataFrame(rows, columns=["group", "gene", "n", "n_in", "fraction_in"])
    return Fact(f"{listed(said)}.", table)


def _sizes(column: str | None, cells: AskedCells | AskedSequences) -> pd.DataFrame:
    found = cells.groups_of(column) if column else []
    table = pd.DataFrame([(name, int(mask.sum())) for name, mask in found], columns=["group", "n"])
    # Of the rows that are in a group; a row may be in several.
    table["fraction"] = table["n"] / max(1, int(np.any([mask for _, mask in found], axis=0).sum()) if found else 1)
    return table.sort_values(["n", "group"], ascending=[False, True], kind="stable").reset_index(drop=True)


def _groups(question: Question, cells: AskedCells) -> Fact:
    return groups_fact(question.column, cells)


def groups_fact(column: str | None, cells: AskedCells | AskedSequences) -> Fact:
    """Say which groups a column has, the largest first."""
    table = _sizes(column, cells)
    if table.empty:
        return Fact(f"The data hold no column of groups or labels. {NOT_ENOUGH}")
    shown = [f"{_name(name)} ({n})" for name, n in zip(table["group"][:_SHOWN_GROUPS], table["n"], strict=False)]
    more = f" and {len(table) - _SHOWN_GROUPS} more" if len(table) > _SHOWN_GROUPS else ""
    fact = Fact(f"There are {len(table)} groups in obs[{column!r}]: {', '.join(shown)}{more}.", table)
    return fact.with_remarks([cells.remark(column)])


def _largest(question: Question, cells: AskedCells) -> Fact:
    table = _sizes(question.column, cells)
    if table.empty:
        return Fact(f"The data hold no column of groups or labels. {NOT_ENOUGH}")
    low = any(word in question.text.lower() for word in ("smallest", "rarest", "least"))
    row = table.iloc[-1 if low else 0]
    which = "smallest" if low else "largest"
    share = percent(float(row["fraction"]))
    return Fact(f"The {which} group is {_name(row['group'])} with {_cells(int(row['n']))} ({share}).", table)


# ---------------------------------------------------------------- genes


def _markers(question: Question, cells: AskedCells) -> Fact:
    groups = [(one.name, one.mask & cells.asked) for one in question.groups]
    if not groups and not cells.whole:
        groups = [("the selected cells", cells.asked)]
    elif not groups and question.column:
        groups = cells.groups_of(question.column)[:_SHOWN_GROUPS]
    if not groups:
        return Fact(f"All cells are asked about, so there is nothing to compare them with. {NOT_ENOUGH}")
    tables, said = [], []
    for name, mask in groups:
        table = top_genes(cells, mask, ~mask)
        table.insert(0, "group", name)
        tables.append(table)
        best = table.head(MARKERS)
        verb = "marks" if len(best) == 1 else "mark"
        said.append(f"{genes_said(best)} {verb} {_name(name)}." if len(best) else f"No gene sets {_name(name)} apart.")
    return Fact(" ".join(said), joined(tables))


def _compare(question: Question, cells: AskedCells) -> Fact:
    first, second = question.groups[:2]
    a, b = first.mask & cells.asked, second.mask & cells.asked & ~first.mask
    if not a.any() or not b.any():
        return Fact(f"One of the two groups has no cells of its own. {NOT_ENOUGH}")
    if question.genes:
        measured = _measure(cells, a, question.genes, b)
        table = _table(first.name, measured)
        said = [_compared(gene, one, _name(first.name), _name(second.name)) for gene, one in measured.items()]
        return Fact(" ".join(said), table)
    parts, said = [], []
    for name, other, mask, against in ((first.name, second.name, a, b), (second.name, first.name, b, a)):
        table = top_genes(cells, mask, against)
        table.insert(0, "group", name)
        parts.append(table)
        best = table.head(MARKERS)
        if len(best):
            verb = "is" if len(best) == 1 else "are"
            said.append(f"{genes_said(best, _name(name), _name(other))} {verb} higher in {_name(name)}.")
        else:
            said.append(f"No gene is clearly higher in {_name(name)} than in {_name(other)}.")
    return Fact(" ".join(said), joined(parts))


def _compared(gene: str, one: Measured, name: str, other: str) -> str:
    figures = f"{percent(one.fraction_in)} of {name}, {percent(one.fraction_out)} of {other}, log2 fold change "
    figures += f"{one.log_fold_change:+.1f}"
    if judge(Claim(gene, (gene,), "high", 0), {gene: one})[0] == "supported":
        return f"{gene} is higher in {name} ({figures})."
    if judge(Claim(gene, (gene,), "low", 0), {gene: one})[0] == "supported":
        return f"{gene} is lower in {name} ({figures})."
    return f"{gene} does not clearly differ ({figures})."


def _where(question: Question, cells: AskedCells) -> Fact:
    if not question.column:
        return _share_of_expressing(question, cells, as_count=False)
    rows, said = [], []
    for gene in question.genes:
        shares = []
        for name, mask in cells.groups_of(question.column):
            n, total = cells.expressing(gene, mask)
            shares.append((n / total, name, n, total))
        shares.sort(key=lambda one: (-one[0], one[1]))
        rows += [(name, gene, n, total, share) for share, name, n, total in shares]
        shown = [f"{_name(name)} ({percent(share)})" for share, name, _, _ in shares[:MARKERS]]
        said.append(f"{gene} is expressed most often in {listed(shown)}.")
    return Fact(" ".join(said), pd.DataFrame(rows, columns=["group", "gene", "n", "n_in", "fraction_in"]))


def _expressed(question: Question, cells: AskedCells) -> Fact:
    groups = [(_name(one.name), one.mask & cells.asked) for one in question.groups]
    groups = groups or ([("the selected cells", cells.asked)] if not cells.whole else [])
    if not groups:
        return _where(question, cells)
    tables, said = [], []
    for name, mask in groups:
        measured = _measure(cells, mask, question.genes)
        tables.append(_table(name, measured))
        for gene, one in measured.items():
            share = f"{percent(one.fraction_in)} of the cells in {name}"
            rest = f" and {percent(one.fraction_out)} of all others" if one.n_out else ""
            said.append(f"{gene} is expressed by {share}{rest}.")
    return Fact(" ".join(said), joined(tables))


# ---------------------------------------------------------------- shared


def top_genes(cells: AskedCells, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> pd.DataFrame:
    """Genes that are higher inside than outside by the rules that claims are tested with, the clearest first.

    Ordered by the difference of the fractions that express them times the log2 fold change.
    """
    data = cells.measured
    if data is None or not inside.any() or not outside.any():
        return _table("", {}).drop(columns="group")
    genes = sorted(cells.genes)
    here, there = inside[data.rows], outside[data.rows]
    hits = data.expression.logs(genes)
    hits.data = np.ones_like(hits.data)
    rows = hits.tocsr()
    difference = np.asarray(rows[here].mean(axis=0)).ravel() - np.asarray(rows[there].mean(axis=0)).ravel()
    short = [genes[i] for i in np.argsort(-difference, kind="stable")[:_SHORTLIST] if difference[i] > 0]
    measured = {
        gene: one
        for gene, one in data.measure(inside, short, outside).items()
        if judge(Claim(gene, (gene,), "high", 0), {gene: one})[0] == "supported"
    }
    table = _table("", measured).drop(columns="group")
    strength = (table["fraction_in"] - table["fraction_out"]) * table["log_fold_change"]
    order = np.lexsort((table["gene"].astype(str), -strength))
    return table.iloc[order].head(_SHOWN_ROWS).reset_index(drop=True)


def _measure(
    cells: AskedCells, mask: NDArray[np.bool_], genes: Sequence[str], against: NDArray[np.bool_] | None = None
) -> dict[str, Measured]:
    return {} if cells.measured is None else cells.measured.measure(mask, list(genes), against)


def _table(group: str, measured: dict[str, Measured]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = [
        (group, gene, one.fraction_in, one.fraction_out, one.log_fold_change, one.p_high, one.n_in, one.n_out)
        for gene, one in measured.items()
    ]
    columns = ["group", "gene", "fraction_in", "fraction_out", "log_fold_change", "p_high", "n_in", "n_out"]
    return pd.DataFrame(rows, columns=columns)


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of groups below each other; groups without a gene have an empty one."""
    held = [one for one in tables if len(one)]
    return pd.concat(held, ignore_index=True) if held else tables[0]


def genes_said(table: pd.DataFrame, here: str = "these cells", there: str = "others") -> str:
    """Genes with the fractions of cells that express them inside and outside."""
    said: list[str] = []
    for gene, inside, outside in zip(table["gene"], table["fraction_in"], table["fraction_out"], strict=True):
        words = (f" of {here}", f" of {there}") if not said else ("", "")
        said.append(f"{gene} ({percent(inside)}{words[0]}, {percent(outside)}{words[1]})")
    return listed(said)


def percent(share: float) -> str:
    """Whole per cent, with "<1 %" and ">99 %" where rounding would say none or all."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "<1 %"
    return ">99 %" if whole == 100 and share < 1 else f"{whole} %"


def _cells(n: int) -> str:
    return f"{n} cell" if n == 1 else f"{n} cells"


def _name(name: object) -> str:
    return bounded(name, MAX_NAME_CHARS)


def listed(parts: Sequence[str]) -> str:
    """Join parts by commas, the last by "and"."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
