"""The trained parts and their losses, in plain torch: no AnnData, no files, no particular language model."""

from __future__ import annotations

from .biotokens import BioTokens
from .candidate_tokens import CandidateTokens
from .composer import Composed, Composer
from .losses import answer_cross_entropy, answer_positions, info_nce
from .metrics import centroid_gap, median_rank, pair_ranks, recall_at_k
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
    "answer_cross_entropy",
    "answer_positions",
    "centroid_gap",
    "choose_phrases",
    "info_nce",
    "median_rank",
    "pair_ranks",
    "recall_at_k",
]
