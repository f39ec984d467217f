"""How answers call conditions, fields and numbers; names of the data are shown short and without control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..llm.questions import MAX_NAME_CHARS, bounded
from .properties import properties
from .query import MEASURES
from .values import listed

if TYPE_CHECKING:
    from .query import Query, Where
    from .rows import Rows

_QC = {
    "n_genes_by_counts": "genes detected", "total_counts": "counts", "pct_counts_mt": "mitochondrial counts (%)",
}  # fmt: skip
_WORDS = {"<": "<", "<=": "≤", "=": "=", "!=": "≠", ">=": "≥", ">": ">"}
_MOST = 4


def percent(share: Any) -> str:
    """Per cent with one digit; never "0" or "100" for what is neither."""
    shown = f"{100 * share:.1f}"
    if shown == "0.0" and share > 0:
        return f"{100 * share:.2g} %"
    return f"{100 * share:.6g} %" if shown == "100.0" and share < 1 else f"{shown} %"


def number(value: float) -> str:
    """Show a number with two decimals, or four digits that count; whole numbers whole."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


class Speech:
    """Wording for one data set.

    Parameters
    ----------
    rows
        The data.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.known = {one.field: one for one in reversed(properties(rows.noun))}

    def name(self, name: object) -> str:
        """Show a name of the data."""
        return bounded(name, MAX_NAME_CHARS)

    def column(self, name: str | None) -> str:
        """Show a column's name."""
        return self.name(name)

    def field(self, field: str) -> str:
        """Say what a field measures."""
        kind, _, name = field.partition(":")
        if field in self.known:
            return self.known[field].said
        if kind == "share":
            return f"share of {self.known[f'residue:{name}'].said.removesuffix(' residues')}"
        return {"qc": _QC.get(name, name), "gene": f"expression of {name}"}.get(kind, self.name(name))

    def value(self, field: str, value: float, *, exact: bool = False) -> str:
        """Show a value of a field with its unit."""
        one = self.known.get(field)
        if field.startswith("share:"):
            return percent(value)
        if one is None:
            return number(value)
        decimals = max(one.decimals, 2) if exact and not float(value).is_integer() else one.decimals
        return f"{value:,.{decimals}f} {one.unit}".strip()

    def where(self, where: Where) -> str:
        """Say a condition."""
        if where.op in ("and", "or"):
            return f" {where.op} ".join(
                f"({self.where(one)})" if one.op in ("and", "or") else self.where(one) for one in where.parts
            )
        if where.op == "not":
            return self._not(where.parts[0])
        if where.op == "missing":
            return f"without a value in {self.field(where.field)}"
        if where.said and where.op != "is":
            return where.said
        if where.op == "is":
            return self._is(where)
        kind, _, name = where.field.partition(":")
        one = self.known.get(where.field)
        counted = kind == "gene" or (one is not None and one.counted)
        if counted and where.values == (0,) and where.op in (">", "="):
            has = name if kind == "gene" else one.said if one is not None else name
            if kind == "gene":
                return f"{has} expressed" if where.op == ">" else f"{has} not expressed"
            return f"with {has}" if where.op == ">" else f"without {has}"
        if where.op == "between":
            low, high = (self.value(where.field, float(value)) for value in where.values)
            return f"{self.field(where.field)} from {low} to {high}"
        return f"{self.field(where.field)} {_WORDS[where.op]} {self.value(where.field, float(where.values[0]))}"

    def _not(self, where: Where) -> str:
        said = self.where(where)
        if said.endswith(" expressed") and " " not in said.removesuffix(" expressed"):
            return f"{said.removesuffix('expressed')}not expressed"
        if said.startswith("with ") and not where.parts:
            return f"without {said.removeprefix('with ')}"
        return f"not ({said})" if where.parts else f"not {said}"

    def _is(self, where: Where) -> str:
        column = where.field.removeprefix("obs:")
        values = listed([self.name(one) for one in where.values[:_MOST]], "or")
        if len(where.values) > _MOST:
            values += f" or {len(where.values) - _MOST} more"
        if where.field in ("row", "rule"):
            return where.said or values
        if column in getattr(self.rows, "types", {}):
            return (
                f"labelled {where.said} ({values})"
                if where.said and where.said not in where.values
                else f"labelled {values}"
            )
        return f"{self.name(column)} = {values}"

    def short(self, where: Where) -> str:
        """Name a set of rows that is compared."""
        return where.said or (
            self.name(where.values[0]) if where.op == "is" and len(where.values) == 1 else self.where(where)
        )

    def who(self, *conditions: Where | None) -> str:
        """Name the rows of some conditions."""
        noun = f"{self.rows.noun}s" if self.rows.whole else f"selected {self.rows.noun}s"
        held = [self.where(one) for one in conditions if one is not None]
        return " ".join([noun, ", ".join(held)]) if held else f"all {noun}"

    def what(self, query: Query) -> str:
        """Say what a number is of; it begins an answer."""
        if query.want == "count":
            said = self.who(query.where)
        elif query.want == "fraction":
            said = f"share of {self.who(query.among)}"
            said += f" that are {self.where(query.where)}" if query.where is not None else ""
        elif query.want not in MEASURES:
            said = f"{query.want} {f'of {self.column(query.by)} ' if query.by else ''}among {self.who(query.where)}"
        else:
            called = {"std": "standard deviation", "correlation": "Pearson correlation"}.get(query.want, query.want)
            said = f"{called} of {listed([self.field(one) for one in query.of])}, {self.who(query.where, query.among)}"
        if query.check is not None and query.show == "check" and not query.against and query.check != (">", 0):
            bound = percent(query.check[1]) if query.want == "fraction" else number(query.check[1])
            said += f", asked whether {_WORDS[query.check[0]]} {bound}"
        return said[:1].upper() + said[1:]

    def passed(self, query: Query) -> str:
        """Say what was asked of the number of a group."""
        what, (sign, bound) = self.what(query.model_copy(update={"check": None})), query.check or (">", 0.0)
        what = what[:1].lower() + what[1:]
        if query.want == "count":
            there: dict[tuple[str, float], str] = {(">", 0): "there are", ("=", 0): "there are no"}
            return f"{there.get((sign, bound), f'{_WORDS[sign]} {number(bound)}')} {what.removeprefix('all ')}"
        if (query.want, sign, bound) == ("fraction", ">", 0.5):
            who = f"{self.rows.noun}s{f' that are {self.where(query.among)}' if query.among is not None else ''}"
            return f"more than half of the {who} are {self.where(query.where) if query.where is not None else 'there'}"
        return f"{what} {_WORDS[sign]} {percent(bound) if query.want == 'fraction' else number(bound)}"

    def gap(self, query: Query, value: float) -> str:
        """Show a difference of two numbers."""
        return f"{100 * value:.2f} percentage points" if query.want == "fraction" else number(value)

    def remarks(self, query: Query, rows: Rows) -> str:
        """Say what was left out and what may be read otherwise."""
        conditions = [one for one in (query.where, query.among, *query.against) if one is not None]
        columns = dict.fromkeys(
            leaf.field.removeprefix("obs:") for one in conditions for leaf in one.leaves() if leaf.op == "is"
        )
        if query.by is not None:
            columns[query.by] = None
        said = [rows.groups(one).remark() for one in columns if one in rows.adata.obs]
        for one in conditions:
            said += [
                rows.groups(leaf.field.removeprefix("obs:")).remark(str(value))
                for leaf in one.leaves()
                if leaf.op == "is" and leaf.field.startswith("obs:")
                for value in leaf.values
            ]
        fields = [*query.of, *(leaf.field for one in conditions for leaf in one.leaves())]
        # Named rows, or else all that were looked at, whether they were counted or not.
        chosen = query.against if query.against and query.against[0].field == "row" else ()
        said += rows.cut(fields, np.any([rows.mask(one) for one in chosen], axis=0) if chosen else rows.asked)
        missing = rows.unknown(*conditions)
        if missing:
            said.append(f"Left out for want of a value: {missing:,} {rows.noun}{'s' if missing > 1 else ''}.")
        said = [one for one in dict.fromkeys(said) if one]
        # "May hold several values" is part of the longer remark.
        said = [one for one in said if not any(one != other and one in other for other in said)]
        return "".join(f" {one}" for one in said)
