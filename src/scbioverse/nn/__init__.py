"""The trained parts and their losses, in plain torch: no AnnData, no files, no particular language model."""

from __future__ import annotations

from .biotokens import BioTokens
from .candidate_tokens import CandidateTokens
from .composer import Composed, Composer
from .losses import info_nce
from .phrases import PhraseHead, choose_phrases
from .projector import Projector, PrototypeProjector

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
