"""Short readable names of ontology terms, for prompts and pictures."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache

from ._read import read_table
from .ontology import fold, load_ontology

# What people leave out when they say the name. In this order.
_SHORTER = [
    (re.compile(pattern), by)
    for pattern, by in [
        (r" \((?:sensu )?(?:Vertebrata|Homo sapiens|metazoa|Hsap)\)$", ""),
        (r", human$", ""),
        (r",? thymus-derived,? ?", " "),
        (r",? ?\balpha-beta\b(?! (?:regulatory )?thymocyte)", ""),
        (r"\b(CD\d+\w*)-positive\b,?", r"\1"),
        (r"\b(CD\d+\w*)-negative\b,?", r"\1 negative"),
        (r"\b(?!double|single)(\w+)-positive\b", r"\1+"),
        (r"\b(double|single)-(?=positive|negative)", r"\1 "),
        (r"^naive CD(\d)", r"naive CD\1"),
        (r"\bvascular associated\b", "vascular"),
        (r"\bT-helper\b", "T helper"),
        (r"\bnatural killer\b", "NK"),
        (r"^kidney (?=loop of Henle|collecting duct|connecting tubule)", ""),
        (r" lineage restricted ", " "),
        (r"\s*,\s*$|\s{2,}", " "),
    ]
]
_LONGEST = 48
_UNREADABLE = re.compile(r"[.:]|\d{3,}|-(?:low|negative), ")


def _shorten(label: str) -> str:
    for pattern, by in _SHORTER:
        label = pattern.sub(by, label)
    return " ".join(label.split())


@lru_cache(maxsize=1)
def _canonical() -> dict[str, str]:
    """Canonical phrase of every term; no two terms share one, whatever the case."""
    ontology = load_ontology()
    by_hand = {row[0]: row[1] for row in read_table("phrases.tsv")}
    chosen = {cl_id: by_hand.get(cl_id) or _shorten(ontology.term(cl_id).label) for cl_id in ontology}
    labels = {cl_id: ontology.term(cl_id).label for cl_id in ontology}

    def claim(cl_id: str) -> tuple[bool, bool, int, str]:
        """Order in which terms may keep a phrase: whose own label it is, by hand, the shallower, the lower id."""
        return chosen[cl_id] != labels[cl_id], cl_id not in by_hand, ontology.depth(cl_id), cl_id

    # A term that falls back to its label may take it from a term whose short form that was: again until none does.
    while True:
        sharing: dict[str, list[str]] = defaultdict(list)
        for cl_id, phrase in chosen.items():
            sharing[phrase.casefold()].append(cl_id)
        losing = [one for ids in sharing.values() for one in sorted(ids, key=claim)[1:] if chosen[one] != labels[one]]
        if not losing:
            return chosen
        chosen |= {cl_id: labels[cl_id] for cl_id in losing}


def canonical_phrase(cl_id: str) -> str:
    """Short form of a term's name, unique to the term, such as `"naive CD4 T cell"` for CL:0000895."""
    load_ontology().term(cl_id)
    return _canonical()[cl_id]


@lru_cache(maxsize=8192)
def _phrases(cl_id: str) -> tuple[str, ...]:
    label, misleading = load_ontology().term(cl_id).label, _misleading().get(cl_id, frozenset())
    first = _canonical()[cl_id]
    found = {fold(first): first}
    for name in (label, *readable_names(cl_id)):
        if name == label or name not in misleading:
            found.setdefault(fold(name), name)
    return tuple(found.values())


def readable_names(cl_id: str) -> list[str]:
    """Names of a term that people would say, whatever else they may mean: short label, shorthand, synonyms."""
    term = load_ontology().term(cl_id)
    every = [_shorten(term.label), *(row[0] for row in _shorthand().get(cl_id, ())), *term.synonyms]
    return [name for name in every if len(name) <= _LONGEST and not _UNREADABLE.search(name)]


@lru_cache(maxsize=1)
def _misleading() -> dict[str, frozenset[str]]:
    """Names that today mean another cell ("DC2" for the plasmacytoid one), by the term whose synonyms they are.

    A table, so that describing a term takes no index of all names: `recipes/knowledge/_misleading.py` asks the
    resolver.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for cl_id, name in read_table("misleading.tsv.gz"):
        found[cl_id].add(name)
    return {cl_id: frozenset(names) for cl_id, names in found.items()}


@lru_cache(maxsize=1)
def _shorthand() -> dict[str, list[list[str]]]:
    rows: dict[str, list[list[str]]] = defaultdict(list)
    for row in read_table("shorthand.tsv"):
        # One- and two-letter shorthand means too many things when it stands without its data set.
        if row[3] == "name" and not row[4] and len(row[0]) > 2:
            rows[row[1]].append(row)
    return rows


def phrases(cl_id: str) -> list[str]:
    """Short readable names of a term for a language model, without repetition.

    The canonical phrase first (see :func:`canonical_phrase`), then the label, known shorthand and the ontology's
    readable synonyms.
    """
    return list(_phrases(cl_id))
