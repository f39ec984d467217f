"""Whether a query accounts for every word of a question, and every part of the query for a word.

A language model may write a query that sounds right and leaves a word out, or puts one in. Each linked word has a role
(see `data/words.txt`; words that only a model meets stand in `data/said.txt`), and of each role it is said here which
parts of a query it may stand for. What has none of them is told, and the question is refused.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .linear import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .query import Query
    from .slots import Slots
    from .words import Link

_STATS = {
    "mean": {"mean"}, "median": {"median"}, "min": {"minimum", "least", "from"}, "max": {"maximum", "most", "upto"},
    "sum": {"total", "count"}, "std": {"deviation"},
}  # fmt: skip
_SIGNS = {">": "above", "<": "below", ">=": "from", "<=": "upto", "=": "exactly"}
_FLIPPED = {"above": "upto", "below": "from", "from": "below", "upto": "above", "exactly": "not"}
_RANKED = {"most": {"most", "maximum", "half", "markers", "check"}, "least": {"least", "minimum"}}
_SORTING = frozenset(["rank", "order", "sort", "arrange"])
# Words that stand for nothing by themselves, and narrow the name right behind them: "high CD3D", "active B cells".
_NARROWING = frozenset(["high", "active", "live", "living", "single", "known", "typical", "usual", "stained"]) | {
    "roughly", "approximately", "about", "around",
}  # fmt: skip
_NARROWED = frozenset("TGNR")
_PASSED = frozenset(["check", "filter", "rank", "sides"])


@cache
def accounts(sign: str) -> dict[str, frozenset[str]]:
    """Read of the table what roles stand for (">"), which roles parts need ("<"), or sets of roles ("=")."""
    lines = (Path(__file__).parent / "data" / "accounts.txt").read_text(encoding="utf-8").splitlines()
    found = (line.partition(f" {sign} ") for line in lines if not line.startswith("#"))
    return {head: frozenset(rest.split()) for head, middle, rest in found if middle}


@cache
def said_roles() -> dict[str, frozenset[tuple[str, str]]]:
    """Roles and values that words beside those of `words.txt` may have."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in (Path(__file__).parent / "data" / "said.txt").read_text(encoding="utf-8").splitlines():
        head, _, phrases = line.partition(": ")
        role, _, value = head.partition(" ")
        if role != "#":
            for word in (word for phrase in phrases.split(" | ") for word in phrase.split()):
                found.setdefault(word, set()).add((role, value))
    return {word: frozenset(held) for word, held in found.items()}


def unaccounted(slots: Slots, written: Sequence[str], query: Query) -> list[str]:
    """Return what a query leaves out of a question, or puts in: words, names, or parts of the query.

    Parameters
    ----------
    slots
        The question.
    written
        The line, symbol by symbol.
    query
        What the line says.
    """
    # The sign of "above half" is no word's: "most" says both.
    parts = {
        one
        for one, after in zip(written, [*written[1:], ""], strict=True)
        if not (one in _FLIPPED and after in CONSTANTS)
    }
    roles: set[str] = set()
    lost: list[str] = []
    for at, (link, name) in enumerate(slots.links):
        if name:
            roles.add(link.role)
            if name not in parts or not _ordered(link, parts):
                lost.append(link.said)
            continue
        meant = said_roles().get(link.said.lower(), frozenset()) if link.role == "?" else {(link.role, link.value)}
        meant = {one for one in meant if _stands_for(one, parts, slots.links, at, query)}
        after = slots.links[at + 1][1][:1] if at + 1 < len(slots.links) else ""
        if not meant or (after and after in _NARROWED and link.said.lower() in _NARROWING):
            lost.append(link.said)
        roles |= {role for role, _ in meant} | {f"{role}{value}" for role, value in meant if role == "STAT"}
        roles |= {"SORT"} if link.said.lower() in _SORTING else set()
    needed = accounts("<")
    lost += [part for part in parts if part in needed and not needed[part] & roles]
    return lost or [
        *_number(written, roles), *_denied_wrongly(slots, written), *_bounds(slots, written),
        *_order_of_sides(slots, written), *_share_of(slots, written), *_asked(slots, written),
        *_counted(slots, written),
    ]  # fmt: skip


