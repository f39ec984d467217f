"""Follow-ups: the query before, with the parts replaced that the new question names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .query import MEASURES, Query, Refusal, Where, both

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Names
    from .words import Link

_GLUE = frozenset(["IN", "OF", "BE", "DO", "ROWS", "COMMA", "THERE", "HAVING", "WHAT", "HAVE", "AND", "THAT"])
# A question of these alone asks how many of what was asked about before.
BARE = (_GLUE - {"ROWS"}) | {"COUNT", "NOT", "ALL"}
_PARTS = frozenset(
    ["WHERE", "TRAIT", "PRED", "HAS", "LIMIT", "STAT", "MEASURE", "BYCOL", "TOP", "SIZETOP", "TOPM", "ROW", "NOT",
     "COUNT", "ORD"]
)  # fmt: skip


_TWICE = "This can be read in two ways after the question before: say in full which rows are to be counted."


def followed(links: Sequence[Link], before: Query, names: Names) -> Query | Refusal | None:
    """Read a fragment against the query before; None where it is a question of its own.

    A group takes the place of what the query before said of the same column, a gene that of a gene, a number that of
    the number compared; what the query before said nothing of is added.
    """
    roles = [one.role for one in links if one.role not in _GLUE]
    if not roles or any(one not in _PARTS for one in roles):
        return None
    held = [one for one in links if one.role in _PARTS]
    if roles in (["COUNT"], ["COUNT", "NOT"], ["NOT"]):
        return _counted(links, before)
    if "NOT" in roles:
        return None
    changed: dict[str, Any] = {name: getattr(before, name) for name in type(before).model_fields}
    for one in [one for one in held if one.role != "COUNT"]:
        if not _replace(one, changed, names):
            return None
    made = Query.model_validate(changed)
    if "COUNT" in roles:
        # "And how many B cells?" after those that express a gene: all B cells, or those that express it?
        plain = Query(want="count", where=both(*(one.value for one in held if isinstance(one.value, Where))))
        return made if made == plain else Refusal(text=_TWICE)
    return made


def _counted(links: Sequence[Link], before: Query) -> Query | Refusal:
    """Read "how many are there?", "how many do not?" and "how many is that?"."""
    that = "THAT" in {one.role for one in links}
    if (before.want == "fraction" and before.show != "groups") != that or before.against:
        return Refusal(text=_TWICE)
    denied = before.where is not None and "NOT" in {one.role for one in links}
    where = before.where
    said = {one.role for one in links}
    if "DO" in said and "NOT" not in said and where is not None and '"not"' in where.model_dump_json():
        return Refusal(text=_TWICE)  # "and how many do?" after those that do not
    if denied and where is not None and where.op == "and":
        # Of "B cells that express CD79A" those that do not are B cells, too.
        denied_parts = [one for one in where.parts if any(leaf.op != "is" for leaf in one.leaves())]
        if len(denied_parts) != 1 or any(leaf.op == "is" for leaf in denied_parts[0].leaves()):
            return Refusal(text=_TWICE)
        where = both(*(one.negated() if one in denied_parts else one for one in where.parts))
    elif denied and where is not None:
        where = where.negated()
    return Query(want="count", where=both(where, before.among))


# What takes the place of what in the query before, and where it may: of each role the fields of the query that it sets,
# and whether what is asked has such a part.
_SET: dict[str, tuple[Callable[[Any], dict[str, Any]], Callable[[dict[str, Any]], bool]]] = {
    "STAT": (lambda value: {"want": value}, lambda held: bool(held["of"])),
    "BYCOL": (
        lambda value: {"by": value}, lambda held: held["want"] in (*MEASURES, "groups", "composition", "markers"),
    ),
    "TOP": (lambda value: {"order": value}, lambda held: held["show"] == "rank"),
    "SIZETOP": (lambda value: {"order": value}, lambda held: held["show"] == "rank"),
    "TOPM": (lambda value: {"of": (value[0],), "order": value[1]}, lambda held: held["show"] == "rank"),
    "ORD": (lambda value: {"nth": int(value)}, lambda held: held["show"] == "rank"),
    "MEASURE": (lambda value: {"of": (value,)}, lambda held: held["want"] not in ("count", "fraction")),
}  # fmt: skip


def _replace(link: Link, changed: dict[str, Any], names: Names) -> bool:
    """Put one part of a fragment into the query before; False where that has no place for it."""
    if link.role == "ROW":
        changed["against"] = (names.row(link),)
        return changed["want"] in ("value", "describe", "nearest")
    if link.role in _SET:
        new, fits = _SET[link.role]
        changed |= new(link.value)
        return fits(changed)
    return _number(link.value, changed) if link.role == "LIMIT" else _condition(link.value, changed)


def _number(bound: Where, changed: dict[str, Any]) -> bool:
    """Put a bound in the place of the only number that was compared."""
    for name in ("where", "among"):
        held = changed[name]
        leaves = held.leaves() if held is not None else ()
        numbers = [one for one in leaves if one.op != "is" and not one.field.startswith("gene:")]
        if len(numbers) == 1 and bound.field in ("", numbers[0].field):
            changed[name] = _swapped(held, numbers[0], bound.about(numbers[0].field))
            return True
    return False


def _condition(new: Where, changed: dict[str, Any]) -> bool:
    kinds = {_kind(one) for one in new.leaves()}
    if len(kinds) != 1:
        return False
    for name in ("among", "where"):
        held = changed[name]
        if held is None:
            continue
        old = [one for one in held.leaves() if _kind(one) in kinds]
        whole = _part_of(held, old)
        if whole is not None:
            changed[name] = _swapped(held, whole, new)
            return True
    if changed["against"]:
        named = {_kind(leaf) for one in changed["against"] for leaf in one.leaves()}
        changed["against"] = tuple(both(one, new) for one in changed["against"])
        return not kinds & {*named, "row"}
    name = "among" if changed["want"] == "fraction" and "obs" in kinds.pop() else "where"
    changed[name] = both(changed[name], new)
    return changed["want"] in MEASURES


def _kind(leaf: Where) -> str:
    """Return what a condition is about: a column, any gene, any element."""
    kind, _, _ = leaf.field.partition(":")
    return leaf.field if leaf.op == "is" else kind


def _part_of(held: Where, leaves: Sequence[Where]) -> Where | None:
    """Return the part of a condition that holds just some leaves; None where there is none."""
    if not leaves:
        return None
    if set(held.leaves()) == set(leaves):
        return held
    return next((found for one in held.parts if (found := _part_of(one, leaves)) is not None), None)


def _swapped(held: Where, old: Where, new: Where) -> Where:
    if held == old:
        return new
    return held.model_copy(update={"parts": tuple(_swapped(one, old, new) for one in held.parts)})


def referred(query: Query) -> Where | None:
    """Rows that "these" and "them" mean after a query."""
    if query.show == "check" or query.want == "fraction":
        return both(query.among) or query.where
    return both(query.among, query.where)
