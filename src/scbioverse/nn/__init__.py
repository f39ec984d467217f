"""The trained parts and their losses, in plain torch: no AnnData, no files, no particular language model."""

from __future__ import annotations

from .composer import BioTokens, Composed, Composer
from .losses import info_nce
from .projector import CandidateTokens, PhraseHead, Projector, PrototypeProjector, choose_phrases

__all__ = [
    "BioTokens",
    "CandidateTokens",
    "Composed",
    "Composer",
    "PhraseHead",
    "Projector",
    "PrototypeProjector",
    "choose_phrases",
    "info_nce",
]
