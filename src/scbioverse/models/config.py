"""What a BioVerse model is made of, as plain values that go into `config.json`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._logging import logger
from .._untrusted import FOREIGN, check_plain, read_json_object
from ..errors import InputError, WeightsError
from ._config_parts import AskedConfig, EncoderConfig, LLMConfig, PoolConfig, TextSpaceConfig
from ._config_types import check_types

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "AskedConfig",
    "BioVerseConfig",
    "EncoderConfig",
    "LLMConfig",
    "PoolConfig",
    "TextSpaceConfig",
    "check_name",
    "migrate",
    "read_config",
]

CONFIG = "config.json"
FORMAT_VERSION = 3
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str, *, what: str) -> str:
    """Return `name` if it can be a file name and nothing else.

    Raises
    ------
    WeightsError
        It is empty, too long, hidden, or could lead out of a folder.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise WeightsError(
            f"{what} {name!r} is not a plain name (letters, digits, '.', '_', '-', at most 64, a letter or digit "
            "first). A checkpoint that holds it is damaged or was tampered with."
        )
    return name


@dataclass
class BioVerseConfig:
    """Everything about a model that is not a tensor.

    Attributes
    ----------
    name
        Name of the model.
    llm
        The language model.
    template
        Wording of the prompt: the fields of `PromptTemplate`, as JSON has them.
    template_hash
        Sha256 of the wording and of how it is rendered.
    n_soft
        Soft tokens an input becomes.
    hidden
        Width of the projectors.
    dropout
        Their dropout in training.
    encoders
        By modality.
    text_space
        None as long as nothing contrastive was trained.
    temperature
        Divides log-probabilities of `score` before they are normalised again; fitted on held-out cells.
    nearest_temperature
        Divides cosines of `nearest`.
    marker_weight, nearest_marker_weight
        Weight of the marker term beside `score` and `nearest`, in nats per standard deviation; 0 for none.
    pool
        Weights of `method="cascade"`; None for a model without it.
    asked
        How codes of answers are mixed where markers are known, and how sure `score` then is; None for a model without.
    unknown_threshold
        Confidence below which `annotate` gives no candidate unless told otherwise; 0 for never.
    auto_threshold
        What `unknown_threshold="auto"` stands for in `annotate`.
    adapter_scores
        Whether `score` reads with the adapter, too, where there is one. False: it is for what the model writes, and
        temperature and weights, fitted without it, stay true.
    names
        How the language model is asked to say terms: `"spoken"`, general word first (see
        :func:`scbioverse.knowledge.spoken.spoken_name`), or `"natural"`.
    methods
        What the model was trained for: `"score"`, `"nearest"` or both.
    default_labels
        The model's own vocabulary: Cell Ontology ids, or names where there is none.
    training
        What the model was trained on and how; free form, shown in the card.
    metrics
        What was measured; free form, shown in the card.
    licence
        Of the trained tensors; encoder and language model have their own.
    format_version
        Version of the checkpoint's layout.
    """

    name: str
    llm: LLMConfig
    template: dict[str, Any]
    template_hash: str
    n_soft: int
    hidden: int
    dropout: float = 0.1
    encoders: dict[str, EncoderConfig] = field(default_factory=dict)
    text_space: TextSpaceConfig | None = None
    temperature: float = 1.0
    nearest_temperature: float = 0.07
    unknown_threshold: float = 0.0
    auto_threshold: float = 0.0
    adapter_scores: bool = True
    marker_weight: float = 0.0
    nearest_marker_weight: float = 0.0
    pool: PoolConfig | None = None
    asked: AskedConfig | None = None
    names: str = "spoken"
    methods: list[str] = field(default_factory=list)
    default_labels: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.nearest_temperature > 0):
            raise InputError(f"temperatures must be positive, found {self.temperature} and {self.nearest_temperature}.")
        if not (0 <= self.unknown_threshold <= 1 and 0 <= self.auto_threshold <= 1):
            raise InputError(
                f"thresholds must lie in 0 to 1, found {self.unknown_threshold} and {self.auto_threshold}."
            )
        if self.names not in ("spoken", "natural"):
            raise InputError(f"names are 'spoken' or 'natural', found {self.names!r}.")
        if not (0 <= self.marker_weight < 1e3 and 0 <= self.nearest_marker_weight < 1e3):
            raise InputError(
                f"marker weights must not be negative, found {self.marker_weight} and {self.nearest_marker_weight}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BioVerseConfig:
        """Read what :meth:`to_dict` wrote, by this or an earlier version.

        Raises
        ------
        WeightsError
            The values are of a later format, or incomplete.
        """
        values = migrate(values)
        known = {one.name for one in fields(cls)}
        try:
            kept = {key: value for key, value in values.items() if key in known}
            kept["llm"] = LLMConfig(**kept["llm"])
            kept["encoders"] = {
                check_name(modality, what="modality"): EncoderConfig(**one)
                for modality, one in kept["encoders"].items()
            }
            for one in kept["encoders"].values():
                check_name(one.kind, what="encoder kind")
            if kept.get("text_space") is not None:
                kept["text_space"] = TextSpaceConfig(**kept["text_space"])
            if kept.get("pool") is not None:
                kept["pool"] = PoolConfig(**kept["pool"])
            if kept.get("asked") is not None:
                kept["asked"] = AskedConfig(**kept["asked"])
            return check_types(cls(**kept))
        except WeightsError:
            raise
        except FOREIGN as error:
            raise WeightsError(f"config.json is not the configuration of a BioVerse model: {error!r}") from error


Migration = Callable[[dict[str, Any]], dict[str, Any]]


def _licence_of_its_own(values: dict[str, Any]) -> dict[str, Any]:
    """From format 1 to 2: the licence stands beside the training notes, where a listing finds it."""
    training = values.get("training")
    found = training.get("licence", "") if isinstance(training, dict) else ""
    return {**values, "licence": str(values.get("licence") or found)}


def _tail_by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Format 1 had an end marker and the task token behind the soft tokens, and said names as people do."""
    template = values.get("template")
    values = {"names": "natural", **values}
    return {**values, "template": {"tail": "tokens", **template}} if isinstance(template, dict) else values


def _weights_of_another_evidence(values: dict[str, Any]) -> dict[str, Any]:
    """Up to format 2, marker evidence was a mean of z-scores: its weights are some seven times too large for a sum."""
    names = ("marker_weight", "nearest_marker_weight")
    pool, training = values.get("pool"), values.get("training")
    weighed = any(values.get(name) for name in names) or (isinstance(pool, dict) and bool(pool.get("markers")))
    if not weighed:
        return values
    logger.warning(
        "model %r was calibrated with an earlier definition of marker evidence: its marker weights are left out, "
        "labels go by the embedding alone and confidences are less well calibrated. Train or tune it again from the "
        "present bioverse-small, or fetch a newer version.",
        values.get("name"),
    )
    values = {**values, **dict.fromkeys(names, 0.0)}
    if isinstance(pool, dict):
        values["pool"] = {**pool, "markers": 0.0}
    if isinstance(training, dict):
        values["training"] = {key: value for key, value in training.items() if key != "calibration"}
    return values


_MIGRATIONS: dict[int, Migration] = {
    1: lambda values: _tail_by_name(_licence_of_its_own(values)),
    2: _weights_of_another_evidence,
}
"""From a format version to the function that turns its values into those of the next version."""


def migrate(values: dict[str, Any]) -> dict[str, Any]:
    """Bring the values of an earlier format up to this one.

    Raises
    ------
    WeightsError
        The format is unknown or newer than this package.
    """
    version = values.get("format_version") if isinstance(values, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise WeightsError("config.json names no format_version: it is not the configuration of a BioVerse model.")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"the checkpoint has format {version}; this version of scbioverse reads up to {FORMAT_VERSION}. "
            "Upgrade: pip install -U scbioverse"
        )
    while version < FORMAT_VERSION:
        if version not in _MIGRATIONS:
            raise WeightsError(f"the checkpoint has format {version}, which this version of scbioverse cannot read.")
        values = {**_MIGRATIONS[version](values), "format_version": version + 1}
        version += 1
    return values


def read_config(path: Path) -> dict[str, Any]:
    """Read `config.json` of a checkpoint, whatever its version.

    Raises
    ------
    WeightsError
        It is missing or no JSON object.
    """
    file = path / CONFIG
    if file.exists() or file.is_symlink():
        check_plain(file)
    elif (path / "encoder.json").is_file():
        raise WeightsError(
            f"{path} holds an encoder, which is a part of a model: scbioverse.tl.embed(adata, model=...) takes it. A "
            f"model's folder has a {CONFIG}."
        )
    else:
        found = sorted(one.name for one in path.iterdir())[:8] if path.is_dir() else "no such folder"
        raise WeightsError(f"{path} is not a BioVerse model: it has no {CONFIG} (found: {found or 'nothing'}).")
    values = read_json_object(file, strict=True)
    if "format_version" not in values and "model_type" in values:
        raise WeightsError(
            f"{path} holds a {values['model_type']!r:.40} model of transformers, not a BioVerse model. To make one "
            "with it: tl.align(adata, llm=...) for a language model, tl.align(adata, model=...) for an encoder."
        )
    return values
