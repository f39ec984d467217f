"""Texts about cell types for the text side of alignment, and texts about anything else."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .._random import Rng, as_generator
from ._read import read_text
from .markers import marker_genes
from .names.resolver import resolve_label
from .ontology import load_ontology
from .phrases import canonical_phrase, phrases

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

# Ancestors that say nothing about a term: by what every cell has, or by half the ontology belonging there.
_BROADEST = 900
_SAYS_NOTHING = frozenset(
    ["CL:0000226", "CL:0002242", "CL:0000219", "CL:0000255", "CL:0000003", "CL:0000325", "CL:0000211",
     "CL:0000548", "CL:0000225"]
)  # fmt: skip
_DEFINITION = 300
_NAMES = ("{name}, also called {others}.", "{name} (synonyms: {others}).", "{name}, known as {others}.")
_KINDS = ("It is a kind of {kinds}.", "A type of {kinds}.", "Broader types: {kinds}.")
_MARKERS = ("Marker genes: {genes}.", "It expresses {genes}.", "Typical genes are {genes}.", "Markers: {genes}.")


def label_card(label: str, *, rng: Rng = None, n_markers: int = 8) -> str:
    """Describe a cell type in a few sentences: names, broader types, definition, at most `n_markers` marker genes.

    `label` is a Cell Ontology id or a name; one that resolves to nothing comes back as a sentence of its own. Without
    `rng` there is one fixed wording; with a seed or generator parts and their order change.
    """
    resolution = resolve_label(label)
    if resolution.cl_id is None:
        return f"{' '.join(label.split())}."
    cl_id = resolution.cl_id
    names = phrases(cl_id)
    said = resolution.name if resolution.how != "id" else names[0]
    # What a user calls it stands first; its ontology names follow.
    others = [name for name in names if name.casefold() != said.casefold()]
    genes = _genes(cl_id)[: 2 * n_markers]
    definition = load_ontology().term(cl_id).definition
    if rng is None:
        return _fixed(said, others[:3], _kinds(cl_id)[:3], definition, genes[:n_markers])
    return _varied(said, others[:6], _kinds(cl_id), definition, genes, n_markers, as_generator(rng))


def _fixed(name: str, others: Sequence[str], kinds: Sequence[str], definition: str, genes: Sequence[str]) -> str:
    parts = [_NAMES[0].format(name=name, others=", ".join(others)) if others else f"{name}."]
    if kinds:
        parts.append(_KINDS[0].format(kinds=", ".join(kinds)))
    if definition:
        parts.append(_first_sentences(definition))
    if genes:
        parts.append(_MARKERS[0].format(genes=", ".join(genes)))
    return " ".join(parts)


def _varied(
    name: str,
    others: Sequence[str],
    kinds: Sequence[str],
    definition: str,
    genes: Sequence[str],
    n_markers: int,
    rng: np.random.Generator,
) -> str:
    def some(items: Sequence[str], low: int, high: int) -> list[str]:
        n = min(len(items), int(rng.integers(low, high + 1)))
        return [items[i] for i in rng.permutation(len(items))[:n]]

    def pick(templates: Sequence[str]) -> str:
        return templates[int(rng.integers(len(templates)))]

    chosen = some(others, 0, 3)
    opening = pick(_NAMES).format(name=name, others=", ".join(chosen)) if chosen else f"{name}."
    rest = []
    if kinds and rng.random() < 0.7:
        rest.append(pick(_KINDS).format(kinds=", ".join(kinds[: int(rng.integers(1, 4))])))
    if definition and rng.random() < 0.7:
        rest.append(_first_sentences(definition))
    if genes and (rng.random() < 0.9 or not rest):
        rest.append(pick(_MARKERS).format(genes=", ".join(some(genes, max(1, n_markers // 2), n_markers))))
    return " ".join([opening, *(rest[i] for i in rng.permutation(len(rest)))])


@lru_cache(maxsize=4096)
def _genes(cl_id: str) -> tuple[str, ...]:
    return tuple(marker_genes(cl_id, include="ancestors", max_genes=100))


@lru_cache(maxsize=4096)
def _kinds(cl_id: str) -> tuple[str, ...]:
    ontology = load_ontology()
    above = (one for one in ontology.ancestors(cl_id) if one not in _SAYS_NOTHING)
    return tuple(canonical_phrase(one) for one in above if len(ontology.descendants(one)) <= _BROADEST)


def _first_sentences(definition: str) -> str:
    """Whole sentences of a definition up to 300 characters, at least the first."""
    kept = ""
    for sentence in definition.split(". "):
        whole = sentence if sentence.endswith(".") else f"{sentence}."
        if kept and len(kept) + len(whole) > _DEFINITION:
            break
        kept = f"{kept} {whole}".strip()
    return kept


@lru_cache(maxsize=1)
def _general() -> tuple[str, ...]:
    return tuple(filter(None, read_text("general.txt").splitlines()))


def general_texts() -> list[str]:
    """Sentences that have nothing to do with cells (weather, cooking, law, sport, ...), all different.

    They are the negatives of contrastive alignment and the backdrop of the alignment picture.
    """
    return list(_general())
