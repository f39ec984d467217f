"""What a BioVerse model is made of, as plain values that go into `config.json`."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError, with_config

from .._untrusted import FOREIGN, read_json_object
from ..errors import InputError, WeightsError

T = TypeVar("T")
# No model has a layer, a vocabulary or a number of tokens beyond this.
Whole = Annotated[int, Field(ge=0, le=2**24)]
Size = Annotated[int, Field(ge=1, le=2**24)]
_PLAIN = with_config(ConfigDict(extra="forbid"))  # a key that no field has is an error, a bool no number


@cache
def _reader(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read_plain(kind: type[T], values: Any) -> T:
    """Make a dataclass of what JSON held; a :class:`ValueError` says which value is not of its field's type."""
    try:
        return _reader(kind).validate_json(json.dumps(values), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        said = first["msg"].replace("Input should", "must")
        raise ValueError(f"{place}: {said}, found {first['input']!r:.60}") from None


CONFIG = "config.json"
FORMAT_VERSION = 4
# What a row of the calibration has where it does not say: no label is kept back, and a row whose best label has 0.9
# is not worth the language model's time.
THRESHOLDS = {"unknown": 0.0, "auto": 0.0, "sure": 0.9, "reach": 20.0}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it can be a file name and nothing else."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise WeightsError(
            f"{what} {name!r} is not a plain name (letters, digits, '.', '_', '-', at most 64, a letter or digit "
            "first). A checkpoint that holds it is damaged or was tampered with."
        )
    return name


@_PLAIN
@dataclass(frozen=True)
class LLMConfig:
    """Which language model the projectors were trained for."""

    name: str  #: What to load it by; where that is a path, another copy of the same files serves as well.
    sha256: str  #: Identity of its weights and tokenizer.
    d_llm: Size  #: Width of its embeddings.


@_PLAIN
@dataclass(frozen=True)
class EncoderConfig:
    """One encoder of a model, and the projector that reads it."""

    kind: str  #: As registered with :func:`scbioverse.encoders.register`.
    name: str  #: Name shown in records.
    fingerprint: str  #: Sha256 of its weights and preprocessing.
    dim: Size  #: Width of one token of an embedding.
    n_tokens: Size  #: Tokens of an embedding.
    hidden: Size = 512  #: Width of its perceptron; unused where there are `terms`.
    #: Cell Ontology id of each prototype of a :class:`~scbioverse.nn.PrototypeProjector`, `""` for one that stands for
    #: none. Empty for a perceptron.
    terms: tuple[str, ...] = ()
    #: Cell Ontology ids that have codes of their own, see :class:`~scbioverse.nn.CandidateTokens`.
    candidates: tuple[str, ...] = ()
    #: Temperature of the shares that mix each of these soft tokens; empty where all have 1.
    spread: tuple[FiniteFloat, ...] = ()
    #: What it was trained for, of `"score"`, `"nearest"` and `"generate"`; empty where nothing was trained yet.
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.candidates and not any(self.terms):
            raise InputError("candidate tokens are mixed by the attention over terms: name the prototypes' terms, too.")

    @property
    def chooses_by(self) -> list[str]:
        """Methods, of `"score"` and `"nearest"`, that it was trained to choose among candidates by."""
        return [one for one in self.methods if one != "generate"]

    @property
    def placed(self) -> bool:
        """Whether it has a place among texts."""
        return not self.methods or "nearest" in self.methods

    @property
    def writes(self) -> bool:
        """Whether what the language model writes of the modality means something."""
        return not self.methods or "generate" in self.methods


@_PLAIN
@dataclass(frozen=True)
class TextSpaceConfig:
    """Where the text side of `nearest` comes from."""

    layer: Whole  #: Layer of the language model whose states stand for a text.
    dim: Size  #: Dimensions kept of them.


