"""The queries that account for every word of a question that no form fits.

Conditions, numbers and negations were joined before (:mod:`scbioverse.ask.join`). What is left open is what is asked of
them: each kind of query (:mod:`scbioverse.ask.kinds`) says which words it needs, which it may have besides, and what a
condition can be in it. A word that a kind neither needs nor allows rules the kind out; so does a condition, a column or
a field without a place. Where more than one query is left, the question can be read in more than one way.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

from .kinds import CONDITIONS, GLUE, KINDS
from .placing import Parts, in_order, listed, one_question, placed
from .query import FLIPPED, Query, Where, both

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .kinds import Kind
    from .words import Link

_MOST_CONDITIONS = 5
_OF_ROWS = re.compile(r"(?i)(cell|molecule|compound|drug|protein|sequence)s?\b")
_COMPARED = ("most", "fewest", "least")


def choices(held: Sequence[Link], possible: Callable[[Where | None], bool]) -> list[Query]:
    """Return all queries that account for the joined words of a question.

    Parameters
    ----------
    held
        What :func:`scbioverse.ask.join.chunked` makes of linked words.
    possible
        Whether rows can fulfil a condition at all.

    Returns
    -------
    The queries, all different; none where a word has no place in any kind of query.
    """
    parts = _parts_of(held)
    if not one_question(parts.roles) or len(parts.conditions) > _MOST_CONDITIONS:
        return []
    found = [query for kind in KINDS for query in _of_kind(kind, parts, possible)]
    return [query for i, query in enumerate(found) if query not in found[:i]]


def _parts_of(held: Sequence[Link]) -> Parts:
    roles = [one.role for one in held]
    first = next((one for one in held if one.role not in ("COMMA", "AND")), None)
    verb = next((one for one in roles if one in ("BE", "DO", "COUNT", "WHICH", "WHAT", "LIST")), "")
    asked = {"COUNT", "SHARE", "WHICH", "WHAT", "STAT", "LIST"} & set(roles)
    fronted = first is not None and first.role in ("IN", "AMONG", "OF") and verb in ("BE", "DO") and not asked
    begins = first is not None and first.role in ("BE", "DO") and not first.said.lower().startswith("how")
    return Parts(
        roles=tuple(roles),
        yes=begins or fronted,
        conditions=tuple(one for one in held if one.role in CONDITIONS),
        columns=tuple(one.value for one in held if one.role in ("COLUMN", "BYCOL")),
        fields=tuple(one.value for one in held if one.role == "MEASURE"),
        links=tuple(held),
    )


def _of_kind(kind: Kind, parts: Parts, possible: Callable[[Where | None], bool]) -> Iterator[Query]:
    roles = set(parts.roles)
    needed = [set(one.split()) for one in kind.needs]
    allowed = GLUE | CONDITIONS | {"COLUMN", "BYCOL", "MEASURE"} | set(kind.may.split()) | set().union(*needed)
    if roles - allowed or any(not one & roles for one in needed) or kind.yes is not parts.yes:
        return
    # Two columns, or one that goes with no number of this kind.
    if len(set(parts.columns)) > 1 or any(isinstance(one, tuple) for one in parts.columns):
        return
    if {"no": bool(parts.columns), "must": not parts.columns}.get(kind.by, False) or not in_order(kind, parts):
        return
    # "How many clusters ..." counts clusters; numbers by cluster are asked for "per", or in the order of a number.
    by_number = {"BY", "LIST"} & roles and "COUNT COLUMN" not in " ".join(parts.roles)
    if kind.by == "may" and "COLUMN" in roles and not by_number:
        return
    conditions, fields = list(parts.conditions), list(parts.fields)
    # A gene by itself, with no verb, is a number and no condition.
    alone = [one for one in conditions if one.role == "HAS" and _alone(one.value)]
    if len(alone) > 1 or (alone and (kind.of != "must" or fields)):
        return
    for one in alone:
        fields.append(one.value.field)
        conditions.remove(one)
    if len(fields) != (kind.of == "must") or (conditions and not kind.places):
        return
    for places in product(kind.places, repeat=len(conditions)):
        if placed(kind, parts, conditions, places):
            query = _query(kind, parts, conditions, places, fields, possible)
            if query is not None:
                yield query


def _query(
    kind: Kind, parts: Parts, conditions: Sequence[Link], places: Sequence[str], fields: Sequence[str],
    possible: Callable[[Where | None], bool],
) -> Query | None:  # fmt: skip
    if not set(kind.least) <= set(places):
        return None
    at = {
        place: [one for one, there in zip(conditions, places, strict=True) if there == place] for place in kind.places
    }
    joined = {place: both(*(one.value for one in some)) for place, some in at.items()}
    if not all(possible(one) for one in joined.values()):
        return None
    filled: dict[str, Any] = {**kind.plain, "where": joined.get("w"), "among": joined.get("a"), "of": tuple(fields)}
    if parts.columns:
        filled["by"] = parts.columns[0]
    if "s" in kind.places:
        sides = _sides(at, joined)
        if sides is None or not all(possible(both(filled["where"], filled["among"], one)) for one in sides):
            return None
        filled["against"] = sides
    if not possible(both(filled["where"], filled["among"])):
        return None
    if not (_settled(filled, kind, parts) and _sound(filled, kind, at)):
        return None
    return Query.model_validate(filled)


def _sides(at: dict[str, list[Link]], joined: dict[str, Where | None]) -> tuple[Where, ...] | None:
    if at.get("x"):
        if len(at["x"]) != 1 or at["s"] or at["t"] or not listed(at["x"][0]):
            return None
        return at["x"][0].items if len(set(at["x"][0].items)) > 1 else None
    left, right = joined["s"], joined["t"]
    if left is None or right is None or left == right:
        return None
    # What is compared differs in one thing: what only one side says belongs to both, or the question is another.
    if [_fields(one.value) for one in at["s"]] != [_fields(one.value) for one in at["t"]] or len(at["s"]) > 1:
        return None
    return (left, right)


def _settled(filled: dict[str, Any], kind: Kind, parts: Parts) -> bool:
    """Fill in what words say plainly: which number, which end, how many; False where they contradict each other."""

    def all_of(*roles: str) -> list[Link]:
        return [one for one in parts.links if one.role in roles]

    stats, tops = all_of("STAT"), all_of("TOP", "SIZETOP", "TOPM")
    more, numbers, orders = all_of("MORE", "LESS"), all_of("NUM"), all_of("ORD")
    if max(map(len, (stats, tops, more, numbers, orders))) > 1:
        return False
    if stats:
        filled["want"] = stats[0].value
    elif "want" not in filled:
        # "The most genes" may be of a cell or of all: only "highest" and the like go with a mean that is not said.
        if tops and tops[0].said.lower() in _COMPARED:
            return False
        filled["want"] = "mean"
    if filled["want"] == "sum" and kind.of == "no":
        return False
    if tops and kind.name not in ("limit", "markers"):
        top = tops[0]
        filled["order"] = top.value[1] if top.role == "TOPM" else top.value
        if top.role == "TOPM":
            filled["of"] = (top.value[0],)
    if more:
        sign = ">" if more[0].role == "MORE" else "<"
        if filled.get("show") == "check":
            filled["check"] = (sign, 0.0)
        elif sign == "<":
            return False
    for some, key in ((numbers, "top"), (orders, "nth")):
        if some:
            if float(some[0].value) < 1 or float(some[0].value) % 1:
                return False
            filled[key] = int(some[0].value)
    if kind.name == "which mostly" and any(one.role == "MAJ" and not one.said.endswith("ly") for one in parts.links):
        return False  # "most of the B cells" are counted, not the groups
    return kind.name != "limit" or _limited(filled, parts)


def _limited(filled: dict[str, Any], parts: Parts) -> bool:
    # Without a set that they are of, it must be "most cells", "more than half of the cells".
    if filled["among"] is None and (len(parts.conditions) > 1 or not _OF_ROWS.match(parts.conditions[0].said)):
        return False
    bounds = [one for one in parts.links if one.role in ("ALL", "MAJ", "LIMIT", "TOP")]
    if len(bounds) > 1 and {one.role for one in bounds} != {"ALL", "LIMIT"}:
        return False
    bound = sorted(bounds, key=lambda one: one.role)[-1]
    if bound.role == "TOP" and bound.said.lower() not in ("most", "majority"):
        return False
    if bound.role != "LIMIT":
        filled["check"] = (">=", 1.0) if bound.role == "ALL" else (">", 0.5)
        return True
    if bound.value.field != "%" or bound.value.op not in FLIPPED:
        return False
    filled["check"] = (bound.value.op, float(bound.value.values[0]) / 100)
    return True


def _sound(filled: dict[str, Any], kind: Kind, at: dict[str, list[Link]]) -> bool:
    """Whether a query has one meaning: what "not" reaches in a yes, and no rank within what it ranks."""
    where, by = filled["where"], filled.get("by")
    if kind.yes and any(_denied(one.value) for some in at.values() for one in some if one.role in ("PRED", "WHERE")):
        return False
    if by is not None and where is not None:
        inside = f"obs:{by}" in _fields(both(where, filled["among"]))
        if filled.get("show") == "rank" and (inside or _denied(where)):
            return False
        if filled["want"] in ("which", "fraction") and inside:
            return False
    if filled["want"] == "markers":
        return len(at["w"]) == 1 and at["w"][0].role == "WHERE" and not listed(at["w"][0])
    return True


def _denied(where: Where) -> bool:
    return where.op == "not" or any(_denied(one) for one in where.parts)


def _alone(where: Any) -> bool:
    return isinstance(where, Where) and where.op == ">" and where.values == (0,)


def _fields(where: Where | None) -> frozenset[str]:
    """Return what a condition is about: columns, any gene."""
    found = {leaf.field for leaf in where.leaves()} if where is not None else set()
    return frozenset(re.sub("^gene:.*", "gene", one) for one in found)
