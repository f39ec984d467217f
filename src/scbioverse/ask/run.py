"""A query on rows: numbers from code, and a sentence that says what was understood and what was found."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import listed
from . import genes, tables
from .answer import Result
from .cells import LEAST_FRACTION
from .query import COMPARE, FIELDS, Query, require
from .say import lowered, more, number, percent, yes_or_no

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .rows import Rows
    from .say import Speech

    _Said = tuple[str, Any]

_MOST = 0.5  # cells of which what holds is said of all
_RULE = f"(yes: over {_MOST:.0%}, no: under {LEAST_FRACTION:.0%})"
_SHOWN = 40
_FIELDS_SAID = ("no field", "one field", "two fields")
_ENDS = {"most": "highest", "least": "lowest"}
_EXTREMES = {"most": "max", "least": "min"}
_RUNS: dict[str, Callable[[Query, Any, Speech], Result]] = {
    "groups": tables.groups, "list": tables.listing, "value": tables.values, "composition": tables.composition,
    "describe": tables.describe, "nearest": tables.alike, "genes": genes.measured, "expressed": genes.expressed,
    "markers": genes.markers, "is marker": genes.is_marker,
    "differential": genes.differential, "flag": genes.flagged, "why": genes.why, "define": genes.define,
    "gene": genes.about,
}  # fmt: skip


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
    require(rows.group_fields.isdisjoint(query.of), f"{speech.what(query)}: names of groups are no numbers.")
    n = FIELDS[query.want]
    said = f"{speech.what(query)}: this needs {_FIELDS_SAID[n]}, and {len(query.of)} are named."
    require(len(query.of) == n, said)
    pairs = query.show in ("groups", "any", "rank") and len(query.against) == 2
    plain = query.by is None or not query.against or pairs
    require(plain, "Ask for numbers by group, or for the two that are compared: not for both at once.")
    alone = len(query.against) == 1 and query.show in ("check", "ratio", "difference")
    require(not alone, f"{speech.what(query)}: one side is named, and there is no other to compare it with.")
    return _measure(query, rows, speech)


def _number_of(query: Query, rows: Rows, mask: NDArray[np.bool_]) -> tuple[float, int, int]:
    """Work out the number that a query wants of some rows, with how many rows it is of, and among how many."""
    inside = mask & rows.mask(query.among)
    if not query.of:
        # Rows of which it cannot be known are in neither number.
        held = pd.Series(inside if query.where is None else rows.known(query.where))[inside]
        n, of = int(held.sum()), int(held.count())
        share = n / of if of else np.nan
        return n if query.want == "count" else share, n, of
    columns = np.stack([rows.numbers(one) for one in query.of], axis=1)[inside & rows.mask(query.where)]
    values = pd.DataFrame(columns[np.isfinite(columns).all(axis=1)])
    n = len(values)
    if n == 0:
        return np.nan, n, n
    # Of a field that does not vary there is no correlation, of one row no deviation.
    match query.want:
        case "correlation":
            found: Any = values.corr().iloc[0, -1]
        case "quantile":
            found = values[0].quantile(query.level or 0.5)
        case _:
            found = values[0].agg(query.want)
    return float(found), n, n


def _numbers(query: Query, rows: Rows, speech: Speech) -> pd.DataFrame:
    """Work out the number of each set of rows: of groups of the columns, each with the sides that are compared.

    Of a set of several columns `"group"` names all, `"last"` the last and `"rest"` those before it.
    """
    axes = [rows.group_masks(column) for column in (query.by, query.then) if column is not None]
    if query.against:
        axes.append([(speech.short(one), rows.mask(one)) for one in query.against])
    found = []
    for some in product(*axes):
        *rest, last = [name for name, _ in some] or ["all"]
        mask = np.logical_and.reduce([rows.asked, *(held for _, held in some)])
        found.append((", ".join([*rest, last]), ", ".join(rest), last, *_number_of(query, rows, mask)))
    return pd.DataFrame(found, columns=["group", "rest", "last", "value", "n", "n_in"])


def _measure(query: Query, rows: Rows, speech: Speech) -> Result:
    found, what = _numbers(query, rows, speech), speech.what(query)
    if query.by is not None and not query.against:
        found = _with_numbers(found, query)
    lost = found.loc[found["value"].isna(), "group"]
    require(len(lost) < len(found), f"{what}: there is no {rows.noun} of which that can be computed.")
    sides = query.by is None and query.show != "value"
    none = sides and len(query.against) > 1 and query.want == "count" and not found["n"].any()
    require(not none, f"{what}: there are none on either side, so that nothing can be compared.")
    said = f"{what}: there is no value for {listed(map(speech.name, lost))}, so that nothing can be compared."
    require(lost.empty or not sides, said)
    text, value = _Told(query, rows, speech, found).text()
    return Result(f"{text}{speech.remarks(query)}", _table(query, found), value)


def _with_numbers(found: pd.DataFrame, query: Query) -> pd.DataFrame:
    """Leave out groups without a number; those without rows have a number of rows, 0, and no other."""
    if query.want == "count" and query.show not in ("groups", "any"):
        return found
    there = found[found["n_in"] > 0]
    return (there if query.show == "value" else there.dropna(subset=["value"])).reset_index(drop=True)


def _table(query: Query, found: pd.DataFrame) -> pd.DataFrame:
    table = found[["group", "n", "n_in"]]
    if query.want == "count":
        return table.assign(fraction=table["n"] / table["n_in"].replace(0, np.nan))
    table = table.assign(**{query.want: found["value"]})
    if query.of:
        table.insert(1, "field", " and ".join(query.of))
    return table


class _Told:
    """Sentences about the numbers of a query, each with what is asked for by itself."""

    def __init__(self, query: Query, rows: Rows, speech: Speech, found: pd.DataFrame) -> None:
        self.query, self.rows, self.speech = query, rows, speech
        self.what = speech.what(query)
        self.lowered = lowered(self.what)
        self.column = " and ".join(map(speech.name, filter(None, (query.by, query.then))))
        self.sign, self.bound = query.bound
        self.counted = query.where if query.want == "count" else None
        # "name" is a group as an answer shows it, "said" its number with the rows that it is of.
        said = [self.number(one) for one in found.itertuples()]
        self.found = found.assign(name=found["group"].map(speech.name), said=said)

    def text(self) -> _Said:
        """Say the numbers as the query wants them shown."""
        query, found = self.query, self.found
        if query.by is None:
            return self.compared(found) if query.against else self.one(next(found.itertuples()))
        if query.against:
            return self.pairs(found)
        order = found.sort_values(["value", "group"], ascending=[query.order == "least", True])
        rank = self.rank_in_each if query.then else self.rank
        shown = {"groups": self.passing, "any": self.passing, "rank": rank, "check": self.all_of, "value": self.each}
        return shown[query.show](order)

    # ------------------------------------------------------------ words

    def number(self, one: Any) -> str:
        """Show a number with the rows that it is of."""
        want, counted, among = self.query.want, self.rows.counted(one.n), f"{one.n:,} of {self.rows.counted(one.n_in)}"
        if want == "count":
            return counted if one.n == one.n_in else among
        if pd.isna(one.value):
            return "no value"
        if want == "fraction":
            return f"{percent(one.value)} ({among})"
        # A correlation has no unit.
        field = "" if want == "correlation" else self.query.of[0]
        return f"{self.speech.value(field, one.value, exact=want not in ('min', 'max', 'sum'))} ({counted})"

    def named(self, found: pd.DataFrame) -> str:
        """List groups with their numbers."""
        shown = found.head(_SHOWN)
        return "; ".join(shown["name"] + ": " + shown["said"]) + more(len(found), _SHOWN, "; and")

    def holds(self, value: Any) -> Any:
        """Whether a number passes the bound that was asked, or which of several do."""
        return COMPARE[self.sign](value, self.bound)

    def at_the_end(self, found: pd.DataFrame) -> pd.DataFrame:
        """Return the groups at the end that is asked for."""
        return found[found["value"] == found["value"].agg(_EXTREMES[self.query.order])]

    # ------------------------------------------------------------ one number

    def one(self, one: Any) -> _Said:
        """Say one number, or yes or no."""
        said = f"{one.said}{self._absent(one.n)}"
        if self.query.show != "check":
            return f"{self.what}: {said}{self._parts()}.", one.value
        if self.query.check is not None:
            yes = bool(self.holds(one.value))
            return f"{yes_or_no(yes)}: {self.lowered}: {said}.", yes
        word, value = self.by_share(one.value)
        return f"{word}: {self.lowered}: {said} {_RULE}.", value

    @staticmethod
    def by_share(least: float) -> tuple[str, bool | None]:
        """Say yes or no of shares, by the least of them, of which none is named: "does cluster 5 express CD3D?"."""
        return ("Yes", True) if least > _MOST else ("No", False) if least < LEAST_FRACTION else ("In part", None)

    def _parts(self) -> str:
        """Say how many rows each of several groups has that were counted together."""
        held = self.counted
        if held is None or held.op != "or" or not held.of_groups:
            return ""
        parts = [f"{self.speech.short(one)} {int(self.rows.mask(one).sum()):,}" for one in held.parts]
        return f" ({', '.join(parts)})" if len(held.fields()) == 1 else ""

    def _absent(self, n: int) -> str:
        """Say which name no row has, where nothing was counted."""
        if n or self.counted is None:
            return ""
        named = [leaf for leaf in self.counted.leaves() if leaf.field in self.rows.group_fields]
        pairs = [(str(value), leaf.column) for leaf in named for value in leaf.values]
        lost = [(name, column) for name, column in pairs if name not in self.rows.groups(column).names]
        said = [f"; there are no {self.rows.noun}s labelled {one!r}, or a kind of it, in {at!r}" for one, at in lost]
        return "".join(said[:1])

    # ------------------------------------------------------------ two sides

    def compared(self, found: pd.DataFrame) -> _Said:
        """Say the numbers of the sides, and what follows from them."""
        query, said, values, names = self.query, self.named(found), found["value"].tolist(), found["group"].tolist()
        match query.show:
            case "check":
                asked = ", asked whether equal" if self.sign == "=" else ""
                yes = self.more(*values[:2])
                return f"{yes_or_no(yes)}: {self.lowered}{asked}: {said}.", yes
            case "rank":
                best = self.at_the_end(found)
                end = f"the {_ENDS[query.order]} in {self.lowered}"
                return f"{listed(best['name'])}: {end}: {said}.", best["group"].tolist()
            case "ratio":
                ratio = values[0] / values[1] if values[1] else None
                shown = "none, since the second is 0" if ratio is None else f"{ratio:.4g}"
                return f"Ratio of {names[0]} to {names[1]} ({self.lowered}): {shown}. {said}.", ratio
            case "difference":
                first, second = (1, 0) if query.order == "least" else (0, 1)
                gap = values[first] - values[second]
                between = f"Difference between {names[first]} and {names[second]} ({self.lowered})"
                return f"{between}: {self.gap(gap)}. {said}.", gap
        return f"{self.what}: {said}.", dict(zip(names, values, strict=True))

    def gap(self, value: float) -> str:
        """Show how much one side has more than the other."""
        return f"{100 * value:.2f} percentage points" if self.query.want == "fraction" else number(value)

    def more(self, first: Any, second: Any) -> Any:
        """Whether the first side has more, or less where that was asked."""
        return COMPARE[self.sign](first, second)

    def pairs(self, found: pd.DataFrame) -> _Said:
        """Name the groups in which one side has more than the other."""
        sides = list(map(self.speech.short, self.query.against))
        first, second = (found.iloc[at::2].reset_index(drop=True) for at in (0, 1))
        pairs = pd.DataFrame({
            "group": first["rest"], "name": first["rest"].map(self.speech.name),
            "said": first["said"] + " and " + second["said"],
            "gap": first["value"] - second["value"], "more": self.more(first["value"], second["value"]),
        }).dropna(subset=["gap"])  # fmt: skip
        if self.query.show == "rank":
            return self.gaps(pairs, " and ".join(sides))
        fits = pairs[pairs["more"]]
        more_in = f"{'more' if self.sign == '>' else 'less'} in {sides[0]} than in {sides[1]}"
        what = f"{len(fits)} of {len(pairs)} groups, {self.lowered.removeprefix('all ')}: {more_in}"
        shown = "; ".join((fits["name"] + ": " + fits["said"]).head(_SHOWN))
        text = f"{self.column} {listed(fits['name']) or 'None'}: {what}{': ' * bool(shown)}{shown}."
        return text, fits["group"].tolist()

    def gaps(self, pairs: pd.DataFrame, sides: str) -> _Said:
        """Name the groups in which the first side has the most more than the second, or the least more."""
        fits = pairs[pairs["gap"] > 0].sort_values(["gap", "group"], ascending=self.query.order == "least")
        between = f"difference between {sides}"
        none = f"{self.what}: in no group of {self.column} is there such a {between}."
        require(not fits.empty, none)
        best = fits.head(self.query.top) if self.query.top else fits[fits["gap"] == fits["gap"].iloc[0]]
        shown = fits.head(len(best) + 3)
        said = "; ".join(shown["name"] + " " + shown["gap"].map(self.gap) + " (" + shown["said"] + ")")
        head = f"{self.column} {listed(best['name'])}: the {_ENDS[self.query.order]} {between}"
        return f"{head} ({self.lowered}): {said}.", best["group"].tolist()

    # ------------------------------------------------------------ groups

    def each(self, order: pd.DataFrame) -> _Said:
        """Say the number of every group."""
        value = dict(zip(order["group"], order["value"], strict=True))
        return f"By {self.column}, {self.lowered}: {self.named(order)}.", value

    def all_of(self, order: pd.DataFrame) -> _Said:
        """Say whether all groups pass."""
        if self.query.want == "fraction" and self.query.check is None:
            word, value = self.by_share(order["value"].min())
            return f"{word}, in each of {self.column}: {self.lowered}: {self.named(order)} {_RULE}.", value
        yes = bool(self.holds(order["value"]).all())
        return f"{'Yes, for' if yes else 'No, not for'} all of {self.column}: {self.lowered}: {self.named(order)}.", yes

    def passing(self, order: pd.DataFrame) -> _Said:
        """Name the groups whose number passes the bound."""
        fits, passed = order[self.holds(order["value"])], self.speech.passed(self.query)
        found = sorted(fits["group"], key=_numbers_first)
        value = bool(found) if self.query.show == "any" else len(found) if self.query.words else found
        if fits.empty:
            end, at = ("highest", 0) if self.sign in (">", ">=") else ("lowest", -1)
            nearest = order.iloc[at]
            said = f"the {end} is {nearest['name']} ({nearest['said']})"
            return f"No group of {self.column} fits: {passed}; {said}.", value
        shown = fits.head(_SHOWN)
        shares = "; ".join(shown["name"] + " (" + shown["said"] + ")")
        aside = tables.unnamed(self.query.column, self.rows, self.rows.asked)
        head = f"{'Yes: ' * (value is True)}{self.column} {listed(map(self.speech.name, found))}"
        return f"{head} ({len(fits)} group{'s' * (len(fits) > 1)}): {passed}: {shares}.{aside}", value

    def rank(self, order: pd.DataFrame) -> _Said:
        """Name the groups at one end, and those that come next."""
        at, top = (self.query.nth or 1) - 1, self.query.top or 1
        if at >= len(order):
            return f"{self.column} has only {len(order)} groups.", None
        # Of one that is asked for, those that tie with it are named as well.
        best = order.iloc[at : at + top] if top > 1 else order[order["value"] == order["value"].iloc[at]]
        tied = f" ({len(best)} tie)" if len(best) > top else ""
        head = listed(f"{self.column} {name}" for name in best["name"])
        rank = f"number {at + 1}" if at else f"the {_ENDS[self.query.order]}"
        text = f"{head}{tied}: {rank} in {self.lowered}, {'; '.join(best['said'])}."
        rest = order.drop(best.index).head(3)
        if len(rest) and not at:
            text = f"{text} Next: {'; '.join(rest['name'] + ' (' + rest['said'] + ')')}."
        return text, best["value"].tolist()[0] if self.query.words else best["group"].tolist()

    def rank_in_each(self, order: pd.DataFrame) -> _Said:
        """Name, in each group of the second column, the group of the first at one end."""
        first, second = self.speech.name(self.query.by), self.speech.name(self.query.then)
        there, names = order[order["n"] > 0], self.rows.groups(self.query.then or "").names
        said, value = [], {}
        for name, some in there.groupby(pd.CategoricalIndex(there["last"], names), observed=True):
            best = self.at_the_end(some)
            value[str(name)] = best["rest"].tolist()
            shown = listed(map(self.speech.name, best["rest"]))
            said.append(f"{self.speech.name(name)}: {shown} ({best['said'].iloc[0]})")
        return f"The {self.query.order} of {first} in each of {second}, {self.lowered}: {'; '.join(said)}.", value


def _numbers_first(name: str) -> tuple[int, float, str]:
    return (0, float(name), name) if name.replace(".", "", 1).isdigit() else (1, 0.0, name)
