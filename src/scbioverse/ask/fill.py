"""From a form and the words that stand in its parts to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .query import FIELDS, FLIPPED, Query, Where, both, require
from .words import pick

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
    require(settled.get("only", kind) == kind and ("alone" not in settled if by else "needs" not in settled))
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
    require(query.want != "markers" or "from" not in {one.key for held in parts.values() for one in held})
    _check(query, parts, names)
    return query


def statistic(said: str) -> dict[str, Any]:
    """Return the parts of a query that "mean", "most" and "quantile 0.9" stand for."""
    want, _, level = said.partition(" ")
    return {"want": _EXTREMES.get(want, want), "level": float(level) if level else None}


def about(where: Where | None) -> set[str]:
    """Return what a condition is about: columns, any gene."""
    return {"gene" if one.startswith("gene:") else one for one in (where.fields() if where is not None else ())}


def _conditions(links: Sequence[Link]) -> list[Link]:
    return [one for one in links if isinstance(one.value, Where)]


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
        return next((one for one in self.links(name) if one.role not in ("OF", "IN", "COMMA", "AND")), None)

    def where(self, *names: str) -> Where | None:
        """Join the conditions that stand in some parts."""
        return both(*(one.value for one in _conditions(self.links(*names))))

    def _fields(self) -> Iterator[str]:
        """Fields that are measured."""
        for one in self.links("m", "m2", "mm", "topm"):
            if isinstance(one.value, Where):
                require(all(leaf.some for leaf in one.each))
                fields = [leaf.field for leaf in one.each]
                require("share" not in self.asks or all(field.startswith("residue:") for field in fields))
                yield from [field.replace("residue:", "share:") for field in fields] if "share" in self.asks else fields
            elif isinstance(one.value, tuple):
                yield from one.value if one.role in ("PAIRED", "NAMED") else one.value[:1]
            elif one.role in ("MEASURE", "COLUMN"):
                yield f"obs:{one.value}" if one.role == "COLUMN" else one.value

    def number(self) -> None:
        """Say which number of a field is meant: "the counts of B cells" may be a mean, a sum, a most."""
        found, stat = self.found, self.first("st")
        if any(one.value == "share" for one in self.links("c")):  # a composition, "in percent"
            found["show"] = "ratio"
        if stat is not None:
            require(stat.role == "STAT" or stat.key not in _OF_ALL)
            found |= statistic(stat.value)
        if found.get("show") == "extreme":  # "how old is the oldest"
            require(len(set(found["of"])) == 1)
            end = self.links("topm")[0].value[1]
            found |= {"of": found["of"][:1], "want": _EXTREMES[end], "show": "value"}
        if "m" not in self.parts:
            return
        require("want" in found or {"s", "sides", "top"} & {*self.parts})
        # "Expresses it most" is no sum over cells.
        summed = (
            "adverb" not in self.asks
            and stat is None
            and found.get("want", "mean") == "mean"
            and not pick(self.links("m"), "PRED")
        )
        require(not summed or _SUMMED.isdisjoint(one.key for one in self.links("top")))

    def sides(self) -> None:
        """Set the rows that are compared: each side says the same of its rows, but for what differs."""
        held = [self.where(name) for name in ("s", "t") if name in self.parts]
        require(None not in held)
        require(self.found.get("want") == "why" or len({frozenset(about(one)) for one in held}) < 2)
        # "In more cells than LYZ and CD3D": than each, or than both? Of "not in more" it is not said what is denied.
        require(all(len(one.items) < 2 for one in pick(self.links("s", "t"), "HAS")))
        require(len({one.op == "not" for one in held if one is not None and about(one) == {"gene"}}) < 2)
        for link in self.links("sides"):
            held = list(link.items)
            require(len(held) > 1 and link.value.op == "or" and (len(held) == 2 or "pair" not in self.asks))
            # "Compare B and T cells of ctrl and stim": each by itself, or both together?
            require("or" not in {one.value.op for one in _conditions(self.links("w")) if one.items})
        # What "rises from ctrl to stim" has more in stim.
        self.found["against"] = tuple(held[::-1] if "rise" in self.parts else held)

    def columns(self) -> None:
        """Set the columns of whose groups it is asked; what is asked "per donor" is not passed over."""
        found, column, kind = self.found, self.first("by"), self.names.type_column
        want, by = found.get("want", "mean"), [*self.by]
        own = [column.value] if column is not None else []
        if self.asks.get("by") == "type":
            own = [kind or self.names.cluster_column]
            require(own[0])
        elif want == "composition" and kind and by not in ([], [kind]) and not own and "w" in self.parts:
            own = [] if found["where"] is not None else [kind]  # what the cells of each donor are
        # "The split of ctrl and stim": by these, or of each by type?
        listed = [one.value for one in self.links("w") if one.items]
        types = {f"obs:{name}" for name in self.names.rows.types}
        require(want != "composition" or own or by or not listed or listed[0].fields() & types)
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
            found |= {"want": "count"} if want == "composition" else {}

    def order(self) -> None:
        """Set which end is meant, and how many or the how-manieth."""
        found = self.found
        require(all(one.key.startswith("the ") for one in self.links("the")))  # "the most cells", not "most cells"
        extreme = found.get("want") in ("max", "min") and "topm" in self.parts
        for one in self.links("top", "the", "topm"):
            found |= {} if extreme else {"show": "rank"}
            found["order"] = one.value[1] if isinstance(one.value, tuple) else _ENDS.get(one.value, one.value)
        for one in self.links("end"):
            found["order"] = one.value
        for name, key in (("ord", "nth"), ("n", "top"), ("n2", "top")):
            for one in self.links(name)[:1]:
                number = float(one.value)
                require(number >= 1 and number % 1 == 0)  # "the 0 heaviest"
                found[key] = int(number)
        for one in self.links("more", "mm"):
            more = one.value in (">", "most") or one.value[1:] == ("most",)
            found = {"show": "rank" if "sides" in self.parts else "check"} | found
            found |= {"order": "most" if more else "least"}
            found |= {"check": (">" if more else "<", 0.0)} if found["show"] in ("check", "groups") else {}
        self.found = {"show": "check"} | found if "check" in found else found

    def bound(self) -> None:
        """Set the bound that a yes needs: of a number, of a share, of a mean."""
        found = self.found
        for one in self.links("bound")[:1]:
            held = one.value
            require(held.op in FLIPPED and not (held.some and held.field.startswith("gene:")))
            found |= {"of": (held.field,), "check": (held.op, float(held.values[0]))}
        link = self.first("lim")
        if link is None:
            return
        if found.get("want") == "genes":
            # Of a gene the share of cells that express it, or their number.
            number = link.role == "LIMIT" and link.value.field == ""
            require(link.role != "LIMIT" or (link.value.op in FLIPPED and link.value.field in ("", "%")))
            bound = (link.value.op, float(link.value.values[0])) if link.role == "LIMIT" else _BOUNDS[link.role]
            by_share = not number and link.role == "LIMIT"
            found |= {"check": (bound[0], bound[1] / 100) if by_share else bound, "words": "cells" if number else ""}
            return
        if link.role in _BOUNDS:
            require(link.role != "TOP" or not link.key.startswith("the "))
            found["check"] = _BOUNDS[link.role]
        else:
            require(link.value.op in FLIPPED and link.value.field in ("", "%"))
            share = link.value.field == "%"
            if not found["of"]:
                found = {"want": "fraction" if share else "count"} | found
                require(share is (found["want"] == "fraction"))
            found["check"] = (link.value.op, float(link.value.values[0]) / (100 if share else 1))
            # "Which donors have over 40 % of the B cells?": of all B cells, not of the donor's.
            if share and "parts" in self.asks and ("of" in self.parts or link.key.endswith((" of", " of the", "half"))):
                rows = self.names.rows
                whole = int((rows.asked & rows.mask(found["where"])).sum())
                found |= {"want": "count", "check": (link.value.op, found["check"][1] * whole)}
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
            term = one.term if isinstance(one.value, Where) else one.value
            plain = term.startswith("CL:")
            found |= {"words": term, "where": None} if plain else {"where": one.value, "want": "composition"}

    def genes(self) -> None:
        """Set whether genes are ranked by their values, or by the cells that express them."""
        if self.found.get("want") != "expressed":
            return
        level, how = self.links("level"), {one.role for one in self.links("how")}
        require(self.found.pop("show") == "rank" and self.found["order"] == "most")
        require(all(one.value == self.names.rows.usual("total_counts") for one in level))
        often = "OFTEN" in how or "words" in self.asks
        # "Most detected" may be in the most cells, or with the most counts.
        require(often or how or all(one.key == "expressed" for one in self.links("seen")))
        self.found["words"] = "cells" if often else ""


def _check(query: Query, parts: Parts, names: Names) -> None:
    """Leave out what has no single meaning."""
    held, rank = query.where, query.show == "rank"
    require(possible(held, names))
    require(len(query.of) == FIELDS.get(query.want, len(query.of)))
    # "Expressed in every cell", "which clusters have all T cells": it is not asked for some.
    require(query.check != (">", 0.0) or query.want != "count" or not any(pick(one, "ALL") for one in parts.values()))
    if query.want == "count" and query.check == (">", 0.0):
        # "Are there B cells and T cells": some of each, or of either?
        two = [
            one for name in ("w", "v", "s", "sides") for one in pick(parts.get(name, ()), "WHERE") if len(one.items) > 1
        ]
        require(query.against or not any({"and", "&"} & {*one.key.split()} for one in two))
    if query.want == "count":
        # No group that was left out can be called the least: "the least common type among T cells".
        among = rank and query.by is not None and f"obs:{query.by}" in about(held)
        require(not among or (query.order == "most" and not {"n", "ord"} & {*parts}))
        # "How many donors gave cells" is how many there are.
        require(query.show != "groups" or held is not None or query.against or query.check != (">", 0.0))
        # "Not expressed in B cells" may be of some or of all.
        denied = [one for one in pick(parts.get("w", ()), "PRED") if one.value.op == "not"]
        require(query.show != "check" or not denied)
    if rank and query.want == "fraction":
        require("top" in parts or held is None or held.op != "not")
        # "Which clusters have a pct_mito above 5" names no share.
        require("top" in parts or about(held) == {"gene"})


def possible(where: Where | None, names: Names) -> bool:
    """Whether a row can fulfil a condition: not "B cells in donor1 and T cells in donor2", two groups of a column."""
    found: dict[str, set[str | float]] = {}
    for one in _conjuncts(where) if where is not None else ():
        leaves = one.leaves()
        column = leaves[0].column
        alone = one.op in ("is", "or") and {(leaf.op, leaf.column) for leaf in leaves} == {("is", column)}
        if alone and column in names.rows.columns and not names.rows.groups(column).several:
            values = {value for leaf in leaves for value in leaf.values}
            found[column] = found.get(column, values) & values
    return all(found.values())


def _conjuncts(where: Where) -> list[Where]:
    return [one for part in where.parts for one in _conjuncts(part)] if where.op == "and" else [where]
