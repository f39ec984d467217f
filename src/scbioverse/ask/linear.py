"""A query in one line, as a language model writes it: "count where T1 and not G1 by C1".

A line is made of symbols: what is wanted, then sections in a fixed order. Its grammar is a finite automaton, so that
decoding can be held to lines that mean something; "or" binds more tightly than "and".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .bounds import percent
from .fill import possible
from .query import FIELDS, MEASURES, Query, Where, both

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .link import Names
    from .words import Link

NONE = "none"
_NUMBER = ("of", "where", "among", "by", "sides", "rank", "check", "filter", "any", "ratio", "difference")
# What is wanted, and the sections that may follow.
WANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "count": ("count", _NUMBER), "fraction": ("fraction", _NUMBER), "mean": ("mean", _NUMBER),
    "median": ("median", _NUMBER), "deviation": ("std", _NUMBER), "minimum": ("min", _NUMBER),
    "maximum": ("max", _NUMBER), "total": ("sum", _NUMBER), "correlation": ("correlation", ("of", "where", "by")),
    "groups": ("groups", ("where", "by")), "list": ("list", ("of", "where", "rows", "rank", "check")),
    "value": ("value", ("of", "rows", "rank", "check")), "composition": ("composition", ("where", "by")),
    "markers": ("markers", ("where", "by", "top")), "whether": ("is marker", ("of", "where")),
    "distinguish": ("differential", ("where", "sides")), "doublets": ("flag", ("by",)), "lowquality": ("flag", ("by",)),
    "why": ("why", ("among", "sides")), "define": ("define", ("where",)), "about": ("gene", ("of",)),
    "overall": ("genes", ()), "describe": ("describe", ("rows",)), "nearest": ("nearest", ("rows",)), NONE: ("", ()),
}  # fmt: skip
SIGNS = {"above": ">", "below": "<", "from": ">=", "upto": "<=", "exactly": "="}
CONSTANTS = {"half": 0.5, "all": 1.0, "nothing": 0.0}
_SIGNED = dict.fromkeys(SIGNS, "number") | {"between": "low", "missing": "held"}
_BOUNDED = dict.fromkeys(SIGNS, "limit") | {"more": "end", "less": "end"}
# From each state, what may be written and the state that it leads to; "*" is any later section, or the end.
_STEPS: dict[str, dict[str, str]] = {
    "where": {"T": "held", "G": "gene", "M": "sign", "genes": "sign", "not": "plain"},
    "plain": {"T": "held", "G": "gene", "M": "sign", "genes": "sign"},
    "gene": {**_SIGNED, "and": "where", "or": "where", "to": "where", "*": ""},
    "sign": _SIGNED,
    "low": {"N": "number"},
    "number": {"N": "held"},
    "held": {"and": "where", "or": "where", "to": "where", "*": ""},
    "of": {"G": "fields", "M": "fields", "C": "fields", "genes": "fields"},
    "fields": {"G": "fields", "M": "fields", "genes": "fields", "*": ""},
    "by": {"C": "columns"},
    "columns": {"C": "end", "*": ""},
    "rows": {"R": "named"},
    "named": {"R": "named", "*": ""},
    "rank": {"most": "ranked", "least": "ranked"},
    "ranked": {"top": "top", "nth": "top", "*": ""},
    "top": {"N": "end"},
    "check": {**_BOUNDED, "*": ""},
    "filter": _BOUNDED,
    "any": _BOUNDED,
    "limit": {"N": "end", **dict.fromkeys(CONSTANTS, "end")},
    "end": {"*": ""},
}  # fmt: skip
_JOINED = ("where", "among", "sides")


def symbols() -> list[str]:
    """Return every symbol that is no placeholder."""
    found = [*WANTS, *(section for _, sections in WANTS.values() for section in sections)]
    found += [one for steps in _STEPS.values() for one in steps if len(one) > 1]
    return list(dict.fromkeys(found))


def following(written: Sequence[str], held: Sequence[str]) -> list[str]:
    """Return the symbols that may follow what was written; "" is the end.

    Parameters
    ----------
    written
        Symbols so far.
    held
        Placeholders of the question; each is written once.
    """
    if not written:
        return list(WANTS)
    sections = WANTS[written[0]][1]
    state, at, sides = "start", -1, False
    for symbol in written[1:]:
        if symbol in sections and (state == "start" or "*" in _STEPS[state]) and symbol not in _STEPS.get(state, ()):
            at, state, sides = sections.index(symbol), _begun(symbol), symbol == "sides"
            continue
        state = _STEPS[state].get(symbol) or _STEPS[state][symbol[0]]
        sides = sides and symbol != "to"
    left = _left(one for one in [*held, "genes"] if one not in written)
    waits = sides and written[0] != "why"  # of two that are compared the second is still to come
    steps = {"*": ""} if state == "start" else _STEPS[state]
    found = []
    for step, after in steps.items():
        if step == "*":
            later = [] if waits and state in ("held", "gene") else sections[at + 1 :]
            found += [one for one in later if _ends(_begun(one), left, one == "sides" and written[0] != "why")]
            found += [] if waits and state in ("held", "gene") else [""]
        elif len(step) == 1:
            ways = [one for one in held if one[0] == step and one not in written]
            found += ways if ways and _ends(after, _without(left, step), waits) else []
        elif step == "genes":
            found += [step] if step not in written and _ends(after, _without(left, step), waits) else []
        elif (step != "to" or sides) and _ends(after, left, waits and step != "to"):
            found.append(step)
    return found


def _begun(section: str) -> str:
    """State behind the word that opens a section."""
    return "where" if section in _JOINED else "end" if section in ("ratio", "difference") else section


def _left(held: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Count the placeholders of each kind; "genes" is one of its own."""
    return tuple(sorted(Counter(one if one == "genes" else one[0] for one in held).items()))


