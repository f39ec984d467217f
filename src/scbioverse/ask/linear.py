"""A query in one line, as a language model writes it: "count where T1 and not G1 by C1".

A line is made of symbols: what is wanted, then sections in a fixed order. Its grammar (`data/lines.txt`) is a finite
automaton, so that decoding can be held to lines that mean something; "or" binds more tightly than "and".
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from .bounds import percent
from .fill import possible
from .query import FIELDS, Query, Where, both, require
from .words import lines_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .link import Names
    from .words import Link

    _Left = tuple[tuple[str, int], ...]

NONE = "none"
SIGNS: dict[str, Any] = {
    "above": ">", "below": "<", "from": ">=", "upto": "<=", "exactly": "=", "between": "between",
}  # fmt: skip
CONSTANTS = {"half": 0.5, "all": 1.0, "nothing": 0.0}
_NUMBER = ["of", "where", "among", "by", "sides", "rank", "check", "filter", "any", "ratio", "difference"]
_SECTIONS = frozenset([*_NUMBER, "rows", "top", "nth"])
_LITERAL = re.compile(r"(not )?(\S+)(?: (missing|\S+?)(?: (\S+))?(?: (\S+))?)?")
_FLAGS = {"doublets": "doublet", "lowquality": "lowq"}
# The parts that a query has to have, by what it wants, and how it is shown.
_NEEDS: dict[str, tuple[str, ...]] = {
    "fraction": ("where",), "markers": ("where or by",), "why": ("among", "against"), "groups": ("by",),
    "is marker": ("where", "of"), "flag": ("by",), "gene": ("of",), "describe": ("against",),
    "value": ("against", "of"), "composition": ("where or by",), "list": ("where",), "list rank": ("of",),
}  # fmt: skip
_SIDES = {"differential": 2, "nearest": 1}


@cache
def _grammar() -> tuple[dict[str, tuple[str, list[str]]], dict[str, dict[str, str]]]:
    """Read what each first symbol wants, with its sections; and the symbols from each state, with the state behind."""
    wants: dict[str, tuple[str, list[str]]] = {}
    steps: dict[str, dict[str, str]] = {}
    for line in lines_of("lines.txt"):
        heads, sign, rest = re.split(r" ([:>]) ?", line.replace("NUMBER", " ".join(_NUMBER)))
        if sign == ":":
            named = [one.partition("=") for one in heads.split()]
            wants |= {symbol: ((want or symbol).replace("_", " "), rest.split()) for symbol, _, want in named}
            continue
        for place in ("", "first-", "other-") if "~" in heads else ("",):
            ways = dict(one.split() for one in rest.replace("~", place).split(", "))
            steps |= dict.fromkeys(heads.replace("~", place).split(), ways)
    return wants, steps


@cache
def symbols() -> list[str]:
    """Return every symbol that is no placeholder."""
    wants, steps = _grammar()
    found = [*wants, *(section for _, sections in wants.values() for section in sections)]
    found += [one for ways in steps.values() for one in ways if len(one) > 1]
    return list(dict.fromkeys(found))


def following(written: Sequence[str], held: Sequence[str]) -> list[str]:
    """Return the symbols that may follow what was written; "" is the end. Each placeholder is written once."""
    wants, steps = _grammar()
    if not written:
        return list(wants)
    sections, state, at = wants[written[0]][1], "end", -1
    for symbol in written[1:]:
        kind = symbol if symbol in steps[state] else symbol[0]
        if kind in steps[state]:
            state = steps[state][kind]
        else:
            state, at = _begun(written[0], symbol), sections.index(symbol)
    free = [one for one in held if one not in written]
    left = tuple(sorted(Counter(one if one == "genes" else one[0] for one in free).items()))
    found = []
    for symbol, after in steps[state].items():
        if symbol == "*":
            found += [one for one in sections[at + 1 :] if _ends(_begun(written[0], one), left)] + [""]
        elif _ends(after, _without(left, symbol)):
            found += [one for one in free if symbol in (one, one[0])] if _is_name(symbol) else [symbol]
    return found


def _begun(first: str, section: str) -> str:
    """State in which a section begins."""
    return f"{first}-{section}" if f"{first}-{section}" in _grammar()[1] else section


def _is_name(symbol: str) -> bool:
    """Whether a symbol stands for something of the question; that is written once."""
    return symbol == "genes" or (len(symbol) == 1 and symbol != "*")


def _without(left: _Left, kind: str) -> _Left:
    return tuple((one, n - (one == kind)) for one, n in left if n > (one == kind))


@cache
def _ends(state: str, left: _Left) -> bool:
    """Whether a line can come to an end from a state, with so many placeholders of each kind that are left."""
    steps = _grammar()[1][state].items()
    ways = [(symbol, after) for symbol, after in steps if not _is_name(symbol) or symbol in dict(left)]
    return any(symbol == "*" or _ends(after, _without(left, symbol)) for symbol, after in ways)


class _Reading:
    """Reads what the symbols of a line stand for."""

    def __init__(self, held: Mapping[str, Link], names: Names) -> None:
        self.held, self.names = held, names

    def field(self, symbol: str) -> str:
        """Return what is measured."""
        if symbol == "genes":
            return self.names.rows.usual("n_genes_by_counts")
        value = self.held[symbol].value
        return f"obs:{value}" if symbol[0] == "C" else str(value[0] if isinstance(value, tuple) else value)

    def shared(self, symbol: str) -> bool:
        """Whether a number was written in per cent, or as "half"."""
        link = self.held.get(symbol)
        return link is not None and (link.role == "HALF" or link.note == "%")

    def literal(self, text: str) -> Where:
        """Read one comparison, or its opposite."""
        denied, name, sign, *numbers = _LITERAL.fullmatch(text).groups()  # type: ignore[union-attr]
        where = self.held[name].value if name[0] == "T" else self.bound(name, sign, [one for one in numbers if one])
        return where.negated() if denied else where

    def bound(self, name: str, sign: str | None, numbers: list[str]) -> Where:
        """Read a comparison of a number; a gene by itself is expressed."""
        field: str | None = self.field(name)
        if sign == "missing":
            return Where(op="missing", field=field or "")
        require(sign or name[0] == "G", f"{name} without a bound")
        values = sorted(float(self.held[one].value) for one in numbers)
        where = Where(op=SIGNS[sign or "above"], values=tuple(values) or (0,))
        if sign != "between" and any(map(self.shared, numbers)):
            field, where = percent(field or "", where, self.names)
        require(field, f"{name} is no share")
        return where.about(field or "")

    def where(self, words: list[str]) -> Where | None:
        """Read conditions joined by "and", of which each may be some joined by "or"."""
        clauses = [map(self.literal, one.split(" or ")) for one in " ".join(words).split(" and ")]
        held = both(*(both(*one, op="or") for one in clauses))
        require(possible(held, self.names), "no row can be so")
        return held

    def limit(self, words: list[str], want: str) -> dict[str, Any]:
        """Read the bound that a yes needs, or which of two sides has more."""
        if words[0] in ("more", "less"):
            more = words[0] == "more"
            return {"order": "most" if more else "least", "check": (">" if more else "<", 0.0)}
        sign, number = words
        if number in CONSTANTS:
            return {"check": (SIGNS[sign], CONSTANTS[number])}
        require(self.shared(number) == (want == "fraction"), "a share is bounded by a share")
        return {"check": (SIGNS[sign], float(self.held[number].value) / (100 if self.shared(number) else 1))}

    def section(self, name: str, words: list[str], want: str) -> dict[str, Any]:
        """Read a section as parts of a query."""
        if name in ("where", "among"):
            return {name: self.where(words)}
        if name == "of":
            return {"of": tuple(map(self.field, words))}
        if name == "by":
            return dict(zip(("by", "then"), (self.held[one].value for one in words), strict=False))
        if name == "rows":
            return {"against": tuple(self.names.row(self.held[one]) for one in words)}
        if name == "sides":
            return {"against": tuple(self.where(one.split()) for one in " ".join(words).split(" to "))}
        if name == "rank":
            return {"show": "rank", "order": words[0]}
        if name in ("top", "nth"):
            number = float(self.held[words[0]].value)
            require(number >= 1 and not number % 1, "a rank is a whole number")
            return {name: int(number)}
        return {"show": {"filter": "groups"}.get(name, name)} | (self.limit(words, want) if words else {})


def query_of(line: Sequence[str], held: Mapping[str, Link], names: Names) -> Query:
    """Make the query that a line says; raise a RefusedError where no row can fulfil it, or something is missing."""
    first, *rest = line
    found: dict[str, Any] = {"want": _grammar()[0][first][0], "words": _FLAGS.get(first, "")}
    sections: list[tuple[str, list[str]]] = []
    for symbol in rest:
        if symbol in _SECTIONS:
            sections.append((symbol, []))
        else:
            sections[-1][1].append(symbol)
    reading = _Reading(held, names)
    for name, words in sections:
        found |= reading.section(name, words, found["want"])
    if first == "define":
        term = held[line[2]].term if len(line) == 3 and line[2] in held else ""
        known = term.startswith("CL:")
        found |= {"words": term, "where": None} if known else {"want": "composition"}
    query = Query.model_validate(found)
    _check(query)
    require(all(possible(both(query.where, one), names) for one in query.against), "no row of a side can be so")
    return query


def _check(query: Query) -> None:
    """Refuse a line that lacks a part, or has one too many."""
    sides, number, shown = len(query.against), query.want in FIELDS, query.show
    needs = _NEEDS.get(f"{query.want} {shown}", _NEEDS.get(query.want, ()))
    about = {frozenset(one.fields()) for one in query.against}
    bad = {
        "a part is missing": not all(any(getattr(query, name) for name in some.split(" or ")) for some in needs),
        "the number of sides": sides != _SIDES.get(query.want, sides),
        "the number of fields": len(query.of) != FIELDS.get(query.want, len(query.of)),
        "two that are compared are of one column": sides == 2 and query.want != "why" and len(about) > 1,
        "groups, or two that are compared": number and query.by and sides and shown not in ("groups", "any"),
        "which groups": shown in ("groups", "any") and None in (query.by, query.check),
        "groups of a column twice": query.then is not None and query.then == query.by,
        "a rank of what": shown == "rank" and number and query.by is None and not sides,
        "groups that were left out are the least": query.of_left_out and query.order == "least",
        "what is a marker is a gene": query.want in ("is marker", "gene")
        and not all(one.startswith("gene:") for one in query.of),
        "a share of less than all": query.says_nothing,
        "two are compared": shown in ("ratio", "difference") and sides != 2,
    }
    for what, holds in bad.items():
        require(not holds, what)
