"""Queries whose answer is a list: groups of a column, rows, values of rows by name."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import listed
from .answer import Result
from .query import COMPARE, Query, require
from .say import Speech, capital, more, percent, yes_or_no

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import Rows
    from .sequences import Sequences

_SHOWN, _ROWS_SHOWN = 20, 50
_LEADING = 5


# ---------------------------------------------------------------- groups


def groups(query: Query, rows: Rows, speech: Speech) -> Result:
    """Name the groups of a column with their sizes, the largest first; or those in each group of a second column."""
    column, mask = query.column, rows.mask(query.where)
    if query.then is not None:
        return _groups_in_each(query, query.then, rows, speech)
    table = sizes(column, rows, mask)
    shown = [f"{speech.name(one.group)} ({one.n:,})" for one in table.head(_SHOWN).itertuples()]
    head = f"There are {len(table)} groups in {speech.name(column)}"
    text = f"{head}: {', '.join(shown)}{more(len(table), _SHOWN)}.{unnamed(column, rows, mask)}{speech.remarks(query)}"
    return Result(text, table, len(table) if query.words else _by_group(table, "n"))


def _groups_in_each(query: Query, then: str, rows: Rows, speech: Speech) -> Result:
    column, mask = query.column, rows.mask(query.where)
    held = {name: [one for one, _ in rows.sizes(column, some)] for name, some in rows.sizes(then, mask)}
    said = [
        f"{speech.name(name)}: {len(some)} ({', '.join(map(speech.name, some[:_SHOWN]))}{more(len(some), _SHOWN)})"
        for name, some in held.items()
    ]
    head = f"Groups of {speech.name(column)} with {rows.noun}s in each of {speech.name(then)}"
    text = f"{head}: {'; '.join(said)}.{unnamed(then, rows, mask)}{speech.remarks(query)}"
    table = pd.DataFrame({"group": list(held), "n": list(map(len, held.values()))})
    return Result(text, table, _by_group(table, "n") if query.words else held)


def _by_group(table: pd.DataFrame, column: str) -> dict[Any, Any]:
    return table.set_index("group")[column].to_dict()


def unnamed(column: str, rows: Rows, mask: NDArray[np.bool_]) -> str:
    """Say how many of some rows are in no group of a column."""
    n = int(mask.sum()) - _in_groups(column, rows, mask)
    return f" Not counted, without a value in {column!r}: {rows.counted(n)}." if n else ""


def sizes(column: str, rows: Rows, mask: NDArray[np.bool_]) -> pd.DataFrame:
    """Count the groups of a column among some rows, the largest first; shares are of those that are in a group."""
    found = [(name, int(held.sum())) for name, held in rows.sizes(column, mask)]
    table = pd.DataFrame(found, columns=["group", "n"])
    table["fraction"] = table["n"] / max(1, _in_groups(column, rows, mask))
    return table.sort_values(["n", "group"], ascending=[False, True], kind="stable").reset_index(drop=True)


def _in_groups(column: str, rows: Rows, mask: NDArray[np.bool_]) -> int:
    return int((mask & (rows.groups(column).codes >= 0)).sum())


def composition(query: Query, rows: Rows, speech: Speech) -> Result:
    """Say of which groups some rows are."""
    if query.against:
        return shifts(query, rows, speech)
    # The first column of which nothing is asked says what the rows are.
    others = [one for one in (*rows.types, *rows.columns) if f"obs:{one}" not in query.fields()]
    column = query.by or next(iter(others), "")
    require(column, f"No column says what these {rows.noun}s are: run scbioverse.tl.annotate(adata) first.")
    mask, who = rows.mask(query.where), speech.who(query.where)
    table = sizes(column, rows, mask)
    require(not table.empty, f"There are no such {rows.noun}s: {who}.")
    shown = pd.DataFrame({
        "group": table["group"].map(speech.name), "n": table["n"].map("{:,}".format),
        "fraction": table["fraction"].map(percent),
    }).head(_SHOWN)  # fmt: skip
    # What is asked for stands first, the other in brackets.
    first, second = ("fraction", "n") if query.show == "ratio" else ("n", "fraction")
    said = "; ".join(shown["group"] + " " + shown[first] + " (" + shown[second] + ")")
    text = f"{capital(who)}, by {speech.name(column)}: {said}; {_in_groups(column, rows, mask):,} in all."
    return Result(f"{text}{unnamed(column, rows, mask)}{speech.remarks(query)}", table, _by_group(table, first))


def shifts(query: Query, rows: Rows, speech: Speech) -> Result:
    """Rank the groups of a column by how much their share differs between two sides."""
    column, names = query.column, [speech.short(one) for one in query.against]
    held = [rows.mask(one) & rows.mask(query.where) for one in query.against]
    sides = [sizes(column, rows, mask).set_index("group")["fraction"] for mask in held]
    for name, side in zip(names, sides, strict=True):
        require(not side.empty, f"No {rows.noun} of {name} is in a group of {column!r}.")
    table = pd.concat(sides, axis=1, keys=names).fillna(0.0)
    table["change"] = table[names[1]] - table[names[0]]
    order = table["change"].abs().sort_values(ascending=query.order == "least", kind="stable")
    best = order.index[np.isclose(order, order.iloc[0])] if query.top is None else order.index[: query.top]
    said = [
        f"{speech.name(name)}: {percent(one[names[0]])} to {percent(one[names[1]])}, {100 * one['change']:+.2f} points"
        for name, one in table.loc[order.index[:_SHOWN]].iterrows()
    ]
    end = {"most": "largest", "least": "smallest"}[query.order]
    head = f"{listed(map(speech.name, best))}: the {end} change of a share of {speech.who(query.where)}"
    text = f"{head} from {names[0]} to {names[1]}, by {speech.name(column)}: {'; '.join(said)}."
    return Result(f"{text}{speech.remarks(query)}", table.reset_index(names="group"), list(best))


# ---------------------------------------------------------------- rows


def listing(query: Query, rows: Rows, speech: Speech) -> Result:
    """List rows: all that fulfil a condition, those at one end of a field, or whether those named do."""
    if query.show == "rank":
        return _ranked(query, rows, speech)
    text = "Single cells are not listed: ask how many there are, or which clusters or types they are in."
    require(rows.noun != "cell" or query.show == "check", text)
    require(query.where, f"Nothing in this question says which {rows.noun}s to list, or what is to be checked.")
    if query.show == "check":
        return _checked(query, rows, speech)
    held = np.flatnonzero(rows.mask(query.where))
    names = ", ".join(rows.labels[row] for row in held[:_ROWS_SHOWN])
    head = f"{capital(speech.who(query.where))}: {held.size:,} of {int(rows.asked.sum()):,}"
    text = f"{': '.join(filter(None, [head, names]))}{more(held.size, _ROWS_SHOWN)}.{speech.remarks(query)}"
    found = list(map(str, rows.adata.obs_names[held]))
    return Result(text, pd.DataFrame({"row": found}), found)


def _ranked(query: Query, rows: Rows, speech: Speech) -> Result:
    require(query.of, f"Nothing in this question says by which number the {rows.noun}s are ranked.")
    field, values = query.of[0], rows.numbers(query.of[0])
    held = np.flatnonzero(rows.mask(query.where) & np.isfinite(values))  # rows without a value are left out
    at, top = (query.nth or 1) - 1, query.top or (1 if query.nth else _LEADING)
    require(held.size, f"There is no {rows.noun} of which {speech.field(field)} can be computed.")
    require(at < held.size, f"There is no number {at + 1} by {speech.field(field)}: {held.size:,} have a value.")
    sign = -1 if query.order == "most" else 1
    chosen = held[np.argsort(sign * values[held], kind="stable")][at : at + top]
    first, *rest = [f"{rows.labels[row]} ({speech.value(field, values[row])})" for row in chosen]
    end = f"the number {at + 1}" if at else f"the {query.order}"
    what = f"{end} by {speech.field(field)} of {held.size:,} {speech.who(query.where).removeprefix('all ')}"
    following = f"; next: {', '.join(rest)}" if rest else ""
    text = f"{first}: {what}{following}." if query.top is None else f"{', '.join([first, *rest])}: {what}."
    table = pd.DataFrame({"row": rows.adata.obs_names[chosen], field: values[chosen]})
    return Result(f"{text}{speech.remarks(query)}", table, list(table["row"][: query.top or 1]))


def _checked(query: Query, rows: Rows, speech: Speech) -> Result:
    """Say whether rows that are named fulfil a condition."""
    where: Any = query.where  # a question after a check has one
    found = rows.at(query.against)
    known = rows.known(where)[found]
    sure = found and not pd.isna(known).any()
    require(sure, f"It cannot be computed of {listed(map(speech.short, query.against))}.")
    fields = list(dict.fromkeys(leaf.field for leaf in where.leaves()))
    texts = [one for one in fields if one in rows.group_fields]
    numbers = [one for one in fields if ":" in one and not one.startswith("obs:")]
    said = [f"{speech.field(one)} {speech.value(one, rows.numbers(one)[row])}" for row, one in product(found, numbers)]
    said += [f"{speech.field(one)} = {speech.name(rows.texts(one, [row])[0])}" for row, one in product(found, texts)]
    asked = ": ".join(filter(None, [f"asked whether {speech.where(where)}", "; ".join(said)]))
    text = f"{yes_or_no(known)}: {rows.called(found)}, {asked}."
    table = pd.DataFrame({"row": rows.adata.obs_names[found], "holds": known.to_numpy(dtype=bool)})
    return Result(text, table, bool(known.all()))


def values(query: Query, rows: Rows, speech: Speech) -> Result:
    """Give fields of rows that are named, compared where two are."""
    lost = [speech.short(one) for one in query.against if not rows.mask(one).any()]
    are = "is" if len(lost) == 1 else "are"
    require(not lost, f"{listed(lost)} {are} not among the selected {rows.noun}s.")
    found, fields = rows.at(query.against), list(query.of)
    names = {"row": rows.adata.obs_names[found], "label": [rows.labels[row] for row in found]}
    table = pd.DataFrame(names | {one: _held(one, found, rows) for one in fields})
    there = not table[fields].isna().all(axis=None)
    require(there, f"{rows.called(found)}: nothing can be computed of it.")
    if query.show == "rank":
        table = table.sort_values(fields[0], ascending=query.order == "least", kind="stable", ignore_index=True)
    said = [
        f"{held['label']}: {listed(f'{speech.field(one)} {_value(one, held[one], speech)}' for one in fields)}"
        for _, held in table.iterrows()
    ]
    text, table = f"{'; '.join(said)}.", table.drop(columns="label")
    value: Any = table.set_index("row")[fields[0] if len(fields) == 1 else fields].T.to_dict()
    if query.show == "check" and query.check is not None and len(found) == 2:
        value = bool(COMPARE[query.check[0]](*table[fields[0]]))
        text = f"{yes_or_no(value)}: {text}"
    elif query.show == "rank":
        value = [str(table["row"][0])]
    elif len(found) == len(fields) == 1:
        value = table[fields[0]][0]
    return Result(f"{text}{speech.remarks(query)}", table, value)


def _held(field: str, found: list[int], rows: Rows) -> list[Any]:
    """Return values of a field of some rows: numbers, or texts of a column."""
    texts = field == "property:formula" or field in rows.group_fields
    return list(rows.texts(field, found) if texts else rows.numbers(field)[found])


def _value(field: str, value: Any, speech: Speech) -> str:
    if pd.isna(value):
        return "has no value"
    return speech.name(value) if isinstance(value, str) else speech.value(field, float(str(value)))


def describe(query: Query, rows: Sequences, speech: Speech) -> Result:
    """Say what is known of rows: their properties, and what the columns hold."""
    found = rows.at(query.against) or (rows.at([None]) if rows.asked.sum() <= _LEADING else [])
    require(found and rows.noun != "cell", f"Name the {rows.noun}s that are meant, or pass them as cells=.")
    return rows.described(found, speech)


def alike(query: Query, rows: Sequences, speech: Speech) -> Result:
    """Rank the molecules by the Tanimoto similarity of their fingerprints to that of one."""
    (centre,) = rows.at(query.against)
    others = rows.beside(centre)
    require(others.size and rows.readable[centre], f"There is nothing to compare {rows.labels[centre]} with.")
    found = [(rows.labels[row], rows.adata.obs_names[row], rows.tanimoto(centre, row)) for row in others]
    table = pd.DataFrame(found, columns=["label", "row", "tanimoto"])
    table = table.sort_values("tanimoto", ascending=False, kind="stable", ignore_index=True)
    said = ", ".join((table["label"] + " (" + table["tanimoto"].map("{:.3f}".format) + ")").head(_LEADING))
    by = "Tanimoto similarity of Morgan fingerprints (radius 2)"
    text = f"Most like {rows.labels[centre]} by {by}: {said}, of {len(table)}."
    best = table.loc[table["tanimoto"] == table["tanimoto"].max(), "row"].tolist()
    return Result(f"{text}{speech.remarks(query)}", table.drop(columns="label"), best)
