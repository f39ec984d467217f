"""Kinds of encoder by name, and `encoder.json`.

Built-in kinds are imported when first asked for, so that listing them costs nothing. `encoder.json` is the one way in
which encoders write down and read what they are.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._untrusted import read_json_object, refusing
from ..errors import InputError, MismatchError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._protocol import Encoder

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


def read_config(folder: str | Path, *, needs: Sequence[str] = (), preprocessing: str = "") -> dict[str, Any]:
    """Read and check what :func:`write_config` wrote.

    `needs` are fields that must be there; `preprocessing` is the version that the field of this name must hold.
    """
    with refusing(f"cannot read the encoder in {folder}"):
        config = read_json_object(Path(folder) / CONFIG, strict=True)
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


def number(config: dict[str, Any], name: str) -> float:
    """Return a field that must be a finite number; see :func:`whole_number`."""
    found = config.get(name)
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


# Kind -> module, where that has another name.
_BUILTIN = {kind: kind for kind in ("chemnet", "compact", "geneformer", "hf_sequence", "kmer", "morgan", "precomputed")}
_BUILTIN |= {"scvi": "scvi_model"}
CLASSES: dict[str, type] = {}  # those that were imported or registered, by kind

T = TypeVar("T", bound=type)


class FrozenEncoder:
    """What encoders share whose weights never change: a kind, and a fingerprint that is taken once."""

    kind: str
    n_tokens: int = 1

    @cached_property
    def _fingerprint(self) -> str:
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Sha256, in hex, of weights, settings and preprocessing version."""
        return self._fingerprint


def register(kind: str) -> Callable[[T], T]:
    """Make an encoder class known under `kind`, the value of `"kind"` in its `encoder.json`.

    Parameters
    ----------
    kind
        Name, unique among encoders.

    Returns
    -------
    A class decorator, which sets the class's `kind`. The class needs `from_folder(folder)` to be built from a
    checkpoint.

    Raises
    ------
    InputError
        Another class holds the name.
    """

    def add(cls: T) -> T:
        held = CLASSES.get(kind)
        # Modules may be loaded anew (notebooks); the same class under the same name is no conflict.
        if held is not None and (held.__module__, held.__qualname__) != (cls.__module__, cls.__qualname__):
            raise InputError(f"encoder kind {kind!r} is taken by {held.__module__}.{held.__qualname__}")
        CLASSES[kind] = cls
        cls.kind = kind  # type: ignore[attr-defined]
        return cls

    return add


def list_encoders() -> list[str]:
    """List the known kinds of encoder: built-in ones and those of :func:`register`.

    Returns
    -------
    Their names, sorted.
    """
    return sorted({*_BUILTIN, *CLASSES})


def encoder_class(kind: str) -> type:
    """Return the class registered under `kind`, or raise a :class:`WeightsError` that names those there are."""
    if kind not in CLASSES and kind in _BUILTIN:
        importlib.import_module(f".{_BUILTIN[kind]}", __package__)
    if kind not in CLASSES:
        raise WeightsError(
            f"no encoder of kind {kind!r} (known: {', '.join(list_encoders())}). "
            "If a plug-in defines it, import the plug-in first; else a newer scbioverse may be needed."
        )
    return CLASSES[kind]


def build(kind: str, folder: Path) -> Encoder:
    """Build an encoder from its folder in a checkpoint.

    Parameters
    ----------
    kind
        Name of the kind.
    folder
        Folder with the encoder's files.

    Returns
    -------
    The encoder.

    Raises
    ------
    WeightsError
        No such kind, or its files are missing or damaged.
    """
    cls = encoder_class(kind)
    with refusing(f"the encoder in {folder} cannot be built"):
        return cls.from_folder(Path(folder))  # type: ignore[attr-defined]
