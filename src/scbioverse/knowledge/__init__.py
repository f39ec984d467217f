"""What is known about human cell types: ontology, names, markers and gene aliases.

Names are imported when they are first asked for: looking up a gene need not load pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cards import general_texts, label_card
    from .genes import GeneTable, harmonise, load_genes
    from .markers import SOURCES, load_markers, markers_for
    from .names.company import resolve_labels
    from .names.resolver import Resolution, resolve_label
    from .ontology import Ontology, Term, load_ontology
    from .phrases import canonical_phrase

_WHERE = {
    "general_texts": "cards",
    "label_card": "cards",
    "GeneTable": "genes",
    "harmonise": "genes",
    "load_genes": "genes",
    "SOURCES": "markers",
    "load_markers": "markers",
    "markers_for": "markers",
    "Ontology": "ontology",
    "Term": "ontology",
    "load_ontology": "ontology",
    "canonical_phrase": "phrases",
    "Resolution": "names.resolver",
    "resolve_label": "names.resolver",
    "resolve_labels": "names.company",
}

__all__ = [
    "SOURCES",
    "GeneTable",
    "Ontology",
    "Resolution",
    "Term",
    "canonical_phrase",
    "general_texts",
    "harmonise",
    "label_card",
    "load_genes",
    "load_markers",
    "load_ontology",
    "markers_for",
    "resolve_label",
    "resolve_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
