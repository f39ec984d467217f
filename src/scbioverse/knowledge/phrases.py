"""What is said of ontology terms: their other readable names, a few sentences, and what a language model is to say.

What the language model is asked to say for a term is its name with the general word first. A label is scored token by
token, and each choice is made on what was said so far. Natural names put what is special in front: " naive" begins the
naive B cell and the naive CD4 T cell, so that the first choice between "B cell" and "naive CD4 T cell" would go wrong
for a naive B cell, whatever the model knows. Said from general to special ("B naive", "CD4 naive"), every choice is a
step down the ontology. The words in `obs` are the user's all the same.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import lru_cache

from ._read import read_table, read_text
from .names.resolver import resolve_label
from .ontology import canonical_phrase, fold, load_ontology, shorten

_LONGEST = 48
_UNREADABLE = re.compile(r"[.:]|\d{3,}|-(?:low|negative), ")


@lru_cache(maxsize=8192)
def phrases(cl_id: str) -> tuple[str, ...]:
    """Short readable names of a term for a language model, without repetition.

    The canonical phrase first (see :func:`canonical_phrase`), then the label, known shorthand and the ontology's
    readable synonyms.
    """
    label, misleading = load_ontology().term(cl_id).label, _misleading().get(cl_id, frozenset())
    first = canonical_phrase(cl_id)
    found = {fold(first): first}
    for name in (label, *readable_names(cl_id)):
        if name == label or name not in misleading:
            found.setdefault(fold(name), name)
    return tuple(found.values())


def readable_names(cl_id: str) -> list[str]:
    """Names of a term that people would say, whatever else they may mean: short label, shorthand, synonyms."""
    term = load_ontology().term(cl_id)
    every = [shorten(term.label), *(row[0] for row in _shorthand().get(cl_id, ())), *term.synonyms]
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


# ------------------------------------------------------------------ sentences

# Ancestors that say nothing about a term: by what every cell has, or by half the ontology belonging there.
_BROADEST = 900
_SAYS_NOTHING = frozenset(
    ["CL:0000226", "CL:0002242", "CL:0000219", "CL:0000255", "CL:0000003", "CL:0000325", "CL:0000211",
     "CL:0000548", "CL:0000225"]
)  # fmt: skip
_DEFINITION, _GENES = 300, 8


def _known(label: str) -> tuple[str, list[str], str] | None:
    """Name that stands first, further names and id of a term given by id or name."""
    resolution = None if label in load_ontology() else resolve_label(label)
    cl_id = label if resolution is None else resolution.cl_id
    if cl_id is None:
        return None
    names = phrases(cl_id)
    # What a user calls it stands first; its ontology names follow.
    said = names[0] if resolution is None or resolution.how == "id" else resolution.name
    return said, [name for name in names if name.casefold() != said.casefold()], cl_id


# Put together from several tables: the types of a vocabulary are described once a process, not once a call.
@lru_cache(maxsize=8192)
def label_card(label: str) -> str:
    """Describe a cell type in a few sentences: names, broader types, definition, at most eight marker genes.

    `label` is a Cell Ontology id or a name; one that resolves to nothing comes back as a sentence of its own.
    """
    if (known := _known(label)) is None:
        return f"{' '.join(label.split())}."
    name, others, cl_id = known
    kinds, genes = broader_types(cl_id)[:3], known_genes(cl_id)[:_GENES]
    definition = load_ontology().term(cl_id).definition
    parts = [
        f"{name}, also called {', '.join(others[:3])}." if others else f"{name}.",
        f"It is a kind of {', '.join(kinds)}." if kinds else "",
        first_sentences(definition) if definition else "",
        f"Marker genes: {', '.join(genes)}." if genes else "",
    ]
    return " ".join(filter(None, parts))


@lru_cache(maxsize=4096)
def known_genes(cl_id: str) -> tuple[str, ...]:
    """Marker genes of a term, its own first, then those of broader types: at most 100.

    Those of the pooled tables, by which models learned descriptions and keep what was made of them.
    """
    from .markers import marker_genes  # names of terms need no pandas

    return tuple(marker_genes(cl_id, include="ancestors", max_genes=100, by_hand=False))


@lru_cache(maxsize=4096)
def broader_types(cl_id: str) -> tuple[str, ...]:
    """Phrases of the types that a term is a kind of, the nearest first, but for those that say nothing about it."""
    ontology = load_ontology()
    above = (one for one in ontology.ancestors(cl_id) if one not in _SAYS_NOTHING)
    return tuple(canonical_phrase(one) for one in above if len(ontology.descendants(one)) <= _BROADEST)


def first_sentences(definition: str) -> str:
    """Whole sentences of a definition up to 300 characters, at least the first."""
    kept = ""
    for sentence in definition.split(". "):
        whole = sentence if sentence.endswith(".") else f"{sentence}."
        if kept and len(kept) + len(whole) > _DEFINITION:
            break
        kept = f"{kept} {whole}".strip()
    return kept


def general_texts() -> list[str]:
    """Sentences that have nothing to do with cells (weather, cooking, law, sport, ...), all different.

    They are the negatives of contrastive alignment and the backdrop of the alignment picture.
    """
    return list(filter(None, read_text("general.txt").splitlines()))


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
