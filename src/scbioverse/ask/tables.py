"""Queries whose answer is a list: groups of a column, rows, values of rows by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .query import Query, Refusal
from .result import COMPARE, Result, rank_rows, table_of
from .say import Speech, percent
from .values import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .rows import Rows

_SHOWN = 20
_LEADING = 5


def groups(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    """Name the groups of a column with their sizes, the largest first."""
    if query.then is not None:
        named = rows.sizes(query.then, rows.mask(query.where))
        held = [(name, [one for one, _ in rows.sizes(query.by or "", mask)]) for name, mask in named]
        table = table_of(["group", "n"], [(name, len(some)) for name, some in held])
        said = "; ".join(f"{speech.name(name)}: {len(some)} ({_named(some, speech)})" for name, some in held)
        text = f"Groups of {speech.column(query.by)} with {rows.noun}s in each of {speech.column(query.then)}: {said}."
        text += unnamed(query.then, rows, rows.mask(query.where)) + speech.remarks(query, rows)
        return Result(text, table, dict(held))
    table = sizes(query.by or "", rows, rows.mask(query.where))
    shown = [f"{speech.name(name)} ({n:,})" for name, n in zip(table["group"][:_SHOWN], table["n"], strict=False)]
    more = f" and {len(table) - _SHOWN} more" if len(table) > _SHOWN else ""
    text = f"There are {len(table)} groups in {speech.column(query.by)}: {', '.join(shown)}{more}."
    text += unnamed(query.by or "", rows, rows.mask(query.where)) + speech.remarks(query, rows)
    return Result(text, table, dict(zip(table["group"], table["n"], strict=True)))


def _named(names: list[str], speech: Speech) -> str:
    """List names, the first of them where they are many."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(speech.name(one) for one in names[:_SHOWN]) + more


def unnamed(column: str, rows: Rows, mask: NDArray[np.bool_]) -> str:
    """Say how many of some rows are in no group of a column."""
    n = int((mask & (rows.groups(column).codes < 0)).sum())
    return f" Not counted, without a value in {column!r}: {n:,} {rows.noun}{'s' if n > 1 else ''}." if n else ""


def sizes(column: str, rows: Rows, mask: NDArray[np.bool_]) -> pd.DataFrame:
    """Count the groups of a column among some rows, the largest first; shares are of those that are in a group."""
    found = rows.sizes(column, mask)
    table = table_of(["group", "n"], [(name, int(held.sum())) for name, held in found])
    table["fraction"] = table["n"] / max(1, int((mask & (rows.groups(column).codes >= 0)).sum()))
    return table.sort_values(["n", "group"], ascending=[False, True], kind="stable").reset_index(drop=True)


