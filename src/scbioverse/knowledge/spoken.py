"""What the language model is asked to say for a term: its name with the general word first.

A label is scored token by token, and each choice is made on what was said so far. Natural names put what is special in
front: " naive" begins the naive B cell and the naive CD4 T cell, so that the first choice between "B cell" and "naive
CD4 T cell" would go wrong for a naive B cell, whatever the model knows. Said from general to special ("B naive", "CD4
naive"), every choice is a step down the ontology. The words in `obs` are the user's all the same.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from ._read import read_table
from .ontology import load_ontology
from .phrases import canonical_phrase

# Words that narrow what follows them, longest first.
_NARROWING = re.compile(
    r"^(?:terminal effector memory|class switched|germinal center|central memory|effector memory|CD56 bright|CD56 dim|"
    r"terminally differentiated|double positive|double negative|type [I12]+|naive|memory|effector|activated|mature|"
    r"immature|transitional|early|late|inflammatory|resting|conventional|plasmacytoid|regulatory|helper|cytotoxic|"
    r"follicular|precursor|intermediate|alveolar|peritoneal|lymphatic|vascular|arterial|venous|capillary|fetal|"
    r"embryonic|adult|CD\d+\w*(?= monocyte| macrophage| dendritic)|[A-Za-z]+[0-9]+(?= GABAergic| glutamatergic))\s+"
)


def _turned(name: str) -> str:
    """Move narrowing words behind what they narrow, the nearest first."""
    moved: list[str] = []
    while (found := _NARROWING.match(name)) and len(name) > found.end():
        moved.insert(0, found.group().strip())
        name = name[found.end() :]
    return " ".join([name, *moved])


@lru_cache(maxsize=1)
def _spoken() -> dict[str, str]:
    by_hand = {row[0]: row[1] for row in read_table("spoken.tsv")}
    natural = {cl_id: canonical_phrase(cl_id) for cl_id in load_ontology()}
    said = {cl_id: by_hand.get(cl_id) or _turned(name) for cl_id, name in natural.items()}
    often = Counter(name.casefold() for name in said.values())
    # Two terms that came to one form keep their natural names, unless one of them has the form by hand.
    unique = {
        cl_id: name if cl_id in by_hand or often[name.casefold()] == 1 else natural[cl_id]
        for cl_id, name in said.items()
    }
    taken = Counter(name.casefold() for name in unique.values())
    return {cl_id: name if taken[name.casefold()] == 1 else natural[cl_id] for cl_id, name in unique.items()}


def answer_name(cl_id: str, names: str) -> str:
    """Form of a term's name that a model answers with: `"spoken"` or `"natural"`, as its configuration says."""
    return spoken_name(cl_id) if names == "spoken" else canonical_phrase(cl_id)


@lru_cache(maxsize=1)
def _by_spoken() -> dict[str, str]:
    return {name.casefold(): cl_id for cl_id, name in _spoken().items()}


def term_said(text: str) -> str | None:
    """Ontology id of the term whose spoken name this is, in any case of letters; None if it is none's."""
    return _by_spoken().get(" ".join(text.split()).casefold())


def spoken_name(cl_id: str) -> str:
    """Form of a term's name for the language model, general word first, such as `"CD4 naive"` for CL:0000895.

    No two terms share one.
    """
    load_ontology().term(cl_id)
    return _spoken()[cl_id]
