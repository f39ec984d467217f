"""Parts of a model's configuration: language model, encoders and how they speak, text space, pool."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError
from .phrase_book import PhraseBook


@dataclass(frozen=True)
class LLMConfig:
    """Which language model the projectors were trained for.

    Attributes
    ----------
    name
        What to load it by; where that is a path, another copy of the same files serves as well.
    sha256
        Identity of its weights and tokenizer.
    d_llm
        Width of its embeddings.
    """

    name: str
    sha256: str
    d_llm: int


@dataclass(frozen=True)
class EncoderConfig:
    """One encoder of a model.

    Attributes
    ----------
    kind
        As registered with :func:`scbioverse.encoders.register`.
    name
        Name shown in records.
    fingerprint
        Sha256 of its weights and preprocessing.
    dim, n_tokens
        Shape of one embedding.
    hidden
        Width of its projector; that of the model if None.
    prototypes
        Number of prototypes of a :class:`~scbioverse.nn.PrototypeProjector`; 0 for a perceptron.
    terms
        Cell Ontology id of each prototype, where each stands for one; else empty.
    spread
        Temperature of the attention that mixes each soft token; empty where all have 1.
    answers
        Cell Ontology ids of the answers that have codes of their own, see :class:`~scbioverse.nn.CandidateTokens`;
        empty where none has.
    answer_spread
        Temperature of the shares that mix each soft token of theirs; empty where all have 1.
    methods
        What the projector was trained for, where that is not what the model says of itself.
    writes
        Whether what the language model writes of the modality means something; False where its projector was trained
        for retrieval alone.
    speech
        How the language model writes of the modality; None where it reads the projector's soft tokens.
    """

    kind: str
    name: str
    fingerprint: str
    dim: int
    n_tokens: int
    hidden: int | None = None
    prototypes: int = 0
    terms: tuple[str, ...] = ()
    spread: tuple[float, ...] = ()
    answers: tuple[str, ...] = ()
    answer_spread: tuple[float, ...] = ()
    methods: tuple[str, ...] = ()
    writes: bool = True
    speech: PhraseBook | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", tuple(self.terms))  # JSON gives lists
        object.__setattr__(self, "spread", tuple(self.spread) if set(self.spread) - {1.0} else ())
        object.__setattr__(self, "methods", tuple(self.methods))
        object.__setattr__(self, "answers", tuple(self.answers))
        object.__setattr__(self, "answer_spread", tuple(self.answer_spread) if set(self.answer_spread) - {1.0} else ())
        if self.spread and not self.prototypes:
            raise InputError("spread is for projectors by prototypes: give their number, or leave spread out.")
        if isinstance(self.speech, dict):
            object.__setattr__(self, "speech", PhraseBook(**self.speech))
        if self.terms and len(self.terms) != self.prototypes:
            raise InputError(f"{self.prototypes} prototypes need as many terms, found {len(self.terms)}.")
        if self.answers and not self.terms:
            raise InputError("codes of answers are mixed by the attention over terms: name the prototypes' terms, too.")


@dataclass(frozen=True)
class TextSpaceConfig:
    """Where the text side of `nearest` comes from.

    Attributes
    ----------
    layer
        Layer of the language model whose states stand for a text.
    dim
        Dimensions kept of them.
    mixed
        Whether soft tokens come there by a linear map of their own.
    """

    layer: int
    dim: int
    mixed: bool = False


@dataclass(frozen=True)
class AskedConfig:
    """What decides the shares of answers that `method="score"` has read, and how sure it then is.

    Shares are the softmax of `attention` times the log-probabilities by the projector's attention plus `markers` times
    marker evidence, where evidence is had; else those of the attention alone.

    Attributes
    ----------
    attention
        Weight of log-probabilities by attention beside evidence.
    markers
        Of marker evidence, in nats per standard deviation.
    temperature
        Divides what the language model says of such shares.
    alone
        Divides what it says of shares by the attention alone.
    """

    attention: float
    markers: float
    temperature: float = 1.0
    alone: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 <= one < 1e3 for one in (self.attention, self.markers)):
            raise InputError(f"weights must not be negative, found {self}.")
        if not (self.temperature > 0 and self.alone > 0):
            raise InputError(f"temperatures must be positive, found {self}.")


@dataclass(frozen=True)
class PoolConfig:
    """Weights of the sources that `method="cascade"` pools; see :func:`scbioverse.predict.pool.cascade`.

    Attributes
    ----------
    score
        Of the language model's log-probabilities, before any temperature.
    nearest
        Of cosines, in nats per unit.
    markers
        Of marker evidence, in nats per standard deviation.
    sure
        Probability by the other sources from which a row is not read by the language model.
    reach
        By how many nats the language model may prefer one label to another: a row whose two best labels, by the other
        sources, are further apart than `score` times this is not read, since its label would stay.
    attention
        Of the log-probabilities by the projector's attention, see :func:`scbioverse.models.attention.attended`.
    """

    score: float
    nearest: float
    markers: float
    sure: float = 0.9
    reach: float = 20.0
    attention: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.score, self.nearest, self.markers, self.reach, self.attention)
        if not all(0 <= one < 1e3 for one in weights) or not 0 <= self.sure <= 1:
            raise InputError(f"weights of a pool must not be negative and sure lies in 0 to 1, found {self}.")
