"""Follow-ups: the query before, with the parts replaced that the new question names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fill import possible, statistic
from .grammar import matches
from .query import FIELDS, Query, UnreadError, Where, both
from .words import pick, roles_of, without

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Sequence

    from .link import Names
    from .words import Link

    Parts = dict[str, Any]

_GLUE = frozenset(["IN", "OF", "BE", "DO", "ROWS", "COMMA", "THERE", "HAVING", "WHAT", "HAVE", "AND", "THAT", "AMONG"])
# A question of these alone asks how many of what was asked about before.
BARE = (_GLUE - {"ROWS"}) | {"COUNT", "NOT", "ALL"}
_CONDITIONS = ("WHERE", "TRAIT", "PRED", "HAS")
# The parts of the query before that a word of a role sets.
_SET: dict[str, Callable[[Any], Parts]] = {
    "STAT": statistic,
    "BYCOL": lambda value: {"by": value},
    "TOP": lambda value: {"order": value},
    "SIZETOP": lambda value: {"order": value},
    "TOPM": lambda value: {"of": value[:1], "order": value[1]},
    "ORD": lambda value: {"nth": int(value)},
    "MEASURE": lambda value: {"of": (value,)},
}
_SPLIT = "(LIST|COMPOSITION|SPREAD|COUNT)+ THAT?$"


def _read_once(holds: object) -> None:
    """Go on where something holds; else refuse a fragment as one that can be read in two ways."""
    if not holds:
        said = "This can be read in two ways after the question before: say in full which rows are counted."
        raise UnreadError(said)


def followed(links: Sequence[Link], before: Query, names: Names) -> Query | None:
    """Read a fragment against the query before; None where it is a question of its own.

    A group takes the place of what the query before said of the same column, a gene that of a gene, a number that of
    the number compared; what the query before said nothing of is added.
    """
    held = without(links, *_GLUE)
    if pick(held, "BYCOL") and matches(_SPLIT, without(links, "BYCOL")):
        held = pick(held, "BYCOL")  # "split that by donor"
    also, held = pick(held, "ALSO"), without(held, "ALSO")
    roles = roles_of(held)
    alone = also and len(held) == 1 and held[0].role in _CONDITIONS
    narrowed = _narrowed(held[0], before, names) if alone else None
    if narrowed is not None:
        return narrowed
    if roles in (["COUNT"], ["COUNT", "NOT"], ["NOT"]):
        return _counted({*roles_of(links)}, before)
    if not roles or not {*roles} <= {*_SET, *_CONDITIONS, "LIMIT", "ROW", "COUNT"}:
        return None
    made: Query | None = before
    for one in without(held, "COUNT"):
        made = made and _replaced(one, made, names)
    if made is None or "COUNT" not in roles:
        return made and Query.model_validate(dict(made))
    # "And how many B cells?" after those that express a gene: all B cells, or those that express it?
    _read_once(made == Query(want="count", where=both(*(one.value for one in pick(held, *_CONDITIONS, "LIMIT")))))
    return made


# ---------------------------------------------------------------- another number of the rows before


def shortened(links: Sequence[Link], before: Query) -> Query | None:
    """Read "as a percentage", "what fraction express CD3D?", "which donor has the most?" after a number of rows."""
    if before.want not in (*FIELDS, "groups") or before.against or before.show not in ("value", "rank"):
        return None
    fits = ((matches(pattern, links), read) for pattern, read in _SHORT.items())
    return next((read(found, links, before) for found, read in fits if found is not None), None)


def _share(found: re.Match[str], _: Sequence[Link], before: Query) -> Query | None:
    """Read "as a percentage": "T cells that express CCL5" are a share of T cells, "B cells" of all."""
    where = before.where
    if before.want != "count":
        return None
    if where is None or before.among is not None:
        return Query(want="composition", by=before.by) if before.by else None
    kinds, rest = _groups_and_rest(where)
    if found["all"] or not kinds or len(kinds) + len(rest) == 1:
        return before.but(want="fraction")
    _read_once(rest and len({frozenset(one.fields()) for one in kinds}) == 1)
    return before.but(want="fraction", where=both(*rest), among=both(*kinds))


def _of_those(found: re.Match[str], links: Sequence[Link], before: Query) -> Query | None:
    """Read "what fraction express CD3D?", "how many are in ctrl?": of the rows before."""
    where, rows = links[max(found.start("w"), found.start("v"))].value, referred(before)
    if rows is None or (found["n"] and not rows.of_groups):
        return None
    _read_once(rows.of_groups and rows.fields().isdisjoint(where.fields()))
    if found["n"]:
        return Query(want="count", where=both(rows, where))
    return Query(want="fraction", where=where, among=rows)


def _shares_by(found: re.Match[str], links: Sequence[Link], before: Query) -> Query | None:
    """Read "what share is in each donor?"."""
    rows, column = referred(before), links[found.start("by")].value
    if rows is None:
        return None
    _read_once(found["be"] and isinstance(column, str))
    return Query(want="composition", where=rows, by=column, show="ratio")


def _same_share(found: re.Match[str], links: Sequence[Link], before: Query) -> Query | None:
    """Read "what share of NK cells?" after a share of others."""
    if before.want != "fraction":
        return None
    made = _condition(links[found.start("w")].value, before)
    _read_once(made)
    return made


def _with_the_most(found: re.Match[str], links: Sequence[Link], before: Query) -> Query | None:
    """Read "which donor has the most?"."""
    by = links[found.start("by")].value if found["by"] else before.by
    _read_once(by is not None and before.then is None and f"obs:{by}" not in before.fields())
    want = "count" if before.want == "groups" else before.want
    return before.but(want=want, by=by, show="rank", order=links[found.start("top")].value)


# Fragments that say what number of the rows before is wanted.
_SHORT: dict[str, Callable[[re.Match[str], Sequence[Link], Query], Query | None]] = {
    "(IN|OF|WHAT|WHICH|LIST)* SHARE (OF|IN|ROWS)* <all:ALL>? ROWS? (BE|DO)* THAT? COMMA*$": _share,
    "(WHAT|WHICH|LIST)* (SHARE|<n:COUNT>) (DO? <w:PRED>|BE IN? <v:WHERE>) COMMA*$": _of_those,
    "(WHAT|WHICH|LIST)* SHARE <be:BE>? IN? <by:BYCOL> COMMA*$": _shares_by,
    "(WHAT|WHICH|LIST)* SHARE OF ALL? <w:WHERE> COMMA*$": _same_share,
    "(WHAT|WHICH|LIST|IN)* <by:COLUMN>? (HAVE|BE) <top:TOP> ROWS?$": _with_the_most,
}


def _counted(roles: set[str], before: Query) -> Query:
    """Read "how many are there?", "how many do not?" and "how many is that?"."""
    where, share = before.where, before.want == "fraction" and before.show != "groups"
    # Of the group that was found, or of what it has?
    shows = ("rank", "groups", "any") if where is None else ("rank",)
    _read_once(before.show not in shows and not before.against and share == ("THAT" in roles))
    if where is None or "NOT" not in roles:
        # "And how many do?" after those that do not
        _read_once("DO" not in roles or '"not"' not in before.model_dump_json(include={"where"}))
        return Query(want="count", where=both(where, before.among))
    # Of "B cells that express CD79A" those that do not are B cells, too.
    kinds, rest = _groups_and_rest(where)
    kinds, rest = (kinds, rest) if rest else ([], kinds)
    _read_once(len(rest) == 1 and not (kinds and "is" in rest[0].ops()))
    return Query(want="count", where=both(both(*kinds, rest[0].negated()), before.among))


def _groups_and_rest(where: Where) -> tuple[list[Where], list[Where]]:
    """Part what all has to hold into which groups rows are in, and what else is said of them."""
    parts = where.conjuncts()
    kinds = [one for one in parts if one.of_groups]
    return kinds, [one for one in parts if one not in kinds]


def referred(query: Query) -> Where | None:
    """Rows that "these" and "them" mean after a query."""
    if query.show == "check" or query.want == "fraction":
        return query.among or query.where
    return both(query.among, query.where)


# ---------------------------------------------------------------- parts that are replaced


def _narrowed(link: Link, before: Query, names: Names) -> Query | None:
    """Read "and LYZ as well?", "only those without LYZ": fewer of the rows before; None where that leaves none."""
    _read_once(before.want != "list" or before.show == "value")
    if before.against or before.want not in (*FIELDS, "list"):
        return None
    name = "among" if before.want == "fraction" and link.role != "HAS" else "where"
    fewer = both(getattr(before, name), link.value)
    return before.but(**{name: fewer}) if possible(fewer, names) else None


def _replaced(link: Link, query: Query, names: Names) -> Query | None:
    """Put one part of a fragment into a query; None where that has no place for it."""
    match link.role:
        case "ROW":
            named = query.want in ("value", "describe", "nearest") or (query.want, query.show) == ("list", "check")
            return query.but(against=(names.row(link),)) if named else None
        case role if role in _SET:
            return query.but(**_SET[role](link.value)) if _has_place(link, query) else None
        case "LIMIT":
            return _number(link.value, query)
        case "HAS" if link.value.some and query.of:
            return _measured(link.value, query)
    return _condition(link.value, query)


def _has_place(link: Link, query: Query) -> bool:
    """Whether a query has the parts that a word sets."""
    match link.role:
        case "STAT":
            return bool(query.of)
        case "BYCOL":
            return isinstance(link.value, str) and query.want in {*FIELDS, "groups", "composition", "markers"}
    return query.show == "rank" or (link.role == "MEASURE" and query.want not in ("count", "fraction", "list"))


def _held(query: Query, *names: str) -> list[tuple[str, Where]]:
    """Return the conditions that a query holds in some of its parts, by name."""
    return [(name, getattr(query, name)) for name in names if getattr(query, name) is not None]


def _number(bound: Where, query: Query) -> Query | None:
    """Put a bound in the place of the only number that was compared."""
    for name, held in _held(query, "where", "among"):
        numbers = [one for one in held.leaves() if one.op != "is" and not one.field.startswith("gene:")]
        if len(numbers) == 1 and bound.field in ("", numbers[0].field):
            return query.but(**{name: _swapped(held, numbers[0], bound.about(numbers[0].field))})
    return None


def _measured(new: Where, query: Query) -> Query | None:
    """Read "what about LYZ?" after a number of another gene as that of LYZ; a condition on a gene stands in its way."""
    (kind,), held = new.kinds(), _kinds(query.conditions())
    of = [one.partition(":")[0] for one in query.of]
    if of == [kind] and kind not in held:
        return query.but(of=(new.field,))
    return _condition(new, query) if kind in held and kind not in of else None


def _condition(new: Where, query: Query) -> Query | None:
    """Put a condition in the place of one of its kind, or add it."""
    kind, *others = new.kinds()
    if others:
        return None
    for name, held in _held(query, "among", "where"):
        whole = _part_of(held, [one for one in held.leaves() if one.kinds() == {kind}])
        if whole is not None:
            return query.but(**{name: _swapped(held, whole, new)})
    if query.against:
        placed = kind != "row" and kind not in _kinds(query.against)
        return query.but(against=tuple(both(one, new) for one in query.against)) if placed else None
    name = "among" if query.want == "fraction" and "obs" in kind else "where"
    return query.but(**{name: both(getattr(query, name), new)}) if query.want in FIELDS else None


def _kinds(conditions: Iterable[Where]) -> set[str]:
    """Return what any of some conditions is about."""
    return set().union(*map(Where.kinds, conditions))


def _part_of(held: Where, leaves: Sequence[Where]) -> Where | None:
    """Return the part of a condition that holds just some leaves; None where there is none."""
    if leaves and {*held.leaves()} == {*leaves}:
        return held
    return next(filter(None, (_part_of(one, leaves) for one in held.parts)), None)


def _swapped(held: Where, old: Where, new: Where) -> Where:
    """Put one condition in the place of another, wherever that stands."""
    return new if held == old else held.but(parts=tuple(_swapped(one, old, new) for one in held.parts))