def _without(left: tuple[tuple[str, int], ...], kind: str) -> tuple[tuple[str, int], ...]:
    return tuple((one, n - (one == kind)) for one, n in left if n > (one == kind))


@cache
def _ends(state: str, left: tuple[tuple[str, int], ...], waits: bool) -> bool:
    """Whether a line can come to an end from a state, with the placeholders that are left."""
    kinds = {one for one, _ in left}
    for step, after in _STEPS[state].items():
        if step == "*":
            if not (waits and state in ("held", "gene")):
                return True
        elif len(step) > 1 and step != "genes":
            if (step != "to" or waits) and _ends(after, left, waits and step != "to"):
                return True
        elif step in kinds and _ends(after, _without(left, step), waits):
            return True
    return False


@dataclass
class _Reading:
    """Reads the symbols of a line one after the other."""

    symbols: list[str]
    held: Mapping[str, Link]
    names: Names
    at: int = 0

    def next(self) -> str:
        """Return the symbol that stands here, "" at the end."""
        return self.symbols[self.at] if self.at < len(self.symbols) else ""

    def take(self) -> str:
        """Return it, and go on."""
        self.at += 1
        return self.symbols[self.at - 1]

    def measured(self) -> str:
        """Read what is measured."""
        symbol = self.take()
        if symbol == "genes":
            return self.names.usual("n_genes_by_counts")
        value = self.held[symbol].value
        return f"obs:{value}" if symbol[0] == "C" else str(value[0] if isinstance(value, tuple) else value)

    def number(self) -> float:
        """Read a number."""
        return float(self.held[self.take()].value)

    def literal(self) -> Where:
        """Read one comparison, or its opposite."""
        if self.next() == "not":
            self.take()
            return self.literal().negated()
        if self.next()[0] == "T":
            where: Where = self.held[self.take()].value
            return where
        counted, name = self.next()[0] == "G", self.measured()
        if self.next() == "between":
            self.take()
            return Where(op="between", field=name, values=tuple(sorted((self.number(), self.number()))))
        if self.next() == "missing":
            self.take()
            return Where(op="missing", field=name)
        if self.next() in SIGNS:
            sign: Any = SIGNS[self.take()]
            share = self.shared(self.next())
            bound = Where(op=sign, field="%" if share else name, values=(self.number(),))
            if share:
                inside, bound = percent(name, bound, self.names)
                if inside is None:
                    raise ValueError(f"{name} is no share")
                return bound.about(inside)
            return bound
        if not counted:
            raise ValueError(f"{name} without a bound")
        return Where(op=">", field=name, values=(0,))

    def shared(self, symbol: str) -> bool:
        """Whether a number was written in per cent, or as "half"."""
        link = self.held.get(symbol)
        return link is not None and (link.role == "HALF" or link.note == "%")

    def where(self) -> Where:
        """Read conditions joined by "and", of which each may be some joined by "or"."""
        clauses = [[self.literal()]]
        while self.next() in ("and", "or"):
            if self.take() == "and":
                clauses.append([])
            clauses[-1].append(self.literal())
        held = both(*(one[0] if len(one) == 1 else Where(op="or", parts=tuple(one)) for one in clauses))
        if held is None or not possible(held, self.names):
            raise ValueError("no row can be so")
        return held

    def limit(self, want: str) -> tuple[Any, float]:
        """Read the bound that a yes needs."""
        sign = SIGNS[self.take()]
        if self.next() in CONSTANTS:
            return sign, CONSTANTS[self.take()]
        share = self.shared(self.next())
        if share != (want == "fraction"):
            raise ValueError("a share is bounded by a share")
        return sign, self.number() / (100 if share else 1)


