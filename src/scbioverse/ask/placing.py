"""What the order of words says: one thing is asked, and each condition has its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .kinds import CONDITIONS, LINKS
from .query import Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .kinds import Kind
    from .words import Link


@dataclass(frozen=True)
class Parts:
    """The joined words of a question, sorted.

    Attributes
    ----------
    roles
        Of all of them, see :mod:`scbioverse.ask.lexicon`.
    yes
        Whether it is asked for a yes.
    conditions, columns, fields
        What is named: conditions on rows, columns of `obs`, numbers of a row.
    links
        All of them.
    """

    roles: tuple[str, ...]
    yes: bool
    conditions: tuple[Link, ...]
    columns: tuple[str, ...]
    fields: tuple[str, ...]
    links: tuple[Link, ...]


def one_question(roles: tuple[str, ...]) -> bool:
    """Whether one thing is asked: one question word of a sort, and "and" between conditions only."""
    if any(roles.count(one) > 1 for one in ("WHICH", "WHAT", "COUNT", "SHARE", "STAT", "LIST", "PLACE", "BYCOL")):
        return False
    if len({"WHICH", "WHAT", "PLACE"} & set(roles)) > 1 or ("LIST" in roles[1:]):
        return False
    for i, role in enumerate(roles):
        behind = next((one for one in roles[i + 1 :] if one not in LINKS), "")
        # "Sort them by their mean", "by how many more"; "each" with no column says nothing.
        told = {"LIST": ("STAT", "COUNT", "SHARE", "ROWS"), "MORE": ("COUNT",)}
        if role == "BY" and not any(one in roles and behind in some for one, some in told.items()):
            return False
        if role == "AND" and not (i and roles[i - 1] in CONDITIONS and behind in CONDITIONS):
            return False
    return True


def _first(roles: Sequence[str], some: frozenset[str]) -> int:
    return next((i for i, one in enumerate(roles) if one in some), len(roles))


def in_order(kind: Kind, parts: Parts) -> bool:
    """Whether the column that is ranked or listed is the one asked for: not "B cells in the largest cluster"."""
    roles = parts.roles
    if kind.name == "any" and any(listed(one) for one in parts.conditions if one.role == "WHERE"):
        return False  # "do B cells and T cells express it?" asks of each
    if kind.name == "any" and not {"THERE", "ANY", "SEEN", "HAVE", "PRED"} & set(roles):
        return False  # "is cluster 3 B cells?" asks for more than one
    named = parts.conditions or {"COMPOSITION", "ROWS"} & set(roles)
    if kind.name == "mixture" and ("PRED" in roles or "COLUMN TRAIT" in " ".join(roles) or not named):
        return False
    if "DIFF" in roles and kind.name.startswith(("gap", "both")):
        # "The difference between" is a number; "how do they differ" asks for both.
        apart = any(one.role == "DIFF" and one.said.lower() == "difference" for one in parts.links)
        if apart is not kind.name.startswith("gap"):
            return False
    if kind.name == "both count" and "IN" not in roles[:1] and roles.index("COUNT") > _first(roles, CONDITIONS):
        return False
    if kind.by != "must" or "COLUMN" not in roles:
        return True
    at, top = roles.index("COLUMN"), next((i for i, one in enumerate(roles) if one in ("TOP", "SIZETOP")), None)
    ask = max((i for i in range(at) if roles[i] in ("WHICH", "WHAT", "LIST", "COMPOSITION", "COUNT")), default=-1)
    if not set(roles[ask + 1 : at]) <= {"TOP", "SIZETOP", "NUM", "ORD", "BE", "OF", "IN", "ALL", "OFTEN", "DIFF"}:
        return "COMPOSITION" in roles and not kind.plain.get("show")
    if top is None:
        return True
    counted = [roles.index(one) for one in ("COUNT", "SHARE", "STAT") if one in roles]
    if kind.name == "top count":
        # "Highest" is of a number that is named, "largest" of the groups.
        number = parts.links[top].said.lower() in ("highest", "lowest", "greatest", "strongest", "weakest")
        return all(i > top for i in counted) and (bool(counted) or not number)
    return "COLUMN" not in roles[top + 1 : top + 2]


def placed(kind: Kind, parts: Parts, conditions: Sequence[Link], places: Sequence[str]) -> bool:
    """Whether the order of the words gives conditions these places."""
    roles = parts.roles
    at = [next(i for i, link in enumerate(parts.links) if link is one) for one in conditions]
    by = {place: [i for i, there in zip(at, places, strict=True) if there == place] for place in "wast"}
    if by["s"] and by["t"]:
        # "More s than t", "s to t"; but "compared with t, more s".
        cut = next((i for i, one in enumerate(roles) if one in ("THAN", "VERSUS")), by["t"][0])
        first, second = ("t", "s") if cut < min(by["s"][0], by["t"][0]) else ("s", "t")
        if not by[first][0] < by[second][0] or (by[first][0] < cut) is not (first == "s"):
            return False
        # Of places it is asked which share, of kinds of rows how many.
        if "OFTEN" in roles and (at[0] in by["s"] and roles[by["s"][0] - 1] != "IN") is (kind.name != "more"):
            return False
    if "a" not in kind.places:
        return True
    if kind.name == "limit":
        return _bounded(parts, at, by)
    told = [i for i, one in enumerate(roles) if one == "PRED"]
    rest = sorted([*by["w"], *by["a"]])
    if len(rest) == 1:
        return by["w"] == rest
    if told:
        return len(told) == 1 and by["w"] == told
    # "Of A are B", "among A, the share that is B": what is told stands behind the last verb.
    share = roles.index("SHARE") if "SHARE" in roles else len(roles)
    verbs = [i for i, one in enumerate(roles) if one == "BE" and i > share]
    told = [i for i in rest if verbs and i > verbs[-1]]
    return bool(told) and by["w"] == told and kind.name == "share"


def _bounded(parts: Parts, at: list[int], by: dict[str, list[int]]) -> bool:
    """Whether "most of A are B" and "A are mostly B" have their places."""
    roles, told = parts.roles, [i for i in at if parts.roles[i] == "PRED"]
    if len(at) == 1:
        return by["w"] == at
    bound = next(i for i, one in enumerate(roles) if one in ("ALL", "MAJ", "LIMIT", "TOP"))
    if parts.links[bound].said.lower().endswith("ly"):
        return len(at) == 2 and not told and at[0] < bound < at[1] and by["a"] == at[:1]
    behind = [i for i in at if i > bound]
    if told:
        return by["w"] == told and set(roles[bound + 1 : min(by["a"])]) <= LINKS | {"ROWS", "ALL"}
    # Of two conditions the first behind the bound is what it is of: "all cells of cluster 3 are B" has a verb between.
    return len(behind) == len(at) == 2 and by["a"] == behind[:1] and "IN" not in roles[behind[0] : behind[1]]


def listed(link: Link) -> bool:
    """Whether a condition was joined from several in a list."""
    return len(link.items) > 1 and isinstance(link.items[0], Where)
