"""Whether a query accounts for every word of a question, and every part of the query for a word.

A language model may write a query that sounds right and leaves a word out, or puts one in. Each linked word has a role
(see `data/words.txt`; words that only a model meets stand in `data/said.txt`), and `data/accounts.txt` says which parts
of a query each role may stand for, and which roles a part needs; `data/vetoes.txt` what no line may say of a question.
What is not accounted for is told, and the question is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from .grammar import read_lines, spelt_out_parts
from .linear import CONSTANTS, SIGNS
from .slots import KINDS
from .words import Link, lines_of, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .slots import Slots

# Roles whose value matters: "STATmean", "BOUNDabove".
_VALUED = frozenset(["STAT", "TOP", "SIZETOP", "TOPM", "MOREM", "BOUND", "AFTER"])
_SIGN_NAMES = {sign: name for name, sign in SIGNS.items()}
_SAYS_A_SIGN = re.compile(r"(BOUND|AFTER|MORE|LESS|MOREM|BETWEEN|TO|MAJ|ANY)(?![A-Z])")


@cache
def accounts(sign: str) -> dict[str, frozenset[str]]:
    """Read of the table what roles stand for (">"), which roles parts need ("<"), or sets of roles and words ("=")."""
    lines = [line.partition(f" {sign} ") for line in lines_of("accounts.txt")]
    return {head: frozenset(rest.split()) for heads, found, rest in lines if found for head in heads.split()}


@cache
def _vetoes() -> list[tuple[re.Pattern[str], str]]:
    parts, _, lines = read_lines("vetoes.txt")
    return [(re.compile(spelt_out_parts(veto, parts)), told) for veto, told in lines]


@cache
def _said() -> dict[str, set[str]]:
    """Roles that words beside those of `words.txt` may have."""
    found: dict[str, set[str]] = defaultdict(set)
    for role, value, phrases in read_table("said.txt"):
        for word in " ".join(phrases).split():
            found[word].add(_with_value(role, value))
    return dict(found)


def _with_value(role: str, value: object) -> str:
    """Name a role with its value, where that matters."""
    if role not in _VALUED:
        return role
    plain = str(value[1] if isinstance(value, tuple) else value)
    return f"{role}{_SIGN_NAMES.get(plain, plain)}"


def _roles(link: Link, after: str) -> set[str]:
    """Roles that a word may have; "over all donors" says no sign, "across B cells" no group."""
    within = {"over": ("ROWS", "WHERE", "COLUMN", "ALL", "ANY", "COUNT"), "across": ("ROWS", "WHERE")}
    if after in within.get(link.key, ("ROWS", "WHERE") if link.role == "EVERYWHERE" else ()):
        return {"IN"}
    said = _said().get(link.key, set())
    if link.role in ("?", "AS"):
        return said
    return {_with_value(link.role, link.value), *(said if link.key in accounts("=")["ALSO"] else ())}


def hopeless(links: Sequence[Link]) -> bool:
    """Whether some word of a question stands for no part that any line may have, so that none would account for it."""
    stand = accounts(">").keys() | accounts("=")["QUIET"] | KINDS.keys()
    return any(not _roles(one, after.role) & stand for one, after in pairwise([*links, Link("", "")]))


def _all_roles(slots: Slots) -> list[set[str]]:
    return [_roles(one, after.role) for (one, _), (after, _) in pairwise([*slots.links, (Link("", ""), "")])]


def _asked(slots: Slots, roles: Sequence[set[str]]) -> set[str]:
    """All roles of a question, those with a value by themselves, too."""
    asked = {role for some in roles for role in (*some, *(one.rstrip("abcdefghijklmnopqrstuvwxyz") for one in some))}
    return asked | ({"SORT"} if accounts("=")["SORTING"] & {link.key for link, _ in slots.links} else set())


def unsayable(slots: Slots) -> set[str]:
    """Return the symbols that no line about a question may hold, since none of its words says them."""
    asked = _asked(slots, _all_roles(slots))
    return {part for part, needed in accounts("<").items() if not needed & asked}


def unaccounted(slots: Slots, written: Sequence[str]) -> list[str]:
    """Return what a line leaves out of a question, or puts in: words, names, or parts of the query."""
    # The sign of "above half" is no word's: "most" says both.
    after = [*written[1:], ""]
    parts = {one for one, then in zip(written, after, strict=True) if not (one in SIGNS and then in CONSTANTS)}
    links, roles = slots.links, _all_roles(slots)
    lost = []
    for i, ((link, name), some) in enumerate(zip(links, roles, strict=True)):
        role, then = (links[i + 1][0].role, links[i + 1][1]) if i + 1 < len(links) else ("", "")
        flips = some & accounts("=")["DENYING"] and (role == "BOUND" or (role == "NUM" and "above" in parts))
        stands = flips or any(_stands_for(one, bool(name), parts) for one in some)
        narrowed = then[:1] in tuple("TGNR") or role == "EXPRESSION"  # "high CD3D", "at a high level"
        judges = link.key in accounts("=")["JUDGING"] and (narrowed or role == "ROWS")  # "good cells"
        narrows = not name and (judges or (narrowed and link.key in accounts("=")["NARROWING"]))
        lost += [] if stands and not narrows and name in ("", *parts) else [link.said]
    lost += sorted(parts & unsayable(slots))
    return lost or [
        *_signs(written, roles),
        *_unlike(slots, written, roles),
        *_crossed(slots, written),
        *_vetoed(slots, written, roles),
    ]


def _stands_for(role: str, named: bool, parts: set[str]) -> bool:
    """Whether a word of a role may stand for one of the parts of a line."""
    may = accounts(">").get(role)
    return (may is None and named) or role in accounts("=")["QUIET"] or bool((may or frozenset()) & parts)


def _signs(written: Sequence[str], roles: Sequence[set[str]]) -> list[str]:
    """Return signs that more often stand in the line than they are said."""
    signs = [one for one in written if one in SIGNS and one != "exactly"]  # "with 3 rings"
    free = sum(one in CONSTANTS for one in written)
    said = sum(any(map(_SAYS_A_SIGN.match, some)) for some in roles)
    return signs[:1] if len(signs) - free > said else []


def _unlike(slots: Slots, written: Sequence[str], roles: Sequence[set[str]]) -> list[str]:
    """Return "or" where a line joins by it what no word does: groups of a column are, what is listed by "or" is."""
    at = {name: i for i, (_, name) in enumerate(slots.links) if name}
    listed = any(some & {"OR", "EITHER", "TAKEN"} for some in roles)
    lost = []
    # "Not ... or" is vetoed.
    pairs = re.findall(r"\b(\w\d) or (?=(\w\d))", " ".join(written))
    for one, other in pairs:
        first, last = sorted((at[one], at[other]))
        between = set().union(*roles[first + 1 : last])
        alike = one[0] == other[0] == "T" and slots.held[one].value.fields() == slots.held[other].value.fields()
        joins = "OR" in between or (between & {"AND", "COMMA"} and (alike or (listed and one[0] == other[0])))
        apart = any(name for _, name in slots.links[first + 1 : last])
        lost += [] if joins and not apart else ["or"]
    return lost


def _crossed(slots: Slots, written: Sequence[str]) -> list[str]:
    """Return numbers that a line gives to another field than the nearest one, and a place taken for how many."""
    at = {name: i for i, (_, name) in enumerate(slots.links) if name}
    ends = [i for i, (link, _) in enumerate(slots.links) if link.role in ("COMMA", "AND")]

    def apart(one: str, other: str) -> int:
        first, last = sorted((at[one], at[other]))
        return last - first + 2 * sum(first < end < last for end in ends)

    fields = [name for name in at if name[0] in "MG"]
    lost = []
    for before, one, after in zip(written, written[1:], written[2:], strict=False):
        if one in SIGNS and {before, after} <= at.keys():
            lost += [after] if any(apart(field, after) < apart(before, after) for field in fields) else []
    for one, after in pairwise(written):
        if one in ("top", "nth") and (slots.held[after].role == "ORD") != (one == "nth"):
            lost.append(after)
    return lost


def _vetoed(slots: Slots, written: Sequence[str], roles: Sequence[set[str]]) -> list[str]:
    """Return what the table of vetoes says of the line and the question."""
    line, words = " ".join(written), []
    for (link, name), some in zip(slots.links, roles, strict=True):
        sure = "HOW" if link.key.startswith("how ") and link.role in ("DO", "BE") else "?"
        sure = "TOWHAT" if link.key == "how" else sure  # "how often is"
        sure = next(iter(some)) if len(some) == 1 and sure == "?" else sure
        told = {kind: accounts("=")[kind] for kind in ("SUMMING", "SORTING")}
        words += ["PEOPLE"] if link.role == "PEOPLE" else []
        words += [kind for kind, some_words in told.items() if link.key.removeprefix("the ") in some_words]
        words.append(name or next((one for one in some if one in accounts("=")["DENYING"]), sure))
        words += ["UNIT"] if link.role == "HALF" else []
        words += ["SEVERAL"] if link.key.replace(" ", "_") in accounts("=")["SEVERAL"] else []
    text = f"{line} || {' '.join(words)} || {line}"
    return [found.expand(told) for veto, told in _vetoes() if (found := veto.search(text)) is not None]
