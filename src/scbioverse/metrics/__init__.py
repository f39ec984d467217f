"""How good written text, retrieval and named facts are. Text and numbers in, plain numbers out."""

from __future__ import annotations

from ..knowledge.captions import extract_classes, extract_roles
from ._retrieval import retrieval, set_agreement
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
