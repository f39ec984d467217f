"""Neighbours among the linked words that belong together: bounds, lists, "not", and what a verb says of rows."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pandas as pd

from .bounds import (
    after,
    either_number,
    implied,
    joined,
    joining,
    limit,
    measured,
    more_than,
    not_limit,
    pick,
    said_of,
    than,
    than_row,
    two_limits,
)
from .grammar import letters, pattern
from .link import USUAL, Names
from .query import FLIPPED, Where
from .values import listed
from .words import Link, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


# ---------------------------------------------------------------- groups by number


def _numbered(links: list[Link], names: Names) -> list[Link]:
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


def _same_column(links: list[Link], names: Names) -> list[Link]:
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


def _has(links: list[Link], _: Names) -> list[Link]:
    where = Where(op=">", field=links[0].value, values=(0,))
    return [Link("HAS", links[0].said, where, (where,))]


def _listed(links: list[Link], _: Names) -> list[Link]:
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


def _prefixed(links: list[Link], _: Names) -> list[Link]:
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
    return [joined(links, "HAS", _of_list(items, sign, number))]


def _of_list(items: tuple[Any, ...], sign: str, number: int) -> Where:
    """So many of some conditions hold."""

    def least(n: int) -> Where:
        ways = tuple(Where(op="and", parts=some) if n > 1 else some[0] for some in combinations(items, n))
        return Where(op="or", parts=ways) if len(ways) > 1 else ways[0]

    if sign in ("<", "<="):
        return least(number + (sign == "<=")).negated()
    if sign == ">=" or number in (0, len(items)):
        return least(max(number, 1)).negated() if number == 0 else least(number)
    return least(number + 1) if sign == ">" else Where(op="and", parts=(least(number), least(number + 1).negated()))


def _not_both(links: list[Link], _: Names) -> list[Link]:
    """Read "CD4 or CD8A but not both"."""
    held = next(iter(pick(links, "HAS")))
    if held.value.op != "or" or len(held.items) != 2:
        return [joined(links, "MIXED", None)]
    return [joined(links, "HAS", _of_list(held.items, "=", 1))]


def _lack_both(links: list[Link], _: Names) -> list[Link]:
    """Read "lack both A and B": neither; "without both" and "lack either" may mean one of them."""
    held = links[-1]
    if links[0].role != "LACK" or links[1].role != "BOTH" or held.value.op != "and" or len(held.items) < 2:
        return [joined(links, "MIXED", None)]
    return [links[0], joined(links[1:], "HAS", Where(op="or", parts=held.items))]


def _not_has(links: list[Link], _: Names) -> list[Link]:
    held = next(iter(pick(links, "HAS")))
    if held.value.op == "and" and held.items:
        return [joined(links, "MIXED", None)]
    return [joined(links, "HAS", held.value.negated())]


def _predicate(role: str) -> Callable[[list[Link], Names], list[Link]]:
    def build(links: list[Link], names: Names) -> list[Link]:
        held = next(iter(pick(links, "HAS")))
        denied = sum(one.role in ("NOT", "NO", "LACK", "LACKING", "NEG") for one in links) % 2
        if denied:
            held = _not_has([held], names)[0]
        if held.role == "MIXED":
            return [joined(links, "MIXED", None)]
        often = [one for one in links if one.role in ("TOP", "MORE", "LESS", "OFTEN")]
        return [joined(links, role, held.value, held.items), *often]

    return build


def _as_predicate(links: list[Link], _: Names) -> list[Link]:
    return [joined(links, "PRED", links[-1].value)]


def _as_trait(links: list[Link], _: Names) -> list[Link]:
    held = links[-1]
    value = held.value.negated() if pick(links, "NOT", "OUT") else held.value
    return [joined(links, "TRAIT", value)]


def _not_where(links: list[Link], _: Names) -> list[Link]:
    kept = [one for one in links[:-1] if one.role == "BE"]
    return [*kept, joined(links, links[-1].role, links[-1].value.negated())]


def _groups(links: list[Link], names: Names) -> list[Link]:
    """Join groups that are listed: those of one column are alternatives, whichever word joins them."""
    parts = pick(links, "WHERE")
    fields = {leaf.field for one in parts for leaf in one.value.leaves()}
    word, each = joining(links), bool(pick(links, "BOTH"))
    if len(fields) == 1 and {one.said.lower() for one in links} & {"but", "yet", "while"}:
        denied = [one.value.op == "not" for one in parts]
        if any(denied) == all(denied):
            return [joined(links, "MIXED", None)]  # "T cells but B cells"
    if any(one.value.op == "not" for one in parts):
        if len(fields) == 1:
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


def _mixed(links: list[Link], _: Names) -> list[Link]:
    """Read "neither T cells nor express CD19" as two that must be asked for."""
    return [joined(links, "MIXED", None)]


def _both_traits(links: list[Link], _: Names) -> list[Link]:
    return links[1:] if links[1].value.op == "and" else links


def _asked_first(links: list[Link], _: Names) -> list[Link]:
    """Read "of all cell types, which" as "which cell type"."""
    return [links[-1], *pick(links, "COLUMN")]


def _either(links: list[Link], _: Names) -> list[Link]:
    return links[1:] if links[-1].value.op == "or" else links


def _fields_of(where: Where) -> set[str]:
    return {leaf.field for leaf in where.leaves()}


def _alternatives(where: Where) -> bool:
    """Whether groups of several columns are joined by "or"."""
    mine = where.op == "or" and len(_fields_of(where)) > 1 and all(one.op == "is" for one in where.leaves())
    return mine or any(_alternatives(one) for one in where.parts)


def _unclear(held: list[Link], names: Names) -> list[Link]:
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


def _noun(links: list[Link], _: Names) -> list[Link]:
    """Turn to names of rows what is left of bounds ("heavier than 300") and functional groups ("esters")."""
    held = links[0]
    plain = bool(held.items) and isinstance(held.items[0], Where)
    return [replace(held, role="TRAIT")] if not plain or held.value.field.startswith("group:") else links


def _total(links: list[Link], _: Names) -> list[Link]:
    """Read "the total number of cells" as their number; a mean number of cells is something else."""
    return links[1:] if links[0].value == "sum" else links


def _top(links: list[Link], _: Names) -> list[Link]:
    """Read "largest" with a field behind it: of molecules it means the heaviest only by itself."""
    return [replace(links[0], role="TOP", value=links[0].value[1])]


def _drop(*roles: str) -> Callable[[list[Link], Names], list[Link]]:
    return lambda links, _: [one for one in links if one.role not in roles]


def _rename(role: str, *sources: str) -> Callable[[list[Link], Names], list[Link]]:
    def build(links: list[Link], _: Names) -> list[Link]:
        held = next(iter(pick(links, *sources)))
        return [replace(held, role=role, said=said_of(links))]

    return build


def _counts(links: list[Link], _: Names) -> list[Link]:
    """Read "LYZ counts": what was counted of a gene."""
    plain = key_of(links[1].said)[-1] in _COUNTED
    return links[:1] if plain and links[0].value.startswith("gene:") else links


def _expression(links: list[Link], _: Names) -> list[Link]:
    gene = next(iter(pick(links, "FIELD")))
    return [joined(links, "MEASURE", gene.value)] if gene.value.startswith("gene:") else links


def _lost(links: list[Link], names: Names) -> list[Link]:
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


def _kept_apart(links: list[Link], names: Names) -> list[Link]:
    """Read "male donors" as the cells of these, where each donor is one or the other."""
    where, column = next(iter(pick(links, "WHERE"))), next(iter(pick(links, "COLUMN")))
    # "B cell clusters" are something else than B cells.
    if where.value.op != "is" or where.value.field.removeprefix("obs:") in getattr(names.rows, "types", {}):
        return links
    held = names.rows.known(where.value)
    sets = [mask & ~pd.isna(held) for _, mask in names.rows.sizes(column.value, names.rows.asked)]
    inside = names.rows.mask(where.value)
    if any(inside[mask].any() != inside[mask].all() for mask in sets if mask.any()):
        return links
    return [one for one in links if one is not column]


def _two_columns(links: list[Link], _: Names) -> list[Link]:
    first, second = pick(links, "COLUMN")
    return links if first.value == second.value else [Link("BYCOL", said_of(links), (first.value, second.value))]


def _gene_number(links: list[Link], names: Names) -> list[Link]:
    """Read "the mean number of genes", "more genes than"."""
    return [*pick(links, "STAT", "TOP"), Link("MEASURE", "genes", names.usual("n_genes_by_counts"))]


# Words for what is counted of a gene or a cell.
_COUNTED = frozenset(["counts", "count", "umi", "read", "transcript", "rna", "mrna", "molecule"])
_AND = "(COMMA? (AND|OR)|COMMA)"
# In this order, each as often as it fits; then all once more.
# Neighbours, as roles, and what builds that which stands in their place.
RULES: tuple[tuple[str, Callable[[list[Link], Names], list[Link]]], ...] = (
    ("TRUE THERE BE", lambda links, _: [links[2], links[1]]),  # "is it true that there are"
    ("TRUE", _rename("DO", "TRUE")),
    # A donor may give cells; of a gene that says nothing.
    ("(?<=WHERE|ROWS|THAT)(LIST|GIVE)(?!FIELD|HAS)", _rename("HAVE", "LIST", "GIVE")),
    ("(?<=WHICH COLUMN)(LIST|GIVE)(?!FIELD|HAS)", _rename("HAVE", "LIST", "GIVE")),
    ("COUNT GENES(?=DO (WHERE|ROWS|IN|OF)+ HAVE STAT)", _gene_number),
    ("BOUND (NUM|HALF) UNIT?", limit),  # "more than 5", "at least half", "above 4 %"
    ("(?<=BE)NUM UNIT(?!OF)", limit),  # "are 50 years old"
    ("NUM UNIT? AFTER", limit),  # "5 or more"
    ("BETWEEN NUM UNIT? AND NUM UNIT?", limit),  # "between 2 and 5"
    ("IN? NUM UNIT? TO NUM UNIT?", limit),  # "2 to 5"
    ("NOT LIMIT", not_limit),  # "not more than 5"
    ("BOUND (THAT OF?)?(?=WHERE|TRAIT|ROWS|IN|OF)", than),  # "higher than that of B cells"
    ("MORE|LESS THAN THAT OF", _drop("THAT", "OF")),
    ("LIMIT (AND|OR) LIMIT", two_limits),  # "above 1 and below 5"
    ("MEASURE BOUND ROW", than_row),  # "weigh more than aspirin"
    ("MORE MEASURE THAN ROW", than_row),  # "a higher logP than aspirin"
    ("LESS MEASURE THAN ROW", than_row),
    ("MOREM THAN NUM (UNIT|MEASURE)?", more_than),  # "heavier than 500", "longer than 100 residues"
    ("FIELD MEASURE", _counts),  # "LYZ counts"
    ("(NO|HAVE|HAVING|LACK|LACKING) FIELD EXPRESSION(?!BE|BOUND|NUM|MORE|LESS|OF|IN)", _drop("EXPRESSION")),
    ("BY THEM(?=STAT|MEASURE|COUNT|SHARE)", _drop("THEM")),  # "by their mean depth"
    ("BY (ROWS|COUNT)+(?=BY)", _drop("BY", "ROWS", "COUNT")),
    ("BY COLUMN (AND|COMMA|BY|IN)* (BY|AND) COLUMN", _two_columns),  # "per donor and condition"
    (
        "(HAVE NO|HAVING NO|(HAVE|HAVING)? (MISSING|LACKING|LACK)) (MEASURE|COLUMN)"
        "(?!BE|OF|BOUND|LIMIT|NUM|HAVING|LACKING|WHERE|TWICE|TOP)",
        _lost,
    ),  # "without an age"
    ("MISSING (MEASURE|COLUMN)", _lost),
    ("(MEASURE|COLUMN) BE NOT? (LACKING|MISSING)", _lost),
    ("(COUNT|SHARE|STAT) (ROWS|WHERE|BE|DO|IN|OF|THERE|MEASURE)* ONLY(?=WHERE|ROWS|IN)", _drop("ONLY")),
    ("BY ROWS", _drop("BY", "ROWS")),  # "genes per cell"
    ("THEM ROWS", _drop("ROWS")),
    ("WHERE GROUPS", _drop("GROUPS")),
    ("STAT COUNT(?=(OF|ALL)*(ROWS|WHERE|TRAIT))", _total),
    ("TOPM(?=COUNT?(MEASURE|FIELD|HAS)|SHARE|STAT)", _top),
    ("COLUMN NUM", _numbered),  # "cluster 4"
    ("WHERE (COMMA? (AND|OR)|COMMA|VERSUS|THAN|IN|TO)+ NUM", _numbered),  # "clusters 2 and 5"
    ("COLUMN (WHERE|TWICE)", _same_column),  # "cell_type B"
    ("(WHERE|TWICE) COLUMN", _same_column),  # "the stim condition"
    ("(?<!TOP)(LIMIT|NUM) GENES SEEN?", measured),  # "more than 1000 genes detected"
    ("STAT (COUNT|OF)* GENES SEEN?", _gene_number),
    ("(?<=TOP|MORE|LESS)GENES(?=STAT|THAN)", _gene_number),  # "the mean number of genes"
    ("EXPRESSION (OF|IN)? FIELD", _expression),  # "expression of LYZ": its value, not whether
    ("FIELD EXPRESSION", _expression),
    ("NUM OR NUM", either_number),  # "2 or 3 rings"
    ("(MEASURE|FIELD) (BE|OF)* LIMIT", measured),  # "a logP above 3"
    ("LIMIT (MEASURE|FIELD)", measured),  # "more than 2 rings"
    ("(LIMIT|NUM) COUNT FIELD", measured),
    ("(MEASURE|FIELD) (BE|OF|BOUND)* NUM UNIT?", measured),
    ("NUM (MEASURE|FIELD)", measured),  # "3 rings"
    ("LIMIT", implied),  # "below 200 g/mol"
    ("HAS AFTER", after),  # "3 rings or fewer"
    ("RULE", _rename("HAS", "RULE")),
    ("FIELD", _has),  # a gene or an element by itself: some of it
    (f"HAS ({_AND} HAS)+", _listed),
    ("EITHER? HAS (AND|COMMA)* NOT BOTH", _not_both),
    ("(LACK|LACKING) (BOTH|EITHER) HAS", _lack_both),
    ("(BOTH|ALLOF|EITHER|NEITHER|ONEOF|ATMOSTONE|SEVERALOF|LIMIT OF) HAS TOGETHER?(?!POS|NEG|HAVING)", _prefixed),
    ("(?<=HAVE|HAVING|LACK|LACKING|NO)SEEN HAS", _drop("SEEN")),
    ("(NOT|NO) HAS", _not_has),  # "but no fluorine"
    (f"HAS ({_AND} HAS)+", _listed),
    ("NOT? HAVE HAS TOGETHER?", _predicate("PRED")),  # "do not express CD3D"
    ("NOT? LACK HAS", _predicate("PRED")),  # "lack CD3E"
    ("HAS HAVING(?=ROWS|WHERE|TRAIT)", _predicate("TRAIT")),  # "LYZ-expressing cells"
    ("HAVING HAS TOGETHER?", _predicate("TRAIT")),  # "cells expressing LYZ"
    ("LACKING HAS", _predicate("TRAIT")),
    ("HAS (POS|NEG)", _predicate("TRAIT")),  # "CD3D+", "CD79A-negative"
    ("HAS BE? NOT? TOGETHER? SEEN TOGETHER?", _predicate("PRED")),  # "LYZ is detected"
    ("HAS (TOP|MORE|LESS) OFTEN SEEN", _predicate("PRED")),
    ("HAS OFTEN SEEN", _predicate("PRED")),
    ("HAS(?!(DO|BE|THERE|IN|OF|HAVE)*ROW)", _noun),
    ("WHERE ROWS", _drop("ROWS")),
    ("(?<=WHERE)AND COUNT(?=WHERE)", _drop("COUNT")),  # "B cells and how many NK cells"
    (f"(BOTH (IN|OF)?)? WHERE ({_AND} (IN|OF)? WHERE)+", _groups),
    ("NEITHER (IN|OF)* (WHERE|TRAIT) OR (DO|BE|HAVE|IN)* (PRED|HAS|WHERE|TRAIT)", _mixed),
    ("NEITHER (PRED|HAS) OR (DO|BE|HAVE|IN)* (PRED|HAS|WHERE|TRAIT)", _mixed),
    ("(NOT|NEITHER) (IN|OF)* (WHERE|TRAIT)", _not_where),  # "not in cluster 4", "non-T cells"
    ("NOT BE (IN|OF)* WHERE", _not_where),
    ("OUT (IN|OF)* (WHERE|TRAIT)", _as_trait),  # "other than monocytes"
    ("THAT (DO|BE)* NOT? (PRED|TRAIT)", _as_trait),
    ("(?<=ROWS|WHERE)WHICH (DO|BE)* NOT? (PRED|TRAIT)", _as_trait),
    ("THAT BE NOT? (IN|OF)* (WHERE|TRAIT)", _as_trait),
    ("BE (IN|OF)* WHERE(?=(AND|OR)PRED)", _as_predicate),  # "are in cluster 2 or express CD3D"
    ("(?<=OR)BE (IN|OF)* WHERE", _as_predicate),
    (f"PRED ({_AND} PRED)+", _listed),
    (f"TRAIT ({_AND} TRAIT)+", _listed),
    ("EITHER (IN|OF)* WHERE", _either),
    ("(IN|OF) WHERE COLUMN", _kept_apart),  # "from male donors"
    ("(IN|OF|BE) COLUMN(?=TRAIT)", _drop("IN", "OF", "COLUMN")),  # "from donors older than 50"
    ("BOTH TRAIT", _both_traits),
    ("EVERYWHERE COLUMN", _drop("EVERYWHERE", "COLUMN")),  # "across all donors": all cells
    ("(OF|AMONG) ALL? COLUMN COMMA (WHICH|WHAT)", _asked_first),
    ("BY COLUMN", _rename("BYCOL", "COLUMN")),  # "per donor": of any form
)


def chunked(links: Sequence[Link], names: Names) -> list[Link]:
    """Join neighbours by the rules until a pass over all of them changes nothing."""
    held = list(links)
    for _ in range(3):
        before = held
        for roles, build in RULES:
            held = _apply(roles, build, held, names)
        if held == before:
            break
    return _unclear(held, names)


def _apply(roles: str, build: Callable[[list[Link], Names], list[Link]], held: list[Link], names: Names) -> list[Link]:
    at = 0
    while (found := pattern(roles).search(letters(one.role for one in held), at)) is not None:
        made = build(held[found.start() : found.end()], names)
        # What was joined may be joined once more; what a rule leaves as it is ends there.
        same = made == held[found.start() : found.end()]
        at = found.start() + (1 if same else max(len(made) - 1, 0))
        held = [*held[: found.start()], *made, *held[found.end() :]]
    return held
