"""How answers call conditions, fields and numbers; names of the data are shown short and without control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._logging import bounded, listed
from ..llm.prompts import MAX_NAME_CHARS
from .properties import properties
from .query import FIELDS

if TYPE_CHECKING:
    from .query import Query, Where
    from .rows import Rows

_QC = {
    "n_genes_by_counts": "genes detected", "total_counts": "counts", "pct_counts_mt": "mitochondrial counts (%)",
}  # fmt: skip
SIGNS = {"<": "<", "<=": "≤", "=": "=", "!=": "≠", ">=": "≥", ">": ">"}
_CALLED = {"std": "standard deviation", "correlation": "Pearson correlation"}
_THERE: dict[tuple[str, float], str] = {(">", 0): "there are", ("=", 0): "there are no"}
_SOME = {">": "with", "=": "without"}
_EXPRESSED = {">": "expressed", "=": "not expressed"}
# What shows values of genes, or compares by them: on which scale these are is said.
_VALUED = {*FIELDS, "value", "list"} - {"correlation"}
_MOST = 4


def percent(share: Any) -> str:
    """Per cent with one digit; never "0" or "100" for what is neither."""
    shown = f"{100 * share:.1f}"
    if shown == "0.0" and share > 0:
        return f"{100 * share:.2g} %"
    return f"{100 * share:.6g} %" if shown == "100.0" and share < 1 else f"{shown} %"


def number(value: float) -> str:
    """Show a number with two decimals, or four digits that count; whole numbers whole."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"


def capital(text: str) -> str:
    """Begin with a capital letter, and leave the others as they are."""
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """Begin with a small letter, and leave the others as they are."""
    return text[:1].lower() + text[1:]


def more(n: int, shown: int, joint: str = " and") -> str:
    """Say how many of some things are not shown; `""` where all are."""
    return f"{joint} {n - shown} more" if n > shown else ""


def yes_or_no(holds: Any) -> str:
    """Say yes where something, or all of several, holds, no where none does."""
    return "Yes" if np.all(holds) else "Not all" if np.any(holds) else "No"


