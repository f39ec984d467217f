"""Encoders of molecules and proteins by the names a user types."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._untrusted import read_json_object
from ..errors import InputError, WeightsError
from ._registry import build, encoder_class
from ._resolve import resolve_encoder

if TYPE_CHECKING:
    from ._protocol import Encoder

# Name -> modality; each is also the kind under which its class is registered.
SHORT_NAMES = {"chemnet": "molecule", "morgan": "molecule", "kmer": "protein"}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_MODALITIES = frozenset(SHORT_NAMES.values())


def given_encoder(model: Any, modality: str, *, hub: bool = True) -> Encoder | None:
    """Return the encoder that a verb was given as `model=`, as an object or by name; None where it is something else.

    Parameters
    ----------
    model
        What :func:`encoder_by_name` or :func:`resolve_encoder` takes.
    modality
        `"cell"`, `"molecule"` or `"protein"`.
    hub
        Whether a hub name may be that of a Hugging Face encoder; else it is that of a BioVerse model.

    Raises
    ------
    InputError
        The name belongs to another modality.
    """
    if isinstance(model, str | Path) and (hub or not _HUB_NAME.fullmatch(str(model)) or Path(model).is_dir()):
        named = encoder_by_name(model, modality)
        if named is not None:
            return named
    return resolve_encoder(model)


def encoder_by_name(model: str | Path, modality: str) -> Encoder | None:
    """Return the encoder that `model` names, or None where it names no encoder of molecules or proteins.

    Parameters
    ----------
    model
        `"chemnet"`, `"morgan"` or `"kmer"`; a folder with `encoder.json`, or a Hugging Face folder; a hub name,
        `"owner/name"` or `"owner/name@revision"`.
    modality
        `"molecule"` or `"protein"`; for others the answer is None.

    Raises
    ------
    InputError
        The name belongs to the other modality.
    """
    short = str(model).lower()
    if short in SHORT_NAMES and modality != SHORT_NAMES[short]:
        raise InputError(
            f"{model!r} reads {SHORT_NAMES[short]}s, not {modality}s. Encoders of {modality}s by name: "
            f"{sorted(name for name, one in SHORT_NAMES.items() if one == modality) or 'none'}"
        )
    if modality not in _MODALITIES:
        return None
    if short in SHORT_NAMES:
        return encoder_class(short)()
    path = Path(model).expanduser()
    if path.is_dir():
        if (path / "encoder.json").is_file():
            config = read_json_object(path / "encoder.json", strict=True)
            encoder = build(str(config.get("kind")), path, config)
            if encoder.modality != modality:
                raise InputError(f"the encoder in {path} reads {encoder.modality}s, not {modality}s")
            return encoder
        return _hugging_face(str(path), modality) if _is_hugging_face(path) else None
    return _hugging_face(str(model), modality) if _HUB_NAME.fullmatch(str(model)) else None


def _is_hugging_face(folder: Path) -> bool:
    try:
        return "model_type" in read_json_object(folder / "config.json")
    except WeightsError:
        return False


def _hugging_face(source: str, modality: str) -> Encoder:
    return encoder_class("hf_sequence")(source, modality=modality)
