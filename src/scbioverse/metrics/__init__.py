"""How good written text, retrieval and named facts are. Text and numbers in, plain numbers out."""

from __future__ import annotations

from ._facts import extract_classes, extract_roles, set_agreement
from ._retrieval import retrieval
from ._text import bleu, meteor, rouge, text_metrics, tokenise

__all__ = [
    "bleu",
    "extract_classes",
    "extract_roles",
    "meteor",
    "retrieval",
    "rouge",
    "set_agreement",
    "text_metrics",
    "tokenise",
]