@_PLAIN
@dataclass(frozen=True)
class Calibration:
    """How sure one method is: a row of the table in `config.json`, fitted on cells that training left out."""

    #: Of each source of :mod:`scbioverse.predict.sources`, by name; 0 for those not named. Of marker evidence in nats
    #: per standard deviation, of `"nearest"` in nats per unit of cosine, of the others in nats per nat.
    weights: dict[str, FiniteFloat] = field(default_factory=dict)
    temperature: FiniteFloat = 1.0  #: The method's own log-probabilities (cosines for `"nearest"`) are divided by it.
    #: `"unknown"`: confidence below which a cell gets no candidate, if the user names no other. `"auto"`: what
    #: `unknown_threshold="auto"` stands for; 0 for a model without. `"sure"`: probability by the other sources from
    #: which the language model need not read a row. `"reach"`: by how many nats it may prefer a label to another.
    thresholds: dict[str, FiniteFloat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A weight names a source of `predict.sources`: whether this version has it shows where it is asked.
        odd = [one for one in self.weights if not one.isidentifier()] + sorted({*self.thresholds} - {*THRESHOLDS})
        if odd:
            raise InputError(f"a calibration has weights of sources and thresholds {(*THRESHOLDS,)}, found {odd}.")
        if not self.temperature > 0:
            raise InputError(f"temperatures must be positive, found {self.temperature}.")
        if not all(0 <= one < 1e3 for one in (*self.weights.values(), *self.thresholds.values())):
            raise InputError(f"weights and thresholds must not be negative, nor above 1,000, found {self}.")
        if not all(self.threshold(one) <= 1 for one in ("unknown", "auto", "sure")):
            raise InputError(f"thresholds of probabilities lie in 0 to 1, found {self.thresholds}.")

    def weight(self, source: str) -> float:
        """Weight of a source; 0 where it has none."""
        return self.weights.get(source, 0.0)

    def threshold(self, name: str) -> float:
        """Return a threshold; the usual one where the row has none."""
        return self.thresholds.get(name, THRESHOLDS[name])


@dataclass
class BioVerseConfig:
    """Everything about a model that is not a tensor."""

    name: str  #: Name of the model.
    llm: LLMConfig  #: The language model.
    #: Wording of the prompt: the fields of `PromptTemplate`, as JSON has them, and as `"sha256"` that of the wording
    #: and of how it is rendered.
    template: dict[str, Any]
    n_soft: Size  #: Soft tokens an input becomes.
    #: By modality. The first is the one whose labels and calibration the model has.
    encoders: dict[str, EncoderConfig] = field(default_factory=dict)
    text_space: TextSpaceConfig | None = None  #: None as long as nothing contrastive was trained.
    #: By method: `"score"`, `"nearest"`, `"cascade"` for models that pool all sources, and for those with candidate
    #: tokens `"candidate_tokens"` (what decides their shares, and how sure `score` then is) and
    #: `"candidate_tokens_alone"` (the same without markers).
    calibration: dict[str, Calibration] = field(default_factory=dict)
    #: The model's own vocabulary: Cell Ontology ids, or names where there is none.
    default_labels: list[str] = field(default_factory=list)
    #: How the language model is asked to say terms: `"spoken"`, general word first (see
    #: :func:`scbioverse.knowledge.phrases.spoken_name`), or `"natural"`.
    names: Literal["spoken", "natural"] = "spoken"
    #: Whether `score` reads with the adapter, too, where there is one. False: it is for what the model writes, and the
    #: calibration, fitted without it, stays true.
    adapter_scores: bool = True
    #: What the model was trained on and how, and its licence; free form, shown in the card.
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)  #: What was measured; free form, shown in the card.

    def __post_init__(self) -> None:
        # 0.07 is where the learned temperature of the contrastive loss starts (Radford et al. 2021).
        self.calibration = {"score": Calibration(), "nearest": Calibration(temperature=0.07), **self.calibration}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BioVerseConfig:
        """Read what :meth:`to_dict` wrote; a :class:`WeightsError` where it is of another format, or incomplete."""
        check_format(values)
        try:
            read = [one.name for one in fields(cls) if one.name in {*values, "encoders", "calibration", "text_space"}]
            made = read_plain(cls, {name: values[name] for name in read})
        except FOREIGN as error:
            raise WeightsError(f"config.json is not the configuration of a BioVerse model: {error}") from error
        for modality, one in made.encoders.items():
            check_name(modality, what="modality")
            check_name(one.kind, what="encoder kind")
        return made


