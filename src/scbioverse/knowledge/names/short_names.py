"""Short names as they are spelt: what one means by itself, in which company, and what a person may have meant.

Kept apart from the index of tokens, in which "HSC" and "hematopoietic stem cell" are one: only the first is also a
stellate cell.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from .._read import read_table
from ..ontology import fold, load_ontology
from .counted import in_doubt
from .tokens import gene_token, is_gene, tokens, word_set

# Context of names that mean a cell in any list of cells, but not by themselves: "End", "FAP" (which is a gene).
ANY_LIST = "list"
# The plural of an abbreviation ("HSCs") or of a word of four letters or more ("Podos"), but not "ENS" or "mucus".
_PLURAL = re.compile(r"(?<=[A-Z])s\b|(?<=[a-z]{3})(?<![sui])s\b")
_CELL = re.compile(r"[\s_-]+cells?$", re.IGNORECASE)
# A number that counts clusters: "SMC1", "Podo 2".
_GAP = re.compile(r"[\s_]+")
_CD = re.compile(r"CD\d")
_MAY_LACK = re.compile(r"[-⁻−]|neg", re.IGNORECASE)
_BRACKETED = re.compile(r"\(([^()]*)\)")
_SMALL_FIRST = re.compile(r"[a-z][A-Z]")
_COUNT = re.compile(r"(?<=[A-Za-z]{2})[\s_-]*\d+$")


def _key(name: str) -> str:
    """Fold a name, but keep what it says a cell lacks: "CD16- NK" is no "CD16 NK"."""
    # Few names have a sign; tokens are dear.
    lacking = {token for token in tokens(name) if token.startswith("-")} if _MAY_LACK.search(name) else ()
    return " ".join([fold(name), *sorted(lacking)])


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, str]]]:
    """Folded name to id: names kept in `shorthand.tsv`, those in `abbreviations.tsv`; and name to context to id."""
    shorthand = {
        _key(name): cl_id
        for name, cl_id, _, kind, context in reversed(read_table("shorthand.tsv"))
        if kind == "name" and not context
    }
    alone: dict[str, str] = {}
    within: dict[str, dict[str, str]] = {}
    for name, cl_id, _, context in read_table("abbreviations.tsv"):
        key = _key(name)
        held = within.setdefault(key, {}) if context else alone
        held.setdefault(context or key, cl_id)
        if not context and _SMALL_FIRST.match(name):
            alone.setdefault(name, cl_id)
    return shorthand, alone, within


def _without_genes(bracketed: re.Match[str]) -> str:
    # Surface proteins tell types apart.
    found = () if _CD.search(bracketed[1]) else tokens(bracketed[1])
    return "" if found and all(map(is_gene, found)) else bracketed[0]


@lru_cache(maxsize=16384)
def spellings(name: str) -> tuple[str, ...]:
    """Folded forms of a name, ever shorter.

    As it stands, in the singular, without "cells", without a cluster's number, without states ("Cycling Podo"),
    and with the count but without genes ("Macro_C1QC"); surface proteins stay, since they tell types apart.
    """
    name = _BRACKETED.sub(_without_genes, name) if "(" in name else name
    text = " ".join(name.replace(".", " ").split())
    single = _PLURAL.sub("", text)
    bare = _COUNT.sub("", _CELL.sub("", single))
    forms = [text, single, _CELL.sub("", single), bare]
    forms.append(" ".join(word for word in _GAP.split(bare) if word.lower() not in word_set("state")))
    forms.append(" ".join(word for word in _GAP.split(single) if _CD.match(word) or not gene_token(word, signed=False)))
    return tuple(filter(None, dict.fromkeys(map(_key, forms))))


def prefixed(name: str) -> str | None:
    """Id of a short name whose first letter alone is small, spelt so: "aEC" (arterial) is no "AEC"."""
    return _tables()[1].get(_PLURAL.sub("", name)) if _SMALL_FIRST.match(name) else None


def shorthand_for(name: str) -> str | None:
    """Id of a name kept in `shorthand.tsv`, spelt as it is there."""
    return _tables()[0].get(_key(name))


def abbreviated(name: str, *, loosely: bool = False) -> str | None:
    """Id of a short name, such as `"KCs"`, by itself: as it stands and in the singular.

    With `loosely`, its shorter forms are tried, too; see :func:`spellings`.
    """
    shorthand, alone, _ = _tables()
    near = (name, _PLURAL.sub("", name), name.replace(".", " "))
    forms = spellings(name) if loosely else dict.fromkeys(map(_key, near))
    return next((known for form in forms if (known := shorthand.get(form) or alone.get(form))), None)


def readings_in(name: str, *, whole: bool = False) -> dict[str, str]:
    """Context to id: what a short name means in an organ or beside other names; see :data:`ANY_LIST`.

    With `whole`, only of the name as it stands, not of its shorter forms.
    """
    within = _tables()[2]
    found: dict[str, str] = {}
    for form in (_key(name),) if whole else spellings(name):
        found = within.get(form, {}) | found
    return found


@lru_cache(maxsize=4096)
def nearest_names(name: str, *, most: int = 2) -> tuple[str, ...]:
    """Ontology names like a name that resolves to nothing, the most alike first, `most` at most; empty where none is.

    They are both readings of a name in doubt (`"2 B"`), labels of what a short name means in some organ (`"stellate
    cell"`), else names that are spelt much alike.
    """
    ontology = load_ontology()
    if number := in_doubt(name):
        return ontology.term("CL:0000236").label, f"B-{number} B cell"
    found = [cl_id for place, cl_id in readings_in(name).items() if place != ANY_LIST]
    if not found and len(name) > 4:
        names = ontology.names()
        found = [names[one] for one in difflib.get_close_matches(fold(name), names, 2 * most, 0.75)]
    return tuple(dict.fromkeys(ontology.term(cl_id).label for cl_id in found))[:most]
