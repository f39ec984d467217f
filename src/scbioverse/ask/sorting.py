"""Questions that say the same however their words are put: "NK cells, stim, LYZ negative: how many?".

A number of all rows that fulfil some conditions, the group with the most of them, one number of two sides: what is
asked for is told by what the words are. They are put in one order, and forms of that order are tried; where a word is
left over its place may matter, and the forms of whole questions read it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .grammar import letters, pattern, read_lines
from .query import both
from .words import Link, joined, pick, roles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .query import Where

# What two sides with "minus" or "divided by" between them are compared by.
_SAID_BETWEEN = {"MINUS": "DIFF", "DIVIDED": "RATIO"}
# What may be said once more of the second side: "the mean n_umi of B cells minus the mean n_umi of T cells".
_REPEATED = ("STAT", "MEASURE", "HAS", "COUNT", "WHERE", "PRED")
# What parts two sides, what may stand behind it, and what says of two that are listed that they are compared.
_JOINTS = ("VERSUS", "TO", "THAN", *_SAID_BETWEEN)
_BETWEEN = ("IN", "OF", "AMONG", "WHAT", "COUNT", "SHARE", "ROWS")
_COMPARING = ("COMPARE", "DIFF", "RATIO", "MORE", "LESS", "RISE", "FALL")


@cache
def _roles(name: str) -> list[str]:
    return read_lines("forms.txt")[0][name].removeprefix("(?:").removesuffix(")").split()


def in_order(links: Sequence[Link]) -> list[Link]:
    """Put joined words in the order of their roles; none where one of them has no place in it."""
    if pattern("{FIXED}").search(letters(roles_of(links))):
        return []
    links = links[bool(pick(links[:1], "BY")) :]  # "by how many"
    asks = [Link("ASKS", links[0].said)] if pick(links[:1], "BE", "DO", "HAVE") else []
    loose = _roles("GLUE") if asks else [*_roles("GLUE"), "ALL"]  # "how many of all cells"
    held = [*asks, *(one for one in map(_plain, _sided(links)) if one.role not in loose)]
    known = all(one.role in _roles("ORDER") for one in held)
    return sorted(held, key=lambda one: _roles("ORDER").index(one.role)) if known else []


def _plain(link: Link) -> Link:
    """Call a bound what is said of rows, which a gene by itself is not."""
    return link.but("TRAIT") if link.role == "HAS" and not link.value.some else link


def _sided(links: Sequence[Link]) -> list[Link]:
    """Join "ctrl vs stim" and "more in ctrl than in stim" to two sides, "between ctrl and stim" to a pair."""
    at = next((i for i in range(1, len(links)) if _parts(links, i)), None)
    if at is None:
        apart = pick(links, "APART")
        two = [one for one in pick(links, "WHERE") if len(one.items) == 2 and one.value.op == "or"]
        two += [
            one for one in pick(links, "HAS", "PRED") if apart and len(one.items) > 1 and all(map(_gene, one.items))
        ]
        pair = two[0] if len(two) == 1 and (apart or pick(links, *_COMPARING)) else None
        if pair is None:
            return list(links)
        role = "PAIR" if not apart else "SIDES" if pair.role == "WHERE" else "GENESIDES"
        sides = joined([pair], role, both(*pair.items, op="or"), pair.items)
        return [sides if one is pair else one for one in links if one.role != "APART"]
    said = {(one.role, repr(one.value)) for one in links[:at] if one.role in _REPEATED}
    passed = [one.role in _BETWEEN or (one.role, repr(one.value)) in said for one in links]
    after = next((i for i in range(at + 1, len(links)) if not passed[i]), at)
    right = links[after]
    alike = [i for i in range(at) if _about(right) and _about(links[i]) == _about(right)]
    if links[at].role == "AND":  # "how many B cells are in ctrl and how many in stim"
        alike = [i for i in alike if _placed(links, i) == _placed(links, after)]
    if not alike:
        return list(links)
    two = [links[alike[-1]], right]
    items = tuple(one.value for one in two)
    rest = [one for i, one in enumerate(links) if i != alike[-1] and not at <= i <= after]
    how = _SAID_BETWEEN.get(links[at].role)
    rest += [Link(how, links[at].said)] if how else []
    role = "SIDES" if right.role == "WHERE" else "GENESIDES"
    return [*rest, joined(two, role, both(*items, op="or"), items)]


def _parts(links: Sequence[Link], at: int) -> bool:
    """Whether a word parts two sides: "than", or the "and" of "how many B cells and how many T cells"."""
    then, said = links[at + 1 : at + 2], {one.role for one in links[:at]}
    again = links[at].role == "AND" and bool(pick(then, *said.intersection(("COUNT", "SHARE", "IN"))))
    return links[at].role in _JOINTS or again


def _placed(links: Sequence[Link], at: int) -> bool:
    return links[at - 1].role in ("IN", "OF", "AMONG")


def _about(link: Link) -> frozenset[str]:
    """Say of what a side is: columns of groups, or one gene; of nothing else there are sides."""
    if link.role == "WHERE":
        return frozenset(link.value.fields())
    return frozenset(["gene"] if link.role in ("HAS", "PRED") and _gene(link.value) else [])


def _gene(where: Where) -> bool:
    return where.some and where.field.startswith("gene:")
