"""Descriptions of cell types in many wordings: what the projector learns texts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.phrases import broader_types, first_sentences, known_genes, phrases

_NAMES = ("{name}, also called {others}.", "{name} (synonyms: {others}).", "{name}, known as {others}.")
_KINDS = ("It is a kind of {kinds}.", "A type of {kinds}.", "Broader types: {kinds}.")
_MARKERS = ("Marker genes: {genes}.", "It expresses {genes}.", "Typical genes are {genes}.", "Markers: {genes}.")
_MOST_GENES = 8


def varied_card(cl_id: str, rng: np.random.Generator) -> str:
    """Describe a term as :func:`scbioverse.knowledge.phrases.label_card` does, with parts and their order drawn."""
    name, *more = phrases(cl_id)
    others = [one for one in more if one.casefold() != name.casefold()][:6]
    genes, kinds = known_genes(cl_id)[: 2 * _MOST_GENES], broader_types(cl_id)
    definition = load_ontology().term(cl_id).definition

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
        rest.append(first_sentences(definition))
    if genes and (rng.random() < 0.9 or not rest):
        rest.append(pick(_MARKERS).format(genes=", ".join(some(genes, _MOST_GENES // 2, _MOST_GENES))))
    return " ".join([opening, *(rest[i] for i in rng.permutation(len(rest)))])