class Speech:
    """Wording for one data set."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.known = {one.field: one for one in reversed(properties(rows.noun))}

    def name(self, name: object) -> str:
        """Show a name of the data."""
        return bounded(name, MAX_NAME_CHARS)

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
        if field.startswith("share:"):
            return percent(value)
        one = self.known.get(field)
        if one is None:
            return number(value)
        decimals = max(one.decimals, 2 * exact * (not float(value).is_integer()))
        return f"{value:,.{decimals}f} {one.unit}".strip()

    def where(self, where: Where) -> str:
        """Say a condition."""
        match where.op:
            case "not":
                return self._not(where.parts[0])
            case "and" | "or":
                return f" {where.op} ".join(map(self._part, where.parts))
            case "missing":
                return f"without a value in {self.field(where.field)}"
            case "is":
                return self._is(where)
        return where.said or self._number(where)

    def _part(self, where: Where) -> str:
        return f"({self.where(where)})" if where.op in ("and", "or") else self.where(where)

    def _number(self, where: Where) -> str:
        counted = where.field in self.known and self.known[where.field].counted
        # Of what is counted a row has some or none.
        if where.values == (0,) and where.op in _SOME:
            if where.field.startswith("gene:"):
                return f"{where.gene} {_EXPRESSED[where.op]}"
            if counted:
                return f"{_SOME[where.op]} {self.field(where.field)}"
        values = [self.value(where.field, float(value)) for value in where.values]
        sign = "from" if where.op == "between" else SIGNS[where.op]
        return f"{self.field(where.field)} {sign} {' to '.join(values)}"

    def _not(self, where: Where) -> str:
        said = self.where(where)
        if where.some_gene:
            return f"{where.gene} not expressed"
        if where.parts:
            return f"not ({said})"
        return f"without {said.removeprefix('with ')}" if said.startswith("with ") else f"not {said}"

    def _that(self, where: Where | None) -> str:
        """Say a condition behind the rows that it is of: " that are labelled B", " that express CD3D"."""
        if where is None:
            return ""
        if where.some_gene:
            return f" that express {where.gene}"
        if where.op == "not" and where.parts[0].some_gene:
            return f" that do not express {where.parts[0].gene}"
        return f" that are {self.where(where)}"

    def _is(self, where: Where) -> str:
        values = listed(map(self.name, where.values[:_MOST]), "or") + more(len(where.values), _MOST, " or")
        if where.field in ("row", "rule"):
            return where.said or values
        if where.column not in self.rows.types:
            return f"{self.name(where.column)} = {values}"
        named = where.said in ("", *where.values)
        return f"labelled {values}" if named else f"labelled {where.said} ({values})"

    def short(self, where: Where) -> str:
        """Name a set of rows that is compared."""
        single = where.op == "is" and len(where.values) == 1
        return where.said or (self.name(where.values[0]) if single else self.where(where))

    def who(self, *conditions: Where | None) -> str:
        """Name the rows of some conditions."""
        noun = f"{'selected ' * (not self.rows.whole)}{self.rows.noun}s"
        held = list(map(self.where, filter(None, conditions)))
        return f"{noun} {', '.join(held)}" if held else f"all {noun}"

    def what(self, query: Query) -> str:
        """Say what a number is of; it begins an answer."""
        match query.want:
            case "count":
                said = self.who(query.where, query.among)
            case "fraction":
                said = f"share of {self.who(query.among)}{self._that(query.where)}"
            case want if want in FIELDS:
                of, level = listed(map(self.field, query.of)), f" {query.level:g}" if query.level else ""
                said = f"{_CALLED.get(want, want)}{level} of {of}, {self.who(query.where, query.among)}"
            case want:
                said = f"{want} {f'of {self.name(query.by)} ' if query.by else ''}among {self.who(query.where)}"
        if query.show == "check" and not query.against and query.check not in (None, (">", 0)):
            said += f", asked whether {self._bound(query)}"
        return capital(said)

    def _bound(self, query: Query) -> str:
        sign, bound = query.bound
        return f"{SIGNS[sign]} {percent(bound) if query.want == 'fraction' else number(bound)}"

    def passed(self, query: Query) -> str:
        """Say what was asked of the number of a group."""
        what = lowered(self.what(query.but(check=None)))
        if query.want == "count":
            return f"{_THERE.get(query.bound, self._bound(query))} {what.removeprefix('all ')}"
        if (query.want, *query.bound) == ("fraction", ">", 0.5):
            half = f"more than half of the {self.rows.noun}s{self._that(query.among)}"
            return f"{half} {self._that(query.where).removeprefix(' that ')}"
        return f"{what} {self._bound(query)}"

    def remarks(self, query: Query) -> str:
        """Say what was left out and what may be read otherwise."""
        rows, leaves = self.rows, query.leaves()
        named = [leaf for leaf in leaves if leaf.op == "is" and leaf.field.startswith("obs:")]
        columns = filter(None, [*(leaf.column for leaf in named), query.by])
        said = [rows.groups(one).remark() for one in columns]
        said += [rows.groups(leaf.column).remark(str(value)) for leaf in named for value in leaf.values]
        # Named rows, or else all that were looked at, whether they were counted or not.
        chosen = [rows.mask(one) for one in query.against if one.field == "row"] or [rows.asked]
        said += rows.cut(query.fields(), np.any(chosen, axis=0))
        levels = [*query.of, *(leaf.field for leaf in leaves if leaf.op != "is" and leaf.values != (0,))]
        by_gene = query.want in _VALUED and any(one.startswith("gene:") for one in levels)
        if by_gene or (query.want == "expressed" and not query.words):
            said.append(rows.scale)
        missing = rows.unknown(*query.conditions())
        said += [f"Left out for want of a value: {rows.counted(missing)}."] if missing else []
        # "May hold several values" is part of the longer remark.
        said = list(dict.fromkeys(filter(None, said)))
        return "".join(f" {one}" for one in said if sum(one in other for other in said) == 1)
