"""A query on rows: numbers from code, and a sentence that says what was understood and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import listed
from . import genes, tables
from .answer import Result
from .cells import LEAST_FRACTION
from .query import COMPARE, FIELDS, Query, require
from .say import lowered, more, number, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from .rows import Rows
    from .say import Speech

    _Said = tuple[str, Any]

_MOST = 0.5  # cells of which what holds is said of all
_RULE = f"(yes: over {_MOST:.0%}, no: under {LEAST_FRACTION:.0%})"
_SHOWN = 40
_FIELDS_SAID = ("no field", "one field", "two fields")
_ENDS = {"most": "highest", "least": "lowest"}
_RUNS: dict[str, Callable[[Query, Any, Speech], Result]] = {
    "groups": tables.groups, "list": tables.listing, "value": tables.values, "composition": tables.composition,
    "describe": tables.describe, "nearest": tables.alike, "genes": genes.measured, "expressed": genes.expressed,
    "markers": genes.markers, "is marker": genes.is_marker,
    "differential": genes.differential, "flag": genes.flagged, "why": genes.why, "define": genes.define,
    "gene": genes.about,
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


def run(query: Query, rows: Rows, speech: Speech) -> Result:
    """Run a query.

    Raises
    ------
    InputError
        A field is nothing that the rows have.
    RefusedError
        There is no answer in these data.
    """
    if query.want not in FIELDS:
        return _RUNS[query.want](query, rows, speech)
    n = FIELDS[query.want]
    said = f"{speech.what(query)}: this needs {_FIELDS_SAID[n]}, and {len(query.of)} are named."
    require(len(query.of) == n, said)
    pairs = query.show in ("groups", "any", "rank") and len(query.against) == 2
    plain = query.by is None or not query.against or pairs
    require(plain, "Ask for numbers by group, or for the two that are compared: not for both at once.")
    return _measure(query, rows, speech)


def number_of(query: Query, rows: Rows, mask: NDArray[np.bool_], name: str) -> _Number:
    """Work out the number that a query wants of some rows."""
    inside = mask & rows.mask(query.among)
    if not query.of:
        # Rows of which it cannot be known are in neither number.
        known = inside if query.where is None else inside & ~pd.isna(rows.known(query.where))
        n, of = int((rows.mask(query.where) & known).sum()), int(known.sum())
        share = n / of if of else float("nan")
        return _Number(name, n if query.want == "count" else share, n, of)
    values = np.stack([rows.numbers(one) for one in query.of], axis=1)[inside & rows.mask(query.where)]
    held = pd.DataFrame(values[np.isfinite(values).all(axis=1)])
    # Of a field that does not vary there is no correlation, of one row no deviation.
    found: Any = held.corr().iloc[0, -1] if query.want == "correlation" else None
    if found is None:
        found = held[0].agg(query.want) if query.level is None else held[0].quantile(query.level)
    return _Number(name, float(found) if len(held) else float("nan"), len(held), len(held))


def _sets(query: Query, rows: Rows, speech: Speech) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name the sets of rows that have a number: groups of the columns, each with the sides that are compared."""
    axes = [rows.group_masks(column) for column in (query.by, query.then) if column is not None]
    sides = [(speech.short(one), rows.mask(one)) for one in query.against]
    for some in product(*axes, *filter(None, [sides])):
        masks = [rows.asked, *(mask for _, mask in some)]
        yield ", ".join(name for name, _ in some) or "all", np.logical_and.reduce(masks)


def _measure(query: Query, rows: Rows, speech: Speech) -> Result:
    found = [number_of(query, rows, mask, name) for name, mask in _sets(query, rows, speech)]
    if query.by is not None and not query.against:
        found = [one for one in found if _is_shown(one, query)]
    lost, what = [speech.name(one.name) for one in found if not one.known], speech.what(query)
    require(len(lost) < len(found), f"{what}: there is no {rows.noun} of which that can be computed.")
    sides = query.by is None and query.show != "value"
    none = sides and len(query.against) > 1 and query.want == "count" and not any(one.n for one in found)
    require(not none, f"{what}: there are none on either side, so that nothing can be compared.")
    require(not (lost and sides), f"{what}: there is no value for {listed(lost)}, so that nothing can be compared.")
    text, value = _Told(query, rows, speech).text(found)
    return Result(f"{text}{speech.remarks(query)}", _table(query, found), value)


