"""The trained parts and their losses, in plain torch: no AnnData, no files, no particular language model."""

from __future__ import annotations

from .biotokens import BioTokens
from .composer import Composed, Composer
from .losses import answer_cross_entropy, answer_positions, info_nce
from .metrics import centroid_gap, median_rank, pair_ranks, recall_at_k
from .projector import Projector
from .prototypes import PrototypeProjector

__all__ = [
    "BioTokens",
    "Composed",
    "Composer",
    "Projector",
    "PrototypeProjector",
    "answer_cross_entropy",
    "answer_positions",
    "centroid_gap",
    "info_nce",
    "median_rank",
    "pair_ranks",
    "recall_at_k",
]
