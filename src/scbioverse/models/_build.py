"""The parts a model is built from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..nn import BioTokens, Projector
from ._shared import SharedHead
from .config import BioVerseConfig, EncoderConfig

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..llm import Backbone


def identity(backbone: Backbone) -> str:
    """Sha256 of a language model: of its files, or of its weights where it was built in memory."""
    if backbone.sha256:
        return backbone.sha256
    digest = hashlib.sha256()
    for key, value in sorted(backbone.model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def word_vector(backbone: Backbone, word: str) -> Tensor:
    """Input embedding of a word, the mean over its tokens: float32 (d_llm,)."""
    ids = torch.tensor(backbone.encode(word, allow_special=False), device=backbone.device)
    return backbone.embed_tokens(ids).float().mean(dim=0).cpu()


def describe(encoder: Encoder) -> EncoderConfig:
    """Return what a checkpoint says about an encoder."""
    from ..encoders._registry import encoder_class, list_encoders

    kind = next((kind for kind in list_encoders() if type(encoder) is encoder_class(kind)), "unregistered")
    return EncoderConfig(kind, encoder.name, encoder.fingerprint(), encoder.dim, encoder.n_tokens)


def build_modules(config: BioVerseConfig, *, init_norm: float = 1.0) -> nn.ModuleDict:
    """Build the trained parts that `config` describes, with random weights."""
    projectors = {
        modality: Projector(
            one.dim, one.n_tokens, config.n_soft, config.llm.d_llm, config.hidden, config.dropout, init_norm=init_norm
        )
        for modality, one in config.encoders.items()
    }
    shared = {}
    if config.text_space is not None:
        shared = {modality: SharedHead(config.text_space.dim) for modality in config.encoders}
    return nn.ModuleDict(
        {
            "projectors": nn.ModuleDict(projectors),
            "tokens": BioTokens(sorted(config.encoders), config.llm.d_llm, init_norm=init_norm),
            "shared": nn.ModuleDict(shared),
        }
    )
