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
        if where.op == "not":
            return self._not(where.parts[0])
        if where.parts:
            said = [f"({self.where(one)})" if one.op in ("and", "or") else self.where(one) for one in where.parts]
            return f" {where.op} ".join(said)
        if where.op == "missing":
            return f"without a value in {self.field(where.field)}"
        if where.op == "is":
            return self._is(where)
        return where.said or self._number(where)

    def _number(self, where: Where) -> str:
        if where.field.startswith("gene:") and where.values == (0,) and where.op in _EXPRESSED:
            return f"{where.gene} {_EXPRESSED[where.op]}"
        said = _SOME.get(where.op) if where.values == (0,) else None
        if said is not None and where.field in self.known and self.known[where.field].counted:
            return f"{said} {self.field(where.field)}"
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
        held = where.parts[0] if where.op == "not" else where
        if not held.some_gene:
            return f" that are {self.where(where)}"
        return f" that express {held.gene}" if held is where else f" that do not express {held.gene}"

    def _is(self, where: Where) -> str:
        values = listed(map(self.name, where.values[:_MOST]), "or")
        values += f" or {len(where.values) - _MOST} more" if len(where.values) > _MOST else ""
        if where.field in ("row", "rule"):
            return where.said or values
        if where.column not in self.rows.types:
            return f"{self.name(where.column)} = {values}"
        term = where.said if where.said not in where.values else ""
        return f"labelled {term} ({values})" if term else f"labelled {values}"

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
        if query.want == "count":
            said = self.who(query.where, query.among)
        elif query.want == "fraction":
            said = f"share of {self.who(query.among)}{self._that(query.where)}"
        elif query.want in FIELDS:
            of = listed(map(self.field, query.of))
            level = f" {query.level:g}" if query.level else ""
            said = f"{_CALLED.get(query.want, query.want)}{level} of {of}, {self.who(query.where, query.among)}"
        else:
            said = f"{query.want} {f'of {self.name(query.by)} ' if query.by else ''}among {self.who(query.where)}"
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
        columns = dict.fromkeys([*(leaf.column for leaf in named), *filter(None, [query.by])])
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