def check_format(values: dict[str, Any]) -> None:
    """Raise a :class:`WeightsError` where values are of a format that this version does not read."""
    version = values.get("format_version")
    if type(version) is not int:
        raise WeightsError("config.json names no format_version: it is not the configuration of a BioVerse model.")
    if version != FORMAT_VERSION:
        raise WeightsError(
            f"the checkpoint has format {version}; this version of scbioverse reads {FORMAT_VERSION}. Of a newer one: "
            "pip install -U scbioverse. Of an older one: train it anew (scbioverse.tl.align, scbioverse.tl.tune)."
        )


def read_config(path: Path) -> dict[str, Any]:
    """Read `config.json` of a checkpoint, whatever its version; a :class:`WeightsError` where it is missing."""
    file = path / CONFIG
    if (path / "encoder.json").is_file() and not file.exists():
        raise WeightsError(
            f"{path} holds an encoder, which is a part of a model: scbioverse.tl.embed(adata, model=...) takes it. A "
            f"model's folder has a {CONFIG}."
        )
    if not file.exists() and not file.is_symlink():
        found = sorted(one.name for one in path.iterdir())[:8] if path.is_dir() else "no such folder"
        raise WeightsError(f"{path} is not a BioVerse model: it has no {CONFIG} (found: {found or 'nothing'}).")
    values = read_json_object(file, strict=True)
    if "format_version" not in values and "model_type" in values:
        raise WeightsError(
            f"{path} holds a {values['model_type']!r:.40} model of transformers, not a BioVerse model. To make one "
            "with it: tl.align(adata, llm=...) for a language model, tl.align(adata, model=...) for an encoder."
        )
    return values


def named_llm(folder: Path) -> str:
    """Name of the language model that a checkpoint was trained for."""
    return BioVerseConfig.from_dict(read_config(folder)).llm.name


SEAL = "sha256"


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """Add the sha256 of values to them, as they will be read: JSON makes texts of keys, which sort otherwise."""
    return {**values, SEAL: _digest(json.loads(json.dumps(values)))}


def check_seal(values: dict[str, Any], file: Path) -> None:
    """Compare values with their sha256, if they have one; configurations of earlier versions have none."""
    if SEAL in values and values[SEAL] != (found := _digest(values)):
        raise WeightsError(
            f"{file} was changed since it was saved: its values have sha256 {found}, expected {values[SEAL]!s:.64}. "
            f"Save or fetch the model again. If the change is yours, take the entry {SEAL!r} out of the file."
        )


def _digest(values: dict[str, Any]) -> str:
    kept = {key: value for key, value in values.items() if key != SEAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


@_PLAIN
@dataclass(frozen=True)
class PhraseGroup:
    """Phrases of one kind, of which an object gets some; see :class:`PhraseBook`."""

    lead: str  # words before the group's phrases
    phrases: Annotated[tuple[str, ...], Field(min_length=1)]
    most: Size = 1  # at most so many are said of an object
    #: Probability that a phrase needs; 0 says the first ones however improbable they are.
    least: Annotated[float, Field(ge=0, le=1)] = 0.0


@_PLAIN
@dataclass(frozen=True)
class PhraseBook:
    """How the language model writes of a modality whose projector was trained for retrieval alone.

    A :class:`~scbioverse.nn.PhraseHead` finds phrases that hold of an embedding, and the language model reads the
    embeddings of their words in a prompt of their own: it knows these without training.
    """

    groups: Annotated[tuple[PhraseGroup, ...], Field(min_length=1)]  # in the order in which they are said
    hidden: Size  # width of the head
    opening: Annotated[str, Field(pattern=r"\S")]  # prompt before the phrases
    closing: str  # prompt behind them
    longest: Size = 40  # at most so many tokens of phrases are read

    @classmethod
    def read(cls, file: Path) -> PhraseBook:
        """Read what :meth:`write` wrote; a :class:`WeightsError` where the file holds something else."""
        try:
            return read_plain(cls, read_json_object(file, strict=True))
        except FOREIGN as error:
            raise WeightsError(f"{file} holds no phrases: {error}") from error

    def write(self, file: Path) -> None:
        """Write the book as JSON."""
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def phrases(self) -> list[str]:
        """All phrases, group after group."""
        return [phrase for group in self.groups for phrase in group.phrases]
