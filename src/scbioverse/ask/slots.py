"""A question with the names of the data replaced: "how many T1 have G1", and what each placeholder stands for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import TYPE_CHECKING

from .chunks import chunked
from .words import Link, pick

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
_COMPARED = {"MOREM": {"most": "more ", "least": "less "}, "TOPM": {"most": "most ", "least": "least "}}
_BEHIND = {"ORD": "th", "HALF": " %"}
# Words of the counts of a cell that behind a gene are of the gene.
_OF_GENE = frozenset(["count", "counts", "umi", "umis", "transcript", "transcripts", "read", "reads", "molecules"])
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
    count: Counter[str] = Counter()
    shown: list[tuple[Link, str]] = []
    words: list[str] = []
    begun = list(dropwhile(lambda one: one.role in ("OPENS", "COMMA"), links))  # "so, how many"
    begun = [Link("ROWS", one.said) if one.key == "ones" else one for one in begun]  # "the positive ones"
    for link in _counts(_with_units(chunked(begun, names, only=_NAMES)), names):
        kind = KINDS.get(link.role)
        if kind is None:
            shown.append((link, ""))
            words.append(_SHOWN.get(link.role, link.key))
            continue
        count[kind] += 1
        name = f"{kind}{count[kind]}"
        shown.append((link, name))
        before = _COMPARED[link.role][link.value[1]] if link.role in _COMPARED else ""
        words.append(f"{before}{name}{_BEHIND.get(link.role, '')}")
    if max(count.values(), default=0) > _MOST:
        return None
    return Slots(" ".join(words).strip(" ,"), {name: link for link, name in shown if name}, tuple(shown))


def _counts(held: list[Link], names: Names) -> list[Link]:
    """Leave out what "LYZ counts" says of a gene that is measured."""
    total = names.rows.usual("total_counts") if names.rows.noun == "cell" else None
    after_gene = [False, *(one.role == "FIELD" for one in held)]
    said = [one.role == "MEASURE" and one.value == total and one.key in _OF_GENE for one in held]
    return [one for one, gene, counts in zip(held, after_gene, said, strict=False) if not (gene and counts)]


def _with_units(held: list[Link]) -> list[Link]:
    """Put numbers into the units of the data, and the field that "below 200 g/mol" leaves out in the unit's place."""
    measured = {one.value[0] for one in pick(held, "MOREM", "TOPM")} | {one.value for one in pick(held, "MEASURE")}
    out: list[Link] = []
    for link in held:
        unit, factor = link.value if link.role == "UNIT" else ("", 1.0)
        if unit and out and out[-1].role == "NUM":
            out[-1] = replace(out[-1], value=factor * out[-1].value, note="%" if unit == "%" else out[-1].note)
        if link.role == "HALF":
            out.append(replace(link, value=100 * link.value))
        elif unit in ("", "%"):
            out.append(link)
        elif factor != 1 and (not out or out[-1].role != "NUM"):
            out.append(link.but("?"))  # "how many Da does it weigh": numbers are told in kDa
        elif unit not in measured:
            out.append(Link("MEASURE", link.said, unit))
    return out
