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
from .words import joined, pick, roles_of, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .words import Link

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
    asks = [one.but("ASKS") for one in pick(links[:1], "BE", "DO", "HAVE")]
    loose = _roles("GLUE") if asks else [*_roles("GLUE"), "ALL"]  # "how many of all cells"
    held = [*asks, *without(map(_plain, _sided(links)), *loose)]
    order = _roles("ORDER")
    return sorted(held, key=lambda one: order.index(one.role)) if {*order}.issuperset(roles_of(held)) else []


def _plain(link: Link) -> Link:
    """Call a bound what is said of rows, which a gene by itself is not."""
    return link.but("TRAIT") if link.role == "HAS" and not link.value.some else link


def _sided(links: Sequence[Link]) -> list[Link]:
    """Join "ctrl vs stim" and "more in ctrl than in stim" to two sides, "between ctrl and stim" to a pair."""
    at = next((i for i in range(1, len(links)) if _parts(links, i)), None)
    return _paired(links) if at is None else _parted(links, at)


def _paired(links: Sequence[Link]) -> list[Link]:
    """Join two that are listed, where a word compares, or says that each is meant by itself."""
    apart = pick(links, "APART")
    two = [one for one in pick(links, "WHERE") if len(one.items) == 2 and one.value.op == "or"]
    if len(two) != 1 or not (apart or pick(links, *_COMPARING)):
        return list(links)
    sides = joined(two, "SIDES" if apart else "PAIR", both(*two[0].items, op="or"), two[0].items)
    return [sides if one is two[0] else one for one in without(links, "APART")]


def _parted(links: Sequence[Link], at: int) -> list[Link]:
    """Join what stands behind a word that parts two sides with the last before it that is about the same."""
    said = {(one.role, repr(one.value)) for one in pick(links[:at], *_REPEATED)}
    rest = [i for i in range(at + 1, len(links)) if links[i].role not in _BETWEEN]
    after = next((i for i in rest if (links[i].role, repr(links[i].value)) not in said), at)
    right = links[after]
    alike = [i for i in range(at) if _about(right) and _about(links[i]) == _about(right)]
    if links[at].role == "AND":  # "how many B cells are in ctrl and how many in stim"
        alike = [i for i in alike if _placed(links, i) == _placed(links, after)]
    if not alike:
        return list(links)
    two = [links[alike[-1]], right]
    items = (two[0].value, right.value)
    sides = joined(two, "SIDES" if right.role == "WHERE" else "GENESIDES", both(*items, op="or"), items)
    how = [one.but(_SAID_BETWEEN[one.role]) for one in pick(links[at : at + 1], *_SAID_BETWEEN)]
    return [*links[: alike[-1]], *links[alike[-1] + 1 : at], *links[after + 1 :], *how, sides]


def _parts(links: Sequence[Link], at: int) -> bool:
    """Whether a word parts two sides: "than", or the "and" of "how many B cells and how many T cells"."""
    again = {one.role for one in links[:at]}.intersection(("COUNT", "SHARE", "IN"))
    return links[at].role in _JOINTS or (links[at].role == "AND" and bool(pick(links[at + 1 : at + 2], *again)))


def _placed(links: Sequence[Link], at: int) -> bool:
    return links[at - 1].role in ("IN", "OF", "AMONG")


def _about(link: Link) -> frozenset[str]:
    """Say of what a side is: columns of groups, or one gene; of nothing else there are sides."""
    if link.role == "WHERE":
        return frozenset(link.value.fields())
    return frozenset(["gene"] if link.role in ("HAS", "PRED") and link.value.some_gene else [])
