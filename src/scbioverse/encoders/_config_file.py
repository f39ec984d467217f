"""`encoder.json` of encoders that keep no weights of their own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .._errors import MismatchError, WeightsError

CONFIG = "encoder.json"
FORMAT_VERSION = 1


def digest(*parts: Any) -> str:
    """Sha256, in hex, of plain values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_config(folder: str | Path, config: dict[str, Any]) -> Path:
    """Write `encoder.json` into `folder` and return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"version": FORMAT_VERSION, **config}, indent=2) + "\n")
    return folder


def read_config(folder: str | Path, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read and check what :func:`write_config` wrote; `config` is its content, if already read.

    Raises
    ------
    WeightsError
        The file is missing, damaged or of another format.
    """
    try:
        config = config or json.loads((Path(folder) / CONFIG).read_text())
        if config["version"] != FORMAT_VERSION:
            raise ValueError(f"format {config['version']}, this version of scbioverse reads {FORMAT_VERSION}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"cannot read the encoder in {folder}: {error!r}") from error
    return config


def same_fingerprint(folder: str | Path, saved: str | None, found: str, source: str) -> None:
    """Raise a :class:`MismatchError` if the weights found are not those the encoder was saved with."""
    if saved is not None and saved != found:
        raise MismatchError(
            f"the encoder in {folder} was saved with fingerprint {saved}; {source} gives {found}. "
            "Install the same weights, or train a model with these."
        )
