"""Follow-ups: the query before, with the parts replaced that the new question names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fill import possible, statistic
from .grammar import matches
from .query import FIELDS, Query, Refusal, Where, both
from .words import pick, roles_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Names
    from .words import Link

    Parts = dict[str, Any]

_GLUE = frozenset(["IN", "OF", "BE", "DO", "ROWS", "COMMA", "THERE", "HAVING", "WHAT", "HAVE", "AND", "THAT", "AMONG"])
# A question of these alone asks how many of what was asked about before.
BARE = (_GLUE - {"ROWS"}) | {"COUNT", "NOT", "ALL"}
_TWICE = Refusal(text="This can be read in two ways after the question before: say in full which rows are counted.")


def _ranked(held: Parts) -> bool:
    return bool(held["show"] == "rank")


# What takes the place of what in the query before, and where it may: of each role the parts of the query that it sets,
# and whether what is asked has such a part.
_SET: dict[str, tuple[Callable[[Any], Parts], Callable[[Parts], bool]]] = {
    "STAT": (statistic, lambda held: bool(held["of"])),
    "BYCOL": (
        lambda value: {"by": value},
        lambda held: isinstance(held["by"], str) and held["want"] in {*FIELDS, "groups", "composition", "markers"},
    ),
    "TOP": (lambda value: {"order": value}, _ranked),
    "SIZETOP": (lambda value: {"order": value}, _ranked),
    "TOPM": (lambda value: {"of": value[:1], "order": value[1]}, _ranked),
    "ORD": (lambda value: {"nth": int(value)}, _ranked),
    "MEASURE": (
        lambda value: {"of": (value,)}, lambda held: held["want"] not in ("count", "fraction", "list") or _ranked(held)
    ),
}  # fmt: skip
# Fragments that say what number of the rows before is wanted.
_SHARE = "(IN|WHAT|WHICH|LIST|OF)* SHARE (OF|IN|ROWS)* <all:ALL>? ROWS? (BE|DO)* THAT? COMMA*$"
_OF_THOSE = "(WHAT|WHICH|LIST)* (SHARE|<n:COUNT>) (DO? <w:PRED>|BE IN? <v:WHERE>) COMMA*$"
_SHARES_BY = "(WHAT|WHICH|LIST)* SHARE <be:BE>? IN? <by:BYCOL> COMMA*$"
_SAME_SHARE = "(WHAT|WHICH|LIST)* SHARE OF ALL? <w:WHERE> COMMA*$"
_MOST = "(WHAT|WHICH|LIST|IN)* <by:COLUMN>? (HAVE|BE) <top:TOP> ROWS?$"
_SPLIT = "(LIST|COMPOSITION|SPREAD|COUNT)+ THAT?$"
_CONDITIONS = ("WHERE", "TRAIT", "PRED", "HAS")


def followed(links: Sequence[Link], before: Query, names: Names) -> Query | Refusal | None:
    """Read a fragment against the query before; None where it is a question of its own.

    A group takes the place of what the query before said of the same column, a gene that of a gene, a number that of
    the number compared; what the query before said nothing of is added.
    """
    held = [one for one in links if one.role not in _GLUE]
    if pick(held, "BYCOL") and matches(_SPLIT, [one for one in links if one.role != "BYCOL"]):
        held = pick(held, "BYCOL")  # "split that by donor"
    also, held = pick(held, "ALSO"), [one for one in held if one.role != "ALSO"]
    if also and len(held) == 1 and held[0].role in _CONDITIONS:
        narrowed = _narrowed(held[0], before, names)
        if narrowed is not None:
            return narrowed
    roles = roles_of(held)
    if roles in (["COUNT"], ["COUNT", "NOT"], ["NOT"]):
        return _counted({*roles_of(links)}, before)
    if not roles or not {*roles} <= {*_SET, *_CONDITIONS, "LIMIT", "ROW", "COUNT"}:
        return None
    changed: Parts = dict(before)
    if not all(_replace(one, changed, names) for one in held if one.role != "COUNT"):
        return None
    made = Query.model_validate(changed)
    # "And how many B cells?" after those that express a gene: all B cells, or those that express it?
    plain = Query(want="count", where=both(*(one.value for one in pick(held, *_CONDITIONS, "LIMIT"))))
    return made if "COUNT" not in roles or made == plain else _TWICE


def shortened(links: Sequence[Link], before: Query) -> Query | Refusal | None:
    """Read "as a percentage", "what fraction express CD3D?", "which donor has the most?" after a number of rows."""
    if before.want not in (*FIELDS, "groups") or before.against or before.show not in ("value", "rank"):
        return None
    if before.want == "count" and (found := matches(_SHARE, links)) is not None:
        return _share(before, of_all=bool(found["all"]))
    if (found := matches(_OF_THOSE, links)) is not None:
        where, rows = links[max(found.start("w"), found.start("v"))].value, referred(before)
        if rows is None or (found["n"] and {leaf.op for leaf in rows.leaves()} != {"is"}):
            return None
        plain = {leaf.op for leaf in rows.leaves()} == {"is"} and not rows.fields() & where.fields()
        made = {"want": "count", "where": both(rows, where)} if found["n"] else {"want": "fraction", "where": where}
        return Query(among=None if found["n"] else rows, **made) if plain else _TWICE
    if (found := matches(_SHARES_BY, links)) is not None and referred(before) is not None:
        column = links[found.start("by")].value
        made = {"want": "composition", "where": referred(before), "by": column, "show": "ratio"}
        return Query(**made) if found["be"] and isinstance(column, str) else _TWICE
    if before.want == "fraction" and (found := matches(_SAME_SHARE, links)) is not None:
        parts: Parts = dict(before)
        fits = _condition(links[found.start("w")].value, parts)
        return Query.model_validate(parts) if fits else _TWICE
    if (found := matches(_MOST, links)) is not None:
        by = links[found.start("by")].value if found["by"] else before.by
        changed = {"by": by, "show": "rank", "order": links[found.start("top")].value}
        changed |= {"want": "count"} if before.want == "groups" else {}
        named = f"obs:{by}" in {leaf.field for leaf in before.leaves()}
        return _TWICE if by is None or before.then or named else before.model_copy(update=changed)
    return None


def _share(before: Query, *, of_all: bool) -> Query | Refusal | None:
    """Read "as a percentage": "T cells that express CCL5" are a share of T cells, "B cells" of all."""
    where = before.where
    if where is None or before.among is not None:
        return Query(want="composition", by=before.by) if before.by else None
    parts = where.parts if where.op == "and" else (where,)
    kinds = [one for one in parts if {leaf.op for leaf in one.leaves()} == {"is"}]
    rest = [one for one in parts if one not in kinds]
    if not of_all and len(parts) > 1 and kinds:
        if not rest or len({frozenset(one.fields()) for one in kinds}) > 1:
            return _TWICE
        return before.model_copy(update={"want": "fraction", "where": both(*rest), "among": both(*kinds)})
    return before.model_copy(update={"want": "fraction"})


def _counted(roles: set[str], before: Query) -> Query | Refusal:
    """Read "how many are there?", "how many do not?" and "how many is that?"."""
    where = before.where
    if before.show == "rank" or (before.show in ("groups", "any") and where is None):
        return _TWICE  # of the group that was found, or of what it has
    if (before.want == "fraction" and before.show != "groups") != ("THAT" in roles) or before.against:
        return _TWICE
    if where is None or "NOT" not in roles:
        # "And how many do?" after those that do not
        denied = "DO" in roles and where is not None and '"not"' in where.model_dump_json()
        return _TWICE if denied else Query(want="count", where=both(where, before.among))
    parts = where.parts if where.op == "and" else (where,)
    # Of "B cells that express CD79A" those that do not are B cells, too.
    measured = [one for one in parts if {leaf.op for leaf in one.leaves()} != {"is"}] if len(parts) > 1 else [where]
    if len(measured) != 1 or (len(parts) > 1 and "is" in {leaf.op for leaf in measured[0].leaves()}):
        return _TWICE
    turned = (one.negated() if one in measured else one for one in parts)
    return Query(want="count", where=both(both(*turned), before.among))


def _narrowed(link: Link, before: Query, names: Names) -> Query | Refusal | None:
    """Read "and LYZ as well?", "only those without LYZ": fewer of the rows before; None where that leaves none."""
    if before.want == "list" and before.show != "value":
        return _TWICE
    if before.against or before.want not in (*FIELDS, "list"):
        return None
    name = "among" if before.want == "fraction" and link.role != "HAS" else "where"
    fewer = both(getattr(before, name), link.value)
    return before.model_copy(update={name: fewer}) if possible(fewer, names) else None


def _replace(link: Link, changed: Parts, names: Names) -> bool:
    """Put one part of a fragment into the query before; False where that has no place for it."""
    if link.role == "ROW":
        changed["against"] = (names.row(link),)
        return changed["want"] in ("value", "describe", "nearest") or (changed["want"], changed["show"]) == (
            "list",
            "check",
        )
    if link.role in _SET:
        new, fits = _SET[link.role]
        changed |= new(link.value)
        return fits(changed)
    if link.role == "HAS" and link.value.some and changed["of"]:
        return _measured(link.value, changed)
    return _number(link.value, changed) if link.role == "LIMIT" else _condition(link.value, changed)


def _number(bound: Where, changed: Parts) -> bool:
    """Put a bound in the place of the only number that was compared."""
    for name in ("where", "among"):
        held: Where | None = changed[name]
        leaves = held.leaves() if held is not None else ()
        numbers = [one for one in leaves if one.op != "is" and not one.field.startswith("gene:")]
        if held is not None and len(numbers) == 1 and bound.field in ("", numbers[0].field):
            changed[name] = _swapped(held, numbers[0], bound.about(numbers[0].field))
            return True
    return False


def _measured(new: Where, changed: Parts) -> bool:
    """Read "what about LYZ?" after a number of another gene as that of LYZ; a condition on a gene stands in its way."""
    kind = _kind(new)
    conditions = filter(None, (changed["where"], changed["among"], *changed["against"]))
    held = {_kind(leaf) for one in conditions for leaf in one.leaves()}
    if [one.partition(":")[0] for one in changed["of"]] == [kind] and kind not in held:
        changed["of"] = (new.field,)
        return True
    return kind in held and kind not in {one.partition(":")[0] for one in changed["of"]} and _condition(new, changed)


def _condition(new: Where, changed: Parts) -> bool:
    """Put a condition in the place of one of its kind, or add it."""
    kind, *others = {_kind(one) for one in new.leaves()}
    if others:
        return False
    for name in ("among", "where"):
        held: Where | None = changed[name]
        whole = _part_of(held, [one for one in held.leaves() if _kind(one) == kind]) if held is not None else None
        if held is not None and whole is not None:
            changed[name] = _swapped(held, whole, new)
            return True
    if changed["against"]:
        named = {_kind(leaf) for one in changed["against"] for leaf in one.leaves()}
        changed["against"] = tuple(both(one, new) for one in changed["against"])
        return kind not in {*named, "row"}
    name = "among" if changed["want"] == "fraction" and "obs" in kind else "where"
    changed[name] = both(changed[name], new)
    return changed["want"] in FIELDS


def _kind(leaf: Where) -> str:
    """Return what a condition is about: a column, any gene, any element."""
    return leaf.field if leaf.op == "is" else leaf.field.partition(":")[0]


def _part_of(held: Where, leaves: Sequence[Where]) -> Where | None:
    """Return the part of a condition that holds just some leaves; None where there is none."""
    if leaves and {*held.leaves()} == {*leaves}:
        return held
    return next(filter(None, (_part_of(one, leaves) for one in held.parts)), None)


def _swapped(held: Where, old: Where, new: Where) -> Where:
    """Put one condition in the place of another, wherever that stands."""
    return new if held == old else held.model_copy(update={"parts": tuple(_swapped(p, old, new) for p in held.parts)})


def referred(query: Query) -> Where | None:
    """Rows that "these" and "them" mean after a query."""
    if query.show == "check" or query.want == "fraction":
        return query.among or query.where
    return both(query.among, query.where)
