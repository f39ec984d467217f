"""The parts a model is built from, and its encoders, some of them built only when they are needed.

A model of several modalities is used for cells by somebody who never installed what reads molecules. An encoder of
which the folder holds no tensors, because they come with another package or there are none, is therefore built on first
use; so is one that needs a package which is not here. It then fails by itself, and with its own message. The files it
was read from are kept until then, so that a model can be saved, tuned and joined whatever is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..encoders import SavableEncoder
from ..errors import InputError, MismatchError, OptionalDependencyError, WeightsError
from ..llm.prompts import PromptTemplate
from ..nn import BioTokens, CandidateTokens, PhraseHead, Projector, PrototypeProjector
from .config import BioVerseConfig, EncoderConfig, LLMConfig
from .reader import identity
from .shared_space import SharedHead

if TYPE_CHECKING:
    from pathlib import Path

    from ..encoders import Encoder
    from ..llm import Backbone
    from .config import PhraseBook


def read_template(config: BioVerseConfig) -> PromptTemplate:
    """Make the prompt template that a model was trained with, if this version knows it and renders it alike."""
    fields, known = dict(config.template), set(PromptTemplate.__dataclass_fields__)
    wanted = fields.pop("sha256", None)
    if odd := sorted(set(fields) - known):
        raise WeightsError(
            f"config.json describes a prompt template that this version of scbioverse does not know: {odd} (known: "
            f"{sorted(known)}). Upgrade: pip install -U scbioverse"
        )
    try:
        template = PromptTemplate(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"config.json describes no prompt template: {error}") from error
    if (found := template.template_hash()) != wanted:
        raise MismatchError(
            f"model {config.name!r} was trained with prompt template {wanted}, this version of scbioverse renders it "
            f"as {found}. Install the version it was made with, or align a new model."
        )
    return template


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


@dataclass(eq=False)
class Held:
    """One encoder, built or not; shared by the models that were made from one another."""

    build: Callable[[], Encoder]  # builds it and compares it with the one the projector was trained with
    files: Mapping[str, bytes] = field(default_factory=dict)  # what it was read from, by path; empty for one handed in
    built: Encoder | None = None  # once it was asked for

    def get(self) -> Encoder:
        """Return the encoder; the first call builds it."""
        if self.built is None:
            self.built = self.build()
            self.files = {}
        return self.built

    def can_be_built(self) -> bool:
        """Build it, unless it needs a package that is not installed."""
        try:
            self.get()
        except OptionalDependencyError:
            return False
        return True

    def save(self, folder: Path) -> None:
        """Write the encoder, or what it would be built from, into `folder`."""
        if self.built is None:
            for name, content in self.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            return
        if not isinstance(self.built, SavableEncoder):
            raise InputError(f"encoder {self.built.name!r} cannot be saved: it has no save(folder) method.")
        self.built.save(folder)


class Encoders(Mapping[str, "Encoder"]):
    """Encoders by modality. Asking whether one is there builds none."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = dict(held)

    @classmethod
    def of(cls, encoders: Mapping[str, Encoder]) -> Encoders:
        """Hold encoders that are built already, or those of another model as they are."""
        if isinstance(encoders, Encoders):
            return encoders
        return cls({modality: Held(lambda one=one: one, built=one) for modality, one in encoders.items()})  # type: ignore[misc]

    def held(self) -> dict[str, Held]:
        """Return the encoders without building any."""
        return dict(self._held)

    def only(self, modalities: list[str]) -> Encoders:
        """Return the encoders of some modalities, in the order of `modalities`."""
        return Encoders({one: self._held[one] for one in modalities})

    def __getitem__(self, modality: str) -> Encoder:
        return self._held[modality].get()

    def __contains__(self, modality: object) -> bool:
        return modality in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
