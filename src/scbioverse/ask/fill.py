"""From a form and the words that stand in its parts to a query."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from .query import FIELDS, FLIPPED, Query, Where, both, require
from .words import pick, said_of, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .link import Names
    from .words import Link

    Parts = Mapping[str, Sequence[Link]]

_EXTREMES = {"most": "max", "least": "min"}
_ENDS = {">": "most", "<": "least"}
_BOUNDS = {"ALL": (">=", 1.0), "MAJ": (">", 0.5), "TOP": (">", 0.5)}
# Of a number these may mean that of one row or that of all; "highest" means that of one.
_OF_ALL = frozenset(["most", "the most", "fewest", "top", "majority", "least"])
_SUMMED = frozenset(["most", "the most", "fewest"])


def query_of(settled: Mapping[str, Any], parts: Parts, by: Sequence[str], names: Names) -> Query:
    """Put the parts of a form together.

    Parameters
    ----------
    settled
        What the form itself says: parts of the query, and what it asks for: `needs` a column of groups, or none
        (`alone`), `only` cells or tables, a `share` of residues, a `pair` of sides, `parts` of all such rows.
    parts
        Joined words in each named part.
    by
        Columns that were named by "per" and "for each".
    names
        Names of the data.

    Raises
    ------
    RefusedError
        They make no query of one meaning: the words fit the form in their order and not in their sense.
    """
    kind = "cell" if names.rows.noun == "cell" else "table"
    require(settled.get("only", kind) == kind)
    require(("alone" if by else "needs") not in settled)
    filling = _Filling(settled, parts, by, names)
    filling.number()
    filling.sides()
    filling.columns()
    filling.order()
    filling.bound()
    filling.named()
    filling.genes()
    query = Query.model_validate({"want": "mean"} | filling.found)
    # "What distinguishes B cells from ..." has another side: it says no place of the B cells.
    require(query.want != "markers" or "from" not in {one.key for one in chain.from_iterable(parts.values())})
    _check(query, parts, names)
    return query


def statistic(said: str) -> dict[str, Any]:
    """Return the parts of a query that "mean", "most" and "quantile 0.9" stand for."""
    want, _, level = said.partition(" ")
    return {"want": _EXTREMES.get(want, want), "level": float(level) if level else None}


def about(where: Where | None) -> set[str]:
    """Return what a condition is about: columns, any gene."""
    fields = where.fields() if where is not None else ()
    return {"gene" if one.startswith("gene:") else one for one in fields}


def condition(links: Sequence[Link]) -> Where | None:
    """Join the conditions that some links say."""
    return both(*(one.value for one in links if isinstance(one.value, Where)))


class _Filling:
    """A query that is filled part by part."""

    def __init__(self, settled: Mapping[str, Any], parts: Parts, by: Sequence[str], names: Names) -> None:
        self.parts, self.by, self.names, self.asks = parts, by, names, settled
        self.found: dict[str, Any] = {key: settled[key] for key in ("want", "show", "check", "words") if key in settled}
        self.found |= {"where": self.where("w", "v"), "among": self.where("a", "b"), "of": tuple(self._fields())}

    def links(self, *names: str) -> list[Link]:
        """Return the words in some parts."""
        return [one for name in names for one in self.parts.get(name, ())]

    def first(self, name: str) -> Link | None:
        """Return the first word of a part that is no filler."""
        return next(iter(without(self.links(name), "OF", "IN", "COMMA", "AND")), None)

    def where(self, *names: str) -> Where | None:
        """Join the conditions that stand in some parts."""
        return condition(self.links(*names))

    def _fields(self) -> Iterator[str]:
        """Fields that are measured."""
        for one in self.links("m", "m2", "mm", "topm"):
            if isinstance(one.value, Where):
                require(all(leaf.some for leaf in one.each))
                yield from (self._share(leaf.field) for leaf in one.each)
            elif one.role in ("PAIRED", "NAMED"):
                yield from one.value
            elif isinstance(one.value, tuple):
                yield one.value[0]
            elif one.role == "COLUMN":
                yield f"obs:{one.value}"
            elif one.role == "MEASURE":
                yield one.value

    def _share(self, field: str) -> str:
        """Return the share of an amino acid where that is asked for, and not how many."""
        if "share" not in self.asks:
            return field
        require(field.startswith("residue:"))
        return field.replace("residue:", "share:")

    def number(self) -> None:
        """Say which number of a field is meant: "the counts of B cells" may be a mean, a sum, a most."""
        found, stat = self.found, self.first("st")
        if "share" in [one.value for one in self.links("c")]:  # a composition, "in percent"
            found["show"] = "ratio"
        if stat is not None:
            require(stat.role == "STAT" or stat.key not in _OF_ALL)
            found |= statistic(stat.value)
        if found.get("show") == "extreme":  # "how old is the oldest"
            end = self.links("topm")[0].value[1]
            found |= {"of": tuple(dict.fromkeys(found["of"])), "want": _EXTREMES[end], "show": "value"}
        if "m" not in self.parts:
            return
        require("want" in found or {"s", "sides", "top"} & {*self.parts})
        if stat is None and found.get("want", "mean") == "mean":
            # "The most genes" may be of all cells together; "expresses it most" is no sum over cells.
            adverb = "adverb" in self.asks or pick(self.links("m"), "PRED")
            require(adverb or _SUMMED.isdisjoint(one.key for one in self.links("top")))

    def sides(self) -> None:
        """Set the rows that are compared: each side says the same of its rows, but for what differs."""
        held = [self.where(name) for name in ("s", "t") if name in self.parts]
        require(None not in held)
        require(self.found.get("want") == "why" or len({frozenset(about(one)) for one in held}) < 2)
        for link in self.links("sides"):
            held = list(link.items)
            require(len(held) > 1 and link.value.op == "or" and (len(held) == 2 or "pair" not in self.asks))
            # "Compare B and T cells of ctrl and stim": each by itself, or both together?
            require("or" not in {one.value.op for one in self.links("w") if one.items})
        # What "rises from ctrl to stim" has more in stim.
        self.found["against"] = tuple(held[::-1] if "rise" in self.parts else held)

    def columns(self) -> None:
        """Set the columns of whose groups it is asked; what is asked "per donor" is not passed over."""
        found, column, kind = self.found, self.first("by"), self.names.type_column
        want, by = found.get("want", "mean"), [*self.by]
        own = [column.value] if column is not None else []
        if self.asks.get("by") == "type":
            require(kind)
            own = [kind]
        if want == "composition" and not own:
            own = self._made_of()
        require(len({*own, *by}) == len(own) + len(by) <= 2)
        found["by"], found["then"] = [*own, *by, None, None][:2]
        if not by:
            return
        then = found["then"]
        require(not found["against"])  # numbers by group, or of the two that are compared?
        kept = {"composition": True, "count": True, "fraction": True, "groups": then, "markers": not then}
        require(kept.get(want, found["of"]))
        if then is not None:
            show = found.get("show", "rank" if "top" in self.parts else "value")
            require(show in ("value", "rank", "check") and not {"n", "ord"} & {*self.parts})
            found["want"] = found.get("want", "mean").replace("composition", "count")

    def _made_of(self) -> list[str]:
        """Return the column that says what rows are made of, where that is not the one that says of which."""
        kind, by = self.names.type_column, [*self.by]
        if by:  # what the cells of each donor are
            whole = "w" in self.parts and self.found["where"] is None
            return [kind] if whole and kind and by != [kind] else []
        # "The split of ctrl and stim": by these, or of each by type?
        types = {f"obs:{name}" for name in self.names.rows.types}
        require(all(one.value.fields() & types for one in self.links("w") if one.items))
        return []

    def order(self) -> None:
        """Set which end is meant, and how many or the how-manieth."""
        found = self.found
        require(all(one.key.startswith("the ") for one in self.links("the")))  # "the most cells", not "most cells"
        extreme = found.get("want") in ("max", "min") and "topm" in self.parts
        for one in self.links("top", "the", "topm", "end"):
            found["order"] = one.value[1] if isinstance(one.value, tuple) else _ENDS.get(one.value, one.value)
        if self.links("top", "the", "topm") and not extreme:
            found["show"] = "rank"
        for name, key in (("ord", "nth"), ("n", "top"), ("n2", "top")):
            for one in self.links(name)[:1]:
                number = float(one.value)
                require(number >= 1 and number % 1 == 0)  # "the 0 heaviest"
                found[key] = int(number)
        for one in self.links("more", "mm"):
            sign = {"most": ">", "least": "<"}[one.value[1]] if one.role == "MOREM" else one.value
            found = {"show": "rank" if "sides" in self.parts else "check"} | found
            found["order"] = _ENDS[sign]
            if found["show"] in ("check", "groups"):
                found["check"] = (sign, 0.0)
        self.found = {"show": "check"} | found if "check" in found else found

    def bound(self) -> None:
        """Set the bound that a yes needs: of a number, of a share, of a mean."""
        found = self.found
        for one in self.links("bound")[:1]:
            held = one.value
            require(held.op in FLIPPED and not held.some)
            found |= {"of": (held.field,), "check": (held.op, float(held.values[0]))}
        link = self.first("lim")
        if link is None:
            return
        sign, number, share = _limit(link)
        found["check"] = (sign, number)
        if found.get("want") == "genes":  # of a gene the share of cells that express it, or their number
            found["words"] = "" if share else "cells"
            return
        if not found["of"]:
            found = {"want": "fraction" if share else "count"} | found
            require(share is (found["want"] == "fraction"))
        # "Which donors have over 40 % of the B cells?": of all B cells, not of the donor's.
        parts = "of" in self.parts or link.key.endswith((" of", " of the", "half"))
        if share and parts and "parts" in self.asks:
            rows = self.names.rows
            whole = int((rows.asked & rows.mask(found["where"])).sum())
            found |= {"want": "count", "check": (sign, number * whole)}
        self.found = {"show": "check"} | found

    def named(self) -> None:
        """Set rows by name, terms of the ontology and kinds of flags."""
        found, rows = self.found, pick(self.links("rows", "rows2"), "ROW")
        if rows:
            found["against"] = tuple(map(self.names.row, rows))
        if rows and found.get("show") == "difference" and "m" in self.parts:  # no side is named as the larger
            first, second = (self.names.rows.numbers(found["of"][0])[one.value[0]] for one in rows)
            found["order"] = "least" if first < second else "most"
        for one in self.links("flag"):
            found["words"] = one.role.lower()
        for one in self.links("term"):
            plain = one.term.startswith("CL:")
            found |= {"words": one.term, "where": None} if plain else {"where": one.value, "want": "composition"}

    def genes(self) -> None:
        """Set whether genes are ranked by their values, or by the cells that express them."""
        if self.found.get("want") != "expressed":
            return
        require(self.found.pop("show") == "rank" and self.found["order"] == "most")
        require(all(one.value == self.names.rows.usual("total_counts") for one in self.links("level")))
        require(all(one.value == "mean" for one in self.links("each")))  # a median would rank them otherwise
        # "Most detected" may be in the most cells, or with the most counts.
        how = self.links("how")
        require(how or all(one.key == "expressed" for one in self.links("seen")))
        self.found.setdefault("words", "cells" if pick(how, "OFTEN") else "")


def _limit(link: Link) -> tuple[str, float, bool]:
    """Return sign and number of a bound, and whether it is of a share: "over 20", "most of", "at least 5 %"."""
    if link.role in _BOUNDS:
        require(link.role != "TOP" or not link.key.startswith("the "))  # "the most" is the end of a rank
        return (*_BOUNDS[link.role], True)
    held: Where = link.value
    require(held.op in FLIPPED and held.field in ("", "%"))
    share = held.field == "%"
    return held.op, float(held.values[0]) / (100 if share else 1), share


def _check(query: Query, parts: Parts, names: Names) -> None:
    """Leave out what has no single meaning."""
    held, rank = query.where, query.show == "rank"
    require(possible(held, names) and not query.says_nothing)
    require(len(query.of) == FIELDS.get(query.want, len(query.of)))
    if query.want == "count" and query.of_left_out:
        # None of those that were left out can be called the least, or the third.
        require(query.order == "most" and not {"n", "ord"} & {*parts})
    if query.show == "check":
        # "Do T cells and B cells express it", "more than in clusters 1 and 3": of each, or of all of them together?
        asked = [one for one in (query.among, *query.against) if one is not None]
        require("or" not in {one.op for one in asked if one.of_groups})
    # "Expressed in every cell", "which clusters have all T cells": it is not asked for some.
    some = query.want == "count" and query.check == (">", 0.0)
    require(not some or not pick(chain.from_iterable(parts.values()), "ALL"))
    if some:
        # "Are there B cells and T cells": some of each, or of either?
        said = chain.from_iterable(parts.get(name, ()) for name in ("w", "v", "s", "sides"))
        listed = said_of(one for one in pick(said, "WHERE") if one.items)
        require(query.against or {"and", "&"}.isdisjoint(listed.lower().split()))
    if query.want == "count":
        # "How many donors gave cells" is how many there are.
        require(not some or query.show != "groups" or held is not None or query.against)
        # "Not expressed in B cells" may be of some or of all.
        denied = "not" in {one.value.op for one in pick(parts.get("w", ()), "PRED")}
        require(query.show != "check" or not denied)
    if rank and query.want == "fraction":
        # "Which clusters have a pct_mito above 5" names no share.
        require("top" in parts or (held is not None and held.op != "not" and about(held) == {"gene"}))


def possible(where: Where | None, names: Names) -> bool:
    """Whether a row can fulfil a condition: not "B cells in donor1 and T cells in donor2", two groups of a column."""
    found: dict[str, set[str | float]] = {}
    for one in where.conjuncts() if where is not None else ():
        (field, *others), leaves = one.fields(), one.leaves()
        plain = one.op in ("is", "or") and one.of_groups and not others
        if plain and field in names.rows.group_fields and not names.rows.groups(leaves[0].column).several:
            values = {value for leaf in leaves for value in leaf.values}
            found[field] = found.get(field, values) & values
    return all(found.values())
