"""Malignant cells, and the types that they come from.

No gene marks the malignant cells of all tumours, and no reference holds the tumour that was taken out today. But a
tumour keeps much of the look of the tissue it grew in: its cells resemble the type they come from. Where "malignant
cell" is a candidate, it stands for these types, as far as no other candidate does.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from .names.resolver import resolve_label
from .names.tokens import tokens
from .names.words import meanings, word_set
from .ontology import load_ontology

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

# Malignant and neoplastic cell.
TUMOURS = ("CL:0001064", "CL:0001063")
# What carcinomas, gliomas and melanomas come from: epithelial cell; macroglial cell, radial glial cell and
# oligodendrocyte precursor cell; melanocyte. Tumours of connective tissue, vessels and blood are rarer or, as in
# leukaemia, named by the type itself, and a label for these types is nearly always offered beside that of the tumour.
ORIGINS = ("CL:0000066", "CL:0000126", "CL:0000681", "CL:0002453", "CL:0000148")
_BETWEEN = re.compile(r"[\s_/()]+")
# Score of a resolution from which on it is no guess.
_SURE = 0.8


@lru_cache(maxsize=1)
def _from_origins() -> frozenset[str]:
    ontology = load_ontology()
    return frozenset(below for one in ORIGINS for below in (one, *ontology.descendants(one)))


# Types of no use as an origin: any tissue has them.
_SAYS_NOTHING = frozenset(
    {*TUMOURS, "CL:0000000", "CL:0000034", "CL:0000048", "CL:0000548", "CL:0011026", "CL:0011115"}
)


def named_origin(name: str) -> str | None:
    """Id of the type that a tumour's name says it comes from; None where it does not say.

    By what the name says besides being malignant ("malignant B cell"), else by the word for the tumour ("melanoma").
    """
    rest = [word for word in _BETWEEN.split(name) if not word_set("malignant") & set(tokens(word))]
    found = resolve_label(" ".join(rest))
    if found.cl_id is not None and found.cl_id not in _SAYS_NOTHING and found.score >= _SURE:
        return found.cl_id
    return next((origin for word in tokens(name) if (origin := meanings("malignant").get(word))), None)


def tumours_of(cl_id: str) -> tuple[str, ...]:
    """Ids of the tumour cells that can come from a type: all of :data:`TUMOURS` or none."""
    return TUMOURS if cl_id in _from_origins() else ()


def is_held(cl_id: str, candidates: AbstractSet[str]) -> bool:
    """Whether a candidate is a type or holds it."""
    return bool(candidates & {cl_id, *load_ontology().ancestors(cl_id)})


def origins_left(candidates: Iterable[str | None]) -> list[str]:
    """Types that tumour cells can come from and that no candidate is or holds, sorted by id."""
    offered = {one for one in candidates if one is not None}
    return sorted(one for one in _from_origins() if not is_held(one, offered))
