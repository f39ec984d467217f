"""What neighbours among the linked words are joined to; `data/joins.txt` says which, :mod:`.chunks` applies it.

Each takes the links that stand side by side and the names of the data, and returns what stands in their place; the
links themselves where they are not to be joined. `"MIXED"` is a link that can be read in two ways.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import combinations, dropwhile, pairwise, takewhile
from typing import TYPE_CHECKING, Any

import pandas as pd

from .._logging import listed
from .cells import COMPUTED
from .query import COMPARE, FLIPPED, Where, both, in_column
from .words import Link, joined, key_of, pick, roles_of, said_of, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .link import Names

    Links = list[Link]

# How many of a list, of words that say so; None: all of it.
_HOW_MANY: dict[str, tuple[str, int | None]] = {
    "BOTH": (">=", None), "ALLOF": (">=", None), "EITHER": (">=", 1), "NEITHER": ("=", 0), "ONEOF": ("=", 1),
    "ATMOSTONE": ("<=", 1), "SEVERALOF": (">", 1),
}  # fmt: skip
_MOST_LISTED, _GROUPS_SHOWN = 6, 12
_DENIALS = ("NOT", "NO", "LACK", "LACKING", "NEG", "OUT", "OUTED", "NEITHER", "ABSENT")
_MEASURED = frozenset(["measured", "measure", "present", "profiled", "available", "captured", "assayed", "detectable"])
_PERCENT = frozenset(["percent", "%", "per cent", "pct", "percentage"])
_MITO_COUNTS = re.compile(r"\bmito\w* (?:genes?|counts?|umis?|transcripts?)\b")
_FRACTION = re.compile(r"\b(?:fraction|proportion|share)\b")
# Words for what is counted of a gene or a cell.
_COUNTED = frozenset(["counts", "count", "umi", "read", "transcript", "rna", "mrna", "molecule"])


# ---------------------------------------------------------------- any neighbours


def drop(links: Links, _: Names, *roles: str) -> Links:
    """Leave out words that only fill a sentence."""
    return without(links, *roles)


def rename(links: Links, _: Names, role: str, *sources: str) -> Links:
    """Give a word another role where it stands so."""
    return [pick(links, *sources)[0].but(role, said=said_of(links))]


def worded(links: Links, names: Names, role: str, said: str, source: str) -> Links:
    """Give a word of one role another where it is one of some words, with "_" between several."""
    fits = pick(links, source)[0].key.replace(" ", "_") in said.split("|")
    return rename(links, names, role, source) if fits else links


def order(links: Links, _: Names, *roles: str) -> Links:
    """Put words in the order of roles, or of several ("MORE|LESS"), and leave out the others."""
    return [one for some in roles for one in pick(links, *some.split("|"))]


def mark(links: Links, _: Names, role: str = "MIXED") -> Links:
    """Mark words that can be read in two ways, or as nothing."""
    return [joined(links, role)]


def in_every(links: Links, _: Names) -> Links:
    """Read "is it expressed in every cell" as in all cells."""
    return [*links[:-1], Link("IN", "in"), Link("ALL", "every")] if links[-1].key.endswith(("every", "each")) else links


def without_last(links: Links, _: Names, *roles: str) -> Links:
    """Leave out the last word, and what of some roles stands before it: "versus the rest" of markers."""
    kept = dropwhile(lambda one: one.role in roles, links[-2::-1])
    return list(kept)[::-1]


def summed(links: Links, _: Names) -> Links:
    """Read "how many UMIs in total", "the total UMI count of B cells", "the combined length" as a sum."""
    total = Link("STAT", "total", "sum")
    if any(one.value.startswith(("gene:", "group:")) for one in pick(links, "FIELD")):  # "how many esters in total"
        return links
    if pick(links, "TAKEN", "INTOTAL"):
        return [total, *without(links, "TAKEN", "INTOTAL", "COMMA", "COUNT", "BE", "THERE")]
    # Of "total_counts" the name of the column is written so.
    return [*links[:-1], total, links[-1]] if links[-1].key.startswith("total umi") else links


def named_genes(links: Links, _: Names) -> Links:
    """Read genes of which it is asked whether they were measured; whether they are expressed is another question."""
    named, seen = pick(links, "FIELD", "NOGENE"), [one.key for one in pick(links, "SEEN")]
    fields = tuple(one.value if one.role == "FIELD" else f"gene:{one.value}" for one in named)
    # "Is CD3D in all" is no such question.
    among = pick(links, "AMONG") and pick(links, "GENES")
    asked = among or ({*seen} <= _MEASURED and (seen or pick(links, "GENES", "WHICH", "WHAT", "LIST")))
    mine = asked and all(one.startswith("gene:") for one in fields)
    return [links[0], joined(named, "NAMED", fields)] if mine else links


def how_old(links: Links, _: Names) -> Links:
    """Read "how old is patient B" as the mean of its cells, which have its age each."""
    return [Link("STAT", "", "mean"), pick(links, "MEASURE")[0], Link("IN", "")]


def without_first(links: Links, _: Names, what: str) -> Links:
    """Leave out the first word where it, or what joins the condition behind it, is the one given."""
    first, last = links[0], links[-1].value
    joint = last.op if isinstance(last, Where) else ""
    return links[1:] if what in (first.value, first.key, first.key.removesuffix("s"), joint) else links


def in_percent(links: Links, _: Names) -> Links:
    """Read "how many of the T cells, in percent" as which share of them."""
    at = len(links) - roles_of(links)[::-1].index("SHARE")
    first, *middle = without_last(links[: at - 1], _, "COMMA")
    if first.role in ("SPREAD", "COMPOSITION"):
        return [first.but("COMPOSITION", value="share"), *middle]
    return [first.but("SHARE"), *middle] if links[at - 1].said in _PERCENT else links


# ---------------------------------------------------------------- what is measured


def top(links: Links, _: Names) -> Links:
    """Read "largest" with a field behind it: of molecules it means the heaviest only by itself."""
    return [links[0].but("TOP", value=links[0].value[1])]


def sized(links: Links, names: Names) -> Links:
    """Read "the largest class" as the one with the most: "heaviest" is said of its rows."""
    return top(links, names) if links[0].key in ("largest", "biggest", "smallest") else links


def counts(links: Links, _: Names) -> Links:
    """Read "LYZ counts": what was counted of a gene."""
    return links[:1] if _counted(links[1]) else links


def twice(links: Links, names: Names) -> Links:
    """Read "gene count (nFeature_RNA)", "cycling (S or G2M)", "heaviest by weight" once: both name the same."""
    one, other, kept = links[0].value, links[-1].value, links[:-2] or links[:1]
    if isinstance(one, Where):
        alike = one.fields() == other.fields() and bool((names.rows.mask(one) == names.rows.mask(other)).all())
    else:
        alike = other in (one, *one[:1])
    return kept if alike else links


def raw(links: Links, names: Names) -> Links:
    """Leave out "raw" where the matrix holds counts: of values that were normalised it is not known what they were."""
    return [] if getattr(names.rows, "holds_counts", False) else mark(links, names, "?")


def per_row(links: Links, _: Names) -> Links:
    """Read "the mean number of GNLY UMIs per NK cell" as that of NK cells; of a sum it is another number."""
    *first, one, kind = links
    spread = links[0].value in ("mean", "median", "std", "min", "max")
    # "Per T cell type" is by type.
    return [*first, Link("IN", one.said), kind] if spread and kind.key.endswith((" cell", " cells")) else links


def whose(links: Links, _: Names) -> Links:
    """Read "whose phase is not launched" as of what is not launched."""
    column, held = pick(links, "COLUMN")[0], links[-1]
    mine = links[0].key == "whose" and held.value.fields() == {f"obs:{column.value}"}
    return [links[0].but("THAT"), *without(links[1:], "COLUMN")] if mine else links


def _counted(link: Link) -> bool:
    return key_of(link.said)[-1] in _COUNTED


def expression(links: Links, _: Names) -> Links:
    """Read "expression of LYZ": its value, not whether there is some."""
    return [joined(links, "MEASURE", pick(links, "FIELD")[0].value)]


def paired(links: Links, _: Names) -> Links:
    """Read "the correlation of CD3D with CD3E"."""
    return [joined(links, "PAIRED", tuple(one.value for one in pick(links, "FIELD", "MEASURE")))]


def lost(links: Links, names: Names) -> Links:
    """Read "cells without an age": no value; of what is counted, as "no mitochondrial counts", none."""
    field = pick(links, "MEASURE", "COLUMN")[0]
    name = field.value if field.role == "MEASURE" else f"obs:{field.value}"
    role = "PRED" if pick(links, "HAVE", "LACK", "BE") else "TRAIT"
    if _counted(field) and name in map(names.rows.usual, COMPUTED):
        # Of "unknown counts" it is not said that there are none.
        return links if pick(links, "MISSING") else [joined(links, role, Where(op="=", field=name, values=(0,)))]
    where = Where(op="missing", field=name)
    made = joined(links, role, where.negated() if pick(links, "NOT") else where)
    return [made] if name.startswith("obs:") else links


def two_columns(links: Links, _: Names) -> Links:
    """Read "per donor and condition"."""
    return [Link("BYCOL", said_of(links), tuple(one.value for one in pick(links, "COLUMN")))]


# ---------------------------------------------------------------- groups


def joining(links: Sequence[Link]) -> Any:
    """Say how some parts are joined; `"?"` where both words stand among them."""
    said = {one.role.lower() for one in pick(links, "AND", "OR")}
    return {0: "and", 1: next(iter(said), "")}.get(len(said), "?")


def numbered(links: Links, names: Names) -> Links:
    """Read "cluster 4", "clusters 2 and 5": the group of that number."""
    held, number = links[0], links[-1]
    kept = links[:-1] if held.role == "WHERE" else []
    if kept and held.term != "numbered":
        return links
    field = held.value.leaves()[-1].column if kept else held.value
    values, said = names.rows.groups(field).names, f"{number.value:g}"
    fits = [one for one in values if one.strip() == said]
    fits = fits or [one for one in values if re.fullmatch(rf"\D*0*{re.escape(said)}", one.strip())]
    if len(fits) != 1:
        shown = values if len(values) <= _GROUPS_SHOWN else [*values[:_GROUPS_SHOWN], "others"]
        return [*kept, Link("NOGROUP", said_of(links), said, note=f"{field!r} holds {listed(shown)}")]
    words = [number] if kept else links
    return [*kept, Link("WHERE", said_of(words), in_column(field, fits[0]), term="numbered")]


def same_column(links: Links, _: Names) -> Links:
    """Read "cell_type B", "the stim condition": the column says no more than the group."""
    column, held = pick(links, "COLUMN")[0], pick(links, "WHERE", "TWICE")[0]
    if column.key in ("group", "groups"):
        return [held]
    mine = held.value is not None and held.value.fields() == {f"obs:{column.value}"}
    return [replace(joined(links, "WHERE", held.value, held.items), term=held.term)] if mine else links


def groups(links: Links, names: Names) -> Links:
    """Join groups that are listed, of one column or of several."""
    parts = pick(links, "WHERE")
    fields = set().union(*(one.value.fields() for one in parts))
    if len(fields) == 1:
        return _of_one_column(links, names, fields.pop())
    word, denied = joining(links), [one for one in parts if one.value.op == "not"]
    if word == "or" and len(parts) > 2:
        return mark(links, names)  # "T cells, donor1 or donor2"
    # "In D1 but not stim": how far "not" reaches is told only of plain conditions.
    mixed = denied and (word != "and" or any(_alternatives(one.value) for one in parts))
    if mixed or word == "?":
        return mark(links, names)
    return _listed(links, word, apart=not denied)


def _of_one_column(links: Links, names: Names, field: str) -> Links:
    """Join groups of one column: they are alternatives, whichever word joins them."""
    each, word = bool(pick(links, "BOTH")), joining(links)
    if ("AND", "IN") in pairwise(roles_of(links)):
        return links  # "in ctrl and in stim" are two numbers
    if {one.key for one in links} & {"but", "yet", "while"}:
        return mark(links, names)  # "T cells but B cells"
    denied = [one.value.op == "not" for one in pick(links, "WHERE")]
    if any(denied):  # "not monocytes and not T cells" are neither
        return _listed(links, word, apart=False) if all(denied) and word == "and" else links
    # Where a row may hold both, "oncology and pain" may mean those of either or those of both.
    several = field in names.rows.group_fields and names.rows.groups(field.removeprefix("obs:")).several
    mixed = word == "?" or (word == "and" and not each) if several else each  # "are both B and T cells"
    return mark(links, names) if mixed else _listed(links, word if several else "or", apart=True)


def _listed(links: Links, word: Any, *, apart: bool) -> Links:
    """Join conditions, those that were listed before each by itself, if each is to be known `apart`."""
    parts = pick(links, "WHERE")
    items = tuple(item for one in parts for item in (one.each if apart else (one.value,)))
    return [joined(links, "WHERE", Where(op=word, parts=items), items if apart else ())]


def both_of(links: Links, names: Names) -> Links:
    """Read "for pain as well as fever" of rows that may hold several values as those with both."""
    first, word, second = links[0], pick(links, "AND")[0], links[-1]
    field, *others = first.value.fields() | second.value.fields()
    several = not others and field in names.rows.group_fields and names.rows.groups(field.removeprefix("obs:")).several
    plain = several and word.key in ("as well as", "and also") and not first.items + second.items
    return [joined(links, "WHERE", both(first.value, second.value))] if plain else links


def choice(links: Links, names: Names) -> Links:
    """Read "which has more B cells, D1 or D2" as "which of D1 or D2 has more B cells"."""
    front = links[0].role == "WHERE"
    named = pick(links[: roles_of(links).index("WHICH")] if front else links[::-1], "WHERE")
    sides = list(takewhile(lambda one: one.value.fields() == named[0].value.fields(), named))
    if len(sides) < 2 or (front and sides != named):
        return links
    made = _of_one_column(sides if front else sides[::-1], names, next(iter(named[0].value.fields())))
    rest = links[links.index(sides[-1]) + 1 :] if front else links[: links.index(sides[-1])]
    return [Link("WHICH", "which"), Link("OF", "of"), *made, *without(rest, "WHICH", "COMMA")]


def two_groups(links: Links, names: Names, role: str) -> Links:
    """Read "in both conditions" as by condition where there are two, "both donors have" as all donors."""
    two = len(names.rows.groups(links[-1].value).names) == 2
    return [links[0].but(role), links[-1]] if two else mark(links, names)


def of_last(links: Links, names: Names) -> Links:
    """Mark "B cells and T cells with no CD3D": where each type has a noun, it may be said of both or of the last."""
    where, trait = links
    own = len(where.items) > 1 and where.key.count("cell") > 1
    return mark(links, names) if own and {"gene"} & {one.partition(":")[0] for one in trait.value.fields()} else links


def rest(links: Links, _: Names) -> Links:
    """Read "than in the rest" as of all others than the group that is named."""
    (one,) = pick(links, "WHERE")
    return [*links[:-1], Link("WHERE", links[-1].said, one.value.negated())]


def rows_listed(links: Links, names: Names) -> Links:
    """Read rows that are listed as those of which one is asked for."""
    parts = [names.row(one) for one in pick(links, "ROW")]
    where = parts[0].but(values=tuple(value for one in parts for value in one.values), said="")
    made = joined(pick(links, "ROW"), "WHERE", where)
    which = pick(links, "WHICH")
    return [*which, Link("OF", "of"), made] if which else [made]


def kept_apart(links: Links, names: Names) -> Links:
    """Read "male donors" as the cells of these, where each donor is one or the other."""
    where, column = pick(links, "WHERE")[0], pick(links, "COLUMN")[0]
    leaf = where.value.leaves()[0]
    # "B cell clusters" are something else than B cells.
    if where.value not in (leaf, leaf.negated()) or leaf.column in names.rows.types:
        return links
    rows = names.rows
    inside, known = rows.mask(where.value), ~pd.isna(rows.known(where.value))
    sets: list[NDArray[Any]] = [inside[mask & known] for _, mask in rows.sizes(column.value, rows.asked)]
    split = any(len(set(held)) > 1 for held in sets)
    return links if split else without(links, "COLUMN", "HAVING")


def of_groups(links: Links, names: Names) -> Links:
    """Read "how many female donors" as the donors that are female."""
    where, column = links[0].but("WHERE"), links[1]
    return [column, Link("HAVE", ""), where] if kept_apart([where, column], names) != [where, column] else links


def only(links: Links, names: Names) -> Links:
    """Leave out "only" behind all."""
    return links if any(names.rows.groups(one).several for one in names.rows.columns) else links[:-1]


def unclear(held: Links, names: Names) -> Links:
    """Mark "B cells in D1 or T cells in D2": where more stands beside it, how far "or" reaches is not said."""
    held = [one.but("MIXED") if _other_unit(one, names) else one for one in held]
    beside, types = pick(held, "WHERE", "TRAIT", "PRED", "HAS", "BYCOL"), {f"obs:{one}" for one in names.rows.types}
    # "CD3E+ cells are in D1 or stim": what stands behind the verb is one condition, if no type is in it.
    behind = roles_of(held)[-3:] == ["BE", "IN", "WHERE"] and held[-1] is not beside[0]
    if len(beside) < 2 or (behind and not held[-1].value.fields() & types):
        return held
    return [one.but("MIXED") if one.role in ("WHERE", "TRAIT") and _alternatives(one.value) else one for one in held]


def _other_unit(link: Link, names: Names) -> bool:
    """Whether mitochondrial counts, or a fraction of one, are held against a column of per cent."""
    field = names.rows.usual("pct_counts_mt") if names.rows.noun == "cell" else ""
    counts = bool(_MITO_COUNTS.search(link.key))
    if not isinstance(link.value, Where):
        return counts and link.role == "MEASURE" and link.value == field
    leaves = [one for one in link.value.leaves() if one.field == field and one.values]
    if not leaves or _PERCENT & {*re.findall(r"%|[a-z]+", link.key)}:
        return False
    small = any(max(map(float, one.values)) <= 1 for one in leaves)
    return counts or (small and bool(_FRACTION.search(link.key)))


def _alternatives(where: Where) -> bool:
    """Whether groups of several columns are joined by "or"."""
    mine = where.op == "or" and len(where.fields()) > 1 and where.of_groups
    return mine or any(map(_alternatives, where.parts))


# ---------------------------------------------------------------- what rows have


def has(links: Links, _: Names) -> Links:
    """Read a gene or an element by itself: some of it."""
    where = Where(op=">", field=links[0].value, values=(0,))
    return [Link("HAS", links[0].said, where, (where,))]


def several(links: Links, names: Names) -> Links:
    """Join conditions or bounds of one kind that are listed."""
    parts, word = pick(links, links[-1].role), joining(links)
    # "No more than 3 donors and 5 acceptors": is 5 the most as well, or the number?
    signs = {one.value.op for one in parts if one.value.values not in ((), (0,))}
    slash = "/" in {one.key for one in pick(links, "OR")}  # "CD3D+/LYZ+" has both, "ctrl/stim" is one of them
    if word == "?" or slash or ("=" in signs and signs & {"<", "<=", ">", ">="}):
        return mark(links, names)
    items = tuple(item for one in parts for item in one.each)
    return [joined(links, links[-1].role, Where(op=word, parts=tuple(one.value for one in parts)), items)]


def prefixed(links: Links, names: Names) -> Links:
    """Read "both CD3D and LYZ", "neither CD3D nor LYZ", "at least two of CD3D, CD3E and CD3G"."""
    head, held = links[0], pick(links, "HAS")[0]
    sign, number = _HOW_MANY.get(head.role, ("", None))
    items = held.each
    if head.role == "LIMIT":
        bound: Where = head.value
        if bound.field or bound.op not in FLIPPED or float(bound.values[0]) % 1:
            return links
        sign, number = bound.op, int(bound.values[0])
    if not 2 <= len(items) <= _MOST_LISTED or (head.role == "BOTH" and held.value.op == "or"):
        return mark(links, names)
    wanted = len(items) if number is None else number
    fits = [n for n in range(len(items) + 1) if COMPARE[sign](n, wanted)]
    if sign == "!=" or len(fits) not in range(1, len(items) + 1):
        return [replace(joined(links, "NONUMBER"), note=str(len(items)))]
    return [joined(links, "HAS", _of_list(items, fits[0], fits[-1]))]


def _of_list(items: tuple[Where, ...], low: int, high: int) -> Where | None:
    """At least `low` and at most `high` of some conditions hold; not of any number."""

    def least(n: int) -> Any:
        return both(*(both(*some) for some in combinations(items, n)), op="or")

    return both(least(low) if low > 0 else None, least(high + 1).negated() if high < len(items) else None)


def not_both(links: Links, names: Names) -> Links:
    """Read "CD4 or CD8A but not both"."""
    held = pick(links, "HAS", "TRAIT", "PRED")[0]
    two = held.value.op == "or" and len(held.items) == 2
    return [joined(links, held.role, _of_list(held.items, 1, 1))] if two else mark(links, names)


def dual(links: Links, _: Names) -> Links:
    """Read "CD3D/CD8A double positives" as what has both, "double negative" as what has neither."""
    both_of = tuple(Where(op=">", field=one.value, values=(0,)) for one in pick(links, "FIELD"))
    value = Where(op="and", parts=both_of) if links[-1].role == "DUAL" else Where(op="or", parts=both_of).negated()
    return [joined(links, "TRAIT", value)]


def shares(links: Links, _: Names) -> Links:
    """Read "what percentage of the cells is each type" as a composition in shares, of all the groups together."""
    rows = pick(links, "WHERE", "TRAIT")
    made = [Link("OF", ""), *rows] if rows else []
    return [links[0].but("COMPOSITION", value="share"), *made, *pick(links, "BYCOL")]


def stated(links: Links, names: Names, role: str = "") -> Links:
    """Read "do not express CD3D", "CD3D+", "other than monocytes" as what is said of rows, or as what they are.

    Of "not A and B", "not A, in B" it is not said how far "not" reaches. Without a role the condition keeps its own.
    """
    held = pick(links, "HAS", "WHERE", "TRAIT", "PRED", "ROW")[0]
    held = held.but("WHERE" if held.role == "ROW" else held.role, value=names.rows_said(held))
    denied = len(pick(links, *_DENIALS)) % 2 == 1
    mixed = held.value.op == "and" or "not" in {one.op for one in held.items}
    if denied and mixed and held.items:
        return mark(links, names)
    value = held.value.negated() if denied else held.value
    items = held.items if held.role == "HAS" and not denied else ()
    verb = [] if role else pick(links[:-1], "BE")
    return [
        *verb,
        joined(links, role or held.role, value, items),
        *pick(links, "TOP", "MORE", "LESS", "OFTEN", "STRONG"),
    ]


def lack_all(links: Links, names: Names) -> Links:
    """Read "lack both A and B", "free of A and B" as having none; "without both", "lack either" may mean one."""
    held, said = pick(links, "HAS")[0], roles_of(pick(links, "BOTH", "ALLOF", "EITHER"))
    all_of = held.value.op == "and" and len(held.items) > 1
    of_each = links[0].key.endswith((" for", " of", " from"))
    if not said and not (all_of and of_each):
        return links
    plain = all_of and "not" not in {one.op for one in held.items}  # "negative for A and no B"
    # "Negative for both", "without any of" are of each; "without both" and "lacking either" may be of one.
    sure = links[0].role == "LACK" or of_each
    each = (said in (["BOTH"], ["ALLOF"]) and sure) or [one.key for one in pick(links, "EITHER")] == ["any of"]
    if not plain or (said and not each):
        return mark(links, names)
    return [links[0], joined(links[1:], "HAS", Where(op="or", parts=held.items))]


def noun(links: Links, _: Names) -> Links:
    """Turn to names of rows what is left of bounds ("heavier than 300") and functional groups ("esters")."""
    held = links[0]
    return [held.but("TRAIT")] if not held.items or held.value.field.startswith("group:") else links
