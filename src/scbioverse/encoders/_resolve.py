"""What a user hands over in place of an encoder: a name, a hub id, a folder, an scvi-tools model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .._hub_files import hub_name
from .._untrusted import read_json
from ..errors import InputError, WeightsError
from ._protocol import Encoder
from ._registry import CONFIG, build, encoder_class

# Name -> modality; each is also the kind under which its class is registered.
SHORT_NAMES = {"chemnet": "molecule", "morgan": "molecule", "kmer": "protein"}


def given_encoder(model: Any, modality: str, *, hub: bool = True) -> Encoder | None:
    """Return the encoder that a verb was given as `model=`, as an object or by name; None where it is something else.

    That is what :func:`resolve_encoder` takes; of molecules and proteins also `"chemnet"`, `"morgan"` or `"kmer"`, and
    the folder or, with `hub`, the hub name of a Hugging Face encoder.
    """
    text = str(model) if isinstance(model, str | Path) else ""
    short = SHORT_NAMES.get(text.lower(), modality)
    if short != modality:
        raise InputError(
            f"{model!r} reads {short}s, not {modality}s. Encoders of {modality}s by name: "
            f"{sorted(name for name, one in SHORT_NAMES.items() if one == modality) or 'none'}"
        )
    if text.lower() in SHORT_NAMES:
        return encoder_class(text.lower())()
    of_texts = bool(text) and modality in SHORT_NAMES.values()
    if of_texts and _is_of_transformers(text, hub=hub):
        folder = Path(text).expanduser()
        return encoder_class("hf_sequence")(str(folder) if folder.is_dir() else text, modality=modality)
    encoder = resolve_encoder(model)
    if of_texts and encoder is not None and encoder.modality != modality:
        raise InputError(f"the encoder in {text} reads {encoder.modality}s, not {modality}s")
    return encoder


def _is_of_transformers(text: str, *, hub: bool) -> bool:
    """Whether this is the folder of an encoder of transformers, or with `hub` the name of one."""
    folder = Path(text).expanduser()
    if not folder.is_dir():
        return hub and hub_name(text) is not None
    return not (folder / CONFIG).is_file() and bool(_field(folder / "config.json", "model_type"))


def resolve_encoder(model: Any) -> Encoder | None:
    """Recognise an encoder in what was passed as a model.

    Parameters
    ----------
    model
        An encoder; an SCVI or SCANVI model of scvi-tools; the folder of a saved encoder, of a saved scvi-tools model
        or of a Geneformer with its dictionaries; or the hub id of an scvi-tools model.

    Returns
    -------
    The encoder, or None where `model` is something else, such as the name of a BioVerse model.

    Raises
    ------
    WeightsError
        It is one of these, and its files are damaged or refused.
    """
    if isinstance(model, Encoder):
        return model
    if any(base.__module__.split(".")[0] == "scvi" for base in type(model).__mro__):
        return encoder_class("scvi")(model)
    if not isinstance(model, str | os.PathLike):
        return None
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    if isinstance(model, str) and hub_name(model):
        from .scvi_model import find_on_hub

        if (found := find_on_hub(model)) is not None:
            return encoder_class("scvi").load(found, name=model)  # type: ignore[attr-defined]
    return None


def _from_folder(folder: Path) -> Encoder | None:
    if (folder / CONFIG).is_file():
        return build(_field(folder / CONFIG, "kind"), folder)
    if (folder / "model.pt").is_file():
        return encoder_class("scvi").load(folder)  # type: ignore[attr-defined]
    if _field(folder / "config.json", "model_type") == "bert":
        from .geneformer import token_dictionaries

        if token_dictionaries(folder):
            return encoder_class("geneformer").load(folder)  # type: ignore[attr-defined]
    return None


def _field(file: Path, name: str) -> Any:
    try:
        values = read_json(file)
    except WeightsError:
        return None
    return values.get(name) if isinstance(values, dict) else None
