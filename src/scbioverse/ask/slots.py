"""A question with the names of the data replaced: "how many T1 have G1", and what each placeholder stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .join import applied, rules
from .words import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names

# What a placeholder stands for: T a condition, G what a row may have (a gene, an element), M a number of a row, C a
# column, N a number, R a row by name.
KINDS = {
    "WHERE": "T", "PEOPLE": "T", "RULE": "T", "FIELD": "G", "MEASURE": "M", "MOREM": "M", "TOPM": "M", "COLUMN": "C",
    "NUM": "N", "HALF": "N", "ORD": "N", "ROW": "R",
}  # fmt: skip
_MOST = 9
# Neighbours that are one name: "cluster 4", "the stim condition".
_NAMES = ("numbered", "same_column")
_COMPARED = {"MOREM": {"most": "more", "least": "less"}, "TOPM": {"most": "most", "least": "least"}}
_SHOWN = {"ROWS": "cells", "UNIT": "%"}


@dataclass(frozen=True)
class Slots:
    """A question as a language model reads it.

    Attributes
    ----------
    text
        Small letters, with placeholders.
    held
        What each placeholder stands for.
    links
        The linked words, names of several words as one, each with its placeholder or "".
    """

    text: str
    held: dict[str, Link]
    links: tuple[tuple[Link, str], ...]


def slots_of(links: Sequence[Link], names: Names) -> Slots | None:
    """Replace the names in a question; None where it has more of a kind than there are placeholders."""
    held = list(links)
    for roles, build in rules(_NAMES):
        held = applied(roles, build, held, names)
    count = dict.fromkeys(KINDS.values(), 0)
    found: dict[str, Link] = {}
    shown: list[tuple[Link, str]] = []
    words: list[str] = []
    measured = {one.value for one in held if one.role == "MEASURE"}
    for link in _with_units(held, measured):
        kind = KINDS.get(link.role)
        if kind is None:
            shown.append((link, ""))
            words.append(_SHOWN.get(link.role, link.said.lower()))
            continue
        count[kind] += 1
        name = f"{kind}{count[kind]}"
        if count[kind] > _MOST:
            return None
        if link.role in ("MOREM", "TOPM"):
            if not isinstance(link.value, tuple):
                return None
            words.append(_COMPARED[link.role][link.value[1]])
        found[name] = link
        shown.append((link, name))
        words.append(name + {"ORD": "th", "HALF": " %"}.get(link.role, ""))
    return Slots(" ".join(words).strip(" ,"), found, tuple(shown))


def _with_units(held: list[Link], measured: set[object]) -> list[Link]:
    """Put numbers into the units of the data, and the field that "below 200 g/mol" leaves out in the unit's place."""
    out: list[Link] = []
    for link in held:
        if link.role == "HALF":
            out.append(replace(link, value=100 * link.value))
            continue
        if link.role != "UNIT" or not isinstance(link.value, tuple):
            if link.value == "%" and out and out[-1].role == "NUM":
                out[-1] = replace(out[-1], note="%")
            out.append(link)
            continue
        field, factor = link.value
        if out and out[-1].role == "NUM":
            out[-1] = replace(out[-1], value=out[-1].value * factor)
        if not any(one.role in ("MOREM", "TOPM", "MEASURE") and field in (one.value, *_of(one)) for one in held):
            out.append(Link("MEASURE", link.said, field))
    return out


def _of(link: Link) -> tuple[object, ...]:
    return link.value if isinstance(link.value, tuple) else ()
