"""A query on rows: numbers from code, and a sentence that says what was understood and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import genes, tables
from .cells import LEAST_FRACTION
from .query import FIELDS, MEASURES, Query, Refusal
from .result import COMPARE, Result
from .say import Speech, percent
from .values import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from .rows import Rows

    _Said = tuple[str, Any]

_MOST = 0.5  # cells of which what holds is said of all
_SHOWN = 40
_FIELDS_SAID = ("no field", "one field", "two fields")
# Of the values of one or two fields, (n_fields, n_rows).
_STATISTICS: dict[str, Callable[[Any], Any]] = {
    "mean": np.mean, "median": np.median, "min": np.min, "max": np.max, "sum": np.sum,
    "std": lambda held: np.std(held, ddof=1), "correlation": lambda held: np.corrcoef(held)[0, 1],
}  # fmt: skip


@dataclass(frozen=True)
class _Number:
    """One number of some rows: `value`, of `n` rows among `of`."""

    name: str
    value: float
    n: int
    of: int

    @property
    def known(self) -> bool:
        """Whether it could be computed."""
        return self.value == self.value


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
        n = FIELDS.get(query.want, 1)
        if len(query.of) != n:
            return Refusal(text=f"{speech.what(query)}: this needs {_FIELDS_SAID[n]}, and {len(query.of)} are named.")
        if query.by is not None and query.against and (query.show not in ("groups", "any") or len(query.against) != 2):
            return Refusal(text="Ask for numbers by group, or for the two that are compared: not for both at once.")
        return _measure(query, rows, speech)
    known: dict[str, Callable[[Query, Any, Speech], Result | Refusal]] = {
        "groups": tables.groups, "list": tables.listing, "value": tables.values,
        "composition": tables.composition, "describe": tables.describe, "genes": genes.measured,
        "markers": genes.markers, "is marker": genes.is_marker, "differential": genes.differential,
        "flag": genes.flagged, "why": genes.why, "define": genes.define, "gene": genes.about,
    }  # fmt: skip
    return known[query.want](query, rows, speech)


def number_of(query: Query, rows: Rows, mask: NDArray[np.bool_], name: str) -> _Number:
    """Work out the number that a query wants of some rows."""
    inside = mask & rows.mask(query.among)
    if query.want in ("count", "fraction"):
        # Rows of which it cannot be known are in neither number.
        known = inside if query.where is None else inside & ~pd.isna(rows.known(query.where))
        n, of = int((rows.mask(query.where) & known).sum()), int(known.sum())
        share = n / of if of else float("nan")
        return _Number(name, n if query.want == "count" else share, n, of)
    held = np.stack([rows.numbers(one) for one in query.of])[:, inside & rows.mask(query.where)]
    held = held[:, np.isfinite(held).all(axis=0)]
    n = held.shape[1]
    if n < (2 if query.want in ("std", "correlation") else 1):
        return _Number(name, float("nan"), n, n)
    with np.errstate(invalid="ignore", divide="ignore"):  # of a field that does not vary there is no correlation
        return _Number(name, float(_STATISTICS[query.want](held)), n, n)


def _sets(query: Query, rows: Rows, speech: Speech) -> list[tuple[str, NDArray[np.bool_]]]:
    """Name the sets of rows that have a number: groups of the columns, each with the sides that are compared."""
    axes = [
        [(name, rows.groups(column).mask(name)) for name in rows.groups(column).names if name.strip()]
        for column in (query.by, query.then)
        if column is not None
    ]
    axes += [[(speech.short(one), rows.mask(one)) for one in query.against]] if query.against else []
    sets = [list(zip(*some, strict=True)) for some in product(*axes)] if axes else [(["all"], [rows.asked])]
    return [(", ".join(names), np.logical_and.reduce([rows.asked, *masks])) for names, masks in sets]


def _measure(query: Query, rows: Rows, speech: Speech) -> Result | Refusal:
    found = [number_of(query, rows, mask, name) for name, mask in _sets(query, rows, speech)]
    if query.by is not None and query.want != "count" and not query.against:
        found = [one for one in found if one.of and (query.show == "value" or one.known)]
    if query.show in ("groups", "any"):
        found = [one for one in found if one.of or query.against]
    table = pd.DataFrame(
        [(one.name, one.n, one.of, one.value) for one in found], columns=["group", "n", "n_in", query.want]
    )
    if query.want == "count":
        table = table.drop(columns="count").assign(fraction=table["n"] / table["n_in"].replace(0, np.nan))
    if query.of:
        table.insert(1, "field", " and ".join(query.of))
    if not any(one.known for one in found):
        return Refusal(text=f"{speech.what(query)}: there is no {rows.noun} of which that can be computed.")
    lost = [one.name for one in found if not one.known]
    if lost and query.by is None and query.against and query.show != "value":
        named = listed([speech.name(one) for one in lost])
        return Refusal(text=f"{speech.what(query)}: there is no value for {named}, so that nothing can be compared.")
    text, value = _Told(query, rows, speech).text(found)
    return Result(f"{text}{speech.remarks(query, rows)}", table, value)


class _Told:
    """Sentences about the numbers of a query, each with what is asked for by itself."""

    def __init__(self, query: Query, rows: Rows, speech: Speech) -> None:
        self.query, self.rows, self.speech = query, rows, speech
        self.what = speech.what(query)
        self.lowered = self.what[:1].lower() + self.what[1:]
        self.column = " and ".join(speech.column(one) for one in (query.by, query.then) if one is not None)
        self.pick = max if query.order == "most" else min

    def text(self, found: list[_Number]) -> _Said:
        """Say the numbers as the query wants them shown."""
        query = self.query
        if query.by is None:
            return self.compared(found) if query.against else self.one(found[0])
        if query.against:
            return self.pairs(found)
        sign = -1 if query.order == "most" else 1
        order = sorted(found, key=lambda one: (not one.known, sign * one.value if one.known else 0.0, one.name))
        shown = {
            "groups": self.passing,
            "any": self.passing,
            "rank": self.rank,
            "check": self.all_of,
            "value": self.each,
        }
        return (self.rank_in_each if query.then and query.show == "rank" else shown[query.show])(order)

    # ------------------------------------------------------------ words

    def number(self, one: _Number) -> str:
        """Show a number with the rows that it is of."""
        want, noun = self.query.want, self.rows.noun
        if want == "count":
            return f"{one.n:,} of {one.of:,} {noun}s" if one.n != one.of else f"{one.n:,} {noun}s"
        if want == "fraction":
            return (
                f"{percent(one.value)} ({one.n:,} of {one.of:,} {noun}s)"
                if one.of
                else f"none ({noun}s of that kind: 0)"
            )
        if not one.known:
            return "no value"
        field = "" if want == "correlation" else self.query.of[0]
        value = self.speech.value(field, one.value, exact=want not in ("min", "max", "sum"))
        return f"{value} ({one.n:,} {noun}{'s' if one.n != 1 else ''})"

    def named(self, found: Sequence[_Number]) -> str:
        """List groups with their numbers."""
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return "; ".join(f"{self.speech.name(one.name)}: {self.number(one)}" for one in found[:_SHOWN]) + more

    def holds(self, value: float) -> bool:
        """Whether a number passes the bound that was asked."""
        sign, bound = self.query.check or (">", 0.0)
        return COMPARE[sign](value, bound)

    # ------------------------------------------------------------ one number

    def one(self, one: _Number) -> _Said:
        """Say one number, or yes or no."""
        query, said = self.query, self.number(one)
        if query.show != "check":
            return f"{self.what}: {said}{self._absent(one)}{self._parts()}.", one.value
        if query.check is not None:
            yes = self.holds(one.value)
            return f"{'Yes' if yes else 'No'}: {self.lowered}: {said}{self._absent(one)}.", yes
        # "Does cluster 5 express CD3D?" names no share: half of the cells are a yes, less than a fifth a no.
        word = "Yes" if one.value > _MOST else "No" if one.value < LEAST_FRACTION else "In part"
        return (
            f"{word}: {self.lowered}: {said} (yes: over {_MOST:.0%}, no: under {LEAST_FRACTION:.0%}).",
            {"Yes": True, "No": False}.get(word),
        )

    def _parts(self) -> str:
        """Say how many rows each of several groups has that were counted together."""
        held = self.query.where
        alike = (
            held is not None
            and {one.op for one in held.parts} == {"is"}
            and len({one.field for one in held.parts}) == 1
        )
        if held is None or held.op != "or" or not alike or self.query.want != "count":
            return ""
        return f" ({', '.join(f'{self.speech.short(one)} {int(self.rows.mask(one).sum()):,}' for one in held.parts)})"

    def _absent(self, one: _Number) -> str:
        """Say which name no row has, where nothing was counted."""
        held = self.query.where
        if self.query.want != "count" or one.n or held is None:
            return ""
        columns = [(leaf, leaf.field.removeprefix("obs:")) for leaf in held.leaves() if leaf.op == "is"]
        columns = [(leaf, name) for leaf, name in columns if name in self.rows.columns]
        lost = [(str(v), name) for leaf, name in columns for v in leaf.values if v not in self.rows.groups(name).names]
        said = "; there are no {}s labelled {!r}, or a kind of it, in {!r}"
        return said.format(self.rows.noun, *lost[0]) if lost else ""

    # ------------------------------------------------------------ two sides

    def compared(self, found: list[_Number]) -> _Said:
        """Say the numbers of the sides, and what follows from them."""
        query, said, values = self.query, self.named(found), [one.value for one in found]
        first, *others = found
        if query.show == "check":
            yes = self._more(found)
            asked = ", asked whether equal" if query.check is not None and query.check[0] == "=" else ""
            return f"{'Yes' if yes else 'No'}: {self.lowered}{asked}: {said}.", yes
        if query.show == "rank":
            best = [one.name for one in found if one.value == self.pick(values)]
            end = "highest" if query.order == "most" else "lowest"
            return f"{listed(map(self.speech.name, best))}: the {end} in {self.lowered}: {said}.", best
        if query.show == "ratio":
            ratio = values[0] / values[1] if values[1] else None
            shown = "none, since the second is 0" if ratio is None else f"{ratio:.4g}"
            return f"Ratio of {first.name} to {others[0].name} ({self.lowered}): {shown}. {said}.", ratio
        if query.show == "difference":
            first, second = found[::-1] if query.order == "least" else found
            gap = first.value - second.value
            shown = self.speech.gap(query, gap)
            return f"Difference between {first.name} and {second.name} ({self.lowered}): {shown}. {said}.", gap
        return f"{self.what}: {said}.", {one.name: one.value for one in found}

    def _more(self, pair: Sequence[_Number]) -> bool:
        """Whether the first side has more, or less where that was asked."""
        sign = self.query.check[0] if self.query.check else ">"
        return COMPARE[sign](pair[0].value, pair[1].value)

    def pairs(self, found: list[_Number]) -> _Said:
        """Name the groups in which one side has more than the other."""
        first, second = (self.speech.short(one) for one in self.query.against)
        sign = self.query.check[0] if self.query.check else ">"
        pairs = [
            (a.name.removesuffix(f", {first}"), a, b)
            for a, b in zip(found[::2], found[1::2], strict=True)
            if a.known and b.known
        ]
        fits = [(name, a, b) for name, a, b in pairs if self._more((a, b))]
        shown = [f"{self.speech.name(name)}: {self.number(a)} and {self.number(b)}" for name, a, b in fits[:_SHOWN]]
        more = f"{'more' if sign == '>' else 'less'} in {first} than in {second}"
        whole = f"{self.lowered.removeprefix('all ')}: {more}"
        names = listed([self.speech.name(name) for name, _, _ in fits]) or "None"
        head = f"{self.column} {names}: {len(fits)} of {len(pairs)} groups, {whole}"
        return f"{head}: {'; '.join(shown)}." if fits else f"{head}.", [name for name, _, _ in fits]

    # ------------------------------------------------------------ groups

    def each(self, order: list[_Number]) -> _Said:
        """Say the number of every group."""
        return f"By {self.column}, {self.lowered}: {self.named(order)}.", {one.name: one.value for one in order}

    def all_of(self, order: list[_Number]) -> _Said:
        """Say whether all groups pass."""
        yes = all(self.holds(one.value) for one in order)
        return f"{'Yes, for' if yes else 'No, not for'} all of {self.column}: {self.lowered}: {self.named(order)}.", yes

    def passing(self, order: list[_Number]) -> _Said:
        """Name the groups whose number passes the bound."""
        fits = [one for one in order if self.holds(one.value)]
        if not fits:
            high = self.query.check is not None and self.query.check[0] in (">", ">=")
            nearest = order[0] if high else order[-1]
            most = (
                f"; the {'highest' if high else 'lowest'} is {self.speech.name(nearest.name)} ({self.number(nearest)})"
            )
            none: Any = False if self.query.show == "any" else []
            return f"No group of {self.column} fits: {self.speech.passed(self.query)}{most}.", none
        found = sorted((one.name for one in fits), key=_numbers_first)
        names = listed(map(self.speech.name, found))
        shares = "; ".join(f"{self.speech.name(one.name)} ({self.number(one)})" for one in fits[:_SHOWN])
        aside = tables.unnamed(self.query.by or "", self.rows, self.rows.asked)
        head = f"{'Yes: ' if self.query.show == 'any' else ''}{self.column} {names}"
        groups = f"{len(fits)} group{'s' if len(fits) > 1 else ''}"
        value: Any = True if self.query.show == "any" else found
        return f"{head} ({groups}): {self.speech.passed(self.query)}: {shares}.{aside}", value

    def rank(self, order: list[_Number]) -> _Said:
        """Name the groups at one end, and those that come next."""
        query, end = self.query, "highest" if self.query.order == "most" else "lowest"
        at, top = (query.nth or 1) - 1, query.top or 1
        if at >= len(order):
            return f"{self.column} has only {len(order)} groups.", None
        best = [one for one in order if one.value == order[at].value] if top == 1 else order[at : at + top]
        head = listed([f"{self.column} {self.speech.name(one.name)}" for one in best])
        tied = f" ({len(best)} tie)" if top == 1 and len(best) > 1 else ""
        rank = f"number {at + 1} in" if at else f"the {end} in"
        rest = [one for one in order if one not in best][:3] if not at else []
        following = "; ".join(f"{self.speech.name(one.name)} ({self.number(one)})" for one in rest)
        values = "; ".join(map(self.number, best))
        more = f" Next: {following}." if rest else ""
        return f"{head}{tied}: {rank} {self.lowered}, {values}.{more}", [one.name for one in best]

    def rank_in_each(self, found: list[_Number]) -> _Said:
        """Name, in each group of the second column, the group of the first at one end."""
        said, value = [], {}
        for name in self.rows.groups(self.query.then or "").names:
            some = [one for one in found if one.name.endswith(f", {name}") and one.n]
            best = [one for one in some if one.value == self.pick(other.value for other in some)]
            if best:
                value[name] = [one.name.removesuffix(f", {name}") for one in best]
                names = listed(map(self.speech.name, value[name]))
                said.append(f"{self.speech.name(name)}: {names} ({self.number(best[0])})")
        first, second = self.speech.column(self.query.by), self.speech.column(self.query.then)
        return f"The {self.query.order} of {first} in each of {second}, {self.lowered}: {'; '.join(said)}.", value


def _numbers_first(name: str) -> tuple[int, float, str]:
    return (0, float(name), name) if name.replace(".", "", 1).isdigit() else (1, 0.0, name)
