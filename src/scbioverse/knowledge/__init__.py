"""What is known about human cell types: ontology, names, markers and gene aliases.

Names are imported when they are first asked for: looking up a gene need not load pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily

if TYPE_CHECKING:
    from .genes import harmonise, load_genes
    from .markers import load_markers, markers_for
    from .names.company import resolve_labels
    from .names.resolver import Resolution, resolve_label
    from .ontology import Ontology, canonical_phrase, load_ontology

_WHERE = {
    "harmonise": "genes",
    "load_genes": "genes",
    "load_markers": "markers",
    "markers_for": "markers",
    "Ontology": "ontology",
    "load_ontology": "ontology",
    "canonical_phrase": "ontology",
    "Resolution": "names.resolver",
    "resolve_label": "names.resolver",
    "resolve_labels": "names.company",
}

__all__ = [
    "Ontology",
    "Resolution",
    "canonical_phrase",
    "harmonise",
    "load_genes",
    "load_markers",
    "load_ontology",
    "markers_for",
    "resolve_label",
    "resolve_labels",
]

__getattr__, __dir__ = lazily(__name__, _WHERE)
