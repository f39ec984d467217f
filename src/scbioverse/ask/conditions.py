"""Conditions among the linked words: groups, lists, "not", and what a verb says of rows; see `data/joins.txt`."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from .bounds import joined, joining, pick, said_of
from .grammar import letters
from .link import USUAL, Names
from .query import FLIPPED, Where
from .values import listed
from .words import Link, key_of

if TYPE_CHECKING:
    from collections.abc import Sequence


# ---------------------------------------------------------------- groups by number


def numbered(links: list[Link], names: Names) -> list[Link]:
    """Read "cluster 4", "clusters 2 and 5": the group of that number."""
    column, number = links[0], links[-1]
    if column.role == "WHERE" and column.items != ("numbered",):
        return links
    field = column.value if column.role == "COLUMN" else column.value.leaves()[-1].field.removeprefix("obs:")
    said = f"{number.value:g}"
    values = names.rows.groups(field).names
    fits = [one for one in values if one.strip() == said]
    fits = fits or [one for one in values if re.fullmatch(rf"\D*0*{re.escape(said)}", one.strip())]
    kept = links[:-1] if column.role != "COLUMN" else []
    if len(fits) != 1:
        return [*kept, Link("NOGROUP", said_of(links), said, note=f"{field!r} holds {_some(values)}")]
    made = Link("WHERE", said_of(links[-1:] if kept else links), names.value(field, fits[0]), items=("numbered",))
    return [*kept, made]


def _some(values: Sequence[str]) -> str:
    return listed([*map(str, values[:12]), *(["others"] if len(values) > 12 else [])])


def same_column(links: list[Link], names: Names) -> list[Link]:
    """Read "cell_type B", "the stim condition": the column says no more than the group."""
    column, held = (one for one in sorted(links, key=lambda one: one.role) if one.role in ("COLUMN", "WHERE", "TWICE"))
    if column.said.lower() in ("group", "groups") and held.role == "WHERE":
        return [held]
    if column.value in names.rows.columns and held.value is not None:
        fields = {leaf.field for leaf in held.value.leaves()}
        if fields == {f"obs:{column.value}"}:
            return [joined(links, "WHERE", held.value, held.items)]
        inside = names.rows.groups(column.value)
        if held.role == "TWICE" and all(str(one) in inside.names for one in held.value.values):
            return [
                replace(joined(links, "WHERE", held.value.model_copy(update={"field": f"obs:{column.value}"})), note="")
            ]
    return links


# ---------------------------------------------------------------- what rows have


def has(links: list[Link], _: Names) -> list[Link]:
    """Read a gene or an element by itself: some of it."""
    where = Where(op=">", field=links[0].value, values=(0,))
    return [Link("HAS", links[0].said, where, (where,))]


def several(links: list[Link], _: Names) -> list[Link]:
    """Join conditions of one kind that are listed."""
    parts, word = pick(links, links[-1].role), joining(links)
    # "No more than 3 donors and 5 acceptors": is 5 the most as well, or the number?
    signs = {one.value.op for one in parts if one.value.values and one.value.values != (0,)}
    if word == "?" or ("=" in signs and signs & {"<", "<=", ">", ">="}):
        return [joined(links, "MIXED", None)]
    items = tuple(
        item for one in parts for item in (one.items if one.items and isinstance(one.items[0], Where) else (one.value,))
    )
    return [joined(links, links[-1].role, Where(op=word, parts=tuple(one.value for one in parts)), items)]


# How many of a list: of words that say so.
_HOW_MANY: dict[str, tuple[Any, int | None]] = {
    "BOTH": (">=", None), "ALLOF": (">=", None), "EITHER": (">=", 1), "NEITHER": ("=", 0), "ONEOF": ("=", 1),
    "ATMOSTONE": ("<=", 1), "SEVERALOF": (">", 1),
}  # fmt: skip
_MOST_LISTED = 6
_DENIALS = ("NOT", "NO", "LACK", "LACKING", "NEG", "OUT", "OUTED", "NEITHER")


def prefixed(links: list[Link], _: Names) -> list[Link]:
    """Read "both CD3D and LYZ", "neither CD3D nor LYZ", "at least two of CD3D, CD3E and CD3G"."""
    head, held = links[0], next(iter(pick(links, "HAS")))
    items = held.items or (held.value,)
    if head.role == "LIMIT":
        bound: Where = head.value
        if bound.field or bound.op not in FLIPPED or float(bound.values[0]) % 1:
            return links
        sign, number = str(bound.op), int(bound.values[0])
    else:
        sign, said = _HOW_MANY[head.role]
        number = len(items) if said is None else said
    if not 2 <= len(items) <= _MOST_LISTED or (head.role == "BOTH" and held.value.op == "or"):
        return [joined(links, "MIXED", None)]
    low = {">=": number, ">": number + 1, "=": number}.get(sign, 0)
    high = {"<=": number, "<": number - 1, "=": number}.get(sign, len(items))
    if sign == "!=" or low > len(items) or high < 0 or (low <= 0 and high >= len(items)):
        return [replace(joined(links, "NONUMBER", None), note=str(len(items)))]
    return [joined(links, "HAS", _of_list(items, low, high))]


def _of_list(items: tuple[Any, ...], low: int, high: int) -> Where:
    """At least `low` and at most `high` of some conditions hold; not of any number."""

    def least(n: int) -> Where:
        ways = tuple(Where(op="and", parts=some) if n > 1 else some[0] for some in combinations(items, n))
        return Where(op="or", parts=ways) if len(ways) > 1 else ways[0]

    parts = ([least(low)] if low > 0 else []) + ([least(high + 1).negated()] if high < len(items) else [])
    return parts[0] if len(parts) == 1 else Where(op="and", parts=tuple(parts))


def switched(links: list[Link], _: Names) -> list[Link]:
    """Read "GZMK on but GZMB off": expressed, and not expressed."""
    (first, second), signs = pick(links, "HAS"), pick(links, "IN", "OFF")
    plain = all(one.role == "OFF" or one.said.lower() == "on" for one in signs) and pick(signs, "OFF")
    if not plain or any(len(one.items) != 1 for one in (first, second)):
        return links
    pairs = zip((first, second), signs, strict=True)
    items = tuple(has.value.negated() if sign.role == "OFF" else has.value for has, sign in pairs)
    return [joined(links, "HAS", Where(op="and", parts=items), items)]


def same(links: list[Link], _: Names) -> list[Link]:
    """Read "the number of cells is the same in ctrl and stim"; "these" and "it" are other words."""
    return [replace(links[0], role="SAME")] if links[0].said.lower() == "the same" else links


def not_both(links: list[Link], _: Names) -> list[Link]:
    """Read "CD4 or CD8A but not both"."""
    held = next(iter(pick(links, "HAS")))
    if held.value.op != "or" or len(held.items) != 2:
        return [joined(links, "MIXED", None)]
    return [joined(links, "HAS", _of_list(held.items, 1, 1))]


def stated(links: list[Link], _: Names, role: str = "") -> list[Link]:
    """Read "do not express CD3D", "CD3D+", "other than monocytes" as what is said of rows, or as what they are.

    Of "not A and B", "not A, in B" it is not said how far "not" reaches. Without a role the condition keeps its own.
    """
    held = next(iter(pick(links, "HAS", "WHERE", "TRAIT", "PRED")))
    denied = len(pick(links, *_DENIALS)) % 2 == 1
    mixed = held.value.op == "and" or any(isinstance(one, Where) and one.op == "not" for one in held.items)
    if denied and held.role in ("HAS", "WHERE") and held.items and mixed:
        return [joined(links, "MIXED", None)]
    value = held.value.negated() if denied else held.value
    items = held.items if held.role == "HAS" and not denied else ()
    verb = [] if role else pick(links[:-1], "BE")
    return [*verb, joined(links, role or held.role, value, items), *pick(links, "TOP", "MORE", "LESS", "OFTEN")]


def lack_all(links: list[Link], _: Names) -> list[Link]:
    """Read "lack both A and B", "negative for A and B" as having none; "without both", "lack either" may mean one."""
    held = next(iter(pick(links, "HAS")))
    said = pick(links, "BOTH", "EITHER")
    several = held.value.op == "and" and len(held.items) > 1
    if not said and not (several and links[0].said.lower().endswith(" for")):
        return links
    mixed = any(one.op == "not" for one in held.items)  # "negative for A and no B"
    if mixed or (said and (said[0].role == "EITHER" or links[0].role != "LACK" or not several)):
        return [joined(links, "MIXED", None)]
    return [links[0], joined(links[1:], "HAS", Where(op="or", parts=held.items))]


def groups(links: list[Link], names: Names) -> list[Link]:
    """Join groups that are listed: those of one column are alternatives, whichever word joins them."""
    parts = pick(links, "WHERE")
    fields = {leaf.field for one in parts for leaf in one.value.leaves()}
    word, each = joining(links), bool(pick(links, "BOTH"))
    if len(fields) == 1 and any((a.role, b.role) == ("AND", "IN") for a, b in pairwise(links)) and not each:
        return links  # "in ctrl and in stim" are two numbers
    if len(fields) == 1 and {one.said.lower() for one in links} & {"but", "yet", "while"}:
        denied = [one.value.op == "not" for one in parts]
        if any(denied) == all(denied):
            return [joined(links, "MIXED", None)]  # "T cells but B cells"
    if any(one.value.op == "not" for one in parts):
        if len(fields) == 1 and (word != "and" or any(one.value.op != "not" for one in parts)):
            return links
        # "In D1 but not stim"
        plain = word == "and" and not any(one.value.op == "or" and len(_fields_of(one.value)) > 1 for one in parts)
        where = Where(op="and", parts=tuple(one.value for one in parts))
        return [joined(links, "WHERE" if plain else "MIXED", where if plain else None)]
    several = any(names.rows.groups(one.removeprefix("obs:")).several for one in fields if one.startswith("obs:"))
    if len(fields) == 1 and not several:
        word = "or"
    # Where a row may hold both, "oncology and pain" may mean those of either or those of both.
    if word == "?" or (word == "and" and len(fields) == 1 and not each):
        return [joined(links, "MIXED", None)]
    flat = tuple(
        replace(one, value=item, items=())
        for one in parts
        for item in (one.items if one.items and isinstance(one.items[0], Where) else (one.value,))
    )
    items = tuple(one.value for one in flat)
    return [joined(links, "WHERE", Where(op=word, parts=items), items)]


def asked_first(links: list[Link], _: Names) -> list[Link]:
    """Read "of all cell types, which" as "which cell type"."""
    return [links[-1], *pick(links, "COLUMN")]


def _fields_of(where: Where) -> set[str]:
    return {leaf.field for leaf in where.leaves()}


def _alternatives(where: Where) -> bool:
    """Whether groups of several columns are joined by "or"."""
    mine = where.op == "or" and len(_fields_of(where)) > 1 and all(one.op == "is" for one in where.leaves())
    return mine or any(_alternatives(one) for one in where.parts)


def unclear(held: list[Link], names: Names) -> list[Link]:
    """Mark "B cells in D1 or T cells in D2": where more stands beside it, how far "or" reaches is not said."""
    beside = pick(held, "WHERE", "TRAIT", "PRED", "HAS", "BYCOL")
    # "CD3E+ cells are in D1 or stim": what stands behind the verb is one condition, if no type is in it.
    behind = re.search(letters(["BE"]) + letters(["IN"]) + letters(["WHERE"]) + "$", letters(one.role for one in held))
    types = {f"obs:{one}" for one in getattr(names.rows, "types", {})}
    if len(beside) < 2 or (behind and held[-1] is not beside[0] and not _fields_of(held[-1].value) & types):
        return held
    return [
        replace(one, role="MIXED") if one.role in ("WHERE", "TRAIT") and _alternatives(one.value) else one
        for one in held
    ]


def noun(links: list[Link], _: Names) -> list[Link]:
    """Turn to names of rows what is left of bounds ("heavier than 300") and functional groups ("esters")."""
    held = links[0]
    plain = bool(held.items) and isinstance(held.items[0], Where)
    return [replace(held, role="TRAIT")] if not plain or held.value.field.startswith("group:") else links


def top(links: list[Link], _: Names) -> list[Link]:
    """Read "largest" with a field behind it: of molecules it means the heaviest only by itself."""
    return [replace(links[0], role="TOP", value=links[0].value[1])]


def mark(links: list[Link], _: Names, role: str) -> list[Link]:
    """Mark words that can be read in two ways."""
    return [joined(links, role, None)]


def without_first(links: list[Link], _: Names, what: str) -> list[Link]:
    """Leave out the first word where it, or what joins the condition behind it, is the one given."""
    return links[1:] if what in (links[0].value, links[0].said.lower(), getattr(links[-1].value, "op", None)) else links


def drop(links: list[Link], _: Names, *roles: str) -> list[Link]:
    """Leave out words that only fill a sentence."""
    return [one for one in links if one.role not in roles]


def rename(links: list[Link], _: Names, role: str, *sources: str) -> list[Link]:
    """Give a word another role where it stands so."""
    return [replace(next(iter(pick(links, *sources))), role=role, said=said_of(links))]


def swap(links: list[Link], _: Names) -> list[Link]:
    """Read "the B cell count" as "the count of B cells"."""
    return links[::-1]


def in_percent(links: list[Link], _: Names) -> list[Link]:
    """Read "how many of the T cells, in percent" as which share of them."""
    at = max(i for i, one in enumerate(links) if one.role == "SHARE" and i and links[i - 1].role == "IN")
    asked = {one.said for one in links[at : at + 1]} <= {"percent", "%", "per cent", "pct", "percentage"}
    if not asked or any(one.role == "SHARE" for one in links[1 : at - 1]):
        return links
    middle = links[1 : at - 1]
    return [replace(links[0], role="SHARE"), *(middle[:-1] if middle[-1].role == "COMMA" else middle)]


def spread(links: list[Link], _: Names) -> list[Link]:
    """Read "break the cells down by donor" as how many each has."""
    return [Link("COUNT", said_of(pick(links, "SPREAD"))), *pick(links, "ROWS", "WHERE", "TRAIT")]


def counts(links: list[Link], _: Names) -> list[Link]:
    """Read "LYZ counts": what was counted of a gene."""
    plain = key_of(links[1].said)[-1] in _COUNTED
    return links[:1] if plain and links[0].value.startswith("gene:") else links


def expression(links: list[Link], _: Names) -> list[Link]:
    """Read "expression of LYZ": its value, not whether there is some."""
    gene = next(iter(pick(links, "FIELD")))
    return [joined(links, "MEASURE", gene.value)] if gene.value.startswith("gene:") else links


def lost(links: list[Link], names: Names) -> list[Link]:
    """Read "cells without an age": no value; of what is counted, as "no mitochondrial counts", none."""
    field = next(iter(pick(links, "MEASURE", "COLUMN")))
    name = field.value if field.role == "MEASURE" else f"obs:{field.value}"
    role = "PRED" if pick(links, "HAVE", "LACK", "BE") else "TRAIT"
    counted = key_of(field.said)[-1] in _COUNTED
    if counted and name in {names.usual(one) for one in USUAL}:
        where = Where(op="=", field=name, values=(0,))
        return links if pick(links, "MISSING") else [joined(links, role, where)]
    if not name.startswith("obs:"):
        return links
    where = Where(op="missing", field=name)
    return [joined(links, role, where.negated() if pick(links, "NOT") else where)]


def kept_apart(links: list[Link], names: Names) -> list[Link]:
    """Read "male donors" as the cells of these, where each donor is one or the other."""
    where, column = next(iter(pick(links, "WHERE"))), next(iter(pick(links, "COLUMN")))
    # "B cell clusters" are something else than B cells.
    leaf = where.value.leaves()[0]
    if where.value not in (leaf, leaf.negated()) or leaf.field.removeprefix("obs:") in getattr(names.rows, "types", {}):
        return links
    held = names.rows.known(where.value)
    sets = [mask & ~pd.isna(held) for _, mask in names.rows.sizes(column.value, names.rows.asked)]
    inside = names.rows.mask(where.value)
    if any(inside[mask].any() != inside[mask].all() for mask in sets if mask.any()):
        return links
    return [one for one in links if one is not column and one.role != "HAVING"]


def included(links: list[Link], names: Names) -> list[Link]:
    """Leave out ", CAFs included" where these are among those that were named before."""
    first, second = pick(links, "WHERE")
    inside = names.rows.mask(second.value) & ~names.rows.mask(first.value)
    return links if inside.any() else [*links[: links.index(second) - 1], *links[links.index(second) + 2 :]]


def of_groups(links: list[Link], names: Names) -> list[Link]:
    """Read "how many female donors" as the donors that are female."""
    where, column = links
    return [column, Link("HAVE", ""), where] if kept_apart(links, names) != links else links


def only(links: list[Link], names: Names) -> list[Link]:
    """Leave out "only" behind all."""
    return links if any(names.rows.groups(one).several for one in names.rows.columns) else links[:-1]


def two_columns(links: list[Link], _: Names) -> list[Link]:
    """Read "per donor and condition"."""
    first, second = pick(links, "COLUMN")
    return links if first.value == second.value else [Link("BYCOL", said_of(links), (first.value, second.value))]


def paired(links: list[Link], _: Names) -> list[Link]:
    """Read "the correlation of CD3D with CD3E"."""
    return [joined(links, "PAIRED", tuple(one.value for one in pick(links, "FIELD", "MEASURE")))]


def aged(links: list[Link], names: Names) -> list[Link]:
    """Read "patients over 60": of people a number without a word is an age."""
    column, bound = links
    plain = {leaf.field for leaf in bound.value.leaves()} == {""}
    if names.age is None or not plain or not _PEOPLE.search(column.value):
        return links
    return [joined(links, "TRAIT", bound.value.about(names.age))]


def gene_number(links: list[Link], names: Names) -> list[Link]:
    """Read "the mean number of genes", "more genes than"."""
    return [*pick(links, "STAT", "TOP"), Link("MEASURE", "genes", names.usual("n_genes_by_counts"))]


_PEOPLE = re.compile(r"patient|donor|subject|individual|person|participant", re.IGNORECASE)
# Words for what is counted of a gene or a cell.
_COUNTED = frozenset(["counts", "count", "umi", "read", "transcript", "rna", "mrna", "molecule"])
