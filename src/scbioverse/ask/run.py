"""A query on rows: numbers from code, and a sentence that says what was understood and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import genes, tables
from .cells import LEAST_FRACTION
from .query import MEASURES, Query, Refusal, both
from .result import COMPARE, Result
from .say import Speech, number, percent
from .values import listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .rows import Rows


_MOST = 0.5  # cells of which what holds is said of all


@dataclass(frozen=True)
class _Number:
    """One number of some rows: `value`, of `n` rows among `of`."""

    name: str
    value: float
    n: int
    of: int


def run(query: Query, rows: Rows, speech: Speech | None = None) -> Result | Refusal:
    """Run a query.

    Parameters
    ----------
    query
        What is asked.
    rows
        The data.
    speech
        How fields are called; made anew if not given.

    Raises
    ------
    InputError
        A field is nothing that the rows have.
    """
    speech = speech or Speech(rows)
    if query.want in MEASURES:
        return _measure(query, rows, speech)
    known: dict[str, Callable[[Query, Any, Speech], Result | Refusal]] = {
        "groups": tables.groups, "list": tables.listing, "value": tables.values, "which": tables.which,
        "composition": tables.composition, "describe": tables.describe, "genes": genes.measured,
        "markers": genes.markers, "is marker": genes.is_marker, "differential": genes.differential,
        "flag": genes.flagged, "why": genes.why, "define": genes.define, "gene": genes.about,
    }  # fmt: skip
    return known[query.want](query, rows, speech)


# ---------------------------------------------------------------- numbers of sets of rows


def numbers(query: Query, rows: Rows, mask: NDArray[np.bool_], name: str) -> _Number:
    """Work out the number that a query wants of some rows."""
    if query.want == "count":
        known = mask & ~pd.isna(rows.known(query.where)) if query.where is not None else mask
        n = int((rows.mask(query.where) & known).sum())
        return _Number(name, n, n, int(known.sum()))
    if query.want == "fraction":
        among = rows.mask(query.among) & mask
        # Rows of which it cannot be known are in neither number.
        known = among & ~pd.isna(rows.known(query.where)) if query.where is not None else among
        n, of = int((rows.mask(query.where) & known).sum()), int(known.sum())
        return _Number(name, n / of if of else float("nan"), n, of)
    held = rows.numbers(query.of[0])[rows.mask(both(query.where, query.among)) & mask]
    held = held[np.isfinite(held)]
    if not held.size:
        return _Number(name, float("nan"), 0, 0)
    return _Number(name, float(getattr(np, query.want)(held)), held.size, held.size)


def _sets(query: Query, rows: Rows, speech: Speech) -> list[tuple[str, NDArray[np.bool_]]]:
    if query.against:
        return [(speech.short(one), rows.mask(one)) for one in query.against]
    if query.by is not None:
        named = [
            [(name, rows.groups(one).mask(name)) for name in rows.groups(one).names if name.strip()]
            for one in (query.by, query.then)
            if one is not None
        ]
        return [
            (", ".join(name for name, _ in some), np.logical_and.reduce([rows.asked, *(mask for _, mask in some)]))
            for some in product(*named)
        ]
    return [("all", rows.asked)]


def _measure(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    found = [numbers(query, rows, mask, name) for name, mask in _sets(query, rows, speech)]
    if query.by is not None and query.want != "count":
        found = [one for one in found if one.of]
    table = pd.DataFrame(
        [(one.name, one.n, one.of, one.value) for one in found], columns=["group", "n", "n_in", query.want]
    )
    if query.want == "count":
        table = table.drop(columns="count").assign(fraction=table["n"] / table["n_in"].replace(0, np.nan))
    if query.of:
        table.insert(1, "field", query.of[0])
    if not found or all(one.value != one.value for one in found):
        return Refusal(text=f"{speech.what(query)}: there is no {rows.noun} of which that can be computed.")
    shape = "compare" if query.against else "by" if query.by is not None else "one"
    text = {"one": _one, "by": _by_groups, "compare": _compared}[shape](query, rows, speech, found)
    return Result(f"{text}{speech.remarks(query, rows)}", table)


def _one(query: Query, rows: Rows, speech: Speech, found: list[_Number]) -> str:
    one, what = found[0], speech.what(query)
    if query.show == "check" and query.check is None:
        # "Does cluster 5 express CD3D?" names no share: half of the cells are a yes, less than a fifth a no.
        word = "Yes" if one.value > _MOST else "No" if one.value < LEAST_FRACTION else "In part"
        rule = f"yes: over {_MOST:.0%}, no: under {LEAST_FRACTION:.0%}"
        return f"{word}: {_lowered(what)}: {_shown(query, speech, one)} ({rule})."
    if query.show == "check" and query.check is not None:
        yes = COMPARE[query.check[0]](one.value, query.check[1])
        return f"{'Yes' if yes else 'No'}: {_lowered(what)}: {_shown(query, speech, one)}{_absent(query, rows, one)}."
    return f"{what}: {_shown(query, speech, one)}{_absent(query, rows, one)}{_each(query, rows, speech)}."


def _each(query: Query, rows: Rows, speech: Speech) -> str:
    """Say how many rows each of several groups has that were counted together."""
    if query.want != "count" or query.where is None or query.where.op != "or":
        return ""
    parts = query.where.parts
    if any(one.op != "is" for one in parts) or len({one.field for one in parts}) > 1:
        return ""
    return f" ({', '.join(f'{speech.short(one)} {int(rows.mask(one).sum()):,}' for one in parts)})"


def _absent(query: Query, rows: Rows, one: _Number) -> str:
    """Say which names no row has, where nothing was counted."""
    if query.want != "count" or one.n or query.where is None:
        return ""
    lost = [
        (str(value), leaf.field.removeprefix("obs:"))
        for leaf in query.where.leaves()
        if leaf.op == "is" and leaf.field.startswith("obs:")
        for value in leaf.values
        if value not in rows.groups(leaf.field.removeprefix("obs:")).names
    ]
    return f"; there are no {rows.noun}s labelled {lost[0][0]!r}, or a kind of it, in {lost[0][1]!r}" if lost else ""


def _shown(query: Query, speech: Speech, one: _Number) -> str:
    if query.want == "count":
        return f"{one.n:,} of {one.of:,} {speech.rows.noun}s" if one.n != one.of else f"{one.n:,} {speech.rows.noun}s"
    if query.want == "fraction":
        if not one.of:
            return f"none ({speech.rows.noun}s of that kind: 0)"
        return f"{percent(one.value)} ({one.n:,} of {one.of:,} {speech.rows.noun}s)"
    value = speech.value(query.of[0], one.value, exact=query.want not in ("min", "max", "sum"))
    return f"{value} ({one.n:,} {speech.rows.noun}{'s' if one.n != 1 else ''})" if one.n else "no value"


def _by_groups(query: Query, rows: Rows, speech: Speech, found: list[_Number]) -> str:
    what, column = _lowered(speech.what(query)), speech.column(query.by)
    column += f" and {speech.column(query.then)}" if query.then is not None else ""
    order = sorted(found, key=lambda one: (-one.value if query.order == "most" else one.value, one.name))
    if query.then is not None and query.show == "rank":
        inner = [
            (name, [one for one in found if one.name.endswith(f", {name}")]) for name in rows.groups(query.then).names
        ]
        inner = [(name, [one for one in some if one.of and one.n]) for name, some in inner]
        pick = max if query.order == "most" else min
        said = []
        for name, some in inner:
            end = pick((one.value for one in some), default=None)
            best = [one for one in some if one.value == end]
            said += (
                [
                    f"{speech.name(name)}: {listed([speech.name(one.name.removesuffix(f', {name}')) for one in best])} "
                    f"({_shown(query, speech, best[0])})"
                ]
                if best
                else []
            )
        head = f"The {query.order} of {speech.column(query.by)} in each of {speech.column(query.then)}"
        return f"{head}, {what}: {'; '.join(said)}."
    if query.show == "groups" and query.check is not None:
        sign, bound = query.check
        fits = [one for one in order if COMPARE[sign](one.value, bound)]
        named = "; ".join(f"{speech.name(one.name)} ({_shown(query, speech, one)})" for one in fits[:40])
        limit = f"{sign} {percent(bound) if query.want == 'fraction' else number(bound)}"
        return (
            f"{column} {named}: {len(fits)} of {len(order)} groups with {what} {limit}."
            if fits
            else (
                f"No group of {column} has {what} {limit}; the highest is {speech.name(order[0].name)} "
                f"({_shown(query, speech, order[0])})."
            )
        )
    if query.show != "rank":
        if query.show == "check" and query.check is not None:
            yes = all(COMPARE[query.check[0]](one.value, query.check[1]) for one in found)
            what = f"{'Yes' if yes else 'No'}, {'for all' if yes else 'not for all'} of {column}: {what}"
            return (
                f"{what}: {'; '.join(f'{speech.name(one.name)}: {_shown(query, speech, one)}' for one in order[:40])}."
            )
        said = [f"{speech.name(one.name)}: {_shown(query, speech, one)}" for one in order[:40]]
        more = f"; and {len(order) - 40} more" if len(order) > 40 else ""
        return f"By {column}, {what}: {'; '.join(said)}{more}."
    at = (query.nth or 1) - 1
    if at >= len(order):
        return f"{column} has only {len(order)} groups."
    top = query.top or 1
    best = [one for one in order if one.value == order[at].value] if top == 1 else order[at : at + top]
    rank = f"number {at + 1} in " if at else "the " + ("highest" if query.order == "most" else "lowest") + " in "
    head = listed([f"{column} {speech.name(one.name)}" for one in best])
    values = "; ".join(_shown(query, speech, one) for one in best)
    rest = [one for one in order if one not in best][:3] if not at else []
    following = (
        f" Next: {'; '.join(f'{speech.name(one.name)} ({_shown(query, speech, one)})' for one in rest)}."
        if rest
        else ""
    )
    tied = f" ({len(best)} tie)" if top == 1 and len(best) > 1 else ""
    return f"{head}{tied}: {rank}{what}, {values}.{following}"


def _compared(query: Query, rows: Rows, speech: Speech, found: list[_Number]) -> str:
    what, values = speech.what(query), [one.value for one in found]
    said = "; ".join(f"{speech.name(one.name)}: {_shown(query, speech, one)}" for one in found)
    if query.show == "check" and query.check is not None:
        yes = COMPARE[query.check[0]](values[0], values[1])
        return f"{'Yes' if yes else 'No'}: {_lowered(what)}: {said}."
    if query.show == "rank":
        best = (max if query.order == "most" else min)(values)
        names = listed([speech.name(one.name) for one in found if one.value == best])
        return f"{names}: the {'highest' if query.order == 'most' else 'lowest'} in {_lowered(what)}: {said}."
    if query.show == "ratio":
        ratio = values[0] / values[1] if values[1] else float("inf")
        return f"Ratio of {found[0].name} to {found[1].name} ({_lowered(what)}): {ratio:.4g}. {said}."
    if query.show == "difference":
        found = found[::-1] if query.order == "least" else found
        gap = found[0].value - found[1].value
        shown = f"{100 * gap:.2f} percentage points" if query.want == "fraction" else number(gap)
        return f"Difference between {found[0].name} and {found[1].name} ({_lowered(what)}): {shown}. {said}."
    return f"{what}: {said}."


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