def _number(written: Sequence[str], roles: set[str]) -> list[str]:
    """Return what is wanted, where no word asks for it."""
    want, parts = written[0], set(written)
    by = "by" in parts and roles & {"BY", "COMPOSITION"}
    shares = {"SHARE", "OFTEN", "HALF", "UNIT", "ONLY", "MAJ"}
    unasked = {
        "count": not roles & {"COUNT"} and not (parts & _PASSED or by),
        "groups": bool(roles & {"ROWS", "BY"}), "about": "ROWS" in roles,
        "fraction": not roles & shares and not {"check", "half"} & parts,
        "list": bool(roles & {"COUNT", "STAT"}) or ("check" in parts) != ("rows" in parts), "define": "COUNT" in roles,
        "composition": "COUNT" in roles or "SHARE" in roles, "describe": "COUNT" in roles,
    }  # fmt: skip
    if unasked.get(want):
        return [want]
    if "nothing" in parts and (
        ("exactly" in parts) != bool(roles & accounts("=")["NEGATIONS"])
        or not roles & {"ANY", "THERE", "HAVE", "HAVING", "SEEN", *accounts("=")["NEGATIONS"]}
    ):
        return ["nothing"]
    if ("filter" in parts and roles & {"BY", "COUNT"}) or (
        "AMONG" in roles and want == "fraction" and "among" not in parts
    ):
        return [want]
    if want in ("maximum", "minimum") and "ROWS" in roles and roles & {"LIST", "WHICH"} and "STAT" not in roles:
        return [want]
    either = {one for at, joint in enumerate(written) if joint == "or" for one in (written[at - 1], written[at + 1])}
    if either and not roles & {"OR", "EITHER"} and any(one[0] != "T" for one in either):
        return ["or"]
    return ["sides"] if {"sides", "rank"} <= parts and not roles & {"OR", "VERSUS", "COMMA", "AND"} else []


def _ordered(link: Link, parts: set[str]) -> bool:
    """Whether "heaviest" and "lighter" stand for an end, or a side, of that name."""
    if link.role == "TOPM":
        return bool(_RANKED[link.value[1]] & parts)
    ends = {"most": {"more", "above", "most"}, "least": {"less", "below", "least"}}
    return link.role != "MOREM" or bool(ends[link.value[1]] & parts)


def _stands_for(
    one: tuple[str, str], parts: set[str], links: Sequence[tuple[Link, str]], at: int, query: Query
) -> bool:
    """Whether a word of a role may stand for one of the parts of a query."""
    role, value = one
    after = links[at + 1][0].role if at + 1 < len(links) else ""
    before = links[at - 1][0].role if at else ""
    if role in ("ALL", "ALLOF"):
        return "all" in parts or query.want != "fraction" or query.show != "check"
    if role in ("BOUND", "AFTER"):
        sign = _SIGNS[value]
        if role == "BOUND" and after not in ("NUM", "HALF"):
            through = links[at][0].said.lower() == "over" and after in ("ROWS", "WHERE", "COLUMN", "ALL", "ANY")
            return (
                through
                or sign == "exactly"
                or bool({"above": {"above", "more", "by", "ratio"}}.get(sign, {sign, "less", "by"}) & parts)
            )
        return ({_FLIPPED[sign]} if before in accounts("=")["NEGATIONS"] else {sign}) <= parts
    if role == "STAT":
        return bool(_STATS[value] & parts)
    if role in ("TOP", "SIZETOP"):
        return bool(_RANKED[value] & parts)
    if role in accounts("=")["NEGATIONS"]:
        return (
            after == "BOUND"
            or (after == "NUM" and "above" in parts)
            or bool({"not", "nothing", "missing", "why"} & parts)
        )
    if role == "PLACE" and before in ("ROWS", "WHERE", "COMMA"):
        return True
    return role in accounts("=")["QUIET"] or bool(accounts(">").get(role, frozenset()) & parts)


def _denied_wrongly(slots: Slots, written: Sequence[str]) -> list[str]:
    """Names that the question denies and the line does not, or the other way round."""
    if written[0] == "why":
        return []
    denied = {name for before, name in pairwise(written) if before == "not"}
    none = "nothing" in written and "exactly" in written
    lost = []
    for at, (link, name) in enumerate(slots.links):
        if name[:1] in ("T", "G") and (name in denied) != _denies(slots.links, at) and not none:
            lost.append(link.said)
    return lost


