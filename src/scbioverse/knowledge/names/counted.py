"""Numbers of clusters around a name: "1: B cell" is the B cell of cluster 1, and no B-1 B cell.

One kind of name stays in doubt: "B 2" may be the second cluster of B cells, or a B-2 B cell. Beside other names with a
number it is the first; by itself it is asked about.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

_WORD = r"(?:(?:cluster|clust|leiden|louvain|seurat(?:[\s_]clusters?)?|group)[\s_.:#-]*|#)"
_COUNT = r"\d{1,3}(?:\.\d{1,2})?"
# In front, with a sign behind it or a word before it that make it a number of a cluster; and with no more than a gap.
_SIGNED = re.compile(rf"^(?:{_WORD}?{_COUNT}(?:\s*[:_.)|]+|\s+[-–—])\s*|{_WORD}{_COUNT}[\s-]+)(?=\S)", re.IGNORECASE)
_LOOSE = re.compile(r"^\d{1,3}(?:\s+|-(?=[A-Za-z]))")
# Behind: "T cell (3)", "T cell #3", "T cell cluster 3". What "_3" and "cells 3" are, the rules of names know.
_BEHIND = re.compile(
    r"(?:\s*\(\s*(?:cluster\s*)?\d{1,3}\s*\)|[\s_]*#\s*\d{1,3}|[\s_,-]+cluster[\s_-]*\d{1,3})$", re.IGNORECASE
)
_ANY_BEHIND = re.compile(r"[A-Za-z)][\s_-]*\d{1,3}$")
_IN_DOUBT = re.compile(r"^(?:([12])[\s-]+B|B\s+([12]))$")
# Numbers that belong to a word: serotonin, and the cells of an embryo.
_A_WORD = re.compile(r"^(?:5[\s_-]?HT|\d+[\s_-]?cells?\b)", re.IGNORECASE)


def cuts(name: str) -> Iterator[tuple[str, bool]]:
    """Yield what may be left of a name without the numbers of clusters, and whether only where that is a type."""
    if _A_WORD.match(name):
        return
    signed, behind = _SIGNED.sub("", name), _BEHIND.sub("", name)
    either = _BEHIND.sub("", _LOOSE.sub("", name))
    for bare, only in ((_BEHIND.sub("", signed), True), (signed, False), (either, True), (behind, True)):
        if bare != name and re.search(r"[^\W\d_]", bare):
            yield bare, only


def in_doubt(name: str) -> str:
    """Return the number in a name such as "2 B" or "B 2", which may belong to the type; empty for all others."""
    match = _IN_DOUBT.match(name.strip())
    return (match[1] or match[2]) if match else ""


def are_counted(names: Collection[str]) -> bool:
    """Whether two names of a list or more have a number in front or behind, as clusters are counted."""
    found = [one for one in dict.fromkeys(names) if _SIGNED.match(one) or _LOOSE.match(one) or _ANY_BEHIND.search(one)]
    return len(found) > 1
