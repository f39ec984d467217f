"""What a user hands over in place of an encoder: an scvi-tools model, a saved encoder, a published model's folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .._untrusted import read_json
from ..errors import WeightsError
from ._protocol import Encoder
from ._registry import build

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@\w[\w.-]*)?")


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
        from .scvi_model import ScviEncoder

        return ScviEncoder(model)
    if not isinstance(model, str | os.PathLike):
        return None
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    if isinstance(model, str) and _HUB_ID.fullmatch(model):
        from ._scvi_hub import find_on_hub

        found = find_on_hub(model)
        if found is not None:
            from .scvi_model import ScviEncoder

            return ScviEncoder.load(found, name=model)
    return None


def _from_folder(folder: Path) -> Encoder | None:
    if (folder / "encoder.json").is_file():
        return build(_kind(folder / "encoder.json"), folder)
    if (folder / "model.pt").is_file():
        from .scvi_model import ScviEncoder

        return ScviEncoder.load(folder)
    if _field(folder / "config.json", "model_type") == "bert":
        from ._geneformer_files import token_dictionaries

        if token_dictionaries(folder):
            from .geneformer import GeneformerEncoder

            return GeneformerEncoder.load(folder)
    return None


def _kind(file: Path) -> str:
    return str(_field(file, "kind"))


def _field(file: Path, name: str) -> Any:
    try:
        values = read_json(file)
    except WeightsError:
        return None
    return values.get(name) if isinstance(values, dict) else None