def query_of(symbols: Sequence[str], held: Mapping[str, Link], names: Names) -> Query:
    """Make the query that a line says.

    Raises
    ------
    ValueError
        The line cannot be meant: no row can fulfil it, or something is missing that this number needs.
    """
    line = _Reading(list(symbols), held, names)
    symbol = line.take()
    want = WANTS[symbol][0]
    found: dict[str, Any] = {"want": want}
    if want == "flag":
        found["words"] = {"doublets": "doublet", "lowquality": "lowq"}[symbol]
    while line.next():
        section = line.take()
        if section == "of":
            found["of"] = ()
            while line.next()[:1] in ("G", "M", "C") or line.next() == "genes":
                found["of"] += (line.measured(),)
        elif section in ("where", "among"):
            found[section] = line.where()
        elif section == "sides":
            found["against"] = [line.where()]
            while line.next() == "to":
                line.take()
                found["against"].append(line.where())
        elif section == "by":
            columns = [held[line.take()].value for _ in range(2) if line.next()[:1] == "C"]
            found |= dict(zip(("by", "then"), columns, strict=False))
        elif section == "rows":
            found["against"] = []
            while line.next()[:1] == "R":
                found["against"].append(names.row(held[line.take()]))
        elif section == "rank":
            found |= {"show": "rank", "order": line.take()}
        elif section in ("top", "nth"):
            number = line.number()
            if number < 1 or number % 1:
                raise ValueError("a rank is a whole number")
            found[section] = int(number)
        else:
            found["show"] = {"filter": "groups"}.get(section, section)
            if line.next() in ("more", "less"):
                found["order"] = {"more": "most", "less": "least"}[line.next()]
                found["check"] = (">" if line.take() == "more" else "<", 0.0)
            elif line.next() in SIGNS:
                found["check"] = line.limit(want)
    if want == "define":
        term = held[symbols[2]].items[:1] if len(symbols) == 3 and symbols[2] in held else ()
        known = bool(term) and str(term[0]).startswith("CL:")
        found |= {"words": str(term[0]), "where": None} if known else {"want": "composition"}
    query = Query.model_validate(found)
    _check(query)
    return query


def _check(query: Query) -> None:
    """Refuse a line that lacks a part, or has one too many."""
    sides, shown = len(query.against), query.show
    if query.want in MEASURES and len(query.of) != FIELDS.get(query.want, 1):
        raise ValueError("the number of fields")
    lacking = {
        "fraction": query.where is None, "markers": query.where is None and query.by is None,
        "differential": sides != 2, "why": query.among is None or not sides, "groups": query.by is None,
        "is marker": query.where is None or not query.of, "flag": query.by is None, "gene": not query.of,
        "describe": not sides, "nearest": sides != 1, "value": not sides or not query.of,
        "composition": query.where is None and query.by is None,
    }  # fmt: skip
    if lacking.get(query.want):
        raise ValueError("a part is missing")
    about = {frozenset(leaf.field for leaf in one.leaves()) for one in query.against}
    if sides == 2 and query.want != "why" and len(about) > 1:
        raise ValueError("two that are compared are of one column")
    if query.want in MEASURES and query.by is not None and sides and shown not in ("groups", "any"):
        raise ValueError("groups, or two that are compared")
    if shown in ("groups", "any") and (query.by is None or query.check is None):
        raise ValueError("which groups")
    if shown == "rank" and query.want in MEASURES and query.by is None and not sides:
        raise ValueError("a rank of what")
    if shown in ("ratio", "difference") and sides != 2:
        raise ValueError("two are compared")
    if query.want == "list" and shown != "rank" and query.where is None:
        raise ValueError("which rows")