def _is_shown(one: _Number, query: Query) -> bool:
    """Whether a group has a number; those without rows have a number of rows, 0, and no other."""
    if query.want == "count":
        return one.of > 0 or query.show not in ("groups", "any")
    return one.of > 0 and (one.known or query.show == "value")


def _table(query: Query, found: Sequence[_Number]) -> pd.DataFrame:
    names = ["group", "n", "n_in", query.want]
    table = pd.DataFrame([(one.name, one.n, one.of, one.value) for one in found], columns=names)
    if query.want == "count":
        table = table.drop(columns="count").assign(fraction=table["n"] / table["n_in"].replace(0, np.nan))
    if query.of:
        table.insert(1, "field", " and ".join(query.of))
    return table


def _yes(holds: bool) -> str:
    return "Yes" if holds else "No"


class _Told:
    """Sentences about the numbers of a query, each with what is asked for by itself."""

    def __init__(self, query: Query, rows: Rows, speech: Speech) -> None:
        self.query, self.rows, self.speech = query, rows, speech
        self.what = speech.what(query)
        self.lowered = lowered(self.what)
        self.column = " and ".join(map(speech.name, filter(None, (query.by, query.then))))
        self.pick: Callable[..., Any] = {"most": max, "least": min}[query.order]
        self.sign, self.bound = query.bound

    def text(self, found: list[_Number]) -> _Said:
        """Say the numbers as the query wants them shown."""
        query = self.query
        if query.by is None:
            return self.compared(found) if query.against else self.one(found[0])
        if query.against:
            return self.pairs(found)
        sign = -1 if query.order == "most" else 1
        order = sorted(found, key=lambda one: (not one.known, sign * one.value if one.known else 0.0, one.name))
        rank = self.rank_in_each if query.then else self.rank
        shown = {"groups": self.passing, "any": self.passing, "rank": rank, "check": self.all_of, "value": self.each}
        return shown[query.show](order)

    # ------------------------------------------------------------ words

    def number(self, one: _Number) -> str:
        """Show a number with the rows that it is of."""
        want, rows = self.query.want, self.rows
        if want == "count":
            return f"{one.n:,} of {rows.counted(one.of)}" if one.n != one.of else rows.counted(one.n)
        if not one.known:
            return "no value"
        if want == "fraction":
            return f"{percent(one.value)} ({one.n:,} of {rows.counted(one.of)})"
        field = "" if want == "correlation" else self.query.of[0]
        return f"{self.speech.value(field, one.value, exact=want not in ('min', 'max', 'sum'))} ({rows.counted(one.n)})"

    def named(self, found: Sequence[_Number]) -> str:
        """List groups with their numbers."""
        said = [f"{self.speech.name(one.name)}: {self.number(one)}" for one in found[:_SHOWN]]
        return "; ".join(said) + more(len(found), _SHOWN, "; and")

    def holds(self, one: _Number) -> bool:
        """Whether a number passes the bound that was asked."""
        return bool(COMPARE[self.sign](one.value, self.bound))

    # ------------------------------------------------------------ one number

    def one(self, one: _Number) -> _Said:
        """Say one number, or yes or no."""
        said = f"{self.number(one)}{self._absent(one)}"
        if self.query.show != "check":
            return f"{self.what}: {said}{self._parts()}.", one.value
        if self.query.check is not None:
            return f"{_yes(self.holds(one))}: {self.lowered}: {said}.", self.holds(one)
        word, value = self.by_share([one])
        return f"{word}: {self.lowered}: {said} {_RULE}.", value

    @staticmethod
    def by_share(found: Sequence[_Number]) -> tuple[str, bool | None]:
        """Say yes or no of shares of which none is named: "does cluster 5 express CD3D?"."""
        least = min(one.value for one in found)
        return ("Yes", True) if least > _MOST else ("No", False) if least < LEAST_FRACTION else ("In part", None)

    def _parts(self) -> str:
        """Say how many rows each of several groups has that were counted together."""
        held = self.query.where
        if self.query.want != "count" or held is None or held.op != "or":
            return ""
        if not held.of_groups or len(held.fields()) > 1:
            return ""
        parts = [f"{self.speech.short(one)} {int(self.rows.mask(one).sum()):,}" for one in held.parts]
        return f" ({', '.join(parts)})"

    def _absent(self, one: _Number) -> str:
        """Say which name no row has, where nothing was counted."""
        where = self.query.where
        if self.query.want != "count" or one.n or where is None:
            return ""
        for leaf in where.leaves():
            names = self.rows.groups(leaf.column).names if leaf.field in self.rows.group_fields else leaf.values
            lost = [str(value) for value in leaf.values if value not in names]
            if lost:
                return f"; there are no {self.rows.noun}s labelled {lost[0]!r}, or a kind of it, in {leaf.column!r}"
        return ""

    # ------------------------------------------------------------ two sides

    def compared(self, found: list[_Number]) -> _Said:
        """Say the numbers of the sides, and what follows from them."""
        query, said, values = self.query, self.named(found), [one.value for one in found]
        if query.show == "check":
            asked = ", asked whether equal" if self.sign == "=" else ""
            return f"{_yes(self._more(found))}: {self.lowered}{asked}: {said}.", self._more(found)
        if query.show == "rank":
            best = [one.name for one in found if one.value == self.pick(values)]
            end = f"the {_ENDS[query.order]} in {self.lowered}"
            return f"{listed(map(self.speech.name, best))}: {end}: {said}.", best
        if query.show == "ratio":
            ratio = values[0] / values[1] if values[1] else None
            shown = "none, since the second is 0" if ratio is None else f"{ratio:.4g}"
            return f"Ratio of {found[0].name} to {found[1].name} ({self.lowered}): {shown}. {said}.", ratio
        if query.show == "difference":
            first, second = found[::-1] if query.order == "least" else found
            gap = first.value - second.value
            return f"Difference between {first.name} and {second.name} ({self.lowered}): {self.gap(gap)}. {said}.", gap
        return f"{self.what}: {said}.", {one.name: one.value for one in found}

    def gap(self, value: float) -> str:
        """Show how much one side has more than the other."""
        return f"{100 * value:.2f} percentage points" if self.query.want == "fraction" else number(value)

    def _more(self, pair: Sequence[_Number]) -> bool:
        """Whether the first side has more, or less where that was asked."""
        return bool(COMPARE[self.sign](pair[0].value, pair[1].value))

    def pairs(self, found: list[_Number]) -> _Said:
        """Name the groups in which one side has more than the other."""
        first, second = map(self.speech.short, self.query.against)
        names = [one.name.removesuffix(f", {first}") for one in found[::2]]
        sides = zip(names, zip(found[::2], found[1::2], strict=True), strict=True)
        pairs = {name: pair for name, pair in sides if pair[0].known and pair[1].known}
        if self.query.show == "rank":
            return self.gaps(pairs, f"{first} and {second}")
        fits = {name: pair for name, pair in pairs.items() if self._more(pair)}
        shown = [f"{self.speech.name(name)}: {' and '.join(map(self.number, pair))}" for name, pair in fits.items()]
        more_in = f"{'more' if self.sign == '>' else 'less'} in {first} than in {second}"
        what = f"{len(fits)} of {len(pairs)} groups, {self.lowered.removeprefix('all ')}: {more_in}"
        head = f"{self.column} {listed(map(self.speech.name, fits)) or 'None'}: {what}"
        return f"{': '.join(filter(None, [head, '; '.join(shown[:_SHOWN])]))}.", list(fits)

    def gaps(self, pairs: Mapping[str, Sequence[_Number]], sides: str) -> _Said:
        """Name the groups in which the first side has the most more than the second, or the least more."""
        gap = {name: pair[0].value - pair[1].value for name, pair in pairs.items()}
        fits = sorted(filter(lambda one: gap[one] > 0, gap), key=lambda one: (gap[one], one))
        fits = fits if self.query.order == "least" else fits[::-1]
        require(fits, f"{self.what}: in no group of {self.column} is there such a difference between {sides}.")
        best = fits[: self.query.top] if self.query.top else [one for one in fits if gap[one] == gap[fits[0]]]
        said = [
            f"{self.speech.name(name)} {self.gap(gap[name])} ({' and '.join(map(self.number, pairs[name]))})"
            for name in [*best, *fits[len(best) : len(best) + 3]]
        ]
        head = f"{self.column} {listed(map(self.speech.name, best))}: the {_ENDS[self.query.order]} difference between"
        return f"{head} {sides} ({self.lowered}): {'; '.join(said)}.", best

    # ------------------------------------------------------------ groups

    def each(self, order: list[_Number]) -> _Said:
        """Say the number of every group."""
        return f"By {self.column}, {self.lowered}: {self.named(order)}.", {one.name: one.value for one in order}

    def all_of(self, order: list[_Number]) -> _Said:
        """Say whether all groups pass."""
        if self.query.want == "fraction" and self.query.check is None:
            word, value = self.by_share(order)
            return f"{word}, in each of {self.column}: {self.lowered}: {self.named(order)} {_RULE}.", value
        yes = all(map(self.holds, order))
        return f"{'Yes, for' if yes else 'No, not for'} all of {self.column}: {self.lowered}: {self.named(order)}.", yes

    def passing(self, order: list[_Number]) -> _Said:
        """Name the groups whose number passes the bound."""
        fits, found_any = list(filter(self.holds, order)), self.query.show == "any"
        if not fits:
            end, nearest = ("highest", order[0]) if self.sign in (">", ">=") else ("lowest", order[-1])
            said = f"the {end} is {self.speech.name(nearest.name)} ({self.number(nearest)})"
            none: Any = False if found_any else 0 if self.query.words else []
            return f"No group of {self.column} fits: {self.speech.passed(self.query)}; {said}.", none
        found = sorted((one.name for one in fits), key=_numbers_first)
        shares = "; ".join(f"{self.speech.name(one.name)} ({self.number(one)})" for one in fits[:_SHOWN])
        aside = tables.unnamed(self.query.column, self.rows, self.rows.asked)
        head = f"{'Yes: ' if found_any else ''}{self.column} {listed(map(self.speech.name, found))}"
        groups = f"{len(fits)} group{'s' if len(fits) > 1 else ''}"
        value: Any = True if found_any else len(found) if self.query.words else found
        return f"{head} ({groups}): {self.speech.passed(self.query)}: {shares}.{aside}", value

    def rank(self, order: list[_Number]) -> _Said:
        """Name the groups at one end, and those that come next."""
        at, top = (self.query.nth or 1) - 1, self.query.top or 1
        if at >= len(order):
            return f"{self.column} has only {len(order)} groups.", None
        best, tied = order[at : at + top], ""
        if top == 1:
            best = [one for one in order if one.value == order[at].value]
            tied = f" ({len(best)} tie)" if len(best) > 1 else ""
        head = listed(f"{self.column} {self.speech.name(one.name)}" for one in best)
        rank = f"number {at + 1}" if at else f"the {_ENDS[self.query.order]}"
        text = f"{head}{tied}: {rank} in {self.lowered}, {'; '.join(map(self.number, best))}."
        rest = [f"{self.speech.name(one.name)} ({self.number(one)})" for one in order if one not in best][:3]
        if rest and not at:
            text = f"{text} Next: {'; '.join(rest)}."
        return text, best[0].value if self.query.words else [one.name for one in best]

    def rank_in_each(self, found: list[_Number]) -> _Said:
        """Name, in each group of the second column, the group of the first at one end."""
        said, value = [], {}
        for name in self.rows.groups(self.query.then or "").names:
            some = [one for one in found if one.n and one.name.endswith(f", {name}")]
            best = [one for one in some if one.value == self.pick(other.value for other in some)]
            if best:
                value[name] = [one.name.removesuffix(f", {name}") for one in best]
                names = listed(map(self.speech.name, value[name]))
                said.append(f"{self.speech.name(name)}: {names} ({self.number(best[0])})")
        first, second = self.speech.name(self.query.by), self.speech.name(self.query.then)
        return f"The {self.query.order} of {first} in each of {second}, {self.lowered}: {'; '.join(said)}.", value


def _numbers_first(name: str) -> tuple[int, float, str]:
    return (0, float(name), name) if name.replace(".", "", 1).isdigit() else (1, 0.0, name)
