"""The parts a model is built from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from ..llm.prompts import PromptTemplate
from ..nn import BioTokens, CandidateTokens, PhraseHead, Projector, PrototypeProjector
from .config import BioVerseConfig, EncoderConfig
from .shared_space import SharedHead

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def read_template(fields: Any) -> PromptTemplate:
    """Make the prompt template that a checkpoint describes.

    Raises
    ------
    WeightsError
        It is no description of one, or has fields that this version does not know.
    """
    known = set(PromptTemplate.__dataclass_fields__)
    if not isinstance(fields, dict) or not set(fields) <= known:
        odd = sorted(map(str, set(fields) - known)) if isinstance(fields, dict) else type(fields).__name__
        raise WeightsError(
            f"config.json describes a prompt template that this version of scbioverse does not know: {odd} (known: "
            f"{sorted(known)}). Upgrade: pip install -U scbioverse"
        )
    try:
        return PromptTemplate(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"config.json describes no prompt template: {error}") from error


@torch.no_grad()
def word_vector(backbone: Backbone, word: str) -> Tensor:
    """Input embedding of a word, the mean over its tokens: float32 (d_llm,)."""
    ids = torch.tensor(backbone.encode(word, allow_special=False), device=backbone.device)
    return backbone.embed_tokens(ids).float().mean(dim=0).cpu()


def describe(encoder: Encoder, *, prototypes: int = 0, spread: Sequence[float] = ()) -> EncoderConfig:
    """Return what a checkpoint says about an encoder and the projector that reads it."""
    from ..encoders._registry import encoder_class, list_encoders

    kind = next((kind for kind in list_encoders() if type(encoder) is encoder_class(kind)), "unregistered")
    shape = (encoder.dim, encoder.n_tokens)
    return EncoderConfig(kind, encoder.name, encoder.fingerprint(), *shape, prototypes=prototypes, spread=tuple(spread))


def _projector(config: BioVerseConfig, one: EncoderConfig, init_norm: float) -> nn.Module:
    sizes = (one.dim, one.n_tokens, config.n_soft, config.llm.d_llm)
    if one.prototypes:
        return PrototypeProjector(*sizes, one.prototypes, config.dropout, init_norm=init_norm, spread=one.spread)
    return Projector(*sizes, one.hidden or config.hidden, config.dropout, init_norm=init_norm)


def answer_codes(one: EncoderConfig, n_soft: int, d_llm: int, init_norm: float = 1.0) -> CandidateTokens:
    """Build the codes of answers that an encoder's configuration describes, with random weights."""
    return CandidateTokens(len(one.answers), n_soft, d_llm, init_norm=init_norm, spread=one.answer_spread)


def build_modules(config: BioVerseConfig, *, init_norm: float = 1.0) -> nn.ModuleDict:
    """Build the trained parts that `config` describes, with random weights."""
    projectors = {modality: _projector(config, one, init_norm) for modality, one in config.encoders.items()}
    shared = {}
    if config.text_space is not None:
        space = config.text_space
        shared = {modality: SharedHead(space.dim, mixed=space.mixed) for modality in config.encoders}
    speech = {
        modality: PhraseHead(one.dim, one.n_tokens, len(one.speech.phrases), one.speech.hidden, config.dropout)
        for modality, one in config.encoders.items()
        if one.speech is not None
    }
    answers = {
        modality: answer_codes(one, config.n_soft, config.llm.d_llm, init_norm)
        for modality, one in config.encoders.items()
        if one.answers
    }
    return nn.ModuleDict(
        {
            "projectors": nn.ModuleDict(projectors),
            "answers": nn.ModuleDict(answers),
            "speech": nn.ModuleDict(speech),
            "tokens": BioTokens(sorted(config.encoders), config.llm.d_llm, init_norm=init_norm),
            "shared": nn.ModuleDict(shared),
        }
    )
