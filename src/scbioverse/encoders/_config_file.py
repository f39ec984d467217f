"""`encoder.json`: the one way in which encoders write down and read what they are."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._untrusted import read_json_object, refusing
from ..errors import MismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = "encoder.json"
FORMAT_VERSION = 1


def digest(*parts: Any) -> str:
    """Sha256, in hex, of plain values."""
    # Sorted: equal settings give equal digests.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write_config(folder: str | Path, config: dict[str, Any]) -> Path:
    """Write `encoder.json` into `folder` and return the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"version": FORMAT_VERSION, **config}, indent=2) + "\n")
    return folder


def read_config(
    folder: str | Path, config: dict[str, Any] | None = None, *, needs: Sequence[str] = (), preprocessing: str = ""
) -> dict[str, Any]:
    """Read and check what :func:`write_config` wrote; `config` is its content, if already read.

    `needs` are fields that must be there; `preprocessing` is the version that the field of this name must hold.
    """
    with refusing(f"cannot read the encoder in {folder}"):
        config = config or read_json_object(Path(folder) / CONFIG, strict=True)
        if config["version"] != FORMAT_VERSION:
            raise ValueError(f"format {config['version']}, this version of scbioverse reads {FORMAT_VERSION}")
        if preprocessing and config["preprocessing"] != preprocessing:
            raise ValueError(f"preprocessing {config['preprocessing']!r}, this version does {preprocessing!r}")
        if absent := [name for name in needs if name not in config]:
            raise ValueError(f"without {', '.join(absent)}")
    return config


def whole_number(config: dict[str, Any], name: str, *, least: int = 1, most: int = 2**24) -> int:
    """Return a field that must be a whole number, and no larger than anything it could count."""
    found = config.get(name)
    # True is an int to Python, and 1 to a layer.
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise ValueError(f"{name} must be a whole number from {least:,} to {most:,}, found {found!r:.40}")
    return found


def number(config: dict[str, Any], name: str, *, default: float | None = None) -> float:
    """Return a field that must be a finite number; see :func:`whole_number`."""
    found = config.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"{name} must be a finite number, found {found!r:.40}")
    return float(found)


def same_fingerprint(folder: str | Path, saved: str | None, found: str, source: str) -> None:
    """Raise a :class:`MismatchError` if the weights found are not those the encoder was saved with."""
    if saved is not None and saved != found:
        raise MismatchError(
            f"the encoder in {folder} was saved with fingerprint {saved}; {source} gives {found}. "
            "Install the same weights, or train a model with these."
        )
