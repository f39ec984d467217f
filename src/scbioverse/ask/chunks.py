"""Neighbours among the linked words are joined to conditions and bounds, by the rules of `data/joins.txt`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from . import bounds, joins, settling
from .asides import fronted
from .grammar import letters, pattern, read_lines
from .words import roles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names
    from .words import Link

_PASSES = 3


@cache
def rules(kind: str = "") -> list[tuple[str, str, tuple[str, ...]]]:
    """Pattern of neighbours, name of what joins them in :mod:`.joins` or :mod:`.bounds`, and its other arguments."""
    _, kinds, lines = read_lines("joins.txt")
    actions = ((roles, *action.split()) for roles, action in (kinds[kind] if kind else lines))
    return [(roles, name, tuple(words)) for roles, name, *words in actions]


def linked(text: str, names: Names) -> list[Link]:
    """Link every word of a question, and settle what the words say of each other: so a reader is handed them."""
    return fronted(settled(names.link(text), names))


def settled(links: Sequence[Link], names: Names) -> list[Link]:
    """Settle what words say of each other before anyone reads them: rules of the kind SETTLE."""
    held = list(links)
    for rule in rules("SETTLE"):
        held = _applied(rule, held, names)
    return held


def chunked(links: Sequence[Link], names: Names, only: Sequence[str] = ()) -> list[Link]:
    """Join neighbours by the rules, or by those of some names, until a pass over all of them changes nothing."""
    held = list(links)
    for _ in range(_PASSES):
        before = held
        for rule in rules():
            if not only or rule[1] in only:
                held = _applied(rule, held, names)
        if held == before:
            break
    return held if only else joins.unclear(held, names)


def _applied(rule: tuple[str, str, tuple[str, ...]], held: list[Link], names: Names) -> list[Link]:
    """Put in the place of some neighbours, wherever they stand, what is built of them."""
    roles, name, words = rule
    at, neighbours = 0, pattern(roles, "joins.txt")
    while (found := neighbours.search(letters(roles_of(held)), at)) is not None:
        some = held[found.start() : found.end()]
        does = next(getattr(module, name) for module in (joins, bounds, settling) if hasattr(module, name))
        made = does(some, names, *words)
        # What was joined may be joined once more; what a rule leaves as it is ends there.
        at = found.start() + (1 if made == some else max(len(made) - 1, 0))
        held = [*held[: found.start()], *made, *held[found.end() :]]
    return held