def _denies(links: Sequence[tuple[Link, str]], at: int) -> bool:
    """Whether a name is denied: by a word before it, or by one right behind it."""
    if at + 1 < len(links) and _role(links[at + 1][0]) in ("NEG",):
        return True
    place, joint = at - 1, False
    while place >= 0:
        link, name = links[place]
        role = _role(link)
        if role in accounts("=")["NEGATIONS"]:
            return True
        if name:
            if not joint:
                # Behind the noun: "T1 are missing" is rare, "G1 is not detected" is of what stands before.
                break
            joint = False
        elif role == "OR":
            joint = True
        elif role not in accounts("=")["THROUGH"]:
            break
        place -= 1
    behind = [_role(link) for link, _ in links[at + 1 : at + 4]]
    return (
        behind[:2] in (["BE", "NOT"], ["BE", "ABSENT"], ["BE", "NO"])
        or behind[:1] == ["ABSENT"]
        or behind[:3] == ["BE", "SEEN", "NOT"]
    )


def _role(link: Link) -> str:
    """Return a word's role, that of a model's words too where there is one alone."""
    found = {role for role, _ in said_roles().get(link.said.lower(), set())} if link.role == "?" else {link.role}
    return next(iter(found)) if len(found) == 1 else next(iter(found & accounts("=")["NEGATIONS"]), "?")


def _bounds(slots: Slots, written: Sequence[str]) -> list[str]:
    """Signs that more often stand in the line than they are said."""
    signs = [one for one in written if one in _FLIPPED or one == "between"]
    said = sum(
        _role(link) in ("BOUND", "AFTER", "MORE", "LESS", "MOREM", "BETWEEN", "TO", "MAJ", "ANY")
        or bool({"BOUND"} & {role for role, _ in said_roles().get(link.said.lower(), set())})
        for link, _ in slots.links
    )
    free = sum(one in ("half", "all", "nothing") for one in written)
    plain = sum(one == "exactly" for one in written)  # "with 3 rings"
    return signs[:1] if len(signs) - free - plain > said else []


def _order_of_sides(slots: Slots, written: Sequence[str]) -> list[str]:
    """Return the second side where it is named first: "more B cells than T cells" is not their reverse."""
    if "to" not in written or "sides" not in written:
        return []
    place = {name: at for at, (_, name) in enumerate(slots.links) if name}
    at = written.index("to")
    first = [place[one] for one in written[written.index("sides") : at] if one in place]
    second = [place[one] for one in written[at:] if one in place]
    return ["to"] if first and second and min(second) < min(first) else []


def _share_of(slots: Slots, written: Sequence[str]) -> list[str]:
    """Tell a share that the line takes of something else: "what share of T1 ..." is among T1."""
    if written[0] != "fraction" or "among" not in written:
        return []
    ends = [at for at, one in enumerate(written) if one in ("by", "sides", "rank", "check", "filter")]
    among = set(written[written.index("among") : ends[0] if ends else None])
    roles = [_role(link) for link, _ in slots.links]
    if "SHARE" not in roles or "AMONG" in roles[roles.index("SHARE") :]:
        return []
    at = roles.index("SHARE")
    named = [name for _, name in slots.links[:at] if name] or [name for _, name in slots.links[at:] if name]
    return [] if named[0] in among else ["among"]


_NUMBERS = frozenset(["mean", "median", "total", "minimum", "maximum", "deviation"])


def _counted(slots: Slots, written: Sequence[str]) -> list[str]:
    """Tell what is counted where the line counts something else: donors by their cells, cells by a gene's mean."""
    lost, shown = [], bool({"filter", "rank", "groups"} & {*written})
    role = ""
    for link, _ in slots.links:
        groups = link.role in ("COLUMN", "PEOPLE") and role in ("COUNT", "SHARE") and not shown
        if groups or (link.role == "ROWS" and role == "COUNT" and written[0] in _NUMBERS):
            lost.append(link.said)
        role = role if link.role in ("-", "OF", "ALL", "DIFF") else link.role
    return lost


_CLOSED = frozenset(["BE", "DO", "TRUE"])


def _asked(slots: Slots, written: Sequence[str]) -> list[str]:
    """Tell a question of yes or no that is answered otherwise, or the other way round."""
    begins = next(
        (link.role for link, name in slots.links if name or link.role in accounts("=")["OPEN"] | _CLOSED | {"ROWS"}), ""
    )
    closed = begins in _CLOSED
    if closed and (written[0] in ("whether", "distinguish", "about", "why") or {"sides", "rank"} <= {*written}):
        return []
    return [] if closed == bool({"check", "any"} & {*written}) else ["yes or no"]
