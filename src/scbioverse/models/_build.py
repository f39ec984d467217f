"""The trained parts of a model, built with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..llm.prompts import PromptTemplate
from ..nn import BioTokens, CandidateTokens, PhraseHead, Projector, PrototypeProjector
from .config import BioVerseConfig, EncoderConfig, LLMConfig
from .reader import identity
from .shared_space import SharedHead

if TYPE_CHECKING:
    from ..encoders import Encoder
    from ..llm import Backbone
    from .config import PhraseBook


@torch.no_grad()
def word_vector(backbone: Backbone, word: str) -> Tensor:
    """Input embedding of a word, the mean over its tokens: float32 (d_llm,)."""
    ids = torch.tensor(backbone.encode(word, allow_special=False), device=backbone.device)
    return backbone.embed_tokens(ids).float().mean(dim=0).cpu()


def describe(encoder: Encoder, *, hidden: int, terms: Sequence[str] = ()) -> EncoderConfig:
    """Return what a checkpoint says about an encoder and the projector that reads it."""
    from ..encoders._registry import encoder_class, list_encoders

    kind = next((kind for kind in list_encoders() if type(encoder) is encoder_class(kind)), "unregistered")
    shape = (encoder.dim, encoder.n_tokens)
    return EncoderConfig(kind, encoder.name, encoder.fingerprint(), *shape, hidden=hidden, terms=tuple(terms))


def _projector(config: BioVerseConfig, one: EncoderConfig, init_norm: float, dropout: float) -> nn.Module:
    sizes = (one.dim, one.n_tokens, config.n_soft, config.llm.d_llm)
    if one.terms:
        return PrototypeProjector(*sizes, len(one.terms), dropout, init_norm=init_norm)
    return Projector(*sizes, one.hidden, dropout, init_norm=init_norm)


def candidate_tokens(one: EncoderConfig, n_soft: int, d_llm: int, init_norm: float = 1.0) -> CandidateTokens:
    """Build the candidate tokens that an encoder's configuration describes, with random weights."""
    return CandidateTokens(len(one.candidates), n_soft, d_llm, init_norm=init_norm, spread=one.spread)


def build_modules(
    config: BioVerseConfig,
    phrase_books: Mapping[str, PhraseBook] | None = None,
    *,
    init_norm: float = 1.0,
    dropout: float = 0.1,
) -> nn.ModuleDict:
    """Build the trained parts that a configuration and its phrase books describe, with random weights."""
    encoders, space = config.encoders, config.text_space
    projectors = {modality: _projector(config, one, init_norm, dropout) for modality, one in encoders.items()}
    shared = {} if space is None else {modality: SharedHead(space.dim) for modality in encoders}
    heads = {
        modality: PhraseHead(
            encoders[modality].dim, encoders[modality].n_tokens, len(book.phrases), book.hidden, dropout
        )
        for modality, book in (phrase_books or {}).items()
    }
    candidates = {
        modality: candidate_tokens(one, config.n_soft, config.llm.d_llm, init_norm)
        for modality, one in encoders.items()
        if one.candidates
    }
    return nn.ModuleDict(
        {
            "projectors": nn.ModuleDict(projectors),
            "candidate_tokens": nn.ModuleDict(candidates),
            "phrases": nn.ModuleDict(heads),
            "tokens": BioTokens(sorted(config.encoders), config.llm.d_llm, init_norm=init_norm),
            "shared": nn.ModuleDict(shared),
        }
    )


def untrained(
    encoders: Encoder | Sequence[Encoder],
    name: str,
    llm: str | Backbone | None,
    n_soft: int,
    hidden: int,
    prototypes: Sequence[str],
    dropout: float,
    template: PromptTemplate | None,
    seed: int,
) -> dict[str, Any]:
    """Make the parts of a model with an untrained projector for each encoder; see :meth:`BioVerse.new`."""
    from ..llm import DEFAULT_LLM, Backbone

    several = list(encoders) if isinstance(encoders, Sequence) else [encoders]
    by_modality = {encoder.modality: encoder for encoder in several}
    if not several or len(by_modality) != len(several):
        raise InputError(f"need encoders of different modalities, found {[one.modality for one in several]}.")
    if min(n_soft, hidden) < 1 or not 0 <= dropout < 1:
        raise InputError(f"need n_soft and hidden ≥ 1 and dropout in [0, 1), found {n_soft}, {hidden} and {dropout}.")
    backbone = llm if isinstance(llm, Backbone) else Backbone.load(llm or DEFAULT_LLM)
    wording = template or PromptTemplate()
    config = BioVerseConfig(
        name=name,
        llm=LLMConfig(backbone.name, identity(backbone), backbone.d_llm),
        template=json.loads(json.dumps(asdict(wording))) | {"sha256": wording.template_hash()},
        n_soft=n_soft,
        encoders={modality: describe(one, hidden=hidden, terms=prototypes) for modality, one in by_modality.items()},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules = build_modules(config, init_norm=backbone.embedding_norm, dropout=dropout)
    modules["tokens"].begin_as(*(word_vector(backbone, word) for word in wording.marker_words()))  # type: ignore[operator]
    return {"config": config, "encoders": by_modality, "modules": modules, "backbone": backbone}