def composition(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    """Say of which groups some rows are."""
    column = query.by or next(
        (one for one in (*getattr(rows, "types", {}), *rows.columns) if not _about(query, one)), None
    )
    if column is None:
        return Refusal(text=f"No column says what these {rows.noun}s are: run scbioverse.tl.annotate(adata) first.")
    mask = rows.mask(query.where)
    table = sizes(column, rows, mask)
    if table.empty:
        return Refusal(text=f"There are no such {rows.noun}s: {speech.who(query.where)}.")
    said = [
        f"{speech.name(name)} {n:,} ({percent(share)})"
        for name, n, share in zip(table["group"][:_SHOWN], table["n"], table["fraction"], strict=False)
    ]
    who = speech.who(query.where)
    text = f"{who[:1].upper()}{who[1:]}, by {speech.column(column)}: {'; '.join(said)}"
    n = int((mask & (rows.groups(column).codes >= 0)).sum())
    text = f"{text}; {n:,} in all.{unnamed(column, rows, mask)}{speech.remarks(query, rows)}"
    return Result(text, table, dict(zip(table["group"], table["n"], strict=True)))


def _about(query: Query, column: str) -> bool:
    return query.where is not None and any(leaf.field == f"obs:{column}" for leaf in query.where.leaves())


# ---------------------------------------------------------------- rows


def listing(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    """List rows: all that fulfil a condition, those at one end of a field, or whether those named do."""
    if query.show == "check":
        return _checked(query, rows, speech)
    if rows.noun == "cell" and query.show != "rank":
        return Refusal(
            text="Single cells are not listed: ask how many there are, or which clusters or types they are in."
        )
    if query.show == "rank":
        order, values = rank_rows(query, rows, query.where)
        if not order.size:
            return Refusal(text=f"There is no {rows.noun} of which {speech.field(query.of[0])} can be computed.")
        at, top = (query.nth or 1) - 1, query.top or (1 if query.nth else _LEADING)
        if at >= order.size:
            return Refusal(
                text=f"There is no number {at + 1} by {speech.field(query.of[0])}: {order.size:,} have a value."
            )
        chosen = slice(at, at + top)
        said = [
            f"{rows.labels[row]} ({speech.value(query.of[0], value)})"
            for row, value in zip(order[chosen], values[chosen], strict=True)
        ]
        head = "The " + (f"number {at + 1} by " if at else "most by " if query.order == "most" else "least by ")
        what = f"{head.lower()}{speech.field(query.of[0])} of {order.size:,} {speech.who(query.where)}"
        if query.top is None:
            following = f"; next: {', '.join(said[1:])}" if said[1:] else ""
            text = f"{said[0] if said else 'none'}: {what}{following}."
        else:
            text = f"{', '.join(said)}: {what}."
        table = table_of(
            ["row", query.of[0]],
            [(rows.adata.obs_names[row], value) for row, value in zip(order[chosen], values[chosen], strict=True)],
        )
        return Result(text + speech.remarks(query, rows), table, list(table["row"][: query.top or 1]))
    if query.where is None:
        return Refusal(text=f"Nothing in this question says which {rows.noun}s to list.")
    held = np.flatnonzero(rows.mask(query.where))
    total = int(rows.asked.sum())
    names = [rows.labels[row] for row in held[:50]]
    more = f" and {held.size - 50} more" if held.size > 50 else ""
    who = speech.who(query.where)
    text = f"{who[:1].upper()}{who[1:]}: {held.size:,} of {total:,}{': ' if names else ''}{', '.join(names)}{more}."
    listed_rows = [str(rows.adata.obs_names[row]) for row in held]
    return Result(text + speech.remarks(query, rows), pd.DataFrame({"row": listed_rows}), listed_rows)


def _checked(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    if query.where is None:
        return Refusal(text="Nothing in this question says what is to be checked.")
    known = rows.known(query.where)
    found = [(one, int(row)) for one in query.against for row in np.flatnonzero(rows.mask(one))]
    if not found or any(pd.isna(known[row]) for _, row in found):
        return Refusal(text=f"It cannot be computed of {listed([speech.short(one) for one in query.against])}.")
    answers = [bool(known[row]) for _, row in found]
    fields = [leaf.field for leaf in query.where.leaves() if leaf.field != "row" and not leaf.field.startswith("obs:")]
    numbers = [
        f"{speech.field(name)} {speech.value(name, rows.numbers(name)[row])}"
        for _, row in found for name in dict.fromkeys(fields) if name != "rule"
    ]  # fmt: skip
    columns = [
        leaf.field.removeprefix("obs:")
        for leaf in query.where.leaves()
        if leaf.op == "is" and leaf.field.startswith("obs:")
    ]
    numbers += [
        f"{speech.column(one)} = {speech.name(rows.adata.obs[one].iloc[row])}"
        for _, row in found
        for one in dict.fromkeys(columns)
    ]
    word = "Yes" if all(answers) else "No" if not any(answers) else "Not all"
    names = listed([rows.labels[row] for _, row in found])
    text = f"{word}: {names}, asked whether {speech.where(query.where)}{': ' * bool(numbers)}{'; '.join(numbers)}."
    return Result(
        text,
        table_of(
            ["row", "holds"], [(rows.adata.obs_names[row], held) for (_, row), held in zip(found, answers, strict=True)]
        ),
        all(answers),
    )


def values(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    """Give fields of rows that are named, compared where two are."""
    found = [int(row) for one in query.against for row in np.flatnonzero(rows.mask(one))]
    lost = [speech.short(one) for one in query.against if not rows.mask(one).any()]
    if lost:
        return Refusal(text=f"{listed(lost)} {'is' if len(lost) == 1 else 'are'} not among the selected {rows.noun}s.")
    table = pd.DataFrame({"row": [rows.adata.obs_names[row] for row in found]})
    for name in query.of:
        table[name] = _held(name, found, rows)
    if table[list(query.of)].isna().all(axis=None):
        return Refusal(text=f"{listed([rows.labels[row] for row in found])}: nothing can be computed of it.")
    if query.show == "rank":
        order = table.sort_values(query.of[0], ascending=query.order == "least", kind="stable").index
        found, table = [found[i] for i in order], table.loc[order].reset_index(drop=True)
    said = [
        f"{rows.labels[row]}: "
        + listed([f"{speech.field(name)} {_value(name, table[name][i], speech)}" for name in query.of])
        for i, row in enumerate(found)
    ]
    text, fields = f"{'; '.join(said)}.", list(query.of)
    value: Any = table.set_index("row")[fields[0] if len(fields) == 1 else fields].T.to_dict()
    if query.show == "check" and query.check is not None and len(found) == 2:
        value = COMPARE[query.check[0]](*table[query.of[0]])
        text = f"{'Yes' if value else 'No'}: {text}"
    elif query.show == "rank":
        value = [str(table["row"][0])]
    elif len(found) == len(fields) == 1:
        value = table[fields[0]][0]
    return Result(text + speech.remarks(query, rows), table, value)


def _held(field: str, found: list[int], rows: Rows) -> list[Any]:
    """Return values of a field of some rows: numbers, or texts of a column."""
    if field == "property:formula" or field.removeprefix("obs:") in rows.columns:
        return list(rows.texts(field, found))
    return list(rows.numbers(field)[found])


def _value(field: str, value: object, speech: Speech) -> str:
    if value is None or value != value:
        return "has no value"
    return speech.name(value) if isinstance(value, str) else speech.value(field, float(str(value)))


def describe(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    """Say what is known of rows: their properties, and what the columns hold."""
    found = [int(row) for one in query.against for row in np.flatnonzero(rows.mask(one))]
    if not found and rows.asked.sum() <= _LEADING:
        found = np.flatnonzero(rows.asked).tolist()
    if not found or rows.noun == "cell":
        return Refusal(text=f"Name the {rows.noun}s that are meant, or pass them as cells=.")
    return rows.described(found, speech)  # type: ignore[attr-defined]
