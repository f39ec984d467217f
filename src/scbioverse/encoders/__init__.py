"""Encoders: rows of an AnnData to float vectors, frozen, batched and streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazily
from ._protocol import Encoder, SavableEncoder, TraceableEncoder
from ._registry import build, list_encoders, register
from ._resolve import resolve_encoder
from ._run import embed_rows

if TYPE_CHECKING:
    from .chemnet import ChemNetEncoder
    from .compact import CompactCellEncoder
    from .geneformer import GeneformerEncoder
    from .hf_sequence import HFSequenceEncoder
    from .kmer import KmerEncoder
    from .morgan import MorganEncoder
    from .precomputed import PrecomputedEncoder
    from .proteins_surface import SurfaceProteinEncoder
    from .scvi_model import ScviEncoder

__all__ = [
    "ChemNetEncoder",
    "CompactCellEncoder",
    "Encoder",
    "GeneformerEncoder",
    "HFSequenceEncoder",
    "KmerEncoder",
    "MorganEncoder",
    "PrecomputedEncoder",
    "SavableEncoder",
    "ScviEncoder",
    "SurfaceProteinEncoder",
    "TraceableEncoder",
    "build",
    "embed_rows",
    "list_encoders",
    "register",
    "resolve_encoder",
]

# Resolved on first use: some bring torch with them.
_MODULES = {
    "ChemNetEncoder": "chemnet",
    "CompactCellEncoder": "compact",
    "GeneformerEncoder": "geneformer",
    "HFSequenceEncoder": "hf_sequence",
    "KmerEncoder": "kmer",
    "MorganEncoder": "morgan",
    "PrecomputedEncoder": "precomputed",
    "ScviEncoder": "scvi_model",
    "SurfaceProteinEncoder": "proteins_surface",
}
__getattr__, __dir__ = lazily(__name__, _MODULES)
