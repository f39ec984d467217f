"""Neighbours among the linked words are joined to conditions and bounds, by the rules of `data/joins.txt`."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from . import bounds, conditions
from .grammar import letters, pattern, read_lines

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from .link import Names
    from .words import Link

_PASSES = 3


@cache
def rules(only: tuple[str, ...] = ()) -> list[tuple[re.Pattern[str], Callable[[list[Link], Names], list[Link]]]]:
    """Patterns of neighbours, each with what makes that which stands in their place; `only` of some actions."""
    parts, _, lines = read_lines("joins.txt")
    found: list[tuple[re.Pattern[str], Callable[[list[Link], Names], list[Link]]]] = []
    for roles, action in lines:
        name, *words = action.split()
        if only and name not in only:
            continue
        build: Any = getattr(conditions, name, None) or getattr(bounds, name)
        found.append((pattern(roles, tuple(parts.items())), partial(_built, build, tuple(words))))
    return found


def _built(build: Any, words: tuple[str, ...], links: list[Link], names: Names) -> list[Link]:
    made: list[Link] = build(links, names, *words)
    return made


def chunked(links: Sequence[Link], names: Names) -> list[Link]:
    """Join neighbours by the rules until a pass over all of them changes nothing."""
    held = list(links)
    for _ in range(_PASSES):
        before = held
        for neighbours, build in rules():
            held = applied(neighbours, build, held, names)
        if held == before:
            break
    return conditions.unclear(held, names)


def applied(
    neighbours: re.Pattern[str], build: Callable[[list[Link], Names], list[Link]], held: list[Link], names: Names
) -> list[Link]:
    """Put in the place of some neighbours, wherever they stand, what is built of them."""
    at = 0
    while (found := neighbours.search(letters(one.role for one in held), at)) is not None:
        some = held[found.start() : found.end()]
        made = build(some, names)
        # What was joined may be joined once more; what a rule leaves as it is ends there.
        at = found.start() + (1 if made == some else max(len(made) - 1, 0))
        held = [*held[: found.start()], *made, *held[found.end() :]]
    return held
